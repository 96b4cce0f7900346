//! Counts of magnitudes over a range that doubles when it must.

/// Bins of every histogram.
pub const BINS: usize = 2048;
/// `log2` of [`BINS`].
const BINS_LOG2: i32 = 11;
/// The smallest range is `[0, 2^-100)`: smaller magnitudes share its bins.
pub const MIN_EXPONENT: i32 = -100;
/// The largest range is `[0, 2^128)`: every finite F32 is below.
pub const MAX_EXPONENT: i32 = 128;

/// How many non-zero finite values have a magnitude in each of [`BINS`] equal parts of `[0, 2^e)`.
///
/// `e` depends on the largest magnitude alone: it is the smallest exponent of
/// [`MIN_EXPONENT`]`..=`[`MAX_EXPONENT`] with that magnitude below `2^e`. When a larger value comes the range
/// doubles and bins merge in pairs, which is exact, so the counts do not depend on the order in which
/// values come, on how they are cut into calls, or on how histograms are merged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    exponent: i32,
    bins: Box<[u64; BINS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: MIN_EXPONENT, bins: Box::new([0; BINS]) }
    }
}

impl Histogram {
    /// `e` of the range `[0, 2^e)`.
    #[must_use]
    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// Values in each bin. Bin `i` covers `[i, i + 1)` times [`Self::bin_width`].
    #[must_use]
    pub fn bins(&self) -> &[u64; BINS] {
        &self.bins
    }

    /// Width of a bin, exact: `2^e / 2048`.
    #[must_use]
    pub fn bin_width(&self) -> f64 {
        f64::from(self.exponent - BINS_LOG2).exp2()
    }

    /// Values in all bins; zeros are in none.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// Bins up to the last that has a value; 0 when none has.
    #[must_use]
    pub fn occupied(&self) -> usize {
        self.bins.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1)
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.grow(other.exponent);
        let shift = (self.exponent - other.exponent).cast_unsigned().min(BINS_LOG2.cast_unsigned());
        for (bin, count) in other.bins.iter().enumerate() {
            self.bins[bin >> shift] += count;
        }
    }

    /// The exponent of the range for values of at most `magnitude`.
    pub(crate) fn exponent_for(magnitude: f32) -> i32 {
        let biased = (magnitude.abs().to_bits() >> 23).cast_signed();
        (biased - 126).clamp(MIN_EXPONENT, MAX_EXPONENT)
    }

    /// The counts, for those who know the range of what they add.
    pub(crate) fn bins_mut(&mut self) -> &mut [u64; BINS] {
        &mut self.bins
    }

    /// A histogram with these counts.
    pub(crate) fn from_parts(exponent: i32, bins: Box<[u64; BINS]>) -> Self {
        Self { exponent, bins }
    }

    /// Doubles the range until its exponent is at least `exponent`.
    pub(crate) fn grow(&mut self, exponent: i32) {
        if exponent <= self.exponent {
            return;
        }
        let shift = (exponent - self.exponent).cast_unsigned().min(BINS_LOG2.cast_unsigned());
        for bin in 1..BINS {
            let count = std::mem::take(&mut self.bins[bin]);
            self.bins[bin >> shift] += count;
        }
        self.exponent = exponent;
    }

    /// What a magnitude is multiplied with to become a bin's index, a power of two: the product is exact
    /// where it is at least 1, and below 1 it stays below 1.
    pub(crate) fn to_index(&self) -> f32 {
        f32::from_bits((127 + BINS_LOG2 - self.exponent).cast_unsigned() << 23)
    }
}
