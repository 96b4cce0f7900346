//! Are the arrays of an archive what a model takes?

use std::collections::{BTreeMap, HashSet};

use onr_exporter::onnx::elem_type;
use onr_onnx::{ElemType, Model};

use super::Array;
use crate::backends::signature::Axis;

/// An input of a model, as its file declares it.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub(crate) elem: ElemType,
    /// Its axes, where the file declares them.
    pub(crate) axes: Option<Vec<Axis>>,
}

/// The inputs that a model needs: those that no initializer gives a value.
#[must_use]
pub fn inputs(model: &Model) -> Vec<InputSpec> {
    let graph = model.graph();
    let given: HashSet<&str> = graph.initializer.iter().map(|t| t.label()).collect();
    let needed = graph.input.iter().filter(|input| !given.contains(input.label()));
    let spec = |input: &onr_onnx::proto::ValueInfoProto| {
        let tensor = input.tensor();
        let axes = tensor.and_then(|t| t.shape.as_ref()).map(|shape| {
            let axis = |d: &onr_onnx::proto::DimensionProto| {
                Axis::new(d.dim_value.unwrap_or(-1), d.dim_param.as_deref().unwrap_or_default())
            };
            shape.dim.iter().map(axis).collect()
        });
        let elem = tensor.and_then(|t| ElemType::of(t.elem_type?)).unwrap_or(ElemType::String);
        InputSpec { name: input.label().to_owned(), elem, axes }
    };
    needed.map(spec).collect()
}

/// The number of batches, or all that does not fit.
pub(super) fn check(arrays: &[Array], inputs: &[InputSpec]) -> Result<u64, Vec<String>> {
    let mut problems = Vec::new();
    let names = || {
        let names: Vec<_> = inputs.iter().map(|i| format!("`{}`", i.name)).collect();
        names.join(", ")
    };
    let mut bound = BTreeMap::new();
    let mut seen = HashSet::new();
    for array in arrays {
        let name = &array.name;
        if !seen.insert(name) {
            problems.push(format!("it has two arrays `{name}`"));
        }
        match inputs.iter().find(|input| input.name == *name) {
            None => problems.push(format!(
                "array `{name}` is none of the model's inputs, which are {}",
                names()
            )),
            Some(input) => problems.extend(misfit(array, input, &mut bound)),
        }
    }
    let absent = inputs.iter().filter(|input| !seen.contains(&input.name));
    problems.extend(absent.map(|input| format!("it has no array `{}`", input.name)));
    let Some((first, batches)) = arrays.iter().find_map(|a| Some((a, *a.shape.first()?))) else {
        if problems.is_empty() {
            problems.push("it holds no batches".to_owned());
        }
        return Err(problems);
    };
    for array in arrays {
        match array.shape.first() {
            Some(0) => problems.push(format!("array `{}` holds no batches", array.name)),
            Some(other) if *other != batches => problems.push(format!(
                "array `{}` holds {other} batches and `{}` {batches}",
                array.name, first.name
            )),
            _ => {}
        }
    }
    if problems.is_empty() { Ok(batches as u64) } else { Err(problems) }
}

/// Sizes of named axes, and which input said so.
type Bound = BTreeMap<String, (usize, String)>;

/// Why an array is not that input.
fn misfit(array: &Array, input: &InputSpec, bound: &mut Bound) -> Option<String> {
    let Array { name, dtype, shape, .. } = array;
    if elem_type(*dtype) != input.elem {
        return Some(format!(
            "array `{name}` is {}, the input is {}",
            elem_type(*dtype),
            input.elem
        ));
    }
    let declared = |axes: &[Axis]| {
        let axes: Vec<_> = axes.iter().map(Axis::to_string).collect();
        format!("[{}]", axes.join(","))
    };
    let [_, own @ ..] = shape.as_slice() else {
        return Some(format!("array `{name}` has no axes; the first counts the batches"));
    };
    let axes = input.axes.as_ref()?;
    let told = format!("array `{name}` has batches of shape {own:?}, the input is");
    if own.len() != axes.len() {
        return Some(format!("{told} {}", declared(axes)));
    }
    for (at, (axis, size)) in axes.iter().zip(own).enumerate() {
        match axis {
            Axis::Fixed(wanted) if wanted != size => {
                return Some(format!("{told} {}: axis {at} differs", declared(axes)));
            }
            Axis::Named(symbol) => {
                let (wanted, by) =
                    bound.entry(symbol.clone()).or_insert_with(|| (*size, name.clone()));
                if wanted != size {
                    let axes = declared(axes);
                    return Some(format!("{told} {axes}: `{symbol}` is {wanted} in `{by}`"));
                }
            }
            _ => {}
        }
    }
    None
}
