//! One head: scores, weights and sums of one query over its keys, forwards and backwards.

use onr_graphs::Attention;

use super::{
    columns::{Columns, outer_sum, products, weighted_sum},
    geometry::{Geometry, Group, SelfKey, Sizes},
};
use crate::ops::real::Real;

/// What one head reads.
pub(super) struct Head<'a, T> {
    pub(super) sizes: Sizes,
    pub(super) geometry: &'a Geometry,
    /// This head's rows of the bias tables.
    pub(super) rel_pos: &'a [T],
    pub(super) time: &'a [T],
    /// Queries, already divided by `sqrt(Dh)`; one row for each row of the query matrix.
    q: Columns<T>,
    keys: Columns<T>,
    values: Columns<T>,
    keys_t: Vec<T>,
    values_t: Vec<T>,
    /// Keys and values of [`SelfKey::Own`].
    own: Option<(Columns<T>, Columns<T>)>,
}

/// Gradients that one head leaves.
pub(super) struct HeadGradient<T> {
    pub(super) q: Columns<T>,
    pub(super) keys: Columns<T>,
    pub(super) values: Columns<T>,
    pub(super) own: Option<(Columns<T>, Columns<T>)>,
    pub(super) rel_pos: Vec<T>,
    pub(super) time: Vec<T>,
}

/// Numbers of one query's keys: behaviours, prompt, itself.
struct Scratch<T> {
    bias: Vec<T>,
    s: Vec<T>,
    w: Vec<T>,
    dw: Vec<T>,
    /// Sum over the queries of a group of the gradients of behaviours' scores.
    dbias: Vec<T>,
}

impl<T> Scratch<T> {
    const fn new() -> Self {
        Self { bias: vec![], s: vec![], w: vec![], dw: vec![], dbias: vec![] }
    }
}

impl<'a, T: Real> Head<'a, T> {
    /// `queries` is `[rows, 2D]` (U, Q) or `[rows, 4D]` (U, V, Q, K), `pool` is `[rows, 2D]` (V, K).
    pub(super) fn new(
        (sizes, geometry, head): (Sizes, &'a Geometry, usize),
        queries: (&[T], usize),
        pool: &[T],
        params: &'a [T],
    ) -> Self {
        let (d, dh) = (sizes.width(), sizes.head_dim);
        let (matrix, stride) = queries;
        let has_own = stride == 4 * d;
        let q_at = if has_own { 2 * d } else { d };
        let mut q = Columns::gather(matrix, stride, q_at + head * dh, dh);
        let scale = T::ONE / T::of(dh as f64).sqrt();
        q.data.iter_mut().for_each(|x| *x *= scale);
        let own = has_own.then(|| {
            let columns = |part: usize| Columns::gather(matrix, stride, part * d + head * dh, dh);
            (columns(3), columns(1))
        });
        let values = Columns::gather(pool, 2 * d, head * dh, dh);
        let keys = Columns::gather(pool, 2 * d, d + head * dh, dh);
        let (keys_t, values_t) = (keys.transposed(), values.transposed());
        Self {
            sizes,
            geometry,
            rel_pos: &params[sizes.rel_pos(head)..][..sizes.rel_pos_buckets],
            time: &params[sizes.time(head)..][..sizes.time_buckets],
            q,
            keys,
            values,
            keys_t,
            values_t,
            own,
        }
    }

    fn n_pool(&self) -> usize {
        self.keys.data.len() / self.keys.padded
    }

    #[inline(always)]
    fn rel_bucket(&self, group: &Group, j: usize) -> usize {
        (group.position as usize).saturating_sub(j).min(self.sizes.rel_pos_buckets - 1)
    }

    /// Bias of each behaviour for the queries of a group.
    #[inline(always)]
    fn bias(&self, group: &Group, out: &mut Vec<T>) {
        out.clear();
        let n = group.behaviours.len();
        out.extend((0..n).map(|j| self.rel_pos[self.rel_bucket(group, j)]));
        if !self.time.is_empty() {
            let buckets = &self.geometry.buckets[group.buckets as usize..][..n];
            out.iter_mut().zip(buckets).for_each(|(b, &t)| *b += self.time[t as usize]);
        }
    }

    /// Key and value of the query itself, where it sees itself apart from the others.
    #[inline(always)]
    fn own_rows(&self, group: &Group, k: usize, row: usize) -> Option<(&[T], &[T])> {
        match (group.own, &self.own) {
            (SelfKey::Pool(first), _) => {
                let i = first as usize + k;
                Some((self.keys.row(i), self.values.row(i)))
            }
            (SelfKey::Own, Some((keys, values))) => Some((keys.row(row), values.row(row))),
            _ => None,
        }
    }

    /// Scores of all keys of a query: behaviours, prompt, itself.
    #[inline(always)]
    fn scores(
        &self,
        group: &Group,
        q: &[T],
        own: Option<(&[T], &[T])>,
        bias: &[T],
        s: &mut Vec<T>,
    ) {
        let (nb, np) = (group.behaviours.len(), group.prompt.len());
        s.clear();
        s.extend_from_slice(bias);
        s.resize(nb + np, T::ZERO);
        let q_dims = &q[..self.sizes.head_dim];
        products(q_dims, &self.keys_t, self.n_pool(), group.behaviours.start, &mut s[..nb]);
        products(q_dims, &self.keys_t, self.n_pool(), group.prompt.start, &mut s[nb..]);
        if let Some((key, _)) = own {
            s.push(q.iter().zip(key).map(|(&a, &b)| a * b).sum());
        }
    }

    /// Weights of the scores.
    #[inline(always)]
    fn weights(&self, s: &[T], w: &mut Vec<T>) {
        w.clear();
        match self.sizes.kind {
            Attention::Hstu => {
                let norm = T::ONE / T::of(self.sizes.max_seq_len as f64);
                w.resize(s.len(), T::ZERO);
                for (w, &s) in w.iter_mut().zip(s) {
                    *w = s * s.sigmoid() * norm;
                }
            }
            Attention::Softmax => {
                let max = s.iter().copied().fold(s[0], Real::max);
                w.resize(s.len(), T::ZERO);
                for (w, &s) in w.iter_mut().zip(s) {
                    *w = (s - max).exp();
                }
                let inv = T::ONE / w.iter().copied().sum::<T>();
                w.iter_mut().for_each(|x| *x *= inv);
            }
        }
    }

    /// Gradients of the scores from those of the weights, in place.
    #[inline(always)]
    fn score_gradients(&self, s: &[T], w: &[T], dw: &mut [T]) {
        match self.sizes.kind {
            Attention::Hstu => {
                let norm = T::ONE / T::of(self.sizes.max_seq_len as f64);
                for (dw, &s) in dw.iter_mut().zip(s) {
                    let g = s.sigmoid();
                    *dw *= norm * g * (T::ONE + s * (T::ONE - g));
                }
            }
            Attention::Softmax => {
                let mean: T = w.iter().zip(dw.iter()).map(|(&w, &d)| w * d).sum();
                for (dw, &w) in dw.iter_mut().zip(w) {
                    *dw = w * (*dw - mean);
                }
            }
        }
    }

    /// `sum_j a_ij V_j` of every query.
    #[inline(always)]
    pub(super) fn forward(&self) -> Columns<T> {
        let mut out = Columns::zeros(self.geometry.n_queries(), self.sizes.head_dim);
        let mut scratch = Scratch::new();
        for group in &self.geometry.groups {
            self.bias(group, &mut scratch.bias);
            let (nb, np) = (group.behaviours.len(), group.prompt.len());
            for (k, i) in group.queries.clone().enumerate() {
                let row = self.geometry.row(i as usize);
                let own = self.own_rows(group, k, row);
                self.scores(group, self.q.row(row), own, &scratch.bias, &mut scratch.s);
                self.weights(&scratch.s, &mut scratch.w);
                let (acc, padded) = (out.row_mut(i as usize), self.values.padded);
                let w = &scratch.w;
                weighted_sum(&w[..nb], self.values.rows(group.behaviours.start, nb), padded, acc);
                weighted_sum(
                    &w[nb..nb + np],
                    self.values.rows(group.prompt.start, np),
                    padded,
                    acc,
                );
                if let Some((_, value)) = own {
                    weighted_sum(&w[nb + np..], value, padded, acc);
                }
            }
        }
        out
    }

    /// Gradients from those of the sums, `[n_queries, Dh]`.
    #[inline(always)]
    pub(super) fn backward(&self, grad: &Columns<T>) -> HeadGradient<T> {
        let dh = self.sizes.head_dim;
        let n_rows = self.q.data.len() / self.q.padded;
        let mut out = HeadGradient {
            q: Columns::zeros(n_rows, dh),
            keys: Columns::zeros(self.n_pool(), dh),
            values: Columns::zeros(self.n_pool(), dh),
            own: self
                .own
                .as_ref()
                .map(|_| (Columns::zeros(n_rows, dh), Columns::zeros(n_rows, dh))),
            rel_pos: vec![T::ZERO; self.rel_pos.len()],
            time: vec![T::ZERO; self.time.len()],
        };
        let mut scratch = Scratch::new();
        for group in &self.geometry.groups {
            self.bias(group, &mut scratch.bias);
            scratch.dbias.clear();
            scratch.dbias.resize(group.behaviours.len(), T::ZERO);
            for (k, i) in group.queries.clone().enumerate() {
                self.backward_query(group, k, grad.row(i as usize), &mut scratch, &mut out);
            }
            self.bias_gradients(group, &scratch.dbias, &mut out);
        }
        let scale = T::ONE / T::of(dh as f64).sqrt();
        out.q.data.iter_mut().for_each(|x| *x *= scale);
        out
    }

    #[inline(always)]
    fn backward_query(
        &self,
        group: &Group,
        k: usize,
        grad: &[T],
        scratch: &mut Scratch<T>,
        out: &mut HeadGradient<T>,
    ) {
        let (nb, np) = (group.behaviours.len(), group.prompt.len());
        let (b0, p0) = (group.behaviours.start, group.prompt.start);
        let Scratch { bias, s, w, dw, dbias } = scratch;
        let row = self.geometry.row(group.queries.start as usize + k);
        let (own, q, padded) = (self.own_rows(group, k, row), self.q.row(row), self.keys.padded);
        self.scores(group, q, own, bias, s);
        self.weights(s, w);
        dw.clear();
        dw.resize(nb + np, T::ZERO);
        let grad_dims = &grad[..self.sizes.head_dim];
        products(grad_dims, &self.values_t, self.n_pool(), b0, &mut dw[..nb]);
        products(grad_dims, &self.values_t, self.n_pool(), p0, &mut dw[nb..]);
        if let Some((_, value)) = own {
            dw.push(grad.iter().zip(value).map(|(&a, &b)| a * b).sum());
        }
        self.score_gradients(s, w, dw);
        let ds = &*dw;
        dbias.iter_mut().zip(&ds[..nb]).for_each(|(sum, &d)| *sum += d);
        outer_sum(&w[..nb], grad, out.values.rows_mut(b0, nb));
        outer_sum(&w[nb..nb + np], grad, out.values.rows_mut(p0, np));
        outer_sum(&ds[..nb], q, out.keys.rows_mut(b0, nb));
        outer_sum(&ds[nb..nb + np], q, out.keys.rows_mut(p0, np));
        let dq = out.q.row_mut(row);
        weighted_sum(&ds[..nb], self.keys.rows(b0, nb), padded, dq);
        weighted_sum(&ds[nb..nb + np], self.keys.rows(p0, np), padded, dq);
        let Some((key, _)) = own else { return };
        weighted_sum(&ds[nb + np..], key, padded, dq);
        let (d_key, d_value) = match (group.own, &mut out.own) {
            (SelfKey::Own, Some((keys, values))) => (keys.row_mut(row), values.row_mut(row)),
            (SelfKey::Pool(first), _) => {
                let i = first as usize + k;
                (out.keys.row_mut(i), out.values.row_mut(i))
            }
            _ => return,
        };
        outer_sum(&ds[nb + np..], q, d_key);
        outer_sum(&w[nb + np..], grad, d_value);
    }

    #[inline(always)]
    fn bias_gradients(&self, group: &Group, dbias: &[T], out: &mut HeadGradient<T>) {
        for (j, &d) in dbias.iter().enumerate() {
            out.rel_pos[self.rel_bucket(group, j)] += d;
        }
        if !self.time.is_empty() {
            let buckets = &self.geometry.buckets[group.buckets as usize..][..dbias.len()];
            for (&d, &t) in dbias.iter().zip(buckets) {
                out.time[t as usize] += d;
            }
        }
    }
}
