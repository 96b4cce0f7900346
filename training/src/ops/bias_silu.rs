//! `SiLU(x + bias)`, as one node of the autograd graph.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::{
    real::{Real, slice, with},
    rows,
};

/// `SiLU(x + bias)` with `x [.., n]`, `bias [n]`.
pub(crate) struct BiasSilu;

fn forward<T: Real>(x: &[T], bias: &[T]) -> Vec<T> {
    let n = bias.len();
    let mut out = vec![T::ZERO; x.len()];
    rows::each(
        &mut out,
        n,
        #[inline(always)]
        |i, row| {
            let x = &x[i * n..(i + 1) * n];
            for ((out, &x), &b) in row.iter_mut().zip(x).zip(bias) {
                let z = x + b;
                *out = z * z.sigmoid();
            }
        },
    );
    out
}

fn backward<T: Real>(
    x: &Tensor,
    bias: &Tensor,
    grad: &Tensor,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let n = bias.elem_count();
    with::<T, _>(x, |xs| {
        with::<T, _>(bias, |b| {
            with::<T, _>(grad, |g| {
                let mut out = vec![T::ZERO; xs.len()];
                let sums = rows::each_sum(
                    &mut out,
                    n,
                    n,
                    #[inline(always)]
                    |i, row, sums| {
                        let (x, g) = (&xs[i * n..(i + 1) * n], &g[i * n..(i + 1) * n]);
                        for (((out, &x), &b), &g) in row.iter_mut().zip(x).zip(b).zip(g) {
                            let z = x + b;
                            let s = z.sigmoid();
                            *out = g * s * (T::ONE + z * (T::ONE - s));
                        }
                        sums.iter_mut().zip(row.iter()).for_each(|(sum, &r)| *sum += r);
                    },
                );
                let dx = Tensor::from_vec(out, x.shape(), x.device())?;
                Ok((Some(dx), Some(Tensor::from_vec(sums, n, x.device())?)))
            })
        })
    })
}

impl CustomOp2 for BiasSilu {
    fn name(&self) -> &'static str {
        "bias-silu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = match x {
            CpuStorage::F64(_) => CpuStorage::F64(forward(slice(x, lx)?, slice(b, lb)?)),
            _ => CpuStorage::F32(forward(slice(x, lx)?, slice(b, lb)?)),
        };
        Ok((out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        match x.dtype() {
            DType::F64 => backward::<f64>(x, bias, grad),
            _ => backward::<f32>(x, bias, grad),
        }
    }
}
