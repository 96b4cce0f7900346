//! Arguments of the verbs that change the precision of any ONNX model.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, ValueEnum};
use onr_calibration::Method;
use onr_precision::qdq::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr quantize --onnx model.onnx --data inputs.npz --precision int8 --out model.int8.onnx
  onr quantize --onnx model.onnx --data inputs.npz --precision int8 --method percentile=99.999 --keep /head/MatMul --calibration-out ranges.json --out model.int8.onnx
  onr quantize --onnx model.onnx --calibration ranges.json --precision fp8 --method mse --out model.fp8.onnx

inputs.npz holds one array an input, named as the input: the first axis counts the batches, the others are
the input's own, as numpy.savez or numpy.savez_compressed writes them.")]
pub(crate) struct QuantizeArgs {
    /// Model in FP32, FP16 or BF16
    #[arg(long, value_name = "ONNX")]
    pub(crate) onnx: PathBuf,
    /// Inputs to measure ranges on
    #[arg(long, value_name = "NPZ", required_unless_present = "calibration")]
    pub(crate) data: Option<PathBuf>,
    /// In place of --data: ranges that `--calibration-out` wrote, or a calibration cache of TensorRT
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "calibration_out", "threads"])]
    pub(crate) calibration: Option<PathBuf>,
    /// Format of the products' operands
    #[arg(long, value_enum)]
    pub(crate) precision: CodesArg,
    /// How ranges are chosen: minmax, percentile[=99.99], entropy (INT8 only) or mse [default: minmax]
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<Method>,
    /// Nodes to leave as they are, by name, separated by commas
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    pub(crate) keep: Vec<String>,
    /// Batches at a time [default: as many as the machine has threads]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Write the ranges of all values too
    #[arg(long, value_name = "JSON")]
    pub(crate) calibration_out: Option<PathBuf>,
    /// Refuse what would otherwise be a warning
    #[arg(long)]
    pub(crate) strict: bool,
    /// Model to write
    #[arg(long, value_name = "ONNX")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr cast --onnx model.onnx --precision fp16 --data inputs.npz --out model.fp16.onnx
  onr cast --onnx model.onnx --precision bf16 --io narrow --keep /head/MatMul --out model.bf16.onnx

Without --data nothing is known about the numbers: what could leave the range of FP16 stays in FP32.
inputs.npz is as `onr quantize` takes it.")]
pub(crate) struct CastArgs {
    /// Model in FP32
    #[arg(long, value_name = "ONNX")]
    pub(crate) onnx: PathBuf,
    /// Type of everything that can have it
    #[arg(long, value_enum)]
    pub(crate) precision: HalfArg,
    /// Inputs to measure ranges on
    #[arg(long, value_name = "NPZ")]
    pub(crate) data: Option<PathBuf>,
    /// Ranges that `onr quantize --calibration-out` wrote, in place of --data
    #[arg(long, value_name = "JSON", conflicts_with_all = ["data", "threads"])]
    pub(crate) calibration: Option<PathBuf>,
    /// Types of the model's own inputs and outputs
    #[arg(long, value_enum, default_value = "keep")]
    pub(crate) io: IoArg,
    /// Nodes to leave in FP32, by name, separated by commas
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    pub(crate) keep: Vec<String>,
    /// Batches at a time [default: as many as the machine has threads]
    #[arg(long, value_name = "N", requires = "data")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Model to write
    #[arg(long, value_name = "ONNX")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum HalfArg {
    /// IEEE binary16
    Fp16,
    /// bfloat16
    Bf16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum IoArg {
    /// As they are
    Keep,
    /// As the rest, where the numbers allow it
    Narrow,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CodesArg {
    /// Signed integers
    Int8,
    /// FP8 E4M3
    Fp8,
}

impl From<CodesArg> for Format {
    fn from(arg: CodesArg) -> Self {
        match arg {
            CodesArg::Int8 => Self::Int8,
            CodesArg::Fp8 => Self::Fp8,
        }
    }
}
