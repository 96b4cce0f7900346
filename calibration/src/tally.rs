//! Fast counting into a histogram.

use crate::histogram::{BINS, Histogram};
use crate::simd::{Loop, vectorised};

/// Values whose bins are computed at once.
const RUN: usize = 256;
/// Histograms that take turns: a count cannot be read back at once after it was written, and neighbours
/// are often alike.
const TURNS: usize = 8;
/// Counts of one turn. Without the padding the same bin of all turns would share the low 12 bits of its
/// address, and processors take such a store and a load for the same.
const STRIDE: usize = BINS + 32;
/// Below so many values, clearing and adding up the turns costs more than they save.
const FEW: usize = 8192;

type Turn = [u16; STRIDE];

/// Counts that are on their way into a [`Histogram`].
pub(crate) struct Tally {
    turns: Option<Box<[Turn; TURNS]>>,
    /// No count of a turn is above this.
    held: usize,
}

impl Tally {
    /// A tally for about so many `values`.
    pub(crate) fn for_values(values: usize) -> Self {
        let turns = (values > FEW).then(|| Box::new([[0; STRIDE]; TURNS]));
        Self { turns, held: 0 }
    }

    /// Counts `block`, at most [`Self::BLOCK`] values of which `zeros` are zero, all finite and below
    /// `2^exponent` in magnitude.
    pub(crate) fn count(&mut self, into: &mut Histogram, block: &[f32], zeros: u64, exponent: i32) {
        let most = block.len().div_ceil(TURNS) + TURNS;
        if exponent > into.exponent() || self.held + most > usize::from(u16::MAX) {
            self.flush(into);
            into.grow(exponent);
        }
        let to_index = into.to_index();
        if let Some(turns) = &mut self.turns {
            self.held += most;
            vectorised(TakeTurns { turns, block, to_index });
        } else {
            vectorised(OneByOne { counts: into.bins_mut(), block, to_index });
        }
        // Zeros were counted with the rest: until the flush their bin may owe them.
        let first = &mut into.bins_mut()[0];
        *first = first.wrapping_sub(zeros);
    }

    /// Values that are counted at once: they stay in the first cache beside the turns.
    pub(crate) const BLOCK: usize = 2048;

    /// Moves all counts into the histogram.
    pub(crate) fn flush(&mut self, into: &mut Histogram) {
        self.held = 0;
        for turn in self.turns.iter_mut().flat_map(|turns| turns.iter_mut()) {
            for (bin, count) in into.bins_mut().iter_mut().zip(turn) {
                *bin = bin.wrapping_add(u64::from(std::mem::take(count)));
            }
        }
    }
}

/// Bin of each value of `run`: the floor of `|x| * to_index`, moved to where the unit in the last place of
/// an F32 is one, so that the low bits are the integer.
#[inline(always)]
fn find_bins(run: &[f32], to_index: f32, into: &mut [u32; RUN]) {
    const UNIT: f32 = 8_388_608.0;
    for (bin, value) in into.iter_mut().zip(run) {
        *bin = ((value.abs() * to_index).trunc() + UNIT).to_bits() & (BINS as u32 - 1);
    }
}

/// Counts a block of many.
struct TakeTurns<'a> {
    turns: &'a mut [Turn; TURNS],
    block: &'a [f32],
    to_index: f32,
}

impl Loop for TakeTurns<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [a, b, c, d, e, f, g, h] = self.turns;
        let mut bins = [0; RUN];
        for run in self.block.chunks(RUN) {
            find_bins(run, self.to_index, &mut bins);
            let (eights, rest) = bins[..run.len()].as_chunks::<TURNS>();
            for eight in eights {
                let [i, j, k, l, m, n, o, p] = eight.map(|bin| bin as usize & (BINS - 1));
                a[i] += 1;
                b[j] += 1;
                c[k] += 1;
                d[l] += 1;
                e[m] += 1;
                f[n] += 1;
                g[o] += 1;
                h[p] += 1;
            }
            for bin in rest {
                a[*bin as usize & (BINS - 1)] += 1;
            }
        }
    }
}

/// Counts a block of few.
struct OneByOne<'a> {
    counts: &'a mut [u64; BINS],
    block: &'a [f32],
    to_index: f32,
}

impl Loop for OneByOne<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut bins = [0; RUN];
        for run in self.block.chunks(RUN) {
            find_bins(run, self.to_index, &mut bins);
            for bin in &bins[..run.len()] {
                let count = &mut self.counts[*bin as usize & (BINS - 1)];
                *count = count.wrapping_add(1);
            }
        }
    }
}
