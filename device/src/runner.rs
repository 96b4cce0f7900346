//! One context with its stream: what a run needs beside the engine.

mod feed;
mod trusted;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use onr_graphs::DType;

pub use self::feed::Feed;
use self::{
    feed::check,
    trusted::{bind, choose_profile, enqueue},
};
use crate::{
    Address, Binding, Buffer, Context, Device, DeviceError, DeviceTensor, Engine, Launch, Pinned,
    Ranges, Stream, choose, tensor::bytes,
};

/// Pinned memory and device buffers begin at multiples of this many bytes.
const ALIGN: usize = 256;

/// An output of a run, and where it was wanted.
#[derive(Debug, Clone)]
pub enum Keep {
    /// On the host: shape, type, elements in little-endian.
    Host(Vec<usize>, DType, Vec<u8>),
    /// On the device, in memory of its own.
    Device(DeviceTensor),
}

/// How a [`Runner`] works.
#[derive(Debug, Clone, Default)]
pub struct RunnerOptions {
    /// The engine's profiles, in its order: what each input may be.
    pub profiles: Vec<Ranges>,
    /// Most runs that are kept as recordings. Each costs a context of the engine with its scratch memory, because a
    /// recording is only valid as long as its context keeps its shapes. 0: none.
    pub recordings: usize,
}

/// What a [`Runner`] did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Runs that came to their end.
    pub runs: u64,
    /// Of these, launches of a recording.
    pub launches: u64,
    /// Recordings made.
    pub recordings: u64,
    /// Bytes copied to the device.
    pub uploaded: u64,
    /// Bytes copied from the device.
    pub downloaded: u64,
}

/// What must be equal for a recording to be used again: the profile, and shape and address of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    profile: usize,
    tensors: Vec<(Vec<usize>, Address)>,
}

struct Recording {
    key: Key,
    launch: Launch,
    /// Keeps its shapes and its scratch memory.
    _context: Box<dyn Context>,
}

/// Runs an engine: checks inputs, chooses the profile, moves what has to be moved, and waits. When a run returns,
/// nothing of it is under way.
pub struct Runner {
    // Dropped in this order: recordings before contexts, all before the stream.
    recordings: VecDeque<Recording>,
    context: Box<dyn Context>,
    engine: Arc<dyn Engine>,
    options: RunnerOptions,
    current: Option<(usize, BTreeMap<String, Vec<usize>>)>,
    /// Keys of late runs that were not recorded.
    seen: VecDeque<Key>,
    /// Device memory for what comes from the host or goes there, by tensor: addresses stay, so runs repeat.
    own: BTreeMap<String, Buffer>,
    staging: Option<Pinned>,
    stream: Arc<Stream>,
    counters: Counters,
}

/// Waits for a stream, whatever happens in between.
struct Waiting(Option<Arc<Stream>>);

impl Waiting {
    /// Waits now, and says what failed on the device.
    fn wait(mut self) -> Result<(), DeviceError> {
        self.0.take().map_or(Ok(()), |stream| stream.synchronize())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // The run has failed already, and that error is the one to tell.
        if let Some(stream) = &self.0 {
            let _ = stream.synchronize();
        }
    }
}

/// An output of the run under way.
struct Pending {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    /// Memory of its own, if it stays.
    kept: Option<Buffer>,
}

impl Runner {
    /// A context of `engine` with a stream of its own on `device`.
    ///
    /// # Errors
    /// [`DeviceError`] of either.
    pub fn new(
        device: &Device,
        engine: Arc<dyn Engine>,
        options: RunnerOptions,
    ) -> Result<Self, DeviceError> {
        device.enter()?;
        let found = engine.profiles();
        if !options.profiles.is_empty() && options.profiles.len() != found {
            let reason =
                format!("{} profiles were expected, it has {found}", options.profiles.len());
            return Err(DeviceError::Plan { reason });
        }
        Ok(Self {
            recordings: VecDeque::new(),
            context: engine.context()?,
            engine,
            options,
            current: None,
            seen: VecDeque::new(),
            own: BTreeMap::new(),
            staging: None,
            stream: Arc::new(device.stream()?),
            counters: Counters::default(),
        })
    }

    /// Inputs and outputs.
    #[must_use]
    pub fn bindings(&self) -> &[Binding] {
        self.engine.bindings()
    }

    /// What it did so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Runs once. `stays` says of each output whether it stays on the device.
    ///
    /// # Errors
    /// [`DeviceError::Input`] before anything happened; else what failed.
    pub fn run(
        &mut self,
        feeds: &BTreeMap<&str, Feed<'_>>,
        stays: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Keep>, DeviceError> {
        check(self.engine.bindings(), feeds)?;
        let shapes = feeds.iter().map(|(name, feed)| (*name, feed.shape())).collect();
        let profile = choose(&self.options.profiles, &shapes)?;
        self.stream.device().enter()?;
        self.shape(profile, feeds)?;
        let mut pending = self.pending(stays)?;
        self.make_room(feeds, &pending)?;
        let addresses = self.addresses(feeds, &pending);
        let key = Key {
            profile,
            tensors: addresses.iter().map(|(_, shape, at)| (shape.clone(), *at)).collect(),
        };
        let waiting = Waiting(Some(Arc::clone(&self.stream)));
        self.upload(feeds)?;
        self.go(&key, &addresses)?;
        let places = self.download(&pending)?;
        waiting.wait()?;
        self.counters.runs += 1;
        Ok(pending
            .drain(..)
            .zip(places)
            .map(|(output, place)| self.finish(output, place))
            .collect())
    }

    /// Tells the context the profile and the shapes, where they changed.
    fn shape(
        &mut self,
        profile: usize,
        feeds: &BTreeMap<&str, Feed<'_>>,
    ) -> Result<(), DeviceError> {
        let same_profile = self.current.as_ref().is_some_and(|(p, _)| *p == profile);
        let mut known =
            self.current.take().filter(|_| same_profile).map(|(_, s)| s).unwrap_or_default();
        if !same_profile {
            choose_profile(self.context.as_mut(), profile, &self.stream)?;
        }
        for (name, feed) in feeds {
            if known.get(*name).is_none_or(|shape| shape != feed.shape()) {
                self.context.resize(name, feed.shape())?;
                known.insert((*name).to_owned(), feed.shape().to_vec());
            }
        }
        self.current = Some((profile, known));
        Ok(())
    }

    fn pending(&self, stays: &dyn Fn(&str) -> bool) -> Result<Vec<Pending>, DeviceError> {
        let outputs = self.engine.bindings().iter().filter(|b| !b.input);
        outputs
            .map(|b| {
                let shape = self.context.output(&b.name)?;
                let size = bytes(&shape, b.dtype);
                let kept = stays(&b.name).then(|| self.stream.device().buffer(size)).transpose()?;
                Ok(Pending { name: b.name.clone(), shape, dtype: b.dtype, kept })
            })
            .collect()
    }

    /// Device memory for what moves, and pinned memory for the larger direction.
    fn make_room(
        &mut self,
        feeds: &BTreeMap<&str, Feed<'_>>,
        pending: &[Pending],
    ) -> Result<(), DeviceError> {
        let device = self.stream.device().clone();
        let mut up = 0;
        for (name, feed) in feeds {
            if let Feed::Host { bytes, .. } = feed {
                grow(&mut self.own, &device, name, bytes.len())?;
                up += bytes.len().next_multiple_of(ALIGN);
            }
        }
        let mut down = 0;
        for output in pending.iter().filter(|p| p.kept.is_none()) {
            let size = bytes(&output.shape, output.dtype);
            grow(&mut self.own, &device, &output.name, size)?;
            down += size.next_multiple_of(ALIGN);
        }
        // One after the other uses it: what went up has arrived before anything comes down.
        let wanted = up.max(down);
        if self.staging.as_ref().is_none_or(|pinned| pinned.bytes() < wanted) {
            self.staging = None;
            self.staging = Some(device.pinned(wanted.next_power_of_two())?);
        }
        Ok(())
    }

    /// Where everything lies, in the order of the bindings.
    fn addresses(
        &self,
        feeds: &BTreeMap<&str, Feed<'_>>,
        pending: &[Pending],
    ) -> Vec<(String, Vec<usize>, Address)> {
        let own = |name: &str| self.own.get(name).map_or(0, Buffer::address);
        let input = |(name, feed): (&&str, &Feed<'_>)| {
            let at = match feed {
                Feed::Host { .. } => own(name),
                Feed::Device(tensor) => tensor.buffer().address(),
            };
            ((*name).to_owned(), feed.shape().to_vec(), at)
        };
        let output = |p: &Pending| {
            let at = p.kept.as_ref().map_or_else(|| own(&p.name), Buffer::address);
            (p.name.clone(), p.shape.clone(), at)
        };
        feeds.iter().map(input).chain(pending.iter().map(output)).collect()
    }

    /// Gives the run to the stream: as a recording where the same run was seen before.
    fn go(
        &mut self,
        key: &Key,
        addresses: &[(String, Vec<usize>, Address)],
    ) -> Result<(), DeviceError> {
        if let Some(at) = self.recordings.iter().position(|r| r.key == *key) {
            self.counters.launches += 1;
            let Some(recording) = self.recordings.remove(at) else { return Ok(()) };
            let launched = self.stream.launch(&recording.launch);
            self.recordings.push_back(recording);
            return launched;
        }
        bind(self.context.as_mut(), addresses)?;
        enqueue(self.context.as_mut(), &self.stream)?;
        if self.options.recordings == 0 {
            return Ok(());
        }
        if let Some(at) = self.seen.iter().position(|seen| seen == key) {
            self.seen.remove(at);
            self.stream.synchronize()?;
            return self.record(key, addresses);
        }
        if self.seen.len() == 4 * self.options.recordings {
            self.seen.pop_front();
        }
        self.seen.push_back(key.clone());
        Ok(())
    }

    /// Records this run for later ones, in a context of its own. What cannot be recorded runs unrecorded.
    fn record(
        &mut self,
        key: &Key,
        addresses: &[(String, Vec<usize>, Address)],
    ) -> Result<(), DeviceError> {
        if self.recordings.len() == self.options.recordings {
            self.recordings.pop_front();
        }
        let mut context = self.engine.context()?;
        choose_profile(context.as_mut(), key.profile, &self.stream)?;
        for binding in self.engine.bindings().iter().filter(|b| b.input) {
            if let Some((_, shape, _)) = addresses.iter().find(|(name, ..)| *name == binding.name) {
                context.resize(&binding.name, shape)?;
            }
        }
        bind(context.as_mut(), addresses)?;
        // What a library does only in the first run of a shape does not belong into the recording.
        enqueue(context.as_mut(), &self.stream)?;
        self.stream.synchronize()?;
        if let Ok(launch) = self.stream.record(|| enqueue(context.as_mut(), &self.stream)) {
            self.counters.recordings += 1;
            self.recordings.push_back(Recording { key: key.clone(), launch, _context: context });
        }
        Ok(())
    }

    /// Copies what comes from the host.
    fn upload(&mut self, feeds: &BTreeMap<&str, Feed<'_>>) -> Result<(), DeviceError> {
        let Some(pinned) = &mut self.staging else { return Ok(()) };
        let mut at = 0;
        for (name, feed) in feeds {
            if let (Feed::Host { bytes, .. }, Some(to)) = (feed, self.own.get(*name)) {
                pinned.write(at, bytes);
                self.stream.upload(pinned, at, to, bytes.len())?;
                self.counters.uploaded += bytes.len() as u64;
                at += bytes.len().next_multiple_of(ALIGN);
            }
        }
        Ok(())
    }

    /// Copies what goes to the host; gives where it will be in pinned memory.
    fn download(&mut self, pending: &[Pending]) -> Result<Vec<usize>, DeviceError> {
        let mut at = 0;
        let mut places = Vec::with_capacity(pending.len());
        for output in pending {
            places.push(at);
            if output.kept.is_some() {
                continue;
            }
            let size = bytes(&output.shape, output.dtype);
            if let (Some(from), Some(pinned)) = (self.own.get(&output.name), self.staging.as_mut())
            {
                self.stream.download(from, pinned, at, size)?;
            }
            self.counters.downloaded += size as u64;
            at += size.next_multiple_of(ALIGN);
        }
        Ok(places)
    }

    fn finish(&self, output: Pending, place: usize) -> (String, Keep) {
        let Pending { name, shape, dtype, kept } = output;
        let value = match kept {
            Some(buffer) => Keep::Device(DeviceTensor::new(shape, dtype, buffer)),
            None => {
                let mut elements = vec![0; bytes(&shape, dtype)];
                if let Some(pinned) = &self.staging {
                    pinned.read(place, &mut elements);
                }
                Keep::Host(shape, dtype, elements)
            }
        };
        (name, value)
    }
}

/// Has a buffer of at least `bytes` for `name`.
fn grow(
    own: &mut BTreeMap<String, Buffer>,
    device: &Device,
    name: &str,
    bytes: usize,
) -> Result<(), DeviceError> {
    if own.get(name).is_none_or(|buffer| buffer.bytes() < bytes) {
        own.remove(name);
        own.insert(name.to_owned(), device.buffer(bytes)?);
    }
    Ok(())
}
