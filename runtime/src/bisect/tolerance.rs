//! When two values count as different: data, with reasons.

use crate::numbers::Numbers;

/// What a value must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance;

impl Tolerance {
    /// Errors of single elements may be this many times the rms of all errors.
    pub const ELEMENTS_PER_RMS: f64 = 5.0;

    /// The same for two files of one precision on one engine, of which one is known to be right: only orders of sums
    /// and what an engine fuses can differ, a few roundings of the narrowest numbers.
    #[must_use]
    pub const fn of_twins(numbers: Numbers) -> f64 {
        match numbers {
            Numbers::F32 => 1e-5,
            Numbers::F16 => 4e-3,
            Numbers::BF16 => 3e-2,
            // A number on the border of two codes gets the other one.
            Numbers::Codes => 4e-2,
        }
    }

    /// The largest error of an element, relative to the element or to the rms of its value.
    #[must_use]
    pub const fn of(numbers: Numbers) -> f64 {
        match numbers {
            // Other kernels, other orders of sums: some 1e-6 of the rms after a few layers. As for a golden file.
            Numbers::F32 => 1e-4,
            // 11 bits of fraction through some ten products; single elements stray furthest.
            Numbers::F16 => 5e-2,
            // 8 bits of fraction: eight times that.
            Numbers::BF16 => 0.4,
            // A code is off by up to half a step of 1/127 of the largest element, which is some ten times the rms.
            Numbers::Codes => 0.5,
        }
    }
}
