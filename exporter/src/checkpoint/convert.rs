//! Stored numbers to the types of an export, checked for finiteness on the way.

use half::{bf16, f16};
use onr_graphs::DType;

use crate::error::ExportError;

/// What a conversion may do to numbers on their way to a narrower type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Narrowing {
    /// Type in the checkpoint.
    pub from: DType,
    /// Type in the export.
    pub to: DType,
}

/// Converts a piece of the tensor `key` that begins at its element `first`. Numbers are rounded to
/// nearest even, with their sign; equal types are handed through without a copy.
///
/// # Errors
/// [`ExportError::NotFinite`], and [`ExportError::Overflow`] for a number beyond the target type.
pub fn convert<'a>(
    key: &str,
    first: usize,
    bytes: &'a [u8],
    narrowing: Narrowing,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], ExportError> {
    let Narrowing { from, to } = narrowing;
    if !finite(bytes, from) {
        return Err(locate(key, first, bytes, narrowing));
    }
    if from == to {
        return Ok(bytes);
    }
    scratch.clear();
    match (from, to) {
        (DType::F32, DType::F16) => {
            map(bytes, scratch, |b| f16::from_f32(f32::from_le_bytes(b)).to_le_bytes())
        }
        (DType::F32, DType::BF16) => {
            map(bytes, scratch, |b| bf16::from_f32(f32::from_le_bytes(b)).to_le_bytes())
        }
        (DType::F16, DType::F32) => {
            map(bytes, scratch, |b| f16::from_le_bytes(b).to_f32().to_le_bytes())
        }
        (DType::BF16, DType::F32) => {
            map(bytes, scratch, |b| bf16::from_le_bytes(b).to_f32().to_le_bytes())
        }
        (DType::F16, DType::BF16) => {
            map(bytes, scratch, |b| bf16::from_f32(f16::from_le_bytes(b).to_f32()).to_le_bytes());
        }
        _ => map(bytes, scratch, |b| f16::from_f32(bf16::from_le_bytes(b).to_f32()).to_le_bytes()),
    }
    if finite(scratch, to) { Ok(scratch) } else { Err(locate(key, first, bytes, narrowing)) }
}

/// F32 numbers of the tensor `key`, from its element `first` on, each moved by up to half a unit in
/// the last place of `to`: errors as rounding to `to` makes them, for numbers that were rounded
/// before. The same numbers move in the same way every time.
#[must_use]
pub fn dither(key: &str, first: usize, bytes: &[u8], to: DType) -> Vec<u8> {
    let spacing = if to == DType::BF16 { f32::EPSILON * 65536.0 } else { f32::EPSILON * 8192.0 };
    let seed = key.bytes().fold(0_u64, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
    let (numbers, _) = bytes.as_chunks::<4>();
    let moved = numbers.iter().enumerate().flat_map(|(i, number)| {
        let value = f32::from_le_bytes(*number);
        let binade = f32::from_bits(value.to_bits() & 0x7f80_0000);
        let share =
            (scramble(seed.wrapping_add((first + i) as u64)) >> 40) as f32 / (1 << 24) as f32;
        (value + (share - 0.5) * spacing * binade).to_le_bytes()
    });
    moved.collect()
}

/// The finaliser of SplitMix64.
const fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn map<const FROM: usize, const TO: usize>(
    bytes: &[u8],
    out: &mut Vec<u8>,
    f: impl Fn([u8; FROM]) -> [u8; TO],
) {
    let (numbers, _) = bytes.as_chunks::<FROM>();
    out.reserve(numbers.len() * TO);
    out.extend(numbers.iter().flat_map(|n| f(*n)));
}

/// Are all numbers finite? An exponent of all ones is what infinities and NaN have in common.
fn finite(bytes: &[u8], dtype: DType) -> bool {
    match dtype {
        DType::F32 => none_at_limit(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000, 0x7f80_0000),
        DType::F16 => none_at_limit(bytes, |b| u32::from(u16::from_le_bytes(b)) & 0x7c00, 0x7c00),
        _ => none_at_limit(bytes, |b| u32::from(u16::from_le_bytes(b)) & 0x7f80, 0x7f80),
    }
}

/// Branch-free over blocks, so that it runs at the speed of memory.
fn none_at_limit<const N: usize>(
    bytes: &[u8],
    exponent: impl Fn([u8; N]) -> u32,
    limit: u32,
) -> bool {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.chunks(4096).all(|block| {
        let largest = block.iter().fold(0, |most, b| most.max(exponent(*b)));
        largest < limit
    })
}

/// The first number that is not finite, or that the target cannot hold.
fn locate(key: &str, first: usize, bytes: &[u8], narrowing: Narrowing) -> ExportError {
    let Narrowing { from, to } = narrowing;
    for (at, number) in bytes.chunks_exact(from.size()).enumerate() {
        let value = match (from, number) {
            (DType::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (DType::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            (_, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
            _ => 0.0,
        };
        let index = first + at;
        if !value.is_finite() {
            return ExportError::NotFinite { key: key.to_owned(), index, value };
        }
        let fits = match to {
            DType::F16 => f16::from_f32(value).is_finite(),
            DType::BF16 => bf16::from_f32(value).is_finite(),
            _ => true,
        };
        if !fits {
            return ExportError::Overflow { key: key.to_owned(), index, value, dtype: to };
        }
    }
    ExportError::NotFinite { key: key.to_owned(), index: first, value: f32::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    const TO_HALF: Narrowing = Narrowing { from: DType::F32, to: DType::F16 };

    #[test]
    fn rounds_to_nearest_even_and_keeps_signs() {
        // 2049 lies between 2048 and 2050; 2051 between 2050 and 2052; both go to the even one.
        let bytes = f32s(&[2049.0, 2051.0, -1e-9, 1.0]);
        let mut scratch = Vec::new();
        let half = convert("w", 0, &bytes, TO_HALF, &mut scratch).unwrap();
        let (pairs, _) = half.as_chunks::<2>();
        let got: Vec<f32> = pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect();
        assert_eq!(got, [2048.0, 2052.0, -0.0, 1.0]);
        assert!(got[2].is_sign_negative());
    }

    #[test]
    fn names_the_first_bad_number() {
        let mut scratch = Vec::new();
        let bytes = f32s(&[0.0, f32::NAN, f32::INFINITY]);
        let same = Narrowing { from: DType::F32, to: DType::F32 };
        let error = convert("w", 100, &bytes, same, &mut scratch).unwrap_err();
        assert_eq!(error.to_string(), "`w`[101] is NaN, which is not finite");
        let error = convert("w", 0, &f32s(&[1.0, 7e4]), TO_HALF, &mut scratch).unwrap_err();
        assert_eq!(error.to_string(), "`w`[1] is 70000, beyond the largest f16");
    }

    #[test]
    fn dithering_errs_as_rounding_does() {
        let values: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.731).sin()).collect();
        let exact = f32s(&values);
        let numbers = |bytes: &[u8]| {
            bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>()
        };
        let rms = |other: &[f32]| {
            let squares = values.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2));
            (squares.sum::<f64>() / values.len() as f64).sqrt()
        };
        for to in [DType::F16, DType::BF16] {
            let (mut narrow, mut wide) = (Vec::new(), Vec::new());
            let down = Narrowing { from: DType::F32, to };
            let half = convert("w", 0, &exact, down, &mut narrow).unwrap();
            let up = Narrowing { from: to, to: DType::F32 };
            let rounded = rms(&numbers(convert("w", 0, half, up, &mut wide).unwrap()));
            let dithered = rms(&numbers(&dither("w", 0, &exact, to)));
            assert!((dithered / rounded - 1.0).abs() < 0.05, "{to}: {dithered} {rounded}");
        }
        // In pieces as in one go.
        let whole = dither("w", 0, &exact, DType::F16);
        assert_eq!(dither("w", 100, &exact[400..800], DType::F16), whole[400..800]);
    }

    #[test]
    fn equal_types_are_not_copied() {
        let bytes = f32s(&[1.5, -2.0]);
        let mut scratch = Vec::new();
        let same = Narrowing { from: DType::F32, to: DType::F32 };
        let out = convert("w", 0, &bytes, same, &mut scratch).unwrap();
        assert_eq!(out.as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn every_half_survives_the_way_to_f32_and_back() {
        let all: Vec<u8> = (0..=u16::MAX)
            .filter(|&b| f16::from_bits(b).is_finite())
            .flat_map(u16::to_le_bytes)
            .collect();
        let (mut wide, mut back) = (Vec::new(), Vec::new());
        let up = Narrowing { from: DType::F16, to: DType::F32 };
        let wide = convert("w", 0, &all, up, &mut wide).unwrap();
        assert_eq!(convert("w", 0, wide, TO_HALF, &mut back).unwrap(), all);
    }
}
