//! The inputs of a loaded graph, and whether feeds fit them: one check and one wording for all
//! backends.

use std::{collections::BTreeMap, fmt};

use onr_graphs::{Bindings, DType};

use crate::{
    backend::RunError,
    tensor::{Feeds, HostTensor},
};

/// One axis of an input, as the ONNX file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Axis {
    Fixed(usize),
    /// A symbol or an expression of symbols: equal names are equal sizes.
    Named(String),
    Unknown,
}

impl Axis {
    /// From ONNX's two fields; a negative size and an empty or `?` name mean unknown.
    pub(crate) fn new(size: i64, name: &str) -> Self {
        match (usize::try_from(size), name) {
            (Ok(size), _) => Self::Fixed(size),
            (Err(_), "" | "?") => Self::Unknown,
            (Err(_), name) => Self::Named(name.to_owned()),
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// One input of a graph. `axes` is `None` where the file gives no rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) axes: Option<Vec<Axis>>,
}

/// The inputs of a graph, in its order.
#[derive(Debug, Clone)]
pub(super) struct Signature {
    backend: &'static str,
    inputs: Vec<Input>,
}

/// What an axis name was bound to, and by which input.
type Bound<'a> = BTreeMap<&'a str, (usize, &'a str)>;

impl Signature {
    pub(super) const fn new(backend: &'static str, inputs: Vec<Input>) -> Self {
        Self { backend, inputs }
    }

    /// The feeds in the order of the graph's inputs.
    ///
    /// # Errors
    /// [`RunError::Feed`] for the first input that is missing, of another type, rank or size, and
    /// for a feed that is no input.
    pub(super) fn arrange<'a>(
        &'a self,
        feeds: &'a Feeds,
    ) -> Result<Vec<(&'a Input, &'a HostTensor)>, RunError> {
        if let Some(name) = feeds.keys().find(|name| !self.inputs.iter().any(|i| &i.name == *name))
        {
            let names: Vec<_> = self.inputs.iter().map(|i| format!("`{}`", i.name)).collect();
            let known = names.join(", ");
            return Err(self.refuse(name, format!("is not one of the graph's inputs: {known}")));
        }
        let mut bound = Bound::new();
        let fit = |input: &'a Input| {
            let tensor = feeds.get(&input.name).ok_or_else(|| "is missing".to_owned());
            tensor
                .and_then(|tensor| input.fits(tensor, &mut bound).map(|()| (input, tensor)))
                .map_err(|reason| self.refuse(&input.name, reason))
        };
        self.inputs.iter().map(fit).collect()
    }

    /// The sizes of the named axes, for feeds that were arranged.
    pub(super) fn sizes(&self, feeds: &Feeds) -> Bindings {
        let mut sizes = Bindings::new();
        for input in &self.inputs {
            let shape = feeds.get(&input.name).map_or(&[][..], HostTensor::shape);
            for (axis, size) in input.axes.iter().flatten().zip(shape) {
                if let Axis::Named(name) = axis {
                    sizes.insert(name.clone(), *size);
                }
            }
        }
        sizes
    }

    fn refuse(&self, input: &str, reason: String) -> RunError {
        RunError::Feed { backend: self.backend, input: input.to_owned(), reason }
    }
}

impl Input {
    /// Says why `tensor` cannot be this input.
    fn fits<'a>(&'a self, tensor: &HostTensor, bound: &mut Bound<'a>) -> Result<(), String> {
        if tensor.dtype() != self.dtype {
            return Err(format!("is {}, the graph takes {}", tensor.dtype(), self.dtype));
        }
        let Some(axes) = &self.axes else { return Ok(()) };
        let shape = tensor.shape();
        if shape.len() != axes.len() {
            return Err(format!("has shape {shape:?}, the graph takes {}", show(axes)));
        }
        for (at, (axis, &size)) in axes.iter().zip(shape).enumerate() {
            let (wanted, why) = match axis {
                Axis::Unknown => continue,
                Axis::Fixed(wanted) => (*wanted, String::new()),
                Axis::Named(name) => {
                    let (wanted, by) = *bound.entry(name).or_insert((size, &self.name));
                    (wanted, format!(": `{name}` is {wanted} in `{by}`"))
                }
            };
            if size != wanted {
                let axes = show(axes);
                return Err(format!("has shape {shape:?}, axis {at} does not fit {axes}{why}"));
            }
        }
        Ok(())
    }
}

fn show(axes: &[Axis]) -> String {
    let axes: Vec<_> = axes.iter().map(Axis::to_string).collect();
    format!("[{}]", axes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        let axes = |names: &[&str]| Some(names.iter().map(|n| Axis::new(-1, n)).collect());
        Signature::new(
            "tract",
            vec![
                Input { name: "x".into(), dtype: DType::F32, axes: axes(&["batch", ""]) },
                Input { name: "ids".into(), dtype: DType::I64, axes: axes(&["batch"]) },
                Input {
                    name: "flag".into(),
                    dtype: DType::Bool,
                    axes: Some(vec![Axis::new(2, "")]),
                },
                Input { name: "any".into(), dtype: DType::F32, axes: None },
            ],
        )
    }

    fn feeds() -> Feeds {
        Feeds::from([
            ("x".into(), HostTensor::of(&[3, 1], vec![0_f32; 3])),
            ("ids".into(), HostTensor::of(&[3], vec![0_i64; 3])),
            ("flag".into(), HostTensor::of(&[2], vec![true; 2])),
            ("any".into(), HostTensor::of(&[], vec![0_f32])),
        ])
    }

    fn refused(change: impl FnOnce(&mut Feeds)) -> String {
        let mut feeds = feeds();
        change(&mut feeds);
        signature().arrange(&feeds).unwrap_err().to_string()
    }

    fn with(name: &'static str, tensor: HostTensor) -> impl FnOnce(&mut Feeds) {
        move |feeds| drop(feeds.insert(name.into(), tensor))
    }

    #[test]
    fn feeds_come_in_the_order_of_the_graph() {
        let (signature, feeds) = (signature(), feeds());
        let names: Vec<_> =
            signature.arrange(&feeds).unwrap().iter().map(|(i, _)| i.name.clone()).collect();
        assert_eq!(names, ["x", "ids", "flag", "any"]);
    }

    #[test]
    fn each_misfit_has_its_words() {
        let missing = refused(|feeds| drop(feeds.remove("ids")));
        assert_eq!(missing, "tract: input `ids` is missing");
        let unknown = refused(with("y", HostTensor::of(&[1], vec![0_f32])));
        assert_eq!(
            unknown,
            "tract: input `y` is not one of the graph's inputs: `x`, `ids`, `flag`, `any`"
        );
        let dtype = refused(with("ids", HostTensor::of(&[3], vec![0_f32; 3])));
        assert_eq!(dtype, "tract: input `ids` is f32, the graph takes i64");
        let rank = refused(with("x", HostTensor::of(&[3], vec![0_f32; 3])));
        assert_eq!(rank, "tract: input `x` has shape [3], the graph takes [batch,?]");
        let fixed = refused(with("flag", HostTensor::of(&[1], vec![true])));
        assert_eq!(fixed, "tract: input `flag` has shape [1], axis 0 does not fit [2]");
        let symbol = refused(with("ids", HostTensor::of(&[4], vec![0_i64; 4])));
        assert_eq!(
            symbol,
            "tract: input `ids` has shape [4], axis 0 does not fit [batch]: `batch` is 3 in `x`"
        );
    }
}
