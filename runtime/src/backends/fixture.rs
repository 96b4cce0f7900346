//! ONNX files for tests, written byte by byte: neither our exporter nor a backend's own reader
//! decides what they hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use half::f16;
use tempfile::TempDir;

use crate::tensor::{Feeds, HostTensor};

pub(super) const F32: u64 = 1;
/// ONNX allows it where ONNX Runtime has no kernels.
pub(super) const I16: u64 = 5;
pub(super) const I64: u64 = 7;
pub(super) const BOOL: u64 = 9;
pub(super) const F16: u64 = 10;
pub(super) const BF16: u64 = 16;

/// A protobuf message under construction.
#[derive(Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub(super) fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(super) fn message(self, field: u64, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }
}

/// A graph under construction.
#[derive(Default)]
pub(super) struct Graph(Message);

impl Graph {
    pub(super) fn node(self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(op, inputs, outputs, &[])
    }

    /// A node with integer attributes.
    pub(super) fn node_with(
        self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, u64)],
    ) -> Self {
        let mut node = inputs.iter().fold(Message::default(), |m, name| m.bytes(1, name));
        node = outputs.iter().fold(node, |m, name| m.bytes(2, name));
        node = node.bytes(3, format!("node_{}", outputs[0])).bytes(4, op);
        for (name, value) in attributes {
            const INT: u64 = 2;
            let attribute = Message::default().bytes(1, name).number(3, *value).number(20, INT);
            node = node.message(5, &attribute);
        }
        Self(self.0.message(1, &node))
    }

    pub(super) fn input(self, name: &str, ty: u64, axes: &[&str]) -> Self {
        Self(self.0.message(11, &value_info(name, ty, axes)))
    }

    pub(super) fn output(self, name: &str, ty: u64, axes: &[&str]) -> Self {
        Self(self.0.message(12, &value_info(name, ty, axes)))
    }

    pub(super) fn value(self, name: &str, ty: u64, axes: &[&str]) -> Self {
        Self(self.0.message(13, &value_info(name, ty, axes)))
    }

    pub(super) fn constant(self, name: &str, ty: u64, dims: &[u64], raw: &[u8]) -> Self {
        Self(self.0.message(5, &tensor(name, ty, dims).bytes(9, raw)))
    }

    /// A constant that lies at `offset` of `file`.
    pub(super) fn external(
        self,
        name: &str,
        ty: u64,
        dims: &[u64],
        file: &str,
        offset: usize,
        length: usize,
    ) -> Self {
        const EXTERNAL: u64 = 1;
        let entry = |key: &str, value: String| Message::default().bytes(1, key).bytes(2, value);
        let tensor = tensor(name, ty, dims)
            .message(13, &entry("location", file.to_owned()))
            .message(13, &entry("offset", offset.to_string()))
            .message(13, &entry("length", length.to_string()))
            .number(14, EXTERNAL);
        Self(self.0.message(5, &tensor))
    }

    /// The whole file, opset 17.
    pub(super) fn file(self) -> Vec<u8> {
        let opset = Message::default().bytes(1, "").number(2, 17);
        Message::default().number(1, 8).message(7, &self.0.bytes(2, "test")).message(8, &opset).0
    }

    pub(super) fn write(self, dir: &TempDir) -> PathBuf {
        let path = dir.path().join("model.onnx");
        fs::write(&path, self.file()).unwrap();
        path
    }
}

fn tensor(name: &str, ty: u64, dims: &[u64]) -> Message {
    let tensor = dims.iter().fold(Message::default(), |m, dim| m.number(1, *dim));
    tensor.number(2, ty).bytes(8, name)
}

/// An axis is a number, or else the name of a symbol.
fn value_info(name: &str, ty: u64, axes: &[&str]) -> Message {
    let shape = axes.iter().fold(Message::default(), |shape, axis| {
        let dim = Message::default();
        let dim = match axis.parse() {
            Ok(size) => dim.number(1, size),
            Err(_) => dim.bytes(2, axis),
        };
        shape.message(1, &dim)
    });
    let tensor = Message::default().number(1, ty).message(2, &shape);
    Message::default().bytes(1, name).message(2, &Message::default().message(1, &tensor))
}

pub(super) fn raw_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn raw_f16(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()
}

/// `y = x[batch,2] . w[2,3] + b[3]`, the symbol also on a value inside; `w` outside the file.
pub(super) fn linear(dir: &TempDir) -> PathBuf {
    let w = raw_f32(&[1., 2., 3., 4., 5., 6.]);
    fs::write(dir.path().join("weights.bin"), [vec![0xff; 64], w].concat()).unwrap();
    Graph::default()
        .input("x", F32, &["batch", "2"])
        .external("w", F32, &[2, 3], "weights.bin", 64, 24)
        .constant("b", F32, &[3], &raw_f32(&[0.5, -0.5, 0.]))
        .node("MatMul", &["x", "w"], &["product"])
        .node("Add", &["product", "b"], &["y"])
        .value("product", F32, &["batch", "3"])
        .output("y", F32, &["batch", "3"])
        .write(dir)
}

pub(super) fn linear_feeds(rows: &[[f32; 2]]) -> Feeds {
    Feeds::from([("x".into(), HostTensor::of(&[rows.len(), 2], rows.concat()))])
}

pub(super) fn linear_result(rows: &[[f32; 2]]) -> HostTensor {
    let row = |[a, b]: &[f32; 2]| [a + 4. * b + 0.5, 2. * a + 5. * b - 0.5, 3. * a + 6. * b];
    HostTensor::of(&[rows.len(), 3], rows.iter().flat_map(row).collect())
}

/// `y = x * x + b` in F16.
pub(super) fn square_f16(dir: &TempDir) -> PathBuf {
    Graph::default()
        .input("x", F16, &["n"])
        .constant("b", F16, &[1], &raw_f16(&[0.25]))
        .node("Mul", &["x", "x"], &["square"])
        .node("Add", &["square", "b"], &["y"])
        .output("y", F16, &["n"])
        .write(dir)
}

/// `rows = table[ids]`, the ids once more, and which of them are not zero: F32, I64 and bool.
pub(super) fn gather(dir: &TempDir) -> PathBuf {
    Graph::default()
        .input("ids", I64, &["batch", "seq"])
        .constant("table", F32, &[4, 2], &raw_f32(&[0., 1., 10., 11., 20., 21., 30., 31.]))
        .constant("zero", I64, &[], &[0; 8])
        .node("Gather", &["table", "ids"], &["rows"])
        .node("Identity", &["ids"], &["same"])
        .node("Equal", &["ids", "zero"], &["is_zero"])
        .node("Not", &["is_zero"], &["known"])
        .output("known", BOOL, &["batch", "seq"])
        .output("rows", F32, &["batch", "seq", "2"])
        .output("same", I64, &["batch", "seq"])
        .write(dir)
}

/// A copy of a BF16 input.
pub(super) fn passing_bf16(dir: &TempDir) -> PathBuf {
    Graph::default()
        .input("x", BF16, &["n"])
        .node("Identity", &["x"], &["y"])
        .output("y", BF16, &["n"])
        .write(dir)
}

/// The output's number of rows, as a graph computes it: `Shape`, then `Gather`.
pub(super) fn rows_of(dir: &TempDir) -> PathBuf {
    Graph::default()
        .input("x", F32, &["batch", "2"])
        .constant("zero", I64, &[], &[0; 8])
        .node("Shape", &["x"], &["shape"])
        .node("Gather", &["shape", "zero"], &["rows"])
        .output("rows", I64, &[])
        .write(dir)
}

pub(super) fn not_onnx(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("model.onnx");
    fs::write(&path, b"this is no protobuf").unwrap();
    path
}

/// A file whose weights are not beside it.
pub(super) fn without_weights(dir: &TempDir) -> PathBuf {
    let path = linear(dir);
    fs::remove_file(dir.path().join("weights.bin")).unwrap();
    path
}

/// An output that no node makes.
pub(super) fn without_source(dir: &TempDir) -> PathBuf {
    Graph::default()
        .input("x", F32, &["n"])
        .node("Identity", &["x"], &["y"])
        .output("z", F32, &["n"])
        .write(dir)
}

/// `w` has three rows where `x` has two columns.
pub(super) fn contradiction(dir: &TempDir) -> PathBuf {
    Graph::default()
        .input("x", F32, &["batch", "2"])
        .constant("w", F32, &[3, 2], &raw_f32(&[0.; 6]))
        .node("MatMul", &["x", "w"], &["y"])
        .output("y", F32, &["batch", "2"])
        .write(dir)
}

/// A product with a table of `rows` x `width` that lies outside the file, and a look-up in it.
pub(super) fn big_table(dir: &Path, rows: usize, width: usize, product: bool) -> PathBuf {
    let values: Vec<f32> = (0..rows * width).map(|i| (i % 251) as f32).collect();
    fs::write(dir.join("table.bin"), raw_f32(&values)).unwrap();
    let dims = [rows as u64, width as u64];
    let graph = Graph::default().external("t", F32, &dims, "table.bin", 0, 4 * rows * width);
    let graph = if product {
        graph
            .input("x", F32, &["batch", &rows.to_string()])
            .node("MatMul", &["x", "t"], &["y"])
            .output("y", F32, &["batch", &width.to_string()])
    } else {
        graph.input("x", I64, &["batch"]).node("Gather", &["t", "x"], &["y"]).output(
            "y",
            F32,
            &["batch", &width.to_string()],
        )
    };
    let path = dir.join("model.onnx");
    fs::write(&path, graph.file()).unwrap();
    path
}
