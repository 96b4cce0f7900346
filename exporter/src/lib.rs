//! Checkpoints to ONNX.
//!
//! In: `model.toml` and safetensors. Out: one ONNX file per graph and one file of weights that they
//! share. Never done here: running or compiling a graph, printing, reading the command line.

pub mod artifact;
pub mod checkpoint;
pub mod config;
mod error;
mod export;
pub mod import;
mod init;
pub mod leftovers;
pub mod onnx;
mod outdir;
pub mod progress;
pub mod quantize;
pub mod typed;

pub use checkpoint::{Checkpoint, CheckpointRecord};
pub use config::{parse_model, read_model, write_model};
pub use error::ExportError;
pub use export::{
    ExportJob, Exported, ExportedGraph, TensorInfo, WEIGHTS_FILE, build_graphs, export,
};
pub use init::init;
pub use outdir::OutDir;
pub use progress::{Progress, Silent};
