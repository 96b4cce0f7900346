//! The two float types that models train in: F32, and F64 to check gradients.

use candle_core::{CpuStorage, Layout, Result, Tensor, WithDType, bail};

/// F32 or F64 on the CPU.
pub(crate) trait Real:
    WithDType + std::ops::Neg<Output = Self> + std::iter::Sum + Send + Sync + 'static
{
    const ZERO: Self;
    const ONE: Self;

    fn of(value: f64) -> Self;

    fn sqrt(self) -> Self;

    fn ln(self) -> Self;

    /// `e^self`, in a form that compilers turn into vector code for F32.
    fn exp(self) -> Self;

    fn max(self, other: Self) -> Self;

    /// `1 / (1 + e^-self)`
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        Self::ln(self)
    }

    /// Within 2 units in the last place between -87 and 88, the ends beyond; NaN stays NaN.
    #[inline(always)]
    fn exp(self) -> Self {
        // Adding and taking away 1.5 * 2^23 rounds to an integer.
        const ROUND: f32 = 12_582_912.0;
        let x = if self < -87.0 { -87.0 } else { self };
        let x = if x > 88.0 { 88.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        // ln 2 in two parts: the first has few bits, so that its product with n is exact.
        let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
        // Taylor's series to the seventh power: r is at most ln(2) / 2.
        let p = 1.0 / 5040.0;
        let p = p * r + 1.0 / 720.0;
        let p = p * r + 1.0 / 120.0;
        let p = p * r + 1.0 / 24.0;
        let p = p * r + 1.0 / 6.0;
        let p = p * r + 0.5;
        let p = p * r + 1.0;
        let p = p * r + 1.0;
        // The integer stands in the low bits of the shifted number: a cast would check for overflow.
        let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
        p * Self::from_bits(exponent.wrapping_shl(23))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn of(value: f64) -> Self {
        value
    }

    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    fn ln(self) -> Self {
        Self::ln(self)
    }

    fn exp(self) -> Self {
        Self::exp(self)
    }

    fn max(self, other: Self) -> Self {
        Self::max(self, other)
    }
}

/// The numbers of a contiguous tensor.
pub(crate) fn slice<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a custom op was given a tensor that is not contiguous")
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// Runs `f` on the numbers of a tensor.
pub(crate) fn with<T: Real, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        bail!("custom ops run on the CPU only")
    };
    f(slice(storage, layout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_the_whole_range() {
        for i in -8800..=8800 {
            let x = i as f32 / 100.0;
            let (ours, exact) = (Real::exp(x), f64::from(x.clamp(-87.0, 88.0)).exp());
            assert!((f64::from(ours) / exact - 1.0).abs() < 3e-7, "{x}: {ours} {exact}");
        }
        assert!(Real::exp(f32::NAN).is_nan());
        assert_eq!(Real::exp(0.0_f32), 1.0);
    }
}
