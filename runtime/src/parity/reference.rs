//! The reference: FP32 graphs built anew from the checkpoint, never a file of the candidate.

use onr_exporter::{Checkpoint, ExportJob, ExportedGraph, Progress, export};
use onr_graphs::{GraphKind, GraphOptions, ModelConfig, Precision, Profile};
use tempfile::TempDir;

use super::{ParityError, job::graphs_of};

/// FP32 graphs built anew from a checkpoint, and for 16-bit candidates the same with rounded weights.
#[derive(Debug)]
pub struct Reference {
    pub(super) exact: Built,
    pub(super) rounded: Option<Built>,
    /// SHA-256 of the checkpoint.
    checkpoint: String,
}

/// An export in a temporary directory.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) dir: TempDir,
    pub(super) graphs: Vec<ExportedGraph>,
}

impl Reference {
    /// Exports the reference of a candidate with `options` and these `graphs` into temporary
    /// directories: every stage of the split, and the fused graph if the candidate has it.
    ///
    /// # Errors
    /// [`ParityError::Export`].
    pub fn build(
        cfg: &ModelConfig,
        options: &GraphOptions,
        graphs: &[ExportedGraph],
        checkpoint: &Checkpoint,
        progress: &dyn Progress,
    ) -> Result<Self, ParityError> {
        let wide = GraphOptions { precision: Precision::F32, ..*options };
        let fused = graphs.iter().any(|g| g.name == GraphKind::OneRanker.name());
        let mut kinds = graphs_of(options.item_input).to_vec();
        kinds.retain(|kind| fused || *kind != GraphKind::OneRanker);
        // tract takes any shape; a small batch keeps large catalogues from being refused here.
        let profile = Profile::for_model(cfg.max_seq_len).at_batch(1);
        let built = |round_weights| {
            let dir = TempDir::with_prefix("onr-reference-").map_err(|cause| {
                onr_exporter::ExportError::Write { file: std::env::temp_dir(), cause }
            })?;
            let job = ExportJob {
                config: cfg,
                options: &wide,
                graphs: &kinds,
                checkpoint,
                strict: false,
                profile: &profile,
                round_weights,
                out: dir.path(),
            };
            let exported = export(&job, progress)?;
            Ok::<_, ParityError>((
                Built { dir, graphs: exported.graphs },
                exported.checkpoint.sha256,
            ))
        };
        let (exact, sha256) = built(None)?;
        let rounded = match options.precision {
            Precision::F32 => None,
            narrow => Some(built(Some(narrow))?.0),
        };
        Ok(Self { exact, rounded, checkpoint: sha256 })
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
