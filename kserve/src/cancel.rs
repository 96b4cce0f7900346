//! A switch that stops a request from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Stops requests that carry it. Copies are the same switch.
///
/// Once thrown it stays so: later requests with it fail at once. The connection of a stopped HTTP request is
/// closed, the stream of a stopped gRPC request is reset; a model that already runs may still finish.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    thrown: AtomicBool,
    changed: Notify,
}

impl Cancel {
    /// A switch that is not thrown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops every request that carries this switch, now and later.
    pub fn cancel(&self) {
        self.0.thrown.store(true, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Has it been thrown?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.thrown.load(Ordering::SeqCst)
    }

    /// Returns when it is thrown.
    pub(crate) async fn thrown(&self) {
        // Made before the flag is read, so that a throw between the two is not missed.
        let changed = self.0.changed.notified();
        if !self.is_cancelled() {
            changed.await;
        }
    }
}
