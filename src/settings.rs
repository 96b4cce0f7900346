//! What will be done: arguments checked against the model, defaults filled in.

mod profiles;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use onr_calibration::{Calibration, ModelId};
use onr_exporter::{
    Checkpoint, CheckpointRecord, ExportError,
    artifact::hash_file,
    leftovers::MadeDirs,
    quantize::{
        Coding, Decision, Format, Plan, Recipe, Site, TABLES, TableFormat, canonical, passed, plan,
        sites,
    },
    read_model,
};
use onr_graphs::{Filter, GraphKind, GraphOptions, ItemInput, ModelConfig, Precision, Profile};
use onr_onnx::{ElemType, Model};
use onr_requests::{CheckOptions, CheckedRequests, Limits, Report, Request, random_requests};
use onr_runtime::builder::Target;

use crate::{
    args::{ExportChoiceArgs, IoPrecisionArg},
    exit::Refusal,
};

pub(crate) use profiles::planned;

/// Candidates per task unless `--top-k` says otherwise.
const DEFAULT_TOP_K: usize = 100;

/// Requests that are drawn when none are given.
const DEFAULT_REQUESTS: usize = 64;

/// Everything that an export needs.
pub(crate) struct ExportSettings {
    pub(crate) config: ModelConfig,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) options: GraphOptions,
    pub(crate) graphs: Vec<GraphKind>,
    pub(crate) profile: Profile,
    pub(crate) strict: bool,
    pub(crate) quantize: Option<QuantizeSettings>,
    /// Format of the item table, if it is in codes.
    pub(crate) tables: Option<TableFormat>,
    /// Set for graphs of FP16 or BF16 without products of 8-bit numbers.
    pub(crate) typed: Option<TypedSettings>,
}

/// What 16-bit values are judged by.
pub(crate) struct TypedSettings {
    pub(crate) calibration: Option<Arc<Calibration>>,
}

impl TypedSettings {
    /// What 8-bit products take out of 16-bit graphs is not known before they are made.
    fn resolve(choices: &ExportChoiceArgs, calibration: Option<Arc<Calibration>>) -> Option<Self> {
        let typed = choices.precision.base() != Precision::F32;
        (typed && choices.precision.format().is_none()).then_some(Self { calibration })
    }
}

/// What makes products of 8-bit numbers, and codes of keys and values.
pub(crate) struct QuantizeSettings {
    pub(crate) calibration: Arc<Calibration>,
    /// SHA-256 of the calibration's file.
    pub(crate) sha256: String,
    pub(crate) recipe: Recipe,
    /// Format of keys and values between graphs, if they are codes.
    pub(crate) kv: Option<Format>,
}

impl QuantizeSettings {
    fn resolve(
        choices: &ExportChoiceArgs,
        calibration: Option<&Arc<Calibration>>,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(file), Some(calibration)) = (&choices.calibration, calibration) else {
            return Ok(None);
        };
        let products = choices.precision.format();
        let Some(format) = products.or(choices.kv) else {
            let eight = choices.method.is_some()
                || !(choices.quantize.is_empty() && choices.smooth.is_empty())
                || !choices.keep.is_empty();
            if eight {
                let what =
                    "--method, --quantize, --smooth and --keep are for --precision int8 and fp8";
                return Err(Refusal::usage(what).into());
            }
            return Ok(None);
        };
        if products.is_none() && !(choices.quantize.is_empty() && choices.smooth.is_empty()) {
            let what = "--quantize and --smooth are for --precision int8 and fp8";
            return Err(Refusal::usage(what).into());
        }
        let mut recipe = Recipe::new(format);
        if products.is_none() {
            recipe.parts.clear();
        }
        recipe.coding.method = choices.method.unwrap_or(recipe.coding.method);
        if !choices.quantize.is_empty() {
            recipe.parts = choices.quantize.iter().copied().collect();
        }
        recipe.smooth.extend(choices.smooth.iter().copied());
        recipe.keep = choices.keep.iter().map(|node| canonical(node)).collect();
        let (calibration, kv) = (Arc::clone(calibration), choices.kv);
        Ok(Some(Self { sha256: hash_file(file)?.sha256, calibration, recipe, kv }))
    }
}

/// The calibration of the command line, if there is something that it is for.
fn calibration(choices: &ExportChoiceArgs) -> anyhow::Result<Option<Arc<Calibration>>> {
    let Some(file) = &choices.calibration else { return Ok(None) };
    if choices.precision.base() == Precision::F32 && choices.kv.is_none() {
        let what = "--calibration is for --precision fp16, bf16, int8 and fp8, and for --kv";
        return Err(Refusal::usage(what).into());
    }
    let calibration = read_calibration(file)?;
    calibration.check_finite()?;
    Ok(Some(Arc::new(calibration)))
}

/// Refuses a checkpoint that was not calibrated.
pub(crate) fn expect_checkpoint(
    calibration: &Calibration,
    checkpoint: &CheckpointRecord,
) -> Result<(), ExportError> {
    let name = checkpoint.path.display().to_string();
    let model = ModelId { name, sha256: checkpoint.sha256.clone() };
    Ok(calibration.expect_model(&model)?)
}

impl QuantizeSettings {
    /// The plan for FP32 graphs, by name.
    pub(crate) fn plan(
        &self,
        graphs: &[(String, Model)],
        decide: &dyn Fn(&Site) -> Decision,
    ) -> Result<Plan, ExportError> {
        plan(graphs, &self.calibration, self.recipe.coding, decide)
    }

    /// FLOPs of the products with weights of `encode`, `generate` and `rank`, all and those of `plan`.
    pub(crate) fn flops(&self, graphs: &[(String, Model)], plan: &Plan) -> (u64, u64) {
        let stages = ["encode", "generate", "rank"];
        let (mut all, mut narrow) = (0, 0);
        for (graph, model) in graphs.iter().filter(|(name, _)| stages.contains(&name.as_str())) {
            for site in sites(model) {
                let flops = self.rows(graph, &site) * site.flops_per_row();
                all += flops;
                narrow += if plan.has(&site) { flops } else { 0 };
            }
        }
        (all, narrow)
    }

    /// Rows of a product's activation over all requests of the calibration; 0 for what it lacks.
    pub(crate) fn rows(&self, graph: &str, site: &Site) -> u64 {
        let stats = self.calibration.tensor(graph, &site.activation);
        stats.map_or(0, |stats| stats.count() / (site.depth as u64).max(1))
    }
}

/// Reads a calibration.
pub(crate) fn read_calibration(file: &Path) -> anyhow::Result<Calibration> {
    let bytes =
        fs::read(file).map_err(|cause| ExportError::Read { file: file.to_owned(), cause })?;
    Calibration::from_json(&bytes).with_context(|| format!("{} is unusable", file.display()))
}

impl ExportSettings {
    pub(crate) fn resolve(
        model: &Path,
        weights: &Path,
        choices: &ExportChoiceArgs,
    ) -> anyhow::Result<Self> {
        let config = read_model(model)?;
        let item_input = ItemInput::from(choices.item_input);
        let graphs = graphs(&choices.graphs, item_input)?;
        let options = GraphOptions {
            precision: choices.precision.base(),
            io_f32: choices.io_precision == IoPrecisionArg::Fp32,
            ids: choices.ids.into(),
            item_input,
            filter: choices.with_filter.map_or(Filter::None, Filter::from),
            top_k: top_k(choices.top_k, &config)?,
        };
        let profile = profile(config.max_seq_len, choices.profile.as_deref())?;
        let checkpoint = Checkpoint::open(weights)?;
        let measured = calibration(choices)?;
        let quantize = QuantizeSettings::resolve(choices, measured.as_ref())?;
        let typed = TypedSettings::resolve(choices, measured);
        let strict = choices.strict;
        let tables = choices.tables;
        if tables.is_some() && item_input == ItemInput::Embeddings {
            let what = "--tables is for the item table, which --item-input embeddings leaves out";
            return Err(Refusal::usage(what).into());
        }
        Ok(Self { config, checkpoint, options, graphs, profile, strict, quantize, tables, typed })
    }

    /// Is anything stored or computed in fewer bits than the precision says?
    pub(crate) const fn needs_plan(&self) -> bool {
        self.quantize.is_some() || self.tables.is_some()
    }

    /// A plan of products, and what is stored and passed in codes.
    pub(crate) fn complete(&self, mut plan: Plan) -> Result<Plan, ExportError> {
        if let Some(format) = self.tables {
            plan.tables = TABLES.map(|table| (table.to_owned(), format)).into();
        }
        if let Some(quantize) = &self.quantize
            && let Some(format) = quantize.kv
        {
            let coding = Coding { format, ..quantize.recipe.coding };
            plan.interface = Some(passed(&quantize.calibration, coding)?);
        }
        Ok(plan)
    }
}

impl ExportSettings {
    /// An element type of the export that not every GPU has.
    pub(crate) fn rare_type(&self) -> Option<ElemType> {
        let quantize = self.quantize.as_ref();
        let products = quantize.map(|q| q.recipe.coding.format.elem());
        let passed = quantize.and_then(|q| Some(q.kv?.elem()));
        // Lookups take codes apart as integers; retrieval reads them as what they are.
        let retrieved = self.graphs.contains(&GraphKind::OneRanker);
        let table = self.tables.filter(|_| retrieved).map(TableFormat::elem);
        let narrow = [products, passed, table].into_iter().flatten();
        let base = (self.options.precision == Precision::BF16).then_some(ElemType::Bfloat16);
        narrow.chain(base).find(|elem| Target::least_for(*elem).is_some())
    }
}

/// The model's own ranges with the typed ones in their place.
pub(crate) fn profile(max_seq_len: usize, typed: Option<&str>) -> anyhow::Result<Profile> {
    let profile = Profile::for_model(max_seq_len).with(typed.unwrap_or_default())?;
    Ok(profile)
}

fn top_k(typed: Option<usize>, config: &ModelConfig) -> Result<usize, Refusal> {
    let most = GraphOptions::MAX_TOP_K.min(config.n_items - 1);
    match typed {
        None => Ok(DEFAULT_TOP_K.min(most)),
        Some(k) if (1..=most).contains(&k) => Ok(k),
        Some(k) => Err(Refusal::usage(format!("--top-k {k} is outside 1..={most}")).hint(format!(
            "the model has {} items, and TensorRT's TopK takes at most {}",
            config.n_items - 1,
            GraphOptions::MAX_TOP_K
        ))),
    }
}

fn graphs(names: &[String], input: ItemInput) -> Result<Vec<GraphKind>, Refusal> {
    let known = || GraphKind::ALL.map(GraphKind::name).join(", ");
    if names.is_empty() {
        let fits = |k: &GraphKind| input == ItemInput::Ids || *k != GraphKind::OneRanker;
        return Ok(GraphKind::ALL.into_iter().filter(fits).collect());
    }
    let kinds = names.iter().map(|name| {
        GraphKind::from_name(name)
            .ok_or_else(|| Refusal::usage(format!("`{name}` is not a graph; known: {}", known())))
    });
    let mut kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    if input == ItemInput::Embeddings && kinds.contains(&GraphKind::OneRanker) {
        let what = "graph oneranker retrieves from the item table, which --item-input embeddings leaves out";
        return Err(Refusal::usage(what).hint("leave oneranker out of --graphs, or use ids"));
    }
    Ok(kinds)
}

/// `--target sm86,sm89`
pub(crate) fn targets(typed: &[String]) -> Result<Vec<Target>, Refusal> {
    let mut targets = typed
        .iter()
        .map(|t| t.parse::<Target>().map_err(|e| Refusal::usage(e.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

/// Requests to compare on, and what was noticed while they were read.
pub(crate) struct Requests {
    pub(crate) list: Vec<Request>,
    pub(crate) from: String,
    pub(crate) warnings: Vec<String>,
}

impl Requests {
    /// Reads and checks a file, or draws requests from seed 0.
    pub(crate) fn load(
        file: Option<&Path>,
        config: &ModelConfig,
        options: CheckOptions,
    ) -> anyhow::Result<Self> {
        let limits = limits(config);
        let Some(file) = file else {
            let candidates = 128.min(config.n_items - 1);
            return Ok(Self {
                list: random_requests(&limits, DEFAULT_REQUESTS, 0, candidates),
                from: format!("{DEFAULT_REQUESTS} drawn from seed 0"),
                warnings: Vec::new(),
            });
        };
        let mut checked = CheckedRequests::open(file, limits, options)?;
        let list = checked.by_ref().collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() {
            return Err(Refusal::wrong(format!("{} has no requests", file.display()))
                .hint("was the file copied completely?")
                .into());
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let warnings = noticed(&checked.report());
        if options.strict && !warnings.is_empty() {
            let what = format!("{}: {}", file.display(), warnings.join("; "));
            return Err(Refusal::wrong(what).hint("without --strict these are warnings").into());
        }
        Ok(Self { list, from: name, warnings })
    }

    /// Keeps the first ones, where a limit is given.
    pub(crate) fn keep(&mut self, most: Option<u64>) {
        let most = most.and_then(|most| usize::try_from(most).ok());
        if let Some(most) = most.filter(|most| *most < self.list.len()) {
            self.list.truncate(most);
            self.from = format!("the first {most} of {}", self.from);
        }
    }
}

/// The bounds of a model's requests.
pub(crate) const fn limits(config: &ModelConfig) -> Limits {
    Limits { n_items: config.n_items, n_actions: config.n_actions, max_seq_len: config.max_seq_len }
}

/// What people should know about requests that were accepted.
pub(crate) fn noticed(report: &Report) -> Vec<String> {
    let counts = [
        (report.cut_histories, "histories longer than max_seq_len, cut to their latest behaviours"),
        (report.unknown_history_items, "behaviours with an item that the model does not know"),
        (report.unknown_candidates, "candidates that the model does not know"),
        (report.unknown_actions, "behaviours with an action that the model does not know"),
        (report.padding_candidates, "candidates that are the padding id 0"),
        (report.repeated_candidates, "candidates repeated within a request"),
        (report.made_before_last_behaviour, "requests made before their last behaviour"),
        (report.times_beyond_seconds, "requests with times past the year 5138: milliseconds?"),
    ];
    let mut lines: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what}: {n}")).collect();
    if !report.ignored_fields.is_empty() {
        let names: Vec<_> = report.ignored_fields.iter().map(String::as_str).collect();
        lines.push(format!("unknown fields were ignored: {}", names.join(", ")));
    }
    lines
}

/// The checkpoint of a manifest: the recorded path, also as seen from the directory.
pub(crate) fn recorded_checkpoint(recorded: &Path, dir: &Path) -> Option<PathBuf> {
    [recorded.to_owned(), dir.join(recorded)].into_iter().find(|p| p.is_file())
}

/// Creates the directory that a file goes into; it stays if the file comes to be.
pub(crate) fn make_parent(file: &Path) -> Result<MadeDirs, ExportError> {
    let dir = file.parent().unwrap_or(Path::new(""));
    MadeDirs::make(dir).map_err(|cause| ExportError::Write { file: dir.to_owned(), cause })
}
