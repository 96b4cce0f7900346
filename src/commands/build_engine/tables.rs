//! Plans as text.

use std::collections::BTreeMap;

use onr_exporter::quantize::{Format, Plan};
use onr_runtime::{
    builder::{BuiltEngine, PlannedProduct},
    manifest::Manifest,
};

use crate::show::{Table, bytes, seconds};

pub(super) fn engine_table(manifest: &Manifest) -> String {
    let several = manifest.engines.values().any(|built| !built.profiles.is_empty());
    let profiles = several.then_some("profiles");
    let head = ["plan", "layers"].into_iter().chain(profiles);
    let head = head.chain(["build", "size", "products computed in"]);
    let mut table = Table::new(&head.collect::<Vec<_>>());
    for (graph, built) in &manifest.engines {
        let name = format!("{graph}.plan");
        let layers: usize = built.network.layers.values().sum();
        let size = manifest.files.get(&name).map_or(0, |f| f.size);
        let layers = if layers == 0 { String::new() } else { layers.to_string() };
        let products = product_types(&built.products);
        let profiles = several.then(|| built.profiles.len().max(1).to_string());
        let row = [name, layers].into_iter().chain(profiles);
        table.row(row.chain([seconds(built.seconds), bytes(size), products]));
    }
    table.text()
}

/// `5 int8, 7 half`: what a plan says of its products.
fn product_types(products: &[PlannedProduct]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for product in products {
        *counts.entry(&product.operands).or_default() += 1;
    }
    let texts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    texts.join(", ")
}

/// Products that a plan of ours wants in 8 bits and TensorRT's plan has otherwise.
pub(super) fn widened(manifest: &Manifest, plan: &Plan) -> Vec<String> {
    let wanted = match plan.format {
        None => return Vec::new(),
        Some(Format::Int8) => "int8",
        Some(Format::Fp8) => "fp8_e4m3",
    };
    let engines = manifest.engines.iter();
    let all = engines.flat_map(|(graph, built)| built.products.iter().map(move |p| (graph, p)));
    all.filter(|(_, p)| plan.products.contains_key(&p.node) && p.operands != wanted)
        .map(|(graph, p)| {
            format!("{graph}: TensorRT computes `{}` in {}, not in {wanted}", p.node, p.operands)
        })
        .collect()
}

pub(super) fn made_by(built: &BuiltEngine) -> String {
    let targets = match built.targets.as_slice() {
        [] => "the GPU of this machine".to_owned(),
        list => list.join(", "),
    };
    format!("{} {} for {targets}", built.kind, built.version)
}
