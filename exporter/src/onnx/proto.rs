//! The ONNX messages we read and write, as prost structs with the tags of `onnx.proto` (proto2).
//!
//! Scalars are `Option`s so that a zero is really written; repeated scalars are not packed, as the
//! official writer leaves them.

use prost::Message;

/// A model file.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// Version of one operator set.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct OperatorSetIdProto {
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// A graph.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// An operator applied to named values.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
}

/// An attribute of a node.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct AttributeProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    #[prost(int32, optional, tag = "20")]
    pub r#type: Option<i32>,
}

/// `AttributeProto.type` of the kinds we write.
pub mod attribute_type {
    /// One float.
    pub const FLOAT: i32 = 1;
    /// One integer.
    pub const INT: i32 = 2;
    /// A list of integers.
    pub const INTS: i32 = 7;
}

/// A constant tensor, in place or in another file.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
}

/// `TensorProto.data_location` of tensors in another file.
pub const EXTERNAL: i32 = 1;

impl TensorProto {
    /// What the external data says under `location`, `offset` or `length`.
    #[must_use]
    pub fn external(&self, key: &str) -> Option<&str> {
        self.external_data.iter().find(|e| e.key.as_deref() == Some(key))?.value.as_deref()
    }
}

/// A key and its value.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct StringStringEntryProto {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// Name and type of an input or output.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct ValueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// A type; only tensors occur.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

/// Element type and shape.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct TensorTypeProto {
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A list of axes.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// One axis: a number or a name.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "fields are those of onnx.proto")]
pub struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}
