//! Buckets and profiles of one axis.

use std::fmt;

use crate::{buckets, error::PlanError, histogram::Histogram, profiles};

/// What a plan may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most buckets.
    pub buckets: usize,
    /// Most profiles.
    pub profiles: usize,
    /// Buckets are multiples of this, but for the last one.
    pub multiple: usize,
    /// The largest size that may be asked for. The last bucket is this one, whether the sample has it or not.
    pub largest: usize,
}

/// A size that requests are padded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The size.
    pub size: usize,
    /// Requests of the sample that are padded to it.
    pub requests: u64,
}

/// Sizes that one profile takes, and the one that kernels are chosen for: a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Smallest size.
    pub min: usize,
    /// The size that kernels are chosen for.
    pub opt: usize,
    /// Largest size.
    pub max: usize,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.min, self.opt, self.max)
    }
}

/// Buckets and profiles of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisPlan {
    /// In ascending order; the last one is the largest size allowed.
    pub buckets: Vec<Bucket>,
    /// In ascending order, disjoint, from 1 to the last bucket without a gap.
    pub profiles: Vec<Span>,
}

impl AxisPlan {
    /// The bucket that a request of this size is padded to; `None` beyond the last one.
    #[must_use]
    pub fn padded(&self, size: usize) -> Option<usize> {
        let at = self.buckets.partition_point(|bucket| bucket.size < size);
        self.buckets.get(at).map(|bucket| bucket.size)
    }

    /// The last bucket: what everything is padded to without a plan.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.buckets.last().map_or(0, |bucket| bucket.size)
    }
}

/// Chooses the buckets with the least padding for `sizes`, and the profiles for these buckets. The comments of both choices say
/// what is minimised. A sample without requests has one bucket.
///
/// # Errors
/// [`PlanError::Zero`] for a limit of 0, [`PlanError::Beyond`] for a sample with a size above `limits.largest`.
pub fn plan(sizes: &Histogram, limits: Limits) -> Result<AxisPlan, PlanError> {
    let Limits { buckets, profiles, multiple, largest } = limits;
    let named = [
        ("buckets", buckets),
        ("profiles", profiles),
        ("multiple", multiple),
        ("largest", largest),
    ];
    if let Some((limit, _)) = named.into_iter().find(|(_, value)| *value == 0) {
        return Err(PlanError::Zero { limit });
    }
    if let Some(size) = sizes.largest().filter(|size| *size > largest) {
        return Err(PlanError::Beyond { size, largest });
    }
    let mut buckets: Vec<Bucket> = buckets::sizes(sizes, limits)
        .into_iter()
        .map(|size| Bucket { size, requests: 0 })
        .collect();
    for (size, requests) in sizes.iter() {
        let at = buckets.partition_point(|bucket| bucket.size < size);
        buckets[at].requests += requests;
    }
    let profiles = profiles::spans(&buckets, profiles);
    Ok(AxisPlan { buckets, profiles })
}
