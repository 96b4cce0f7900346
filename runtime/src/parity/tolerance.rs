//! How far a candidate may be from the reference: data, with reasons.

use onr_graphs::Precision;
use serde::{Deserialize, Serialize};

use super::{
    compare::{Difference, Differences},
    job::Coded,
};
use crate::tensor::HostTensor;

/// What an output must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Every element within this many times the output's rms (or 1e-3, for outputs near 0).
    Elements {
        /// Largest `|error| / rms`.
        times_rms: f64,
    },
    /// The pooled rms error within this many times the output's rms.
    Pooled {
        /// Largest ratio of the two.
        times_rms: f64,
    },
    /// The pooled rms error within this many times what rounding the weights alone costs.
    WeightsOnly {
        /// Largest ratio of the two.
        ratio: f64,
        /// Error, in units of the output's rms, below which the ratio says nothing.
        floor: f64,
        /// Candidates may swap whose scores are closer than this many times what rounding the weights costs.
        tie: f64,
    },
}

/// How far an output may be from the reference's, in its own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", content = "value", rename_all = "kebab-case")]
pub enum Limit {
    /// Of the largest difference of an element.
    Largest(f64),
    /// Of the root mean square of all differences.
    Rms(f64),
}

impl Limit {
    /// The number.
    #[must_use]
    pub const fn value(self) -> f64 {
        match self {
            Self::Largest(value) | Self::Rms(value) => value,
        }
    }
}

/// The rms of an output that is nearly 0 counts as this.
const SMALL: f64 = 1e-3;

/// Top-k overlap that every precision must keep, ties forgiven.
pub(super) const MIN_OVERLAP: f64 = 0.99;

/// `k` of the overlap.
pub(super) const OVERLAP_K: usize = 10;

impl Tolerance {
    /// The tolerance of 8-bit products, towards FP32 graphs with rounded weights and the same products quantized:
    /// the rule of 16 bits, as some outputs have no 8-bit product behind them. Where they have, codes are the same but
    /// for values on the border between two, and the ratio is near 1. Errors of quantization have outliers that
    /// those of rounding have not: three times their rms is still a tie.
    pub const QUANTIZED: Self = Self::WeightsOnly { ratio: 2.0, floor: 4e-4, tie: 3.0 };

    /// The tolerance of a precision.
    #[must_use]
    pub const fn of(precision: Precision) -> Self {
        match precision {
            // Sums in another order: some 1e-6 of the rms after a few layers. A weight off by a few
            // percent moves some element by more than this (tests/parity.rs, weight by weight).
            Precision::F32 => Self::Elements { times_rms: 3e-5 },
            // NVIDIA's own tests allow twice the error of the half-precision reference. Rounding the
            // weights is the part of that error that no implementation can avoid.
            // The floor is what three roundings of numbers of that size cost (of the operand, the
            // product and the output; 2.5e-4 rms each), in every layer: in a shallow graph, and on
            // a handful of numbers, the weights' share can be smaller by chance. Some five to six
            // roundings a layer were measured; twice the floor is ten.
            Precision::F16 => Self::WeightsOnly { ratio: 2.0, floor: 4e-4, tie: 1.0 },
            Precision::BF16 => Self::WeightsOnly { ratio: 2.0, floor: 3.2e-3, tie: 1.0 },
        }
    }

    /// The same for a model of so many layers: what rounding activations costs adds up, layer by layer, as squares do.
    #[must_use]
    pub fn through(self, layers: usize) -> Self {
        match self {
            Self::WeightsOnly { ratio, floor, tie } => {
                let floor = floor * (layers.max(1) as f64).sqrt();
                Self::WeightsOnly { ratio, floor, tie }
            }
            other => other,
        }
    }

    /// The tolerance towards another implementation, or another engine on the same file.
    #[must_use]
    pub const fn golden(precision: Precision) -> Self {
        match precision {
            // Other kernels, other orders of sums; the contract is tested to the same 1e-4.
            Precision::F32 => Self::Elements { times_rms: 1e-4 },
            // 11 bits of fraction through some ten products; single elements stray furthest.
            Precision::F16 => Self::Elements { times_rms: 3e-2 },
            // 8 bits of fraction.
            Precision::BF16 => Self::Elements { times_rms: 0.25 },
        }
    }

    /// The tolerance towards the same graphs built anew, on one engine and one input: what engines fuse can differ
    /// where nodes do.
    #[must_use]
    pub const fn twin(precision: Precision, eight_bits: bool) -> Self {
        match precision {
            // Some numbers on the border of two codes.
            _ if eight_bits => Self::Pooled { times_rms: 4e-3 },
            Precision::F32 => Self::of(Precision::F32),
            Precision::F16 => Self::Pooled { times_rms: 1e-3 },
            Precision::BF16 => Self::Pooled { times_rms: 8e-3 },
        }
    }

    /// The tolerance of a history that grew towards one that came whole, where keys and values are codes: what their
    /// rounding costs, which is a few percent, and not more.
    pub const CODED_KEYS: Self = Self::Pooled { times_rms: 0.1 };

    /// The tolerance of an engine towards itself on another batch: other shapes have other kernels and other orders
    /// of sums.
    #[must_use]
    pub const fn relation(precision: Precision, eight_bits: bool) -> Self {
        if eight_bits {
            // A number on the border of two codes may get the other one, a step of one hundredth of the range.
            return Self::Pooled { times_rms: 2e-2 };
        }
        match precision {
            Precision::F32 => Self::of(Precision::F32),
            // What is summed in another order may round to the neighbour: two roundings a number.
            Precision::F16 => Self::Pooled { times_rms: 1e-3 },
            Precision::BF16 => Self::Pooled { times_rms: 8e-3 },
        }
    }

    /// The tolerance of an answer with kept keys and values towards one without.
    #[must_use]
    pub const fn kept(precision: Precision, coded: Coded) -> Self {
        match coded.keys {
            true => Self::CODED_KEYS,
            false => Self::relation(precision, coded.numbers),
        }
    }

    /// How far one output is from another of the same shape, in units of its rms, as this tolerance measures it. `None`
    /// where shapes differ, or where numbers are not finite.
    #[must_use]
    pub fn apart(self, want: &HostTensor, got: &HostTensor) -> Option<f64> {
        let (a, b) = (want.to_f64(), got.to_f64());
        let finite = a.iter().chain(&b).all(|x| x.is_finite());
        if want.shape() != got.shape() || !finite {
            return None;
        }
        let (mut squares, mut errors, mut largest) = (0.0, 0.0, 0.0_f64);
        for (want, got) in a.iter().zip(&b) {
            squares += want * want;
            errors += (want - got) * (want - got);
            largest = largest.max((want - got).abs());
        }
        let count = a.len().max(1) as f64;
        let rms = (squares / count).sqrt().max(SMALL);
        Some(match self {
            Self::Elements { .. } => largest / rms,
            Self::Pooled { .. } | Self::WeightsOnly { .. } => (errors / count).sqrt() / rms,
        })
    }

    /// The largest [`apart`](Self::apart) that it forgives.
    #[must_use]
    pub const fn most_apart(self) -> f64 {
        match self {
            Self::Elements { times_rms } | Self::Pooled { times_rms } => times_rms,
            Self::WeightsOnly { floor, .. } => floor,
        }
    }

    /// What is wrong with an output, if anything. `weights_only` is the same output's difference
    /// when only the weights are rounded.
    #[must_use]
    pub fn judge(
        self,
        difference: &Difference,
        weights_only: Option<&Difference>,
    ) -> Option<String> {
        if let Some(what) = not_finite(difference) {
            return Some(what);
        }
        if difference.stray > 0 {
            let stray = difference.stray;
            return Some(format!("{stray} elements behind histories are not what was put there"));
        }
        let limit = self.limit(difference, weights_only);
        let error = match limit {
            Limit::Largest(_) => difference.max_abs,
            Limit::Rms(_) => difference.rms_error(),
        };
        (error > limit.value()).then(|| match (self, limit) {
            (Self::WeightsOnly { ratio, .. }, limit) => {
                let base = limit.value() / ratio;
                format!("rms error {error:.1e} is above {ratio} x {base:.1e} (rounded weights)")
            }
            (_, Limit::Largest(limit)) => format!("error {error:.1e} is above {limit:.1e}"),
            (_, Limit::Rms(limit)) => format!("rms error {error:.1e} is above {limit:.1e}"),
        })
    }

    /// What is wrong with the first output that is, with its name and row.
    #[must_use]
    pub(super) fn first_wrong(self, differences: &Differences) -> Option<String> {
        differences.iter().find_map(|(graph, output, difference)| {
            let why = self.judge(difference, None)?;
            Some(format!("{graph}.{output}: {why} (row {})", difference.worst_request))
        })
    }

    /// The limit of an output, in its own unit.
    #[must_use]
    pub fn limit(self, difference: &Difference, weights_only: Option<&Difference>) -> Limit {
        let rms = difference.rms_want();
        match self {
            Self::Elements { times_rms } => Limit::Largest(times_rms * rms.max(SMALL)),
            Self::Pooled { times_rms } => Limit::Rms(times_rms * rms.max(SMALL)),
            Self::WeightsOnly { ratio, floor, .. } => {
                let base = weights_only.map_or(0.0, Difference::rms_error).max(floor * rms);
                Limit::Rms(ratio * base)
            }
        }
    }
}

/// Numbers that are none are equal to nothing, not even to themselves.
fn not_finite(difference: &Difference) -> Option<String> {
    let sides = [
        (difference.not_finite, "elements"),
        (difference.not_finite_want, "elements of the reference"),
    ];
    let bad: Vec<String> = sides
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, of)| format!("{count} {of} are not finite"))
        .collect();
    let first = difference.first_not_finite?;
    Some(format!("{}, first in request {first}", bad.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four elements with a reference of rms 1.
    fn difference(max_abs: f64, rms_error: f64) -> Difference {
        Difference {
            count: 4,
            max_abs,
            sum_error: 4.0 * rms_error * rms_error,
            sum_want: 4.0,
            ..Difference::default()
        }
    }

    #[test]
    fn single_elements_count_in_f32() {
        let tolerance = Tolerance::of(Precision::F32);
        assert_eq!(tolerance.judge(&difference(1e-6, 1e-7), None), None);
        assert_eq!(
            tolerance.judge(&difference(1e-3, 1e-7), None).unwrap(),
            "error 1.0e-3 is above 3.0e-5"
        );
    }

    #[test]
    fn half_is_measured_against_its_own_weights() {
        let tolerance = Tolerance::of(Precision::F16);
        let base = difference(1e-2, 1e-3);
        assert_eq!(tolerance.judge(&difference(1e-1, 1.9e-3), Some(&base)), None);
        assert!(tolerance.judge(&difference(1e-1, 2.1e-3), Some(&base)).is_some());
        // Below a few roundings of the output, the weights' share says nothing.
        let lucky = difference(1e-5, 1e-6);
        assert_eq!(tolerance.judge(&difference(1e-2, 7.9e-4), Some(&lucky)), None);
        assert!(tolerance.judge(&difference(1e-2, 8.1e-4), Some(&lucky)).is_some());
    }

    #[test]
    fn what_is_not_finite_never_passes() {
        let judged = |bad: Difference| Tolerance::of(Precision::F32).judge(&bad, None).unwrap();
        let bad = Difference { first_not_finite: Some(4), ..difference(0.0, 0.0) };
        let ours = Difference { not_finite: 1, ..bad.clone() };
        assert_eq!(judged(ours), "1 elements are not finite, first in request 4");
        let theirs = Difference { not_finite_want: 2, ..bad };
        let told = "2 elements of the reference are not finite, first in request 4";
        assert_eq!(judged(theirs), told);
    }
}
