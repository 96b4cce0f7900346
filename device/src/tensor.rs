//! Tensors that stay on the device.

use std::sync::Arc;

use onr_graphs::DType;

use crate::{Buffer, Device, DeviceError};

/// A dense row-major tensor on a device. Its elements never change, so a clone shares them.
#[derive(Debug, Clone)]
pub struct DeviceTensor {
    shape: Vec<usize>,
    dtype: DType,
    buffer: Arc<Buffer>,
}

impl DeviceTensor {
    /// A tensor in a buffer that holds it whole.
    ///
    /// # Panics
    /// When the buffer is too small.
    pub(crate) fn new(shape: Vec<usize>, dtype: DType, buffer: Buffer) -> Self {
        let needed = bytes(&shape, dtype);
        assert!(needed <= buffer.bytes(), "{needed} bytes in a buffer of {}", buffer.bytes());
        Self { shape, dtype, buffer: Arc::new(buffer) }
    }

    /// The sizes of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes of the elements.
    #[must_use]
    pub fn bytes(&self) -> usize {
        bytes(&self.shape, self.dtype)
    }

    /// Bytes that it takes up on the device.
    #[must_use]
    pub fn size(&self) -> usize {
        self.buffer.size()
    }

    /// Where it lies.
    #[must_use]
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The device that it lies on.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.buffer.device()
    }

    /// The elements on the host, little-endian.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub fn download(&self) -> Result<Vec<u8>, DeviceError> {
        let (device, bytes) = (self.device(), self.bytes());
        let mut pinned = device.pinned(bytes)?;
        let stream = device.stream()?;
        stream.download(&self.buffer, &mut pinned, 0, bytes)?;
        stream.synchronize()?;
        let mut out = vec![0; bytes];
        pinned.read(0, &mut out);
        Ok(out)
    }

    /// The same with `len` elements along an axis instead of fewer; new ones are 0.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`], [`DeviceError::Driver`].
    ///
    /// # Panics
    /// When there is no such axis, or it is longer already.
    pub fn widened(&self, axis: usize, len: usize) -> Result<Self, DeviceError> {
        let mut shape = self.shape.clone();
        assert!(shape[axis] <= len, "axis {axis} of {shape:?} cannot be cut to {len}");
        shape[axis] = len;
        let row = |shape: &[usize]| bytes(&shape[axis..], self.dtype);
        let (old, new) = (row(&self.shape), row(&shape));
        let buffer = self.device().buffer(bytes(&shape, self.dtype))?;
        let stream = self.device().stream()?;
        stream.clear(&buffer)?;
        for number in 0..shape[..axis].iter().product() {
            stream.copy((&self.buffer, number * old), (&buffer, number * new), old)?;
        }
        stream.synchronize()?;
        Ok(Self::new(shape, self.dtype, buffer))
    }

    /// A tensor of little-endian elements, copied to the device.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`], [`DeviceError::Driver`].
    ///
    /// # Panics
    /// When there are not as many bytes as the shape says.
    pub fn upload(
        device: &Device,
        shape: &[usize],
        dtype: DType,
        elements: &[u8],
    ) -> Result<Self, DeviceError> {
        assert_eq!(bytes(shape, dtype), elements.len(), "shape {shape:?} of {dtype}");
        let buffer = device.buffer(elements.len())?;
        let mut pinned = device.pinned(elements.len())?;
        pinned.write(0, elements);
        let stream = device.stream()?;
        stream.upload(&pinned, 0, &buffer, elements.len())?;
        stream.synchronize()?;
        Ok(Self::new(shape.to_vec(), dtype, buffer))
    }
}

/// Bytes of a tensor.
pub(crate) fn bytes(shape: &[usize], dtype: DType) -> usize {
    shape.iter().product::<usize>() * dtype.size()
}
