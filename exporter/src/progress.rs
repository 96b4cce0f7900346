//! How libraries report that work advances, and how they are asked to stop.

use std::ops::ControlFlow;

/// Where a library reports progress: a bar on a terminal, nothing in a test. Libraries never print.
pub trait Progress: Sync {
    /// A new stage begins, with `total` steps to come (0: not known).
    fn stage(&self, name: &str, total: u64);
    /// `n` more steps are done. `Break` asks the library to stop at a safe point.
    fn advance(&self, n: u64) -> ControlFlow<()>;
}

/// Says nothing and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
