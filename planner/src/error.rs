//! Why there is no plan.

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A limit that leaves nothing to choose.
    #[error("{limit} must be at least 1")]
    Zero {
        /// The field of [`Limits`](crate::Limits).
        limit: &'static str,
    },
    /// A request that no bucket may take.
    #[error("a size of {size} is beyond the largest one allowed, {largest}")]
    Beyond {
        /// The largest size asked for.
        size: usize,
        /// The largest one allowed.
        largest: usize,
    },
}
