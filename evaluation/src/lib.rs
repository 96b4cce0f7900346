//! How well an order of items predicts what people did next.
//!
//! **In:** a [`Recommender`] and the [`Histories`] of its users. **Out:** the place of each user's held-out item in
//! each list that the recommender makes, metrics over them, and intervals of differences.
//! **Never here:** a model, files, printing.
//!
//! | step | item |
//! | --- | --- |
//! | judge a recommender, user by user | [`evaluate`], [`EvaluateOptions`], [`Evaluation`] |
//! | sum up | [`Metrics`], [`Summary`] |
//! | is one better than the other? | [`compare`], [`Comparison`] |
//! | what must be beaten | [`Popularity`], [`Markov`], [`CoOccurrence`] |

mod agreement;
mod bootstrap;
mod error;
mod evaluate;
mod histories;
mod judge;
mod metrics;
mod options;
mod order;
mod outcome;
mod peers;
mod recommender;
mod summary;

pub use bootstrap::{CompareOptions, Comparison, Estimate, Side, compare};
pub use error::{CompareError, EvaluateError};
pub use evaluate::evaluate;
pub use histories::{Histories, InMemory, NoSuchUser};
pub use metrics::{Among, Metric, Metrics};
pub use options::{EvaluateOptions, Progress, Truth};
pub use outcome::{Closeness, Counts, Evaluation, List, StageOutcome, UserOutcome};
pub use peers::{CoOccurrence, CoOccurrenceSettings, Markov, MarkovSettings, Popularity, Reach};
pub use recommender::{Ranked, Recommender};
pub use summary::{ListSummary, StageSummary, Summary};
