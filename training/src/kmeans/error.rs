//! What stops clustering.

/// Why points cannot be clustered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KMeansError {
    /// An option that makes no sense.
    #[error("{name} is 0, needed is at least 1")]
    Options {
        /// The option.
        name: &'static str,
    },
    /// A list is not made of whole rows, or has more of them than 32 bits can count.
    #[error("{what}: {len} numbers are not up to {} rows of {dim}", u32::MAX)]
    Shape {
        /// `points` or `centres`.
        what: &'static str,
        /// How many numbers there are.
        len: usize,
        /// How many of them a row should have.
        dim: usize,
    },
    /// A coordinate is not a number, infinite, or so large that distances would be.
    #[error("{what}: number {dimension} of row {index} is {value}, needed is one of -1e15..=1e15")]
    Value {
        /// `points` or `centres`.
        what: &'static str,
        /// The row, from 0.
        index: usize,
        /// The coordinate, from 0.
        dimension: usize,
        /// Its value.
        value: f32,
    },
    /// There cannot be so many clusters of which none is empty.
    #[error("{distinct} different points are too few for {k} clusters")]
    TooFewPoints {
        /// How many of the points differ.
        distinct: usize,
        /// How many clusters were asked for.
        k: usize,
    },
}
