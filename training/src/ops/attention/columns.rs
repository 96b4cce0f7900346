//! One head's columns of a matrix, and the sums over rows that attention is made of.

use crate::ops::real::Real;

/// Columns that are worked on at once; head widths are padded to a multiple.
const LANES: usize = 8;

/// Rows of one head's columns, padded with zeros to a multiple of [`LANES`].
pub(super) struct Columns<T> {
    pub(super) data: Vec<T>,
    pub(super) padded: usize,
    width: usize,
}

impl<T: Real> Columns<T> {
    pub(super) fn zeros(rows: usize, width: usize) -> Self {
        let padded = width.next_multiple_of(LANES);
        Self { data: vec![T::ZERO; rows * padded], padded, width }
    }

    /// Copies columns `at..at + width` of a row-major matrix.
    pub(super) fn gather(matrix: &[T], stride: usize, at: usize, width: usize) -> Self {
        let mut columns = Self::zeros(matrix.len() / stride, width);
        for (to, from) in
            columns.data.chunks_exact_mut(columns.padded).zip(matrix.chunks_exact(stride))
        {
            to[..width].copy_from_slice(&from[at..at + width]);
        }
        columns
    }

    /// Adds the columns to those of a row-major matrix.
    pub(super) fn scatter(&self, matrix: &mut [T], stride: usize, at: usize) {
        for (from, to) in self.data.chunks_exact(self.padded).zip(matrix.chunks_exact_mut(stride)) {
            to[at..at + self.width].iter_mut().zip(from).for_each(|(t, f)| *t += *f);
        }
    }

    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> &[T] {
        &self.data[i * self.padded..(i + 1) * self.padded]
    }

    #[inline(always)]
    pub(super) fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.data[i * self.padded..(i + 1) * self.padded]
    }

    #[inline(always)]
    pub(super) fn rows(&self, start: u32, n: usize) -> &[T] {
        &self.data[start as usize * self.padded..(start as usize + n) * self.padded]
    }

    #[inline(always)]
    pub(super) fn rows_mut(&mut self, start: u32, n: usize) -> &mut [T] {
        &mut self.data[start as usize * self.padded..(start as usize + n) * self.padded]
    }

    /// The transposed matrix: row `d` has column `d` of all rows.
    pub(super) fn transposed(&self) -> Vec<T> {
        let rows = self.data.len() / self.padded;
        let mut out = vec![T::ZERO; rows * self.width];
        for (i, row) in self.data.chunks_exact(self.padded).enumerate() {
            for (d, &x) in row[..self.width].iter().enumerate() {
                out[d * rows + i] = x;
            }
        }
        out
    }
}

/// `out[j] += sum_d row[d] * matrix_t[d][start + j]`
#[inline(always)]
pub(super) fn products<T: Real>(
    row: &[T],
    matrix_t: &[T],
    n_rows: usize,
    start: u32,
    out: &mut [T],
) {
    let (n, start) = (out.len(), start as usize);
    let column = |d: usize| &matrix_t[d * n_rows + start..][..n];
    // Four columns at a time: `out` is read and written a quarter as often.
    let (fours, rest) = row.as_chunks::<4>();
    for (i, x) in fours.iter().enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| column(4 * i + k).iter());
        for ((((o, &a), &b), &c), &d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *o += (x[0] * a + x[1] * b) + (x[2] * c + x[3] * d);
        }
    }
    for (i, &x) in rest.iter().enumerate() {
        for (o, &a) in out.iter_mut().zip(column(4 * fours.len() + i)) {
            *o += x * a;
        }
    }
}

/// `a + w * x`, lane by lane.
#[inline(always)]
fn multiply_add<T: Real>(a: [T; LANES], w: T, x: &[T; LANES]) -> [T; LANES] {
    let mut out = a;
    for lane in 0..LANES {
        out[lane] += w * x[lane];
    }
    out
}

/// `acc[d] += sum_j weights[j] * rows[j][d]`
#[inline(always)]
pub(super) fn weighted_sum<T: Real>(weights: &[T], rows: &[T], padded: usize, acc: &mut [T]) {
    let (rows, width) = (rows.as_chunks::<LANES>().0, padded / LANES);
    for (block, acc) in acc.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        // Two sums: each addition waits for the one before it.
        let (mut even, mut odd) = (*acc, [T::ZERO; LANES]);
        let (pairs, last) = weights.as_chunks::<2>();
        for (w, pair) in pairs.iter().zip(rows.chunks_exact(2 * width)) {
            even = multiply_add(even, w[0], &pair[block]);
            odd = multiply_add(odd, w[1], &pair[width + block]);
        }
        if let [w] = last {
            even = multiply_add(even, *w, &rows[(weights.len() - 1) * width + block]);
        }
        *acc = multiply_add(even, T::ONE, &odd);
    }
}

/// `rows[j][d] += weights[j] * row[d]`
#[inline(always)]
pub(super) fn outer_sum<T: Real>(weights: &[T], row: &[T], rows: &mut [T]) {
    let row = row.as_chunks::<LANES>().0;
    let rows = rows.as_chunks_mut::<LANES>().0;
    for (&w, out) in weights.iter().zip(rows.chunks_exact_mut(row.len())) {
        for (out, x) in out.iter_mut().zip(row) {
            *out = multiply_add(*out, w, x);
        }
    }
}
