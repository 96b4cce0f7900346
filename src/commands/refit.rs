//! `onr refit`: the weights of another checkpoint for plans that take them.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use onr_exporter::{Checkpoint, ExportError, ExportJob, Exported, OutDir, artifact, export};
use onr_graphs::{GraphKind, GraphOptions, ModelConfig};
use onr_requests::CheckOptions;
use onr_runtime::{
    backend::Backend,
    backends::{engine::EngineBackend, tract::TractBackend},
    builder::PlanWeights,
    manifest::{Manifest, ManifestError},
    parity::{ParityJob, ParityReport, Reference, check},
};
use serde::Serialize;

use super::{
    candidate::{candidate, own_engine},
    describe::describe,
    export::publish,
    parity::{ROWS, manifest_config, manifest_options},
};
use crate::{
    args::{CandidateArg, RefitArgs},
    context::{Context, Scratch},
    exit::{Exit, Refusal},
    settings::Requests,
    show::{Detail, Report, Table, seconds},
};

#[derive(Serialize)]
pub(crate) struct Refitted {
    out: PathBuf,
    passed: bool,
    /// Parity of the graphs, then that of the plans on the GPU.
    parity: Vec<ParityReport>,
    plans: Vec<RefittedPlan>,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct RefittedPlan {
    graph: String,
    seconds: f64,
    /// What building it took.
    build_seconds: f64,
}

pub(crate) fn run(args: &RefitArgs, context: &Context) -> anyhow::Result<Refitted> {
    let manifest = Manifest::read(&args.dir)?;
    manifest.verify(&args.dir)?;
    refuse(&manifest, &args.dir)?;
    let kind = manifest.engines.values().next().map(|engine| engine.kind);
    let kind = kind.ok_or_else(|| Refusal::usage("there is no plan"))?;
    let device = own_engine(kind, args.device, context)?;
    device.device()?;
    let refit = Refit { args, context, device, kept: manifest };
    refit.run()
}

/// Refuses directories whose plans take no other weights.
fn refuse(manifest: &Manifest, dir: &Path) -> Result<(), Refusal> {
    let dir_name = dir.display();
    if manifest.model.is_none() || manifest.engines.is_empty() {
        return Err(Refusal::usage(format!("{dir_name} holds no plans of a checkpoint"))
            .hint("`onr build-engine --model M --weights W --refit` makes such a directory"));
    }
    if manifest.quantized.is_some() {
        let what =
            format!("{dir_name} has numbers in 8 bits, whose scales belong to their checkpoint");
        return Err(Refusal::usage(what).hint("calibrate the new checkpoint, and build anew"));
    }
    match manifest.engines.iter().find(|(_, engine)| engine.weights.fixed()) {
        Some((graph, _)) => Err(Refusal::usage(format!("{graph}.plan has its weights for good"))
            .hint("build it with `onr build-engine --refit` or `--strip-weights`")),
        None => Ok(()),
    }
}

struct Refit<'a> {
    args: &'a RefitArgs,
    context: &'a Context,
    device: EngineBackend,
    /// The manifest of the plans that there are.
    kept: Manifest,
}

impl Refit<'_> {
    fn run(&self) -> anyhow::Result<Refitted> {
        let (args, dir) = (self.args, &self.args.dir);
        let config = manifest_config(&self.kept, dir)?;
        let options = manifest_options(&self.kept, dir)?;
        let checkpoint = Checkpoint::open(&args.weights)?;
        let check_options = CheckOptions { strict: false, sort: args.requests.sort };
        let requests = Requests::load(args.requests.requests.as_deref(), &config, check_options)?;
        let target = args.out.as_ref().unwrap_or(dir);
        let out = OutDir::open(target)?;
        let exported = self.export((&config, &options), &checkpoint, out.staging())?;
        let mut manifest = self.kept.clone();
        manifest.files.clear();
        manifest.checkpoint = Some(exported.checkpoint.clone());
        manifest.add_export(exported.weights.clone(), exported.graphs.clone());
        let reference = Reference::build(
            &config,
            &options,
            &manifest.graphs,
            &checkpoint,
            None,
            self.context.progress(),
        )?;
        let mut done = Refitted {
            out: target.clone(),
            passed: false,
            parity: Vec::new(),
            plans: Vec::new(),
            warnings: requests.warnings.clone(),
        };
        let ort = candidate(&CandidateArg::Ort, self.context)?;
        let about = (&config, &options);
        done.parity.push(self.prove(
            about,
            &manifest,
            &requests,
            &reference,
            ort.as_ref(),
            out.staging(),
        )?);
        if !done.parity[0].passed() {
            return Ok(done);
        }
        self.refit(&mut manifest, out.staging(), &mut done.plans)?;
        self.carry_vocab(&mut manifest, out.staging())?;
        manifest.parity = done.parity.first().cloned();
        manifest.write(out.staging())?;
        let on_device =
            self.prove(about, &manifest, &requests, &reference, &self.device, out.staging())?;
        done.passed = on_device.passed();
        done.parity.push(on_device);
        if done.passed {
            publish(out)?;
        }
        Ok(done)
    }

    /// The graphs with the new weights. They must be the old ones but for these, or the plans are of other graphs.
    fn export(
        &self,
        (config, options): (&ModelConfig, &GraphOptions),
        checkpoint: &Checkpoint,
        dir: &Path,
    ) -> anyhow::Result<Exported> {
        let format =
            |reason: String| ManifestError::Format { file: self.args.dir.join("onr.json"), reason };
        let kinds: Vec<_> =
            self.kept.graphs.iter().filter_map(|g| GraphKind::from_name(&g.name)).collect();
        let job = ExportJob {
            config,
            options,
            graphs: &kinds,
            checkpoint,
            strict: false,
            profile: &self.kept.profile(config.max_seq_len).map_err(format)?,
            round_weights: None,
            out: dir,
        };
        let exported = export(&job, self.context.progress())?;
        for (old, new) in self.kept.graphs.iter().zip(&exported.graphs) {
            if old.file.sha256 != new.file.sha256 {
                let what = format!("{} is another graph than that of its plan", old.name);
                let hint = "another version of onr exported it: build the plans anew";
                return Err(Refusal::usage(what).hint(hint).into());
            }
        }
        Ok(exported)
    }

    fn prove(
        &self,
        (config, options): (&ModelConfig, &GraphOptions),
        manifest: &Manifest,
        requests: &Requests,
        reference: &Reference,
        candidate: &dyn Backend,
        dir: &Path,
    ) -> anyhow::Result<ParityReport> {
        let _scratch = Scratch::make()?;
        let job = ParityJob {
            config,
            options,
            graphs: &manifest.graphs,
            dir,
            candidate,
            reference: &TractBackend::new(),
            requests: &requests.list,
            requests_from: &requests.from,
            rows: ROWS,
            coded: manifest.into(),
        };
        Ok(check(&job, reference, self.context.progress())?)
    }

    fn refit(
        &self,
        manifest: &mut Manifest,
        dir: &Path,
        plans: &mut Vec<RefittedPlan>,
    ) -> anyhow::Result<()> {
        let progress = self.context.progress();
        progress.stage("refit", manifest.engines.len() as u64);
        for (graph, engine) in &mut manifest.engines {
            let name = format!("{graph}.plan");
            let began = Instant::now();
            let onnx = dir.join(format!("{graph}.onnx"));
            let record = self.device.refit(&self.args.dir.join(&name), &onnx, &dir.join(&name))?;
            plans.push(RefittedPlan {
                graph: graph.clone(),
                seconds: began.elapsed().as_secs_f64(),
                build_seconds: engine.seconds,
            });
            manifest.files.insert(name, record);
            engine.weights = PlanWeights::Refittable;
            if progress.advance(1).is_break() {
                return Err(ExportError::Interrupted.into());
            }
        }
        Ok(())
    }

    fn carry_vocab(&self, manifest: &mut Manifest, dir: &Path) -> anyhow::Result<()> {
        let file = self.args.dir.join("vocab.json");
        if self.kept.files.contains_key("vocab.json") {
            let bytes = std::fs::read(&file).map_err(|cause| ExportError::Read { file, cause })?;
            let record = artifact::write(&dir.join("vocab.json"), &bytes)?;
            manifest.files.insert("vocab.json".into(), record);
        }
        Ok(())
    }
}

impl Report for Refitted {
    fn human(&self, detail: Detail) -> String {
        let parity: Vec<_> = self.parity.iter().map(|report| describe(report, detail)).collect();
        let parity = parity.join("\n\n");
        if !self.passed {
            return format!("{parity}\n\nNothing was written to {}.", self.out.display());
        }
        let mut table = Table::new(&["plan", "refit", "build"]);
        for plan in &self.plans {
            table.row([
                format!("{}.plan", plan.graph),
                seconds(plan.seconds),
                seconds(plan.build_seconds),
            ]);
        }
        format!("{parity}\n\n{}\n{}", self.out.display(), table.text())
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn exit(&self) -> Exit {
        if self.passed { Exit::Fine } else { Exit::Tolerance }
    }
}
