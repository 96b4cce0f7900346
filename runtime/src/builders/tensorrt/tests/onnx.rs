//! ONNX files small enough to be written field by field: no exporter, no protobuf library.

use half::f16;

/// Element types of ONNX.
pub(super) const F32: u64 = 1;
pub(super) const F16: u64 = 10;

/// One axis: a size or a name.
pub(super) enum Axis {
    Size(u64),
    Name(&'static str),
}

/// A graph being written.
#[derive(Default)]
pub(super) struct Graph(Vec<u8>);

impl Graph {
    pub(super) fn input(mut self, name: &str, dtype: u64, shape: &[Axis]) -> Self {
        message(&mut self.0, 11, &value_info(name, dtype, shape));
        self
    }

    pub(super) fn output(mut self, name: &str, dtype: u64, shape: &[Axis]) -> Self {
        message(&mut self.0, 12, &value_info(name, dtype, shape));
        self
    }

    pub(super) fn node(mut self, name: &str, op: &str, inputs: &[&str], output: &str) -> Self {
        let mut node = Vec::new();
        inputs.iter().for_each(|i| message(&mut node, 1, i.as_bytes()));
        message(&mut node, 2, output.as_bytes());
        message(&mut node, 3, name.as_bytes());
        message(&mut node, 4, op.as_bytes());
        message(&mut self.0, 1, &node);
        self
    }

    /// A node `Cast` to `dtype`.
    pub(super) fn cast(mut self, name: &str, input: &str, output: &str, dtype: u64) -> Self {
        let mut to = Vec::new();
        message(&mut to, 1, b"to");
        number(&mut to, 3, dtype);
        number(&mut to, 20, 2);
        let mut node = Vec::new();
        message(&mut node, 1, input.as_bytes());
        message(&mut node, 2, output.as_bytes());
        message(&mut node, 3, name.as_bytes());
        message(&mut node, 4, b"Cast");
        message(&mut node, 5, &to);
        message(&mut self.0, 1, &node);
        self
    }

    pub(super) fn weight(mut self, name: &str, dtype: u64, dims: &[u64], values: &[f32]) -> Self {
        let mut tensor = tensor(name, dtype, dims);
        message(&mut tensor, 9, &raw(dtype, values));
        message(&mut self.0, 5, &tensor);
        self
    }

    /// A weight that lies in `file`, from its first byte on.
    pub(super) fn external(mut self, name: &str, dims: &[u64], file: &str, length: usize) -> Self {
        let mut tensor = tensor(name, F32, dims);
        for (key, value) in [("location", file), ("offset", "0"), ("length", &length.to_string())] {
            let mut entry = Vec::new();
            message(&mut entry, 1, key.as_bytes());
            message(&mut entry, 2, value.as_bytes());
            message(&mut tensor, 13, &entry);
        }
        number(&mut tensor, 14, 1);
        message(&mut self.0, 5, &tensor);
        self
    }

    /// The whole file: IR 8, opset 17.
    pub(super) fn model(mut self) -> Vec<u8> {
        message(&mut self.0, 2, b"tiny");
        let mut opset = Vec::new();
        message(&mut opset, 1, b"");
        number(&mut opset, 2, 17);
        let mut model = Vec::new();
        number(&mut model, 1, 8);
        message(&mut model, 7, &self.0);
        message(&mut model, 8, &opset);
        model
    }
}

/// `values` as they lie in a file.
pub(super) fn raw(dtype: u64, values: &[f32]) -> Vec<u8> {
    match dtype {
        F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn tensor(name: &str, dtype: u64, dims: &[u64]) -> Vec<u8> {
    let mut tensor = Vec::new();
    dims.iter().for_each(|d| number(&mut tensor, 1, *d));
    number(&mut tensor, 2, dtype);
    message(&mut tensor, 8, name.as_bytes());
    tensor
}

fn value_info(name: &str, dtype: u64, shape: &[Axis]) -> Vec<u8> {
    let mut dims = Vec::new();
    for axis in shape {
        let mut dim = Vec::new();
        match axis {
            Axis::Size(n) => number(&mut dim, 1, *n),
            Axis::Name(name) => message(&mut dim, 2, name.as_bytes()),
        }
        message(&mut dims, 1, &dim);
    }
    let mut tensor = Vec::new();
    number(&mut tensor, 1, dtype);
    message(&mut tensor, 2, &dims);
    let mut kind = Vec::new();
    message(&mut kind, 1, &tensor);
    let mut info = Vec::new();
    message(&mut info, 1, name.as_bytes());
    message(&mut info, 2, &kind);
    info
}

fn number(to: &mut Vec<u8>, field: u64, value: u64) {
    varint(to, field << 3);
    varint(to, value);
}

fn message(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(to, field << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
