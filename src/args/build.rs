//! Arguments of the verbs that export, compare and compile.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use onr_calibration::Method;
use onr_exporter::quantize::{Format, Part, TableFormat};
use onr_graphs::{Filter, IdType, ItemInput, Precision};
use onr_runtime::{builder::PlanWeights, builders::TensorRt};

use super::{backend::CandidateArg, pair::PairArgs};

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
    /// Ranges that `onr calibrate` measured: 8-bit products need them, 16-bit values are judged by them
    #[arg(long, value_name = "JSON", required_if_eq_any = [("precision", "int8"), ("precision", "fp8")])]
    pub(crate) calibration: Option<PathBuf>,
    /// How 8-bit ranges are read off the calibration: minmax, percentile, percentile=99.999, entropy or mse
    #[arg(long, value_name = "METHOD", requires = "calibration")]
    pub(crate) method: Option<Method>,
    /// Products in 8 bits, of uvqk, out, candidate, rank and user [default: uvqk,candidate; for FP8 uvqk,out]
    #[arg(long, value_name = "PARTS", value_delimiter = ',', requires = "calibration")]
    pub(crate) quantize: Vec<Part>,
    /// Parts whose activations are smoothed into the norm in front, as part=exponent: out=0.5
    #[arg(long, value_name = "PART=X", value_delimiter = ',', value_parser = smoothing, requires = "calibration")]
    pub(crate) smooth: Vec<(Part, f32)>,
    /// Nodes left in 16 bits
    #[arg(long, value_name = "NODES", value_delimiter = ',', requires = "calibration")]
    pub(crate) keep: Vec<String>,
    /// Store the item table in codes with a scale for each item: int8, fp8 or int4
    #[arg(long, value_name = "FORMAT")]
    pub(crate) tables: Option<TableFormat>,
    /// Pass keys and values from graph to graph as codes: int8 or fp8
    #[arg(long, value_name = "FORMAT", requires = "calibration")]
    pub(crate) kv: Option<Format>,
    /// Type of keys, values and states between graphs
    #[arg(long, value_enum, default_value = "same")]
    pub(crate) io_precision: IoPrecisionArg,
    /// Type of ids, lengths and times that go in and out; int32 for TensorRT 8 and 9
    #[arg(long, value_enum, default_value = "int64", value_name = "TYPE")]
    pub(crate) ids: IdTypeArg,
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
    /// The same in bfloat16
    Bf16,
    /// Products with weights in INT8, the others in half precision
    Int8,
    /// Products with weights in FP8 E4M3, the others in half precision
    Fp8,
}

impl PrecisionArg {
    /// The type of everything that has not 8 bits.
    pub(crate) const fn base(self) -> Precision {
        match self {
            Self::Fp32 => Precision::F32,
            Self::Bf16 => Precision::BF16,
            Self::Fp16 | Self::Int8 | Self::Fp8 => Precision::F16,
        }
    }

    /// The 8-bit format.
    pub(crate) const fn format(self) -> Option<Format> {
        match self {
            Self::Int8 => Some(Format::Int8),
            Self::Fp8 => Some(Format::Fp8),
            Self::Fp32 | Self::Fp16 | Self::Bf16 => None,
        }
    }
}

/// `out=0.5`
fn smoothing(text: &str) -> Result<(Part, f32), String> {
    let (part, exponent) = text.split_once('=').ok_or("needs `part=exponent`")?;
    let exponent: f32 = exponent.parse().map_err(|_| format!("`{exponent}` is no number"))?;
    if !(0.0..=1.0).contains(&exponent) {
        return Err(format!("exponent {exponent} is outside 0..=1"));
    }
    Ok((part.parse()?, exponent))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IoPrecisionArg {
    /// As the products
    Same,
    /// 32 bits
    Fp32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum IdTypeArg {
    /// 64 bits
    Int64,
    /// 32 bits: times end in 2038
    Int32,
}

impl From<IdTypeArg> for IdType {
    fn from(arg: IdTypeArg) -> Self {
        match arg {
            IdTypeArg::Int64 => Self::Int64,
            IdTypeArg::Int32 => Self::Int32,
        }
    }
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
  onr parity graphs-fp32 graphs-fp16 --candidate ort,tract --junit parity.xml
  onr parity graphs --candidate triton=http://localhost:8000
  onr parity engine --candidate trtexec --no-relations --limit 16
  onr parity --onnx model.fp16.onnx --against model.onnx --data inputs.npz
  onr parity --onnx model.onnx --random --seed 1 --profile batch=4

docs/parity.md explains the figures and how to record a golden file.")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(group = ArgGroup::new("compared").required(true).args(["dirs", "onnx"]))]
pub(crate) struct ParityArgs {
    #[command(subcommand)]
    pub(crate) other: Option<ParityCommand>,
    /// Directories that `onr export` or `onr build-engine` wrote
    #[arg(value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    /// Model configuration [default: the manifest's]
    #[arg(long, value_name = "TOML", conflicts_with = "onnx")]
    pub(crate) model: Option<PathBuf>,
    /// Checkpoint to build the reference from [default: the manifest's, if its SHA-256 is right]
    #[arg(long, value_name = "FILE", conflicts_with = "onnx")]
    pub(crate) weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Backends that run what lies in the directories, or the model of --onnx: ort, tract, its plans on a GPU of this
    /// machine (tensorrt-rtx[=GPU] or tensorrt[=GPU], whichever this onr was built with; ort-cuda[=GPU] for the graphs) or on trtexec[=PATH], or what
    /// was deployed of it as triton=http://HOST:PORT[/NAME]; one of several that is not here is skipped
    #[arg(long, value_name = "BACKENDS", value_delimiter = ',', default_value = "ort")]
    pub(crate) candidate: Vec<CandidateArg>,
    /// Most requests to compare, the first ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "onnx")]
    pub(crate) limit: Option<u64>,
    /// Backends that must be here
    #[arg(long, value_name = "BACKENDS", value_delimiter = ',')]
    pub(crate) require: Vec<CandidateArg>,
    /// Inputs and outputs recorded by your own framework
    #[arg(long, value_name = "SAFETENSORS", conflicts_with = "onnx")]
    pub(crate) golden: Option<PathBuf>,
    /// Leave out what must hold between an engine's own answers
    #[arg(long, conflicts_with = "onnx")]
    pub(crate) no_relations: bool,
    /// Failures that are known, and why
    #[arg(long, value_name = "TOML")]
    pub(crate) excuses: Option<PathBuf>,
    /// Write a JUnit report
    #[arg(long, value_name = "XML")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the figures as Prometheus reads them
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "HTML")]
    pub(crate) report: Option<PathBuf>,
    /// Do not check the files' hashes first
    #[arg(long, conflicts_with = "onnx")]
    pub(crate) no_verify: bool,
    /// Refuse requests that would otherwise be cut or counted
    #[arg(long, conflicts_with = "onnx")]
    pub(crate) strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ParityCommand {
    /// Keep requests, inputs and the reference's outputs, for machines without it
    Record(RecordArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr parity record graphs --requests requests.jsonl --out golden.safetensors
  onr parity graphs --golden golden.safetensors")]
pub(crate) struct RecordArgs {
    /// Directory that `onr export` or `onr build-engine` wrote
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Checkpoint to build the reference from [default: the manifest's, if its SHA-256 is right]
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Most requests to keep
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) limit: usize,
    /// Golden file to write
    #[arg(long, value_name = "SAFETENSORS")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr accuracy engine-int8 --requests requests.jsonl
  onr accuracy engine-int8 --requests requests.jsonl --against engine-fp16
  onr accuracy engine-int8 --requests requests.jsonl --calibration calibration.json --report report.html")]
pub(crate) struct AccuracyArgs {
    /// Directory that `onr export` or `onr build-engine` wrote
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Directory to compare with [default: FP32 graphs built anew from the checkpoint, on tract]
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
    /// Checkpoint to build the reference from [default: the manifest's, if its SHA-256 is right]
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub(crate) weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Backend that runs the graphs: ort, tract, tensorrt-rtx or trtexec[=PATH] for its plans, or triton=http://HOST:PORT[/NAME]
    #[arg(long, value_name = "BACKEND", default_value = "ort")]
    pub(crate) candidate: CandidateArg,
    /// How many first candidates of an order count
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub(crate) k: usize,
    /// Candidates whose reference scores are closer than this many standard deviations may swap
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    pub(crate) tie: f64,
    /// Write all that was found as a page, or as JSON if the name ends so
    #[arg(long, value_name = "HTML")]
    pub(crate) report: Option<PathBuf>,
    /// The calibration that the graphs were made with: histograms for the report
    #[arg(long, value_name = "JSON", requires = "report")]
    pub(crate) calibration: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr build-engine --model model.toml --weights weights.safetensors --out engine
  onr build-engine --model model.toml --weights weights.safetensors --precision fp16 --target sm89 --out engine
  onr build-engine --model model.toml --weights weights.safetensors --builder trtexec --out engine
  onr build-engine --model model.toml --weights weights.safetensors --builder trtexec=TensorRT-10.14/bin/trtexec --out engine
  onr build-engine --model model.toml --weights weights.safetensors --profiles profiles.toml --out engine
  onr build-engine --onnx rank.onnx --out engine

Plans of TensorRT for RTX serve workstations. Triton loads those of data-centre TensorRT, which
`--builder trtexec` compiles with the TensorRT and for the GPU of the machine it runs on: 8.6 or later.")]
pub(crate) struct BuildEngineArgs {
    /// Model configuration
    #[arg(long, value_name = "TOML", required_unless_present = "onnx", conflicts_with = "onnx")]
    pub(crate) model: Option<PathBuf>,
    /// Checkpoint: a safetensors file or the index of a sharded one
    #[arg(long, value_name = "FILE", required_unless_present = "onnx", conflicts_with = "onnx")]
    pub(crate) weights: Option<PathBuf>,
    /// Compile this ONNX file as it is; parity is then only that of two backends on one file
    #[arg(long, value_name = "ONNX", conflicts_with_all = ["graphs", "precision", "io_precision", "ids", "item_input", "with_filter", "top_k", "calibration", "tables", "requests", "sort", "strict", "vocab", "profiles"])]
    pub(crate) onnx: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choices: ExportChoiceArgs,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Several profiles, from `onr plan-profiles`; --profile may still name other symbols
    #[arg(long, value_name = "TOML")]
    pub(crate) profiles: Option<PathBuf>,
    /// Directory that receives graphs, plans and the manifest
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Compiler: `tensorrt-rtx`, or `trtexec[=PATH]` for data-centre TensorRT [default path: the one in PATH, then
    /// /usr/src/tensorrt/bin/trtexec]
    #[arg(long, value_name = "BUILDER", default_value = TensorRt::NAME)]
    pub(crate) builder: String,
    /// GPUs to compile for, separated by commas [default: sm86,sm89,sm120]
    #[arg(long, value_name = "TARGETS", value_delimiter = ',')]
    pub(crate) target: Vec<String>,
    /// Most scratch memory of a kernel, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(crate) workspace: Option<u64>,
    /// Let `onr refit` exchange the weights of the plans later. TensorRT for RTX compiles such plans for one --target
    #[arg(long, conflicts_with = "strip_weights")]
    pub(crate) refit: bool,
    /// Leave the weights out of the plans: `onr refit` puts them in
    #[arg(long)]
    pub(crate) strip_weights: bool,
    /// External item ids, carried along [default: vocab.json beside --requests]
    #[arg(long, value_name = "JSON")]
    pub(crate) vocab: Option<PathBuf>,
}

impl BuildEngineArgs {
    /// What becomes of the weights.
    pub(crate) const fn plan_weights(&self) -> PlanWeights {
        match (self.refit, self.strip_weights) {
            (_, true) => PlanWeights::Stripped,
            (true, false) => PlanWeights::Refittable,
            (false, false) => PlanWeights::Fixed,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr build-engine --model model.toml --weights monday.safetensors --refit --target sm89 --out engine
  onr refit engine --weights tuesday.safetensors --requests requests.jsonl
  onr refit engine --weights tuesday.safetensors --out engine-tuesday

The checkpoint must be of the same model: other weights, or new fake items after `onr cluster`. Graphs are exported and
proved first, plans are refitted on a GPU of this machine and proved there; only then is anything replaced.")]
pub(crate) struct RefitArgs {
    /// Directory that `onr build-engine --refit` or `--strip-weights` wrote
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The new checkpoint: a safetensors file or the index of a sharded one
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Directory for the result [default: DIR itself]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Number of the GPU
    #[arg(long, value_name = "GPU", default_value_t = 0)]
    pub(crate) device: usize,
}
