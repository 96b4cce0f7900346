//! Exports of a tiny model, with plans that are none.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use onr_exporter::{Checkpoint, ExportJob, Silent, artifact, export, init};
use onr_graphs::{
    Attention, Axis, GraphKind, GraphOptions, ItemInput, ModelConfig, Profile, Profiles,
};
use onr_requests::{Limits, Request, random_requests};
use onr_runtime::{
    builder::{BuiltEngine, NetworkSummary, PlanKind, PlanWeights},
    manifest::Manifest,
};
use onr_triton::{
    Package, PackageError, PackageName, PackageOptions, Source,
    repository::{Repository, Written},
};
use tempfile::TempDir;

pub(crate) fn config() -> ModelConfig {
    ModelConfig {
        n_items: 30,
        n_actions: 3,
        d_model: 8,
        n_heads: 2,
        n_layers: 2,
        n_rank_layers: 1,
        max_seq_len: 12,
        attention: Attention::Hstu,
        tasks: ["click", "buy"].map(str::to_owned).to_vec(),
        n_fake_items: 4,
        rel_pos_buckets: 8,
        time_buckets: 8,
        layer_norm_eps: 1e-5,
        temperature: 0.05,
    }
}

/// Exports and repositories in one directory.
pub(crate) struct World {
    root: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// An export in `name`, of all graphs and the seed's weights.
    pub(crate) fn export(&self, name: &str, options: GraphOptions, seed: u64) -> PathBuf {
        self.export_of(name, options, seed, &GraphKind::ALL)
    }

    pub(crate) fn export_of(
        &self,
        name: &str,
        options: GraphOptions,
        seed: u64,
        graphs: &[GraphKind],
    ) -> PathBuf {
        let (config, out) = (config(), self.path(name));
        let weights = self.path(&format!("{name}.safetensors"));
        fs::create_dir(&out).unwrap();
        init(&config, seed, &weights, &Silent).unwrap();
        let profile = Profile::for_model(config.max_seq_len).with("candidates=1:16:64").unwrap();
        let ids = options.item_input == ItemInput::Ids;
        let fits = |k: &&GraphKind| ids || **k != GraphKind::OneRanker;
        let graphs: Vec<_> = graphs.iter().filter(fits).copied().collect();
        let job = ExportJob {
            config: &config,
            options: &options,
            graphs: &graphs,
            checkpoint: &Checkpoint::open(&weights).unwrap(),
            strict: true,
            profile: &profile,
            round_weights: None,
            out: &out,
        };
        let exported = export(&job, &Silent).unwrap();
        let mut manifest = Manifest::new(&config, &options, &profile);
        manifest.checkpoint = Some(exported.checkpoint);
        manifest.add_export(exported.weights, exported.graphs);
        manifest.write(&out).unwrap();
        out
    }

    /// Writes a package of an export into `models`.
    pub(crate) fn write(
        &self,
        dir: &Path,
        options: &PackageOptions,
    ) -> Result<Written, PackageError> {
        let package = Package::plan(&[Source::open(dir).unwrap()], options, None)?;
        Repository::open(&self.path("models"))?.write(&package, &Silent)
    }

    /// Every file below `models` with its bytes.
    pub(crate) fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        note(&self.path("models"), "", &mut tree);
        tree
    }
}

fn note(dir: &Path, within: &str, tree: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = format!("{within}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            tree.insert(format!("{name}/"), Vec::new());
            note(&entry.path(), &format!("{name}/"), tree);
        } else {
            tree.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

pub(crate) fn options() -> PackageOptions {
    named("oneranker")
}

pub(crate) fn named(name: &str) -> PackageOptions {
    PackageOptions::new(name.parse::<PackageName>().unwrap())
}

pub(crate) fn graph_options() -> GraphOptions {
    GraphOptions::new(5)
}

/// What a plan of a directory would hold.
pub(crate) fn plan(dir: &Path, options: &PackageOptions) -> Result<Package, PackageError> {
    Package::plan(&[Source::open(dir).unwrap()], options, None)
}

/// Puts a file in the place of each graph's plan, and says that it is one.
pub(crate) fn pretend_plans(dir: &Path, kind: PlanKind, targets: &[&str]) {
    let mut manifest = Manifest::read(dir).unwrap();
    for graph in manifest.graphs.clone() {
        let name = format!("{}.plan", graph.name);
        let bytes = format!("no plan of {} for {targets:?}", graph.name);
        let record = artifact::write(&dir.join(&name), bytes.as_bytes()).unwrap();
        manifest.files.insert(name, record);
        let built = BuiltEngine {
            weights: PlanWeights::Fixed,
            kind,
            builder: "test".into(),
            version: "10.3.0".into(),
            library: "none".into(),
            targets: targets.iter().map(|&t| t.to_owned()).collect(),
            network: NetworkSummary::default(),
            profiles: Vec::new(),
            products: Vec::new(),
            warnings: Vec::new(),
            seconds: 0.0,
        };
        manifest.engines.insert(graph.name, built);
    }
    manifest.write(dir).unwrap();
}

/// Says that the plans of a directory have two ranges of histories and two of candidates.
pub(crate) fn pretend_profiles(dir: &Path) {
    let mut manifest = Manifest::read(dir).unwrap();
    let axis = |symbol: &str, split: usize, last: usize| {
        let range = |text: String| text.parse().unwrap();
        let ranges = vec![
            range(format!("1:{split}:{split}")),
            range(format!("{}:{last}:{last}", split + 1)),
        ];
        (symbol.to_owned(), Axis::new(symbol, ranges, vec![split, last], 12).unwrap())
    };
    let axes = [axis("seq", 5, 12), axis("kv", 5, 12), axis("candidates", 16, 64)];
    let profiles = Profiles::new(manifest.profile(12).unwrap(), axes.into());
    manifest.set_profiles(&profiles);
    for graph in &manifest.graphs {
        let has = |symbol: &str| graph.inputs.iter().any(|t| t.shape.iter().any(|s| s == symbol));
        let of = profiles.of(has).iter().map(Profile::to_string).collect();
        manifest.engines.get_mut(&graph.name).unwrap().profiles = of;
    }
    manifest.write(dir).unwrap();
}

pub(crate) fn requests() -> Vec<Request> {
    let config = config();
    let limits = Limits {
        n_items: config.n_items,
        n_actions: config.n_actions,
        max_seq_len: config.max_seq_len,
    };
    random_requests(&limits, 20, 0, 12)
}
