//! One pass over a block of values: its extremes and how many are zero or small.
//!
//! All reductions are of integers, so that compilers may reorder them: that is what makes the loop vector code.

use crate::simd::{Loop, vectorised};

/// Bits of `f32::INFINITY`: magnitudes from here on are not finite.
const INFINITY: u32 = 0x7f80_0000;
const MAGNITUDE: u32 = 0x7fff_ffff;

/// The smallest normal number of F16, `2^-14`.
const F16_NORMAL: f32 = f32::from_bits((127 - 14) << 23);
/// The largest magnitude that F16 rounds to zero, `2^-25`: a tie between zero and the smallest subnormal, zero is even.
const F16_FLUSHED: f32 = f32::from_bits((127 - 25) << 23);
/// The smallest magnitude that F16 rounds to infinity: a tie between 65504 and 65536.
const F16_OVERFLOW: f32 = 65520.0;

/// What one pass finds in a block of at most `u32::MAX` finite values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Survey {
    /// Smallest value; `-0.0` is told as `0.0`.
    pub(crate) min: f32,
    /// Largest value; `-0.0` is told as `0.0`.
    pub(crate) max: f32,
    /// Values that are zero.
    pub(crate) zeros: u64,
    /// Values `0 < |x| < 2^-14`.
    pub(crate) f16_subnormal: u64,
    /// Values `0 < |x| <= 2^-25`.
    pub(crate) f16_flushed: u64,
    /// Values `|x| >= 65520`.
    pub(crate) f16_overflow: u64,
}

impl Survey {
    /// Surveys `block`; `None` when it is empty or a value is not finite.
    pub(crate) fn of(block: &[f32]) -> Option<Self> {
        if block.is_empty() {
            return None;
        }
        let fold = vectorised(Extremes(block));
        let (min, max) = fold.extremes()?;
        let mut survey = Self {
            min: min + 0.0,
            max: max + 0.0,
            zeros: u64::from(fold.zeros),
            f16_subnormal: u64::from(fold.small - fold.zeros),
            f16_flushed: 0,
            f16_overflow: 0,
        };
        if survey.f16_subnormal > 0 {
            let flushed = vectorised(Below { block, limit: F16_FLUSHED.to_bits() + 1 });
            survey.f16_flushed = u64::from(flushed - fold.zeros);
        }
        if survey.top() >= F16_OVERFLOW {
            let fits = vectorised(Below { block, limit: F16_OVERFLOW.to_bits() });
            survey.f16_overflow = block.len() as u64 - u64::from(fits);
        }
        Some(survey)
    }

    /// The largest magnitude.
    pub(crate) fn top(&self) -> f32 {
        self.max.max(-self.min)
    }
}

/// Extremes of the bits, read as signed and as unsigned, and counts.
///
/// Among numbers without sign the bits are ordered as the numbers, among numbers with sign the other way
/// round; read as `i32` those with sign come first, read as `u32` they come last.
struct Fold {
    signed: (i32, i32),
    unsigned: (u32, u32),
    zeros: u32,
    small: u32,
}

impl Fold {
    /// Smallest and largest value; `None` when one is not finite.
    fn extremes(&self) -> Option<(f32, f32)> {
        let some_without_sign = self.signed.1 >= 0;
        let some_with_sign = self.unsigned.1 > MAGNITUDE;
        let max = if some_without_sign { self.signed.1.cast_unsigned() } else { self.unsigned.0 };
        let min = if some_with_sign { self.unsigned.1 } else { self.signed.0.cast_unsigned() };
        let finite = |bits: u32| bits & MAGNITUDE < INFINITY;
        (finite(min) && finite(max)).then(|| (f32::from_bits(min), f32::from_bits(max)))
    }
}

/// Folds a block.
struct Extremes<'a>(&'a [f32]);

impl Loop for Extremes<'_> {
    type Output = Fold;

    #[inline(always)]
    fn run(self) -> Fold {
        let mut fold = Fold {
            signed: (i32::MAX, i32::MIN),
            unsigned: (u32::MAX, u32::MIN),
            zeros: 0,
            small: 0,
        };
        for value in self.0 {
            let bits = value.to_bits();
            let signed = bits.cast_signed();
            let magnitude = (bits & MAGNITUDE).cast_signed();
            fold.signed = (fold.signed.0.min(signed), fold.signed.1.max(signed));
            fold.unsigned = (fold.unsigned.0.min(bits), fold.unsigned.1.max(bits));
            fold.zeros += u32::from(magnitude == 0);
            fold.small += u32::from(magnitude < F16_NORMAL.to_bits().cast_signed());
        }
        fold
    }
}

/// How many magnitudes of a block have bits below `limit`.
struct Below<'a> {
    block: &'a [f32],
    limit: u32,
}

impl Loop for Below<'_> {
    type Output = u32;

    #[inline(always)]
    fn run(self) -> u32 {
        let limit = self.limit.cast_signed();
        let is_below = |v: &f32| (v.to_bits() & MAGNITUDE).cast_signed() < limit;
        self.block.iter().map(|v| u32::from(is_below(v))).sum()
    }
}

/// Raises each of `maxima` to the largest finite magnitude of its column in `rows`.
pub(crate) fn raise_channels(maxima: &mut [f32], rows: &[f32]) {
    vectorised(Raise { maxima, rows });
}

struct Raise<'a> {
    maxima: &'a mut [f32],
    rows: &'a [f32],
}

impl Loop for Raise<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact(self.maxima.len()) {
            for (max, value) in self.maxima.iter_mut().zip(row) {
                let magnitude = value.to_bits() & MAGNITUDE;
                let finite = if magnitude < INFINITY { magnitude } else { 0 };
                *max = f32::from_bits(finite.max(max.to_bits()));
            }
        }
    }
}
