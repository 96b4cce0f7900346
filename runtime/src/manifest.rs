//! `onr.json`: what a directory holds, who made it, from what, and how well it agrees with the
//! reference.

mod choices;

pub use choices::{ExportChoices, QuantizedExport};

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use onr_exporter::{
    CheckpointRecord, ExportError, ExportedGraph, WEIGHTS_FILE,
    artifact::{self, FileRecord},
    parse_model,
    quantize::{PLAN_FILE, Plan},
    write_model,
};
use onr_graphs::{GraphOptions, ModelConfig, Profile, Profiles};
use serde::{Deserialize, Serialize};

use crate::{
    builder::BuiltEngine,
    parity::ParityReport,
    profiles::{self, AxisRecords},
};

/// Name of the manifest in its directory.
pub const MANIFEST_FILE: &str = "onr.json";

/// The format this version writes, and the only one it reads.
pub const FORMAT: u32 = 1;

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of `onr` that wrote it.
    pub onr: String,
    /// The keys of `model.toml`; absent when a file was compiled as it is.
    pub model: Option<toml::Table>,
    /// What the export chose; absent when a file was compiled as it is.
    pub export: Option<ExportChoices>,
    /// What is stored or computed in fewer bits, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantized: Option<QuantizedExport>,
    /// Ranges of the symbols, by name: `min:opt:max`.
    pub profile: BTreeMap<String, String>,
    /// Buckets and ranges of symbols that have several, or that requests are padded on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: AxisRecords,
    /// Where the weights came from.
    pub checkpoint: Option<CheckpointRecord>,
    /// The graphs, with the types and shapes of their tensors.
    pub graphs: Vec<ExportedGraph>,
    /// The plans by graph, when there are any.
    pub engines: BTreeMap<String, BuiltEngine>,
    /// How the graphs compare with the reference, when that was measured.
    pub parity: Option<ParityReport>,
    /// Size and SHA-256 of every other file of the directory.
    pub files: BTreeMap<String, FileRecord>,
    /// SHA-256 of this manifest with this field empty.
    pub sha256: String,
}

/// Why a manifest could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not there or cannot be read.
    #[error("cannot read {file}", file = file.display())]
    Read {
        /// The manifest.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It is not a manifest of this version.
    #[error("{file} is not a manifest of format {FORMAT}: {reason}", file = file.display())]
    Format {
        /// The manifest.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Files that are not what the manifest says.
    #[error("{dir} does not match its manifest:{}", list(problems), dir = dir.display())]
    Mismatch {
        /// The directory.
        dir: PathBuf,
        /// Each names its file.
        problems: Vec<String>,
    },
    /// A file could not be hashed or written.
    #[error(transparent)]
    File(#[from] ExportError),
}

impl ManifestError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Read { .. } => "a directory of `onr export` or `onr build-engine` has one",
            Self::Format { .. } => "was it written by another version of onr?",
            Self::Mismatch { .. } => "export again, or copy the directory again",
            Self::File(e) => return e.hint(),
        };
        Some(text.to_owned())
    }
}

fn list(problems: &[String]) -> String {
    match problems {
        [one] => format!(" {one}"),
        many => many.iter().map(|p| format!("\n  {p}")).collect(),
    }
}

impl Manifest {
    /// A manifest without graphs, engines and files yet.
    #[must_use]
    pub fn new(cfg: &ModelConfig, options: &GraphOptions, profile: &Profile) -> Self {
        Self {
            model: Some(model_table(cfg)),
            export: Some(options.into()),
            ..Self::of_file(profile)
        }
    }

    /// A manifest of a plan that was compiled from a file as it is: no model, no checkpoint.
    #[must_use]
    pub fn of_file(profile: &Profile) -> Self {
        Self {
            format: FORMAT,
            onr: env!("CARGO_PKG_VERSION").into(),
            model: None,
            export: None,
            quantized: None,
            profile: ranges(profile),
            axes: AxisRecords::new(),
            checkpoint: None,
            graphs: Vec::new(),
            engines: BTreeMap::new(),
            parity: None,
            files: BTreeMap::new(),
            sha256: String::new(),
        }
    }

    /// What the graphs compute in, with the plan of what is in codes: golden files name it.
    #[must_use]
    pub fn kind(&self) -> String {
        let plan = self.files.get(PLAN_FILE).filter(|_| self.quantized.is_some());
        let plan = plan.map(|file| format!(", plan {}", file.sha256)).unwrap_or_default();
        format!("{}{plan}", self.precision_words())
    }

    /// Bytes of the weights that the graphs share.
    #[must_use]
    pub fn weights_size(&self) -> u64 {
        self.files.get(WEIGHTS_FILE).map_or(0, |file| file.size)
    }

    /// The ranges that the graphs were made for.
    ///
    /// # Errors
    /// What is wrong with them, for a manifest that this version would not write.
    pub fn profile(&self, max_seq_len: usize) -> Result<Profile, String> {
        let parts = self.profile.iter().map(|(name, range)| format!("{name}={range}"));
        let text = parts.collect::<Vec<_>>().join(",");
        Profile::for_model(max_seq_len).with(&text).map_err(|error| error.to_string())
    }

    /// The same with the ranges and buckets of symbols that have several.
    ///
    /// # Errors
    /// As [`profile`](Self::profile).
    pub fn profiles(&self, max_seq_len: usize) -> Result<Profiles, String> {
        let axes = profiles::axes(&self.axes, max_seq_len).map_err(|error| error.to_string())?;
        Ok(Profiles::new(self.profile(max_seq_len)?, axes))
    }

    /// Records the ranges that graphs and plans are made for.
    pub fn set_profiles(&mut self, profiles: &Profiles) {
        self.profile = ranges(profiles.hull());
        self.axes = profiles::records(profiles.axes());
    }

    /// The plan of what is stored or computed in fewer bits in `dir`, if anything is.
    ///
    /// # Errors
    /// [`ManifestError::File`], [`ManifestError::Format`].
    pub fn plan(&self, dir: &Path) -> Result<Option<Plan>, ManifestError> {
        if self.quantized.is_none() {
            return Ok(None);
        }
        let file = dir.join(PLAN_FILE);
        let text = std::fs::read(&file)
            .map_err(|cause| ExportError::Read { file: file.clone(), cause })?;
        let refuse = |e: serde_json::Error| ManifestError::Format { file, reason: e.to_string() };
        serde_json::from_slice(&text).map(Some).map_err(refuse)
    }

    /// Share of the FLOPs of products with weights that run on 8-bit numbers; `None` where none should.
    #[must_use]
    pub fn narrow_share(&self) -> Option<f64> {
        let quantized = self.quantized.as_ref().filter(|q| q.format.is_some() && q.flops > 0)?;
        Some(quantized.narrow_flops as f64 / quantized.flops as f64)
    }

    /// The word of `--precision` that made the graphs; empty for a file that was compiled as it is.
    #[must_use]
    pub fn precision_name(&self) -> String {
        let quantized = self.quantized.as_ref().and_then(|q| q.format.clone());
        let base = self.export.as_ref().map(|e| e.precision.clone());
        quantized.or(base).unwrap_or_default()
    }

    /// [`precision_name`](Self::precision_name), and what is stored otherwise: `fp16, tables int4`.
    #[must_use]
    pub fn precision_words(&self) -> String {
        let mut words = vec![self.precision_name()];
        if let Some(quantized) = &self.quantized {
            words.extend(quantized.tables.as_ref().map(|format| format!("tables {format}")));
            words.extend(quantized.kv.as_ref().map(|format| format!("keys and values {format}")));
        }
        words.join(", ")
    }

    /// The model configuration.
    ///
    /// # Errors
    /// The problems of a configuration that this version would not write.
    pub fn config(&self) -> Result<ModelConfig, Vec<String>> {
        let Some(model) = &self.model else {
            return Err(vec!["it has no model: the plan was compiled from a file as it is".into()]);
        };
        let text = toml::to_string(&toml::Table::from_iter([(
            "model".to_owned(),
            toml::Value::Table(model.clone()),
        )]))
        .map_err(|e| vec![e.to_string()])?;
        parse_model(&text)
    }

    /// Records the exported files of `graphs`.
    pub fn add_export(&mut self, weights: FileRecord, graphs: Vec<ExportedGraph>) {
        self.files.insert(WEIGHTS_FILE.into(), weights);
        for graph in &graphs {
            self.files.insert(format!("{}.onnx", graph.name), graph.file.clone());
        }
        self.graphs = graphs;
    }

    /// Writes the manifest into `dir`, its own hash included.
    ///
    /// # Errors
    /// [`ManifestError::File`].
    pub fn write(&mut self, dir: &Path) -> Result<FileRecord, ManifestError> {
        self.sha256.clear();
        self.sha256 = artifact::sha256(self.text().as_bytes());
        Ok(artifact::write(&dir.join(MANIFEST_FILE), self.text().as_bytes())?)
    }

    /// Reads the manifest of a directory. Its own hash is checked by [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`ManifestError::Read`], [`ManifestError::Format`].
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let file = dir.join(MANIFEST_FILE);
        let text = fs::read_to_string(&file)
            .map_err(|cause| ManifestError::Read { file: file.clone(), cause })?;
        let format = |reason| ManifestError::Format { file: file.clone(), reason };
        let manifest: Self = serde_json::from_str(&text).map_err(|e| format(e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(format(format!("it has format {}", manifest.format)));
        }
        Ok(manifest)
    }

    /// The same, and refuses a manifest that was changed after it was written. Other files are not looked at.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`ManifestError::Mismatch`].
    pub fn read_sealed(dir: &Path) -> Result<Self, ManifestError> {
        let manifest = Self::read(dir)?;
        let file = dir.join(MANIFEST_FILE);
        let text =
            fs::read_to_string(&file).map_err(|cause| ManifestError::Read { file, cause })?;
        if is_sealed(&text, &manifest.sha256) {
            return Ok(manifest);
        }
        let problems = vec![format!("{MANIFEST_FILE} was changed after it was written")];
        Err(ManifestError::Mismatch { dir: dir.to_owned(), problems })
    }

    /// Checks that every file of the manifest is in `dir` with its size and SHA-256, and the
    /// manifest itself. Returns how many files were checked.
    ///
    /// # Errors
    /// [`ManifestError::Mismatch`] with every file that differs.
    pub fn verify(&self, dir: &Path) -> Result<usize, ManifestError> {
        let mut problems = Vec::new();
        let file = dir.join(MANIFEST_FILE);
        let text =
            fs::read_to_string(&file).map_err(|cause| ManifestError::Read { file, cause })?;
        if !is_sealed(&text, &self.sha256) {
            problems.push(format!("{MANIFEST_FILE} was changed after it was written"));
        }
        for (name, want) in &self.files {
            let path = artifact_path(dir, name)?;
            match artifact::hash_file(&path) {
                Ok(got) if got == *want => {}
                Ok(got) if got.size != want.size => {
                    problems.push(format!("{name} has {} bytes, not {}", got.size, want.size));
                }
                Ok(_) => problems.push(format!("{name} has another SHA-256")),
                Err(ExportError::Read { cause, .. }) => problems.push(format!("{name}: {cause}")),
                Err(other) => return Err(other.into()),
            }
        }
        if problems.is_empty() {
            Ok(self.files.len() + 1)
        } else {
            Err(ManifestError::Mismatch { dir: dir.to_owned(), problems })
        }
    }

    fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Is `sha256` that of `text` with its last field emptied? Bytes are hashed as they lie there: what was
/// parsed and written again may differ in the last digit of a number.
#[must_use]
pub fn is_sealed(text: &str, sha256: &str) -> bool {
    let field = |value: &str| format!("\"sha256\": \"{value}\"");
    let Some((before, after)) = text.rsplit_once(&field(sha256)) else { return false };
    artifact::sha256([before, &field(""), after].concat().as_bytes()) == sha256
}

fn ranges(profile: &Profile) -> BTreeMap<String, String> {
    profile.ranges().iter().map(|(name, range)| (name.clone(), range.to_string())).collect()
}

/// A file of the directory; its name must not leave it.
fn artifact_path(dir: &Path, name: &str) -> Result<PathBuf, ManifestError> {
    let file = onr_onnx::confined(&dir.join(MANIFEST_FILE), name);
    Ok(file.map_err(ExportError::from)?)
}

/// SHA-256 of a model's configuration as we write it, whatever its file looks like.
#[must_use]
pub fn model_sha256(cfg: &ModelConfig) -> String {
    artifact::sha256(write_model(cfg).as_bytes())
}

fn model_table(cfg: &ModelConfig) -> toml::Table {
    let whole: toml::Table = write_model(cfg).parse().unwrap_or_default();
    match whole.get("model") {
        Some(toml::Value::Table(model)) => model.clone(),
        _ => toml::Table::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_that_of_the_bytes() {
        let blank = "{\n  \"x\": 0.30000000000000004,\n  \"sha256\": \"\"\n}\n";
        let hash = artifact::sha256(blank.as_bytes());
        let sealed = blank.replace("\"sha256\": \"\"", &format!("\"sha256\": \"{hash}\""));
        assert!(is_sealed(&sealed, &hash));
        assert!(!is_sealed(&sealed.replace("04", "05"), &hash), "one digit");
        assert!(!is_sealed(&sealed.replace("\n  \"x\"", "\n   \"x\""), &hash), "one blank");
        assert!(!is_sealed(&sealed, &hash.replace(&hash[..1], "x")), "another hash");
    }
}
