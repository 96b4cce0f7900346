//! `onr tune`: as much as possible in 8 bits within a budget.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use onr_exporter::{
    ExportJob, ExportedGraph, OutDir, artifact, export,
    quantize::{
        Coding, Decision, Part, Plan, Site, apply_to_directory, canonical, norm_before, plan, sites,
    },
};
use onr_graphs::{GraphKind, GraphOptions, Precision};
use onr_onnx::Model;
use onr_requests::CheckOptions;
use onr_runtime::{
    backends::ort::OrtBackend,
    parity::{Ranked, RequestAccuracy, Scoring},
    tune::{Budget, Product, TIE, Tuned, Way, tune},
};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    export::{publish, stage_with},
    parity::ROWS,
};
use crate::{
    args::TuneArgs,
    context::{Context, Scratch},
    exit::{Exit, Refusal},
    settings::{ExportSettings, QuantizeSettings, Requests, expect_checkpoint},
    show::{Detail, Report, Table},
};

/// Exponent of SmoothQuant.
const ALPHA: f32 = 0.5;

#[derive(Serialize)]
pub(crate) struct TuneDone {
    out: PathBuf,
    precision: String,
    requests_from: String,
    products: Vec<Product>,
    #[serde(flatten)]
    tuned: Tuned,
    #[serde(skip)]
    warnings: Vec<String>,
}

pub(crate) fn run(args: &TuneArgs, context: &Context) -> anyhow::Result<TuneDone> {
    let settings = ExportSettings::resolve(&args.model.model, &args.model.weights, &args.choices)?;
    let quantize = settings.quantize.as_ref();
    let Some(quantize) = quantize.filter(|_| args.choices.precision.format().is_some()) else {
        let what = "onr tune needs --precision int8 or fp8 and --calibration";
        return Err(Refusal::usage(what).into());
    };
    let check = CheckOptions { strict: settings.strict, sort: args.requests.sort };
    let file = args.requests.requests.as_deref();
    let mut requests = Requests::load(file, &settings.config, check)?;
    requests.list.truncate(args.limit);
    let out = OutDir::open(&args.out)?;
    let _scratch = Scratch::make()?;
    let bench = Bench::new(&settings, quantize, &requests, context)?;
    let products = bench.products();
    let tuned =
        tune(&products, &args.budget, &mut |ways| bench.measure(&products, ways, &args.budget))?;
    let decide = decisions(&products, &tuned.ways);
    let staged = stage_with(&settings, out.staging(), context, &|site| decide(site))?;
    let mut manifest = staged.manifest;
    let report = serde_json::to_vec_pretty(&tuned)?;
    let record = artifact::write(&out.staging().join(REPORT_FILE), &report)?;
    manifest.files.insert(REPORT_FILE.into(), record);
    manifest.write(out.staging())?;
    publish(out)?;
    Ok(TuneDone {
        out: args.out.clone(),
        precision: manifest.precision_name(),
        requests_from: requests.from,
        products,
        tuned,
        warnings: requests.warnings,
    })
}

/// What was measured on the way.
const REPORT_FILE: &str = "tune.json";

/// FP32 graphs, and the scores that they give.
struct Bench<'a> {
    settings: &'a ExportSettings,
    quantize: &'a QuantizeSettings,
    requests: &'a Requests,
    context: &'a Context,
    backend: OrtBackend,
    options: GraphOptions,
    dir: TempDir,
    graphs: Vec<ExportedGraph>,
    models: Vec<(String, Model)>,
    want: Vec<Ranked>,
}

impl<'a> Bench<'a> {
    fn new(
        settings: &'a ExportSettings,
        quantize: &'a QuantizeSettings,
        requests: &'a Requests,
        context: &'a Context,
    ) -> anyhow::Result<Self> {
        let options = GraphOptions { precision: Precision::F32, ..settings.options };
        let kinds: Vec<GraphKind> =
            [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank].into();
        let dir = TempDir::with_prefix("onr-tune-")?;
        let job = ExportJob {
            config: &settings.config,
            options: &options,
            graphs: &kinds,
            checkpoint: &settings.checkpoint,
            strict: settings.strict,
            profile: &settings.profile,
            round_weights: None,
            out: dir.path(),
        };
        let exported = export(&job, context.progress())?;
        expect_checkpoint(&quantize.calibration, &exported.checkpoint)?;
        let open =
            |g: &ExportedGraph| Ok((g.name.clone(), Model::open(&dir.path().join(g.file_name()))?));
        let models = exported.graphs.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        let mut bench = Self {
            settings,
            quantize,
            requests,
            context,
            backend: OrtBackend::new(context.search.clone()),
            options,
            graphs: exported.graphs,
            models,
            want: Vec::new(),
            dir,
        };
        bench.want = bench.score(bench.dir.path(), &bench.graphs)?;
        Ok(bench)
    }

    fn score(&self, dir: &Path, graphs: &[ExportedGraph]) -> anyhow::Result<Vec<Ranked>> {
        let scoring = Scoring {
            config: &self.settings.config,
            options: &self.options,
            requests: &self.requests.list,
            rows: ROWS,
        };
        Ok(scoring.run(&self.backend, dir, graphs, self.context.progress())?)
    }

    /// All products of the model that `encode`, `generate` and `rank` have, with their FLOPs on the
    /// calibration's requests.
    fn products(&self) -> Vec<Product> {
        let mut found: BTreeMap<String, Product> = BTreeMap::new();
        for (graph, model) in &self.models {
            for site in sites(model).iter().filter(|site| Part::of(site).is_some()) {
                let rows = self.quantize.rows(graph, site);
                let name = canonical(&site.node);
                let smoothable = norm_before(model, site).is_some();
                let product =
                    Product { name: name.clone(), flops: rows * site.flops_per_row(), smoothable };
                found.entry(name).or_insert(product);
            }
        }
        found.into_values().collect()
    }

    fn measure(
        &self,
        products: &[Product],
        ways: &[Way],
        budget: &Budget,
    ) -> anyhow::Result<Vec<RequestAccuracy>> {
        let decide = decisions(products, ways);
        let plan = self.plan(&decide)?;
        let narrow = TempDir::with_prefix("onr-tune-")?;
        let done = apply_to_directory(&plan, &self.graphs, self.dir.path(), narrow.path())?;
        let got = self.score(narrow.path(), &done.graphs)?;
        let each = self.want.iter().zip(&got);
        Ok(each.filter_map(|(w, g)| RequestAccuracy::of(w, g, budget.k(), TIE)).collect())
    }

    fn plan(&self, decide: &dyn Fn(&Site) -> Decision) -> anyhow::Result<Plan> {
        let Coding { format, method } = self.quantize.recipe.coding;
        let coding = Coding { format, method };
        let products = plan(&self.models, &self.quantize.calibration, coding, decide)?;
        Ok(self.settings.complete(products)?)
    }
}

/// The decision about each product, by its canonical name.
fn decisions(products: &[Product], ways: &[Way]) -> impl Fn(&Site) -> Decision + use<> {
    let ways: BTreeMap<String, Way> =
        products.iter().zip(ways).map(|(p, w)| (p.name.clone(), *w)).collect();
    move |site| match ways.get(&canonical(&site.node)) {
        None | Some(Way::Wide) => Decision::Wide,
        Some(Way::Narrow) => Decision::Narrow,
        Some(Way::Smoothed) => Decision::Smoothed(ALPHA),
    }
}

impl Report for TuneDone {
    fn human(&self, _: Detail) -> String {
        let mut table = Table::new(&["product", "FLOPs", "alone: error", "overlap", "runs in"]);
        let total: u64 = self.products.iter().map(|p| p.flops).sum();
        for s in &self.tuned.sensitivity {
            let at = self.products.iter().position(|p| p.name == s.product);
            let (flops, way) =
                at.map_or((0, Way::Wide), |at| (self.products[at].flops, self.tuned.ways[at]));
            table.row([
                s.product.clone(),
                format!("{:.1} %", 100.0 * flops as f64 / total.max(1) as f64),
                format!("{:.4}", s.score_error),
                format!("{:.4}", s.overlap),
                match way {
                    Way::Wide => "16 bits".to_owned(),
                    Way::Narrow => self.precision.clone(),
                    Way::Smoothed => format!("{}, smoothed", self.precision),
                },
            ]);
        }
        let held = self.tuned.held.iter().map(|h| {
            format!("  {}  {:.4} {}", h.limit, h.found, if h.holds { "holds" } else { "FAILS" })
        });
        format!(
            "{}: {:.1} % of the FLOPs of products with weights in {}, {} sets measured on {} requests of {}\n{}\n{}",
            self.out.display(),
            100.0 * self.tuned.narrow_share,
            self.precision,
            self.tuned.measured,
            self.tuned.accuracy.requests,
            self.requests_from,
            table.text(),
            held.collect::<Vec<_>>().join("\n")
        )
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn exit(&self) -> Exit {
        if self.tuned.held.iter().all(|h| h.holds) { Exit::Fine } else { Exit::Tolerance }
    }
}
