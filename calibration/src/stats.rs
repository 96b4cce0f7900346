//! What is kept of all values that one tensor took.

use std::num::NonZeroUsize;

use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};

use crate::error::CalibrationError;
use crate::histogram::Histogram;
use crate::survey::{Survey, raise_channels};
use crate::tally::Tally;

/// Values that are looked at together when whole rows or a conversion to F32 are needed: they stay in the
/// second cache.
const GROUP: usize = 16_384;

/// What a value is that is no number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonFiniteKind {
    /// Not a number, of either sign.
    Nan,
    /// `+inf`.
    PositiveInfinity,
    /// `-inf`.
    NegativeInfinity,
}

/// The first sample with a value that is not finite, and the kind of it; of several kinds in that sample,
/// the first in the order of [`NonFiniteKind`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonFinite {
    /// Index of the sample, as [`TensorStats::observe`] was told.
    pub sample: u64,
    /// What the value was.
    pub kind: NonFiniteKind,
}

/// Finite values that F16 cannot hold well, rounded to nearest even.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct F16Losses {
    /// Values `0 < |x| < 2^-14`: subnormal, with less than 11 significant bits, or zero.
    pub subnormal: u64,
    /// Of these the values `0 < |x| <= 2^-25`, which become zero.
    pub flushed: u64,
    /// Values `|x| >= 65520`, which become infinite.
    pub overflow: u64,
}

/// Statistics of one tensor over all samples.
///
/// Counts, extremes and a [`Histogram`], no sums of floats: the same values give the same statistics in any
/// order, cut into any batches, threads or shards.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(into = "crate::wire::Stats", try_from = "crate::wire::Stats")]
pub struct TensorStats {
    pub(crate) count: u64,
    pub(crate) zeros: u64,
    pub(crate) nan: u64,
    pub(crate) positive_infinity: u64,
    pub(crate) negative_infinity: u64,
    pub(crate) range: Option<(f32, f32)>,
    pub(crate) f16: F16Losses,
    pub(crate) channels: Option<Vec<f32>>,
    pub(crate) first_non_finite: Option<NonFinite>,
    pub(crate) histogram: Histogram,
}

impl TensorStats {
    /// Statistics of no value yet; with `channels`, the length of the last axis, the largest magnitude of
    /// each channel is kept too.
    #[must_use]
    pub fn new(channels: Option<NonZeroUsize>) -> Self {
        Self { channels: channels.map(|n| vec![0.0; n.get()]), ..Self::default() }
    }

    /// Adds `values`, row-major, which belong to sample `sample` (an index over all shards).
    ///
    /// # Errors
    /// [`CalibrationError::Rows`] when `values` are not whole rows of the channels; nothing is added.
    pub fn observe(&mut self, values: &[f32], sample: u64) -> Result<(), CalibrationError> {
        self.check_rows(values.len())?;
        let mut tally = Tally::for_values(values.len());
        for group in values.chunks(self.group()) {
            self.observe_group(group, sample, &mut tally);
        }
        tally.flush(&mut self.histogram);
        Ok(())
    }

    /// [`Self::observe`] for F16 values.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub fn observe_f16(
        &mut self,
        values: &[half::f16],
        sample: u64,
    ) -> Result<(), CalibrationError> {
        self.observe_half(values, sample, |from, to| from.convert_to_f32_slice(to))
    }

    /// [`Self::observe`] for BF16 values.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub fn observe_bf16(
        &mut self,
        values: &[half::bf16],
        sample: u64,
    ) -> Result<(), CalibrationError> {
        self.observe_half(values, sample, |from, to| from.convert_to_f32_slice(to))
    }

    fn observe_half<T>(
        &mut self,
        values: &[T],
        sample: u64,
        widen: impl Fn(&[T], &mut [f32]),
    ) -> Result<(), CalibrationError> {
        self.check_rows(values.len())?;
        let mut tally = Tally::for_values(values.len());
        let mut wide = vec![0.0; self.group().min(values.len())];
        for group in values.chunks(self.group()) {
            let wide = &mut wide[..group.len()];
            widen(group, wide);
            self.observe_group(wide, sample, &mut tally);
        }
        tally.flush(&mut self.histogram);
        Ok(())
    }

    fn check_rows(&self, values: usize) -> Result<(), CalibrationError> {
        match self.channel_count() {
            Some(channels) if !values.is_multiple_of(channels) => {
                Err(CalibrationError::Rows { values, channels })
            }
            _ => Ok(()),
        }
    }

    /// Values of a group: whole rows.
    fn group(&self) -> usize {
        self.channel_count().map_or(GROUP, |n| n * (GROUP / n).max(1))
    }

    fn observe_group(&mut self, group: &[f32], sample: u64, tally: &mut Tally) {
        if let Some(maxima) = &mut self.channels {
            raise_channels(maxima, group);
        }
        for block in group.chunks(Tally::BLOCK) {
            self.count += block.len() as u64;
            if let Some(survey) = Survey::of(block) {
                self.add(block, survey, tally);
                continue;
            }
            let finite: Vec<f32> = block.iter().copied().filter(|x| x.is_finite()).collect();
            self.add_non_finite(block, sample);
            if let Some(survey) = Survey::of(&finite) {
                self.add(&finite, survey, tally);
            }
        }
    }

    fn add(&mut self, finite: &[f32], survey: Survey, tally: &mut Tally) {
        let Survey { min, max, zeros, .. } = survey;
        self.zeros += zeros;
        self.f16.subnormal += survey.f16_subnormal;
        self.f16.flushed += survey.f16_flushed;
        self.f16.overflow += survey.f16_overflow;
        self.range = wider(self.range, Some((min, max)));
        if zeros < finite.len() as u64 {
            let exponent = Histogram::exponent_for(survey.top());
            tally.count(&mut self.histogram, finite, zeros, exponent);
        }
    }

    fn add_non_finite(&mut self, block: &[f32], sample: u64) {
        for value in block.iter().filter(|x| !x.is_finite()) {
            let (count, kind) = if value.is_nan() {
                (&mut self.nan, NonFiniteKind::Nan)
            } else if *value > 0.0 {
                (&mut self.positive_infinity, NonFiniteKind::PositiveInfinity)
            } else {
                (&mut self.negative_infinity, NonFiniteKind::NegativeInfinity)
            };
            *count += 1;
            self.first_non_finite =
                earlier(self.first_non_finite, Some(NonFinite { sample, kind }));
        }
    }

    /// Adds what `other` has seen. Associative and commutative.
    ///
    /// # Errors
    /// [`CalibrationError::Channels`] when the two were not made for the same channels; nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), CalibrationError> {
        if self.channel_count() != other.channel_count() {
            return Err(CalibrationError::Channels {
                ours: self.channel_count(),
                theirs: other.channel_count(),
            });
        }
        if let (Some(maxima), Some(rows)) = (&mut self.channels, &other.channels) {
            raise_channels(maxima, rows);
        }
        self.add_values(other);
        Ok(())
    }

    /// Adds what `other` has seen, but for its channels: for values that are those of another tensor in other
    /// places.
    pub fn add_values(&mut self, other: &Self) {
        self.count += other.count;
        self.zeros += other.zeros;
        self.nan += other.nan;
        self.positive_infinity += other.positive_infinity;
        self.negative_infinity += other.negative_infinity;
        self.range = wider(self.range, other.range);
        self.f16.subnormal += other.f16.subnormal;
        self.f16.flushed += other.f16.flushed;
        self.f16.overflow += other.f16.overflow;
        self.first_non_finite = earlier(self.first_non_finite, other.first_non_finite);
        self.histogram.merge(&other.histogram);
    }
}

fn wider(a: Option<(f32, f32)>, b: Option<(f32, f32)>) -> Option<(f32, f32)> {
    match (a, b) {
        (Some((low, high)), Some((min, max))) => Some((low.min(min), high.max(max))),
        (some, None) | (None, some) => some,
    }
}

fn earlier(a: Option<NonFinite>, b: Option<NonFinite>) -> Option<NonFinite> {
    a.into_iter().chain(b).min()
}

/// What was seen.
impl TensorStats {
    /// All values, those that are not finite included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Values that are finite.
    #[must_use]
    pub fn finite(&self) -> u64 {
        self.count - self.nan - self.positive_infinity - self.negative_infinity
    }

    /// Values that are `0.0` or `-0.0`.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Values that are not a number.
    #[must_use]
    pub fn nan(&self) -> u64 {
        self.nan
    }

    /// Values that are `+inf`.
    #[must_use]
    pub fn positive_infinity(&self) -> u64 {
        self.positive_infinity
    }

    /// Values that are `-inf`.
    #[must_use]
    pub fn negative_infinity(&self) -> u64 {
        self.negative_infinity
    }

    /// Smallest finite value, exact; `-0.0` is told as `0.0`, as the two compare equal.
    #[must_use]
    pub fn min(&self) -> Option<f32> {
        self.range.map(|(min, _)| min)
    }

    /// Largest finite value, exact; `-0.0` is told as `0.0`, as the two compare equal.
    #[must_use]
    pub fn max(&self) -> Option<f32> {
        self.range.map(|(_, max)| max)
    }

    /// The one value that all have, where there are several.
    #[must_use]
    pub fn constant(&self) -> Option<f32> {
        self.min().filter(|min| self.finite() > 1 && self.max() == Some(*min))
    }

    /// Largest finite magnitude, exact.
    #[must_use]
    pub fn absmax(&self) -> Option<f32> {
        self.range.map(|(min, max)| max.max(-min))
    }

    /// What F16 would lose.
    #[must_use]
    pub fn f16_losses(&self) -> F16Losses {
        self.f16
    }

    /// Largest finite magnitude of each channel, 0 where there was none; `None` when not asked for.
    #[must_use]
    pub fn channel_maxima(&self) -> Option<&[f32]> {
        self.channels.as_deref()
    }

    /// Length of the last axis, when channels were asked for.
    #[must_use]
    pub fn channel_count(&self) -> Option<usize> {
        self.channels.as_ref().map(Vec::len)
    }

    /// The first sample with a value that is not finite.
    #[must_use]
    pub fn first_non_finite(&self) -> Option<NonFinite> {
        self.first_non_finite
    }

    /// Magnitudes of the finite values that are not zero.
    #[must_use]
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }
}
