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
        let (mut out, scale) = (vec![T::ZERO; x.len()], self.dropout.scale());
        rows::each(
            &mut out,
            n,
            #[inline(always)]
            |i, row| {
                let (x, o) = (&x[i * n..(i + 1) * n], &o[i * n..(i + 1) * n]);
                let inputs = x.iter().zip(o).zip(bias);
                for (j, (out, ((&x, &o), &b))) in row.iter_mut().zip(inputs).enumerate() {
                    *out = x + (o + b) * self.dropout.factor(i * n + j, scale);
                }
            },
        );
        out
    }

    fn backward<T: Real>(
        &self,
        bias: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let n = bias.elem_count();
        with::<T, _>(grad, |g| {
            let (mut out, scale) = (vec![T::ZERO; g.len()], self.dropout.scale());
            let sums = rows::each_sum(
                &mut out,
                n,
                n,
                #[inline(always)]
                |i, row, sums| {
                    let g = &g[i * n..(i + 1) * n];
                    for (j, ((out, &g), sum)) in row.iter_mut().zip(g).zip(sums).enumerate() {
                        *out = g * self.dropout.factor(i * n + j, scale);
                        *sum += *out;
                    }
                },
            );
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
