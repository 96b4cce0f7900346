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
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);
static BUILDING: Mutex<()> = Mutex::new(());

/// Who hears the log.
enum Listener {
    Build(Link),
    /// Errors alone are kept.
    Errors(Vec<String>),
}

/// Does `work`, and gives the errors that TensorRT logged meanwhile. One at a time, and none beside a build.
pub(crate) fn hearing_errors<T>(
    work: impl FnOnce(&'static Logger) -> T,
) -> trtx::Result<(T, Vec<String>)> {
    let _turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let logger = logger()?;
    *listener() = Some(Listener::Errors(Vec::new()));
    let done = work(logger);
    match listener().take() {
        Some(Listener::Errors(errors)) => Ok((done, errors)),
        _ => Ok((done, Vec::new())),
    }
}

/// The logger to give to TensorRT.
fn logger() -> trtx::Result<&'static Logger> {
    if let Some(logger) = LOGGER.get() {
        return Ok(logger);
    }
    let fresh = Logger::new(Forward)?;
    Ok(LOGGER.get_or_init(|| fresh))
}

/// While it lives, this build hears the log, and no other build runs.
pub(super) struct Session {
    _turn: MutexGuard<'static, ()>,
}

impl Session {
    /// Waits for the build that runs, if any.
    pub(super) fn begin(link: &Link) -> Self {
        let turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        *listener() = Some(Listener::Build(link.clone()));
        Self { _turn: turn }
    }

    /// The logger to give to TensorRT.
    #[expect(clippy::unused_self, reason = "whoever has it has the turn")]
    pub(super) fn logger(&self) -> trtx::Result<&'static Logger> {
        logger()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        *listener() = None;
    }
}

fn listener() -> MutexGuard<'static, Option<Listener>> {
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
        let message = message.trim_end();
        match (listener().as_mut(), level) {
            (Some(Listener::Build(link)), _) => link.tell(Event::Log(level, message.to_owned())),
            (Some(Listener::Errors(list)), Level::Error) => list.push(message.to_owned()),
            (_, Level::Error) => tracing::error!("TensorRT: {message}"),
            (_, Level::Warning) => tracing::warn!("TensorRT: {message}"),
            _ => tracing::trace!("TensorRT: {message}"),
        }
    }
}
