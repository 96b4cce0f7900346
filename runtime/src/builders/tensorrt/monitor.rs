//! TensorRT's build progress, made flat.

use std::{
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError},
};

use trtx::interfaces::MonitorProgress;

use super::supervise::{Event, Link};

/// The outermost phase, and how many of its steps are not reported yet.
#[derive(Debug)]
struct Phase {
    name: String,
    left: u64,
}

/// Passes the outermost phases on as stages. Called by TensorRT, on any thread, and must not panic.
///
/// `trtx` gives a phase's own name as that of its parent; only whether there is one can be trusted.
pub(super) struct Monitor {
    link: Link,
    outermost: Mutex<Option<Phase>>,
}

impl Monitor {
    pub(super) fn new(link: Link) -> Self {
        Self { link, outermost: Mutex::new(None) }
    }

    fn outermost(&self) -> MutexGuard<'_, Option<Phase>> {
        self.outermost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MonitorProgress for Monitor {
    fn phase_start(&self, phase: &str, parent: Option<&str>, steps: i32) {
        if parent.is_none() {
            let steps = u64::try_from(steps).unwrap_or(0);
            *self.outermost() = Some(Phase { name: phase.to_owned(), left: steps });
            self.link.tell(Event::Stage(phase.to_owned(), steps));
        }
    }

    fn step_complete(&self, phase: &str, _step: i32) -> ControlFlow<()> {
        if let Some(outermost) = self.outermost().as_mut().filter(|o| o.name == phase) {
            outermost.left = outermost.left.saturating_sub(1);
            self.link.tell(Event::Steps(1));
        }
        match self.link.cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// TensorRT leaves out steps that it does not need; a bar should reach its end all the same.
    fn phase_finish(&self, phase: &str) {
        let finished = self.outermost().take_if(|o| o.name == phase);
        let left = finished.map_or(0, |o| o.left);
        if left > 0 && !self.link.cancelled() {
            self.link.tell(Event::Steps(left));
        }
    }
}
