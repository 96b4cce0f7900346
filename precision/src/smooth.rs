//! SmoothQuant (Xiao et al., 2022, section 4): channels of an activation that are much larger than the others are
//! divided by a factor, and the rows of the weight that reads them multiplied by it. The division is
//! folded into the norm in front, through an element-wise gate if there is one.

use std::collections::{BTreeMap, BTreeSet};

use onr_onnx::{ElemType, Links, Model, floats, proto::GraphProto, tensor};

use crate::qdq::{QdqError, Site};

/// `s = a^alpha / w^(1 - alpha)` per input channel, from the largest magnitudes `a` of the activation and `w` of the
/// weight's rows; 1 where one of them is 0.
#[must_use]
pub fn factors(activation: &[f32], weight: &[f32], alpha: f32) -> Vec<f32> {
    let factor = |(a, w): (&f32, &f32)| {
        let s = a.powf(alpha) / w.powf(1.0 - alpha);
        if s.is_finite() && s > 0.0 { s } else { 1.0 }
    };
    activation.iter().zip(weight).map(factor).collect()
}

/// The norm that can take up a factor on the activation of a product: the name of its scale. `None` where
/// something else reads the values in between.
#[must_use]
pub fn norm_before(model: &Model, site: &Site) -> Option<String> {
    let graph = model.graph();
    let links = Links::new(graph);
    found(graph, &links, site).map(|at| graph.node[at].input[1].clone())
}

/// Index of that norm.
fn found(graph: &GraphProto, links: &Links, site: &Site) -> Option<usize> {
    if site.op != "MatMul" || site.channel_axis != 1 {
        return None;
    }
    let mut value = site.activation.as_str();
    // What the product reads may only be read by it, casts in between left aside.
    if !feeds_only(graph, links, value, site.index) {
        return None;
    }
    let mut at = links.producer(value)?;
    if graph.node[at].op() == "Mul" {
        let is_norm = |name: &&String| {
            links.producer(name).is_some_and(|p| graph.node[p].op() == "LayerNormalization")
        };
        value = graph.node[at].input.iter().find(is_norm)?;
        if links.uses(value).len() != 1 || is_output(graph, value) {
            return None;
        }
        at = links.producer(value)?;
    }
    let norm = &graph.node[at];
    (norm.op() == "LayerNormalization" && norm.input.len() > 1).then_some(at)
}

fn is_output(graph: &GraphProto, value: &str) -> bool {
    graph.output.iter().any(|o| o.label() == value)
}

fn feeds_only(graph: &GraphProto, links: &Links, value: &str, reader: usize) -> bool {
    !is_output(graph, value)
        && links.uses(value).iter().all(|at| {
            let node = &graph.node[at.node];
            at.node == reader
                || node.op() == "Cast" && feeds_only(graph, links, &node.output[0], reader)
        })
}

/// Folds factors, by the name of the weight, into the norms and weights of `products`.
///
/// # Errors
/// [`QdqError::Smooth`] where no norm can take the factors up, or they don't fit.
pub fn smooth(
    model: &mut Model,
    products: &[Site],
    factors: &BTreeMap<String, Vec<f32>>,
) -> Result<(), QdqError> {
    let links = Links::new(model.graph());
    let mut made = BTreeSet::new();
    for site in products {
        let Some(factors) = factors.get(&site.weight) else { continue };
        let refuse = |reason: &str| QdqError::Smooth {
            tensor: site.weight.clone(),
            reason: reason.to_owned(),
        };
        if factors.len() != site.depth || factors.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
            return Err(refuse("needs one positive factor for each input channel"));
        }
        let norm = found(model.graph(), &links, site)
            .ok_or_else(|| refuse("no norm in front can take up the factors"))?;
        for input in 1..model.graph().node[norm].input.len() {
            let name = model.graph().node[norm].input[input].clone();
            if name.is_empty() {
                continue;
            }
            let smoothed = scaled(model, &name, &mut made, |at, x| x / factors[at])?;
            model.graph_mut().node[norm].input[input] = smoothed;
        }
        let columns = site.channels;
        let weight = scaled(model, &site.weight, &mut made, |at, x| x * factors[at / columns])?;
        model.graph_mut().node[site.index].input[1 - site.input] = weight;
    }
    Ok(())
}

/// A copy of an initializer, F32, each number changed; made once.
fn scaled(
    model: &mut Model,
    name: &str,
    made: &mut BTreeSet<String>,
    change: impl Fn(usize, f32) -> f32,
) -> Result<String, QdqError> {
    if name.ends_with(SMOOTHED) {
        return Ok(name.to_owned());
    }
    let smoothed = format!("{name}{SMOOTHED}");
    if made.insert(smoothed.clone()) {
        let absent = || QdqError::Model(format!("`{name}` is not a constant of the model"));
        let stored = model.initializer(name).ok_or_else(absent)?;
        let elem = stored.data_type.and_then(ElemType::of).unwrap_or(ElemType::Float);
        let values = floats(elem, &model.bytes(stored)?).ok_or_else(absent)?;
        let bytes: Vec<u8> = values
            .into_iter()
            .enumerate()
            .flat_map(|(at, x)| change(at, x).to_le_bytes())
            .collect();
        let new = tensor(&smoothed, ElemType::Float, &stored.dims, bytes);
        model.graph_mut().initializer.push(new);
    }
    Ok(smoothed)
}

/// What names of smoothed tensors end in.
const SMOOTHED: &str = "/smoothed";
