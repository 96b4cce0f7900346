//! The OneRanker model as `docs/model.md` states it, in candle, for many cuts of many histories at once.

mod block;
mod forward;
mod params;
mod tokens;

pub(crate) use forward::{Forward, Generated};
pub use params::Params;
pub(crate) use tokens::{Cut, Sequence, Tokens};
