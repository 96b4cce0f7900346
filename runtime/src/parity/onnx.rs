//! Two backends on one file: what is left of a proof when there is no checkpoint.

use std::path::Path;

use onr_exporter::{TensorInfo, onnx::OnnxFile};
use onr_graphs::{Precision, Profile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    ParityError,
    batch::Batch,
    compare::Differences,
    job::{Measured, version},
    report::{ParityReport, Strength},
    tolerance::Tolerance,
    verdict::judge_all,
};
use crate::{
    backend::{Backend, RunError},
    tensor::{Feeds, HostTensor},
};

/// Largest size that a symbol gets; the comparison is about operators, not about load.
const MOST: usize = 24;

/// Rounds with fresh inputs.
const ROUNDS: u64 = 4;

/// Runs `file` on both backends with seeded random inputs and compares all float outputs.
///
/// # Errors
/// [`ParityError`] when a backend cannot load or run the file.
pub fn compare_onnx(
    file: &Path,
    reference: &dyn Backend,
    candidate: &dyn Backend,
    profile: &Profile,
) -> Result<ParityReport, ParityError> {
    let model = OnnxFile::read(file)?;
    let (mut want, mut got) = (reference.open(file)?, candidate.open(file)?);
    let mut measured = Measured::default();
    for round in 0..ROUNDS {
        let mut rng = ChaCha8Rng::seed_from_u64(round);
        let feeds = random_feeds(&model.inputs, profile, &mut rng)?;
        let (want, got) = (want.run(&feeds)?, got.run(&feeds)?);
        add_whole(&mut measured.candidate, &model.name, &want, &got)?;
    }
    let narrow = model.inputs.iter().chain(&model.outputs).any(|t| t.dtype == "f16");
    let precision = if narrow { Precision::F16 } else { Precision::F32 };
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut report = ParityReport {
        reference: format!("{} on the same file, {name}", version(reference)),
        strength: Strength::SameFile,
        candidate: version(candidate),
        backend: candidate.name().to_owned(),
        device: got.placement().device,
        precision: precision.name().into(),
        requests_from: "random inputs".into(),
        requests: ROUNDS as usize,
        outputs: Vec::new(),
        order: None,
        consistency: None,
        worst: None,
        checks: Vec::new(),
        reference_seconds: 0.0,
        candidate_seconds: 0.0,
    };
    judge_all(&measured, Tolerance::golden(precision), &mut report);
    Ok(report)
}

/// Every element of every float output counts.
fn add_whole(
    differences: &mut Differences,
    graph: &str,
    want: &Feeds,
    got: &Feeds,
) -> Result<(), ParityError> {
    let whole = |feeds: &Feeds| -> Feeds {
        let flat = |t: &HostTensor| t.to_f32().map(|v| HostTensor::of(&[1, v.len()], v));
        feeds.iter().filter_map(|(n, t)| Some((n.clone(), flat(t)?))).collect()
    };
    let batch = Batch {
        requests: 0..1,
        seq_lens: vec![0],
        candidates: vec![Vec::new()],
        seq: 0,
        inputs: Feeds::new(),
    };
    differences.add(graph, &batch, &whole(want), &whole(got))
}

/// Inputs that respect what names of the contract promise: lengths within bounds, times in order.
fn random_feeds(
    inputs: &[TensorInfo],
    profile: &Profile,
    rng: &mut ChaCha8Rng,
) -> Result<Feeds, ParityError> {
    let size = |dim: &String| match dim.parse::<usize>() {
        Ok(n) => n,
        Err(_) => profile.get(dim).map_or(2, |r| r.opt).min(MOST),
    };
    let slots = size(&"kv".to_owned()).min(size(&"seq".to_owned()));
    let mut feeds = Feeds::new();
    for input in inputs {
        let shape: Vec<usize> = input.shape.iter().map(size).collect();
        let count: usize = shape.iter().product();
        let tensor = match input.dtype.as_str() {
            "f32" | "f16" | "bf16" | "f8e4m3" => {
                let values =
                    (0..count).map(|_| rng.random_range(-1.0..1.0_f32)).collect::<Vec<_>>();
                let wide = HostTensor::of(&shape, values);
                onr_graphs::DType::from_name(&input.dtype)
                    .and_then(|t| wide.cast_float(t))
                    .unwrap_or(wide)
            }
            "i8" => HostTensor::of(&shape, (0..count).map(|_| rng.random()).collect::<Vec<i8>>()),
            "i64" => HostTensor::of(&shape, integers(&input.name, count, slots, rng)),
            "bool" => {
                HostTensor::of(&shape, (0..count).map(|_| rng.random()).collect::<Vec<bool>>())
            }
            other => {
                return Err(ParityError::Run(RunError::Feed {
                    backend: "random inputs",
                    input: input.name.clone(),
                    reason: format!("has type {other}"),
                }));
            }
        };
        feeds.insert(input.name.clone(), tensor);
    }
    Ok(feeds)
}

fn integers(name: &str, count: usize, slots: usize, rng: &mut ChaCha8Rng) -> Vec<i64> {
    match name {
        "seq_lens" => (0..count).map(|_| rng.random_range(0..=slots as i64)).collect(),
        "new_lens" | "past_lens" => {
            (0..count).map(|_| rng.random_range(0..=slots as i64 / 4)).collect()
        }
        "timestamps" => (0..count as i64).map(|i| 1_700_000_000 + 977 * i).collect(),
        "request_time" => {
            (0..count).map(|_| 1_700_000_000 + rng.random_range(0..100_000)).collect()
        }
        _ => (0..count).map(|_| rng.random_range(0..2)).collect(),
    }
}
