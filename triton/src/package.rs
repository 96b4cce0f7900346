//! What a package holds: models, their configurations and files. Nothing is written here.

use std::{collections::BTreeMap, path::PathBuf};

use onr_exporter::{ExportedGraph, WEIGHTS_FILE, artifact::FileRecord};
use onr_graphs::{Profile, Range};
use onr_requests::Request;
use onr_runtime::builder::Target;

use crate::{
    config::{
        DynamicBatching, InstanceGroup, InstanceKind, ModelConfig, TensorConfig, VersionPolicy,
        Warmup,
    },
    ensemble::{STEPS, ensemble},
    error::PackageError,
    options::{Backend, PackageOptions},
    profiles,
    source::{Source, capabilities},
    tensors::tensor,
    warmup::{Files, Sample},
};

/// The script of the backend `python`, the same for every graph.
const SCRIPT: &str = include_str!("model.py");

/// Models that belong together, members before the ensemble that calls them.
#[derive(Debug, Clone)]
pub struct Package {
    /// What the models' names begin with.
    pub name: String,
    /// Which of Triton's backends runs the graphs.
    pub backend: Backend,
    /// The models.
    pub models: Vec<PlannedModel>,
    /// What people should know.
    pub notes: Vec<String>,
    /// SHA-256 of the manifest that it is made from; of the first of several.
    pub manifest_sha256: String,
    /// SHA-256 of the checkpoint, where the manifest names one.
    pub checkpoint_sha256: Option<String>,
    /// Precision of the export, as people say it.
    pub precision: String,
}

/// One model of a package.
#[derive(Debug, Clone)]
pub struct PlannedModel {
    /// Its `config.pbtxt`.
    pub config: ModelConfig,
    /// The graph; none for the ensemble.
    pub graph: Option<String>,
    /// Files of its version's directory.
    pub files: Vec<PlannedFile>,
    /// Files of its directory `warmup`, by name.
    pub warmup: Files,
}

/// A file of a version's directory.
#[derive(Debug, Clone)]
pub struct PlannedFile {
    /// Its name there.
    pub name: String,
    /// Where its bytes come from.
    pub content: Content,
}

/// Bytes of a [`PlannedFile`].
#[derive(Debug, Clone)]
pub enum Content {
    /// A copy of a file that must still be what its manifest says. Not a link: who edits one end of it would
    /// change a version that is being served.
    Copy {
        /// The file.
        from: PathBuf,
        /// What it must be.
        record: FileRecord,
    },
    /// These.
    Bytes(&'static [u8]),
}

impl Package {
    /// Plans the models of directories that hold one model, compiled for a GPU each; usually of a single one.
    ///
    /// # Errors
    /// [`PackageError`] with what keeps a graph out of Triton.
    pub fn plan(
        sources: &[Source],
        options: &PackageOptions,
        requests: Option<&[Request]>,
    ) -> Result<Self, PackageError> {
        let Some(first) = sources.first() else {
            return Err(PackageError::options("no directory is given", "name one of `onr export`"));
        };
        let mut notes = Vec::new();
        let backend = options.backend.unwrap_or_else(|| default_backend(sources, &mut notes));
        options.check(backend)?;
        let batch = batch(first, options, &mut notes)?;
        let fits = |requests| Sample::choose(requests, first, &first.profile).is_some();
        if requests.is_some_and(|requests| !fits(requests)) {
            notes.push("no request fits the profile: the models have no warm-up".into());
        }
        let planner = Planner {
            sources,
            first,
            options,
            backend,
            batch,
            targets: targets(sources, backend)?,
            requests: requests.filter(|requests| fits(requests)),
        };
        let mut models = Vec::new();
        for graph in &first.manifest.graphs {
            models.push(planner.model(graph)?);
        }
        models.extend(planner.ensemble(&models));
        notes.extend(planner.notes());
        Ok(Self {
            name: options.name.to_string(),
            backend,
            models,
            notes,
            manifest_sha256: first.manifest.sha256.clone(),
            checkpoint_sha256: first.manifest.checkpoint.as_ref().map(|c| c.sha256.clone()),
            precision: first.manifest.precision_words(),
        })
    }
}

/// Plans where Triton can load them, else ONNX; said where plans are there that it cannot load.
pub(crate) fn default_backend(sources: &[Source], notes: &mut Vec<String>) -> Backend {
    if sources.iter().all(|s| s.without_plan().is_empty()) {
        return Backend::TensorRt;
    }
    let engines = sources.iter().any(|s| !s.manifest.engines.is_empty());
    let why =
        if engines { "not every plan here is one that Triton loads" } else { "there are no plans" };
    notes.push(format!("the models are for the backend onnxruntime: {why}"));
    Backend::OnnxRuntime
}

fn targets(sources: &[Source], backend: Backend) -> Result<Vec<Option<Target>>, PackageError> {
    if backend == Backend::TensorRt {
        sources.iter().try_for_each(Source::expect_plans)?;
    } else if sources.len() > 1 {
        let what = format!("several directories are for the backend tensorrt, not for {backend}");
        return Err(PackageError::options(what, "name one: ONNX files run on every GPU"));
    }
    capabilities(sources)
}

/// The rows that a model takes; `max` is what `config.pbtxt` says.
fn batch(
    source: &Source,
    options: &PackageOptions,
    notes: &mut Vec<String>,
) -> Result<Range, PackageError> {
    let range = source.profile.get("batch").unwrap_or(Range { min: 1, opt: 1, max: 1 });
    let max = options.max_batch.unwrap_or(range.max);
    if !(range.min..=range.max).contains(&max) {
        let what =
            format!("--max-batch {max} is outside the profile's {}..={}", range.min, range.max);
        return Err(PackageError::options(
            what,
            "`--profile` of the export sets the largest batch",
        ));
    }
    if let Some(size) = options.preferred_batches.iter().find(|size| **size > max) {
        let what = format!("--preferred-batches has {size}, and the largest batch is {max}");
        return Err(PackageError::options(what, "leave it out, or raise --max-batch"));
    }
    if range.min > 1 {
        notes.push(format!(
            "the profile's smallest batch is {}: a plan refuses smaller ones",
            range.min
        ));
    }
    Ok(Range { max, opt: range.opt.min(max), ..range })
}

struct Planner<'a> {
    sources: &'a [Source],
    first: &'a Source,
    options: &'a PackageOptions,
    backend: Backend,
    batch: Range,
    targets: Vec<Option<Target>>,
    /// For warm-ups, if one of them fits.
    requests: Option<&'a [Request]>,
}

impl Planner<'_> {
    fn model(&self, graph: &ExportedGraph) -> Result<PlannedModel, PackageError> {
        let tensors = |infos: &[_]| {
            infos
                .iter()
                .map(|t| tensor(&graph.name, t, self.backend))
                .collect::<Result<Vec<_>, _>>()
        };
        let plans = self.backend == Backend::TensorRt;
        let input = tensors(&graph.inputs)?;
        let profiles = match self.backend {
            Backend::TensorRt => self.first.profiles(&graph.name)?,
            _ => vec![self.first.profile.clone()],
        };
        let (model_warmup, warmup) = self.warmups(graph, &input, &profiles);
        let Source { profile, axes, .. } = self.first;
        let cuda_graphs = (plans && self.options.cuda_graphs)
            .then(|| profiles::cuda_graphs(&graph.inputs, profile, axes, self.batch.max));
        let (files, cc_model_filenames) = self.files(&graph.name)?;
        let platform = match self.backend {
            Backend::TensorRt => Some("tensorrt_plan".to_owned()),
            Backend::OnnxRuntime => Some("onnxruntime_onnx".to_owned()),
            Backend::Python => None,
        };
        let config = ModelConfig {
            name: self.options.name.model(&graph.name),
            platform,
            backend: Some(self.backend.name().to_owned()),
            max_batch_size: self.batch.max,
            input,
            output: tensors(&graph.outputs)?,
            instance_group: vec![self.instances(&profiles)?],
            dynamic_batching: Some(DynamicBatching {
                preferred_batch_size: self.options.preferred_batches.clone(),
                max_queue_delay_microseconds: self.options.queue_delay_us,
            }),
            cuda_graphs,
            model_warmup,
            parameters: self.parameters(Some(&graph.name)),
            context_allocation: self.options.context_allocation,
            cc_model_filenames,
            ..self.common()
        };
        Ok(PlannedModel { config, graph: Some(graph.name.clone()), files, warmup })
    }

    fn ensemble(&self, models: &[PlannedModel]) -> Option<PlannedModel> {
        let of = |step: &&str| models.iter().find(|m| m.graph.as_deref() == Some(*step));
        let members: Option<Vec<&ModelConfig>> =
            STEPS.iter().map(|step| of(step).map(|m| &m.config)).collect();
        let name = self.options.name.as_str();
        let config = ensemble(name, &members?, self.options.user_embeddings);
        let ModelConfig { version_policy, .. } = self.common();
        let config = ModelConfig { version_policy, parameters: self.parameters(None), ..config };
        Some(PlannedModel { config, graph: None, files: Vec::new(), warmup: Files::new() })
    }

    fn common(&self) -> ModelConfig {
        let version_policy = Some(VersionPolicy::Latest(self.options.keep_versions));
        ModelConfig { version_policy, ..ModelConfig::default() }
    }

    /// Warm-ups in every profile of a plan: each has a context of its own, whose first request is slow.
    fn warmups(
        &self,
        graph: &ExportedGraph,
        input: &[TensorConfig],
        profiles: &[Profile],
    ) -> (Vec<Warmup>, Files) {
        let Some(requests) = self.requests else { return Default::default() };
        let (mut warmups, mut files) = (Vec::new(), Files::new());
        for (number, profile) in profiles.iter().enumerate() {
            let whole = profiles::within(&self.first.profile, profile);
            let Some(sample) = Sample::choose(requests, self.first, &whole) else { continue };
            let of = match profiles {
                [_] => String::new(),
                _ => format!("profile {number}, "),
            };
            let (more, with) = sample.warmups(graph, input, self.batch, &of);
            warmups.extend(more);
            files.extend(with);
        }
        (warmups, files)
    }

    fn instances(&self, profiles: &[Profile]) -> Result<InstanceGroup, PackageError> {
        let gpus = self.options.gpus.clone();
        let kind = match self.backend {
            Backend::TensorRt => InstanceKind::Gpu,
            Backend::OnnxRuntime if gpus.is_empty() => InstanceKind::Auto,
            Backend::OnnxRuntime => InstanceKind::Gpu,
            Backend::Python => InstanceKind::Cpu,
        };
        let profile = match self.backend {
            Backend::TensorRt => profiles::indices(profiles)?,
            _ => Vec::new(),
        };
        Ok(InstanceGroup { kind, count: self.options.instances, gpus, profile })
    }

    /// What is live, for whoever asks Triton for a model's configuration.
    fn parameters(&self, graph: Option<&str>) -> BTreeMap<String, String> {
        let manifest = &self.first.manifest;
        let checkpoint = manifest.checkpoint.as_ref().map(|c| c.sha256.clone());
        let pairs = [
            ("onr.version", Some(manifest.onr.clone())),
            ("onr.manifest_sha256", Some(manifest.sha256.clone())),
            ("onr.checkpoint_sha256", checkpoint),
            ("onr.precision", Some(manifest.precision_words())),
            ("onr.graph", Some(graph.unwrap_or("ensemble").to_owned())),
        ];
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// Files of a model's version, and plans by compute capability where there are several.
    fn files(
        &self,
        graph: &str,
    ) -> Result<(Vec<PlannedFile>, BTreeMap<String, String>), PackageError> {
        let copy = |source: &Source, from: &str, name: String| {
            let (from, record) = source.file(from)?;
            Ok::<_, PackageError>(PlannedFile { name, content: Content::Copy { from, record } })
        };
        let mut by_capability = BTreeMap::new();
        let mut files = Vec::new();
        if self.backend == Backend::TensorRt {
            for (source, target) in self.sources.iter().zip(&self.targets) {
                let name = target.map_or("model.plan".into(), |t| format!("model_{t}.plan"));
                if let Some(Target(number)) = target {
                    by_capability.insert(format!("{}.{}", number / 10, number % 10), name.clone());
                }
                files.push(copy(source, &format!("{graph}.plan"), name)?);
            }
        } else {
            files.push(copy(self.first, &format!("{graph}.onnx"), "model.onnx".into())?);
            files.push(copy(self.first, WEIGHTS_FILE, WEIGHTS_FILE.into())?);
        }
        if self.backend == Backend::Python {
            let content = Content::Bytes(SCRIPT.as_bytes());
            files.push(PlannedFile { name: "model.py".into(), content });
        }
        Ok((files, by_capability))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.backend == Backend::Python {
            notes.push("the backend python needs numpy and onnxruntime in its Python".into());
        }
        if self.requests.is_some() {
            notes.push("warm-ups: keys, values and states of other graphs are 0".into());
        }
        notes
    }
}
