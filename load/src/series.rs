//! What happened second by second.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

use crate::{
    LoadError, Second,
    measured::milliseconds,
    tally::{histogram, nanoseconds},
};

/// Seconds whose latencies are still kept; those before are only figures, so that memory does not grow with latencies.
const OPEN: usize = 4;

/// Counts by the second in which calls ended.
#[derive(Default)]
pub(crate) struct Series(Mutex<State>);

#[derive(Default)]
struct State {
    closed: BTreeMap<u64, Second>,
    open: BTreeMap<u64, Open>,
}

struct Open {
    second: Second,
    latency: Histogram<u32>,
}

impl Open {
    fn close(mut self) -> Second {
        self.second.p99_ms = milliseconds(self.latency.value_at_quantile(0.99));
        self.second.max_ms = milliseconds(self.latency.max());
        self.second
    }
}

impl Series {
    /// A call ended, so long after the warm-up; without a latency it failed.
    pub(crate) fn note(&self, at: Duration, latency: Option<Duration>) -> Result<(), LoadError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What ends with a second belongs to it.
        let index = at.saturating_sub(Duration::from_nanos(1)).as_secs();
        let failed = u64::from(latency.is_none());
        // Another worker was faster by seconds to say that it had ended.
        if let Some(second) = state.closed.get_mut(&index) {
            second.failed += failed;
            second.requests += 1 - failed;
            return Ok(());
        }
        let open = match state.open.entry(index) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let second = Second { second: index, ..Second::default() };
                place.insert(Open { second, latency: histogram(2)? })
            }
        };
        open.second.failed += failed;
        open.second.requests += 1 - failed;
        if let Some(latency) = latency {
            open.latency.saturating_record(nanoseconds(latency));
        }
        if state.open.len() > OPEN
            && let Some((index, open)) = state.open.pop_first()
        {
            state.closed.insert(index, open.close());
        }
        Ok(())
    }

    /// Every second, those in which nothing ended too.
    pub(crate) fn finish(self, elapsed: Duration) -> Vec<Second> {
        let State { mut closed, open } =
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        closed.extend(open.into_iter().map(|(index, open)| (index, open.close())));
        let whole = elapsed.as_secs() + u64::from(elapsed.subsec_nanos() > 0);
        let last = closed.last_key_value().map_or(0, |(index, _)| index + 1);
        let empty = |second| Second { second, ..Second::default() };
        (0..whole.max(last)).map(|i| closed.remove(&i).unwrap_or_else(|| empty(i))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_without_an_answer_are_there() {
        let series = Series::default();
        let at = |s: u64, ms: u64, latency: u64| {
            let latency = (latency > 0).then(|| Duration::from_millis(latency));
            series.note(Duration::from_millis(s * 1000 + ms), latency).unwrap();
        };
        (0..10).for_each(|i| at(0, i, 5));
        at(2, 1, 2000);
        (3..8).for_each(|s| at(s, 1, 1));
        // Late for a second that is closed.
        at(0, 999, 0);
        let seconds = series.finish(Duration::from_millis(8200));
        let counts: Vec<_> = seconds.iter().map(|s| (s.requests, s.failed)).collect();
        assert_eq!(
            counts,
            [(10, 1), (0, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (0, 0)]
        );
        assert!((seconds[0].p99_ms - 5.0).abs() < 0.1, "{:?}", seconds[0]);
        assert!((seconds[2].max_ms - 2000.0).abs() < 20.0, "{:?}", seconds[2]);
        assert_eq!(seconds[8].second, 8);
    }
}
