//! Chooses the sizes that requests are padded to, and the ranges that engines are compiled for.
//!
//! **In:** how often each size of an axis was asked for, and how many buckets and profiles there may be.
//! **Out:** an [`AxisPlan`] for each axis, and what padding costs with it.
//! **Never here:** requests, models, names of symbols, files.
//!
//! A *bucket* is a size to which requests are padded; a CUDA graph is recorded for each. A *profile* is a range of sizes
//! that kernels are chosen for: a run of neighbouring buckets. Both are exact optima of what they minimise.
//!
//! ```
//! use onr_planner::{Histogram, Limits, forecast, plan};
//!
//! let sizes: Histogram = [3, 4, 4, 30].into_iter().collect();
//! let axis = plan(&sizes, Limits { buckets: 2, profiles: 2, multiple: 1, largest: 32 })?;
//! let buckets: Vec<_> = axis.buckets.iter().map(|b| (b.size, b.requests)).collect();
//! assert_eq!(buckets, [(4, 3), (32, 1)]);
//! assert_eq!(axis.profiles[1].to_string(), "5:32:32");
//!
//! let waste = forecast([3, 4, 4, 30].map(|size| [size]), [&axis]);
//! assert_eq!((waste.useful, waste.computed, waste.single), (41, 44, 128));
//! # Ok::<(), onr_planner::PlanError>(())
//! ```

mod buckets;
mod error;
mod forecast;
mod histogram;
mod plan;
mod profiles;

pub use error::PlanError;
pub use forecast::{Waste, forecast};
pub use histogram::Histogram;
pub use plan::{AxisPlan, Bucket, Limits, Span, plan};
