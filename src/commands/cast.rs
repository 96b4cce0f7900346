//! `onr cast`: any ONNX model in FP16 or BF16.

use std::{collections::BTreeMap, path::PathBuf};

use onr_calibration::{Calibration, ModelId, TensorStats};
use onr_onnx::{ElemType, Model};
use onr_precision::{
    Measured, Measurements,
    cast::{CastJob, CastReport, IoTypes, cast},
};
use onr_runtime::backends::ort::OrtBackend;
use serde::Serialize;

use super::measure::{
    GRAPH, NOT_FINITE_HINT, identity, keep_apart, known_nodes, measure, not_finite, recall, stage,
    values,
};
use crate::{
    args::{CastArgs, HalfArg, IoArg},
    context::Context,
    exit::Refusal,
    settings::make_parent,
    show::{Detail, Report, bytes},
};

#[derive(Serialize)]
pub(crate) struct CastDone {
    out: PathBuf,
    model: ModelId,
    precision: &'static str,
    /// 0 when nothing was measured.
    batches: u64,
    #[serde(flatten)]
    report: CastReport,
    size_before: u64,
    size_after: u64,
    #[serde(skip)]
    notes: Vec<String>,
}

pub(crate) fn run(args: &CastArgs, context: &Context) -> anyhow::Result<CastDone> {
    let (to, precision) = match args.precision {
        HalfArg::Fp16 => (ElemType::Float16, "fp16"),
        HalfArg::Bf16 => (ElemType::Bfloat16, "bf16"),
    };
    let mut model = Model::open(&args.onnx)?;
    let size_before = model.size();
    keep_apart(&model, &[&args.out])?;
    known_nodes(&model, &args.keep)?;
    let _made = make_parent(&args.out)?;
    let id = identity(&model);
    let calibration = match (&args.calibration, &args.data) {
        (Some(file), _) => Some(recall(file, &id)?),
        (None, Some(data)) => Some(measure(&model, &id, data, &|_| true, args.threads, context)?),
        (None, None) => None,
    };
    let measured = calibration.as_ref().map(|c| measurements(&model, c)).transpose()?;
    let job = CastJob {
        to,
        measured: measured.as_ref(),
        io: match args.io {
            IoArg::Keep => IoTypes::Keep,
            IoArg::Narrow => IoTypes::Narrow,
        },
        keep: &|node| args.keep.iter().any(|kept| kept == node),
    };
    let report = cast(&mut model, &job)?;
    let staged = stage(&model, &args.out)?;
    let backend = OrtBackend::new(context.search.clone());
    let notes = staged.check(&backend)?.into_iter().collect();
    let size_after = staged.size;
    staged.place()?;
    Ok(CastDone {
        out: args.out.clone(),
        model: id,
        precision,
        batches: calibration.map_or(0, |c| c.samples()),
        report,
        size_before,
        size_after,
        notes,
    })
}

/// What the pass asks of each value. Infinities are none of its business: masks have them.
fn measurements(model: &Model, calibration: &Calibration) -> Result<Measurements, Refusal> {
    let mut measured = BTreeMap::new();
    for name in values(model) {
        let Ok(stats) = calibration.tensor(GRAPH, name) else { continue };
        if let Some(words) = not_finite(name, stats).filter(|_| stats.nan() > 0) {
            return Err(Refusal::wrong(words).hint(NOT_FINITE_HINT));
        }
        measured.insert(name.to_owned(), of(stats));
    }
    Ok(measured)
}

fn of(stats: &TensorStats) -> Measured {
    let losses = stats.f16_losses();
    Measured {
        max_abs: stats.absmax().unwrap_or(0.0),
        count: stats.count(),
        subnormal: losses.subnormal,
        flushed: losses.flushed,
    }
}

impl Report for CastDone {
    fn human(&self, _: Detail) -> String {
        let ranges = match self.batches {
            0 => "nothing measured".to_owned(),
            n => format!("measured on {n} batches"),
        };
        let report = &self.report;
        let mut lines = vec![
            format!("{}: {}, {ranges}", self.out.display(), self.precision),
            format!(
                "{} (was {}); {} nodes in {}, {} in fp32",
                bytes(self.size_after),
                bytes(self.size_before),
                report.narrowed,
                self.precision,
                report.pinned.len()
            ),
        ];
        lines.extend(report.pinned.iter().map(|pinned| format!("  {pinned}")));
        lines.join("\n")
    }

    fn warnings(&self) -> Vec<String> {
        self.notes.clone()
    }
}
