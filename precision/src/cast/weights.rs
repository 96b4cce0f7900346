//! Constants: how each is stored, once.

use std::collections::{BTreeMap, BTreeSet};

use onr_onnx::{
    ElemType, Model,
    proto::{AttributeProto, GraphProto, TensorProto},
    scalar, tensor,
};

use super::{
    CastError,
    masks::{Fill, Masks},
    numbers::{Narrow, f32s},
    regions::Verdicts,
    view::{View, own_domain},
};

/// Turns `Constant` nodes of floats into initializers, so that a constant is one thing. Those that are results
/// of the graph stay.
pub(super) fn hoist(graph: &mut GraphProto) {
    let results: BTreeSet<_> = graph.output.iter().map(|v| v.label().to_owned()).collect();
    let mut hoisted = Vec::new();
    graph.node.retain(|node| {
        let constant = node.op() == "Constant" && own_domain(node);
        let name = node.output.first().filter(|name| constant && !results.contains(*name));
        let made = name.and_then(|name| float_constant(name, node.attribute.first()?));
        let keep = made.is_none();
        hoisted.extend(made);
        keep
    });
    graph.initializer.extend(hoisted);
}

/// The F32 tensor of a `Constant`'s attribute, under the name of its output.
fn float_constant(name: &str, attribute: &AttributeProto) -> Option<TensorProto> {
    match attribute.name.as_deref()? {
        "value" => {
            let mut value = attribute.t.clone()?;
            value.name = Some(name.to_owned());
            let here = value.data_location.unwrap_or_default() == 0;
            (value.data_type == Some(ElemType::Float.code()) && here).then_some(value)
        }
        "value_float" => Some(scalar(name, ElemType::Float, attribute.f?)),
        "value_floats" => {
            let bytes: Vec<u8> = attribute.floats.iter().flat_map(|x| x.to_le_bytes()).collect();
            let length = i64::try_from(attribute.floats.len()).ok()?;
            Some(tensor(name, ElemType::Float, &[length], bytes))
        }
        _ => None,
    }
}

/// What constants become.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// Constants that are stored in the target type.
    pub(super) narrow: BTreeSet<String>,
    /// Constants that masks are made of, and the name of the mask in the target type.
    pub(super) masks: BTreeMap<(String, Fill), String>,
}

impl Storage {
    /// Decides. A constant that narrow and F32 nodes read is stored once: narrow with one `Cast` up, because
    /// its readers in F32 want F32 sums, not more digits than others get of the same weight; in F32 with one
    /// `Cast` down, if a reader was pinned by numbers or by the caller.
    pub(super) fn decide(view: &View<'_>, verdicts: &Verdicts, masks: &Masks) -> Self {
        let mut storage = Self::default();
        for name in view.constants.keys() {
            let (mut narrow, mut rounded) = (false, true);
            for port in view.readers(name) {
                let fill = masks.fills.get(&(port.node, port.input));
                match (verdicts.narrow(port.node) && !port.fixed, fill) {
                    (true, Some(fill)) => {
                        let mask = format!("{name}.{}", suffix(*fill));
                        storage.masks.insert(((*name).to_owned(), *fill), mask);
                    }
                    (true, None) => narrow = true,
                    (false, _) => {
                        let pin = verdicts.pins[port.node].as_ref();
                        rounded &=
                            !port.fixed && pin.is_some_and(|p| p.rule.takes_rounded_weights());
                    }
                }
            }
            let named = view.outputs.contains(name) || view.captured.contains(*name);
            if narrow && rounded && !named {
                storage.narrow.insert((*name).to_owned());
            }
        }
        storage
    }

    /// Rewrites the constants of a model, and drops those that only masks were made of.
    ///
    /// # Errors
    /// [`CastError::Model`] when one cannot be read.
    pub(super) fn apply(
        &self,
        model: &mut Model,
        narrow: Narrow,
        unread: impl Fn(&GraphProto, &str) -> bool,
    ) -> Result<(), CastError> {
        let mut made = Vec::with_capacity(model.graph().initializer.len());
        for old in &model.graph().initializer {
            let name = old.label();
            let fills =
                self.masks.range((name.to_owned(), Fill::Lowest)..=(name.to_owned(), Fill::Half));
            let fills: Vec<_> = fills.collect();
            let drop = !fills.is_empty() && unread(model.graph(), name);
            for ((_, fill), mask) in fills {
                let bytes = model.bytes(old)?;
                let filled = f32s(&bytes).flat_map(|x| fill.of(x, narrow).to_le_bytes());
                made.push(stored(old, mask, narrow, &filled.collect::<Vec<u8>>()));
            }
            if self.narrow.contains(name) {
                made.push(stored(old, name, narrow, &model.bytes(old)?));
            } else if !drop {
                made.push(old.clone());
            }
        }
        model.graph_mut().initializer = made;
        Ok(())
    }
}

const fn suffix(fill: Fill) -> &'static str {
    match fill {
        Fill::Lowest => "lowest",
        Fill::Half => "half_lowest",
    }
}

/// A constant in the target type, with all else that its message says.
fn stored(old: &TensorProto, name: &str, narrow: Narrow, f32s: &[u8]) -> TensorProto {
    TensorProto {
        doc_string: old.doc_string.clone(),
        metadata_props: old.metadata_props.clone(),
        ..tensor(name, narrow.elem(), &old.dims, narrow.pack(f32s))
    }
}

/// Bytes of all constants.
pub(super) fn bytes(graph: &GraphProto) -> u64 {
    let size = |tensor: &TensorProto| {
        let elements: u64 = tensor.dims.iter().map(|d| u64::try_from(*d).unwrap_or(0)).product();
        let elem = tensor.data_type.and_then(ElemType::of);
        elements * elem.map_or(0, |elem| elem.bits() as u64) / 8
    };
    graph.initializer.iter().map(size).sum()
}
