//! Keys and values as codes, run: what `append` hands through comes out bit for bit, slots behind histories hold 0.
#![cfg(all(feature = "ort", feature = "tract"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use onr_exporter::{
    Checkpoint, ExportJob, ExportedGraph, Silent, export, init, parse_model,
    quantize::{Format, Interface, Plan, SCALE_KEY, apply_to_directory},
};
use onr_graphs::{GraphKind, GraphOptions, ModelConfig, Precision, Profile};
use onr_onnx::Model;
use onr_requests::{Limits, random_requests};
use onr_runtime::{
    backend::Backend,
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
    parity::{Accuracy, Scoring},
    tensor::{Data, F8E4M3, Feeds, HostTensor},
};
use tempfile::TempDir;

const SLOTS: usize = 8;

fn config() -> ModelConfig {
    let text = "[model]\nn_items = 300\nn_actions = 3\nd_model = 16\nn_heads = 2\nn_layers = 2\n\
                n_rank_layers = 1\nmax_seq_len = 8\nattention = \"hstu\"\ntasks = [\"a\", \"b\"]\n\
                n_fake_items = 3\nrel_pos_buckets = 4\ntime_buckets = 5\nlayer_norm_eps = 1e-5\n\
                temperature = 0.1\n";
    parse_model(text).unwrap()
}

fn backends() -> [Box<dyn Backend>; 2] {
    [Box::new(OrtBackend::new(Search::from_env())), Box::new(TractBackend::new())]
}

/// Graphs of random weights, and the same with keys and values as codes.
struct World {
    plain: (TempDir, Vec<ExportedGraph>),
    coded: (TempDir, Vec<ExportedGraph>),
    options: GraphOptions,
}

impl World {
    fn new(precision: Precision, format: Format, scale: f32) -> Self {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("w.safetensors");
        let config = config();
        init(&config, 1, &file, &Silent).unwrap();
        let (plain, coded) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = GraphOptions { precision, ..GraphOptions::new(5) };
        let job = ExportJob {
            config: &config,
            options: &options,
            graphs: &GraphKind::ALL,
            checkpoint: &Checkpoint::open(&file).unwrap(),
            strict: true,
            profile: &Profile::for_model(SLOTS),
            round_weights: None,
            out: plain.path(),
        };
        let graphs = export(&job, &Silent).unwrap().graphs;
        let mut scales =
            BTreeMap::from([("prompt.1.key".into(), scale), ("prompt.1.value".into(), scale)]);
        for (layer, what) in [(0, "key"), (0, "value"), (1, "key"), (1, "value")] {
            for side in ["present", "past_key_values"] {
                scales.insert(format!("{side}.{layer}.{what}"), scale * (layer + 1) as f32);
            }
        }
        let plan = Plan { interface: Some(Interface { format, scales }), ..Plan::default() };
        let done = apply_to_directory(&plan, &graphs, plain.path(), coded.path()).unwrap();
        Self { plain: (plain, graphs), coded: (coded, done.graphs), options }
    }
}

fn ints(shape: &[usize], values: &[i64]) -> HostTensor {
    HostTensor::of(shape, values.to_vec())
}

/// All codes but FP8's NaN, again and again.
fn every_code(format: Format, shape: [usize; 4]) -> HostTensor {
    let count = shape.iter().product();
    let codes = (0..=255_u8).filter(|c| format == Format::Int8 || c & 0x7f != 0x7f);
    let codes = codes.collect::<Vec<_>>().into_iter().cycle().take(count);
    match format {
        Format::Int8 => HostTensor::of(&shape, codes.map(u8::cast_signed).collect::<Vec<_>>()),
        Format::Fp8 => HostTensor::of(&shape, codes.map(F8E4M3).collect::<Vec<_>>()),
    }
}

fn bytes(tensor: &HostTensor) -> Vec<u8> {
    match tensor.data() {
        Data::I8(codes) => codes.iter().map(|c| c.cast_unsigned()).collect(),
        Data::F8E4M3(codes) => codes.iter().map(|c| c.0).collect(),
        other => panic!("no codes: {other:?}"),
    }
}

#[test]
fn append_hands_codes_through_bit_for_bit() {
    // 3e-7 is a scale whose products F16 can't hold.
    let cases = [Precision::F32, Precision::F16].into_iter().flat_map(|precision| {
        [Format::Int8, Format::Fp8]
            .into_iter()
            .flat_map(move |format| [0.0123, 3e-7].map(|scale| (precision, format, scale)))
    });
    for (precision, format, scale) in cases {
        let world = World::new(precision, format, scale);
        let mut feeds = Feeds::from([
            ("item_ids".to_owned(), ints(&[2, 2], &[5, 6, 7, 0])),
            ("action_ids".to_owned(), ints(&[2, 2], &[1, 2, 0, 0])),
            ("new_lens".to_owned(), ints(&[2], &[2, 1])),
            ("past_lens".to_owned(), ints(&[2], &[3, 5])),
            ("timestamps".to_owned(), ints(&[2, SLOTS], &(0..16).collect::<Vec<_>>())),
        ]);
        let past = every_code(format, [2, 2, SLOTS, 8]);
        for (layer, what) in [(0, "key"), (0, "value"), (1, "key"), (1, "value")] {
            feeds.insert(format!("past_key_values.{layer}.{what}"), past.clone());
        }
        let before = bytes(&past);
        for backend in backends() {
            let mut append = backend.open(&world.coded.0.path().join("append.onnx")).unwrap();
            for (name, present) in append.run(&feeds).unwrap() {
                for (at, (was, is)) in before.iter().zip(bytes(&present)).enumerate() {
                    let (row, slot) = (at / (2 * SLOTS * 8), at / 8 % SLOTS);
                    let new = [3..5, 5..6][row].contains(&slot);
                    let words =
                        format!("{precision:?} {format:?} {scale} {name} {}", backend.name());
                    assert!(new || *was == is, "{words}: {was:#x} became {is:#x}");
                }
            }
        }
    }
}

#[test]
fn slots_behind_histories_hold_code_0_and_files_name_their_scales() {
    for format in [Format::Int8, Format::Fp8] {
        let world = World::new(Precision::F16, format, 0.02);
        let feeds = Feeds::from([
            ("item_ids".to_owned(), ints(&[1, SLOTS], &[9; SLOTS])),
            ("action_ids".to_owned(), ints(&[1, SLOTS], &[1; SLOTS])),
            ("timestamps".to_owned(), ints(&[1, SLOTS], &[3; SLOTS])),
            ("seq_lens".to_owned(), ints(&[1], &[3])),
        ]);
        let file = world.coded.0.path().join("encode.onnx");
        for backend in backends() {
            for (name, present) in backend.open(&file).unwrap().run(&feeds).unwrap() {
                let codes = bytes(&present);
                let behind = codes.iter().enumerate().filter(|(at, _)| at / 8 % SLOTS >= 3);
                assert!(behind.clone().all(|(_, code)| *code == 0), "{name}");
                assert!(codes.iter().any(|code| *code != 0), "{name}");
            }
        }
        let model = Model::open(&file).unwrap();
        let named = |name: &str| {
            let key = format!("{SCALE_KEY}{name}");
            let entry =
                model.proto().metadata_props.iter().find(|e| e.key.as_deref() == Some(&key));
            entry.and_then(|e| e.value.clone())
        };
        assert_eq!(named("present.1.key"), Some("0.04".to_owned()));
        assert_eq!(named("prompt.1.key"), None, "encode has no prompt");
    }
}

#[test]
fn the_order_of_candidates_survives() {
    let limits = Limits { n_items: 300, n_actions: 3, max_seq_len: SLOTS };
    let requests = random_requests(&limits, 12, 3, 40);
    let config = config();
    for format in [Format::Int8, Format::Fp8] {
        let world = World::new(Precision::F32, format, 0.03);
        let scoring =
            Scoring { config: &config, options: &world.options, requests: &requests, rows: 4 };
        for backend in backends() {
            let run = |(dir, graphs): &(TempDir, Vec<ExportedGraph>)| {
                scoring.run(backend.as_ref(), dir.path(), graphs, &Silent).unwrap()
            };
            let found = Accuracy::of(&run(&world.plain), &run(&world.coded), 10, 0.01).unwrap();
            assert!(found.kendall > 0.9 && found.overlap > 0.9, "{format:?}: {found:?}");
            assert!(found.score_error > 0.0, "nothing was quantized: {found:?}");
        }
    }
}
