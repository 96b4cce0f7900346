//! Memory maps: the only unsafe code in this crate.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use memmap2::{Mmap, UncheckedAdvice};

use crate::OnnxError;

/// A read-only map of a whole file. Copies share the map.
#[derive(Debug, Clone)]
pub struct Mapped {
    path: PathBuf,
    map: Arc<Mmap>,
    bytes: Bytes,
}

struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// [`OnnxError::Read`].
    #[expect(
        unsafe_code,
        reason = "a memory map is the way to read gigabytes without holding them"
    )]
    pub fn open(path: &Path) -> Result<Self, OnnxError> {
        let fail = |cause| OnnxError::read(path, cause);
        let file = File::open(path).map_err(fail)?;
        // SAFETY: the map is read-only and we only ever read plain bytes from it, so no value of it
        // can be invalid. Somebody who truncates the file meanwhile ends the process with SIGBUS, as
        // with every program that maps its input; nothing half-written gets a name then.
        let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(fail)?);
        let bytes = Bytes::from_owner(Owner(Arc::clone(&map)));
        Ok(Self { path: path.to_owned(), map, bytes })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes; slices of them keep the map alive.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where in the file a slice of [`bytes`](Self::bytes) begins, if it is one.
    #[must_use]
    pub fn offset_of(&self, slice: &[u8]) -> Option<usize> {
        let start = (slice.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        (start + slice.len() <= self.bytes.len()).then_some(start)
    }

    /// Lets go of the pages that were read; they come back from the file when they are read again.
    #[expect(
        unsafe_code,
        reason = "the advice that drops pages is unsafe for private, written maps"
    )]
    pub fn release(&self) {
        // SAFETY: nobody writes through this map, so a page that is read again has the file's bytes,
        // as it had before.
        let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
    }
}
