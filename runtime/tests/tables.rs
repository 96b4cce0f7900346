//! Tables in codes, run: ONNX Runtime and tract look up what an obvious implementation says.
#![cfg(all(feature = "ort", feature = "tract"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, fs};

use half::f16;
use onr_exporter::{
    Checkpoint, ExportJob, ExportedGraph, Silent, export, init,
    onnx::check_weights,
    parse_model,
    quantize::{Plan, TableFormat, apply_to_directory},
};
use onr_graphs::{DType, GraphKind, GraphOptions, ModelConfig, Precision, Profile};
use onr_onnx::{
    ElemType, Model, edit,
    proto::{
        DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto,
        TensorTypeProto, TypeProto, ValueInfoProto,
    },
    tensor,
};
use onr_precision::tables::{quantize_rows, quantize_tables};
use onr_runtime::{
    backend::Backend,
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
    tensor::{Feeds, HostTensor},
};

const ROWS: usize = 300;

fn backends() -> [Box<dyn Backend>; 2] {
    [Box::new(OrtBackend::new(Search::from_env())), Box::new(TractBackend::new())]
}

fn info(name: &str, elem: ElemType, sizes: &[&str]) -> ValueInfoProto {
    let dim = |size: &&str| match size.parse() {
        Ok(number) => DimensionProto { dim_value: Some(number), ..Default::default() },
        Err(_) => DimensionProto { dim_param: Some((*size).to_owned()), ..Default::default() },
    };
    let shape = TensorShapeProto { dim: sizes.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: Some(elem.code()), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * i + 3 * i) % 1009) as f32 / 504.0 - 1.0).collect()
}

fn stored(elem: ElemType, values: &[f32]) -> Vec<u8> {
    match elem {
        ElemType::Float => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
    }
}

/// `y = t[ids]` and, when `product` is asked for, `p = x t^T`; else `p = x`.
fn model(elem: ElemType, columns: usize, with_product: bool) -> Model {
    let width = columns.to_string();
    let mut product = edit::node("Gemm", "p", &["x", "t"], &["p"]);
    product.attribute.push(edit::int("transB", 1));
    if !with_product {
        product = edit::node("Identity", "p", &["x"], &["p"]);
    }
    let wide = if with_product { "300" } else { &width };
    let dims = [ROWS as i64, columns as i64];
    let graph = GraphProto {
        name: Some("net".into()),
        initializer: vec![tensor("t", elem, &dims, stored(elem, &numbers(ROWS * columns)))],
        input: vec![info("ids", ElemType::Int64, &["b", "n"]), info("x", elem, &["m", &width])],
        output: vec![info("y", elem, &["b", "n", &width]), info("p", elem, &["m", wide])],
        node: vec![edit::node("Gather", "y", &["t", "ids"], &["y"]), product],
        ..GraphProto::default()
    };
    let proto = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    Model::from_proto("net.onnx".as_ref(), proto).unwrap()
}

#[test]
fn a_lookup_gives_code_times_scale_on_every_backend() {
    for elem in [ElemType::Float, ElemType::Float16] {
        for format in TableFormat::ALL {
            for (columns, with_product) in [(8, false), (7, false), (8, true), (7, true)] {
                looks_up(elem, format, columns, with_product);
            }
        }
    }
}

fn looks_up(elem: ElemType, format: TableFormat, columns: usize, with_product: bool) {
    let mut model = model(elem, columns, with_product);
    quantize_tables(&mut model, &BTreeMap::from([("t".to_owned(), format)])).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("net.onnx");
    fs::write(&file, model.encode()).unwrap();
    let dtype = if elem == ElemType::Float { DType::F32 } else { DType::F16 };
    let rounded = |values: Vec<f32>| {
        let shape = [values.len()];
        HostTensor::of(&shape, values).cast(dtype).unwrap().to_f32().unwrap()
    };
    let ids: Vec<i64> = (0..ROWS as i64).rev().collect();
    let x = HostTensor::of(&[1, columns], numbers(columns)).cast(dtype).unwrap();
    let feeds = Feeds::from([
        ("ids".to_owned(), HostTensor::of(&[3, ROWS / 3], ids.clone())),
        ("x".to_owned(), x),
    ]);
    let table = slow(elem, columns, format);
    for backend in backends() {
        let words = format!("{format} {elem} {columns} {with_product} {}", backend.name());
        let out = backend.open(&file).unwrap().run(&feeds).unwrap();
        let want = ids.iter().flat_map(|id| table[*id as usize].clone()).collect();
        assert_eq!(out["y"].to_f32().unwrap(), rounded(want), "{words}");
        if with_product {
            let dot: f32 = numbers(columns).iter().zip(&table[17]).map(|(a, b)| a * b).sum();
            let close = if elem == ElemType::Float { 1e-5 } else { 1e-2 };
            assert!((out["p"].to_f32().unwrap()[17] - dot).abs() < close, "{words}");
        }
    }
}

/// The table as floats, code by code.
fn slow(elem: ElemType, columns: usize, format: TableFormat) -> Vec<Vec<f32>> {
    let bytes = stored(elem, &numbers(ROWS * columns));
    let made = quantize_rows("t", elem, &bytes, columns, format).unwrap();
    let stride = made.codes.len() / ROWS;
    let number = |row: usize, at: usize| {
        let row_codes = &made.codes[row * stride..];
        let code = match format {
            TableFormat::Int4 => (row_codes[at / 2] >> (4 * (at % 2))) & 15,
            _ => row_codes[at],
        };
        format.decode(code) * made.scales[row]
    };
    (0..ROWS).map(|row| (0..columns).map(|at| number(row, at)).collect()).collect()
}

fn config() -> ModelConfig {
    let text = "[model]\nn_items = 4000\nn_actions = 3\nd_model = 16\nn_heads = 2\nn_layers = 2\n\
                n_rank_layers = 1\nmax_seq_len = 8\nattention = \"hstu\"\ntasks = [\"a\", \"b\"]\n\
                n_fake_items = 3\nrel_pos_buckets = 4\ntime_buckets = 5\nlayer_norm_eps = 1e-5\n\
                temperature = 0.1\n";
    parse_model(text).unwrap()
}

fn inputs(ids: [i64; 4]) -> Feeds {
    Feeds::from([
        ("item_ids".to_owned(), HostTensor::of(&[1, 4], ids.to_vec())),
        ("action_ids".to_owned(), HostTensor::of(&[1, 4], vec![1_i64, 2, 1, 0])),
        ("timestamps".to_owned(), HostTensor::of(&[1, 4], vec![10_i64, 20, 30, 40])),
        ("seq_lens".to_owned(), HostTensor::of(&[1], vec![4_i64])),
    ])
}

#[test]
fn one_copy_serves_all_graphs_and_unknown_ids_read_row_0() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("w.safetensors");
    let config = config();
    init(&config, 1, &file, &Silent).unwrap();
    let checkpoint = Checkpoint::open(&file).unwrap();
    for precision in [Precision::F32, Precision::F16] {
        let base = tempfile::tempdir().unwrap();
        let options = GraphOptions { precision, ..GraphOptions::new(5) };
        let job = ExportJob {
            config: &config,
            options: &options,
            graphs: &GraphKind::ALL,
            checkpoint: &checkpoint,
            strict: true,
            profile: &Profile::for_model(8),
            round_weights: None,
            out: base.path(),
        };
        let exported = export(&job, &Silent).unwrap();
        let wide = if precision == Precision::F32 { 4 } else { 2 };
        for (format, row) in
            [(TableFormat::Int8, 16), (TableFormat::Fp8, 16), (TableFormat::Int4, 8)]
        {
            let dir = tempfile::tempdir().unwrap();
            let tables = BTreeMap::from([("item_embedding".to_owned(), format)]);
            let plan = Plan { tables, ..Plan::default() };
            let done =
                apply_to_directory(&plan, &exported.graphs, base.path(), dir.path()).unwrap();
            let saved = exported.weights.size as i64 - done.weights.size as i64;
            let one_copy = 4000 * (16 * wide - (row + 4));
            assert!((saved - one_copy).abs() < 8192, "{format}: {saved} bytes, not {one_copy}");
            let wrong = |graphs: &[ExportedGraph]| {
                check_weights(dir.path(), graphs, &checkpoint, Some(&plan)).unwrap()
            };
            assert_eq!(wrong(&done.graphs), Vec::<String>::new(), "{format}");
            spoil(dir.path());
            assert!(!wrong(&done.graphs).is_empty(), "{format}");
            spoil(dir.path());
            for backend in backends() {
                let mut encode = backend.open(&dir.path().join("encode.onnx")).unwrap();
                let unknown = encode.run(&inputs([5, 4000, -1, i64::MAX])).unwrap();
                let known = encode.run(&inputs([5, 0, 0, 0])).unwrap();
                assert_eq!(unknown, known, "{format}, {}", backend.name());
            }
            retrieves(&dir, base.path(), format);
        }
    }
}

/// Flips a bit of a code; a second time brings it back.
fn spoil(dir: &std::path::Path) {
    let model = Model::open(&dir.join("rank.onnx")).unwrap();
    let words = model.initializer("item_embedding/rows.words").unwrap();
    let offset: usize = words.external("offset").unwrap().parse().unwrap();
    let file = dir.join("weights.data");
    let mut bytes = fs::read(&file).unwrap();
    bytes[offset + 100] ^= 1;
    fs::write(&file, bytes).unwrap();
}

/// `oneranker` finds mostly what it found before, and both backends find the same.
fn retrieves(dir: &tempfile::TempDir, base: &std::path::Path, format: TableFormat) {
    let logits = |backend: &dyn Backend, dir: &std::path::Path| {
        let mut session = backend.open(&dir.join("oneranker.onnx")).unwrap();
        let mut inputs = inputs([5, 7, 3999, 1]);
        inputs.insert("request_time".to_owned(), HostTensor::of(&[1], vec![50_i64]));
        session.run(&inputs).unwrap()["generator_logits"].to_f32().unwrap()
    };
    let [ort, tract] = backends();
    let (a, b) = (logits(ort.as_ref(), dir.path()), logits(tract.as_ref(), dir.path()));
    let near = |x: &[f32], y: &[f32], most: f32| {
        x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max) < most
    };
    assert!(near(&a, &b, 0.1), "{format}: {a:?} {b:?}");
    let exact = logits(ort.as_ref(), base);
    let best = |x: &[f32]| x.iter().copied().fold(f32::MIN, f32::max);
    assert!(
        (best(&a) - best(&exact)).abs() < 0.2 * best(&exact).abs(),
        "{format}: {a:?} {exact:?}"
    );
}
