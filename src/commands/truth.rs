//! What is true of a simulated log, for the histories of a store.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use onr_interactions::{
    Event, Store,
    simulate::{SimulationError, Truth, simulate},
};

use crate::exit::Refusal;

/// Expected values by the numbers of a store.
pub(super) struct StoreTruth<'a> {
    store: &'a Store,
    truth: Truth,
    /// External ids of the users of the store.
    users: Vec<String>,
    /// Number in the simulation of each item of the store, from item 1.
    items: Vec<usize>,
    /// The first thing that went wrong: who asks can't be told.
    failed: Mutex<Option<SimulationError>>,
}

impl<'a> StoreTruth<'a> {
    /// Reads `truth.json` in `dir`, and finds the users and items of the store in it.
    pub(super) fn open(dir: &Path, store: &'a Store) -> anyhow::Result<Self> {
        let truth = Truth::open(dir)?;
        let report = store.report();
        let refuse = |what: &str| {
            Refusal::wrong(format!("{} does not fit the log: {what}", dir.display()))
                .hint("--truth is the folder that the log was simulated into")
        };
        if report.rows_without_action + report.unknown_rows > 0 {
            return Err(refuse("some of its rows are no behaviours, and all count").into());
        }
        let mut users = vec![String::new(); store.n_users()];
        let log = simulate(truth.simulation())?;
        for number in 0..truth.simulation().n_users {
            let id = log.user_id(number);
            if let Some(user) = store.find_user(&id)? {
                users[user] = id;
            }
        }
        if users.iter().any(String::is_empty) {
            return Err(refuse("it has other users").into());
        }
        let number = |id: &String| truth.item_number(id);
        let items: Option<Vec<usize>> = store.vocab().items().iter().map(number).collect();
        let items = items.ok_or_else(|| refuse("it has other items"))?;
        Ok(Self { store, truth, users, items, failed: Mutex::new(None) })
    }

    /// The expected value of each item, `[V]`, padding included; empty where the past is none of the simulation's.
    pub(super) fn values(&self, user: usize, past: &[Event]) -> Vec<f32> {
        let external = |event: &Event| self.store.vocab().external(event.item.into()).unwrap_or("");
        let history: Vec<&str> = past.iter().map(external).collect();
        let moment = match self.truth.moment(&self.users[user], &history) {
            Ok(moment) => moment,
            Err(e) => {
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                return Vec::new();
            }
        };
        let known = moment.expected_values();
        let mut values = vec![0.0; self.store.n_items()];
        for (value, number) in values.iter_mut().skip(1).zip(&self.items) {
            *value = known[*number];
        }
        values
    }

    /// Why the values of somebody were empty.
    pub(super) fn failure(&self) -> Option<SimulationError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
