//! Requests held against the sizes of a model: what is refused, what is mended, what is counted.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::error::{Place, RequestError};
use crate::files::RequestReader;
use crate::request::Request;

/// Times above this (the year 5138, in seconds) are more likely milliseconds.
const LATEST_SECONDS: i64 = 100_000_000_000;

/// The sizes of the model that requests must fit, as `model.toml` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `V`: items, the padding id 0 included.
    pub n_items: usize,
    /// `A`: actions, the padding id 0 included.
    pub n_actions: usize,
    /// `M`: behaviours in the longest history.
    pub max_seq_len: usize,
}

impl Limits {
    fn is_item(&self, id: i64) -> bool {
        usize::try_from(id).is_ok_and(|id| id < self.n_items)
    }

    fn is_action(&self, id: i64) -> bool {
        usize::try_from(id).is_ok_and(|id| id < self.n_actions)
    }
}

/// What to do with histories that do not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Refuse a history that is too long, where it would be cut and counted.
    pub strict: bool,
    /// Sort a history whose times run backwards (equal times keep their order), where it would be
    /// refused.
    pub sort: bool,
}

/// What a check counted. Nothing here stopped a request.
///
/// Behaviours are counted after the cut: what the model will see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Requests that passed.
    pub requests: u64,
    /// Behaviours in their histories.
    pub behaviours: u64,
    /// Candidates, repeated and padding ones included.
    pub candidates: u64,
    /// Requests without a behaviour: valid.
    pub empty_histories: u64,
    /// Requests without a candidate: valid where nothing is ranked.
    pub without_candidates: u64,
    /// Histories cut to the most recent `max_seq_len` behaviours.
    pub cut_histories: u64,
    /// Behaviours lost by that.
    pub cut_behaviours: u64,
    /// Histories that had to be sorted by time.
    pub sorted_histories: u64,
    /// Behaviours with an item outside `1..V`: graphs read row 0 for them.
    pub unknown_history_items: u64,
    /// Candidates outside `0..V`: graphs read row 0 for them.
    pub unknown_candidates: u64,
    /// Candidates that are the padding id 0: their scores mean nothing.
    pub padding_candidates: u64,
    /// Candidates, other than padding, that the same request already had.
    pub repeated_candidates: u64,
    /// Behaviours with an action outside `0..A`.
    pub unknown_actions: u64,
    /// Requests made before their last behaviour: clocks differ.
    pub made_before_last_behaviour: u64,
    /// Requests with a time past the year 5138: perhaps milliseconds, where seconds are meant.
    pub times_beyond_seconds: u64,
    /// Names in the file (64 at most) that are no field of a request, in alphabetical order.
    pub ignored_fields: BTreeSet<String>,
}

/// Checks requests one after another and keeps the [`Report`].
#[derive(Debug, Clone)]
pub struct Checker {
    limits: Limits,
    options: CheckOptions,
    report: Report,
    scratch: Vec<i64>,
}

impl Checker {
    /// A checker that has seen nothing yet.
    #[must_use]
    pub fn new(limits: Limits, options: CheckOptions) -> Self {
        Self { limits, options, report: Report::default(), scratch: Vec::new() }
    }

    /// What has been counted so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Passes a request on: sorted and cut where the options allow it, and counted. A request that is
    /// refused is not counted. `place` is where it came from, for the message.
    ///
    /// # Errors
    /// [`RequestError::Lengths`] when items, actions and timestamps differ in number;
    /// [`RequestError::Backwards`] when times decrease, unless `sort`;
    /// [`RequestError::TooLong`] under `strict`.
    pub fn check(&mut self, mut request: Request, place: &Place) -> Result<Request, RequestError> {
        lengths(&request, place)?;
        let sorted = self.order(&mut request, place)?;
        let cut = self.cut(&mut request, place)?;
        self.report.sorted_histories += u64::from(sorted);
        self.report.cut_histories += u64::from(cut > 0);
        self.report.cut_behaviours += cut as u64;
        self.count_history(&request);
        self.count_candidates(&request);
        Ok(request)
    }

    /// Sorts by time where that is needed and allowed; true when it was.
    fn order(&self, request: &mut Request, place: &Place) -> Result<bool, RequestError> {
        let times = &request.timestamps;
        let Some(i) = times.windows(2).position(|pair| pair[1] < pair[0]) else {
            return Ok(false);
        };
        if !self.options.sort {
            return Err(RequestError::Backwards {
                place: place.clone(),
                user: request.user.clone(),
                position: i + 1,
                before: times[i],
                after: times[i + 1],
            });
        }
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|&i| times[i]);
        for list in [&mut request.items, &mut request.actions, &mut request.timestamps] {
            *list = order.iter().map(|&i| list[i]).collect();
        }
        Ok(true)
    }

    /// Drops the oldest behaviours of a long history and says how many.
    fn cut(&self, request: &mut Request, place: &Place) -> Result<usize, RequestError> {
        let (length, limit) = (request.items.len(), self.limits.max_seq_len);
        let extra = length.saturating_sub(limit);
        if extra > 0 && self.options.strict {
            let user = request.user.clone();
            return Err(RequestError::TooLong { place: place.clone(), user, length, limit });
        }
        for list in [&mut request.items, &mut request.actions, &mut request.timestamps] {
            list.drain(..extra);
        }
        Ok(extra)
    }

    fn count_history(&mut self, request: &Request) {
        let (limits, report) = (self.limits, &mut self.report);
        let items = request.items.iter().filter(|&&id| id == 0 || !limits.is_item(id));
        let actions = request.actions.iter().filter(|&&id| !limits.is_action(id));
        let last = request.timestamps.last();
        let latest = last.map_or(request.request_time, |&t| t.max(request.request_time));
        report.requests += 1;
        report.behaviours += request.items.len() as u64;
        report.empty_histories += u64::from(request.items.is_empty());
        report.unknown_history_items += items.count() as u64;
        report.unknown_actions += actions.count() as u64;
        report.made_before_last_behaviour +=
            u64::from(last.is_some_and(|&t| request.request_time < t));
        report.times_beyond_seconds += u64::from(latest > LATEST_SECONDS);
    }

    fn count_candidates(&mut self, request: &Request) {
        let (limits, report) = (self.limits, &mut self.report);
        let unknown = request.candidates.iter().filter(|&&id| !limits.is_item(id)).count();
        self.scratch.clear();
        self.scratch.extend(request.candidates.iter().filter(|&&id| id != 0));
        let real = self.scratch.len();
        self.scratch.sort_unstable();
        self.scratch.dedup();
        report.candidates += request.candidates.len() as u64;
        report.without_candidates += u64::from(request.candidates.is_empty());
        report.unknown_candidates += unknown as u64;
        report.padding_candidates += (request.candidates.len() - real) as u64;
        report.repeated_candidates += (real - self.scratch.len()) as u64;
    }
}

fn lengths(request: &Request, place: &Place) -> Result<(), RequestError> {
    let [items, actions, timestamps] =
        [&request.items, &request.actions, &request.timestamps].map(Vec::len);
    if items == actions && items == timestamps {
        return Ok(());
    }
    let (place, user) = (place.clone(), request.user.clone());
    Err(RequestError::Lengths { place, user, items, actions, timestamps })
}

/// The checked requests of a file, one at a time. The first error ends the iteration.
pub struct CheckedRequests {
    reader: RequestReader,
    checker: Checker,
    failed: bool,
}

impl CheckedRequests {
    /// Opens a `.jsonl` or `.parquet` file.
    ///
    /// # Errors
    /// Those of [`RequestReader::open`].
    pub fn open(path: &Path, limits: Limits, options: CheckOptions) -> Result<Self, RequestError> {
        let reader = RequestReader::open(path)?;
        Ok(Self { reader, checker: Checker::new(limits, options), failed: false })
    }

    /// Where the request that came last stands in the file.
    #[must_use]
    pub fn place(&self) -> Place {
        self.reader.place()
    }

    /// What has been counted so far; all of it after the last request.
    #[must_use]
    pub fn report(&self) -> Report {
        let ignored_fields = self.reader.ignored_fields().clone();
        Report { ignored_fields, ..self.checker.report().clone() }
    }
}

impl Iterator for CheckedRequests {
    type Item = Result<Request, RequestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let request = self.reader.next()?;
        let checked = request.and_then(|r| self.checker.check(r, &self.reader.place()));
        self.failed = checked.is_err();
        Some(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { n_items: 10, n_actions: 3, max_seq_len: 4 };
    const PLACE: Place = Place::Request { number: 7 };

    fn request(items: &[i64], timestamps: &[i64]) -> Request {
        Request {
            user: "ann".into(),
            items: items.to_vec(),
            actions: items.iter().map(|i| i % 3).collect(),
            timestamps: timestamps.to_vec(),
            request_time: 100,
            candidates: vec![],
        }
    }

    fn check(request: Request, strict: bool, sort: bool) -> (Result<Request, String>, Report) {
        let mut checker = Checker::new(LIMITS, CheckOptions { strict, sort });
        let result = checker.check(request, &PLACE).map_err(|e| e.to_string());
        (result, checker.report().clone())
    }

    #[test]
    fn a_good_request_passes_unchanged() {
        let good = request(&[1, 9], &[5, 5]);
        let (result, report) = check(good.clone(), true, false);
        assert_eq!(result.unwrap(), good);
        let expected =
            Report { requests: 1, behaviours: 2, without_candidates: 1, ..Report::default() };
        assert_eq!(report, expected);
    }

    #[test]
    fn an_empty_history_is_valid() {
        let (result, report) = check(request(&[], &[]), true, false);
        assert!(result.is_ok());
        assert_eq!(report.empty_histories, 1);
    }

    #[test]
    fn refused_because_lengths_differ() {
        let mut bad = request(&[1, 2], &[5, 6]);
        bad.actions.pop();
        let (result, report) = check(bad, false, true);
        assert_eq!(
            result.unwrap_err(),
            "request 7: user `ann` has 2 items, 1 actions and 2 timestamps"
        );
        assert_eq!(report, Report::default());
    }

    #[test]
    fn a_long_history_keeps_its_latest_behaviours() {
        let (result, report) =
            check(request(&[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5, 6]), false, false);
        let cut = result.unwrap();
        assert_eq!((cut.items, cut.timestamps), (vec![3, 4, 5, 6], vec![3, 4, 5, 6]));
        assert_eq!((report.cut_histories, report.cut_behaviours, report.behaviours), (1, 2, 4));
    }

    #[test]
    fn refused_because_too_long_under_strict() {
        let (result, _) = check(request(&[1; 5], &[1; 5]), true, false);
        assert_eq!(
            result.unwrap_err(),
            "request 7: user `ann` has 5 behaviours, the model takes 4"
        );
    }

    #[test]
    fn refused_because_time_runs_backwards() {
        let (result, _) = check(request(&[1, 2, 3], &[5, 9, 8]), false, false);
        let needle = "run backwards at behaviour 2: 9, then 8";
        assert!(result.unwrap_err().ends_with(needle));
    }

    #[test]
    fn sort_is_stable_and_before_the_cut() {
        let (result, report) = check(request(&[1, 2, 3, 4, 5], &[9, 5, 9, 5, 1]), false, true);
        let sorted = result.unwrap();
        assert_eq!(sorted.items, [2, 4, 1, 3]);
        assert_eq!(sorted.actions, [2, 1, 1, 0]);
        assert_eq!(sorted.timestamps, [5, 5, 9, 9]);
        assert_eq!((report.sorted_histories, report.cut_behaviours), (1, 1));
    }

    #[test]
    fn unknown_ids_are_counted_apart() {
        let mut odd = request(&[0, 10, -1, 9], &[1, 2, 3, 200_000_000_000]);
        odd.actions = vec![0, 3, -1, 2];
        odd.candidates = vec![0, 0, 10, 10, -5, 9];
        let (result, report) = check(odd.clone(), true, false);
        assert_eq!(result.unwrap(), odd, "counted, not mended");
        assert_eq!(report.unknown_history_items, 3);
        assert_eq!(report.unknown_actions, 2);
        assert_eq!((report.candidates, report.unknown_candidates), (6, 3));
        assert_eq!((report.padding_candidates, report.repeated_candidates), (2, 1));
        assert_eq!((report.made_before_last_behaviour, report.times_beyond_seconds), (1, 1));
    }

    #[test]
    fn a_file_is_checked_with_its_places() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let line = |times: &str| {
            format!(
                r#"{{"user":1,"items":[1,2],"actions":[1,1],"timestamps":{times},"request_time":0,"x":0}}"#
            )
        };
        std::fs::write(&path, format!("{}\n\n{}\n", line("[1,2]"), line("[2,1]"))).unwrap();
        let mut checked = CheckedRequests::open(&path, LIMITS, CheckOptions::default()).unwrap();
        assert!(checked.next().unwrap().is_ok());
        let error = checked.next().unwrap().unwrap_err();
        assert!(error.to_string().contains("r.jsonl line 3: times of user `1` run backwards"));
        assert_eq!(error.hint().unwrap(), "--sort orders each history by time");
        assert!(checked.next().is_none());
        assert_eq!(checked.report().ignored_fields.iter().collect::<Vec<_>>(), ["x"]);
        let json = serde_json::to_value(checked.report()).unwrap();
        assert_eq!(json["requests"], 1);
    }
}
