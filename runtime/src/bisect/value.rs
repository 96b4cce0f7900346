//! How far a value of one side is from the same value of the other.

use serde::Serialize;

use super::tolerance::Tolerance;
use crate::tensor::{Data, HostTensor};

/// A size below this counts as this: what is left of zeros has no relative error.
const SMALLEST: f64 = 1e-6;

/// The differences of one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distance {
    /// Elements.
    pub elements: usize,
    /// Root mean square of the reference.
    pub rms: f64,
    /// Root mean square of the differences, relative to `rms`.
    pub rms_error: f64,
    /// Largest difference of an element.
    pub max_abs: f64,
    /// Largest difference relative to the element or to `rms`, whichever is larger.
    pub max_rel: f64,
    /// Elements that are NaN on a side, or infinite on one only.
    pub not_finite: usize,
    /// Shapes of reference and candidate, where they differ.
    pub shapes: Option<(Vec<usize>, Vec<usize>)>,
    /// Integers or bools: each counts.
    pub is_exact: bool,
}

impl Distance {
    /// The distance of `got` from `want`.
    #[must_use]
    pub fn between(want: &HostTensor, got: &HostTensor) -> Self {
        let is_exact = matches!(want.data(), Data::I64(_) | Data::I32(_) | Data::Bool(_));
        let mut distance = Self {
            elements: want.data().len(),
            rms: 0.0,
            rms_error: 0.0,
            max_abs: 0.0,
            max_rel: 0.0,
            not_finite: 0,
            shapes: None,
            is_exact,
        };
        if want.shape() != got.shape() {
            distance.shapes = Some((want.shape().to_vec(), got.shape().to_vec()));
            return distance;
        }
        distance.measure(&want.to_f64(), &got.to_f64());
        distance
    }

    fn measure(&mut self, want: &[f64], got: &[f64]) {
        let count = want.len().max(1) as f64;
        // Masks are infinite: that is no size.
        let finite = want.iter().filter(|w| w.is_finite());
        self.rms = (finite.map(|w| w * w).sum::<f64>() / count).sqrt();
        let rms = self.rms.max(SMALLEST);
        let mut sum = 0.0;
        for (w, g) in want.iter().zip(got) {
            if w == g {
                continue;
            }
            let error = (g - w).abs();
            if !error.is_finite() {
                self.not_finite += 1;
                continue;
            }
            sum += error * error;
            self.max_abs = self.max_abs.max(error);
            self.max_rel = self.max_rel.max(error / w.abs().max(rms));
        }
        self.rms_error = (sum / count).sqrt() / rms;
    }

    /// One number for the error: what [`Tolerance`] bounds.
    #[must_use]
    pub fn error(&self) -> f64 {
        if self.not_finite > 0 || self.shapes.is_some() {
            return f64::INFINITY;
        }
        self.max_rel.max(Tolerance::ELEMENTS_PER_RMS * self.rms_error)
    }

    /// Is it more than that tolerance allows?
    #[must_use]
    pub fn exceeds(&self, tolerance: f64) -> bool {
        self.error() > tolerance || (self.is_exact && self.max_abs > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(want: &[f32], got: &[f32]) -> Distance {
        let tensor = |v: &[f32]| HostTensor::of(&[v.len()], v.to_vec());
        Distance::between(&tensor(want), &tensor(got))
    }

    #[test]
    fn errors_are_relative_to_the_size_of_the_value() {
        let d = between(&[3.0, -4.0, 0.0, 0.0], &[3.0, -4.0, 0.25, 0.0]);
        assert_eq!((d.rms, d.max_abs, d.max_rel, d.rms_error), (2.5, 0.25, 0.1, 0.05));
        assert_eq!(d.error(), 0.25);
        assert!(d.exceeds(0.2) && !d.exceeds(0.3));
        // A large element has large rounding errors.
        assert!(between(&[1e4, 1.0, 1.0, 1.0], &[1e4 + 0.5, 1.0, 1.0, 1.0]).error() < 3e-4);
    }

    #[test]
    fn not_a_number_differs_from_itself_and_equal_masks_agree() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!(between(&[-inf, 1.0], &[-inf, 1.0]).error(), 0.0);
        for (want, got) in
            [([nan, 1.0], [nan, 1.0]), ([1.0, 1.0], [inf, 1.0]), ([inf, 1.0], [-inf, 1.0])]
        {
            let d = between(&want, &got);
            assert_eq!(d.not_finite, 1);
            assert!(d.exceeds(1e9));
        }
    }

    #[test]
    fn integers_are_equal_or_not() {
        let ids = |id: i64| HostTensor::of(&[2], vec![1_700_000_000_i64, id]);
        assert!(Distance::between(&ids(5), &ids(6)).exceeds(0.5));
        assert!(!Distance::between(&ids(5), &ids(5)).exceeds(0.0));
    }

    #[test]
    fn another_shape_is_another_value() {
        let tensor = |shape: &[usize]| HostTensor::of(shape, vec![0_f32; 6]);
        let d = Distance::between(&tensor(&[2, 3]), &tensor(&[3, 2]));
        assert_eq!(d.shapes, Some((vec![2, 3], vec![3, 2])));
        assert!(d.exceeds(1e9));
    }
}
