//! What a store has counted.

use serde::Serialize;

/// Counts since a store was made, and its bytes now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Look-ups that found the whole history.
    pub exact: u64,
    /// Look-ups that found how it begins.
    pub prefix: u64,
    /// Look-ups that found the user with another history: nothing was given out.
    pub changed: u64,
    /// Look-ups of users that are not there.
    pub absent: u64,
    /// Entries that had to go to make room for others.
    pub evicted: u64,
    /// Entries that were not kept, as each is larger than the whole bound.
    pub rejected: u64,
    /// Entries now.
    pub entries: u64,
    /// Bytes now, of values, behaviours and bookkeeping.
    pub bytes: u64,
    /// Most bytes there have ever been; never above the bound.
    pub peak_bytes: u64,
}

impl Statistics {
    /// All look-ups.
    #[must_use]
    pub const fn lookups(&self) -> u64 {
        self.exact + self.prefix + self.changed + self.absent
    }
}
