//! Opinions on errors of calibration and precision.

use onr_calibration::{CalibrationError, trt_cache::CacheError};
use onr_runtime::calibrate::CalibrateError;

use super::{Exit, of_run};

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
        return Some((Exit::Usage, e.hint().map(str::to_owned)));
    }
    let exit = match cause.downcast_ref::<CalibrateError>()? {
        CalibrateError::Run(run) | CalibrateError::Sample { cause: run, .. } => of_run(run),
        CalibrateError::Interrupted => Exit::Interrupted,
        _ => Exit::Wrong,
    };
    Some((exit, None))
}
