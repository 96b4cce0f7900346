//! From numbers to places on paper, and the round numbers beside an axis.

use super::width_of;
use crate::number;

/// How numbers of an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As they are.
    Plain,
    /// Shares, in percent.
    Share,
    /// Powers of ten: what is drawn are exponents.
    Power,
}

/// A stretch of numbers on a stretch of paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    domain: [f64; 2],
    paper: [f64; 2],
}

/// Numbers beyond are drawn at this one: the difference of two has to be finite.
const FARTHEST: f64 = 1e300;

impl Scale {
    /// `domain` need not be sensible: no stretch, or no numbers, becomes one around what there is.
    pub(crate) fn new(domain: [f64; 2], paper: [f64; 2]) -> Self {
        let [low, high] = domain.map(|v| v.clamp(-FARTHEST, FARTHEST));
        let domain = if low.is_nan() || high.is_nan() {
            [0.0, 1.0]
        } else if high - low > low.abs().max(high.abs()) * 1e-12 {
            [low, high]
        } else {
            let half = if low == 0.0 { 0.5 } else { low.abs() * 0.1 };
            [low - half, low + half]
        };
        Self { domain, paper }
    }

    /// With ends that are round.
    pub(crate) fn nice(domain: [f64; 2], paper: [f64; 2]) -> Self {
        let scale = Self::new(domain, paper);
        let step = step_for(scale.domain, 5);
        let [low, high] = scale.domain;
        let outer = [(low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step];
        Self::new(outer, paper)
    }

    pub(crate) fn domain(&self) -> [f64; 2] {
        self.domain
    }

    pub(crate) fn paper(&self) -> [f64; 2] {
        self.paper
    }

    /// Where a number is; within the paper always.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let [low, high] = self.domain;
        let part = ((value.clamp(-FARTHEST, FARTHEST) - low) / (high - low)).clamp(0.0, 1.0);
        let part = if part.is_nan() { 0.0 } else { part };
        self.paper[0] + part * (self.paper[1] - self.paper[0])
    }

    /// Round numbers and how they are written, as many as have room side by side (`across`) or above each
    /// other.
    pub(crate) fn ticks(&self, unit: Unit, across: bool) -> Vec<(f64, String)> {
        let room = (self.paper[1] - self.paper[0]).abs();
        let mut found = Vec::new();
        for want in (1..=7).rev() {
            found = match unit {
                Unit::Power => self.powers(want),
                _ => self.some_ticks(want, unit),
            };
            let needed: f64 =
                found.iter().map(|(_, t)| if across { width_of(t) + 14.0 } else { 26.0 }).sum();
            if needed <= room {
                break;
            }
        }
        found
    }

    fn some_ticks(&self, want: usize, unit: Unit) -> Vec<(f64, String)> {
        let step = step_for(self.domain, want);
        let (first, last) = (self.domain[0] / step - 1e-9, self.domain[1] / step + 1e-9);
        let range = first.ceil() as i64..=last.floor() as i64;
        range.map(|i| i as f64 * step).map(|v| (v, written(v, step, unit))).collect()
    }

    /// Powers of ten, and twice and five times these where more than a few are wanted.
    fn powers(&self, want: usize) -> Vec<(f64, String)> {
        let [low, high] = self.domain.map(|v| v.clamp(-300.0, 300.0));
        let every = ((high - low) / want as f64).ceil().max(1.0) as i32;
        let times: &[u8] = if want > 4 && high - low < 2.5 { &[1, 2, 5] } else { &[1] };
        let powers = (low.floor() as i32..=high.floor() as i32).filter(|p| p % every == 0);
        let all = powers.flat_map(|power| times.iter().map(move |n| (*n, power)));
        let each = all.map(|(n, power)| {
            (f64::from(n).log10() + f64::from(power), number::scientific(n, power))
        });
        each.filter(|(at, _)| (low - 1e-9..=high + 1e-9).contains(at)).collect()
    }
}

fn written(value: f64, step: f64, unit: Unit) -> String {
    let (value, step) =
        if unit == Unit::Share { (value * 100.0, step * 100.0) } else { (value, step) };
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0);
    let text = if decimals > 5.0 || value.abs() >= 1e6 {
        number::significant(value, 2)
    } else {
        number::fixed(value, decimals as usize)
    };
    if unit == Unit::Share { format!("{text}\u{a0}%") } else { text }
}

/// 1, 2 or 5 times a power of ten, so that about `want` steps fill the stretch, and no more.
fn step_for([low, high]: [f64; 2], want: usize) -> f64 {
    let rough = (high - low) / want as f64;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|s| *s >= rough * (1.0 - 1e-9))
        .unwrap_or(rough)
}

/// Place of a count on an axis of logarithms: 0 stands at 0, and 1 is seen.
pub(crate) fn log_count(n: u64) -> f64 {
    (n as f64 + 1.0).log10()
}

/// Powers of ten up to `most`, at most so many.
pub(crate) fn log_ticks(most: u64, want: u32) -> Vec<u64> {
    let decades = most.max(1).ilog10();
    let step = (decades + 1).div_ceil(want.max(1)).max(1);
    (0..=decades).step_by(step as usize).map(|e| 10_u64.pow(e)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_have_room() {
        let scale = Scale::nice([0.912, 1.0], [0.0, 330.0]);
        assert!((scale.domain()[0] - 0.9).abs() < 1e-12 && (scale.domain()[1] - 1.0).abs() < 1e-12);
        let ticks: Vec<_> = scale.ticks(Unit::Share, true).into_iter().map(|t| t.1).collect();
        assert_eq!(
            ticks,
            ["90\u{a0}%", "92\u{a0}%", "94\u{a0}%", "96\u{a0}%", "98\u{a0}%", "100\u{a0}%"]
        );
        let narrow = Scale::nice([0.912, 1.0], [0.0, 90.0]).ticks(Unit::Share, true);
        assert!(narrow.len() < 4, "{narrow:?}");
    }

    #[test]
    fn any_domain_has_a_scale() {
        for domain in [
            [0.0, 0.0],
            [3.0, 3.0],
            [-2.0, -2.0],
            [f64::NAN, 1.0],
            [f64::NEG_INFINITY, f64::INFINITY],
            [f64::MIN, f64::MAX],
            [1e-310, 2e-310],
            [1.0, 0.0],
        ] {
            for scale in [Scale::new(domain, [0.0, 100.0]), Scale::nice(domain, [0.0, 100.0])] {
                for value in [0.0, 1.0, f64::NAN, f64::INFINITY, f64::MIN] {
                    assert!((0.0..=100.0).contains(&scale.at(value)), "{domain:?} {value}");
                }
                assert!(scale.ticks(Unit::Plain, true).len() < 12, "{domain:?}");
            }
        }
    }

    #[test]
    fn powers_are_ticked() {
        let scale = Scale::new([-7.0, -2.0], [0.0, 330.0]);
        let ticks: Vec<_> = scale.ticks(Unit::Power, true).into_iter().map(|t| t.1).collect();
        assert_eq!(ticks, ["1e−7", "1e−6", "1e−5", "1e−4", "0.001", "0.01"]);
        let one = Scale::new([-4.2, -3.0], [0.0, 330.0]).ticks(Unit::Power, true);
        let one: Vec<_> = one.into_iter().map(|t| t.1).collect();
        assert_eq!(one, ["1e−4", "2e−4", "5e−4", "0.001"]);
    }

    #[test]
    fn decades_are_thinned() {
        assert_eq!(log_ticks(0, 4), [1]);
        assert_eq!(log_ticks(12_000, 4), [1, 100, 10_000]);
        assert_eq!(log_ticks(u64::MAX, 4).len(), 4);
    }
}
