//! Why a mutant may survive.

use crate::mutant::Mutant;

/// Why a mutant computes the same, or less than the tolerance apart, if that is known.
#[must_use]
pub fn reason(_mutant: &Mutant) -> Option<&'static str> {
    None
}
