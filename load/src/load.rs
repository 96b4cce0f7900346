//! What load is.

use std::time::Duration;

use crate::LoadError;

/// The highest rate of an open loop, calls a second.
const MAX_RATE: f64 = 1e6;

/// How calls are made, and how many of them count.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Load {
    /// When calls are made.
    pub shape: Shape,
    /// Calls that are due this soon after the start are made and not measured.
    pub warm_up: Duration,
    /// When no further call is made.
    pub until: Until,
    /// How long a worker of a closed loop waits after a failure: a server that is gone refuses thousands of calls a second.
    pub pause: Duration,
}

impl Load {
    /// Without a warm-up; ten milliseconds of pause after a failure.
    pub const fn new(shape: Shape, until: Until) -> Self {
        Self { shape, warm_up: Duration::ZERO, until, pause: Duration::from_millis(10) }
    }

    /// Warms up for this long.
    pub const fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// Threads that it takes.
    pub(crate) const fn workers(&self) -> usize {
        match self.shape {
            Shape::Closed { workers } => workers,
            Shape::Open { in_flight, .. } => in_flight,
        }
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.workers() == 0 {
            return Err(LoadError::NoWorker);
        }
        if let Shape::Open { rate, .. } = self.shape
            && !(rate > 0.0 && rate <= MAX_RATE)
        {
            return Err(LoadError::Rate { rate });
        }
        match self.until {
            Until::Calls(0) | Until::Elapsed(Duration::ZERO) => Err(LoadError::Empty),
            _ => Ok(()),
        }
    }
}

/// When calls are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Each worker calls again as soon as it has its answer.
    Closed {
        /// How many call at once.
        workers: usize,
    },
    /// Calls arrive at a rate, whatever became of those before.
    Open {
        /// Calls a second, on average.
        rate: f64,
        /// How they are spread.
        spacing: Spacing,
        /// Calls at once at most. A call that is due and finds none free waits, and its wait counts.
        in_flight: usize,
    },
}

/// How arrivals are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// All gaps are equal.
    Even,
    /// Gaps as of independent users; the same seed gives the same gaps.
    Poisson {
        /// Of the gaps.
        seed: u64,
    },
}

/// When no further call is made. Those that are under way are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So long after the warm-up.
    Elapsed(Duration),
    /// So many calls after the warm-up.
    Calls(u64),
}
