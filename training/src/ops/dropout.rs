//! Dropout whose mask is a function of a seed and an index: nothing is stored, and a resumed run drops
//! what the first one dropped.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};

use super::{
    real::{Real, slice, with},
    rows,
};

/// Zeroes a share of the numbers and scales the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    seed: u32,
    /// Kept where the hash is at least this.
    threshold: u32,
    scale: f64,
}

impl Dropout {
    /// Keeps everything.
    pub(crate) const NONE: Self = Self { seed: 0, threshold: 0, scale: 1.0 };

    /// Drops `share` (`0 <= share < 1`) of the numbers.
    pub(crate) fn new(share: f64, seed: u32) -> Self {
        let threshold = (share * f64::from(u32::MAX)) as u32;
        Self { seed, threshold, scale: 1.0 / (1.0 - share) }
    }

    /// What kept numbers are multiplied with.
    pub(super) fn scale<T: Real>(&self) -> T {
        T::of(self.scale)
    }

    /// What number `index` is multiplied with: [`Self::scale`] or 0.
    #[inline(always)]
    pub(super) fn factor<T: Real>(&self, index: usize, scale: T) -> T {
        // Two rounds of multiply and shift over 32 bits, which compilers vectorise.
        let mut h = (index as u32) ^ self.seed;
        h = (h ^ (h >> 16)).wrapping_mul(0x21f0_aaad);
        h = (h ^ (h >> 15)).wrapping_mul(0x735a_2d97);
        h ^= h >> 15;
        if h >= self.threshold { scale } else { T::ZERO }
    }

    fn apply<T: Real>(&self, x: &[T], width: usize) -> Vec<T> {
        let (mut out, scale) = (vec![T::ZERO; x.len()], self.scale());
        rows::each(
            &mut out,
            width,
            #[inline(always)]
            |i, row| {
                let x = &x[i * width..(i + 1) * width];
                for j in 0..width {
                    row[j] = x[j] * self.factor(i * width + j, scale);
                }
            },
        );
        out
    }
}

fn width(shape: &Shape) -> usize {
    shape.dims().last().copied().unwrap_or(1).max(1)
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = width(l.shape());
        let out = match x {
            CpuStorage::F64(_) => CpuStorage::F64(self.apply(slice(x, l)?, width)),
            _ => CpuStorage::F32(self.apply(slice(x, l)?, width)),
        };
        Ok((out, l.shape().clone()))
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (width, device) = (width(grad.shape()), grad.device());
        let out = match grad.dtype() {
            DType::F64 => with::<f64, _>(grad, |g| {
                Tensor::from_vec(self.apply(g, width), grad.shape(), device)
            })?,
            _ => with::<f32, _>(grad, |g| {
                Tensor::from_vec(self.apply(g, width), grad.shape(), device)
            })?,
        };
        Ok(Some(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_its_share_and_keeps_the_mean() {
        let dropout = Dropout::new(0.15, 7);
        let factors: Vec<f64> = (0..100_000).map(|i| dropout.factor(i, dropout.scale())).collect();
        let dropped = factors.iter().filter(|f| **f == 0.0).count();
        assert!((dropped as f64 / 1e5 - 0.15).abs() < 0.005, "{dropped}");
        assert!((factors.iter().sum::<f64>() / 1e5 - 1.0).abs() < 0.01);
        assert_ne!(
            factors,
            (0..100_000).map(|i| Dropout::new(0.15, 8).factor(i, 1.0)).collect::<Vec<f64>>()
        );
        assert!((0..100).all(|i| Dropout::NONE.factor(i, 1.0_f32) == 1.0));
    }
}
