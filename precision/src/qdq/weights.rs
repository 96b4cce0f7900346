//! Weights to codes, one scale per output channel.

use bytes::Bytes;
use onr_calibration::{Target, fp8, scale};
use rayon::prelude::*;

use super::{Format, QdqError};

/// A weight in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Codes {
    /// One byte an element, in the order of the weight.
    pub codes: Bytes,
    /// One scale per output channel, F32, all positive.
    pub scales: Vec<f32>,
}

/// Quantizes a weight of shape `dims`, row-major, with one scale per index of `axis`.
///
/// A channel of zeros gets the smallest scale. INT8 uses `[-127, 127]`.
///
/// # Errors
/// [`QdqError::NotFinite`] with the index of the first bad number.
pub fn quantize_weight(
    name: &str,
    values: &[f32],
    dims: &[usize],
    axis: usize,
    format: Format,
) -> Result<Codes, QdqError> {
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(QdqError::NotFinite { tensor: name.to_owned(), index: at });
    }
    let channels = dims[axis];
    let inner: usize = dims[axis + 1..].iter().product();
    let mut largest = vec![0.0_f32; channels];
    for (at, run) in values.chunks_exact(inner.max(1)).enumerate() {
        let most = run.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        let largest = &mut largest[at % channels];
        *largest = largest.max(most);
    }
    let target = format.target();
    let scales: Vec<f32> = largest.iter().map(|most| scale(*most, target)).collect();
    let mut codes = vec![0_u8; values.len()];
    let runs = codes.par_chunks_mut(inner.max(1)).zip(values.par_chunks(inner.max(1)));
    runs.enumerate().with_min_len(1 << 12).for_each(|(at, (codes, values))| {
        encode(values, scales[at % channels], target, codes);
    });
    Ok(Codes { codes: codes.into(), scales })
}

/// `codes = values / scale`, rounded and saturated.
pub(crate) fn encode(values: &[f32], scale: f32, target: Target, codes: &mut [u8]) {
    for (code, value) in codes.iter_mut().zip(values) {
        *code = match target {
            Target::Int8 => {
                let rounded = (value / scale).round_ties_even().clamp(-127.0, 127.0);
                (rounded as i8).cast_unsigned()
            }
            Target::Fp8E4M3 => fp8::encode(value / scale),
        };
    }
}
