//! Loads that cannot be driven.

/// Why nothing was measured. Messages are facts; [`LoadError::hint`] has the advice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Nobody would make a call.
    #[error("a load needs at least one worker")]
    NoWorker,
    /// A rate that no schedule can keep.
    #[error("{rate} calls a second is no rate")]
    Rate {
        /// Calls a second.
        rate: f64,
    },
    /// Nothing would be measured.
    #[error("the load ends before its first call")]
    Empty,
    /// The system gives no thread.
    #[error("cannot start worker {worker} of {workers}")]
    Thread {
        /// Which one, from 1.
        worker: usize,
        /// How many there should be.
        workers: usize,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A histogram cannot be made.
    #[error("cannot count latencies")]
    Histogram(#[source] hdrhistogram::CreationError),
}

impl LoadError {
    /// What the reader could do next.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoWorker => Some("ask for one or more"),
            Self::Rate { .. } => Some("a rate is above 0 and at most 1000000 calls a second"),
            Self::Empty => Some("measure for longer than 0 s, or for one call or more"),
            Self::Thread { .. } => Some("ask for fewer workers, or raise `ulimit -u`"),
            Self::Histogram(_) => None,
        }
    }
}
