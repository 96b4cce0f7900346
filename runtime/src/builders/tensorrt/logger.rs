//! The one logger that TensorRT gets, and where its messages go.
//!
//! The library keeps the first logger that it is given for the whole process and ignores others, so
//! ours lives for ever and hands each message to the build that runs.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use trtx::{LogHandler, Logger, Severity};

use super::{
    super::log::Level,
    supervise::{Event, Link},
};

static LOGGER: OnceLock<Logger> = OnceLock::new();
static LISTENER: Mutex<Option<Link>> = Mutex::new(None);
static BUILDING: Mutex<()> = Mutex::new(());

/// While it lives, this build hears the log, and no other build runs.
pub(super) struct Session {
    _turn: MutexGuard<'static, ()>,
}

impl Session {
    /// Waits for the build that runs, if any.
    pub(super) fn begin(link: &Link) -> Self {
        let turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        *listener() = Some(link.clone());
        Self { _turn: turn }
    }

    /// The logger to give to TensorRT.
    pub(super) fn logger(&self) -> trtx::Result<&'static Logger> {
        if let Some(logger) = LOGGER.get() {
            return Ok(logger);
        }
        let fresh = Logger::new(Forward)?;
        Ok(LOGGER.get_or_init(|| fresh))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        *listener() = None;
    }
}

fn listener() -> MutexGuard<'static, Option<Link>> {
    LISTENER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by TensorRT, on any thread. It must not panic: C++ frames lie below.
struct Forward;

impl LogHandler for Forward {
    fn log(&self, severity: Severity, message: &str) {
        let level = match severity {
            Severity::InternalError | Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
            Severity::Info => Level::Info,
            Severity::Verbose => Level::Verbose,
        };
        if let Some(link) = listener().as_ref() {
            link.tell(Event::Log(level, message.trim_end().to_owned()));
        }
    }
}
