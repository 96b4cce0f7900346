//! Device memory that is used again: asking the driver stops the device.

use std::collections::BTreeMap;

use crate::Address;

/// Sizes are rounded up to steps of an eighth of the power of two below them, and to 256 bytes at least: at most
/// 12.5 % are lost, and buffers of nearly equal sizes stand in for each other.
pub(crate) fn size_class(bytes: usize) -> usize {
    const LEAST: usize = 256;
    if bytes <= LEAST {
        return LEAST;
    }
    let step = (1 << (usize::BITS - 1 - bytes.leading_zeros())) / 8;
    bytes.next_multiple_of(step.max(LEAST))
}

/// Buffers that nobody uses, by size.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    by_size: BTreeMap<usize, Vec<Address>>,
    bytes: usize,
}

impl Idle {
    /// One of exactly this size.
    pub(crate) fn take(&mut self, size: usize) -> Option<Address> {
        let list = self.by_size.get_mut(&size)?;
        let at = list.pop()?;
        if list.is_empty() {
            self.by_size.remove(&size);
        }
        self.bytes -= size;
        Some(at)
    }

    /// Keeps one, or hands it back where `most` bytes would be idle.
    pub(crate) fn put(&mut self, at: Address, size: usize, most: usize) -> Option<Address> {
        if self.bytes + size > most {
            return Some(at);
        }
        self.by_size.entry(size).or_default().push(at);
        self.bytes += size;
        None
    }

    /// All of them.
    pub(crate) fn drain(&mut self) -> Vec<Address> {
        self.bytes = 0;
        std::mem::take(&mut self.by_size).into_values().flatten().collect()
    }

    /// Bytes of all.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn classes_hold_their_size_and_lose_an_eighth_at_most(bytes in 1_usize..1 << 40) {
            let class = size_class(bytes);
            prop_assert!(class >= bytes);
            prop_assert_eq!(size_class(class), class);
            prop_assert!(class <= bytes + bytes / 8 + 256);
        }
    }

    #[test]
    fn idle_buffers_are_bounded() {
        let mut idle = Idle::default();
        assert_eq!(idle.put(1, 256, 600), None);
        assert_eq!(idle.put(2, 256, 600), None);
        assert_eq!(idle.put(3, 256, 600), Some(3), "more than 600 bytes would be idle");
        assert_eq!((idle.take(512), idle.take(256), idle.bytes()), (None, Some(2), 256));
        assert_eq!((idle.drain(), idle.bytes()), (vec![1], 0));
    }
}
