//! Arguments of the verbs that export, compare and compile.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onr_graphs::{Filter, ItemInput, Precision};

/// A model and its weights.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Model configuration
    #[arg(long, value_name = "TOML")]
    pub(crate) model: PathBuf,
    /// Checkpoint: a safetensors file or the index of a sharded one
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
}

/// What an export may choose.
#[derive(Debug, Args)]
pub(crate) struct ExportChoiceArgs {
    /// Graphs to write, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) graphs: Vec<String>,
    /// Arithmetic of the products
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) precision: PrecisionArg,
    /// Type of keys, values and states between graphs
    #[arg(long, value_enum, default_value = "same")]
    pub(crate) io_precision: IoPrecisionArg,
    /// How items come into the graphs
    #[arg(long, value_enum, default_value = "ids")]
    pub(crate) item_input: ItemInputArg,
    /// Give `oneranker` an input that says which items may be retrieved
    #[arg(long, value_enum, value_name = "SCOPE")]
    pub(crate) with_filter: Option<WithFilterArg>,
    /// Candidates that `oneranker` retrieves per task [default: 100, at most the items]
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Ranges to build for: batch=min:opt:max,seq=..,candidates=..,kv=..,new=..
    #[arg(long, value_name = "RANGES")]
    pub(crate) profile: Option<String>,
    /// Refuse what would otherwise be a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PrecisionArg {
    /// All in 32 bits
    Fp32,
    /// Products in half precision; norms, softmax, residual sums and scores in 32 bits
    Fp16,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::Fp32 => Self::F32,
            PrecisionArg::Fp16 => Self::F16,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IoPrecisionArg {
    /// As the products
    Same,
    /// 32 bits
    Fp32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ItemInputArg {
    /// Ids; the item table is in the graphs
    Ids,
    /// Vectors that the caller made; no table is in any graph
    Embeddings,
}

impl From<ItemInputArg> for ItemInput {
    fn from(arg: ItemInputArg) -> Self {
        match arg {
            ItemInputArg::Ids => Self::Ids,
            ItemInputArg::Embeddings => Self::Embeddings,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WithFilterArg {
    /// One list for all users: `allowed_items [V]`
    Global,
    /// A list for each user: `allowed_items [B, V]`
    User,
}

impl From<WithFilterArg> for Filter {
    fn from(arg: WithFilterArg) -> Self {
        match arg {
            WithFilterArg::Global => Self::Global,
            WithFilterArg::User => Self::User,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr export --model model.toml --weights weights.safetensors --out graphs
  onr export --model model.toml --weights weights.safetensors --precision fp16 --graphs generate,rank --out graphs")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) choices: ExportChoiceArgs,
    /// Directory that receives the graphs, `weights.data` and `onr.json`
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Requests to compare on.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Requests, `.jsonl` or `.parquet` [default: 64 drawn from seed 0]
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// Sort histories whose times run backwards instead of refusing them
    #[arg(long)]
    pub(crate) sort: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr parity engine
  onr parity engine --model model.toml --weights weights.safetensors --requests requests.jsonl
  onr parity engine --golden golden.safetensors

docs/parity.md explains the figures and how to record a golden file.")]
pub(crate) struct ParityArgs {
    /// Directory that `onr export` or `onr build-engine` wrote
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Model configuration [default: the manifest's]
    #[arg(long, value_name = "TOML")]
    pub(crate) model: Option<PathBuf>,
    /// Checkpoint to build the reference from [default: the manifest's, if its SHA-256 is right]
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Backend that runs what lies in the directory
    #[arg(long, value_enum, default_value = "ort")]
    pub(crate) candidate: CandidateArg,
    /// Inputs and outputs recorded by your own framework
    #[arg(long, value_name = "SAFETENSORS")]
    pub(crate) golden: Option<PathBuf>,
    /// Do not check the files' hashes first
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Refuse requests that would otherwise be cut or counted
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CandidateArg {
    /// ONNX Runtime on the CPU
    Ort,
    /// tract
    Tract,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr build-engine --model model.toml --weights weights.safetensors --out engine
  onr build-engine --model model.toml --weights weights.safetensors --precision fp16 --target sm89 --out engine
  onr build-engine --model model.toml --weights weights.safetensors --builder trtexec=/usr/src/tensorrt/bin/trtexec --out engine
  onr build-engine --onnx rank.onnx --out engine

Plans of TensorRT for RTX serve workstations. Triton loads those of data-centre TensorRT, which
`--builder trtexec=PATH` compiles with the TensorRT and for the GPU of the machine it runs on.")]
pub(crate) struct BuildEngineArgs {
    /// Model configuration
    #[arg(long, value_name = "TOML", required_unless_present = "onnx", conflicts_with = "onnx")]
    pub(crate) model: Option<PathBuf>,
    /// Checkpoint: a safetensors file or the index of a sharded one
    #[arg(long, value_name = "FILE", required_unless_present = "onnx", conflicts_with = "onnx")]
    pub(crate) weights: Option<PathBuf>,
    /// Compile this ONNX file as it is; parity is then only that of two backends on one file
    #[arg(long, value_name = "ONNX", conflicts_with_all = ["graphs", "precision", "io_precision", "item_input", "with_filter", "top_k", "requests", "sort", "strict", "vocab"])]
    pub(crate) onnx: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choices: ExportChoiceArgs,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Directory that receives graphs, plans and the manifest
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Compiler: `tensorrt-rtx`, or `trtexec=PATH` for data-centre TensorRT
    #[arg(long, value_name = "BUILDER", default_value = "tensorrt-rtx")]
    pub(crate) builder: String,
    /// GPUs to compile for, separated by commas [default: sm86,sm89,sm120]
    #[arg(long, value_name = "TARGETS", value_delimiter = ',')]
    pub(crate) target: Vec<String>,
    /// Most scratch memory of a kernel, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(crate) workspace: Option<u64>,
    /// External item ids, carried along [default: vocab.json beside --requests]
    #[arg(long, value_name = "JSON")]
    pub(crate) vocab: Option<PathBuf>,
}
