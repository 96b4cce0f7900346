//! The seam to CUDA's driver.
#![expect(
    unsafe_code,
    reason = "numbers are taken on trust here; what makes them trustworthy is above"
)]

use std::fmt;

use crate::DeviceError;

/// An address in a device's memory, or in pinned memory of the host.
pub type Address = u64;

/// What a driver calls a stream, an event or a recorded launch.
pub type Handle = u64;

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// Its number among those that the driver shows.
    pub ordinal: usize,
    /// As the driver calls it: `NVIDIA H200`.
    pub name: String,
    /// Compute capability, 90 for 9.0.
    pub capability: u32,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Version of CUDA that the driver knows: 12080 for 12.8.
    pub driver: u32,
}

impl DeviceInfo {
    /// `sm90`.
    #[must_use]
    pub fn target(&self) -> String {
        format!("sm{}", self.capability)
    }
}

/// A device's memory at a moment, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Not in use by any process.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// What we use of CUDA's driver: plain calls on plain numbers. [`Device`](crate::Device) makes owned things of them.
///
/// # Safety
/// The unsafe calls take numbers on trust, as CUDA does: addresses and handles come from the same driver and are not
/// yet given back, spans lie inside one allocation, and memory lives until the stream has come past the call. An
/// implementor may rely on that, and returns addresses that satisfy it.
pub unsafe trait Driver: Send + Sync + fmt::Debug {
    /// The device.
    fn info(&self) -> &DeviceInfo;

    /// Free and total memory now.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    fn memory(&self) -> Result<Memory, DeviceError>;

    /// Makes the device the current one of this thread, for libraries that ask CUDA themselves.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    fn enter(&self) -> Result<(), DeviceError>;

    /// Memory of `bytes > 0` on the device.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`], [`DeviceError::Driver`].
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError>;

    /// Gives memory of [`allocate`](Self::allocate) back.
    ///
    /// # Safety
    /// That of the trait; nothing under way uses it.
    unsafe fn free(&self, at: Address);

    /// Host memory of `bytes > 0` that a device reads and writes at full speed.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    fn pin(&self, bytes: usize) -> Result<Address, DeviceError>;

    /// Gives memory of [`pin`](Self::pin) back.
    ///
    /// # Safety
    /// That of the trait; nothing under way uses it.
    unsafe fn unpin(&self, at: Address);

    /// Writes pinned memory from the host.
    ///
    /// # Safety
    /// That of the trait; nothing under way reads it.
    unsafe fn write_pinned(&self, at: Address, bytes: &[u8]);

    /// Reads pinned memory on the host.
    ///
    /// # Safety
    /// That of the trait; nothing under way writes it.
    unsafe fn read_pinned(&self, at: Address, bytes: &mut [u8]);

    /// A stream: what is given to it happens in order.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    fn stream(&self) -> Result<Handle, DeviceError>;

    /// Gives a stream back.
    ///
    /// # Safety
    /// That of the trait; nothing is under way in it.
    unsafe fn end_stream(&self, stream: Handle);

    /// Waits until all that was given to the stream is done.
    ///
    /// # Errors
    /// What failed on the device meanwhile.
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn synchronize(&self, stream: Handle) -> Result<(), DeviceError>;

    /// Copies pinned memory to the device.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn upload(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError>;

    /// Copies from the device to pinned memory.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn download(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError>;

    /// Copies within the device.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn copy(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError>;

    /// Fills memory of the device with zeros.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn clear(&self, at: Address, bytes: usize, stream: Handle) -> Result<(), DeviceError>;

    /// Begins to record what is given to the stream instead of doing it.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn record(&self, stream: Handle) -> Result<(), DeviceError>;

    /// Ends a recording. What was recorded can be launched as often as its memory lives.
    ///
    /// # Errors
    /// [`DeviceError::Driver`] when something in between cannot be recorded; the stream works on.
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn recorded(&self, stream: Handle) -> Result<Handle, DeviceError>;

    /// Gives a recording to a stream.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn launch(&self, recording: Handle, stream: Handle) -> Result<(), DeviceError>;

    /// Gives a recording back.
    ///
    /// # Safety
    /// That of the trait; it is not under way.
    unsafe fn forget(&self, recording: Handle);

    /// An event, which marks a moment of a stream.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    fn event(&self) -> Result<Handle, DeviceError>;

    /// Gives an event back.
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn end_event(&self, event: Handle);

    /// Marks this moment of a stream.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn mark(&self, event: Handle, stream: Handle) -> Result<(), DeviceError>;

    /// Milliseconds of the device's clock between two moments that have passed.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn elapsed(&self, from: Handle, to: Handle) -> Result<f32, DeviceError>;
}
