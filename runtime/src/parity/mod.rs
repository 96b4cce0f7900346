//! The proof: a candidate against a reference, output by output, order by order.
//!
//! The reference is the FP32 graph built anew from the checkpoint and run by tract; the candidate is
//! what lies in a directory. Graphs are chained as a server chains them, so a candidate is fed what
//! it made itself. `docs/parity.md` explains the figures.

mod accuracy;
mod batch;
mod chain;
mod check;
mod codes;
mod compare;
mod error;
mod excuse;
mod golden;
mod job;
mod order;
mod pair;
mod reference;
mod relations;
mod report;
mod retrieval;
mod run;
mod tolerance;
mod twin;
mod ulp;
mod verdict;

/// Row of a report that holds the logits of what `oneranker` retrieved, place by place.
const RETRIEVED: &str = "retrieved logits";

pub(crate) use chain::{JUNK, append_state};
pub(crate) use run::{NEW, chain_of};

pub use accuracy::{Accuracy, RequestAccuracy, Scoring};
pub use batch::{Batch, BatchShape, batches};
pub use chain::{Chain, keep_history};
pub use check::{Check, Status};
pub use compare::{Difference, Differences};
pub use error::ParityError;
pub use excuse::Excuse;
pub use golden::{Golden, RecordJob, Recorded, Stamp, check_golden, record};
pub use job::{Coded, ParityJob};
pub use order::{Ranked, kendall, ndcg, top_k_overlap};
pub use pair::{Pair, compare_pair};
pub use reference::Reference;
pub use relations::{Relations, relations};
pub use report::{
    Consistency, OrderParity, OutputParity, ParityReport, RankedRequest, Strength, WorstRequest,
};
pub use run::check;
pub use tolerance::{Limit, Tolerance};
pub use twin::check_twin;
