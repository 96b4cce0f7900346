//! Rows to codes.

use onr_calibration::{SMALLEST_SCALE, Target, scale};
use onr_onnx::{ElemType, floats};
use rayon::prelude::*;

use super::TableFormat;
use crate::qdq::{QdqError, encode};

/// Rows that are floats at the same time, for each thread.
const PIECE: usize = 1024;

/// What the largest magnitude of a 4-bit row is multiplied by before it becomes a range: clipping a single
/// large number may pay for the finer steps of all others.
const CLIPS: [f32; 4] = [1.0, 0.93, 0.86, 0.79];

/// A table in codes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Rows of whole 32-bit words, padded with codes of 0.
    pub codes: Vec<u8>,
    /// A scale for each row, all positive.
    pub scales: Vec<f32>,
    /// Length of each row's error over the length of the row; 0 for rows of zeros.
    pub errors: Vec<f32>,
}

impl Rows {
    /// Median of the relative errors of rows.
    #[must_use]
    pub fn median_error(&self) -> f32 {
        let mut errors = self.errors.clone();
        let middle = errors.len() / 2;
        if errors.is_empty() {
            return 0.0;
        }
        *errors.select_nth_unstable_by(middle, f32::total_cmp).1
    }
}

/// Quantizes a table of F32, F16 or BF16 numbers, stored as `bytes`. Only some thousand rows are floats
/// at a time.
///
/// # Errors
/// [`QdqError::NotFinite`] with the index of the first bad number, [`QdqError::Model`] for a table that
/// has no floats.
pub fn quantize_rows(
    name: &str,
    elem: ElemType,
    bytes: &[u8],
    columns: usize,
    format: TableFormat,
) -> Result<Rows, QdqError> {
    if !elem.is_activation() || columns == 0 {
        return Err(QdqError::Model(format!("`{name}` is not a table of floats")));
    }
    let width = columns * elem.bits() / 8;
    let stride = 4 * format.words(columns);
    let rows = bytes.len() / width;
    let mut made =
        Rows { codes: vec![0; rows * stride], scales: vec![0.0; rows], errors: vec![0.0; rows] };
    let pieces = bytes
        .par_chunks(PIECE * width)
        .zip(made.codes.par_chunks_mut(PIECE * stride))
        .zip(made.scales.par_chunks_mut(PIECE).zip(made.errors.par_chunks_mut(PIECE)));
    let bad = pieces.enumerate().filter_map(|(at, ((bytes, codes), (scales, errors)))| {
        let values = floats(elem, bytes).unwrap_or_default();
        if let Some(bad) = values.iter().position(|v| !v.is_finite()) {
            return Some(at * PIECE * columns + bad);
        }
        let rows = values.chunks_exact(columns).zip(codes.chunks_exact_mut(stride));
        for ((row, codes), (scale, error)) in rows.zip(scales.iter_mut().zip(errors)) {
            *scale = quantize_row(row, codes, format);
            *error = relative_error(row, codes, *scale, format);
        }
        None
    });
    match bad.min() {
        Some(index) => Err(QdqError::NotFinite { tensor: name.to_owned(), index }),
        None => Ok(made),
    }
}

/// Codes of a row; returns its scale.
fn quantize_row(row: &[f32], codes: &mut [u8], format: TableFormat) -> f32 {
    let most = row.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    match format {
        TableFormat::Int8 => whole_bytes(row, codes, most, Target::Int8),
        TableFormat::Fp8 => whole_bytes(row, codes, most, Target::Fp8E4M3),
        TableFormat::Int4 => {
            let scale = scale_of_4_bits(row, most);
            for (code, pair) in codes.iter_mut().zip(row.chunks(2)) {
                let nibble = |at: usize| pair.get(at).map_or(0, |v| code_of_4_bits(*v, scale));
                *code = (nibble(0) & 0xf).cast_unsigned() | (nibble(1) << 4).cast_unsigned();
            }
            scale
        }
    }
}

fn whole_bytes(row: &[f32], codes: &mut [u8], most: f32, target: Target) -> f32 {
    let scale = scale(most, target);
    encode(row, scale, target, &mut codes[..row.len()]);
    scale
}

fn code_of_4_bits(value: f32, scale: f32) -> i8 {
    (value / scale).round_ties_even().clamp(-8.0, 7.0) as i8
}

/// The scale with the smallest error of the row: from the largest magnitude, or from minimum and maximum where
/// the code -8, which has no counterpart, is of use, each with and without clipping.
fn scale_of_4_bits(row: &[f32], most: f32) -> f32 {
    let (low, high) =
        row.iter().fold((0.0_f32, 0.0_f32), |(low, high), v| (low.min(*v), high.max(*v)));
    let ranges = [most / 7.0, (high / 7.0).max(-low / 8.0)];
    let scales =
        ranges.iter().flat_map(|range| CLIPS.map(|clip| (range * clip).max(SMALLEST_SCALE)));
    let error = |scale: f32| -> f64 {
        let off = |v: &f32| f64::from(f32::from(code_of_4_bits(*v, scale)) * scale - v).powi(2);
        row.iter().map(off).sum()
    };
    let measured = scales.map(|scale| (error(scale), scale));
    measured.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(SMALLEST_SCALE, |(_, scale)| scale)
}

fn relative_error(row: &[f32], codes: &[u8], scale: f32, format: TableFormat) -> f32 {
    let (mut error, mut length) = (0.0_f64, 0.0_f64);
    for (at, value) in row.iter().enumerate() {
        let code = match format {
            TableFormat::Int4 => codes[at / 2] >> (4 * (at % 2)),
            TableFormat::Int8 | TableFormat::Fp8 => codes[at],
        };
        error += f64::from(format.decode(code) * scale - value).powi(2);
        length += f64::from(*value).powi(2);
    }
    if length > 0.0 { (error / length).sqrt() as f32 } else { 0.0 }
}
