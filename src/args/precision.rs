//! Arguments of the verbs that measure and change precision.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use onr_calibration::{Method, Shard, trt_cache::TrtVersion};
use onr_runtime::tune::Budget;

use super::build::{ExportChoiceArgs, ModelArgs, RequestArgs};

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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr tune --model model.toml --weights weights.safetensors --precision int8 --calibration calibration.json --requests requests.jsonl --budget 'top10-overlap>=0.98@p05,kendall>=0.99,dc-shift<=0.02' --out tuned

Figures of a budget: topK-overlap (any K), kendall, dc-shift (nats), score-error (standard deviations of a request's
scores); @p05 is the 5th percentile from the bad end, without it the mean counts.")]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) choices: ExportChoiceArgs,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// What the precision may cost
    #[arg(long, value_name = "LIMITS")]
    pub(crate) budget: Budget,
    /// Requests to measure on, at most
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) limit: usize,
    /// Directory that receives the graphs, their plan and tune.json
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CalibrateCommand {
    /// Put the calibrations of shards together
    Merge(MergeArgs),
    /// Write the calibration cache of TensorRT 10 and older
    Cache(CacheArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  onr calibrate cache calibration.json --graph rank --tensorrt 8.6.1 --out rank.cache

TensorRT reads it with `trtexec --int8 --calib=rank.cache`. TensorRT 11 and TensorRT for RTX have no calibrator: they take
Q/DQ, which `onr export --precision int8` writes.")]
pub(crate) struct CacheArgs {
    /// A whole calibration
    #[arg(value_name = "JSON")]
    pub(crate) calibration: PathBuf,
    /// Which graph's values
    #[arg(long, value_name = "NAME")]
    pub(crate) graph: String,
    /// Version of the TensorRT that will read it: 8.6.1, 10.3.0
    #[arg(long, value_name = "VERSION")]
    pub(crate) tensorrt: TrtVersion,
    /// How ranges are read off the calibration
    #[arg(long, value_name = "METHOD", default_value = "entropy")]
    pub(crate) method: Method,
    /// Cache to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
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
