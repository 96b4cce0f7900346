//! `store.json`: what a store says about itself.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{InteractionsError, read_error, write_error};

pub(super) const META: &str = "store.json";
pub(super) const EVENTS: &str = "events.bin";
pub(super) const USERS: &str = "users.bin";
pub(super) const VOCAB: &str = "vocab.json";
pub(super) const VERSION: u64 = 1;

/// What was counted while a log became histories.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreReport {
    /// Rows in the logs.
    pub rows: u64,
    /// Rows that the action rule left out.
    pub rows_without_action: u64,
    /// Different items of the logs that the given vocabulary lacks.
    pub unknown_items: u64,
    /// Rows with such an item; they are left out.
    pub unknown_rows: u64,
    /// Users with a behaviour.
    pub users: u64,
    /// Different items among rows with an action.
    pub items: u64,
    /// Behaviours: rows that were not left out.
    pub events: u64,
    /// Positives of each task, in the order of the tasks.
    pub positives: Vec<u64>,
    /// The value of all behaviours together.
    pub total_value: f64,
    /// Users with fewer than three behaviours: they train nothing.
    pub short_users: u64,
    /// Users whose last behaviour is at the same time as the one before it: the tie-break chose which is
    /// the test.
    pub tied_last: u64,
    /// Behaviours that the log has after a later one of the same user. Histories are in order.
    pub backwards: u64,
}

/// The description of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) version: u64,
    pub(super) n_users: u64,
    pub(super) n_events: u64,
    pub(super) n_items: u64,
    pub(super) n_actions: u64,
    pub(super) tie_seed: u64,
    pub(super) tasks: Vec<String>,
    pub(super) report: StoreReport,
}

/// Read before the rest, so that another version is named even if the rest looks different.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

impl Meta {
    pub(super) fn read(file: &Path) -> Result<Self, InteractionsError> {
        let text = fs::read_to_string(file).map_err(read_error(file))?;
        let broken = |e: serde_json::Error| InteractionsError::Broken {
            file: file.to_owned(),
            reason: format!("not readable as the description of a store: {e}"),
        };
        let VersionOnly { version: found } = serde_json::from_str(&text).map_err(broken)?;
        if found != VERSION {
            let file = file.to_owned();
            return Err(InteractionsError::Version { file, found, known: VERSION });
        }
        serde_json::from_str(&text).map_err(broken)
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), InteractionsError> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(file, text + "\n")).map_err(write_error(file))
    }
}
