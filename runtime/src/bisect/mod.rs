//! Which node goes wrong first, between two backends or two files.
//!
//! In: two models that should compute the same, each on a backend, and inputs. Out: the first node whose
//! result differs though its inputs agree, why it is that node, and that node as a model of its own.
//!
//! Values inside are seen as outputs of the model, a few at a time: an engine that has to give all of them
//! fuses nothing any more. Works with every backend that loads ONNX.

mod diff;
mod directory;
mod error;
mod finding;
mod hunt;
mod matching;
mod part;
mod plan;
mod search;
mod side;
#[cfg(test)]
#[cfg(all(feature = "ort", feature = "tract"))]
mod tests;
mod tolerance;
mod value;
mod verdict;

use std::path::Path;

use onr_exporter::Progress;

use self::hunt::{Batches, Hunt};
use crate::{backend::Backend, tensor::Feeds};

pub use crate::numbers::Numbers;

pub use directory::{DirectoryFinding, bisect_directory};
pub use error::BisectError;
pub use finding::{Cause, Fault, Finding, Growth, NodeName, ValueError};
pub use tolerance::Tolerance;
pub use value::Distance;

/// What a caller may choose.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// Largest error of an element, relative to it or to the rms of its value, in place of
    /// [`Tolerance::of`] the numbers at hand.
    pub tolerance: Option<f64>,
}

/// Runs two models on the same inputs and finds the first node of the candidate that goes wrong.
///
/// The models may be one file on two backends, or two files, whose values are matched by name and by what
/// they are made from. Inputs are rounded to the float types of each model.
///
/// # Errors
/// [`BisectError`].
pub fn bisect(
    reference: (&dyn Backend, &Path),
    candidate: (&dyn Backend, &Path),
    feeds: &[Feeds],
    options: Options,
    progress: &dyn Progress,
) -> Result<Finding, BisectError> {
    let batches = Batches { reference: feeds, candidate: feeds };
    Hunt::new(reference, candidate, batches, options, progress)?.run()
}
