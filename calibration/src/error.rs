//! What can go wrong between observed values and a range.

use crate::stats::NonFinite;
use crate::{ModelId, Shard};

/// What stops statistics or a calibration file. [`CalibrationError::hint`] has the advice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Values are not whole rows of the channels.
    #[error("{values} values are not whole rows of {channels} channels")]
    Rows {
        /// How many values came.
        values: usize,
        /// The length of the last axis.
        channels: usize,
    },
    /// Statistics were not made for the same channels.
    #[error("statistics of {} and of {} do not merge", channels(*ours), channels(*theirs))]
    Channels {
        /// Channels here, where they are kept.
        ours: Option<usize>,
        /// Channels there.
        theirs: Option<usize>,
    },
    /// The file is no JSON, or ends too early.
    #[error("not JSON at line {line}, column {column}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The parser's reason.
        #[source]
        cause: serde_json::Error,
    },
    /// JSON of something else.
    #[error("not a calibration: `format` is not `{needed}`")]
    NotCalibration {
        /// What a calibration says there.
        needed: &'static str,
    },
    /// A version that this program does not know.
    #[error("calibration version {found}, this program reads {known}")]
    Version {
        /// The version in the file.
        found: u64,
        /// The version that is understood.
        known: u64,
    },
    /// A calibration, but with contents that make no sense.
    #[error("the calibration is malformed")]
    Malformed {
        /// The parser's reason.
        #[source]
        cause: serde_json::Error,
    },
    /// The contents are not those that were sealed.
    #[error(
        "the calibration is damaged: it was sealed as sha256 {sealed}, its content has {found}"
    )]
    Seal {
        /// The hash in the file.
        sealed: String,
        /// The hash of what is there.
        found: String,
    },
    /// The calibration could not be written as JSON.
    #[error("the calibration cannot be written as JSON")]
    Write {
        /// The reason.
        #[source]
        cause: serde_json::Error,
    },
    /// The calibration is of another model.
    #[error("the calibration is of {found}, needed is {needed}")]
    Model {
        /// The model in the file.
        found: ModelId,
        /// The model that was asked for.
        needed: ModelId,
    },
    /// The calibration is of another graph of that name.
    #[error("the calibration of graph `{graph}` is of sha256 {found}, needed is {needed}")]
    GraphHash {
        /// Name of the graph.
        graph: String,
        /// The hash in the file.
        found: String,
        /// The hash that was asked for.
        needed: String,
    },
    /// No such graph.
    #[error("the calibration has no graph `{graph}`")]
    NoGraph {
        /// The name that was asked for.
        graph: String,
    },
    /// No such tensor.
    #[error("the calibration has no tensor `{tensor}` in graph `{graph}`")]
    NoTensor {
        /// Name of the graph.
        graph: String,
        /// The name that was asked for.
        tensor: String,
    },
    /// A tensor has no range.
    #[error("no range for tensor `{tensor}` of graph `{graph}`")]
    Range {
        /// Name of the graph.
        graph: String,
        /// Name of the tensor.
        tensor: String,
        /// Why.
        #[source]
        cause: ClipError,
    },
    /// Some activations are not finite.
    #[error("{}", non_finite(tensors))]
    NonFinite {
        /// Each tensor with such values.
        tensors: Vec<NonFiniteTensor>,
    },
    /// An activation never changes, so it says nothing about the range of the next request.
    #[error("`{tensor}` is {value} in all that was measured ({count} values)")]
    Constant {
        /// Name of the tensor.
        tensor: String,
        /// The one value.
        value: f32,
        /// How many values were seen.
        count: u64,
    },
    /// No calibration to merge.
    #[error("there is no calibration to merge")]
    Nothing,
    /// Calibrations of different requests.
    #[error("calibrations of different requests do not merge: sha256 {ours} and {theirs}")]
    Requests {
        /// The hash of one.
        ours: String,
        /// The hash of the other.
        theirs: String,
    },
    /// Calibrations cut into different numbers of shards.
    #[error("calibrations of {ours} and of {theirs} shards do not merge")]
    ShardCount {
        /// Shards of one.
        ours: u32,
        /// Shards of the other.
        theirs: u32,
    },
    /// The same shard twice.
    #[error("shard {shard} comes twice")]
    ShardTwice {
        /// The shard.
        shard: Shard,
    },
    /// Only one of two calibrations has the graph.
    #[error("only some of the calibrations have graph `{graph}`")]
    GraphSets {
        /// Name of the graph.
        graph: String,
    },
    /// Only one of two calibrations has the tensor.
    #[error("only some of the calibrations have tensor `{tensor}` of graph `{graph}`")]
    TensorSets {
        /// Name of the graph.
        graph: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// The text is no shard.
    #[error("`{text}` is not a shard `i/n` with 1 <= i <= n <= {}", Shard::MOST)]
    ShardText {
        /// The text as typed.
        text: String,
    },
}

/// A tensor with values that are not finite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NonFiniteTensor {
    /// Name of the graph.
    pub graph: String,
    /// Name of the tensor.
    pub tensor: String,
    /// Where it was first seen.
    pub first: NonFinite,
    /// How many values are not finite.
    pub values: u64,
}

/// Why a tensor has no range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// It was never observed.
    #[error("no value was seen")]
    Empty,
    /// All its values are NaN or infinite.
    #[error("none of {values} values is finite")]
    NoFinite {
        /// How many values were seen.
        values: u64,
    },
    /// Entropy is a method for even steps.
    #[error("the method `entropy` counts 128 even steps, which FP8 does not have")]
    EntropyForFp8,
}

/// The text of a method is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is not a method: {reason}")]
pub struct MethodError {
    /// The text as typed.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl CalibrationError {
    /// What the reader could do next; the CLI prints it on a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotJson { .. } | Self::Malformed { .. } | Self::Seal { .. } => {
                Some("copy the file again or calibrate again; it is not meant to be edited")
            }
            Self::Version { .. } => Some("use the program that wrote it, or calibrate again"),
            Self::Model { .. } | Self::GraphHash { .. } => {
                Some("ranges are of one model: calibrate the one that is to be quantized")
            }
            Self::NoGraph { .. } | Self::NoTensor { .. } | Self::TensorSets { .. } => {
                Some("calibrate again with this tensor among those observed")
            }
            Self::NonFinite { .. } => Some(
                "run the first request named, counted from 0, through the model in FP32 to see where it leaves the numbers",
            ),
            Self::Constant { .. } => {
                Some("calibrate on other requests, or leave the product in 16 bits with --keep")
            }
            Self::Range { cause: ClipError::EntropyForFp8, .. } => {
                Some("`minmax` and `mse` know FP8")
            }
            Self::Requests { .. } | Self::ShardCount { .. } => {
                Some("all shards take the whole requests file and the same `n` of `i/n`")
            }
            Self::ShardTwice { .. } => Some("leave one of the two files out"),
            _ => None,
        }
    }
}

fn channels(count: Option<usize>) -> String {
    count.map_or_else(|| "no channels".to_owned(), |n| format!("{n} channels"))
}

/// The first few: what comes after a value that is not finite is not finite either.
fn non_finite(tensors: &[NonFiniteTensor]) -> String {
    const SHOWN: usize = 3;
    let each = tensors.iter().take(SHOWN).map(|t| {
        let NonFiniteTensor { graph, tensor, first, values } = t;
        format!("`{tensor}` of graph `{graph}` ({values}, first in request {})", first.sample)
    });
    let mut text = format!("not finite: {}", each.collect::<Vec<_>>().join(", "));
    if tensors.len() > SHOWN {
        text += &format!(", and {} values more", tensors.len() - SHOWN);
    }
    text
}
