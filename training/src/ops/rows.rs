//! Loops over the rows of a matrix, on all threads and with the vector instructions of this machine.

use rayon::prelude::*;

use super::{real::Real, simd::vectorised};

/// Rows of a matrix that one task works on: sums over tasks are made in this order, whatever the number
/// of threads.
const BLOCK: usize = 512;

/// Calls `f(i, row i of out)` for all rows.
pub(super) fn each<T: Real>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    out.par_chunks_mut(width * BLOCK).enumerate().for_each(|(block, rows)| {
        vectorised(
            #[inline(always)]
            || {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    f(block * BLOCK + i, row);
                }
            },
        );
    });
}

/// Like [`each`], with a sum of length `n` that every row adds to.
pub(super) fn each_sum<T: Real>(
    out: &mut [T],
    width: usize,
    n: usize,
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) -> Vec<T> {
    let partial = |(block, rows): (usize, &mut [T])| {
        let mut sum = vec![T::ZERO; n];
        vectorised(
            #[inline(always)]
            || {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    f(block * BLOCK + i, row, &mut sum);
                }
            },
        );
        sum
    };
    let parts: Vec<_> = out.par_chunks_mut(width * BLOCK).enumerate().map(partial).collect();
    parts.into_iter().fold(vec![T::ZERO; n], |mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        sum
    })
}

/// Sum of a row.
#[inline(always)]
pub(super) fn sum<T: Real>(row: &[T]) -> T {
    fold(row, row, |a, _| a)
}

/// Sum of products of two rows.
#[inline(always)]
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    fold(a, b, |a, b| a * b)
}

/// Sum of `f` over two rows in eight lanes.
#[inline(always)]
fn fold<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::ZERO; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a8.remainder().iter().zip(b8.remainder()).map(|(&a, &b)| f(a, b)).sum::<T>();
    for (a, b) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    lanes.into_iter().sum::<T>() + rest
}
