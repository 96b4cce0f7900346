//! Products with weights: their numbers, and how they run.

use serde::Serialize;

/// How a product runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// In 16 or 32 bits.
    #[default]
    Wide,
    /// On 8-bit numbers.
    Narrow,
    /// On 8-bit numbers, its activation smoothed.
    Smoothed,
}

/// What a product costs when it alone runs on 8-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Alone {
    /// The way that was tried.
    pub way: Way,
    /// rms error of the scores, in standard deviations of a request's scores.
    pub score_error: f64,
    /// Mean overlap, ties forgiven.
    pub overlap: f64,
}

/// A product of an activation and a weight.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Product {
    /// Name of the node.
    pub node: String,
    /// The graph it is part of.
    pub graph: String,
    /// Its activation.
    pub activation: String,
    /// Its weight.
    pub weight: String,
    /// How it runs.
    pub way: Way,
    /// Its share of the FLOPs of all products with weights.
    pub flops_share: Option<f64>,
    /// Magnitudes of what is quantized: of the smoothed activation, if it is smoothed.
    pub magnitudes: Option<Magnitudes>,
    /// Scale of the activation, in its unit a code.
    pub activation_scale: Option<f64>,
    /// Smallest and largest scale of the weight's channels.
    pub weight_scales: Option<[f64; 2]>,
    /// Output channels of the weight that are all zeros.
    pub dead_channels: Option<u64>,
    /// What it costs alone.
    pub alone: Option<Alone>,
}

/// A histogram of magnitudes, thinned for drawing, and where it is clipped.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Magnitudes {
    /// End of the last bar; bars are equally wide and the first begins at 0.
    pub end: f64,
    /// Values in each bar. Zeros are in none.
    pub bars: Vec<u64>,
    /// Zeros.
    pub zeros: u64,
    /// The magnitude that becomes the largest code.
    pub clip: Option<f64>,
    /// Share of all values, zeros included, with a larger magnitude than the clip; within a bin values
    /// count as evenly spread.
    pub above: Option<f64>,
}

/// Most bars of a thinned histogram.
const BARS: usize = 64;

impl Magnitudes {
    /// Thins counts of equal parts of `[0, end)`, and cuts what is empty at the end of them.
    #[must_use]
    pub fn of(counts: &[u64], end: f64, zeros: u64, clip: Option<f64>) -> Self {
        let width = end / counts.len().max(1) as f64;
        let occupied = counts.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1);
        let inside = clip.filter(|c| *c < end).map_or(0, |c| (c / width).ceil() as usize);
        let used = occupied.max(inside).min(counts.len());
        let part = used.div_ceil(BARS).max(1);
        let bars: Vec<u64> = counts[..used]
            .chunks(part)
            .map(|some| some.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)))
            .collect();
        Self {
            end: width * (part * bars.len()) as f64,
            bars,
            zeros,
            clip,
            above: clip.and_then(|clip| share_above(counts, width, zeros, clip)),
        }
    }

    /// All values, zeros included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bars.iter().fold(self.zeros, |sum, n| sum.saturating_add(*n))
    }
}

fn share_above(counts: &[u64], width: f64, zeros: u64, clip: f64) -> Option<f64> {
    let total = counts.iter().fold(zeros as f64, |sum, n| sum + *n as f64);
    let part = |bin: usize| (bin as f64 + 1.0 - clip / width).clamp(0.0, 1.0);
    let above: f64 = counts.iter().enumerate().map(|(bin, n)| part(bin) * *n as f64).sum();
    (total > 0.0 && clip.is_finite()).then_some(above / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_merge_into_bars_and_none_is_lost() {
        let mut counts = vec![0_u64; 2048];
        counts[..1300].fill(2);
        let found = Magnitudes::of(&counts, 16.0, 400, Some(8.0));
        assert_eq!(found.total(), 3000);
        assert!(found.bars.len() <= BARS && found.bars.len() > BARS - 4, "{}", found.bars.len());
        let above = found.above.unwrap();
        assert!((above - 552.0 / 3000.0).abs() < 1e-12, "{above}");
        assert!((found.end / 16.0 * 2048.0 - (found.bars.len() * 21) as f64).abs() < 1e-9);
    }

    #[test]
    fn a_clip_within_a_bin_cuts_it() {
        let found = Magnitudes::of(&[10, 10], 2.0, 0, Some(1.25));
        assert_eq!(found.above, Some(7.5 / 20.0));
        assert_eq!(Magnitudes::of(&[10, 10], 2.0, 0, Some(5.0)).above, Some(0.0));
    }

    #[test]
    fn nothing_is_something() {
        assert_eq!(Magnitudes::of(&[], 1.0, 0, Some(1.0)).above, None);
        assert_eq!(Magnitudes::of(&[0; 8], 1.0, 5, None).bars, Vec::<u64>::new());
        let huge = Magnitudes::of(&[u64::MAX; 128], 1.0, u64::MAX, Some(f64::NAN));
        assert_eq!((huge.total(), huge.above), (u64::MAX, None));
    }
}
