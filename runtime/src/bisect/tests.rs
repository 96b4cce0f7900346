//! Faults that were planted, on real engines.

use std::{
    fs,
    path::{Path, PathBuf},
};

use onr_exporter::Silent;
use onr_onnx::{
    ElemType, Model,
    edit::{cast, int, node},
    proto::{
        AttributeProto, DimensionProto, GraphProto, ModelProto, OperatorSetIdProto,
        TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    },
    tensor,
};
use prost::Message as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::*;
use crate::{
    backend::{Availability, RunError, Session},
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
    npz::{Npz, inputs},
    tensor::HostTensor,
};

const WIDTH: i64 = 6;
const LAYERS: usize = 5;

fn ort() -> OrtBackend {
    OrtBackend::new(Search::from_env())
}

fn info(name: &str, elem: ElemType, dims: &[&str]) -> ValueInfoProto {
    let dim = |d: &&str| DimensionProto {
        dim_value: d.parse().ok(),
        dim_param: d.parse::<i64>().is_err().then(|| (*d).to_owned()),
        ..DimensionProto::default()
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let ty = TensorTypeProto { elem_type: Some(elem.code()), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(ty), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        ints: values.to_vec(),
        r#type: Some(onr_onnx::proto::attribute_type::INTS),
        ..AttributeProto::default()
    }
}

/// `x [batch, 6, 6]` through layers of a product, a gate, two transpositions and a difference.
fn layers() -> ModelProto {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut graph = GraphProto {
        name: Some("layers".into()),
        input: vec![info("x", ElemType::Float, &["batch", "6", "6"])],
        output: vec![info("y", ElemType::Float, &["batch", "6", "6"])],
        ..GraphProto::default()
    };
    let mut x = "x".to_owned();
    for l in 0..LAYERS {
        let name = |part: &str| format!("layers.{l}/{part}");
        let values = (0..WIDTH * WIDTH).flat_map(|_| rng.random_range(-0.6..0.6_f32).to_le_bytes());
        let weight = format!("layers.{l}.weight");
        let values = values.collect::<Vec<_>>();
        graph.initializer.push(tensor(&weight, ElemType::Float, &[WIDTH, WIDTH], values));
        let mut add = |op: &str, inputs: &[&str], attribute: Option<AttributeProto>| {
            let out = name(op);
            let out = if graph.node.iter().any(|n| n.label() == out) { out + "_1" } else { out };
            let mut node = node(op, &out, inputs, &[&out]);
            node.attribute.extend(attribute);
            graph.node.push(node);
            out
        };
        let turned = add("Transpose", &[&x], Some(ints("perm", &[0, 2, 1])));
        let product = add("MatMul", &[&turned, &weight], None);
        let gate = add("Sigmoid", &[&product], None);
        let gated = add("Mul", &[&product, &gate], None);
        let back = add("Transpose", &[&gated], Some(ints("perm", &[0, 2, 1])));
        x = add("Sub", &[&back, &x], None);
    }
    graph.node.push(node("Identity", "y", &[&x], &["y"]));
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn write(dir: &TempDir, name: &str, model: &ModelProto) -> PathBuf {
    let file = dir.path().join(name);
    fs::write(&file, model.encode_to_vec()).unwrap();
    file
}

fn feeds() -> Vec<Feeds> {
    let batch = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values = (0..2 * 36).map(|_| rng.random_range(-1.0..1.0_f32)).collect::<Vec<_>>();
        Feeds::from([("x".to_owned(), HostTensor::of(&[2, 6, 6], values))])
    };
    vec![batch(0), batch(1)]
}

/// The faulty copy on ONNX Runtime, against the right one on both engines.
fn found(plant: impl Fn(&mut GraphProto)) -> [Finding; 2] {
    let dir = TempDir::new().unwrap();
    let mut faulty = layers();
    plant(faulty.graph.as_mut().unwrap());
    let (right, faulty) = (write(&dir, "a.onnx", &layers()), write(&dir, "b.onnx", &faulty));
    let (tract, ort) = (TractBackend::new(), ort());
    let on = |reference: &dyn Backend| {
        let (r, c) = ((reference, right.as_path()), (&ort as &dyn Backend, faulty.as_path()));
        bisect(r, c, &feeds(), Options::default(), &Silent).unwrap()
    };
    [on(&tract), on(&ort)]
}

fn at<'g>(graph: &'g mut GraphProto, name: &str) -> &'g mut onr_onnx::proto::NodeProto {
    graph.node.iter_mut().find(|n| n.label() == name).unwrap()
}

fn is_named(finding: &Finding, node: &str, words: &str) {
    let fault = finding.fault.as_ref().unwrap();
    assert_eq!((fault.node.name.as_str(), &fault.cause), (node, &Cause::Own), "{fault:?}");
    assert_eq!(fault.differences, [words]);
    assert!(fault.inputs.iter().all(|i| !i.is_wrong) && fault.outputs.iter().any(|o| o.is_wrong));
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for finding in found(|_| {}) {
        assert!(finding.fault.is_none(), "{finding:?}");
        assert_eq!(finding.outputs.len(), 1);
    }
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "a.onnx", &layers());
    let (tract, ort) = (TractBackend::new(), ort());
    let finding =
        bisect((&tract, &file), (&ort, &file), &feeds(), Options::default(), &Silent).unwrap();
    assert!(finding.fault.is_none() && finding.loads == 2);
}

#[test]
fn a_weight_in_any_layer() {
    for l in 0..LAYERS {
        for finding in found(|graph| {
            let raw = graph.initializer[l].raw_data.as_ref().unwrap();
            let mut bytes = raw.to_vec();
            for i in [3, 17, 30] {
                let old = f32::from_le_bytes(bytes[4 * i..][..4].try_into().unwrap());
                bytes[4 * i..][..4].copy_from_slice(&(old * 1.05 + 0.01).to_le_bytes());
            }
            graph.initializer[l].raw_data = Some(bytes.into());
        }) {
            let words = format!("weight layers.{l}.weight differs in 3 of 36 numbers");
            is_named(&finding, &format!("layers.{l}/MatMul"), &words);
        }
    }
}

#[test]
fn an_attribute_in_any_layer() {
    for l in 0..LAYERS {
        let name = format!("layers.{l}/Transpose_1");
        for finding in found(|graph| at(graph, &name).attribute[0] = ints("perm", &[0, 1, 2])) {
            let words = format!("Transpose `{name}`: perm [0, 1, 2] / [0, 2, 1]");
            is_named(&finding, &name, &words);
        }
    }
}

#[test]
fn swapped_inputs_in_any_layer() {
    for l in 0..LAYERS {
        let name = format!("layers.{l}/Sub");
        for finding in found(|graph| at(graph, &name).input.swap(0, 1)) {
            let fault = finding.fault.as_ref().unwrap();
            assert!(fault.differences[0].contains(": inputs "), "{fault:?}");
            is_named(&finding, &name, &fault.differences[0].clone());
        }
    }
}

#[test]
fn another_operator_and_one_that_is_missing() {
    for finding in found(|graph| at(graph, "layers.2/Sigmoid").op_type = Some("Tanh".into())) {
        is_named(&finding, "layers.2/Sigmoid", "operator of `layers.2/Sigmoid`: Tanh / Sigmoid");
    }
    for finding in found(|graph| {
        graph.node.retain(|n| n.label() != "layers.3/Sigmoid");
        at(graph, "layers.3/Mul").input[1] = "layers.3/MatMul".into();
    }) {
        let fault = finding.fault.unwrap();
        assert_eq!((fault.node.name.as_str(), fault.cause), ("layers.3/Mul", Cause::Own));
        assert!(
            fault
                .differences
                .iter()
                .any(|d| d == "Sigmoid `layers.3/Sigmoid` is only in the reference"),
            "{:?}",
            fault.differences
        );
    }
}

/// `x` through 60 products, each with a number that F16 has.
fn long() -> ModelProto {
    let mut graph = GraphProto {
        input: vec![info("x", ElemType::Float, &["batch", "6", "6"])],
        output: vec![info("y", ElemType::Float, &["batch", "6", "6"])],
        name: Some("long".into()),
        ..GraphProto::default()
    };
    let mut x = "x".to_owned();
    for i in 0..60_u16 {
        let (factor, made) = (format!("factor.{i}"), format!("Mul_{i}"));
        let number = 1.0 + f32::from(i % 7 + 1) / 1024.0;
        let bytes = number.to_le_bytes().to_vec();
        graph.initializer.push(tensor(&factor, ElemType::Float, &[], bytes));
        graph.node.push(node("Mul", &made, &[&x, &factor], &[&made]));
        x = made;
    }
    graph.node.push(node("Identity", "y", &[&x], &["y"]));
    ModelProto { graph: Some(graph), ..layers() }
}

/// A model with all of it in F16 but the input and the output.
fn halved(mut model: ModelProto) -> ModelProto {
    let graph = model.graph.as_mut().unwrap();
    for t in &mut graph.initializer {
        let wide = onr_onnx::floats(ElemType::Float, t.raw_data.as_ref().unwrap()).unwrap();
        let bytes = wide.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes());
        let (name, dims) = (t.label().to_owned(), t.dims.clone());
        *t = tensor(&name, ElemType::Float16, &dims, bytes.collect::<Vec<_>>());
    }
    for n in &mut graph.node {
        n.input.iter_mut().filter(|i| *i == "x").for_each(|i| *i = "x16".into());
    }
    let last = graph.node.pop().unwrap();
    graph.node.insert(0, cast("x", "x16", ElemType::Float16));
    graph.node.push(cast(&last.input[0], "y", ElemType::Float));
    model
}

#[test]
fn rounding_errors_add_up_and_are_told_so() {
    let dir = TempDir::new().unwrap();
    let (right, half) = (write(&dir, "a.onnx", &long()), write(&dir, "b.onnx", &halved(long())));
    // ONNX Runtime computes all of it in F32; tract has products of F16.
    let tract = TractBackend::new();
    let run = |tolerance| {
        let options = Options { tolerance };
        bisect((&tract, &right), (&tract, &half), &feeds(), options, &Silent).unwrap()
    };
    let finding = run(None);
    assert_eq!((finding.numbers, finding.fault.is_none()), (Numbers::F16, true));
    // Two thirds of what the output has: no node alone makes that much.
    let error = finding.outputs[0].distance.error();
    let fault = run(Some(error / 1.5)).fault.unwrap();
    let Cause::Accumulated { growth } = &fault.cause else { panic!("{fault:?}") };
    assert!(growth.iter().all(|g| g.error > g.before), "{growth:?}");
    assert!(fault.alone.iter().all(|v| !v.is_wrong));
}

#[test]
fn a_fault_in_a_narrow_file() {
    let dir = TempDir::new().unwrap();
    let mut faulty = halved(layers());
    at(faulty.graph.as_mut().unwrap(), "layers.1/Sub").input.swap(0, 1);
    let (right, faulty) = (write(&dir, "a.onnx", &layers()), write(&dir, "b.onnx", &faulty));
    let ort = ort();
    let finding =
        bisect((&ort, &right), (&ort, &faulty), &feeds(), Options::default(), &Silent).unwrap();
    assert_eq!(finding.fault.unwrap().node.name, "layers.1/Sub");
}

/// An engine with faults: it computes another model than it is given.
struct Faulty<F>(TractBackend, F);

impl<F: Fn(&mut GraphProto) + Sync> Backend for Faulty<F> {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn availability(&self) -> Availability {
        self.0.availability()
    }

    fn open(&self, model: &Path) -> Result<Box<dyn Session>, RunError> {
        let mut proto = Model::open(model).unwrap().proto().clone();
        self.1(proto.graph.as_mut().unwrap());
        let dir = TempDir::new().unwrap();
        self.0.open(&write(&dir, "f.onnx", &proto))
    }
}

fn with_engine(fault: impl Fn(&mut GraphProto) + Sync) -> (Finding, TempDir) {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "a.onnx", &layers());
    let (tract, faulty) = (TractBackend::new(), Faulty(TractBackend::new(), fault));
    let finding =
        bisect((&tract, &file), (&faulty, &file), &feeds(), Options::default(), &Silent).unwrap();
    (finding, dir)
}

#[test]
fn an_engine_that_computes_an_operator_wrongly() {
    let (finding, dir) = with_engine(|graph| {
        graph.node.iter_mut().filter(|n| n.op() == "Sigmoid").for_each(|n| {
            n.op_type = Some("Tanh".into());
        });
    });
    let fault = finding.fault.unwrap();
    assert_eq!((fault.node.name.as_str(), &fault.cause), ("layers.0/Sigmoid", &Cause::Own));
    assert_eq!((fault.node.position, fault.node.of, fault.nodes.len()), (2, 31, 1));
    // What is saved is a model that runs on what is saved.
    fault.save(dir.path()).unwrap();
    let model = Model::open(&dir.path().join("node.onnx")).unwrap();
    let mut batches =
        Npz::open(&dir.path().join("inputs.npz")).unwrap().batches(&inputs(&model)).unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert_eq!(&batch, fault.node_inputs());
    let mut session = ort().open(&dir.path().join("node.onnx")).unwrap();
    assert!(session.run(&batch).unwrap().contains_key("layers.0/Sigmoid"));
}

#[test]
fn an_engine_that_is_wrong_only_where_it_fuses() {
    // Product and gate as one, and wrong: where what is between is an output, it is not fused.
    let (finding, _) = with_engine(|graph| {
        let is_output =
            |graph: &GraphProto, name: &str| graph.output.iter().any(|o| o.label() == name);
        if graph.node.len() > 20
            && !is_output(graph, "layers.2/Sigmoid")
            && !is_output(graph, "layers.2/MatMul")
        {
            at(graph, "layers.2/Sigmoid").op_type = Some("Tanh".into());
        }
    });
    let fault = finding.fault.unwrap();
    assert_eq!(fault.cause, Cause::Together, "{fault:?}");
    assert!(fault.nodes.iter().any(|n| n.name == "layers.2/Sigmoid"), "{:?}", fault.nodes);
    assert!(fault.nodes.len() <= 8, "{:?}", fault.nodes);
}

#[test]
fn a_near_tie_is_no_fault_of_the_node_that_decides() {
    let model = |weight: f32| {
        let mut top = node("ArgMax", "top", &["z"], &["top"]);
        top.attribute = vec![int("axis", 1), int("keepdims", 0)];
        let graph = GraphProto {
            name: Some("tie".into()),
            node: vec![node("Mul", "z", &["x", "w"], &["z"]), top],
            initializer: vec![tensor(
                "w",
                ElemType::Float,
                &[2],
                [1.0_f32, weight].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>(),
            )],
            input: vec![info("x", ElemType::Float, &["batch", "2"])],
            output: vec![info("top", ElemType::Int64, &["batch"])],
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), ..layers() }
    };
    let dir = TempDir::new().unwrap();
    let (a, b) =
        (write(&dir, "a.onnx", &model(1.000_001)), write(&dir, "b.onnx", &model(0.999_999)));
    let feeds = [Feeds::from([("x".to_owned(), HostTensor::of(&[1, 2], vec![1.0_f32, 1.0]))])];
    let ort = ort();
    let finding = bisect((&ort, &a), (&ort, &b), &feeds, Options::default(), &Silent).unwrap();
    let fault = finding.fault.unwrap();
    assert_eq!((fault.node.op.as_str(), fault.cause), ("ArgMax", Cause::Choice));
}

#[test]
fn not_a_number_is_found_where_it_begins() {
    for finding in found(|graph| {
        at(graph, "layers.1/Sub").op_type = Some("Pow".into());
    }) {
        let fault = finding.fault.unwrap();
        assert_eq!((fault.node.name.as_str(), fault.cause), ("layers.1/Sub", Cause::Own));
        assert!(fault.outputs[0].distance.not_finite > 0);
    }
}

#[test]
fn models_without_a_common_output_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut other = layers();
    let graph = other.graph.as_mut().unwrap();
    graph.output[0].name = Some("z".into());
    graph.node = vec![node("Neg", "z", &["x"], &["z"])];
    let (a, b) = (write(&dir, "a.onnx", &layers()), write(&dir, "b.onnx", &other));
    let ort = ort();
    let refused = bisect((&ort, &a), (&ort, &b), &feeds(), Options::default(), &Silent);
    assert_eq!(refused.unwrap_err().to_string(), "the models have no output in common: z and y");
}
