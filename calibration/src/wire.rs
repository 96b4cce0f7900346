//! The JSON form of [`TensorStats`].

use serde::{Deserialize, Serialize};

use crate::histogram::{BINS, Histogram, MAX_EXPONENT, MIN_EXPONENT};
use crate::stats::{F16Losses, NonFinite, TensorStats};

/// Extremes are written as F64, which has every F32 exactly, so that a parser may be one unit off in the
/// last place and the F32 is still the same. `bins` has the count of each bin in order, and `-n` for `n`
/// empty bins in a row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stats {
    count: u64,
    zeros: u64,
    nan: u64,
    positive_infinity: u64,
    negative_infinity: u64,
    first_non_finite: Option<NonFinite>,
    min: Option<f64>,
    max: Option<f64>,
    f16_subnormal: u64,
    f16_flushed: u64,
    f16_overflow: u64,
    channel_maxima: Option<Vec<f64>>,
    exponent: i32,
    bins: Vec<i64>,
}

impl From<TensorStats> for Stats {
    fn from(stats: TensorStats) -> Self {
        let maxima = stats.channels.map(|all| all.into_iter().map(f64::from).collect());
        Self {
            count: stats.count,
            zeros: stats.zeros,
            nan: stats.nan,
            positive_infinity: stats.positive_infinity,
            negative_infinity: stats.negative_infinity,
            first_non_finite: stats.first_non_finite,
            min: stats.range.map(|(min, _)| min.into()),
            max: stats.range.map(|(_, max)| max.into()),
            f16_subnormal: stats.f16.subnormal,
            f16_flushed: stats.f16.flushed,
            f16_overflow: stats.f16.overflow,
            channel_maxima: maxima,
            exponent: stats.histogram.exponent(),
            bins: pack(stats.histogram.bins()),
        }
    }
}

impl TryFrom<Stats> for TensorStats {
    type Error = &'static str;

    fn try_from(wire: Stats) -> Result<Self, Self::Error> {
        if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&wire.exponent) {
            return Err("the exponent of a histogram is out of range");
        }
        let bins = unpack(&wire.bins).ok_or("the bins of a histogram are not 2048")?;
        let range = match (wire.min, wire.max) {
            (None, None) => None,
            (Some(min), Some(max)) => Some((min as f32, max as f32)),
            _ => return Err("only one of min and max is there"),
        };
        let narrow = |all: Vec<f64>| all.into_iter().map(|x| x as f32).collect();
        let stats = Self {
            count: wire.count,
            zeros: wire.zeros,
            nan: wire.nan,
            positive_infinity: wire.positive_infinity,
            negative_infinity: wire.negative_infinity,
            range,
            f16: F16Losses {
                subnormal: wire.f16_subnormal,
                flushed: wire.f16_flushed,
                overflow: wire.f16_overflow,
            },
            channels: wire.channel_maxima.map(narrow),
            first_non_finite: wire.first_non_finite,
            histogram: Histogram::from_parts(wire.exponent, bins),
        };
        check(&stats).map(|()| stats)
    }
}

/// What every sequence of observations keeps.
fn check(stats: &TensorStats) -> Result<(), &'static str> {
    let not_finite = [stats.nan, stats.positive_infinity, stats.negative_infinity];
    let mut parts = stats.histogram.bins().iter().chain(&not_finite);
    let sum = parts.try_fold(stats.zeros, |sum, part| sum.checked_add(*part));
    if sum != Some(stats.count) {
        return Err("the counts of a tensor do not add up");
    }
    if stats.range.is_some() != (stats.finite() > 0) {
        return Err("min and max do not go with the count of finite values");
    }
    if stats.range.is_some_and(|(min, max)| !(min <= max && min.is_finite() && max.is_finite())) {
        return Err("min and max are not finite or not in order");
    }
    if stats.histogram.exponent() != Histogram::exponent_for(stats.absmax().unwrap_or(0.0)) {
        return Err("the exponent of a histogram does not go with min and max");
    }
    if stats.first_non_finite.is_some() != (stats.finite() < stats.count) {
        return Err("the first value that is not finite does not go with their counts");
    }
    if stats.channels.as_ref().is_some_and(|all| {
        all.is_empty() || all.iter().any(|x| !x.is_finite() || x.is_sign_negative())
    }) {
        return Err("the maxima of channels are not finite magnitudes");
    }
    Ok(())
}

/// Counts above `i64::MAX`, which nobody lives to see, are cut there.
fn pack(bins: &[u64; BINS]) -> Vec<i64> {
    let mut packed = Vec::new();
    for count in bins {
        match packed.last_mut() {
            Some(run) if *count == 0 && *run < 0 => *run -= 1,
            _ if *count == 0 => packed.push(-1),
            _ => packed.push(i64::try_from(*count).unwrap_or(i64::MAX)),
        }
    }
    packed
}

fn unpack(packed: &[i64]) -> Option<Box<[u64; BINS]>> {
    let mut bins = Box::new([0; BINS]);
    let mut at = 0_usize;
    for entry in packed {
        match *entry {
            0 => return None,
            run if run < 0 => at = at.checked_add(usize::try_from(run.unsigned_abs()).ok()?)?,
            count => {
                *bins.get_mut(at)? = count.cast_unsigned();
                at += 1;
            }
        }
    }
    (at == BINS).then_some(bins)
}
