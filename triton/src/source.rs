//! Directories that packages are made from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use onr_exporter::{ExportedGraph, artifact::FileRecord};
use onr_graphs::{Axis, GraphOptions, ModelConfig, Profile};
use onr_runtime::{
    builder::{PlanKind, PlanWeights, Target},
    manifest::{MANIFEST_FILE, Manifest, ManifestError},
};

use crate::error::PackageError;

/// A directory of `onr export` or `onr build-engine`.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it lies.
    pub dir: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    pub(crate) config: ModelConfig,
    pub(crate) options: GraphOptions,
    /// What all profiles of a plan take together.
    pub(crate) profile: Profile,
    pub(crate) axes: BTreeMap<String, Axis>,
}

impl Source {
    /// Reads a directory's manifest. Its files are checked when they are copied.
    ///
    /// # Errors
    /// [`PackageError::Manifest`], [`PackageError::NoGraphs`].
    pub fn open(dir: &Path) -> Result<Self, PackageError> {
        let manifest = Manifest::read_sealed(dir)?;
        if manifest.graphs.is_empty() || manifest.model.is_none() {
            return Err(PackageError::NoGraphs { dir: dir.to_owned() });
        }
        let refuse =
            |reason: String| ManifestError::Format { file: dir.join(MANIFEST_FILE), reason };
        let config = manifest.config().map_err(|problems| refuse(problems.join("; ")))?;
        let choices = manifest.export.as_ref().and_then(|choices| choices.options());
        let options = choices.ok_or_else(|| refuse("its export is not known".into()))?;
        let profiles = manifest.profiles(config.max_seq_len).map_err(refuse)?;
        let (profile, axes) = (profiles.hull().clone(), profiles.axes().clone());
        let source = Self { dir: dir.to_owned(), manifest, config, options, profile, axes };
        let graphs = source.manifest.graphs.iter();
        graphs.map(|graph| source.profiles(&graph.name)).collect::<Result<Vec<_>, _>>()?;
        Ok(source)
    }

    /// The model.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The profiles of a graph's plan by number; what all take together where there is no plan.
    ///
    /// # Errors
    /// [`PackageError::Manifest`] for texts that are no profiles.
    pub(crate) fn profiles(&self, graph: &str) -> Result<Vec<Profile>, PackageError> {
        let Some(engine) = self.manifest.engines.get(graph) else {
            return Ok(vec![self.profile.clone()]);
        };
        let file = self.dir.join(MANIFEST_FILE);
        Ok(engine
            .profiles(&self.profile)
            .map_err(|reason| ManifestError::Format { file, reason })?)
    }

    /// The record of a file of the directory.
    pub(crate) fn file(&self, name: &str) -> Result<(PathBuf, FileRecord), PackageError> {
        let problem = || ManifestError::Mismatch {
            dir: self.dir.clone(),
            problems: vec![format!("{name} is not in the manifest")],
        };
        let record = self.manifest.files.get(name).ok_or_else(problem)?;
        Ok((self.dir.join(name), record.clone()))
    }

    /// Graphs without a plan that Triton can load.
    pub(crate) fn without_plan(&self) -> Vec<String> {
        let has = |g: &&ExportedGraph| {
            let engine = self.manifest.engines.get(&g.name);
            engine.is_some_and(|e| e.kind == PlanKind::Tensorrt)
        };
        let graphs = self.manifest.graphs.iter();
        graphs.filter(|g| !has(g)).map(|g| g.name.clone()).collect()
    }

    /// # Errors
    /// [`PackageError::RtxPlans`], [`PackageError::NoPlans`], [`PackageError::StrippedPlans`].
    pub(crate) fn expect_plans(&self) -> Result<(), PackageError> {
        let (graphs, dir) = (self.without_plan(), self.dir.clone());
        if graphs.is_empty() {
            let bare = self.manifest.engines.values().any(|e| e.weights == PlanWeights::Stripped);
            return if bare { Err(PackageError::StrippedPlans { dir }) } else { Ok(()) };
        }
        let rtx = self.manifest.engines.values().any(|e| e.kind == PlanKind::TensorrtRtx);
        Err(if rtx {
            PackageError::RtxPlans { dir }
        } else {
            PackageError::NoPlans { dir, graphs }
        })
    }

    /// GPUs that the plans are for, as the manifest names them.
    fn targets(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.manifest.engines.values().flat_map(|e| e.targets.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The compute capability of each directory's plans; nothing is said of a single one.
///
/// # Errors
/// [`PackageError::Different`], [`PackageError::Target`].
pub(crate) fn capabilities(sources: &[Source]) -> Result<Vec<Option<Target>>, PackageError> {
    let [first, others @ ..] = sources else { return Ok(Vec::new()) };
    if others.is_empty() {
        return Ok(vec![None]);
    }
    for other in others {
        if let Some(what) = difference(first, other) {
            let (first, dir) = (first.dir.clone(), other.dir.clone());
            return Err(PackageError::Different { first, dir, what });
        }
    }
    let mut found = Vec::new();
    for source in sources {
        let targets = source.targets();
        let one = match targets.as_slice() {
            [one] => one.parse::<Target>().ok().filter(|t| !found.contains(&Some(*t))),
            _ => None,
        };
        if one.is_none() {
            let known =
                if targets.is_empty() { "an unknown GPU".to_owned() } else { targets.join(", ") };
            return Err(PackageError::Target { dir: source.dir.clone(), targets: known });
        }
        found.push(one);
    }
    Ok(found)
}

/// What keeps two directories from being one model on two GPUs.
fn difference(a: &Source, b: &Source) -> Option<&'static str> {
    let interface = |s: &Source| {
        let graphs = s.manifest.graphs.iter();
        graphs.map(|g| (g.name.clone(), g.inputs.clone(), g.outputs.clone())).collect::<Vec<_>>()
    };
    let ranges = |s: &Source| {
        let engines = s.manifest.engines.iter();
        let plans = engines.map(|(graph, engine)| (graph.clone(), engine.profiles.clone()));
        (s.manifest.axes.clone(), plans.collect::<Vec<_>>())
    };
    let checkpoint = |s: &Source| s.manifest.checkpoint.as_ref().map(|c| c.sha256.clone());
    let version = |s: &Source| {
        let mut all: Vec<_> = s.manifest.engines.values().map(|e| e.version.clone()).collect();
        all.sort();
        all.dedup();
        all
    };
    let differ = [
        ("their models", a.manifest.model != b.manifest.model),
        ("their checkpoints", checkpoint(a) != checkpoint(b)),
        ("their precisions", a.manifest.kind() != b.manifest.kind()),
        ("their tensors", interface(a) != interface(b)),
        ("their profiles", a.manifest.profile != b.manifest.profile || ranges(a) != ranges(b)),
        ("their versions of TensorRT", version(a) != version(b)),
    ];
    differ.iter().find(|(_, differ)| *differ).map(|(what, _)| *what)
}
