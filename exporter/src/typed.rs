//! OneRanker's graphs in FP16 and BF16, judged by a calibration of their FP32 form.

use onr_calibration::{Calibration, TensorStats};
use onr_onnx::proto::GraphProto;
use onr_precision::typed::{TypedJob, judge};

pub use onr_precision::{
    cast::Rule,
    typed::{Misfit, TypedReport, Wide},
};

use crate::{
    error::ExportError,
    export::{ExportJob, outlines},
    onnx::elem_type,
    quantize::canonical,
};

/// Judges each graph that the job exports, by name. Nothing is read but the calibration, nothing written.
///
/// # Errors
/// [`ExportError::Graph`] for graphs that can't be built, [`ExportError::Typed`] when the job's precision is FP32.
pub fn judge_graphs(
    job: &ExportJob<'_>,
    calibration: Option<&Calibration>,
) -> Result<Vec<(String, TypedReport)>, ExportError> {
    let (narrow, wide) = (outlines(job, false)?, outlines(job, true)?);
    let to = elem_type(job.options.precision.dtype());
    let one = |(graph, wide): (&GraphProto, &GraphProto)| {
        let name = graph.name.clone().unwrap_or_default();
        let lookup = |value: &str| calibration.and_then(|seen| measured(seen, &name, value));
        let known = calibration.is_some().then_some(&lookup as _);
        let report = judge(&TypedJob { graph, to, wide, measured: known })?;
        Ok((name, report))
    };
    narrow.iter().zip(&wide).map(one).collect()
}

/// What was measured of a value of an FP32 graph: in this graph, and wherever the same is computed.
fn measured(calibration: &Calibration, graph: &str, value: &str) -> Option<TensorStats> {
    let Some(names) = shared(value) else { return calibration.tensor(graph, value).ok().cloned() };
    let graphs = calibration.graphs().values();
    let found = graphs.flat_map(|graph| names.iter().filter_map(|name| graph.tensors.get(name)));
    found.fold(None, |sum: Option<TensorStats>, stats| {
        let mut sum = sum.unwrap_or_default();
        sum.add_values(stats);
        Some(sum)
    })
}

/// The names that a value inside a part of a layer has in all graphs: `encode.layers.0.uvqk/MatMul` is that of
/// `append` too, which computes there what `encode` would have. Directly in a layer `append` has nodes of
/// its own, so names there are numbered otherwise.
fn shared(value: &str) -> Option<Vec<String>> {
    let (path, _) = value.split_once('/')?;
    if path.split('.').count() <= 3 {
        return None;
    }
    let name = canonical(value);
    let appended = name.strip_prefix("encode.").map(|rest| format!("append.{rest}"));
    Some(appended.into_iter().chain([name]).collect())
}

#[cfg(test)]
mod tests {
    use super::shared;

    #[test]
    fn only_parts_of_a_layer_are_shared() {
        let names = ["append.layers.0.uvqk/MatMul", "encode.layers.0.uvqk/MatMul"];
        for name in names {
            assert_eq!(shared(name).unwrap(), names);
        }
        assert_eq!(shared("rank.rank_layers.1.out/Add").unwrap().len(), 1);
        assert_eq!(shared("append.layers.0/Where"), None);
        assert_eq!(shared("Gather"), None);
    }
}
