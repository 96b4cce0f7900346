//! Opinions on errors of calibration, precision and bisection.

use onr_calibration::{CalibrationError, trt_cache::CacheError};
use onr_onnx::OnnxError;
use onr_precision::{cast::CastError, qdq::QdqError};
use onr_runtime::{bisect::BisectError, calibrate::CalibrateError, npz::NpzError};

use super::{Exit, of_export, of_parity, of_run};

/// Exit code and hint, when the error is one of these.
pub(super) fn opinion(cause: &(dyn std::error::Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(e) = cause.downcast_ref::<CalibrationError>() {
        let exit = match e {
            CalibrationError::ShardText { .. } => Exit::Usage,
            _ => Exit::Wrong,
        };
        return Some((exit, e.hint().map(str::to_owned)));
    }
    if let Some(e) = cause.downcast_ref::<CacheError>() {
        let exit = match e {
            CacheError::VersionText { .. } | CacheError::Removed { .. } => Exit::Usage,
            _ => Exit::Wrong,
        };
        return Some((exit, e.hint().map(str::to_owned)));
    }
    if let Some(e) = cause.downcast_ref::<NpzError>() {
        return Some((Exit::Wrong, e.hint().map(str::to_owned)));
    }
    if let Some(e) = cause.downcast_ref::<CastError>() {
        return Some((Exit::Wrong, e.hint().map(str::to_owned)));
    }
    if cause.is::<OnnxError>() || cause.is::<QdqError>() {
        return Some((Exit::Wrong, None));
    }
    if let Some(e) = cause.downcast_ref::<BisectError>() {
        return Some((of_bisect(e), e.hint()));
    }
    let (exit, hint) = match cause.downcast_ref::<CalibrateError>()? {
        CalibrateError::Run(run) | CalibrateError::Sample { cause: run, .. } => {
            (of_run(run), run.hint().map(str::to_owned))
        }
        CalibrateError::Interrupted => (Exit::Interrupted, None),
        CalibrateError::Data(e) => (Exit::Wrong, e.hint().map(str::to_owned)),
        _ => (Exit::Wrong, None),
    };
    Some((exit, hint))
}

fn of_bisect(e: &BisectError) -> Exit {
    match e {
        BisectError::Run(run) => of_run(run),
        BisectError::Export(export) => of_export(export),
        BisectError::Parity(parity) => of_parity(parity),
        BisectError::Interrupted => Exit::Interrupted,
        _ => Exit::Wrong,
    }
}
