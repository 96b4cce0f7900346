//! The smallest error of a weight that outputs show.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use half::f16;
use onr_exporter::{Silent, WEIGHTS_FILE};
use onr_onnx::{ElemType, Model, floats, proto::TensorProto, tensor};
use onr_runtime::{
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
    parity::check,
};
use prost::Message as _;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use tempfile::TempDir;

use crate::{kind::Kind, mutant::World};

/// Relative errors are `2^-k`.
const STEPS: [i32; 8] = [2, 4, 6, 8, 10, 12, 14, 16];

/// Tensors of a model, models of a kind.
const TENSORS: usize = 8;
const MODELS: u64 = 3;

/// How many errors of one size were found.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// `fp32`, `fp16` or `int8`.
    pub precision: &'static str,
    /// All numbers of a tensor are `1 + error` times what they were.
    pub error: f64,
    /// Tensors whose error outputs or relations showed.
    pub found: usize,
    /// All that were tried.
    pub of: usize,
}

/// Scales one tensor after the other and asks parity, without the comparison bit by bit.
///
/// # Errors
/// When something cannot be written, or an engine is missing.
pub fn run(seed: u64) -> anyhow::Result<Vec<Point>> {
    let models: Vec<(Kind, u64)> = Kind::ALL
        .into_iter()
        .flat_map(|kind| (0..MODELS).map(move |n| (kind, seed * 1_000_000 + 500_000 + n)))
        .collect();
    let all: anyhow::Result<Vec<Vec<Point>>> =
        models.into_par_iter().map(|(kind, model)| of_model(kind, model)).collect();
    let mut points: BTreeMap<(&'static str, i64), Point> = BTreeMap::new();
    for point in all?.into_iter().flatten() {
        let key = (point.precision, (-point.error.log2()) as i64);
        let sum = points.entry(key).or_insert(Point { found: 0, of: 0, ..point.clone() });
        sum.found += point.found;
        sum.of += point.of;
    }
    Ok(points.into_values().collect())
}

fn of_model(kind: Kind, model: u64) -> anyhow::Result<Vec<Point>> {
    let world = World::new(model, kind, None)?;
    let (ort, tract) = (OrtBackend::new(Search::from_env()), TractBackend::new());
    let mut weights: Vec<String> = weights(&world)?.into_iter().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(model);
    weights.shuffle(&mut rng);
    weights.truncate(TENSORS);
    let mut points = Vec::new();
    for k in STEPS {
        let error = 2_f64.powi(-k);
        let mut found = 0;
        for weight in &weights {
            let dir = with_error(&world, weight, error)?;
            let report = check(&world.job(dir.path(), &ort, &tract), world.reference(), &Silent);
            found += usize::from(report.map_or(true, |report| !report.passed()));
        }
        points.push(Point { precision: kind.name(), error, found, of: weights.len() });
    }
    Ok(points)
}

/// The weights of all graphs, by name: for those in codes, their scales.
fn weights(world: &World) -> anyhow::Result<BTreeSet<String>> {
    let keys = world.weight_names()?;
    let mut names = BTreeSet::new();
    for graph in world.graphs() {
        for tensor in &world.model(&graph.name)?.graph().initializer {
            let key = tensor.label().strip_suffix("/scales").unwrap_or(tensor.label());
            if elem(tensor).is_some() && keys.contains(key) {
                names.insert(tensor.label().to_owned());
            }
        }
    }
    Ok(names)
}

fn elem(tensor: &TensorProto) -> Option<ElemType> {
    tensor.data_type.and_then(ElemType::of).filter(|elem| elem.is_activation())
}

/// The graphs with one weight times `1 + error`.
fn with_error(world: &World, weight: &str, error: f64) -> anyhow::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    fs::hard_link(world.dir().join(WEIGHTS_FILE), dir.path().join(WEIGHTS_FILE))?;
    for graph in world.graphs() {
        let mut model = world.model(&graph.name)?;
        if let Some(wrong) = scaled(&model, weight, (1.0 + error) as f32)? {
            let all = &mut model.graph_mut().initializer;
            all.iter_mut().filter(|t| t.label() == weight).for_each(|t| *t = wrong.clone());
        }
        fs::write(dir.path().join(graph.file_name()), model.proto().encode_to_vec())?;
    }
    Ok(dir)
}

/// A float tensor of the model times a factor; none where the model has no such tensor.
fn scaled(model: &Model, name: &str, factor: f32) -> anyhow::Result<Option<TensorProto>> {
    let Some(found) = model.initializer(name) else { return Ok(None) };
    let Some(elem) = elem(found) else { return Ok(None) };
    let values = floats(elem, &model.bytes(found)?).unwrap_or_default();
    let bytes: Vec<u8> = match elem {
        ElemType::Float16 => {
            values.iter().flat_map(|x| f16::from_f32(x * factor).to_le_bytes()).collect()
        }
        _ => values.iter().flat_map(|x| (x * factor).to_le_bytes()).collect(),
    };
    Ok(Some(tensor(name, elem, &found.dims, bytes)))
}
