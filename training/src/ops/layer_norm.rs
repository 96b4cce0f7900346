//! LayerNorm over the last axis, as one node of the autograd graph.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::{
    real::{Real, slice, with},
    rows,
};

/// `(x - mean) / sqrt(var + eps) * weight + bias` over the last axis, biased variance.
pub(crate) struct LayerNorm {
    pub(crate) eps: f64,
}

/// Mean and `1 / sqrt(var + eps)` of a row.
#[inline(always)]
pub(super) fn moments<T: Real>(row: &[T], eps: T) -> (T, T) {
    let n = T::of(row.len() as f64);
    let mean = rows::sum(row) / n;
    let mut lanes = [T::ZERO; 8];
    let chunks = row.chunks_exact(8);
    let rest = chunks.remainder().iter().map(|&x| (x - mean) * (x - mean)).sum::<T>();
    for chunk in chunks {
        for lane in 0..8 {
            let d = chunk[lane] - mean;
            lanes[lane] += d * d;
        }
    }
    let var = (lanes.into_iter().sum::<T>() + rest) / n;
    (mean, T::ONE / (var + eps).sqrt())
}

/// Gradient of a row's input from that of `weight * normalised + bias`; adds those of weight and bias
/// to `sums` (`[2, D]`).
#[inline(always)]
pub(super) fn backward_row<T: Real>(
    (x, weight, grad): (&[T], &[T], &[T]),
    eps: T,
    out: &mut [T],
    sums: &mut [T],
) {
    let d = x.len();
    let (mean, inv) = moments(x, eps);
    let (sum_w, sum_b) = sums.split_at_mut(d);
    for (((sum_w, sum_b), &g), &x) in sum_w.iter_mut().zip(sum_b).zip(grad).zip(x) {
        *sum_w += g * (x - mean) * inv;
        *sum_b += g;
    }
    for ((out, &g), &w) in out.iter_mut().zip(grad).zip(weight) {
        *out = g * w;
    }
    let n = T::of(d as f64);
    let mean_g = rows::sum(out) / n;
    let mean_gx = (rows::dot(out, x) - rows::sum(out) * mean) * inv / n;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = inv * (*out - mean_g - (x - mean) * inv * mean_gx);
    }
}

impl LayerNorm {
    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let (d, eps) = (weight.len(), T::of(self.eps));
        let mut out = vec![T::ZERO; x.len()];
        rows::each(
            &mut out,
            d,
            #[inline(always)]
            |i, row| {
                let x = &x[i * d..(i + 1) * d];
                let (mean, inv) = moments(x, eps);
                for (((out, &x), &w), &b) in row.iter_mut().zip(x).zip(weight).zip(bias) {
                    *out = (x - mean) * inv * w + b;
                }
            },
        );
        out
    }

    fn backward<T: Real>(
        &self,
        [x, weight, grad]: [&Tensor; 3],
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (d, eps, device) = (weight.elem_count(), T::of(self.eps), x.device());
        with::<T, _>(x, |xs| {
            with::<T, _>(weight, |w| {
                with::<T, _>(grad, |g| {
                    let mut out = vec![T::ZERO; xs.len()];
                    let sums = rows::each_sum(
                        &mut out,
                        d,
                        2 * d,
                        #[inline(always)]
                        |i, row, sums| {
                            let at = i * d..(i + 1) * d;
                            backward_row((&xs[at.clone()], w, &g[at]), eps, row, sums);
                        },
                    );
                    let dx = Tensor::from_vec(out, x.shape(), device)?;
                    let dw = Tensor::from_slice(&sums[..d], d, device)?;
                    let db = Tensor::from_slice(&sums[d..], d, device)?;
                    Ok((Some(dx), Some(dw), Some(db)))
                })
            })
        })
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = match x {
            CpuStorage::F64(_) => {
                CpuStorage::F64(self.forward(slice(x, lx)?, slice(w, lw)?, slice(b, lb)?))
            }
            _ => CpuStorage::F32(self.forward(slice(x, lx)?, slice(w, lw)?, slice(b, lb)?)),
        };
        Ok((out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        match x.dtype() {
            DType::F64 => self.backward::<f64>([x, w, grad]),
            _ => self.backward::<f32>([x, w, grad]),
        }
    }
}
