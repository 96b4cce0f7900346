//! Keys and values between graphs as codes: the scales, from a calibration.

use std::collections::BTreeMap;

use onr_calibration::{Calibration, CalibrationError, TensorStats, scale};
use onr_precision::interface::Interface;

use super::Coding;
use crate::error::ExportError;

/// What outputs of keys and values begin with, and what the inputs that take them begin with.
const PASSED: [(&str, &str); 2] = [("present.", "past_key_values."), ("prompt.", "prompt.")];

/// Scales of all keys and values, one for each layer's keys and one for its values, the same in all graphs: the
/// range is that over all graphs of the calibration.
///
/// # Errors
/// [`ExportError::Calibration`] for a calibration without keys and values, or a range that can't be read off.
pub fn passed(calibration: &Calibration, coding: Coding) -> Result<Interface, ExportError> {
    let mut seen: BTreeMap<&str, TensorStats> = BTreeMap::new();
    for stats in calibration.graphs().values() {
        for (name, stats) in &stats.tensors {
            if PASSED.iter().all(|(output, _)| !is_layer(name, output)) {
                continue;
            }
            match seen.get_mut(name.as_str()) {
                Some(sum) => sum.merge(stats)?,
                None => drop(seen.insert(name, stats.clone())),
            }
        }
    }
    if !seen.keys().any(|name| name.starts_with("present.")) {
        let (graph, tensor) = ("encode".into(), "present.0.key".into());
        return Err(CalibrationError::NoTensor { graph, tensor }.into());
    }
    let mut scales = BTreeMap::new();
    for (name, stats) in seen {
        let target = coding.format.target();
        let refuse = |cause| {
            let (graph, tensor) = ("all".to_owned(), name.to_owned());
            CalibrationError::Range { graph, tensor, cause }
        };
        let scale = scale(coding.method.clip(&stats, target).map_err(refuse)?, target);
        for (output, input) in PASSED {
            if let Some(rest) = name.strip_prefix(output) {
                scales.insert(name.to_owned(), scale);
                scales.insert(format!("{input}{rest}"), scale);
            }
        }
    }
    Ok(Interface { format: coding.format, scales })
}

/// `present.3.key`: the prefix, a number, and what it is.
fn is_layer(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
    rest.is_some_and(|(layer, what)| {
        layer.parse::<usize>().is_ok() && ["key", "value"].contains(&what)
    })
}
