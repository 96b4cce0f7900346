//! The gated attention of one block, as one node of the autograd graph.
//!
//! `LayerNorm(concat_heads(sum_j a_ij V_j); attn_norm) * U` for rows that see other rows by a [`Geometry`]:
//! behaviours, fake items and tasks of many cuts, or candidates. Nothing of the size queries x keys is ever stored.

mod columns;
mod geometry;
mod head;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use columns::Columns;
pub(crate) use geometry::{Geometry, Group, SelfKey, Sizes};
use head::{Head, HeadGradient};

use super::{
    layer_norm::{backward_row, moments},
    real::{Real, slice, with},
    rows,
    simd::vectorised,
};

/// The op. Arguments: activated queries `[rows, 2D]` (U, Q) or `[rows, 4D]` (U, V, Q, K: with keys of their own);
/// activated pool `[rows, 2D]` (V, K); parameters (position bias `[H, Rb]`, time bias `[H, Tb]`, norm weight and
/// bias `[D]`) in one vector. Result: `[n_queries, D]`.
pub(crate) struct GatedAttention {
    sizes: Sizes,
    geometry: Arc<Geometry>,
    /// What the forward pass found before norm and gate, `[n_queries, D]`.
    sums: Mutex<Option<CpuStorage>>,
}

impl GatedAttention {
    pub(crate) const fn new(sizes: Sizes, geometry: Arc<Geometry>) -> Self {
        Self { sizes, geometry, sums: Mutex::new(None) }
    }

    fn head<'a, T: Real>(
        &'a self,
        head: usize,
        [queries, pool, params]: [&'a [T]; 3],
        stride: usize,
    ) -> Head<'a, T> {
        Head::new((self.sizes, &self.geometry, head), (queries, stride), pool, params)
    }

    /// `concat_heads(sum_j a_ij V_j)`
    fn attend<T: Real>(&self, args: [&[T]; 3], stride: usize) -> Vec<T> {
        let d = self.sizes.width();
        let run = |head| {
            let head = self.head(head, args, stride);
            vectorised(
                #[inline(always)]
                || head.forward(),
            )
        };
        let heads: Vec<Columns<T>> = (0..self.sizes.heads).into_par_iter().map(run).collect();
        let mut y = vec![T::ZERO; self.geometry.n_queries() * d];
        for (head, columns) in heads.iter().enumerate() {
            columns.scatter(&mut y, d, head * self.sizes.head_dim);
        }
        y
    }

    /// Norm and gate of the sums.
    fn gate<T: Real>(&self, y: &[T], [queries, _, params]: [&[T]; 3], stride: usize) -> Vec<T> {
        let (d, eps) = (self.sizes.width(), T::of(self.sizes.eps));
        let (weight, bias) = params[self.sizes.norm()..].split_at(d);
        let mut out = vec![T::ZERO; y.len()];
        rows::each(
            &mut out,
            d,
            #[inline(always)]
            |i, row| {
                let y = &y[i * d..(i + 1) * d];
                let u = &queries[self.geometry.row(i) * stride..][..d];
                let (mean, inv) = moments(y, eps);
                let norm = weight.iter().zip(bias);
                for (((out, &y), &u), (&w, &b)) in row.iter_mut().zip(y).zip(u).zip(norm) {
                    *out = ((y - mean) * inv * w + b) * u;
                }
            },
        );
        out
    }

    fn forward<T: Real>(&self, args: [&[T]; 3], stride: usize) -> Result<(Vec<T>, Vec<T>)> {
        if args[2].len() != self.sizes.n_params() {
            bail!("attention got {} parameters, not {}", args[2].len(), self.sizes.n_params());
        }
        let y = self.attend(args, stride);
        let out = self.gate(&y, args, stride);
        Ok((y, out))
    }

    /// Gradients of the sums, of the gate (by output row) and of the norm's parameters.
    fn ungate<T: Real>(
        &self,
        (y, grad): (&[T], &[T]),
        [queries, _, params]: [&[T]; 3],
        stride: usize,
    ) -> (Vec<T>, Vec<T>, Vec<T>) {
        let (d, eps) = (self.sizes.width(), T::of(self.sizes.eps));
        let (weight, bias) = params[self.sizes.norm()..].split_at(d);
        // Side by side: both gradients of a row, and what the first is made from.
        let mut both = vec![T::ZERO; 3 * y.len()];
        let sums = rows::each_sum(
            &mut both,
            3 * d,
            2 * d,
            #[inline(always)]
            |i, row, sums| {
                let (dy, rest) = row.split_at_mut(d);
                let (du, gated) = rest.split_at_mut(d);
                let (y, g) = (&y[i * d..(i + 1) * d], &grad[i * d..(i + 1) * d]);
                let u = &queries[self.geometry.row(i) * stride..][..d];
                let (mean, inv) = moments(y, eps);
                let norm = weight.iter().zip(bias);
                for (((du, &y), &g), (&w, &b)) in du.iter_mut().zip(y).zip(g).zip(norm) {
                    *du = ((y - mean) * inv * w + b) * g;
                }
                for ((gated, &g), &u) in gated.iter_mut().zip(g).zip(u) {
                    *gated = g * u;
                }
                backward_row((y, weight, gated), eps, dy, sums);
            },
        );
        let split = |at: usize| -> Vec<T> {
            both.chunks_exact(3 * d).flat_map(|row| &row[at * d..(at + 1) * d]).copied().collect()
        };
        (split(0), split(1), sums)
    }

    fn backward<T: Real>(
        &self,
        args: [&[T]; 3],
        stride: usize,
        (y, grad): (&[T], &[T]),
    ) -> [Vec<T>; 3] {
        let (d, dh) = (self.sizes.width(), self.sizes.head_dim);
        let (dy, du, d_norm) = self.ungate((y, grad), args, stride);
        let run = |head| {
            let columns = Columns::gather(&dy, d, head * dh, dh);
            let head = self.head(head, args, stride);
            vectorised(
                #[inline(always)]
                || head.backward(&columns),
            )
        };
        let heads: Vec<HeadGradient<T>> = (0..self.sizes.heads).into_par_iter().map(run).collect();
        let mut queries = vec![T::ZERO; args[0].len()];
        let mut pool = vec![T::ZERO; args[1].len()];
        let mut params = vec![T::ZERO; args[2].len()];
        for (i, du) in du.chunks_exact(d).enumerate() {
            let row = &mut queries[self.geometry.row(i) * stride..][..d];
            row.iter_mut().zip(du).for_each(|(r, g)| *r += *g);
        }
        let q_at = if stride == 4 * d { 2 * d } else { d };
        for (head, gradient) in heads.iter().enumerate() {
            gradient.q.scatter(&mut queries, stride, q_at + head * dh);
            if let Some((keys, values)) = &gradient.own {
                keys.scatter(&mut queries, stride, 3 * d + head * dh);
                values.scatter(&mut queries, stride, d + head * dh);
            }
            gradient.values.scatter(&mut pool, 2 * d, head * dh);
            gradient.keys.scatter(&mut pool, 2 * d, d + head * dh);
            params[self.sizes.rel_pos(head)..][..gradient.rel_pos.len()]
                .copy_from_slice(&gradient.rel_pos);
            params[self.sizes.time(head)..][..gradient.time.len()].copy_from_slice(&gradient.time);
        }
        params[self.sizes.norm()..].copy_from_slice(&d_norm);
        [queries, pool, params]
    }

    fn backward_tensors<T: Real>(
        &self,
        args: [&Tensor; 3],
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let stride = args[0].dim(1)?;
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sums) = &*sums else { bail!("attention ran backwards before forwards") };
        let y = sums.as_slice::<T>()?;
        let gradients = with::<T, _>(args[0], |q| {
            with::<T, _>(args[1], |pool| {
                with::<T, _>(args[2], |params| {
                    with::<T, _>(grad, |g| Ok(self.backward([q, pool, params], stride, (y, g))))
                })
            })
        })?;
        let [a, b, c] = gradients;
        let tensor = |data, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device());
        Ok((Some(tensor(a, args[0])?), Some(tensor(b, args[1])?), Some(tensor(c, args[2])?)))
    }
}

impl CustomOp3 for GatedAttention {
    fn name(&self) -> &'static str {
        "gated-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        pool: &CpuStorage,
        lp: &Layout,
        params: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let stride = lq.dims()[1];
        let shape = Shape::from((self.geometry.n_queries(), self.sizes.width()));
        let (sums, out) = match q {
            CpuStorage::F64(_) => {
                let args = [slice(q, lq)?, slice(pool, lp)?, slice(params, lw)?];
                let (y, out) = self.forward(args, stride)?;
                (CpuStorage::F64(y), CpuStorage::F64(out))
            }
            _ => {
                let args = [slice(q, lq)?, slice(pool, lp)?, slice(params, lw)?];
                let (y, out) = self.forward(args, stride)?;
                (CpuStorage::F32(y), CpuStorage::F32(out))
            }
        };
        *self.sums.lock().unwrap_or_else(PoisonError::into_inner) = Some(sums);
        Ok((out, shape))
    }

    fn bwd(
        &self,
        q: &Tensor,
        pool: &Tensor,
        params: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        match q.dtype() {
            DType::F64 => self.backward_tensors::<f64>([q, pool, params], grad),
            _ => self.backward_tensors::<f32>([q, pool, params], grad),
        }
    }
}
