//! `onr bisect`: the first node that goes wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use onr_exporter::{Checkpoint, ExportError, artifact};
use onr_graphs::{GraphOptions, Precision};
use onr_requests::CheckOptions;
use onr_runtime::{
    bisect::{
        Cause, Fault, Finding, NodeName, Numbers, Options, Tolerance, ValueError, bisect,
        bisect_directory,
    },
    manifest::Manifest,
    parity::{ParityJob, Reference},
    tensor::Feeds,
};
use serde::Serialize;

use super::{
    candidate::candidate,
    parity::{ROWS, checkpoint, manifest_config, manifest_options},
    parity_pair::batches,
};
use crate::{
    args::BisectArgs,
    context::{Context, Scratch},
    exit::{Exit, Refusal},
    settings::Requests,
    show::{Detail, Report, Table, figure},
};

#[derive(Serialize)]
pub(crate) struct BisectDone {
    candidate: PathBuf,
    against: String,
    inputs: String,
    found: bool,
    /// One, or each graph of a directory up to the one with the fault.
    graphs: Vec<GraphFinding>,
    /// Files that were written.
    written: Vec<PathBuf>,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct GraphFinding {
    /// Of a directory.
    graph: Option<String>,
    #[serde(flatten)]
    finding: Finding,
}

pub(crate) fn run(args: &BisectArgs, context: &Context) -> anyhow::Result<BisectDone> {
    if args.tolerance.is_some_and(|t| t.is_nan() || t < 0.0) {
        return Err(Refusal::usage("--tolerance is at least 0").into());
    }
    let mut done = match (&args.pair.onnx, &args.dir) {
        (Some(onnx), _) => pair(onnx, args, context)?,
        (None, Some(dir)) => directory(dir, args, context)?,
        (None, None) => return Err(Refusal::usage("a directory or --onnx is needed").into()),
    };
    if let Some(out) = &args.out {
        done.write(out)?;
    }
    Ok(done)
}

fn pair(onnx: &Path, args: &BisectArgs, context: &Context) -> anyhow::Result<BisectDone> {
    if args.requests.requests.is_some() || args.requests.sort {
        let what = "--requests and --sort are for a directory of graphs";
        return Err(Refusal::usage(what).hint("--data or --random give inputs to --onnx").into());
    }
    let against = args.pair.against.as_deref().unwrap_or(onnx);
    let (feeds, inputs) = batches(onnx, against, &args.pair)?;
    let feeds = feeds.collect::<anyhow::Result<Vec<Feeds>>>()?;
    let (ours, theirs) =
        (candidate(&args.candidate, context)?, candidate(&args.pair.reference, context)?);
    let _scratch = Scratch::make()?;
    let options = Options { tolerance: args.tolerance };
    let (reference, candidate) = ((theirs.as_ref(), against), (ours.as_ref(), onnx));
    let finding = bisect(reference, candidate, &feeds, options, context.progress())?;
    let mut warnings = Vec::new();
    if !finding.unmatched.is_empty() {
        let names = finding.unmatched.join("`, `");
        warnings.push(format!("outputs that one side lacks or has in another type: `{names}`"));
    }
    Ok(BisectDone {
        candidate: onnx.to_owned(),
        against: format!("{} on {}", against.display(), theirs.name()),
        inputs,
        found: finding.fault.is_some(),
        graphs: vec![GraphFinding { graph: None, finding }],
        written: Vec::new(),
        warnings,
    })
}

fn directory(dir: &Path, args: &BisectArgs, context: &Context) -> anyhow::Result<BisectDone> {
    let manifest = Manifest::read(dir)?;
    let config = manifest_config(&manifest, dir)?;
    let options = manifest_options(&manifest, dir)?;
    let requests = Requests::load(
        args.requests.requests.as_deref(),
        &config,
        CheckOptions { strict: false, sort: args.requests.sort },
    )?;
    let (ours, theirs) =
        (candidate(&args.candidate, context)?, candidate(&args.pair.reference, context)?);
    let weights = Checkpoint::open(&checkpoint(args.weights.as_deref(), &manifest, dir)?)?;
    let _scratch = Scratch::make()?;
    let progress = context.progress();
    let graphs = &manifest.graphs;
    let mut job = ParityJob {
        config: &config,
        options: &options,
        graphs,
        dir,
        candidate: ours.as_ref(),
        reference: ours.as_ref(),
        requests: &requests.list,
        requests_from: &requests.from,
        rows: ROWS,
        coded: (&manifest).into(),
    };
    // First: are these the files that an export would write today? On one engine a small fault shows.
    let plan = manifest.plan(dir)?;
    let twin = Reference::twin(&config, &options, graphs, &weights, plan.as_ref(), progress)?;
    let numbers = Numbers::of_export(&options, manifest.quantized.is_some());
    let close = Options { tolerance: args.tolerance.or(Some(Tolerance::of_twins(numbers))) };
    let mut found = bisect_directory(&job, &twin, close, progress)?;
    let mut against = format!("the same graphs built anew, on {}", ours.name());
    // Then: does the engine compute what they say, and does the precision hold it?
    if found.fault().is_none() {
        let exact = GraphOptions { precision: Precision::F32, ..options };
        let built = Reference::build(&config, &exact, graphs, &weights, None, progress)?;
        job.reference = theirs.as_ref();
        let loose = Options { tolerance: args.tolerance };
        found = bisect_directory(&job, &built, loose, progress)?;
        against = format!("FP32 graphs of the checkpoint on {}", theirs.name());
    }
    let graphs = found.graphs.iter().cloned();
    Ok(BisectDone {
        candidate: dir.to_owned(),
        against,
        inputs: requests.from,
        found: found.fault().is_some(),
        graphs: graphs
            .map(|(graph, finding)| GraphFinding { graph: Some(graph), finding })
            .collect(),
        written: Vec::new(),
        warnings: requests.warnings,
    })
}

impl BisectDone {
    /// The finding that ends the search.
    fn last(&self) -> Option<(&GraphFinding, &Fault)> {
        let last = self.graphs.last()?;
        Some((last, last.finding.fault.as_ref().filter(|_| self.found)?))
    }

    /// The node, what comes into it, and this report.
    fn write(&mut self, out: &Path) -> anyhow::Result<()> {
        let fail = |cause| ExportError::Write { file: out.to_owned(), cause };
        fs::create_dir_all(out).map_err(fail)?;
        if let Some((_, fault)) = self.last() {
            self.written = fault.save(out)?;
        }
        let report = out.join("bisect.json");
        self.written.push(report.clone());
        let json = serde_json::to_vec_pretty(&*self).context("the report")?;
        artifact::write(&report, &json)?;
        Ok(())
    }
}

impl Report for BisectDone {
    fn human(&self, detail: Detail) -> String {
        let mut lines = vec![
            format!("candidate  {}", self.candidate.display()),
            format!("reference  {}, inputs: {}", self.against, self.inputs),
        ];
        for graph in &self.graphs {
            lines.push(outputs(graph));
            let tie = graph.finding.fault.as_ref().filter(|_| !self.found);
            lines.extend(tie.map(|f| format!("           by a near tie in {}", named(&f.node))));
        }
        if let Some((graph, fault)) = self.last() {
            lines.extend(tell(fault, graph.finding.tolerance, detail));
        } else {
            lines.push("node       none is wrong".into());
        }
        if !self.written.is_empty() {
            let files: Vec<_> = self.written.iter().map(|f| f.display().to_string()).collect();
            lines.push(format!("written    {}", files.join(", ")));
            lines.extend(self.again());
        }
        lines.join("\n")
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn exit(&self) -> Exit {
        if self.found { Exit::Tolerance } else { Exit::Fine }
    }
}

impl BisectDone {
    /// How to see the node alone once more.
    fn again(&self) -> Option<String> {
        let (_, fault) = self.last()?;
        let file = |name: &str| self.written.iter().find(|f| f.ends_with(name));
        let (node, inputs) = (file("node.onnx")?, file("inputs.npz")?);
        let against = file("against.onnx").map(|f| format!(" --against {}", f.display()));
        matches!(fault.cause, Cause::Own).then(|| {
            format!(
                "see again  onr parity --onnx {}{} --data {}",
                node.display(),
                against.unwrap_or_default(),
                inputs.display()
            )
        })
    }
}

/// One line on what is judged.
fn outputs(graph: &GraphFinding) -> String {
    let finding = &graph.finding;
    let name = graph.graph.as_ref().map_or_else(String::new, |g| format!("{g}: "));
    let wrong: Vec<&ValueError> = finding.outputs.iter().filter(|o| o.is_wrong).collect();
    let tolerance = format!("tolerance {}, {}", figure(finding.tolerance), finding.numbers.name());
    let worst = finding.outputs.iter().map(|o| o.distance.error()).fold(0.0, f64::max);
    match wrong.as_slice() {
        [] => format!(
            "outputs    {name}all {} agree, error {} at most ({tolerance})",
            finding.outputs.len(),
            figure(worst)
        ),
        some => format!(
            "outputs    {name}{} of {} are wrong, `{}` first ({tolerance}; {} values, {} loads)",
            some.len(),
            finding.outputs.len(),
            some[0].name,
            finding.values,
            finding.loads
        ),
    }
}

fn named(node: &NodeName) -> String {
    format!("{} `{}`, {} of {}", node.op, node.name, node.position + 1, node.of)
}

/// The node and why.
fn tell(fault: &Fault, tolerance: f64, detail: Detail) -> Vec<String> {
    let mut lines = vec![format!("node       {}", named(&fault.node))];
    lines.push(match &fault.cause {
        Cause::Own => "           wrong by itself: what comes into it agrees".to_owned(),
        Cause::Together => {
            "           right by itself: wrong where the engine computes these nodes as one".into()
        }
        Cause::NotAlone { reason } => {
            format!("           what comes into it agrees; it does not run alone: {reason}")
        }
        Cause::Choice => {
            "           decides between numbers that agree: a near tie, no fault of a node".into()
        }
        Cause::Accumulated { .. } => {
            "           error accumulates: no node is wrong by itself, here it grows most".into()
        }
    });
    lines.extend(fault.differences.iter().map(|d| format!("  differs  {d}")));
    if fault.nodes.len() > 1 {
        let some = if detail == Detail::All { usize::MAX } else { 8 };
        let nodes = fault.nodes.iter().take(some).map(|n| format!("  among    {}", named(n)));
        lines.extend(nodes);
        if fault.nodes.len() > some {
            lines.push(format!("  and {} more (-v has all)", fault.nodes.len() - some));
        }
    }
    lines.push(values(fault));
    if let Cause::Accumulated { growth } = &fault.cause {
        let mut table = Table::new(&["error grows at", "op", "from", "to"]);
        for g in growth {
            let cells = [g.node.name.clone(), g.node.op.clone(), figure(g.before), figure(g.error)];
            table.row(cells);
        }
        lines.push(format!("{}\n           (tolerance {})", table.text(), figure(tolerance)));
    }
    lines
}

/// What comes in, goes out, and is made alone.
fn values(fault: &Fault) -> String {
    let mut table =
        Table::new(&["value", "", "error", "max abs", "rms error", "rms", "not finite"]);
    let groups = [("in", &fault.inputs), ("out", &fault.outputs), ("alone", &fault.alone)];
    for (role, values) in groups {
        for value in values {
            let d = &value.distance;
            let error = match &d.shapes {
                Some((want, got)) => format!("shape {got:?} / {want:?}"),
                None => figure(d.error()),
            };
            table.row([
                value.name.clone(),
                role.to_owned(),
                error,
                figure(d.max_abs),
                figure(d.rms_error),
                figure(d.rms),
                d.not_finite.to_string(),
            ]);
        }
    }
    table.text()
}
