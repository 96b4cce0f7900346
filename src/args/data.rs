//! Arguments of the verbs that make and read data.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  onr init --model model.toml --seed 0 --out weights.safetensors"
)]
pub(crate) struct InitArgs {
    /// Model configuration
    #[arg(long, value_name = "TOML")]
    pub(crate) model: PathBuf,
    /// Seed of the random weights
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Checkpoint to write
    #[arg(long, value_name = "SAFETENSORS")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr import --map pytorch-linear --weights theirs.safetensors --model model.toml --out ours.safetensors
  onr import --map map.toml --weights theirs.safetensors --model model.toml --out ours.safetensors

docs/import.md describes the format of maps.")]
pub(crate) struct ImportArgs {
    /// A map file, or the name of a built-in one: pytorch-linear, pytorch-uvqk-split
    #[arg(long, value_name = "MAP")]
    pub(crate) map: String,
    /// Their checkpoint: a safetensors file or the index of a sharded one
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// Model configuration
    #[arg(long, value_name = "TOML")]
    pub(crate) model: PathBuf,
    /// Checkpoint to write
    #[arg(long, value_name = "SAFETENSORS")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr requests --interactions ml-100k.inter --model model.toml --actions 'rating>=5:3,rating>=4:2,*:1' --out requests.jsonl
  onr requests --interactions log.parquet --user uid --item ad --timestamp ts --action-column event --model model.toml --out requests.parquet")]
pub(crate) struct RequestsArgs {
    /// Interaction log: RecBole `.inter`, CSV or Parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) interactions: PathBuf,
    /// Model configuration: bounds of ids and the longest history
    #[arg(long, value_name = "TOML")]
    pub(crate) model: PathBuf,
    /// Requests to write: `.jsonl` or `.parquet`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Leave the last behaviour of each user out of the history
    #[arg(long)]
    pub(crate) hold_out_last: bool,
    /// At most this many requests
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// External item ids by id; read if it is there, else written [default: vocab.json beside --out]
    #[arg(long, value_name = "JSON")]
    pub(crate) vocab: Option<PathBuf>,
}

/// Where a log has what, and how requests are made of it.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Column of users [default: the usual names]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) user: Option<String>,
    /// Column of items [default: the usual names]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) item: Option<String>,
    /// Column of unix seconds [default: the usual names]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) timestamp: Option<String>,
    /// Column of ratings, for rules without a column [default: the usual names]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) rating: Option<String>,
    /// Column of candidates, external ids separated by spaces or `|`
    #[arg(long, value_name = "COLUMN")]
    pub(crate) candidates_column: Option<String>,
    /// Column that already holds action ids
    #[arg(long, value_name = "COLUMN", conflicts_with = "actions")]
    pub(crate) action_column: Option<String>,
    /// Actions by rule, first match wins: `rating>=4:2,event=buy:3,*:1`
    #[arg(long, value_name = "RULE", default_value = "*:1")]
    pub(crate) actions: String,
    /// Share of the history that stays when it overflows, so that prefixes stay reusable
    #[arg(long, default_value_t = 0.75)]
    pub(crate) keep: f64,
    /// Candidates drawn by popularity for each request
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) candidates: usize,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  onr inspect engine\n  onr inspect engine/rank.onnx\n  onr inspect weights.safetensors"
)]
pub(crate) struct InspectArgs {
    /// A directory with a manifest, or a `.toml`, `.safetensors`, `.onnx`, `.plan`, `.jsonl` or `.parquet` file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  onr verify engine\n  onr verify model_repository")]
pub(crate) struct VerifyArgs {
    /// Directory that `onr export` or `onr build-engine` wrote, or a repository that `onr package` wrote into
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr export-items engine --out items
  onr export-items --model model.toml --weights weights.safetensors --vocab vocab.json --dtype f16 --out items")]
pub(crate) struct ExportItemsArgs {
    /// Directory that `onr export` or `onr build-engine` wrote: items as its graphs hold them
    #[arg(value_name = "DIR", conflicts_with = "model")]
    pub(crate) dir: Option<PathBuf>,
    /// Model configuration, in place of a directory
    #[arg(long, value_name = "TOML", requires = "weights")]
    pub(crate) model: Option<PathBuf>,
    /// Checkpoint: a safetensors file or the index of a sharded one [default: the manifest's]
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// External item ids [default: vocab.json in DIR, or beside --weights]
    #[arg(long, value_name = "JSON")]
    pub(crate) vocab: Option<PathBuf>,
    /// Type of the numbers in items.npy [default: f16 if the graphs of DIR hold it so, else f32]
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<ItemTypeArg>,
    /// Directory that receives items.npy, ids.npy, ids.json and items.json
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// The types that indexes read.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ItemTypeArg {
    /// 32 bits
    F32,
    /// 16 bits
    F16,
}
