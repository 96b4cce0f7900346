//! Softmax cross-entropy of many rows, as one node of the autograd graph.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};

use super::{
    real::{Real, slice, with},
    rows,
};

/// `sum_i weight_i * (logsumexp(logits_i) - logits_i[target_i])` with `logits [rows, columns]`; the
/// first `skip` columns are left out.
pub(crate) struct CrossEntropy {
    /// Column of each row's target; ignored where the weight is 0.
    pub(crate) targets: Vec<u32>,
    pub(crate) weights: Vec<f32>,
    pub(crate) skip: usize,
}

impl CrossEntropy {
    fn forward<T: Real>(&self, logits: &[T], width: usize) -> T {
        let mut losses = vec![T::ZERO; self.targets.len()];
        rows::each(
            &mut losses,
            1,
            #[inline(always)]
            |i, out| {
                let weight = T::of(self.weights[i].into());
                if self.weights[i] != 0.0 {
                    let row = &logits[i * width + self.skip..(i + 1) * width];
                    let target = row[self.targets[i] as usize - self.skip];
                    out[0] = weight * (log_sum_exp(row) - target);
                }
            },
        );
        losses.into_iter().sum()
    }

    fn backward<T: Real>(&self, logits: &[T], width: usize, grad: T) -> Vec<T> {
        let mut out = vec![T::ZERO; logits.len()];
        rows::each(
            &mut out,
            width,
            #[inline(always)]
            |i, out| {
                if self.weights[i] == 0.0 {
                    return;
                }
                let weight = grad * T::of(self.weights[i].into());
                let row = &logits[i * width + self.skip..(i + 1) * width];
                let lse = log_sum_exp(row);
                let out = &mut out[self.skip..];
                for (out, &x) in out.iter_mut().zip(row) {
                    *out = (x - lse).exp() * weight;
                }
                out[self.targets[i] as usize - self.skip] -= weight;
            },
        );
        out
    }
}

#[inline(always)]
fn log_sum_exp<T: Real>(row: &[T]) -> T {
    let mut lanes = [row[0]; 8];
    for chunk in row.chunks_exact(8) {
        for lane in 0..8 {
            lanes[lane] = Real::max(lanes[lane], chunk[lane]);
        }
    }
    let rest = row.chunks_exact(8).remainder();
    let max = lanes.iter().chain(rest).copied().fold(row[0], Real::max);
    let mut lanes = [T::ZERO; 8];
    for chunk in row.chunks_exact(8) {
        for lane in 0..8 {
            lanes[lane] += (chunk[lane] - max).exp();
        }
    }
    let rest = rest.iter().map(|&x| (x - max).exp()).sum::<T>();
    max + (lanes.into_iter().sum::<T>() + rest).ln()
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = l.dims()[1];
        let out = match x {
            CpuStorage::F64(_) => CpuStorage::F64(vec![self.forward(slice(x, l)?, width)]),
            _ => CpuStorage::F32(vec![self.forward(slice(x, l)?, width)]),
        };
        Ok((out, Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (width, device, shape) = (x.dim(1)?, x.device(), x.shape());
        let out = match x.dtype() {
            DType::F64 => {
                let grad = grad.to_scalar::<f64>()?;
                with::<f64, _>(x, |x| {
                    Tensor::from_vec(self.backward(x, width, grad), shape, device)
                })?
            }
            _ => {
                let grad = grad.to_scalar::<f32>()?;
                with::<f32, _>(x, |x| {
                    Tensor::from_vec(self.backward(x, width, grad), shape, device)
                })?
            }
        };
        Ok(Some(out))
    }
}
