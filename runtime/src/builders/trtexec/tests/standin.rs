//! The stand-in with the grammar of real option tables, and small graphs for it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use onr_onnx::{
    ElemType,
    edit::{cast, node},
    proto::{
        DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto,
        TensorTypeProto, TypeProto, ValueInfoProto,
    },
    scalar, tensor,
};
use prost::Message as _;
use tempfile::TempDir;

/// A process that another test starts while a program is being written would inherit the open
/// file, and the program could not be run: "text file busy". So these tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Waits until no other test writes a program.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a shell script that can be run.
pub(crate) fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder with a stand-in of one table.
pub(crate) struct Standin {
    _turn: MutexGuard<'static, ()>,
    pub(crate) folder: TempDir,
}

impl Standin {
    /// `table` is `8.6`, `11.1`, ..; `fault` is empty, `dies`, `hangs` or `short`.
    pub(crate) fn new(table: &str, fault: &str) -> Self {
        let turn = turn();
        let folder = TempDir::new().unwrap();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trtexec");
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.onr/venv/bin/python");
        assert!(python.exists(), "{} is missing: run `make setup`", python.display());
        let text = format!(
            "#!/bin/sh\nexec {} {} {} {fault} -- \"$@\"\n",
            python.display(),
            tests.join("standin.py").display(),
            tests.join(format!("options-{table}.txt")).display()
        );
        script(&folder.path().join("trtexec"), &text);
        Self { _turn: turn, folder }
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.path("trtexec")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a graph as `g.onnx`.
    pub(crate) fn graph(&self, precision: &str, dynamic: bool) -> PathBuf {
        let path = self.path("g.onnx");
        fs::write(&path, graph(precision, dynamic).encode_to_vec()).unwrap();
        path
    }
}

/// A graph of `ids` and `x` to the same `ids.out` and `y/out`, which is the square of `x` in fp32, `-x` through
/// 32 bits in fp16, `x` in steps of 0.5 in int8, and `x` in the types between.
pub(crate) fn graph(precision: &str, dynamic: bool) -> ModelProto {
    use ElemType::{Bfloat16, Float, Float8E4M3Fn, Float16, Int8, Int32, Int64};
    let mut initializer = Vec::new();
    let (outside, mut nodes) = match precision {
        "fp32" | "int64" => (Float, vec![node("Mul", "square/Mul", &["x", "x"], &["y/out"])]),
        "fp16" => {
            let nodes = vec![
                cast("x", "x32", Float),
                node("Neg", "wide/Neg", &["x32"], &["y32"]),
                cast("y32", "y/out", Float16),
            ];
            (Float16, nodes)
        }
        "int8" | "fp8" => {
            let code = if precision == "int8" { Int8 } else { Float8E4M3Fn };
            initializer
                .extend([scalar("scale", Float, 0.5), tensor("zero", code, &[], vec![0_u8])]);
            let nodes = vec![
                node("QuantizeLinear", "q", &["x", "scale", "zero"], &["code"]),
                node("DequantizeLinear", "dq", &["code", "scale", "zero"], &["y/out"]),
            ];
            (Float, nodes)
        }
        "bf16" => {
            let nodes = vec![cast("x", "x16", Bfloat16), cast("x16", "y/out", Float)];
            (Float, nodes)
        }
        other => panic!("no graph of {other}"),
    };
    nodes.push(node("Identity", "ids", &["ids"], &["ids.out"]));
    let ids = if precision == "int64" { Int64 } else { Int32 };
    let opset = if precision == "fp8" { 19 } else { 17 };
    let graph = GraphProto {
        name: Some("g".into()),
        node: nodes,
        initializer,
        input: vec![value("ids", ids, dynamic), value("x", outside, dynamic)],
        output: vec![value("ids.out", ids, dynamic), value("y/out", outside, dynamic)],
        ..GraphProto::default()
    };
    let version = OperatorSetIdProto { version: Some(opset), ..OperatorSetIdProto::default() };
    ModelProto {
        ir_version: Some(9),
        graph: Some(graph),
        opset_import: vec![version],
        ..ModelProto::default()
    }
}

/// `[batch, 3]` or `[2, 3]`.
fn value(name: &str, elem: ElemType, dynamic: bool) -> ValueInfoProto {
    let fixed = |size| DimensionProto { dim_value: Some(size), ..DimensionProto::default() };
    let batch = DimensionProto { dim_param: Some("batch".into()), ..DimensionProto::default() };
    let dim = vec![if dynamic { batch } else { fixed(2) }, fixed(3)];
    let tensor =
        TensorTypeProto { elem_type: Some(elem.code()), shape: Some(TensorShapeProto { dim }) };
    let ty = TypeProto { tensor_type: Some(tensor), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(ty), ..ValueInfoProto::default() }
}
