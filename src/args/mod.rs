//! What was typed. Nothing here opens a file.

mod backend;
#[cfg(feature = "triton")]
mod bench;
mod build;
mod data;
mod package;
mod pair;
mod precision;
mod preflight;
mod profiles;
mod rewrite;
mod serve_check;
#[cfg(feature = "training")]
mod training;

use clap::{ArgAction, Parser, Subcommand};

pub(crate) use backend::CandidateArg;
#[cfg(feature = "triton")]
pub(crate) use backend::DeployedArg;
#[cfg(feature = "triton")]
pub(crate) use bench::{BenchArgs, SpacingArg};
#[cfg(feature = "triton")]
pub(crate) use build::RequestArgs;
pub(crate) use build::{
    AccuracyArgs, BuildEngineArgs, ExportArgs, ExportChoiceArgs, IoPrecisionArg, ParityArgs,
    ParityCommand, RecordArgs, RefitArgs,
};
pub(crate) use data::{
    ExportItemsArgs, ImportArgs, InitArgs, InspectArgs, ItemTypeArg, LogArgs, RequestsArgs,
    VerifyArgs,
};
pub(crate) use package::{PackageArgs, PackageCommand, TritonArgs};
pub(crate) use pair::{BisectArgs, PairArgs};
pub(crate) use precision::{CacheArgs, CalibrateArgs, CalibrateCommand, MergeArgs, TuneArgs};
pub(crate) use preflight::PreflightArgs;
pub(crate) use profiles::PlanProfilesArgs;
pub(crate) use rewrite::{CastArgs, HalfArg, IoArg, QuantizeArgs};
pub(crate) use serve_check::ServeCheckArgs;
#[cfg(feature = "training")]
pub(crate) use training::{
    ClusterArgs, CompareArgs, EvaluateArgs, HistoryArgs, MetricArg, SimulateArgs, TrainArgs,
};

const AFTER: &str = "\
Exit codes:
  0    fine
  1    the model or its data is wrong
  2    the command line is wrong
  3    a backend, builder, library or server is missing
  4    out of tolerance, or a check of a deployment fails
  130  interrupted

Environment:
  ONR_ONNXRUNTIME   libonnxruntime.so, or the directory that has it
  ONR_TENSORRT_DIR  directory of the TensorRT for RTX libraries
  ONR_LOG           log filter, such as `onr_runtime=debug`

Examples:
  onr init --model model.toml --seed 0 --out weights.safetensors
  onr build-engine --model model.toml --weights weights.safetensors --out engine
  onr parity engine --requests requests.jsonl";

/// OneRanker from checkpoint to TensorRT: explicit key/value graphs, engines, proven parity
#[derive(Debug, Parser)]
#[command(name = "onr", version, after_help = AFTER, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more to the error stream; twice for debug, three times for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write random weights for a model, marked as untrained
    Init(InitArgs),
    /// Bring in a checkpoint with other names or layouts
    Import(ImportArgs),
    /// Make requests from an interaction log
    Requests(RequestsArgs),
    /// Make a log whose expected values are known, and configurations that fit it
    #[cfg(feature = "training")]
    Simulate(SimulateArgs),
    /// Train a model on an interaction log
    #[cfg(feature = "training")]
    Train(TrainArgs),
    /// Judge a checkpoint on the last behaviour of each user
    #[cfg(feature = "training")]
    Evaluate(EvaluateArgs),
    /// Compare evaluations: differences and ratios with intervals
    #[cfg(feature = "training")]
    Compare(CompareArgs),
    /// Set the fake items of a checkpoint to clusters of its items
    #[cfg(feature = "training")]
    Cluster(ClusterArgs),
    /// Write ONNX graphs and their shared weights
    Export(ExportArgs),
    /// Write the item vectors, for an index of nearest neighbours
    ExportItems(ExportItemsArgs),
    /// Measure the ranges of all values of all graphs on real requests
    Calibrate(CalibrateArgs),
    /// Find the products that may run in 8 bits within a budget, and export that
    Tune(Box<TuneArgs>),
    /// Put any ONNX model on INT8 or FP8 products, from ranges measured on arrays
    Quantize(QuantizeArgs),
    /// Put any ONNX model in FP16 or BF16, except where numbers or sums need FP32
    Cast(CastArgs),
    /// Compare what lies in a directory with the CPU reference, or any two ONNX models
    Parity(Box<ParityArgs>),
    /// Find the first node that goes wrong, between two backends or two files
    Bisect(BisectArgs),
    /// Measure what a precision costs: the order of candidates against FP32
    Accuracy(AccuracyArgs),
    /// Choose padded sizes and optimisation profiles from the sizes of real requests
    PlanProfiles(PlanProfilesArgs),
    /// Export, prove parity and compile TensorRT plans: the main job
    BuildEngine(Box<BuildEngineArgs>),
    /// Put the weights of another checkpoint into plans, on a GPU, without building them anew
    Refit(RefitArgs),
    /// Check whether a package of a directory would load and serve in a Triton that is there
    Preflight(PreflightArgs),
    /// Put graphs or plans where a server loads them
    Package(PackageArgs),
    /// Send a deployed model many requests at once, and measure how it answers
    #[cfg(feature = "triton")]
    Bench(Box<BenchArgs>),
    /// Replay a log with keys and values kept between requests, and measure what that saves
    ServeCheck(ServeCheckArgs),
    /// Show what a model, checkpoint, graph, plan, manifest or request file holds
    Inspect(InspectArgs),
    /// Check that every file of a directory, or of our models in a repository, is there with its SHA-256
    Verify(VerifyArgs),
    /// Show which libraries were found, where, and what to do about a missing one
    #[command(
        after_help = "Examples:\n  onr doctor\n  ONR_TENSORRT_DIR=/opt/tensorrt-rtx/lib onr doctor"
    )]
    Doctor,
}
