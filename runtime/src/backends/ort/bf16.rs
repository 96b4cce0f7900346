//! BF16 models on ONNX Runtime's CPU provider, which has no kernel for a product in BF16.
//!
//! Values of BF16 become F32 values that hold numbers of BF16: what computes is followed by a rounding, which the
//! provider does have. Sums are F32 then, as they are on a GPU, and as the provider itself does it for
//! products in F16. Inputs and outputs of the graph keep their type.

use std::collections::{BTreeMap, BTreeSet};

use onr_onnx::{
    ElemType, Model, OnnxError, edit, elem_types, floats,
    proto::{ModelProto, NodeProto},
    tensor,
};

/// Operators that hand numbers on as they are: nothing to round behind them.
const MOVES: [&str; 16] = [
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "Pad",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// The model with its BF16 values in F32, or nothing for a model without any.
pub(super) fn widened(model: &Model) -> Result<Option<ModelProto>, OnnxError> {
    let types = elem_types(model.graph());
    let narrow: BTreeSet<&str> = types
        .iter()
        .filter(|(_, elem)| **elem == ElemType::Bfloat16)
        .map(|(name, _)| name.as_str())
        .collect();
    if narrow.is_empty() {
        return Ok(None);
    }
    let mut proto = model.proto().clone();
    let Some(graph) = proto.graph.as_mut() else { return Ok(None) };
    for initializer in &mut graph.initializer {
        if narrow.contains(initializer.label()) {
            let values = floats(ElemType::Bfloat16, &model.bytes(initializer)?).unwrap_or_default();
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let name = initializer.label().to_owned();
            *initializer = tensor(&name, ElemType::Float, &initializer.dims.clone(), bytes);
        }
    }
    // Inputs and outputs keep name and type; inside they go by another name.
    let mut inside: BTreeMap<String, String> = BTreeMap::new();
    let mut nodes = Vec::new();
    for input in graph.input.iter().map(|i| i.label()).filter(|name| narrow.contains(name)) {
        let wide = format!("{input}/f32");
        nodes.push(edit::cast(input, &wide, ElemType::Float));
        inside.insert(input.to_owned(), wide);
    }
    let outputs: BTreeSet<String> = graph.output.iter().map(|o| o.label().to_owned()).collect();
    for node in std::mem::take(&mut graph.node) {
        rewrite(node, &narrow, &outputs, &mut inside, &mut nodes);
    }
    graph.node = nodes;
    graph.value_info.clear();
    Ok(Some(proto))
}

fn rewrite(
    mut node: NodeProto,
    narrow: &BTreeSet<&str>,
    outputs: &BTreeSet<String>,
    inside: &mut BTreeMap<String, String>,
    nodes: &mut Vec<NodeProto>,
) {
    for input in &mut node.input {
        if let Some(wide) = inside.get(input) {
            input.clone_from(wide);
        }
    }
    let to_narrow = node.op() == "Cast" && node.output.iter().any(|o| narrow.contains(o.as_str()));
    if to_narrow
        && let Some(to) = node.attribute.iter_mut().find(|a| a.name.as_deref() == Some("to"))
    {
        to.i = Some(ElemType::Float.code().into());
    }
    let rounds = !MOVES.contains(&node.op());
    let mut behind = Vec::new();
    for output in &mut node.output {
        if !narrow.contains(output.as_str()) {
            continue;
        }
        let name = output.clone();
        let wide = if outputs.contains(&name) { format!("{name}/f32") } else { name.clone() };
        if rounds {
            let (exact, rounded) = (format!("{name}/exact"), format!("{name}/bf16"));
            behind.push(edit::cast(&exact, &rounded, ElemType::Bfloat16));
            behind.push(edit::cast(&rounded, &wide, ElemType::Float));
            *output = exact;
        } else {
            output.clone_from(&wide);
        }
        if wide != name {
            behind.push(edit::cast(&wide, &name, ElemType::Bfloat16));
            inside.insert(name, wide);
        }
    }
    nodes.push(node);
    nodes.append(&mut behind);
}
