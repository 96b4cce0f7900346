//! Time that passes only while everybody waits: tests of hours in milliseconds, the same on a busy machine.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::Clock;

/// A clock whose threads decide how fast it runs. When all that [entered](Clock::enter) wait, it jumps to the first of the times they wait
/// for. What they do in between takes no time.
#[derive(Debug, Default)]
pub struct VirtualClock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    threads: usize,
    /// Times that threads wait for.
    waiting: Vec<Duration>,
}

impl State {
    /// Lets time pass if nobody has anything else to do. Whoever's time has come counts as awake from here on.
    fn advance(&mut self) -> bool {
        if self.waiting.len() < self.threads {
            return false;
        }
        let Some(&next) = self.waiting.iter().min() else { return false };
        self.now = self.now.max(next);
        let now = self.now;
        self.waiting.retain(|at| *at > now);
        true
    }
}

impl VirtualClock {
    /// A clock at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advanced(&self, state: &mut State) {
        if state.advance() {
            self.changed.notify_all();
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        self.state().now
    }

    fn sleep_until(&self, at: Duration) {
        let mut state = self.state();
        if at <= state.now {
            return;
        }
        state.waiting.push(at);
        self.advanced(&mut state);
        while state.now < at {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn enter(&self, threads: usize) {
        self.state().threads += threads;
    }

    fn leave(&self) {
        let mut state = self.state();
        state.threads = state.threads.saturating_sub(1);
        self.advanced(&mut state);
    }
}
