//! Plans against the TensorRT and the GPU that would load them.

use std::collections::BTreeMap;

use onr_runtime::builder::{BuiltEngine, PlanKind};

use super::{
    CheckName, Place,
    check::{Check, lines},
    facts::capability_number,
    version::Version,
};
use crate::{options::Backend, source::Source};

const REBUILD: &str = "`onr build-engine --builder trtexec=/usr/src/tensorrt/bin/trtexec` in the container of the \
                       deployment, on its GPU";

/// The three checks of plans.
pub(super) fn checks(source: &Source, asked: Option<Backend>, place: &Place<'_>) -> Vec<Check> {
    let plans: BTreeMap<&str, &BuiltEngine> = source
        .manifest
        .engines
        .iter()
        .filter(|(_, engine)| engine.kind == PlanKind::Tensorrt)
        .map(|(graph, engine)| (graph.as_str(), engine))
        .collect();
    let aside = asked.filter(|backend| *backend != Backend::TensorRt);
    let none = match aside {
        Some(backend) => Some(format!("the backend {backend} needs no plan")),
        None if plans.is_empty() => Some("there is no plan that Triton loads".to_owned()),
        None => None,
    };
    if let Some(why) = none {
        let skipped = |name| Check::skipped(name, why.clone());
        return vec![
            kind(source, asked),
            skipped(CheckName::PlanVersion),
            skipped(CheckName::PlanComputeCapability),
        ];
    }
    vec![kind(source, asked), version(&plans, place), capability(&plans, place)]
}

fn kind(source: &Source, asked: Option<Backend>) -> Check {
    const NAME: CheckName = CheckName::PlanKind;
    let engines = &source.manifest.engines;
    if let Some(backend) = asked.filter(|backend| *backend != Backend::TensorRt) {
        return Check::skipped(NAME, format!("the backend {backend} needs no plan"));
    }
    if engines.is_empty() && asked.is_none() {
        return Check::skipped(NAME, "there are no plans: the backend onnxruntime gets ONNX files");
    }
    let of_rtx = engines.iter().filter(|(_, engine)| engine.kind == PlanKind::TensorrtRtx);
    let of_rtx: Vec<&str> = of_rtx.map(|(graph, _)| graph.as_str()).collect();
    let lacking = source.without_plan();
    let fix = format!("{REBUILD}; or package with `--backend onnxruntime` or `--backend python`");
    if !of_rtx.is_empty() {
        let why = format!(
            "TensorRT for RTX made the plans of {}: no Triton loads them",
            of_rtx.join(", ")
        );
        return Check::failed(NAME, why, fix);
    }
    if !lacking.is_empty() {
        return Check::failed(NAME, format!("there is no plan of {}", lacking.join(", ")), fix);
    }
    Check::passed(NAME, format!("{} plans of data-centre TensorRT", engines.len()))
}

/// A plan loads in the version that wrote it, and in no other. The exception, plans that were built
/// version-compatible, is none that `onr` builds.
fn version(plans: &BTreeMap<&str, &BuiltEngine>, place: &Place<'_>) -> Check {
    const NAME: CheckName = CheckName::PlanVersion;
    let Some(there) = place.tensorrt() else {
        let why =
            "the server's TensorRT is not known: give `tensorrt_version` in --container-facts";
        return Check::skipped(NAME, why);
    };
    let differs = |engine: &BuiltEngine| {
        Version::parse(&engine.version).is_none_or(|made| !made.agrees(&there.version))
    };
    let wrong =
        by_value(plans.iter().filter(|(_, e)| differs(e)).map(|(g, e)| (e.version.clone(), *g)));
    if wrong.is_empty() {
        return Check::passed(NAME, format!("TensorRT {} ({})", there.version, there.from));
    }
    let why = wrong.into_iter().map(|(version, graphs)| {
        format!(
            "plans of {version} do not load in TensorRT {} ({}): {graphs}",
            there.version, there.from
        )
    });
    let mut fix = REBUILD.to_owned();
    if there.guessed {
        fix.push_str(
            "; if the server is another build, say its `tensorrt_version` in --container-facts",
        );
    }
    Check::failed(NAME, lines(why.collect()), fix)
}

fn capability(plans: &BTreeMap<&str, &BuiltEngine>, place: &Place<'_>) -> Check {
    const NAME: CheckName = CheckName::PlanComputeCapability;
    let text = place.facts.compute_capability.as_deref();
    let Some(there) = text.and_then(capability_number) else {
        let why = "the server's GPU is not known: give `compute_capability` in --container-facts";
        return Check::skipped(NAME, why);
    };
    let unknown: Vec<&str> =
        plans.iter().filter(|(_, e)| e.targets.is_empty()).map(|(graph, _)| *graph).collect();
    let fits = |target: &String| capability_number(target) == Some(there);
    let wrong = plans.iter().filter(|(_, e)| !e.targets.is_empty() && !e.targets.iter().any(fits));
    let wrong = by_value(wrong.map(|(graph, e)| (e.targets.join(", "), *graph)));
    if !wrong.is_empty() {
        let why = wrong.into_iter().map(|(targets, graphs)| {
            format!("plans for {targets} are not for the GPU there, sm{there}: {graphs}")
        });
        return Check::failed(NAME, lines(why.collect()), REBUILD);
    }
    if !unknown.is_empty() {
        let why = format!("the manifest does not say which GPU has built {}", unknown.join(", "));
        return Check::skipped(NAME, why);
    }
    Check::passed(NAME, format!("sm{there}"))
}

/// Graphs by a value that they share.
fn by_value<'a>(all: impl Iterator<Item = (String, &'a str)>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for (value, graph) in all {
        let graphs = found.entry(value).or_default();
        if !graphs.is_empty() {
            graphs.push_str(", ");
        }
        graphs.push_str(graph);
    }
    found
}
