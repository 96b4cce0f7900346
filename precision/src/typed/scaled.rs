//! Statistics of numbers that are a power of two times others.

use onr_calibration::TensorStats;

use crate::Measured;

/// FP16's smallest normal number is two to this, and what becomes 0 in it is at most two to the second.
const NORMAL: i32 = -14;
const FLUSHED: i32 = -25;

/// What a cast asks of numbers that are `2^shift` times those that were measured.
///
/// Counts of what is too small are exact without a shift, and where the limit falls on an edge of the histogram's
/// bins. Inside its first bin they lie on a line between what was counted on both sides.
pub(super) fn measured(stats: &TensorStats, shift: i32) -> Measured {
    let largest = f64::from(stats.absmax().unwrap_or(0.0)) * f64::from(shift).exp2();
    let (subnormal, flushed) = match shift {
        0 => (stats.f16_losses().subnormal, stats.f16_losses().flushed),
        _ => (below(stats, NORMAL - shift), below(stats, FLUSHED - shift)),
    };
    #[expect(clippy::cast_possible_truncation, reason = "an F32 and a power of two")]
    let max_abs = largest as f32;
    Measured { max_abs, count: stats.count(), subnormal, flushed }
}

/// Numbers that are not 0 and below `2^exponent` in magnitude.
fn below(stats: &TensorStats, exponent: i32) -> u64 {
    let histogram = stats.histogram();
    let limit = f64::from(exponent).exp2();
    let width = histogram.bin_width();
    if limit >= width {
        // Both are powers of two: the limit is an edge, or beyond the last.
        let whole = histogram.bins().iter().enumerate();
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        return whole.filter(|(bin, _)| (*bin as f64) * width < limit).map(|(_, n)| n).sum();
    }
    let losses = stats.f16_losses();
    let known = [
        (0.0, 0),
        (f64::from(FLUSHED).exp2(), losses.flushed),
        (f64::from(NORMAL).exp2(), losses.subnormal),
        (width, histogram.bins()[0]),
    ];
    let under = known.iter().filter(|(at, _)| *at <= limit).max_by(|a, b| a.0.total_cmp(&b.0));
    let over = known.iter().filter(|(at, _)| *at >= limit).min_by(|a, b| a.0.total_cmp(&b.0));
    match (under, over) {
        (Some((low, few)), Some((high, many))) if high > low => {
            few + part(many.saturating_sub(*few), (limit - low) / (high - low))
        }
        (Some((_, count)), _) | (_, Some((_, count))) => *count,
        _ => 0,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count times a share of it"
)]
fn part(count: u64, share: f64) -> u64 {
    (count as f64 * share).round() as u64
}

#[cfg(test)]
mod tests {
    use onr_calibration::TensorStats;

    use super::measured;

    fn stats(numbers: &[f32]) -> TensorStats {
        let mut stats = TensorStats::new(None);
        stats.observe(numbers, 0).unwrap();
        stats
    }

    #[test]
    fn a_shift_counts_what_the_shifted_numbers_would() {
        let numbers: Vec<f32> = (1..4000).map(|i| i as f32 * 2.5e-6).chain([0.0; 40]).collect();
        let seen = stats(&numbers);
        for shift in [-6, -3, 0, 3, 6] {
            let factor = (shift as f32).exp2();
            let moved: Vec<f32> = numbers.iter().map(|x| x * factor).collect();
            let (found, exact) = (measured(&seen, shift), measured(&stats(&moved), 0));
            assert_eq!((found.max_abs, found.count), (exact.max_abs, exact.count));
            let near = |a: u64, b: u64| a.abs_diff(b) <= 1 + b / 50;
            assert!(near(found.subnormal, exact.subnormal), "{shift}: {found:?} {exact:?}");
            assert!(near(found.flushed, exact.flushed), "{shift}: {found:?} {exact:?}");
        }
    }

    #[test]
    fn edges_of_bins_are_exact() {
        let numbers = [1.0, 0.5, 0.250_01, 0.25, 0.249_9, 0.125, 0.01];
        let found = measured(&stats(&numbers), -12);
        assert_eq!(found.subnormal, 3, "below 2^-2 are three");
    }
}
