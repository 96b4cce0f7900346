//! Arguments of the verb that plans profiles.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr plan-profiles --requests requests.jsonl --model model.toml
  onr plan-profiles --requests requests.jsonl --model model.toml --buckets 6 --profiles 3 --out profiles.toml
  onr plan-profiles --requests requests.parquet --model model.toml --max-candidates 4000 --multiple 32 --out profiles.toml

`onr build-engine --profiles profiles.toml` compiles what was planned. The file may be edited by hand.")]
pub(crate) struct PlanProfilesArgs {
    /// Requests as they come in production, `.jsonl` or `.parquet`
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: PathBuf,
    /// Model configuration: its max_seq_len is the last bucket of histories
    #[arg(long, value_name = "TOML")]
    pub(crate) model: PathBuf,
    /// Most sizes that requests are padded to, of histories and of candidates
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) buckets: u64,
    /// Most profiles of histories and of candidates; plans of `rank` have every combination
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub(crate) profiles: u64,
    /// Buckets are multiples of this, but for the last ones
    #[arg(long, value_name = "M", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) multiple: u64,
    /// Most candidates that a request may have: the last bucket [default: 1024, as in the default profile]
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(crate) max_candidates: Option<u64>,
    /// File to write, for `onr build-engine --profiles`
    #[arg(long, value_name = "TOML")]
    pub(crate) out: Option<PathBuf>,
}
