//! Memory maps: the only unsafe code in this crate.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use memmap2::{Mmap, UncheckedAdvice};

use crate::error::ExportError;

/// A read-only map of a whole file.
#[derive(Debug)]
pub(crate) struct Mapped {
    path: PathBuf,
    map: Mmap,
}

impl Mapped {
    #[expect(
        unsafe_code,
        reason = "a memory map is the way to read gigabytes without holding them"
    )]
    pub(crate) fn open(path: &Path) -> Result<Self, ExportError> {
        let file = File::open(path).map_err(|cause| ExportError::read(path, cause))?;
        // SAFETY: the map is read-only and we only ever read plain bytes from it, so no value of it
        // can be invalid. Somebody who truncates the file meanwhile ends the process with SIGBUS, as
        // with every program that maps its input; nothing half-written gets a name then.
        let map = unsafe { Mmap::map(&file) }.map_err(|cause| ExportError::read(path, cause))?;
        Ok(Self { path: path.to_owned(), map })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets go of the pages that were read; they come back from the file when they are read again.
    #[expect(
        unsafe_code,
        reason = "the advice that drops pages is unsafe for private, written maps"
    )]
    pub(crate) fn release(&self) {
        // SAFETY: nobody writes through this map, so a page that is read again has the file's bytes,
        // as it had before.
        let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
