//! Exit codes, and which error means which.

#[cfg(feature = "training")]
mod training;
#[cfg(not(feature = "training"))]
mod training {
    pub(super) fn opinion(
        _: &(dyn std::error::Error + 'static),
    ) -> Option<(super::Exit, Option<String>)> {
        None
    }
}

mod precision;

use std::{io::ErrorKind, process::ExitCode};

use onr_exporter::ExportError;
use onr_graphs::ProfileError;
use onr_requests::RequestError;
use onr_runtime::{
    backend::RunError, builder::EngineError, items::ItemsError, libraries::LibraryError,
    manifest::ManifestError, parity::ParityError, profiles::ProfilesError, serving::ServeError,
};
use onr_triton::{PackageError, preflight::PreflightError};

/// How `onr` ends. `onr --help` documents the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Fine = 0,
    /// The model or its data is wrong.
    Wrong = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A backend, builder, library or server is missing.
    Missing = 3,
    /// The candidate is out of tolerance, or a check of a deployment fails.
    Tolerance = 4,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Something that `onr` itself refuses, rather than a library below it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Refusal {
    exit: Exit,
    what: String,
    hint: Option<String>,
}

impl Refusal {
    /// A command line that makes no sense.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), hint: None }
    }

    /// A model or data that cannot be used.
    pub(crate) fn wrong(what: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, what: what.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The exit code and the advice of an error, from the first cause that has an opinion.
pub(crate) fn judge(error: &anyhow::Error) -> (Exit, Option<String>) {
    let (exit, hint) = error.chain().find_map(opinion).unwrap_or((Exit::Wrong, None));
    (exit, hint.or_else(|| error.chain().find_map(no_room)))
}

/// A full disk can be met anywhere.
fn no_room(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let text = match cause.downcast_ref::<std::io::Error>()?.kind() {
        ErrorKind::StorageFull => "free some space; temporary files go where TMPDIR says",
        ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded => {
            "raise the limit (`ulimit -f`, quota)"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn opinion(cause: &(dyn std::error::Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(e) = cause.downcast_ref::<Refusal>() {
        return Some((e.exit, e.hint.clone()));
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
        return Some((of_parity(e), e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<ProfilesError>() {
        return Some((Exit::Wrong, Some(e.hint())));
    }
    if let Some(e) = cause.downcast_ref::<ManifestError>() {
        return Some((Exit::Wrong, e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<ExportError>() {
        return Some((of_export(e), e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<ItemsError>() {
        return Some((of_items(e), e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<RequestError>() {
        return Some((of_request(e), e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<PackageError>() {
        return Some((of_package(e), e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<PreflightError>() {
        return Some((of_preflight(e), e.hint()));
    }
    if let Some(e) = cause.downcast_ref::<ServeError>() {
        return Some((of_serve(e), e.hint().map(str::to_owned)));
    }
    if let Some(e) = cause.downcast_ref::<onr_load::LoadError>() {
        return Some((of_load(e), e.hint().map(str::to_owned)));
    }
    precision::opinion(cause).or_else(|| training::opinion(cause))
}

fn of_parity(e: &ParityError) -> Exit {
    match e {
        ParityError::Run(run) => of_run(run),
        ParityError::Export(export) => of_export(export),
        ParityError::Interrupted => Exit::Interrupted,
        _ => Exit::Wrong,
    }
}

fn of_export(e: &ExportError) -> Exit {
    match e {
        ExportError::Interrupted => Exit::Interrupted,
        ExportError::Retrieval { .. } => Exit::Usage,
        _ => Exit::Wrong,
    }
}

fn of_items(e: &ItemsError) -> Exit {
    match e {
        ItemsError::File(file) => of_export(file),
        _ => Exit::Wrong,
    }
}

/// What was typed is wrong in some of them, what lies in files in the others.
fn of_request(e: &RequestError) -> Exit {
    match e {
        RequestError::ActionRule { .. }
        | RequestError::RuleAction { .. }
        | RequestError::OptionValue { .. }
        | RequestError::Extension { .. } => Exit::Usage,
        _ => Exit::Wrong,
    }
}

fn of_engine(e: &EngineError) -> Exit {
    match e {
        EngineError::Missing { .. } => Exit::Missing,
        EngineError::Target { .. } | EngineError::Profile { .. } => Exit::Usage,
        EngineError::Interrupted { .. } => Exit::Interrupted,
        _ => Exit::Wrong,
    }
}

fn of_package(e: &PackageError) -> Exit {
    match e {
        PackageError::File(file) => of_export(file),
        PackageError::Name { .. } | PackageError::Options { .. } => Exit::Usage,
        _ => Exit::Wrong,
    }
}

fn of_preflight(e: &PreflightError) -> Exit {
    match e {
        PreflightError::Server(_) => Exit::Missing,
        _ => Exit::Wrong,
    }
}

fn of_serve(e: &ServeError) -> Exit {
    match e {
        ServeError::Run(run) => of_run(run),
        ServeError::Graph { .. } | ServeError::Vectors => Exit::Usage,
        _ => Exit::Wrong,
    }
}

fn of_load(e: &onr_load::LoadError) -> Exit {
    use onr_load::LoadError;
    match e {
        LoadError::NoWorker | LoadError::Rate { .. } | LoadError::Empty => Exit::Usage,
        _ => Exit::Wrong,
    }
}

fn of_run(e: &RunError) -> Exit {
    match e {
        RunError::Missing { .. } => Exit::Missing,
        RunError::Interrupted { .. } => Exit::Interrupted,
        _ => Exit::Wrong,
    }
}
