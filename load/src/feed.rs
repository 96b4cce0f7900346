//! Which call is next, and when it is due.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{Load, Shape, Until, arrivals::Arrivals};

/// One call to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Calls that were handed out before it, those of the warm-up included.
    pub index: u64,
    /// Who makes it: 0 and up.
    pub worker: usize,
    /// Will it be left out of the measurement?
    pub warm_up: bool,
}

/// A call and its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) call: Call,
    pub(crate) at: Duration,
}

/// Hands calls to workers, in the order of their times.
pub(crate) struct Feed {
    start: Duration,
    /// Where the warm-up ends.
    pub(crate) measured_from: Duration,
    /// From when on nothing is sent.
    pub(crate) end: Option<Duration>,
    most: Option<u64>,
    state: Mutex<State>,
}

struct State {
    index: u64,
    counted: u64,
    /// The schedule and its next time; none in a closed loop.
    arrivals: Option<(Arrivals, Duration)>,
}

impl Feed {
    pub(crate) fn new(load: &Load, start: Duration) -> Self {
        let arrivals = match load.shape {
            Shape::Closed { .. } => None,
            Shape::Open { rate, spacing, .. } => {
                let mut arrivals = Arrivals::new(rate, spacing);
                let first = arrivals.next();
                Some((arrivals, first))
            }
        };
        let measured_from = start.saturating_add(load.warm_up);
        let (end, most) = match load.until {
            Until::Elapsed(length) => (Some(measured_from.saturating_add(length)), None),
            Until::Calls(most) => (None, Some(most)),
        };
        let state = Mutex::new(State { index: 0, counted: 0, arrivals });
        Self { start, measured_from, end, most, state }
    }

    /// The next call; `None` when there are no more.
    pub(crate) fn next(&self, worker: usize, now: Duration) -> Option<Due> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match &state.arrivals {
            Some((_, next)) => self.start.saturating_add(*next),
            None => now,
        };
        let warm_up = at < self.measured_from;
        let full = !warm_up && self.most.is_some_and(|most| state.counted == most);
        if full || self.end.is_some_and(|end| at >= end) {
            return None;
        }
        let call = Call { index: state.index, worker, warm_up };
        state.index += 1;
        state.counted += u64::from(!warm_up);
        if let Some((arrivals, next)) = &mut state.arrivals {
            *next = arrivals.next();
        }
        Some(Due { call, at })
    }
}
