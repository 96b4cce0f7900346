//! Changes of what a node reads from the file.

use onr_onnx::{ElemType, floats, proto::TensorProto, tensor};
use rand::Rng as _;

use super::{Done, Site};

/// Integer constants that are short enough to be sizes, axes and bounds.
const SHORT: usize = 16;

impl Site<'_> {
    /// The constants that the node reads: input and tensor.
    fn constants(&self) -> Vec<(usize, TensorProto)> {
        let inputs = self.node().input.iter().enumerate();
        inputs.filter_map(|(at, name)| Some((at, self.model.initializer(name)?.clone()))).collect()
    }

    /// Gives one input another constant.
    fn replace(&mut self, input: usize, constant: TensorProto) {
        let at = self.at;
        let name = constant.label().to_owned();
        let graph = self.graph();
        graph.initializer.push(constant);
        graph.node[at].input[input] = name;
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        if list.is_empty() {
            return None;
        }
        Some(list[self.rng.random_range(0..list.len())].clone())
    }
}

/// One number of an integer constant, one more or less.
pub(super) fn off_by_one(site: &mut Site<'_>) -> Done {
    let own = site.own();
    let whole: Vec<_> = site
        .constants()
        .into_iter()
        .filter(|(_, t)| {
            t.data_type == Some(ElemType::Int64.code())
                && t.dims.iter().product::<i64>() as usize <= SHORT
        })
        .collect();
    let (input, constant) = site.pick(&whole)?;
    let bytes = site.model.bytes(&constant).ok()?;
    let mut values: Vec<i64> =
        bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
    if values.is_empty() {
        return None;
    }
    let at = site.rng.random_range(0..values.len());
    let old = values[at];
    values[at] += if site.rng.random() { 1 } else { -1 };
    let new = values[at];
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let name = site.fresh(&own[0]);
    site.replace(input, tensor(&name, ElemType::Int64, &constant.dims, bytes));
    Some((format!("input {input}: {new} for {old}"), own))
}

/// The constant term of a sum is missing.
pub(super) fn drop_bias(site: &mut Site<'_>) -> Done {
    let own = site.own();
    let node = site.node();
    if node.op() != "Add" {
        return None;
    }
    let (bias, term) = match (site.is_constant(&node.input[0]), site.is_constant(&node.input[1])) {
        (true, false) => (0, 1),
        (false, true) => (1, 0),
        _ => return None,
    };
    let (name, kept) = (node.input[bias].clone(), node.input[term].clone());
    if !site.elem(&kept)?.is_activation() {
        return None;
    }
    let at = site.at;
    let node = &mut site.graph().node[at];
    node.op_type = Some("Identity".into());
    node.input = vec![kept];
    Some((format!("without `{name}`"), own))
}

/// A float constant that is another one: a scalar, or the epsilon of a norm.
pub(super) fn wrong_constant(site: &mut Site<'_>) -> Done {
    let own = site.own();
    let at = site.at;
    if site.node().op() == "LayerNormalization" {
        let epsilon = site.graph().node[at].attribute.iter_mut();
        let epsilon = epsilon.into_iter().find(|a| a.name.as_deref() == Some("epsilon"))?;
        let old = epsilon.f?;
        epsilon.f = Some(1000.0 * old);
        return Some((format!("epsilon {:e} for {old:e}", 1000.0 * old), own));
    }
    let scalars: Vec<_> = site
        .constants()
        .into_iter()
        .filter(|(_, t)| t.dims.iter().product::<i64>() == 1)
        .filter_map(|(input, t)| {
            let elem = ElemType::of(t.data_type?).filter(|elem| elem.is_activation())?;
            let value = *floats(elem, &site.model.bytes(&t).ok()?)?.first()?;
            Some((input, t, elem, value))
        })
        .collect();
    let (input, constant, elem, old) = site.pick(&scalars)?;
    let new = if old == 0.0 { 0.5 } else { old * 1.25 };
    let name = site.fresh(&own[0]);
    let mut other = onr_onnx::scalar(&name, elem, new);
    other.dims.clone_from(&constant.dims);
    site.replace(input, other);
    Some((format!("input {input}: {new} for {old}"), own))
}

/// A weight of the same type and shape that belongs elsewhere.
pub(super) fn other_weight(site: &mut Site<'_>) -> Done {
    let own = site.own();
    let weights: Vec<_> = site
        .constants()
        .into_iter()
        .filter(|(_, t)| t.dims.iter().product::<i64>() > SHORT as i64)
        .collect();
    let (input, weight) = site.pick(&weights)?;
    let same = |t: &&TensorProto| {
        t.label() != weight.label() && t.dims == weight.dims && t.data_type == weight.data_type
    };
    let others: Vec<String> =
        site.model.graph().initializer.iter().filter(same).map(|t| t.label().to_owned()).collect();
    let other = site.pick(&others)?;
    let at = site.at;
    site.graph().node[at].input[input].clone_from(&other);
    Some((format!("`{other}` for `{}`", weight.label()), own))
}

/// Scales by channel, read as if there were one.
pub(super) fn per_tensor_scale(site: &mut Site<'_>) -> Done {
    let own = site.own();
    if site.node().op() != "DequantizeLinear" {
        return None;
    }
    let scale = site.model.initializer(site.node().input.get(1)?)?.clone();
    if scale.dims.iter().product::<i64>() < 2 {
        return None;
    }
    let bytes = site.model.bytes(&scale).ok()?;
    let first: Vec<u8> = bytes.get(..4)?.to_vec();
    let name = site.fresh(&own[0]);
    let repeated: Vec<u8> = first.repeat(bytes.len() / 4);
    site.replace(1, tensor(&name, ElemType::Float, &scale.dims, repeated));
    Some(("the scale of the first channel for all".into(), own))
}
