//! A graph as an ONNX model, its weights in external data.

use std::collections::BTreeMap;

use half::{bf16, f16};
use onr_graphs::{
    DType, Dim, Graph,
    graph::{Attr, Literal, Node, Role, Value, ValueId},
    ops::minimum_opset,
};
use onr_onnx::{
    ElemType,
    proto::{
        AttributeProto, DimensionProto, EXTERNAL, GraphProto, ModelProto, NodeProto,
        OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto,
        TypeProto, ValueInfoProto, attribute_type,
    },
};

/// Where the bytes of a weight lie in the external file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// Encodes a graph. `weights` places every checkpoint tensor that the graph reads, by name and type,
/// in the file `location` beside the model.
///
/// Opset and IR version are the lowest that the graph's operators allow.
///
/// # Panics
/// When a weight has no placement: the caller made both from the same graphs.
#[must_use]
pub fn encode(
    graph: &Graph,
    location: &str,
    weights: &BTreeMap<(String, DType), Placement>,
    metadata: &[(&str, &str)],
) -> ModelProto {
    let opset = minimum_opset(graph).map_or(17, i64::from);
    let initializer = graph
        .values
        .iter()
        .filter_map(|value| match &value.role {
            Role::Weight { key } => {
                let place = weights.get(&(key.clone(), value.dtype));
                Some(external(value, location, *place.expect("every weight of a graph is placed")))
            }
            Role::Const(literal) => Some(inline(value, literal)),
            Role::Input | Role::Node => None,
        })
        .collect();
    let infos = |ids: &[ValueId]| ids.iter().map(|&i| info(graph.value(i))).collect();
    ModelProto {
        ir_version: Some(ir_version(opset)),
        producer_name: Some("onr".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(opset),
        }],
        metadata_props: metadata.iter().map(|(k, v)| StringStringEntryProto::new(k, v)).collect(),
        graph: Some(GraphProto {
            node: graph.nodes.iter().map(|n| node(graph, n)).collect(),
            name: Some(graph.name.clone()),
            initializer,
            input: infos(&graph.inputs),
            output: infos(&graph.outputs),
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// The IR version that came with an opset.
const fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=18 => 8,
        19..=20 => 9,
        _ => 10,
    }
}

/// The ONNX type of an element type.
#[must_use]
pub const fn elem_type(dtype: DType) -> ElemType {
    match dtype {
        DType::F32 => ElemType::Float,
        DType::F16 => ElemType::Float16,
        DType::BF16 => ElemType::Bfloat16,
        DType::F8E4M3 => ElemType::Float8E4M3Fn,
        DType::I8 => ElemType::Int8,
        DType::F64 => ElemType::Double,
        DType::I32 => ElemType::Int32,
        DType::U8 => ElemType::Uint8,
        DType::Bool => ElemType::Bool,
        _ => ElemType::Int64,
    }
}

fn node(graph: &Graph, node: &Node) -> NodeProto {
    let names = |ids: &[ValueId]| ids.iter().map(|&i| graph.value(i).name.clone()).collect();
    NodeProto {
        input: names(&node.inputs),
        output: names(&node.outputs),
        name: Some(node.name.clone()),
        op_type: Some(node.op.to_owned()),
        attribute: node.attrs.iter().map(|(name, attr)| attribute(name, attr)).collect(),
        ..NodeProto::default()
    }
}

fn attribute(name: &str, attr: &Attr) -> AttributeProto {
    let mut out = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let kind = match attr {
        Attr::Int(n) => {
            out.i = Some(*n);
            attribute_type::INT
        }
        Attr::Type(dtype) => {
            out.i = Some(elem_type(*dtype).code().into());
            attribute_type::INT
        }
        Attr::Ints(list) => {
            out.ints.clone_from(list);
            attribute_type::INTS
        }
        Attr::Float(x) => {
            out.f = Some(*x);
            attribute_type::FLOAT
        }
    };
    out.r#type = Some(kind);
    out
}

fn tensor(value: &Value) -> TensorProto {
    TensorProto {
        dims: value.shape.iter().filter_map(Dim::fixed).map(|n| n as i64).collect(),
        data_type: Some(elem_type(value.dtype).code()),
        name: Some(value.name.clone()),
        ..TensorProto::default()
    }
}

fn external(value: &Value, location: &str, place: Placement) -> TensorProto {
    TensorProto {
        external_data: vec![
            StringStringEntryProto::new("location", location),
            StringStringEntryProto::new("offset", &place.offset.to_string()),
            StringStringEntryProto::new("length", &place.length.to_string()),
        ],
        data_location: Some(EXTERNAL),
        ..tensor(value)
    }
}

fn inline(value: &Value, literal: &Literal) -> TensorProto {
    let raw = match literal {
        Literal::Int(list) => list.iter().flat_map(|n| n.to_le_bytes()).collect(),
        Literal::Bool(list) => list.iter().map(|&b| u8::from(b)).collect(),
        Literal::Float(list) => match value.dtype {
            DType::F16 => list.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            DType::BF16 => list.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
            _ => list.iter().flat_map(|x| x.to_le_bytes()).collect(),
        },
    };
    TensorProto { raw_data: Some(Vec::into(raw)), ..tensor(value) }
}

fn info(value: &Value) -> ValueInfoProto {
    let dim = value.shape.iter().map(|d| match d.fixed() {
        Some(n) => DimensionProto { dim_value: Some(n as i64), ..DimensionProto::default() },
        None => DimensionProto { dim_param: Some(d.to_string()), ..DimensionProto::default() },
    });
    let tensor_type = TensorTypeProto {
        elem_type: Some(elem_type(value.dtype).code()),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: Some(value.name.clone()),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
