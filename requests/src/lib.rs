//! Recommendation requests: who asks, what they did before, which ads compete.
//!
//! **In:** request files (JSON Lines, Parquet) and interaction logs (RecBole `.inter`, CSV, Parquet).
//! **Out:** checked [`Request`]s, request files, a [`Vocab`], and reports of what was counted on the way.
//! **Never here:** models, tensors, padding and batches, printing.
//!
//! | step | item |
//! | --- | --- |
//! | read a request file, one request at a time | [`RequestReader`] |
//! | hold requests against a model's sizes | [`Checker`], [`CheckedRequests`] |
//! | write a request file, all or nothing | [`RequestWriter`], [`write_requests`] |
//! | make requests from a log | [`from_log`], [`LogOptions`], [`ActionRule`], [`Window`] |
//! | ask before each behaviour of a log, in time order | [`LogRequests::replay`] |
//! | read a log row by row | [`each_log_row`], [`LogRow`], [`Condition`] |
//! | make synthetic requests | [`random_requests`] |

mod action;
mod atomic;
mod check;
mod columns;
mod condition;
mod error;
mod files;
mod hint;
mod jsonl;
mod log;
mod parquet_read;
mod parquet_write;
mod random;
mod request;
mod vocab;
mod window;

pub use action::ActionRule;
pub use check::{CheckOptions, CheckedRequests, Checker, Limits, Report};
pub use columns::Cell;
pub use condition::Condition;
pub use error::{Place, RequestError};
pub use files::{RequestReader, RequestWriter, write_requests};
pub use log::{
    Actions, Behaviour, Columns, LogColumns, LogOptions, LogReport, LogRequest, LogRequests,
    LogRow, Replay, each_log_row, from_log,
};
pub use random::random_requests;
pub use request::Request;
pub use vocab::Vocab;
pub use window::Window;
