//! What goes into a run, and whether it fits the engine.

use std::{borrow::Cow, collections::BTreeMap};

use onr_graphs::DType;

use crate::{Binding, DeviceError, DeviceTensor, tensor::bytes};

/// An input of a run.
#[derive(Debug, Clone)]
pub enum Feed<'a> {
    /// Elements on the host, little-endian.
    Host {
        /// The sizes of the axes.
        shape: &'a [usize],
        /// The element type.
        dtype: DType,
        /// The elements.
        bytes: Cow<'a, [u8]>,
    },
    /// A tensor on the device: read where it lies.
    Device(&'a DeviceTensor),
}

impl Feed<'_> {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Host { shape, .. } => shape,
            Self::Device(tensor) => tensor.shape(),
        }
    }

    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::Host { dtype, .. } => *dtype,
            Self::Device(tensor) => tensor.dtype(),
        }
    }
}

/// Are these the inputs of the engine, by name, type and fixed sizes?
pub(super) fn check(
    bindings: &[Binding],
    feeds: &BTreeMap<&str, Feed<'_>>,
) -> Result<(), DeviceError> {
    let refuse =
        |input: &str, reason: String| Err(DeviceError::Input { input: input.to_owned(), reason });
    let inputs = || bindings.iter().filter(|b| b.input);
    for binding in inputs() {
        let Some(feed) = feeds.get(binding.name.as_str()) else {
            return refuse(&binding.name, "is missing".into());
        };
        if feed.dtype() != binding.dtype {
            return refuse(
                &binding.name,
                format!("is {}, the plan takes {}", feed.dtype(), binding.dtype),
            );
        }
        let fits = |(axis, size): (&Option<usize>, &usize)| axis.is_none_or(|fixed| fixed == *size);
        let shape = feed.shape();
        if shape.len() != binding.shape.len() || !binding.shape.iter().zip(shape).all(fits) {
            let axis = |a: &Option<usize>| a.map_or_else(|| "?".to_owned(), |n| n.to_string());
            let axes: Vec<_> = binding.shape.iter().map(axis).collect();
            return refuse(
                &binding.name,
                format!("has shape {shape:?}, the plan takes [{}]", axes.join(",")),
            );
        }
        if let Feed::Host { bytes: elements, dtype, .. } = feed
            && elements.len() != bytes(shape, *dtype)
        {
            return refuse(
                &binding.name,
                format!("has {} bytes for shape {shape:?}", elements.len()),
            );
        }
    }
    match feeds.keys().find(|name| !inputs().any(|b| b.name == **name)) {
        Some(name) => refuse(name, "is not one of the plan's inputs".into()),
        None => Ok(()),
    }
}
