//! Arguments of `onr package`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use onr_triton::{Backend, PackageName, config::ContextAllocation};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr package triton engine --out model_repository
  onr package triton --rollback --out model_repository")]
pub(crate) struct PackageArgs {
    #[command(subcommand)]
    pub(crate) command: PackageCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PackageCommand {
    /// Write models with their configurations into a model repository of NVIDIA Triton
    Triton(Box<TritonArgs>),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr package triton engine --requests requests.jsonl --out model_repository
  onr package triton engine-sm86 engine-sm90 --cuda-graphs --out model_repository
  onr package triton graphs --backend python --name canary --out model_repository
  onr package triton --rollback --out model_repository

Models: NAME_encode, NAME_append, NAME_generate, NAME_rank, NAME_fused (the graph oneranker), and NAME, an ensemble of encode,
generate and rank. Each gets the same new version; older versions and other models stay as they are.")]
pub(crate) struct TritonArgs {
    /// Directory that `onr export` or `onr build-engine` wrote; several: plans of one model, each for another GPU
    #[arg(value_name = "DIR", required_unless_present = "rollback", conflicts_with = "rollback")]
    pub(crate) dirs: Vec<PathBuf>,
    /// Model repository; created if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What names of models begin with
    #[arg(long, value_name = "NAME", default_value = "oneranker")]
    pub(crate) name: PackageName,
    /// Which backend of Triton runs the graphs [default: tensorrt if all have plans that Triton loads, else onnxruntime]
    #[arg(long, value_enum, value_name = "BACKEND")]
    pub(crate) backend: Option<BackendArg>,
    /// Largest batch [default: the profile's]
    #[arg(long, value_name = "N")]
    pub(crate) max_batch: Option<usize>,
    /// Instances of each model, on each GPU or on the CPU
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) instances: usize,
    /// GPUs by number, separated by commas [default: all]
    #[arg(long, value_name = "GPUS", value_delimiter = ',')]
    pub(crate) gpus: Vec<usize>,
    /// How long a request may wait for others of its shape, in microseconds
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub(crate) queue_delay_us: u64,
    /// Batches that are sent off at once, separated by commas [default: any]
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    pub(crate) preferred_batches: Vec<usize>,
    /// How many of the newest versions Triton serves
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) keep_versions: u32,
    /// Requests to make warm-ups of, `.jsonl` or `.parquet`
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// Record CUDA graphs at the profile's best shapes
    #[arg(long)]
    pub(crate) cuda_graphs: bool,
    /// When TensorRT allocates the memory of a context [default: Triton's]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) context_allocation: Option<AllocationArg>,
    /// Give the ensemble the output `user_embeddings` too
    #[arg(long)]
    pub(crate) user_embeddings: bool,
    /// Take the newest version of the models away again
    #[arg(long, conflicts_with_all = ["backend", "max_batch", "gpus", "preferred_batches", "requests", "cuda_graphs", "context_allocation", "user_embeddings"])]
    pub(crate) rollback: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendArg {
    /// Plans of data-centre TensorRT
    Tensorrt,
    /// ONNX files
    Onnxruntime,
    /// ONNX files and a script, on the CPU: for a canary
    Python,
}

impl From<BackendArg> for Backend {
    fn from(arg: BackendArg) -> Self {
        match arg {
            BackendArg::Tensorrt => Self::TensorRt,
            BackendArg::Onnxruntime => Self::OnnxRuntime,
            BackendArg::Python => Self::Python,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AllocationArg {
    /// Once, for the largest shapes
    Static,
    /// Anew when the profile changes
    OnProfileChange,
}

impl From<AllocationArg> for ContextAllocation {
    fn from(arg: AllocationArg) -> Self {
        match arg {
            AllocationArg::Static => Self::Static,
            AllocationArg::OnProfileChange => Self::OnProfileChange,
        }
    }
}
