//! Arguments of `onr serve-check`.

use std::path::PathBuf;

use clap::Args;

use super::{CandidateArg, LogArgs};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr serve-check engine --interactions ml-100k.inter --actions 'rating>=4:2,*:1'
  onr serve-check engine --interactions log.parquet --store-mib 256 --limit 20000 --verify 1 --json

Before each behaviour of the log its user asks, with the history until then. The store keeps keys and values between requests.
docs/gpu.md says when they are used.")]
pub(crate) struct ServeCheckArgs {
    /// Directory that `onr export` or `onr build-engine` wrote
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Interaction log: RecBole `.inter`, CSV or Parquet
    #[arg(long, value_name = "FILE", alias = "log")]
    pub(crate) interactions: PathBuf,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// External item ids by id [default: vocab.json in DIR, else made from the log]
    #[arg(long, value_name = "JSON")]
    pub(crate) vocab: Option<PathBuf>,
    /// No request before a user's first so many behaviours
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) after: usize,
    /// At most this many requests, the first ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Backend that runs the graphs: ort, tract, or those of `onr parity`
    #[arg(long, value_name = "BACKEND", default_value = "ort")]
    pub(crate) candidate: CandidateArg,
    /// Most memory of the store, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(crate) store_mib: u64,
    /// Compare every so many answers with what is computed from nothing
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) verify: u64,
    /// Lengths of histories are padded to multiples of this
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) slots: u32,
}
