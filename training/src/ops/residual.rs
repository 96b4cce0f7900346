//! `x + dropout(o + bias)`, as one node of the autograd graph.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::{
    dropout::Dropout,
    real::{Real, slice, with},
    rows,
};

/// `x + dropout(o + bias)` with `x, o [.., n]`, `bias [n]`.
pub(crate) struct Residual {
    pub(crate) dropout: Dropout,
}

impl Residual {
    fn forward<T: Real>(&self, x: &[T], o: &[T], bias: &[T]) -> Vec<T> {
        let n = bias.len();
        let mut out = vec![T::ZERO; x.len()];
        rows::each(&mut out, n, |i, row| {
            let (x, o) = (&x[i * n..(i + 1) * n], &o[i * n..(i + 1) * n]);
            for j in 0..n {
                row[j] = (o[j] + bias[j]) * self.dropout.factor::<T>(i * n + j);
            }
            for j in 0..n {
                row[j] += x[j];
            }
        });
        out
    }

    fn backward<T: Real>(
        &self,
        bias: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let n = bias.elem_count();
        with::<T, _>(grad, |g| {
            let mut out = vec![T::ZERO; g.len()];
            let sums = rows::each_sum(&mut out, n, n, |i, row, sums| {
                let g = &g[i * n..(i + 1) * n];
                for j in 0..n {
                    row[j] = g[j] * self.dropout.factor::<T>(i * n + j);
                }
                for j in 0..n {
                    sums[j] += row[j];
                }
            });
            let device = grad.device();
            let d_o = Tensor::from_vec(out, grad.shape(), device)?;
            Ok((Some(grad.clone()), Some(d_o), Some(Tensor::from_vec(sums, n, device)?)))
        })
    }
}

impl CustomOp3 for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        o: &CpuStorage,
        lo: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = match x {
            CpuStorage::F64(_) => {
                CpuStorage::F64(self.forward(slice(x, lx)?, slice(o, lo)?, slice(b, lb)?))
            }
            _ => CpuStorage::F32(self.forward(slice(x, lx)?, slice(o, lo)?, slice(b, lb)?)),
        };
        Ok((out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _o: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        match grad.dtype() {
            DType::F64 => self.backward::<f64>(bias, grad),
            _ => self.backward::<f32>(bias, grad),
        }
    }
}
