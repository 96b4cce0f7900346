//! A device that is memory of the process, for tests of everything above a driver.
//!
//! What is given to a stream waits until somebody waits for the stream, so whoever reads too early reads something
//! old. Each access is checked against what is allocated at that moment: a span beyond its allocation, memory that was
//! given back, an unknown stream are errors. What is still held in the end can be asked for. It says nothing about
//! CUDA.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Address, DeviceError, DeviceInfo, Driver, Handle, Memory};

/// Something that a stream does.
pub type Operation = Arc<dyn Fn(&mut HostMemory) -> Result<(), DeviceError> + Send + Sync>;

/// The driver. Clones are the same device.
#[derive(Clone)]
pub struct HostDriver {
    info: DeviceInfo,
    state: Arc<Mutex<State>>,
}

/// Memory of the device and pinned memory, one address space.
#[derive(Debug, Default)]
pub struct HostMemory {
    blocks: BTreeMap<Address, Vec<u8>>,
}

#[derive(Default)]
struct State {
    memory: HostMemory,
    used: u64,
    next: u64,
    pinned: BTreeMap<Address, usize>,
    streams: BTreeMap<Handle, Work>,
    recordings: BTreeMap<Handle, Vec<Operation>>,
    events: BTreeMap<Handle, Option<u64>>,
    clock: u64,
}

#[derive(Default)]
struct Work {
    waiting: Vec<Operation>,
    recording: Option<Vec<Operation>>,
}

fn failed(call: &'static str, what: impl Into<String>) -> DeviceError {
    DeviceError::Driver { call, what: what.into() }
}

impl HostMemory {
    fn block(&self, at: Address, bytes: usize) -> Result<(Address, usize), DeviceError> {
        let found = self.blocks.range(..=at).next_back();
        let inside = found.and_then(|(start, block)| {
            let offset = usize::try_from(at - start).ok()?;
            (offset + bytes <= block.len()).then_some((*start, offset))
        });
        inside.ok_or_else(|| {
            failed("access", format!("{bytes} bytes at {at:#x} are not in one allocation"))
        })
    }

    /// Bytes at an address.
    ///
    /// # Errors
    /// [`DeviceError::Driver`] unless they lie in one living allocation.
    pub fn read(&self, at: Address, bytes: usize) -> Result<&[u8], DeviceError> {
        let (start, offset) = self.block(at, bytes)?;
        Ok(&self.blocks[&start][offset..offset + bytes])
    }

    /// Bytes at an address, to be written.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&mut self, at: Address, bytes: usize) -> Result<&mut [u8], DeviceError> {
        let (start, offset) = self.block(at, bytes)?;
        let block =
            self.blocks.get_mut(&start).ok_or_else(|| failed("access", "no such allocation"))?;
        Ok(&mut block[offset..offset + bytes])
    }
}

impl fmt::Debug for HostDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostDriver").field("info", &self.info).finish_non_exhaustive()
    }
}

impl HostDriver {
    /// A device with `memory` bytes.
    #[must_use]
    pub fn new(memory: u64) -> Self {
        let info = DeviceInfo {
            ordinal: 0,
            name: "memory of this process".to_owned(),
            capability: 0,
            multiprocessors: 1,
            memory,
            driver: 0,
        };
        Self { info, state: Arc::default() }
    }

    /// Bytes of the device's memory that are not given back.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used
    }

    /// What nobody gave back: allocations of the device and of the host, streams, recordings, events.
    #[must_use]
    pub fn held(&self) -> [usize; 5] {
        let state = self.state();
        let device = state.memory.blocks.len() - state.pinned.len();
        [
            device,
            state.pinned.len(),
            state.streams.len(),
            state.recordings.len(),
            state.events.len(),
        ]
    }

    /// Gives an operation to a stream, as an engine does.
    ///
    /// # Errors
    /// [`DeviceError::Driver`] for an unknown stream.
    pub fn submit(&self, stream: Handle, operation: Operation) -> Result<(), DeviceError> {
        self.state().submit(stream, operation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn name(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Room for a block, with a gap behind it.
    fn place(&mut self, bytes: usize) -> Address {
        let at = (self.next + 1) << 12;
        self.next = (at + bytes as u64) >> 12;
        self.memory.blocks.insert(at, vec![0xA5; bytes]);
        at
    }

    fn stream(&mut self, stream: Handle) -> Result<&mut Work, DeviceError> {
        self.streams.get_mut(&stream).ok_or_else(|| failed("stream", "there is no such stream"))
    }

    fn submit(&mut self, stream: Handle, operation: Operation) -> Result<(), DeviceError> {
        let work = self.stream(stream)?;
        match &mut work.recording {
            Some(recorded) => recorded.push(operation),
            None => work.waiting.push(operation),
        }
        Ok(())
    }

    fn move_bytes(
        &mut self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError> {
        self.submit(
            stream,
            Arc::new(move |memory| {
                let moved = memory.read(from, bytes)?.to_vec();
                memory.write(to, bytes)?.copy_from_slice(&moved);
                Ok(())
            }),
        )
    }
}

#[expect(
    unsafe_code,
    reason = "the trait's calls are unsafe for drivers that trust them; this one checks everything"
)]
// SAFETY: addresses are of blocks that live until they are given back.
unsafe impl Driver for HostDriver {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn memory(&self) -> Result<Memory, DeviceError> {
        Ok(Memory { free: self.info.memory - self.used(), total: self.info.memory })
    }

    fn enter(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError> {
        let mut state = self.state();
        let (asked, total) = (bytes as u64, self.info.memory);
        let free = total - state.used;
        if asked > free {
            let device = self.info.name.clone();
            return Err(DeviceError::OutOfMemory { device, asked, free, total });
        }
        state.used += asked;
        Ok(state.place(bytes))
    }

    unsafe fn free(&self, at: Address) {
        let mut state = self.state();
        if let Some(block) = state.memory.blocks.remove(&at) {
            state.used -= block.len() as u64;
        }
    }

    fn pin(&self, bytes: usize) -> Result<Address, DeviceError> {
        let mut state = self.state();
        let at = state.place(bytes);
        state.pinned.insert(at, bytes);
        Ok(at)
    }

    unsafe fn unpin(&self, at: Address) {
        let mut state = self.state();
        state.pinned.remove(&at);
        state.memory.blocks.remove(&at);
    }

    unsafe fn write_pinned(&self, at: Address, bytes: &[u8]) {
        if let Ok(to) = self.state().memory.write(at, bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    unsafe fn read_pinned(&self, at: Address, bytes: &mut [u8]) {
        if let Ok(from) = self.state().memory.read(at, bytes.len()) {
            bytes.copy_from_slice(from);
        }
    }

    fn stream(&self) -> Result<Handle, DeviceError> {
        let mut state = self.state();
        let handle = state.name();
        state.streams.insert(handle, Work::default());
        Ok(handle)
    }

    unsafe fn end_stream(&self, stream: Handle) {
        self.state().streams.remove(&stream);
    }

    unsafe fn synchronize(&self, stream: Handle) -> Result<(), DeviceError> {
        let mut state = self.state();
        let work = state.stream(stream)?;
        if work.recording.is_some() {
            return Err(failed("synchronize", "the stream is being recorded"));
        }
        let waiting = std::mem::take(&mut work.waiting);
        state.clock += 1;
        waiting.iter().try_for_each(|operation| operation(&mut state.memory))
    }

    unsafe fn upload(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError> {
        self.state().move_bytes(from, to, bytes, stream)
    }

    unsafe fn download(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError> {
        self.state().move_bytes(from, to, bytes, stream)
    }

    unsafe fn copy(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError> {
        self.state().move_bytes(from, to, bytes, stream)
    }

    unsafe fn clear(&self, at: Address, bytes: usize, stream: Handle) -> Result<(), DeviceError> {
        let clear = move |memory: &mut HostMemory| {
            memory.write(at, bytes)?.fill(0);
            Ok(())
        };
        self.submit(stream, Arc::new(clear))
    }

    unsafe fn record(&self, stream: Handle) -> Result<(), DeviceError> {
        self.state().stream(stream)?.recording = Some(Vec::new());
        Ok(())
    }

    unsafe fn recorded(&self, stream: Handle) -> Result<Handle, DeviceError> {
        let mut state = self.state();
        let operations = state.stream(stream)?.recording.take();
        let operations =
            operations.ok_or_else(|| failed("recorded", "nothing was being recorded"))?;
        let handle = state.name();
        state.recordings.insert(handle, operations);
        Ok(handle)
    }

    unsafe fn launch(&self, recording: Handle, stream: Handle) -> Result<(), DeviceError> {
        let mut state = self.state();
        let unknown = || failed("launch", "there is no such recording");
        let operations = state.recordings.get(&recording).cloned().ok_or_else(unknown)?;
        operations.into_iter().try_for_each(|operation| state.submit(stream, operation))
    }

    unsafe fn forget(&self, recording: Handle) {
        self.state().recordings.remove(&recording);
    }

    fn event(&self) -> Result<Handle, DeviceError> {
        let mut state = self.state();
        let handle = state.name();
        state.events.insert(handle, None);
        Ok(handle)
    }

    unsafe fn end_event(&self, event: Handle) {
        self.state().events.remove(&event);
    }

    unsafe fn mark(&self, event: Handle, stream: Handle) -> Result<(), DeviceError> {
        let mut state = self.state();
        state.stream(stream)?;
        let now = state.clock;
        state.events.insert(event, Some(now));
        Ok(())
    }

    unsafe fn elapsed(&self, from: Handle, to: Handle) -> Result<f32, DeviceError> {
        let state = self.state();
        let at = |event| state.events.get(&event).copied().flatten();
        match (at(from), at(to)) {
            (Some(from), Some(to)) => Ok(to.saturating_sub(from) as f32),
            _ => Err(failed("elapsed", "an event was not marked")),
        }
    }
}
