//! The smallest error of a weight that outputs show.

use std::{collections::BTreeMap, fs};

use half::f16;
use onr_exporter::{Silent, WEIGHTS_FILE};
use onr_onnx::ElemType;
use onr_runtime::{
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
    parity::check,
};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use tempfile::TempDir;

use crate::{kind::Kind, mutant::World};

/// Relative errors are `2^-k`.
const STEPS: [i32; 8] = [2, 4, 6, 8, 10, 12, 14, 16];

/// Tensors of a model, models of a kind.
const TENSORS: usize = 6;
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

/// A tensor's place in the weights.
#[derive(Debug, Clone)]
struct Place {
    offset: usize,
    length: usize,
    elem: ElemType,
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
    let mut places: Vec<Place> = places(&world)?.into_values().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(model);
    places.shuffle(&mut rng);
    places.truncate(TENSORS);
    let mut points = Vec::new();
    for k in STEPS {
        let error = 2_f64.powi(-k);
        let mut found = 0;
        for place in &places {
            let dir = with_error(&world, place, error)?;
            let report = check(&world.job(dir.path(), &ort, &tract), world.reference(), &Silent);
            found += usize::from(report.map_or(true, |report| !report.passed()));
        }
        points.push(Point { precision: kind.name(), error, found, of: places.len() });
    }
    Ok(points)
}

/// The float tensors of all graphs, by their place: graphs share them.
fn places(world: &World) -> anyhow::Result<BTreeMap<usize, Place>> {
    let mut places = BTreeMap::new();
    for graph in world.graphs() {
        for tensor in &world.model(&graph.name)?.graph().initializer {
            let number = |key| tensor.external(key).and_then(|text| text.parse().ok());
            let elem = tensor.data_type.and_then(ElemType::of).filter(|e| e.is_activation());
            if let (Some(offset), Some(length), Some(elem)) =
                (number("offset"), number("length"), elem)
            {
                places.insert(offset, Place { offset, length, elem });
            }
        }
    }
    Ok(places)
}

/// The graphs with one tensor times `1 + error`.
fn with_error(world: &World, place: &Place, error: f64) -> anyhow::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    for graph in world.graphs() {
        let name = graph.file_name();
        fs::hard_link(world.dir().join(&name), dir.path().join(&name))?;
    }
    let mut bytes = fs::read(world.dir().join(WEIGHTS_FILE))?;
    let factor = (1.0 + error) as f32;
    let tensor = &mut bytes[place.offset..place.offset + place.length];
    match place.elem {
        ElemType::Float16 => {
            for number in tensor.as_chunks_mut::<2>().0 {
                *number =
                    f16::from_f32(f16::from_le_bytes(*number).to_f32() * factor).to_le_bytes();
            }
        }
        _ => {
            for number in tensor.as_chunks_mut::<4>().0 {
                *number = (f32::from_le_bytes(*number) * factor).to_le_bytes();
            }
        }
    }
    fs::write(dir.path().join(WEIGHTS_FILE), bytes)?;
    Ok(dir)
}
