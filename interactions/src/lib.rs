//! Labelled histories: what people did, in order, and which task each thing is a positive of.
//!
//! **In:** interaction logs (RecBole `.inter`, CSV, Parquet, folders of shards) of any size, and the rules of the
//! tasks in `train.toml`; or the parameters of a simulated log.
//! **Out:** a [`Store`] of histories on disk that is read user by user, and the [`Split`] of each history.
//! **Never here:** models, scores, metrics, printing.

mod error;
mod event;
mod hash;
mod labels;
pub mod simulate;
mod split;
mod store;

pub use error::{InteractionsError, LabelProblem};
pub use event::Event;
pub use labels::{LabelRule, Labels, ValueRule};
pub use split::{Fold, Split};
pub use store::{Store, StoreOptions, StoreReport};
