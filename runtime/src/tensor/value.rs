//! Tensors wherever they lie.

use std::collections::BTreeMap;

use onr_device::{DeviceError, DeviceTensor};
use onr_graphs::DType;

use super::{Feeds, HostTensor};

/// A tensor in the host's memory or on a device. A clone shares its elements.
#[derive(Debug, Clone)]
pub enum Value {
    /// On the host.
    Host(HostTensor),
    /// Where an engine left it.
    Device(DeviceTensor),
}

/// Named tensors wherever they lie: the inputs of a run, or its outputs.
pub type Values = BTreeMap<String, Value>;

impl Value {
    /// The sizes of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Host(tensor) => tensor.shape(),
            Self::Device(tensor) => tensor.shape(),
        }
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self {
            Self::Host(tensor) => tensor.dtype(),
            Self::Device(tensor) => tensor.dtype(),
        }
    }

    /// Bytes that it takes up where it lies.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Host(tensor) => tensor.data().len() * tensor.dtype().size(),
            Self::Device(tensor) => tensor.size(),
        }
    }

    /// The same with `len` elements along an axis instead of fewer, where it lies; new ones are 0.
    ///
    /// # Errors
    /// [`DeviceError`] of the device.
    ///
    /// # Panics
    /// When there is no such axis, or it is longer already.
    pub fn widened(&self, axis: usize, len: usize) -> Result<Self, DeviceError> {
        match self {
            Self::Host(tensor) => {
                let all: Vec<usize> = (0..len).collect();
                assert!(tensor.shape()[axis] <= len, "axis {axis} cannot be cut to {len}");
                Ok(Self::Host(tensor.pick(axis, &all)))
            }
            Self::Device(tensor) => Ok(Self::Device(tensor.widened(axis, len)?)),
        }
    }

    /// The same values as `dtype`, see [`HostTensor::cast`]; on a device only what it is already.
    #[must_use]
    pub fn cast(&self, dtype: DType) -> Option<Self> {
        match self {
            Self::Host(tensor) => tensor.cast(dtype).map(Self::Host),
            Self::Device(tensor) => (tensor.dtype() == dtype).then(|| self.clone()),
        }
    }

    /// The tensor on the host: itself, or copied from the device.
    ///
    /// # Errors
    /// [`DeviceError::Driver`] when the copy fails.
    pub fn on_host(&self) -> Result<HostTensor, DeviceError> {
        match self {
            Self::Host(tensor) => Ok(tensor.clone()),
            Self::Device(tensor) => {
                let bytes = tensor.download()?;
                HostTensor::from_le_bytes(tensor.dtype(), tensor.shape(), &bytes).ok_or_else(|| {
                    let what = format!(
                        "{} bytes of {} in {:?}",
                        bytes.len(),
                        tensor.dtype(),
                        tensor.shape()
                    );
                    DeviceError::Driver { call: "download", what }
                })
            }
        }
    }
}

impl From<HostTensor> for Value {
    fn from(tensor: HostTensor) -> Self {
        Self::Host(tensor)
    }
}

/// All of them on the host.
///
/// # Errors
/// [`DeviceError::Driver`] when a copy fails.
pub fn on_host(values: &Values) -> Result<Feeds, DeviceError> {
    values.iter().map(|(name, value)| Ok((name.clone(), value.on_host()?))).collect()
}
