//! What a golden file of ours says of itself.

use std::collections::BTreeMap;

use onr_exporter::{Checkpoint, checkpoint::Stored};
use onr_graphs::ModelConfig;
use onr_requests::Request;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::manifest::model_sha256;

/// The format that this version writes, and the only one it reads.
const FORMAT: u32 = 1;

/// Keys of the file's metadata.
const STAMP: &str = "onr.golden";
const TENSORS: &str = "onr.tensors.sha256";

/// What a golden file of ours says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// `FORMAT`.
    format: u32,
    /// Version of `onr` that recorded it.
    onr: String,
    /// What was recorded.
    #[serde(flatten)]
    pub recorded: Recorded,
}

/// What was recorded, of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// SHA-256 of the model's configuration.
    pub model: String,
    /// SHA-256 of the checkpoint.
    pub checkpoint: String,
    /// What made the outputs.
    pub reference: String,
    /// Which candidates the yardsticks are for.
    pub kind: String,
    /// By `graph.output`: rms error that rounded weights and codes alone make there. Empty for FP32.
    pub yardsticks: BTreeMap<String, f64>,
    /// What was asked.
    pub requests: Vec<Request>,
}

impl Stamp {
    pub(super) fn new(recorded: Recorded) -> Self {
        Self { format: FORMAT, onr: env!("CARGO_PKG_VERSION").into(), recorded }
    }

    /// Metadata of a file with these tensors.
    pub(super) fn metadata(
        &self,
        tensors: &BTreeMap<String, Stored<'_>>,
    ) -> Result<BTreeMap<String, String>, serde_json::Error> {
        let hash = hash(tensors.iter().map(|(name, stored)| (name.as_str(), *stored)));
        Ok(BTreeMap::from([
            (STAMP.to_owned(), serde_json::to_string(self)?),
            (TENSORS.to_owned(), hash),
        ]))
    }

    /// Of a file; `None` for one that another framework wrote.
    pub(super) fn read(file: &Checkpoint) -> Result<Option<Self>, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Some(text) = file.metadata().get(STAMP) else { return Ok(None) };
        let of = |error: serde_json::Error| format!("its `{STAMP}` is unusable: {error}");
        let Format { format } = serde_json::from_str(text).map_err(of)?;
        if format != FORMAT {
            return Err(format!(
                "it has format {format}, this version reads {FORMAT}: record it again"
            ));
        }
        let stamp: Self = serde_json::from_str(text).map_err(of)?;
        let stored = file.keys().filter_map(|key| Some((key, file.tensor(key)?)));
        if file.metadata().get(TENSORS) != Some(&hash(stored)) {
            return Err("its tensors are not those that were recorded (SHA-256)".into());
        }
        Ok(Some(stamp))
    }

    /// What is wrong with it for a model and a checkpoint, if anything.
    pub(super) fn mismatch(
        &self,
        config: &ModelConfig,
        checkpoint: Option<&str>,
    ) -> Option<String> {
        let Recorded { model, checkpoint: own, .. } = &self.recorded;
        let other = |what: &str, is: &str, asked: &str| {
            Some(format!(
                "it was recorded of another {what} (SHA-256 {is:.12}.., not {asked:.12}..)"
            ))
        };
        let asked = model_sha256(config);
        if *model != asked {
            return other("model", model, &asked);
        }
        checkpoint.filter(|asked| *asked != own).and_then(|asked| other("checkpoint", own, asked))
    }
}

/// Over names, types, shapes and bytes. Tensors in the order of their names.
fn hash<'a>(tensors: impl Iterator<Item = (&'a str, Stored<'a>)>) -> String {
    let mut all: Vec<_> = tensors.collect();
    all.sort_by_key(|(name, _)| *name);
    let mut sha = Sha256::new();
    for (name, Stored { dtype, shape, bytes }) in all {
        sha.update(format!("{name}\0{dtype:?}\0{shape:?}\0").as_bytes());
        sha.update(bytes);
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
