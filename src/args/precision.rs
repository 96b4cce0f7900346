//! Arguments of the verbs that measure and change precision.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use onr_calibration::Shard;

use super::build::RequestArgs;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  onr calibrate engine --requests requests.jsonl --out calibration.json
  onr calibrate engine --requests requests.jsonl --shard 1/4 --out part-1.json
  onr calibrate merge part-1.json part-2.json part-3.json part-4.json --out calibration.json

Each request runs alone, at its own lengths: neither threads nor shards change a byte of the result."
)]
pub(crate) struct CalibrateArgs {
    #[command(subcommand)]
    pub(crate) merge: Option<CalibrateCommand>,
    /// Directory of FP32 graphs that `onr export` or `onr build-engine` wrote
    #[arg(value_name = "DIR", required = true)]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Calibration to write
    #[arg(long, value_name = "JSON", required = true)]
    pub(crate) out: Option<PathBuf>,
    /// Run only this part of the requests, `i/n` with i from 1; `merge` puts parts together
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub(crate) shard: Shard,
    /// Requests at a time [default: as many as the machine has threads]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CalibrateCommand {
    /// Put the calibrations of shards together
    Merge(MergeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Calibrations of shards, all of them
    #[arg(value_name = "JSON", num_args = 1.., required = true)]
    pub(crate) parts: Vec<PathBuf>,
    /// Calibration to write
    #[arg(long, value_name = "JSON")]
    pub(crate) out: PathBuf,
}
