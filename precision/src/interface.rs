//! Values that leave a graph and come back into another one as codes: keys and values of histories.
//!
//! An input of codes is dequantized where it comes in, an output quantized where it goes out; in between nothing
//! changes. One scale for a value in all graphs makes what a graph hands through come out bit for bit as it
//! went in: `Q(DQ(code))` is `code` for every code of both formats but FP8's NaN, which nothing makes.

use std::collections::BTreeMap;

use onr_onnx::{
    ElemType, Links, Model, edit, elem_types,
    proto::{GraphProto, NodeProto, ValueInfoProto},
    scalar, tensor,
};
use serde::{Deserialize, Serialize};

use crate::qdq::{Format, QdqError};

/// Inputs and outputs that are codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Their format.
    pub format: Format,
    /// What a code of 1 stands for, by the name of the input or output.
    pub scales: BTreeMap<String, f32>,
}

/// An input or output that is codes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Passed {
    /// Its name.
    pub tensor: String,
    /// What a code of 1 stands for.
    pub scale: f32,
}

/// Turns inputs and outputs of a model into codes. Those that it does not have are for other graphs.
///
/// # Errors
/// [`QdqError::Model`] for a tensor that is no float or both input and output, [`QdqError::Clip`] for a scale that is
/// no positive number; the model is then in an unusable state.
pub fn quantize_interface(
    model: &mut Model,
    interface: &Interface,
) -> Result<Vec<Passed>, QdqError> {
    let known = |infos: &[ValueInfoProto]| -> Vec<String> {
        let names = infos.iter().map(|info| info.label().to_owned());
        names.filter(|name| interface.scales.contains_key(name)).collect()
    };
    let (inputs, outputs) = (known(&model.graph().input), known(&model.graph().output));
    if inputs.is_empty() && outputs.is_empty() {
        return Ok(Vec::new());
    }
    edit::upgrade(model, interface.format.opset()).map_err(QdqError::Model)?;
    let types = elem_types(model.graph());
    let mut pass = Pass { format: interface.format, types, graph: model.graph_mut() };
    let mut report = Vec::new();
    for name in inputs.iter().chain(&outputs) {
        let scale = interface.scales[name];
        if !(scale.is_finite() && scale > 0.0) {
            return Err(QdqError::Clip { tensor: name.clone(), clip: scale });
        }
        if inputs.contains(name) && outputs.contains(name) {
            return Err(QdqError::Model(format!("`{name}` is both input and output")));
        }
        report.push(Passed { tensor: name.clone(), scale });
    }
    for name in &inputs {
        pass.input(name, interface.scales[name])?;
    }
    for name in &outputs {
        pass.output(name, interface.scales[name])?;
    }
    edit::prune(pass.graph);
    Ok(report)
}

struct Pass<'a> {
    format: Format,
    types: BTreeMap<String, ElemType>,
    graph: &'a mut GraphProto,
}

/// The F32 value of an input of codes.
fn numbers_of(input: &str) -> String {
    format!("{input}/numbers")
}

impl Pass<'_> {
    fn float(&self, name: &str) -> Result<ElemType, QdqError> {
        let elem = self.types.get(name).copied().filter(|elem| elem.is_activation());
        elem.ok_or_else(|| QdqError::Model(format!("`{name}` is no float that could be a code")))
    }

    /// Scale and zero point of a value.
    fn parameters(&mut self, name: &str, scale: f32) -> [String; 2] {
        let [scale_name, zero] = ["scale", "zero"].map(|part| format!("{name}/code.{part}"));
        self.graph.initializer.push(scalar(&scale_name, ElemType::Float, scale));
        self.graph.initializer.push(tensor(&zero, self.format.elem(), &[], vec![0_u8]));
        [scale_name, zero]
    }

    fn input(&mut self, name: &str, scale: f32) -> Result<(), QdqError> {
        let elem = self.float(name)?;
        let [scale, zero] = self.parameters(name, scale);
        let numbers = numbers_of(name);
        let read = if elem == ElemType::Float { numbers.clone() } else { format!("{name}/narrow") };
        // `Shape` too: ONNX Runtime has none of FP8.
        for input in self.graph.node.iter_mut().flat_map(|node| &mut node.input) {
            if input == name {
                input.clone_from(&read);
            }
        }
        let mut first =
            vec![edit::node("DequantizeLinear", &numbers, &[name, &scale, &zero], &[&numbers])];
        if elem != ElemType::Float {
            first.push(edit::cast(&numbers, &read, elem));
            self.types.insert(read, elem);
        }
        self.types.insert(numbers, ElemType::Float);
        self.graph.node.splice(0..0, first);
        set_type(&mut self.graph.input, name, self.format.elem());
        Ok(())
    }

    fn output(&mut self, name: &str, scale: f32) -> Result<(), QdqError> {
        let elem = self.float(name)?;
        let [scale, zero] = self.parameters(name, scale);
        let links = Links::new(self.graph);
        let made = links
            .producer(name)
            .ok_or_else(|| QdqError::Model(format!("nothing makes the output `{name}`")))?;
        let (inner, wide) = (format!("{name}/inner"), format!("{name}/wide"));
        for input in self.graph.node.iter_mut().flat_map(|node| &mut node.input) {
            if input == name {
                input.clone_from(&inner);
            }
        }
        let source = if elem == ElemType::Float {
            rename(&mut self.graph.node[made], name, &inner);
            inner
        } else if self.graph.node[made].op() == "Where" {
            self.widen_choice(made, name, [&inner, &wide], elem);
            wide
        } else {
            rename(&mut self.graph.node[made], name, &inner);
            self.graph.node.push(edit::cast(&inner, &wide, ElemType::Float));
            wide
        };
        let quantize = edit::node("QuantizeLinear", name, &[&source, &scale, &zero], &[name]);
        self.graph.node.push(quantize);
        set_type(&mut self.graph.output, name, self.format.elem());
        Ok(())
    }

    /// A choice between numbers that came as codes and new ones, in F32: 16 bits in between could lose
    /// the code of a number that is only handed through.
    fn widen_choice(&mut self, at: usize, name: &str, names: [&String; 2], elem: ElemType) {
        let [inner, wide] = names;
        rename(&mut self.graph.node[at], name, wide);
        let mut before = Vec::new();
        for branch in 1..3 {
            let read = self.graph.node[at].input[branch].clone();
            let input = read.strip_suffix("/narrow").map(numbers_of);
            let known = input.filter(|numbers| self.types.contains_key(numbers));
            let source = known.unwrap_or_else(|| {
                let cast = format!("{wide}.{branch}");
                before.push(edit::cast(&read, &cast, ElemType::Float));
                cast
            });
            self.graph.node[at].input[branch] = source;
        }
        before.push(self.graph.node[at].clone());
        before.push(edit::cast(wide, inner, elem));
        self.graph.node.splice(at..=at, before);
    }
}

/// Gives an output of a node another name.
fn rename(node: &mut NodeProto, from: &str, to: &str) {
    for output in node.output.iter_mut().filter(|output| *output == from) {
        to.clone_into(output);
    }
}

fn set_type(infos: &mut [ValueInfoProto], name: &str, elem: ElemType) {
    let info = infos.iter_mut().find(|info| info.label() == name);
    let tensor = info.and_then(|info| info.r#type.as_mut()?.tensor_type.as_mut());
    if let Some(tensor) = tensor {
        tensor.elem_type = Some(elem.code());
    }
}
