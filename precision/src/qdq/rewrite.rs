//! Puts `QuantizeLinear` and `DequantizeLinear` around chosen products.

use std::collections::{BTreeMap, HashMap, HashSet};

use onr_onnx::{
    ElemType, Links, Model, edit, elem_types, floats,
    proto::{GraphProto, NodeProto, TensorProto},
    scalar, tensor,
};

use super::{Format, QdqError, Site, weights::quantize_weight};

/// A product that will run on 8-bit numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The product.
    pub site: Site,
    /// Magnitude of the activation that becomes the largest code.
    pub clip: f32,
}

/// What became of a product.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Quantized {
    /// The node.
    pub node: String,
    /// The activation.
    pub activation: String,
    /// Its scale.
    pub activation_scale: f32,
    /// The weight.
    pub weight: String,
    /// Smallest and largest scale of its channels.
    pub weight_scales: (f32, f32),
    /// Channels that are all zeros.
    pub dead_channels: usize,
}

/// Quantizes the chosen products of a model, whose `sites` they are. Choices that share an activation
/// share its codes, under the largest of their clips.
///
/// # Errors
/// [`QdqError`]; the model is then in an unusable state.
pub fn quantize(
    model: &mut Model,
    choices: &[Choice],
    format: Format,
) -> Result<Vec<Quantized>, QdqError> {
    edit::upgrade(model, format.opset()).map_err(QdqError::Model)?;
    let mut clips: BTreeMap<&str, f32> = BTreeMap::new();
    for Choice { site, clip } in choices {
        if !(clip.is_finite() && *clip > 0.0) {
            return Err(QdqError::Clip { tensor: site.activation.clone(), clip: *clip });
        }
        let most = clips.entry(&site.activation).or_insert(*clip);
        *most = most.max(*clip);
    }
    let mut choices: Vec<&Choice> = choices.iter().collect();
    choices.sort_by_key(|choice| choice.site.index);
    let mut pass = Pass::new(model, format);
    let mut report = Vec::new();
    for Choice { site, .. } in choices {
        let scale = onr_calibration::scale(clips[site.activation.as_str()], format.target());
        pass.activation(site, scale);
        report.push(pass.weight(model, site, scale)?);
        pass.widen(model.graph_mut(), site);
    }
    pass.finish(model.graph_mut());
    Ok(report)
}

struct Pass {
    format: Format,
    types: BTreeMap<String, ElemType>,
    links: Links,
    /// Nodes to put in front of a node.
    before: HashMap<usize, Vec<NodeProto>>,
    /// Nodes to put behind a node.
    behind: HashMap<usize, Vec<NodeProto>>,
    /// Values that are read under another name from now on.
    renamed: HashMap<String, String>,
    added: Vec<TensorProto>,
    done: HashSet<String>,
    /// Ends the names of all that is added: empty, unless the model has such names already.
    suffix: String,
}

impl Pass {
    fn new(model: &Model, format: Format) -> Self {
        Self {
            format,
            types: elem_types(model.graph()),
            links: Links::new(model.graph()),
            before: HashMap::new(),
            behind: HashMap::new(),
            renamed: HashMap::new(),
            added: Vec::new(),
            done: HashSet::new(),
            suffix: suffix(model.graph()),
        }
    }

    /// The name of something that is added for a value.
    fn named(&self, value: &str, part: &str) -> String {
        format!("{value}/{part}{}", self.suffix)
    }

    fn add(&mut self, tensor: TensorProto) {
        self.added.push(tensor);
    }

    /// Codes of the activation and back, in front of the first product that reads them.
    fn activation(&mut self, site: &Site, scale: f32) {
        let x = &site.activation;
        if !self.done.insert(x.clone()) {
            return;
        }
        let [scale_name, zero, codes, back] =
            ["scale", "zero", "codes", "dequantized"].map(|part| self.named(x, part));
        let wide = self.named(x, "wide");
        self.add(scalar(&scale_name, ElemType::Float, scale));
        self.add(tensor(&zero, self.format.elem(), &[], vec![0_u8]));
        let nodes = self.before.entry(site.index).or_default();
        let mut source = x.clone();
        if self.types.get(x) != Some(&ElemType::Float) {
            source = wide;
            nodes.push(edit::cast(x, &source, ElemType::Float));
        }
        nodes.push(edit::node(
            "QuantizeLinear",
            &codes,
            &[source.as_str(), scale_name.as_str(), zero.as_str()],
            &[codes.as_str()],
        ));
        nodes.push(edit::node(
            "DequantizeLinear",
            &back,
            &[codes.as_str(), scale_name.as_str(), zero.as_str()],
            &[back.as_str()],
        ));
    }

    /// Codes of the weight, stored, and the way back in front of the first product that reads them.
    fn weight(&mut self, model: &Model, site: &Site, scale: f32) -> Result<Quantized, QdqError> {
        let name = &site.weight;
        let stored = model
            .initializer(name)
            .ok_or_else(|| QdqError::Model(format!("`{name}` is not in the model")))?;
        let elem = stored.data_type.and_then(ElemType::of).unwrap_or(ElemType::Float);
        let values = floats(elem, &model.bytes(stored)?)
            .ok_or_else(|| QdqError::Model(format!("`{name}` is not a float tensor")))?;
        let dims: Vec<usize> = stored.dims.iter().map(|d| *d as usize).collect();
        let made = quantize_weight(name, &values, &dims, site.channel_axis, self.format)?;
        let fold = |f: fn(f32, f32) -> f32, start| made.scales.iter().copied().fold(start, f);
        let report = Quantized {
            node: site.node.clone(),
            activation: site.activation.clone(),
            activation_scale: scale,
            weight: name.clone(),
            weight_scales: (fold(f32::min, f32::INFINITY), fold(f32::max, 0.0)),
            dead_channels: made
                .scales
                .iter()
                .filter(|s| **s <= onr_calibration::scale(0.0, self.format.target()))
                .count(),
        };
        if self.done.insert(format!("{name}/axis {}", site.channel_axis)) {
            let [codes, scales, zeros, back] =
                ["codes", "scales", "zeros", "dequantized"].map(|part| self.named(name, part));
            let channels = made.scales.len();
            let bytes: Vec<u8> = made.scales.iter().flat_map(|s| s.to_le_bytes()).collect();
            self.add(tensor(&codes, self.format.elem(), &stored.dims, made.codes));
            self.add(tensor(&scales, ElemType::Float, &[channels as i64], bytes));
            self.add(tensor(&zeros, self.format.elem(), &[channels as i64], vec![0_u8; channels]));
            let mut node = edit::node(
                "DequantizeLinear",
                &back,
                &[codes.as_str(), scales.as_str(), zeros.as_str()],
                &[back.as_str()],
            );
            node.attribute.push(edit::int("axis", site.channel_axis as i64));
            self.before.entry(site.index).or_default().push(node);
        }
        Ok(report)
    }

    /// Feeds the product from the codes. One in 16 bits becomes one in F32: its result is cast where
    /// somebody needs the 16 bits, and the casts behind it that made it wide go.
    fn widen(&mut self, graph: &mut GraphProto, site: &Site) {
        let (input, other) = (site.input, 1 - site.input);
        let node = &mut graph.node[site.index];
        node.input[input] = self.named(&site.activation, "dequantized");
        node.input[other] = self.named(&site.weight, "dequantized");
        if let Some(bias) = node.input.get(2).filter(|b| !b.is_empty()).cloned()
            && self.types.get(&bias) != Some(&ElemType::Float)
        {
            let wide = self.named(&bias, &format!("{}/wide", site.index));
            node.input[2].clone_from(&wide);
            let cast = edit::cast(&bias, &wide, ElemType::Float);
            self.before.entry(site.index).or_default().push(cast);
        }
        let result = node.output[0].clone();
        let narrow = match self.types.get(&result) {
            Some(elem) if *elem != ElemType::Float => *elem,
            _ => return,
        };
        let wide = self.named(&result, "wide");
        node.output[0].clone_from(&wide);
        let mut others = graph.output.iter().any(|o| o.label() == result);
        for at in self.links.uses(&result) {
            let reader = &graph.node[at.node];
            let to = reader.int("to").and_then(|code| ElemType::of(code as i32));
            let published = graph.output.iter().any(|o| reader.output.contains(&o.label().into()));
            if reader.op() == "Cast" && to == Some(ElemType::Float) && !published {
                self.renamed.insert(reader.output[0].clone(), wide.clone());
            } else {
                others = true;
            }
        }
        if others {
            let cast = edit::cast(&wide, &result, narrow);
            self.behind.entry(site.index).or_default().push(cast);
        }
    }

    fn finish(mut self, graph: &mut GraphProto) {
        let mut nodes = Vec::with_capacity(graph.node.len());
        for (at, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
            for name in &mut node.input {
                if let Some(now) = self.renamed.get(name) {
                    name.clone_from(now);
                }
            }
            let mut before = self.before.remove(&at).unwrap_or_default();
            for name in before.iter_mut().flat_map(|n| &mut n.input) {
                if let Some(now) = self.renamed.get(name) {
                    name.clone_from(now);
                }
            }
            nodes.append(&mut before);
            nodes.push(node);
            nodes.append(&mut self.behind.remove(&at).unwrap_or_default());
        }
        graph.node = nodes;
        graph.initializer.append(&mut self.added);
        let gone = |name: &str| self.renamed.contains_key(name);
        graph.value_info.retain(|info| !gone(info.label()));
        edit::prune(graph);
    }
}

/// What has to follow the names of added values so that none is in the graph already.
fn suffix(graph: &GraphProto) -> String {
    const PARTS: [&str; 7] = ["scale", "scales", "zero", "zeros", "codes", "dequantized", "wide"];
    let values = graph.node.iter().flat_map(|n| &n.output).map(String::as_str);
    let names: Vec<&str> = values
        .chain(graph.initializer.iter().map(|t| t.label()))
        .chain(graph.input.iter().map(|i| i.label()))
        .filter(|name| name.contains('/'))
        .collect();
    let is_free = |suffix: &String| {
        let ends = PARTS.map(|part| format!("/{part}{suffix}"));
        !names.iter().any(|name| ends.iter().any(|end| name.ends_with(end)))
    };
    let candidates = std::iter::once(String::new()).chain((2..).map(|n: u32| format!("_{n}")));
    candidates.take(1000).find(is_free).unwrap_or_default()
}
