//! From statistics to the magnitude that the largest code stands for.

use std::{fmt, str::FromStr};

use crate::error::{ClipError, MethodError};
use crate::stats::TensorStats;
use crate::{entropy, fp8, int8, mse};

/// The smallest scale: the smallest normal F32, `2^-126`, as consumers may flush what is below. It is the
/// scale of dead tensors, those whose values are all zero: they stay zero, and nothing is divided by zero.
pub const SMALLEST_SCALE: f32 = f32::MIN_POSITIVE;

/// What codes are numbers of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// Symmetric INT8: even steps, the range ends at 127.
    Int8,
    /// FP8 E4M3: the range ends at 448.
    Fp8E4M3,
}

impl Target {
    /// The magnitude of the largest code.
    #[must_use]
    pub fn max_code(self) -> f32 {
        match self {
            Self::Int8 => int8::MAX,
            Self::Fp8E4M3 => fp8::MAX,
        }
    }

    /// The magnitudes of all codes, ascending from 0.
    pub(crate) fn grid(self) -> Vec<f64> {
        match self {
            Self::Int8 => (0..=127_u8).map(f64::from).collect(),
            Self::Fp8E4M3 => (0..fp8::NAN).map(|code| f64::from(fp8::decode(code))).collect(),
        }
    }
}

/// The scale whose largest code is `amax`: `amax / 127` or `amax / 448` in F32, and at least
/// [`SMALLEST_SCALE`], so that it is always positive and finite.
#[must_use]
pub fn scale(amax: f32, target: Target) -> f32 {
    // Written so that NaN gives the smallest.
    let scale = amax / target.max_code();
    if scale >= SMALLEST_SCALE { scale.min(f32::MAX) } else { SMALLEST_SCALE }
}

/// How the range of a tensor is chosen.
///
/// `FromStr` and `Display` use `minmax`, `percentile`, `percentile=99.999`, `entropy` and `mse`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Method {
    /// The largest magnitude: nothing is clipped.
    MinMax,
    /// The upper edge of the bin within which so many percent of the values that are not zero lie. Zeros
    /// do not count, they need no range: otherwise padding would move it.
    Percentile(f64),
    /// The range whose 128 even steps lose the least information: smallest Kullback-Leibler divergence of
    /// the coarse distribution from the clipped one. For INT8 only.
    Entropy,
    /// The range with the smallest expected squared error, of rounding and of clipping.
    Mse,
}

impl Method {
    /// The percentile when none is given.
    pub const DEFAULT_PERCENTILE: f64 = 99.99;

    /// The magnitude that the largest code of `target` stands for: positive, and never above the largest
    /// magnitude seen, save for tensors so small that their scale would be below [`SMALLEST_SCALE`].
    ///
    /// Values that are not finite have no part in it.
    ///
    /// # Errors
    /// [`ClipError`] when no finite value was seen, or the method does not know the target.
    pub fn clip(self, stats: &TensorStats, target: Target) -> Result<f32, ClipError> {
        let values = stats.count();
        let none = if values == 0 { ClipError::Empty } else { ClipError::NoFinite { values } };
        let absmax = stats.absmax().ok_or(none)?;
        if self == Self::Entropy && target == Target::Fp8E4M3 {
            return Err(ClipError::EntropyForFp8);
        }
        let histogram = stats.histogram();
        let bins = match self {
            _ if absmax == 0.0 => return Ok(SMALLEST_SCALE * target.max_code()),
            Self::MinMax => f64::INFINITY,
            Self::Percentile(percent) => percentile(histogram.bins(), percent) as f64,
            Self::Entropy => entropy::best(histogram.bins(), histogram.occupied()) as f64,
            Self::Mse => {
                let top = f64::from(absmax) / histogram.bin_width();
                mse::best(histogram.bins(), top, &target.grid())
            }
        };
        let amax = (bins * histogram.bin_width()) as f32;
        Ok(amax.min(absmax).max(SMALLEST_SCALE * target.max_code()))
    }
}

/// Bins that hold at least `percent` of all values; there is at least one value.
fn percentile(bins: &[u64], percent: f64) -> usize {
    let total: u64 = bins.iter().sum();
    let needed = ((percent / 100.0 * total as f64).ceil() as u64).clamp(1, total.max(1));
    let mut sum = 0;
    let reached = bins.iter().position(|count| {
        sum += count;
        sum >= needed
    });
    reached.map_or(bins.len(), |bin| bin + 1)
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(percent) => write!(f, "percentile={percent}"),
            Self::Entropy => f.write_str("entropy"),
            Self::Mse => f.write_str("mse"),
        }
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, MethodError> {
        let error = |reason| MethodError { text: text.to_owned(), reason };
        match text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value))) {
            ("minmax", None) => Ok(Self::MinMax),
            ("entropy", None) => Ok(Self::Entropy),
            ("mse", None) => Ok(Self::Mse),
            ("percentile", None) => Ok(Self::Percentile(Self::DEFAULT_PERCENTILE)),
            ("percentile", Some(value)) => match value.parse::<f64>() {
                Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self::Percentile(percent)),
                _ => Err(error("a percentile is above 0 and at most 100")),
            },
            ("minmax" | "entropy" | "mse", Some(_)) => Err(error("this method takes no value")),
            _ => Err(error("methods are minmax, percentile[=99.99], entropy, mse")),
        }
    }
}
