//! Inputs of any ONNX model: drawn from a seed, or rounded to the types that a model takes.

use onr_onnx::ElemType;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    backend::RunError,
    backends::signature::Axis,
    npz::InputSpec,
    tensor::{Feeds, HostTensor, dtype_of},
};

/// What messages call the side that gives inputs.
const NAME: &str = "inputs";

/// Rounds with fresh inputs, where they are drawn.
pub const ROUNDS: u64 = 4;

/// Batches of inputs that respect what names of the contract promise: lengths within bounds, times in order, ids
/// of any size. Other integers are 0 or 1, which every table has. `size` says how large a symbol is.
///
/// # Errors
/// [`RunError::Feed`] for a type that cannot be drawn.
pub fn random(
    inputs: &[InputSpec],
    seed: u64,
    size: &dyn Fn(&str) -> usize,
) -> Result<Vec<Feeds>, RunError> {
    let rounds = 0..ROUNDS;
    rounds
        .map(|round| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(ROUNDS).wrapping_add(round));
            batch(inputs, size, &mut rng)
        })
        .collect()
}

/// The inputs of a model, rounded to its float types.
///
/// # Errors
/// [`RunError::Feed`] for an input without values.
pub fn fitting(inputs: &[InputSpec], feeds: &Feeds) -> Result<Feeds, RunError> {
    let fit = |spec: &InputSpec| {
        let missing = || refused(&spec.name, "has no values");
        let tensor = feeds.get(&spec.name).ok_or_else(missing)?;
        let rounded = dtype_of(spec.elem).and_then(|dtype| tensor.cast(dtype));
        Ok((spec.name.clone(), rounded.unwrap_or_else(|| tensor.clone())))
    };
    inputs.iter().map(fit).collect()
}

fn refused(input: &str, reason: impl Into<String>) -> RunError {
    RunError::Feed { backend: NAME, input: input.to_owned(), reason: reason.into() }
}

fn batch(
    inputs: &[InputSpec],
    size: &dyn Fn(&str) -> usize,
    rng: &mut ChaCha8Rng,
) -> Result<Feeds, RunError> {
    let slots = size("kv").min(size("seq"));
    let draw = |input: &InputSpec| {
        let unknown = || refused(&input.name, "has no declared shape");
        let axes = input.axes.as_ref().ok_or_else(unknown)?;
        let axis = |axis: &Axis| match axis {
            Axis::Fixed(n) => *n,
            Axis::Named(name) => size(name),
            Axis::Unknown => size(""),
        };
        let shape: Vec<usize> = axes.iter().map(axis).collect();
        Ok((input.name.clone(), tensor(input, &shape, slots, rng)?))
    };
    inputs.iter().map(draw).collect()
}

fn tensor(
    input: &InputSpec,
    shape: &[usize],
    slots: usize,
    rng: &mut ChaCha8Rng,
) -> Result<HostTensor, RunError> {
    let count: usize = shape.iter().product();
    let ids = |rng: &mut ChaCha8Rng| integers(&input.name, count, slots, rng);
    Ok(match input.elem {
        ElemType::Float | ElemType::Float16 | ElemType::Bfloat16 | ElemType::Float8E4M3Fn => {
            let values = (0..count).map(|_| rng.random_range(-1.0..1.0_f32)).collect::<Vec<_>>();
            let wide = HostTensor::of(shape, values);
            dtype_of(input.elem).and_then(|t| wide.cast(t)).unwrap_or(wide)
        }
        ElemType::Double => {
            let values = (0..count).map(|_| rng.random_range(-1.0..1.0_f64));
            HostTensor::of(shape, values.collect::<Vec<_>>())
        }
        ElemType::Int8 => {
            HostTensor::of(shape, (0..count).map(|_| rng.random()).collect::<Vec<i8>>())
        }
        ElemType::Uint8 => {
            HostTensor::of(shape, (0..count).map(|_| rng.random()).collect::<Vec<u8>>())
        }
        ElemType::Int64 => HostTensor::of(shape, ids(rng)),
        ElemType::Int32 => {
            HostTensor::of(shape, ids(rng).into_iter().map(|n| n as i32).collect::<Vec<_>>())
        }
        ElemType::Bool => {
            HostTensor::of(shape, (0..count).map(|_| rng.random()).collect::<Vec<bool>>())
        }
        other => return Err(refused(&input.name, format!("has type {other}"))),
    })
}

fn integers(name: &str, count: usize, slots: usize, rng: &mut ChaCha8Rng) -> Vec<i64> {
    let slots = i64::try_from(slots).unwrap_or(i64::MAX);
    match name {
        "seq_lens" => (0..count).map(|_| rng.random_range(0..=slots)).collect(),
        "new_lens" | "past_lens" => (0..count).map(|_| rng.random_range(0..=slots / 4)).collect(),
        "timestamps" => (0..count as i64).map(|i| 1_700_000_000 + 977 * i).collect(),
        "request_time" => {
            (0..count).map(|_| 1_700_000_000 + rng.random_range(0..100_000)).collect()
        }
        // Graphs of ours take an id that they do not know for the padding.
        "item_ids" | "candidate_ids" => {
            let bits: Vec<u32> = (0..count).map(|_| rng.random_range(1..=12)).collect();
            bits.into_iter().map(|bits| rng.random_range(0..1 << bits)).collect()
        }
        "action_ids" => (0..count).map(|_| rng.random_range(0..4)).collect(),
        _ => (0..count).map(|_| rng.random_range(0..2)).collect(),
    }
}
