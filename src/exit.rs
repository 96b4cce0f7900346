//! Exit codes, and which error means which.

use std::process::ExitCode;

use onr_exporter::ExportError;
use onr_graphs::ProfileError;
use onr_requests::RequestError;
use onr_runtime::{
    backend::RunError, builder::EngineError, libraries::LibraryError, manifest::ManifestError,
    parity::ParityError,
};

/// How `onr` ends. `onr --help` documents the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Fine = 0,
    /// The model or its data is wrong.
    Wrong = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A backend, builder or library is missing.
    Missing = 3,
    /// The candidate is out of tolerance.
    Tolerance = 4,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command line that makes no sense, found after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Usage {
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Usage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The exit code and the advice of an error, from the first cause that has an opinion.
pub(crate) fn judge(error: &anyhow::Error) -> (Exit, Option<String>) {
    error.chain().find_map(opinion).unwrap_or((Exit::Wrong, None))
}

fn opinion(cause: &(dyn std::error::Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(e) = cause.downcast_ref::<Usage>() {
        return Some((Exit::Usage, e.hint.clone()));
    }
    if let Some(e) = cause.downcast_ref::<ProfileError>() {
        return Some((Exit::Usage, Some(e.hint())));
    }
    if let Some(e) = cause.downcast_ref::<LibraryError>() {
        return Some((Exit::Missing, Some(e.hint())));
    }
    if let Some(e) = cause.downcast_ref::<EngineError>() {
        return Some((of_engine(e), e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<RunError>() {
        return Some((of_run(e), e.hint().map(str::to_owned)));
    }
    if let Some(e) = cause.downcast_ref::<ParityError>() {
        let exit = match e {
            ParityError::Run(run) => of_run(run),
            ParityError::Export(ExportError::Interrupted) | ParityError::Interrupted => {
                Exit::Interrupted
            }
            _ => Exit::Wrong,
        };
        return Some((exit, e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<ManifestError>() {
        return Some((Exit::Wrong, e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<ExportError>() {
        let interrupted = matches!(e, ExportError::Interrupted);
        return Some((if interrupted { Exit::Interrupted } else { Exit::Wrong }, e.hint()));
    }
    let request = cause.downcast_ref::<RequestError>()?;
    Some((Exit::Wrong, request.hint()))
}

fn of_engine(e: &EngineError) -> Exit {
    match e {
        EngineError::Missing { .. } => Exit::Missing,
        EngineError::Target { .. } | EngineError::Profile { .. } => Exit::Usage,
        EngineError::Interrupted { .. } => Exit::Interrupted,
        _ => Exit::Wrong,
    }
}

fn of_run(e: &RunError) -> Exit {
    match e {
        RunError::Missing { .. } => Exit::Missing,
        _ => Exit::Wrong,
    }
}
