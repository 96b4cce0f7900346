//! A file's messages, changed so that tract can read them.

use std::collections::BTreeMap;

use onr_onnx::{
    ElemType, Model, le_bytes,
    proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, attribute_type},
};

use super::coding::Codes;

/// Element types by the name of the value.
type Types = BTreeMap<String, ElemType>;

/// Attribute of a prepared node: which codes it reads or writes.
pub(super) const CODES: &str = "onr_codes";
/// Attribute of the node as ONNX defines it.
pub(super) const AXIS: &str = "axis";
/// Our operator for casts to FP8.
pub(super) const ENCODE: &str = "OnrEncodeF8";
/// Our operator for casts from FP8.
pub(super) const DECODE: &str = "OnrDecodeF8";

/// What only moves elements, whatever they stand for.
const MOVING: [&str; 21] = [
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "Reshape",
    "ScatterElements",
    "ScatterND",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Prepares a file for tract. Was there anything to prepare?
///
/// # Errors
/// Names the node that does what nothing here can do.
pub(in super::super) fn adapt(model: &mut Model, types: &Types) -> Result<bool, String> {
    let linear = |node: &NodeProto| matches!(node.op(), "QuantizeLinear" | "DequantizeLinear");
    let graph = model.graph();
    if !graph.node.iter().any(linear) && !types.values().any(|t| is_foreign(*t)) {
        return Ok(false);
    }
    let stored = graph.initializer.iter().map(|tensor| {
        let bytes = || model.bytes(tensor).map_err(|e| e.to_string());
        native(tensor, bytes)
    });
    let stored: Vec<_> = stored.collect::<Result<_, _>>()?;
    let graph = model.graph_mut();
    for (tensor, native) in graph.initializer.iter_mut().zip(stored) {
        if let Some(native) = native {
            *tensor = native;
        }
    }
    for node in &mut graph.node {
        let named = format!("`{}` ({})", node.label(), node.op());
        prepare(node, types).map_err(|reason| format!("{named}: {reason}"))?;
    }
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        declare(info)?;
    }
    Ok(true)
}

/// Types that tract does not have.
const fn is_foreign(elem: ElemType) -> bool {
    matches!(elem, ElemType::Float8E4M3Fn) || is_packed(elem)
}

const fn is_packed(elem: ElemType) -> bool {
    matches!(elem, ElemType::Int4 | ElemType::Uint4)
}

/// A constant in a type of tract's; none when it is in one already.
fn native<B: AsRef<[u8]>>(
    tensor: &TensorProto,
    bytes: impl Fn() -> Result<B, String>,
) -> Result<Option<TensorProto>, String> {
    let Some(elem) = tensor.data_type.and_then(ElemType::of).filter(|t| is_foreign(*t)) else {
        return Ok(None);
    };
    if elem == ElemType::Float8E4M3Fn {
        let data_type = Some(ElemType::Uint8.code());
        return Ok(Some(TensorProto { data_type, ..tensor.clone() }));
    }
    let sizes = tensor.dims.iter().map(|size| usize::try_from(*size).ok());
    let count = sizes.into_iter().try_fold(1_usize, |count, size| count.checked_mul(size?));
    let count = count.ok_or_else(|| format!("`{}` has impossible sizes", tensor.label()))?;
    let signed = elem == ElemType::Int4;
    let unpacked = unpack(bytes()?.as_ref(), count, signed);
    let elem = if signed { ElemType::Int8 } else { ElemType::Uint8 };
    Ok(Some(onr_onnx::tensor(tensor.label(), elem, &tensor.dims, unpacked)))
}

/// Two elements a byte, the first in the lower half.
fn unpack(bytes: &[u8], count: usize, signed: bool) -> Vec<u8> {
    let halves = bytes.iter().flat_map(|byte| [byte & 0xf, byte >> 4]).take(count);
    halves.map(|half| if signed && half > 7 { half | 0xf0 } else { half }).collect()
}

fn prepare(node: &mut NodeProto, types: &Types) -> Result<(), String> {
    let of = |name: Option<&String>| name.and_then(|name| types.get(name)).copied();
    let (input, output) = (of(node.input.first()), of(node.output.first()));
    match node.op() {
        "QuantizeLinear" => {
            let codes = output.filter(|t| !is_packed(*t)).and_then(Codes::of);
            let codes = codes.filter(|c| *c != Codes::I32).ok_or_else(|| no("codes", output))?;
            linear(node, codes)
        }
        "DequantizeLinear" => {
            let codes = input.and_then(Codes::of).ok_or_else(|| no("numbers of", input))?;
            linear(node, codes)
        }
        "Cast" => cast(node, input, output),
        "Constant" => constants(node),
        op => {
            let moves = MOVING.contains(&op);
            let mut named = node.input.iter().filter_map(|name| of(Some(name)));
            if let Some(elem) = named.find(|t| is_foreign(*t)).filter(|_| !moves) {
                return Err(format!("it computes with {elem}"));
            }
            let mut bodies = node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs));
            match bodies.any(|body| is_foreign_inside(body, types)) {
                true => Err("its body has FP8 or 4-bit values".to_owned()),
                false => Ok(()),
            }
        }
    }
}

fn no(what: &str, elem: Option<ElemType>) -> String {
    let elem = elem.map_or("an unknown type", ElemType::name);
    format!("there are no {what} {elem} here")
}

fn linear(node: &mut NodeProto, codes: Codes) -> Result<(), String> {
    let set = |name: &str| node.int(name).filter(|value| *value != 0);
    if let Some(size) = set("block_size") {
        return Err(format!("it has blocks of {size} elements"));
    }
    if set("precision").is_some() {
        return Err("it divides in a precision of its own".to_owned());
    }
    if node.op() == "DequantizeLinear" && set("output_dtype").is_some() {
        return Err("its output has another type than its scale".to_owned());
    }
    saturates(node)?;
    node.attribute.push(integer(CODES, codes.attribute()));
    Ok(())
}

fn saturates(node: &NodeProto) -> Result<(), String> {
    match node.int("saturate") {
        Some(0) => Err("it does not saturate".to_owned()),
        _ => Ok(()),
    }
}

fn cast(node: &mut NodeProto, from: Option<ElemType>, to: Option<ElemType>) -> Result<(), String> {
    const F8: Option<ElemType> = Some(ElemType::Float8E4M3Fn);
    let wide = |t| matches!(t, Some(ElemType::Float | ElemType::Float16));
    let op = match (from, to) {
        (F8, F8) => "Identity",
        (F8, to) if wide(to) => DECODE,
        (from, F8) if wide(from) => ENCODE,
        (F8, other) | (other, F8) => return Err(no("casts between FP8 and", other)),
        (_, Some(to)) if is_packed(to) => return Err(no("casts to", Some(to))),
        _ => return Ok(()),
    };
    if op == ENCODE {
        saturates(node)?;
    }
    node.op_type = Some(op.to_owned());
    Ok(())
}

fn constants(node: &mut NodeProto) -> Result<(), String> {
    for tensor in node.attribute.iter_mut().filter_map(|a| a.t.as_mut()) {
        if let Some(native) = native(&*tensor, || le_bytes(&*tensor))? {
            *tensor = native;
        }
    }
    Ok(())
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    }
}

/// Does a body hold values that tract has no type for, or take them from outside?
fn is_foreign_inside(body: &GraphProto, types: &Types) -> bool {
    let coded = |code: Option<i32>| code.and_then(ElemType::of).is_some_and(is_foreign);
    let by = |node: &NodeProto| {
        let cast = node.op() == "Cast" && coded(node.int("to").map(|to| to as i32));
        let takes = |name: &String| types.get(name).is_some_and(|t| is_foreign(*t));
        cast || node.input.iter().any(takes)
            || node.attribute.iter().any(|a| {
                let inside = a.g.iter().chain(&a.graphs).any(|g| is_foreign_inside(g, types));
                inside || a.t.as_ref().is_some_and(|t| coded(t.data_type))
            })
    };
    body.initializer.iter().any(|t| coded(t.data_type)) || body.node.iter().any(by)
}

fn declare(info: &mut ValueInfoProto) -> Result<(), String> {
    let name = info.label().to_owned();
    let tensor = info.r#type.as_mut().and_then(|t| t.tensor_type.as_mut());
    let Some(code) = tensor.and_then(|t| t.elem_type.as_mut()) else { return Ok(()) };
    match ElemType::of(*code) {
        Some(ElemType::Float8E4M3Fn) => *code = ElemType::Uint8.code(),
        Some(elem) if is_packed(elem) => return Err(format!("`{name}` goes in or out as {elem}")),
        _ => {}
    }
    Ok(())
}
