//! The reference: FP32 graphs built anew from the checkpoint, never a file of the candidate.

use std::{fs, path::PathBuf};

use onr_exporter::{
    Checkpoint, ExportJob, ExportedGraph, Progress, export,
    quantize::{Format, Plan, apply_to_directory},
};
use onr_graphs::{GraphKind, GraphOptions, IdType, ModelConfig, Precision, Profile};
use tempfile::TempDir;

use super::{ParityError, job::graphs_of};

/// FP32 graphs built anew from a checkpoint, and beside them what a candidate's precision costs at least: for 16-bit
/// candidates the same graphs with rounded weights, for 8-bit ones with the same products quantized.
#[derive(Debug)]
pub struct Reference {
    pub(crate) exact: Built,
    pub(super) rounded: Option<Built>,
    /// SHA-256 of the checkpoint.
    checkpoint: String,
    /// Format of the 8-bit products.
    pub(super) format: Option<Format>,
    origin: Origin,
}

/// What it was built from.
#[derive(Debug)]
struct Origin {
    config: ModelConfig,
    options: GraphOptions,
    graphs: Vec<ExportedGraph>,
    checkpoint: PathBuf,
}

impl Origin {
    fn new(
        config: &ModelConfig,
        options: &GraphOptions,
        graphs: &[ExportedGraph],
        checkpoint: &Checkpoint,
    ) -> Self {
        Self {
            config: config.clone(),
            options: *options,
            graphs: graphs.to_vec(),
            checkpoint: checkpoint.path().to_owned(),
        }
    }
}

/// An export in a temporary directory.
#[derive(Debug)]
pub(crate) struct Built {
    pub(super) dir: TempDir,
    pub(super) graphs: Vec<ExportedGraph>,
}

impl Built {
    fn empty() -> Result<TempDir, ParityError> {
        let fail = |cause| onr_exporter::ExportError::Write { file: std::env::temp_dir(), cause };
        Ok(TempDir::with_prefix("onr-reference-").map_err(fail)?)
    }

    /// The same graphs with 8-bit products.
    fn quantized(&self, plan: &Plan) -> Result<Self, ParityError> {
        let dir = Self::empty()?;
        let done = apply_to_directory(plan, &self.graphs, self.dir.path(), dir.path())?;
        Ok(Self { dir, graphs: done.graphs })
    }
}

impl Reference {
    /// Weights of more bytes are not built anew in a second precision.
    pub const LARGE: u64 = 1 << 30;

    /// Exports the reference of a candidate with `options` and these `graphs` into temporary
    /// directories: every stage of the split, and the fused graph if the candidate has it. `plan` is that of a
    /// candidate with 8-bit products.
    ///
    /// # Errors
    /// [`ParityError::Export`].
    pub fn build(
        cfg: &ModelConfig,
        options: &GraphOptions,
        graphs: &[ExportedGraph],
        checkpoint: &Checkpoint,
        plan: Option<&Plan>,
        progress: &dyn Progress,
    ) -> Result<Self, ParityError> {
        // As the contract has it, whatever the candidate's types are.
        let wide = GraphOptions { precision: Precision::F32, ids: IdType::Int64, ..*options };
        let built = |round| built(cfg, &wide, graphs, checkpoint, round, progress);
        let (exact, sha256) = built(None)?;
        let rounded = match (plan, options.precision) {
            (None, Precision::F32) => None,
            (Some(plan), Precision::F32) => Some(exact.quantized(plan)?),
            (Some(plan), narrow) => Some(built(Some(narrow))?.0.quantized(plan)?),
            (None, narrow) => Some(built(Some(narrow))?.0),
        };
        let format = plan.and_then(|plan| plan.format);
        let origin = Origin::new(cfg, options, graphs, checkpoint);
        Ok(Self { exact, rounded, checkpoint: sha256, format, origin })
    }

    /// The candidate's graphs in its own 16 bits: on the reference's backend they show what half precision costs,
    /// rounded activations included. None for other precisions and for large checkpoints.
    pub(super) fn half(&self, progress: &dyn Progress) -> Result<Option<Built>, ParityError> {
        let Origin { config, options, graphs, checkpoint } = &self.origin;
        let size = fs::metadata(checkpoint).map_or(0, |m| m.len());
        if options.precision == Precision::F32 || self.format.is_some() || size > Self::LARGE {
            return Ok(None);
        }
        let checkpoint = Checkpoint::open(checkpoint)?;
        Ok(Some(built(config, options, graphs, &checkpoint, None, progress)?.0))
    }

    /// The candidate's own graphs built anew, in its own precision and with its own plan, in the place of the exact
    /// ones: what its files should be.
    ///
    /// # Errors
    /// [`ParityError::Export`].
    pub fn twin(
        cfg: &ModelConfig,
        options: &GraphOptions,
        graphs: &[ExportedGraph],
        checkpoint: &Checkpoint,
        plan: Option<&Plan>,
        progress: &dyn Progress,
    ) -> Result<Self, ParityError> {
        let origin = Origin::new(cfg, options, graphs, checkpoint);
        let (built, sha256) = built(cfg, options, graphs, checkpoint, None, progress)?;
        let exact = match plan {
            Some(plan) => built.quantized(plan)?,
            None => built,
        };
        let format = plan.and_then(|plan| plan.format);
        Ok(Self { exact, rounded: None, checkpoint: sha256, format, origin })
    }

    /// Where its graphs lie.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.exact.dir.path()
    }

    /// Its graphs.
    #[must_use]
    pub fn graphs(&self) -> &[ExportedGraph] {
        &self.exact.graphs
    }

    /// SHA-256 of the checkpoint that it was built from.
    #[must_use]
    pub fn checkpoint_sha256(&self) -> &str {
        &self.checkpoint
    }
}

/// The stages of the split, and the fused graph if the candidate has it, in a temporary directory; with the SHA-256
/// of the checkpoint.
fn built(
    cfg: &ModelConfig,
    options: &GraphOptions,
    graphs: &[ExportedGraph],
    checkpoint: &Checkpoint,
    round_weights: Option<Precision>,
    progress: &dyn Progress,
) -> Result<(Built, String), ParityError> {
    let fused = graphs.iter().any(|g| g.name == GraphKind::OneRanker.name());
    let mut kinds = graphs_of(options.item_input).to_vec();
    kinds.retain(|kind| fused || *kind != GraphKind::OneRanker);
    let dir = Built::empty()?;
    let job = ExportJob {
        config: cfg,
        options,
        graphs: &kinds,
        checkpoint,
        strict: false,
        // tract takes any shape; a small batch keeps large catalogues from being refused here.
        profile: &Profile::for_model(cfg.max_seq_len).at_batch(1),
        round_weights,
        out: dir.path(),
    };
    let exported = export(&job, progress)?;
    Ok((Built { dir, graphs: exported.graphs }, exported.checkpoint.sha256))
}
