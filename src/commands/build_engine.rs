//! `onr build-engine`: export, parity, plans, manifest. The main job.

mod tables;

use std::path::{Path, PathBuf};

use onr_exporter::{OutDir, TensorInfo, artifact, onnx::OnnxFile};
use onr_graphs::{Dim, Profiles};
use onr_requests::CheckOptions;
use onr_runtime::{
    backend::{Availability, Backend},
    backends::tract::TractBackend,
    builder::{BuildJob, EngineBuilder, EngineError, NetworkSummary, Target, check_capability},
    builders::{TensorRt, Trtexec},
    manifest::Manifest,
    parity::{ParityJob, ParityReport, Reference, check},
};
use serde::Serialize;

use self::tables::{engine_table, made_by, widened};
use super::{
    candidate::candidate,
    describe::describe,
    export::{Staged, graph_table, publish, stage, unknown_weights},
    parity::ROWS,
    parity_pair::prove_one,
    typed::Typed,
};
use crate::{
    args::{BuildEngineArgs, CandidateArg},
    context::{Context, Scratch},
    exit::{Exit, Refusal},
    settings::{ExportSettings, Requests, planned, profile, targets},
    show::{Detail, Report},
};

#[derive(Serialize)]
pub(crate) struct EnginesBuilt {
    out: PathBuf,
    passed: bool,
    manifest: Manifest,
    #[serde(flatten)]
    typed: Option<Typed>,
    #[serde(skip)]
    graphs: String,
    #[serde(skip)]
    warnings: Vec<String>,
}

pub(crate) fn run(args: &BuildEngineArgs, context: &Context) -> anyhow::Result<EnginesBuilt> {
    let targets = targets(&args.target)?;
    let builder = builder(&args.builder, context)?;
    builder.check_targets(&targets, args.plan_weights())?;
    if let Availability::Missing { what, hint } = builder.availability() {
        return Err(EngineError::Missing { builder: builder.name(), what, hint }.into());
    }
    let ort = candidate(&CandidateArg::Ort, context)?;
    let cx = Build { args, context, builder: builder.as_ref(), targets, ort: ort.as_ref() };
    match (&args.onnx, &args.model, &args.weights) {
        (Some(onnx), ..) => cx.one_file(onnx),
        (None, Some(model), Some(weights)) => cx.whole_model(model, weights),
        _ => Err(Refusal::usage("--model and --weights, or --onnx, are needed").into()),
    }
}

/// What both ways of building share.
struct Build<'a> {
    args: &'a BuildEngineArgs,
    context: &'a Context,
    builder: &'a dyn EngineBuilder,
    targets: Vec<Target>,
    ort: &'a dyn Backend,
}

/// One graph to compile.
struct Source<'a> {
    graph: &'a str,
    onnx: &'a Path,
    inputs: &'a [TensorInfo],
}

impl Build<'_> {
    /// From a checkpoint: the reference is built anew from it.
    fn whole_model(&self, model: &Path, weights: &Path) -> anyhow::Result<EnginesBuilt> {
        let mut settings = ExportSettings::resolve(model, weights, &self.args.choices)?;
        let (planned_in, typed) = (&self.args.profiles, &self.args.choices.profile);
        let longest = settings.config.max_seq_len;
        let profiles = planned(planned_in.as_deref(), typed.as_deref(), longest)?;
        settings.profile = profiles.hull().clone();
        if let Some(elem) = settings.rare_type() {
            check_capability(self.builder.name(), &self.targets, elem)?;
        }
        let check_options = CheckOptions { strict: settings.strict, sort: self.args.requests.sort };
        let file = self.args.requests.requests.as_deref();
        let requests = Requests::load(file, &settings.config, check_options)?;
        let out = OutDir::open(&self.args.out)?;
        let staged = stage(&settings, out.staging(), self.context)?;
        let Staged { exported, mut manifest, typed } = staged;
        manifest.set_profiles(&profiles);
        let mut warnings = requests.warnings.clone();
        warnings.extend(unknown_weights(&exported));
        warnings.extend(typed.iter().flat_map(Typed::warnings));

        let report = self.prove(&settings, &requests, out.staging(), &manifest)?;
        let passed = report.passed();
        manifest.parity = Some(report);
        if passed {
            let dir = out.staging();
            for graph in &exported.graphs {
                let onnx = dir.join(format!("{}.onnx", graph.name));
                let source = Source { graph: &graph.name, onnx: &onnx, inputs: &graph.inputs };
                let network = self.compile(&source, &profiles, dir, &mut manifest)?;
                network.check_interface(&graph.name, &graph.inputs, &graph.outputs)?;
            }
            if let Some(plan) = manifest.plan(dir)? {
                warnings.extend(widened(&manifest, &plan));
            }
            self.carry_vocab(out.staging(), &mut manifest)?;
            manifest.write(out.staging())?;
            publish(out)?;
        }
        Ok(EnginesBuilt {
            out: self.args.out.clone(),
            passed,
            manifest,
            graphs: graph_table(&exported),
            typed,
            warnings,
        })
    }

    fn prove(
        &self,
        settings: &ExportSettings,
        requests: &Requests,
        dir: &Path,
        manifest: &Manifest,
    ) -> anyhow::Result<ParityReport> {
        let _scratch = Scratch::make()?;
        let reference = TractBackend::new();
        let progress = self.context.progress();
        let built = Reference::build(
            &settings.config,
            &settings.options,
            &manifest.graphs,
            &settings.checkpoint,
            manifest.plan(dir)?.as_ref(),
            progress,
        )?;
        let job = ParityJob {
            config: &settings.config,
            options: &settings.options,
            graphs: &manifest.graphs,
            dir,
            candidate: self.ort,
            reference: &reference,
            requests: &requests.list,
            requests_from: &requests.from,
            rows: ROWS,
            coded: manifest.into(),
        };
        Ok(check(&job, &built, progress)?)
    }

    /// One plan into `dir`; returns what TensorRT understood of the file.
    fn compile(
        &self,
        source: &Source<'_>,
        profiles: &Profiles,
        dir: &Path,
        manifest: &mut Manifest,
    ) -> anyhow::Result<NetworkSummary> {
        let name = format!("{}.plan", source.graph);
        let inputs: Vec<(String, Vec<Dim>)> =
            source.inputs.iter().map(|t| (t.name.clone(), dims(&t.shape))).collect();
        let has =
            |symbol: &str| source.inputs.iter().any(|t| t.shape.iter().any(|size| size == symbol));
        // A single one has every symbol, so that a size which it lacks is told.
        let profiles = match profiles.axes().keys().any(|symbol| has(symbol)) {
            true => profiles.of(has),
            false => vec![profiles.hull().clone()],
        };
        let job = BuildJob {
            graph: source.graph,
            onnx: source.onnx,
            plan: &dir.join(&name),
            inputs: &inputs,
            profiles: &profiles,
            targets: &self.targets,
            workspace: self.args.workspace.map(|mib| mib << 20),
            weights: self.args.plan_weights(),
        };
        let built = self.builder.build(&job, self.context.progress())?;
        manifest.files.insert(name, artifact::hash_file(job.plan)?);
        let network = built.network.clone();
        manifest.engines.insert(source.graph.to_owned(), built);
        Ok(network)
    }

    /// Copies the vocabulary of the requests, so that ids can be read where the engine runs.
    fn carry_vocab(&self, dir: &Path, manifest: &mut Manifest) -> anyhow::Result<()> {
        let beside = self.args.requests.requests.as_ref().map(|r| r.with_file_name("vocab.json"));
        let found = self.args.vocab.clone().or_else(|| beside.filter(|v| v.is_file()));
        let Some(vocab) = found else { return Ok(()) };
        let bytes = std::fs::read(&vocab)
            .map_err(|cause| onr_exporter::ExportError::Read { file: vocab, cause })?;
        let record = artifact::write(&dir.join("vocab.json"), &bytes)?;
        manifest.files.insert("vocab.json".into(), record);
        Ok(())
    }

    /// A plan published into the directory that an export made would take the export's manifest, and
    /// the file itself, away.
    fn spare(&self, onnx: &Path) -> Result<(), Refusal> {
        let inside = onnx.parent().and_then(|d| d.canonicalize().ok());
        let same = inside.is_some() && inside == self.args.out.canonicalize().ok();
        let name = onnx.file_name().unwrap_or_default().to_string_lossy();
        if same && Manifest::read(&self.args.out).is_ok_and(|m| m.files.contains_key(&*name)) {
            let what = format!("{} is a part of what --out holds", onnx.display());
            return Err(Refusal::usage(what).hint("choose another --out"));
        }
        Ok(())
    }

    /// From an ONNX file as it is: two backends on the same file.
    fn one_file(&self, onnx: &Path) -> anyhow::Result<EnginesBuilt> {
        let file = OnnxFile::read(onnx)?;
        self.spare(onnx)?;
        let profile = profile(256, self.args.choices.profile.as_deref())?;
        let report = prove_one(onnx, self.ort, &profile, self.context)?;
        let passed = report.passed();
        let mut manifest = Manifest::of_file(&profile);
        manifest.parity = Some(report);
        if passed {
            let out = OutDir::open(&self.args.out)?;
            let stem = onnx.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let source = Source { graph: &stem, onnx, inputs: &file.inputs };
            self.compile(&source, &profile.into(), out.staging(), &mut manifest)?;
            manifest.write(out.staging())?;
            publish(out)?;
        }
        Ok(EnginesBuilt {
            out: self.args.out.clone(),
            passed,
            manifest,
            graphs: format!("  {}", onnx.display()),
            typed: None,
            warnings: Vec::new(),
        })
    }
}

/// `tensorrt-rtx` or `trtexec[=PATH]`.
fn builder(typed: &str, context: &Context) -> anyhow::Result<Box<dyn EngineBuilder>> {
    match typed.split_once('=') {
        Some(("trtexec", path)) if !path.is_empty() => Ok(Box::new(Trtexec::new(path))),
        None if typed == "trtexec" => Ok(Box::new(Trtexec::new(context.search.trtexec()))),
        None if typed == TensorRt::NAME => {
            let found = context.search.tensorrt()?;
            Ok(Box::new(TensorRt::new(found.runtime.path, found.parser.path)))
        }
        None if typed == "tensorrt" => Err(Refusal::usage(
            "this onr was built with TensorRT for RTX, not with TensorRT",
        )
        .hint("build it with `cargo build --release --features tensorrt`, or use trtexec=PATH")
        .into()),
        None if typed == "tensorrt-rtx" => {
            Err(Refusal::usage("this onr was built with TensorRT, not with TensorRT for RTX")
                .hint("build it without `--features tensorrt`")
                .into())
        }
        _ => Err(Refusal::usage(format!("`{typed}` is not a builder"))
            .hint("`tensorrt-rtx`, `trtexec`, or `trtexec=/usr/src/tensorrt/bin/trtexec`")
            .into()),
    }
}

/// Sizes of an ONNX interface as dimensions: numbers or symbols.
fn dims(shape: &[String]) -> Vec<Dim> {
    shape.iter().map(|d| d.parse().map_or_else(|_| Dim::named(d), Dim::Fixed)).collect()
}

impl Report for EnginesBuilt {
    fn human(&self, detail: Detail) -> String {
        let parity = self.manifest.parity.as_ref();
        let parity = parity.map(|p| describe(p, detail)).unwrap_or_default();
        if !self.passed {
            return format!("{parity}\nNothing was written to {}.", self.out.display());
        }
        let engine = self.manifest.engines.values().next();
        let made_by = engine.map(made_by).unwrap_or_default();
        let typed = self.typed.as_ref().map_or_else(String::new, |t| format!("\n\n{}", t.text()));
        format!(
            "{parity}\n\n{}\n{}{typed}\n\nplans of {made_by}\n{}",
            self.out.display(),
            self.graphs,
            engine_table(&self.manifest)
        )
    }

    fn warnings(&self) -> Vec<String> {
        let engines = self.manifest.engines.iter();
        let logged = engines.flat_map(|(g, e)| e.warnings.iter().map(move |w| format!("{g}: {w}")));
        self.warnings.iter().cloned().chain(logged).collect()
    }

    fn exit(&self) -> Exit {
        if self.passed { Exit::Fine } else { Exit::Tolerance }
    }
}
