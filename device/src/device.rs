//! What a driver gives, owned: it goes back when it is dropped.
//!
//! One rule makes the calls below safe. Whoever gives work to a [`Stream`] waits for it before the buffers that the
//! work uses are dropped or filled again; [`Runner`](crate::Runner) does, at the end of every run.
#![expect(
    unsafe_code,
    reason = "the one place that calls the driver: numbers become owned things here"
)]

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Address, DeviceError, DeviceInfo, Driver, Handle, Memory,
    pool::{Idle, size_class},
};

/// A device with its memory. Clones share both.
#[derive(Debug, Clone)]
pub struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    driver: Box<dyn Driver>,
    idle: Mutex<Idle>,
    most_idle: usize,
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives idle memory back to the driver; says whether there was any.
    fn trim(&self) -> bool {
        let idle = self.idle().drain();
        for at in &idle {
            // SAFETY: idle memory came from `allocate`, and nothing uses it.
            unsafe { self.driver.free(*at) };
        }
        !idle.is_empty()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.trim();
    }
}

impl Device {
    /// Memory that may lie idle for the next run, in bytes, unless said otherwise.
    pub const IDLE: usize = 1 << 30;

    /// A device on a driver; at most `most_idle` bytes of memory are kept for later use.
    #[must_use]
    pub fn new(driver: impl Driver + 'static, most_idle: usize) -> Self {
        Self(Arc::new(Inner { driver: Box::new(driver), idle: Mutex::default(), most_idle }))
    }

    /// What it is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        self.0.driver.info()
    }

    /// Free and total memory as the driver sees it; idle buffers of ours are not free.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub fn memory(&self) -> Result<Memory, DeviceError> {
        self.0.driver.memory()
    }

    /// Bytes of ours that lie idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.0.idle().bytes()
    }

    /// Gives idle memory back to the driver.
    pub fn trim(&self) {
        self.0.trim();
    }

    /// Makes it the current device of this thread, for libraries that ask CUDA themselves.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub fn enter(&self) -> Result<(), DeviceError> {
        self.0.driver.enter()
    }

    /// Memory for `bytes`, not cleared. When the device is full, what lies idle is given back first.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`], [`DeviceError::Driver`].
    pub fn buffer(&self, bytes: usize) -> Result<Buffer, DeviceError> {
        let size = size_class(bytes);
        let kept = self.0.idle().take(size);
        let address = match kept {
            Some(at) => at,
            None => match self.0.driver.allocate(size) {
                Err(DeviceError::OutOfMemory { .. }) if self.0.trim() => {
                    self.0.driver.allocate(size)?
                }
                other => other?,
            },
        };
        Ok(Buffer { device: self.clone(), address, bytes, size })
    }

    /// Pinned memory of the host, not cleared.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub fn pinned(&self, bytes: usize) -> Result<Pinned, DeviceError> {
        let address = self.0.driver.pin(bytes.max(1))?;
        Ok(Pinned { device: self.clone(), address, bytes })
    }

    /// A stream of its own.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub fn stream(&self) -> Result<Stream, DeviceError> {
        Ok(Stream { handle: self.0.driver.stream()?, device: self.clone() })
    }

    /// An event.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub fn event(&self) -> Result<Event, DeviceError> {
        Ok(Event { handle: self.0.driver.event()?, device: self.clone() })
    }

    fn driver(&self) -> &dyn Driver {
        self.0.driver.as_ref()
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Memory on the device.
#[derive(Debug)]
pub struct Buffer {
    device: Device,
    address: Address,
    bytes: usize,
    size: usize,
}

impl Buffer {
    /// Its first byte.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Bytes asked for.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that it takes up.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The device that it lies on.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let inner = &self.device.0;
        let surplus = inner.idle().put(self.address, self.size, inner.most_idle);
        if let Some(at) = surplus {
            // SAFETY: it came from `allocate`; nothing uses it any more, by the rule of this module.
            unsafe { inner.driver.free(at) };
        }
    }
}

/// Memory of the host that a device reads and writes at full speed.
#[derive(Debug)]
pub struct Pinned {
    device: Device,
    address: Address,
    bytes: usize,
}

impl Pinned {
    /// Its size.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.span(offset, bytes.len());
        // SAFETY: the span is inside; `&mut` and the rule of this module: nothing reads it.
        unsafe { self.device.driver().write_pinned(self.address + offset as u64, bytes) }
    }

    /// Reads from `offset` on.
    ///
    /// # Panics
    /// When there is not as much.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.span(offset, bytes.len());
        // SAFETY: the span is inside; by the rule of this module nothing writes it.
        unsafe { self.device.driver().read_pinned(self.address + offset as u64, bytes) }
    }

    fn span(&self, offset: usize, bytes: usize) -> Range<usize> {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.bytes);
        offset
            ..end
                .unwrap_or_else(|| panic!("{offset} + {bytes} bytes of {} pinned ones", self.bytes))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: it came from `pin`; nothing uses it any more, by the rule of this module.
        unsafe { self.device.driver().unpin(self.address) }
    }
}

/// Work in order.
#[derive(Debug)]
pub struct Stream {
    device: Device,
    handle: Handle,
}

impl Stream {
    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// For an engine.
    #[must_use]
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Waits until everything is done.
    ///
    /// # Errors
    /// What failed on the device meanwhile.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        // SAFETY: the stream lives.
        unsafe { self.device.driver().synchronize(self.handle) }
    }

    /// Copies `bytes` from `offset` of pinned memory to the beginning of a buffer.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Panics
    /// When they do not fit, or the memory is of another device.
    pub fn upload(
        &self,
        from: &Pinned,
        offset: usize,
        to: &Buffer,
        bytes: usize,
    ) -> Result<(), DeviceError> {
        from.span(offset, bytes);
        self.fits(to, bytes);
        let from = from.address + offset as u64;
        // SAFETY: both spans are inside memory that lives, by the rule of this module until the copy is done.
        unsafe { self.device.driver().upload(from, to.address, bytes, self.handle) }
    }

    /// Copies the beginning of a buffer to `offset` of pinned memory.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Panics
    /// When it does not fit, or the memory is of another device.
    pub fn download(
        &self,
        from: &Buffer,
        to: &mut Pinned,
        offset: usize,
        bytes: usize,
    ) -> Result<(), DeviceError> {
        to.span(offset, bytes);
        self.fits(from, bytes);
        let to = to.address + offset as u64;
        // SAFETY: as for `upload`.
        unsafe { self.device.driver().download(from.address, to, bytes, self.handle) }
    }

    /// Copies `bytes` from an offset of one buffer to an offset of another.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Panics
    /// When they do not fit, or the memory is of another device.
    pub fn copy(
        &self,
        (from, from_offset): (&Buffer, usize),
        (to, to_offset): (&Buffer, usize),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        self.fits(from, from_offset + bytes);
        self.fits(to, to_offset + bytes);
        let (from, to) = (from.address + from_offset as u64, to.address + to_offset as u64);
        // SAFETY: as for `upload`.
        unsafe { self.device.driver().copy(from, to, bytes, self.handle) }
    }

    /// Fills a buffer with zeros.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    ///
    /// # Panics
    /// When it is of another device.
    pub fn clear(&self, buffer: &Buffer) -> Result<(), DeviceError> {
        self.fits(buffer, 0);
        // SAFETY: as for `upload`.
        unsafe { self.device.driver().clear(buffer.address, buffer.bytes, self.handle) }
    }

    /// Records what `work` gives to this stream, as one thing that can be launched again and again.
    ///
    /// # Errors
    /// Those of `work`, and [`DeviceError::Driver`] when something in it cannot be recorded.
    pub fn record(
        &self,
        work: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<Launch, DeviceError> {
        let driver = self.device.driver();
        // SAFETY: the stream lives; every `record` is followed by `recorded`.
        unsafe { driver.record(self.handle)? };
        let done = work();
        // SAFETY: as above.
        let handle = unsafe { driver.recorded(self.handle) };
        let launch = handle.map(|handle| Launch { device: self.device.clone(), handle });
        done.and(launch)
    }

    /// Gives a recording to this stream. What it uses must still be there: see [`Launch`].
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub(crate) fn launch(&self, recording: &Launch) -> Result<(), DeviceError> {
        // SAFETY: the recording lives; its memory does as well, because the runner keys recordings by addresses of
        // buffers that it holds while it launches.
        unsafe { self.device.driver().launch(recording.handle, self.handle) }
    }

    /// Marks this moment.
    ///
    /// # Errors
    /// [`DeviceError::Driver`].
    pub fn mark(&self, event: &Event) -> Result<(), DeviceError> {
        // SAFETY: both live.
        unsafe { self.device.driver().mark(event.handle, self.handle) }
    }

    fn fits(&self, buffer: &Buffer, bytes: usize) {
        assert!(bytes <= buffer.bytes, "{bytes} bytes of a buffer of {}", buffer.bytes);
        assert!(buffer.device.is(&self.device), "the buffer lies on another device");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream lives until here, and is empty after the wait.
        unsafe {
            let _ = self.device.driver().synchronize(self.handle);
            self.device.driver().end_stream(self.handle);
        }
    }
}

/// Work that was recorded. It holds addresses, not memory: whoever launches it keeps the buffers.
#[derive(Debug)]
pub struct Launch {
    device: Device,
    handle: Handle,
}

impl Drop for Launch {
    fn drop(&mut self) {
        // SAFETY: it lives until here; runs that used it have been waited for.
        unsafe { self.device.driver().forget(self.handle) }
    }
}

/// A moment of a stream.
#[derive(Debug)]
pub struct Event {
    device: Device,
    handle: Handle,
}

impl Event {
    /// Milliseconds of the device's clock since an earlier moment. Both must have passed: wait for the stream first.
    ///
    /// # Errors
    /// [`DeviceError::Driver`] when one has not passed, or was never marked.
    pub fn since(&self, earlier: &Self) -> Result<f32, DeviceError> {
        // SAFETY: both live.
        unsafe { self.device.driver().elapsed(earlier.handle, self.handle) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it lives until here.
        unsafe { self.device.driver().end_event(self.handle) }
    }
}
