//! The requests of a log, made one at a time.

use std::ops::Range;

use serde::Serialize;

use super::group::{Collected, Grouped, Shown};
use super::options::LogOptions;
use super::popularity::Popularity;
use crate::request::Request;
use crate::vocab::{Vocab, sort_ids};
use crate::window::Window;

/// The dense id of an item that the vocabulary lacks: outside every table, so that graphs read row 0
/// and reports count it.
const UNKNOWN: i64 = -1;

/// One thing that a user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Behaviour {
    /// Dense item id; -1 when the vocabulary lacks it.
    pub item: i64,
    /// Action id.
    pub action: i64,
    /// Unix seconds.
    pub timestamp: i64,
}

/// A user's request, and what the user did next where that was held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// The request. Its time is that of the last behaviour in the history (0 without one): the time of
    /// the behaviour to predict would give it away.
    pub request: Request,
    /// The user's last behaviour, with [`LogOptions::hold_out_last`] alone. It need not be among the
    /// candidates.
    pub held_out: Option<Behaviour>,
}

/// What was counted while a log became requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Rows in the log.
    pub rows: u64,
    /// Rows that the action rule left out.
    pub rows_without_action: u64,
    /// Users with at least one behaviour.
    pub users: u64,
    /// Different items among behaviours and shown candidates.
    pub items: u64,
    /// Items in the vocabulary, padding not included.
    pub vocab_items: u64,
    /// Different items of the log that the given vocabulary lacks.
    pub unknown_items: u64,
    /// Behaviours with such an item.
    pub unknown_behaviours: u64,
    /// Requests that are made: users, at most the limit.
    pub requests: u64,
    /// Requests whose history had to be cut.
    pub cut_histories: u64,
    /// Requests without a history: the only behaviour was held out.
    pub empty_histories: u64,
}

/// The requests of a log, in the order of the users' ids (as numbers when all are integers).
pub struct LogRequests {
    vocab: Vocab,
    report: LogReport,
    /// External id and interned number, in order.
    users: Vec<(Box<str>, u32)>,
    grouped: Grouped,
    /// Dense ids of interned items.
    dense: Vec<i64>,
    shown: Vec<Option<Shown>>,
    popularity: Option<Popularity>,
    n_candidates: usize,
    window: Window,
    hold_out_last: bool,
    next: usize,
}

impl LogRequests {
    pub(super) fn new(
        mut log: Collected,
        vocab: Vocab,
        window: Window,
        options: &LogOptions,
    ) -> Self {
        let counts = log.counts();
        let grouped = log.group();
        let Collected { rows, rows_without_action, users, items, shown, .. } = log;
        let mut users: Vec<(Box<str>, u32)> = users.into_pairs().collect();
        sort_ids(&mut users, |(name, _)| name);
        let mut dense = vec![UNKNOWN; items.len()];
        for (name, number) in items.into_pairs() {
            dense[number as usize] = vocab.id(&name).unwrap_or(UNKNOWN);
        }
        let unknown = || dense.iter().zip(&counts).filter(|(id, _)| **id == UNKNOWN);
        let report = LogReport {
            rows,
            rows_without_action,
            users: users.len() as u64,
            items: dense.len() as u64,
            vocab_items: vocab.len() as u64,
            unknown_items: unknown().count() as u64,
            unknown_behaviours: unknown().map(|(_, count)| count).sum(),
            ..LogReport::default()
        };
        users.truncate(options.limit.unwrap_or(usize::MAX));
        let draws = options.columns.candidates.is_none() && options.n_candidates > 0;
        let popularity =
            draws.then(|| Popularity::new(&by_id(&vocab, &dense, &counts), options.seed));
        let mut made = Self {
            vocab,
            report,
            users,
            grouped,
            dense,
            shown,
            popularity,
            n_candidates: options.n_candidates,
            window,
            hold_out_last: options.hold_out_last,
            next: 0,
        };
        made.count_histories();
        made
    }

    /// The vocabulary that was given or built.
    #[must_use]
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// What was counted; complete before the first request.
    #[must_use]
    pub fn report(&self) -> &LogReport {
        &self.report
    }

    fn count_histories(&mut self) {
        let lengths = self
            .users
            .iter()
            .map(|(_, user)| self.grouped.range(*user).len() - usize::from(self.hold_out_last));
        let (mut cut, mut empty) = (0, 0);
        for length in lengths {
            cut += u64::from(self.window.start(length) > 0);
            empty += u64::from(length == 0);
        }
        self.report.requests = self.users.len() as u64;
        self.report.cut_histories = cut;
        self.report.empty_histories = empty;
    }

    /// Where the behaviours of a user lie, oldest first; users in the order of their requests.
    pub(super) fn rows(&self, user: usize) -> Option<Range<usize>> {
        Some(self.grouped.range(self.users.get(user)?.1))
    }

    /// What a user would ask at `request_time`, after the first `known` behaviours.
    pub(super) fn request(&self, user: usize, known: usize, request_time: i64) -> Option<Request> {
        let (name, number) = self.users.get(user)?;
        let rows = self.rows(user)?;
        let history = rows.start + self.window.start(known)..rows.start + known;
        let behaviours = || history.clone().map(|row| self.behaviour(row));
        Some(Request {
            user: name.to_string(),
            items: behaviours().map(|b| b.item).collect(),
            actions: behaviours().map(|b| b.action).collect(),
            timestamps: behaviours().map(|b| b.timestamp).collect(),
            request_time,
            candidates: self.candidates(name, *number),
        })
    }

    pub(super) fn behaviour(&self, row: usize) -> Behaviour {
        Behaviour {
            item: self.dense[self.grouped.item[row] as usize],
            action: self.grouped.action[row].into(),
            timestamp: self.grouped.time[row],
        }
    }

    fn candidates(&self, name: &str, user: u32) -> Vec<i64> {
        if let Some(popularity) = &self.popularity {
            return popularity.draw(self.n_candidates, name);
        }
        let shown = self.shown.get(user as usize).and_then(Option::as_ref);
        let items = shown.map_or(&[][..], |shown| &shown.items);
        items.iter().map(|&item| self.dense[item as usize]).collect()
    }
}

impl Iterator for LogRequests {
    type Item = LogRequest;

    fn next(&mut self) -> Option<LogRequest> {
        let rows = self.rows(self.next)?;
        let end = rows.end - usize::from(self.hold_out_last);
        let last = (end > rows.start).then(|| self.behaviour(end - 1));
        let request = self.request(self.next, end - rows.start, last.map_or(0, |b| b.timestamp))?;
        let held_out = self.hold_out_last.then(|| self.behaviour(end));
        self.next += 1;
        Some(LogRequest { request, held_out })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.users.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for LogRequests {}

/// How often each dense id occurs in a behaviour.
fn by_id(vocab: &Vocab, dense: &[i64], counts: &[u64]) -> Vec<u64> {
    let mut by_id = vec![0; vocab.len() + 1];
    for (id, count) in dense.iter().zip(counts) {
        if let Ok(id) = usize::try_from(*id) {
            by_id[id] += count;
        }
    }
    by_id
}
