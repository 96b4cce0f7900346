//! Time, real or not.

use std::{
    thread,
    time::{Duration, Instant},
};

/// What measures time and waits.
pub trait Clock: Sync {
    /// Time since the clock was made.
    fn now(&self) -> Duration;

    /// Waits until this time; returns at once if it has passed.
    fn sleep_until(&self, at: Duration);

    /// So many threads begin that will wait on this clock; each [leaves](Clock::leave) at its end. Time that is not real can pass only
    /// while all of them wait.
    fn enter(&self, threads: usize) {
        let _ = threads;
    }

    /// One of the threads ends.
    fn leave(&self) {}
}

/// The system's clock, which never runs backwards.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, at: Duration) {
        if let Some(left) = at.checked_sub(self.now()) {
            thread::sleep(left);
        }
    }
}
