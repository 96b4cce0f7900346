//! One thing that a user did.

/// A behaviour with its labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Dense item id, `1..V`.
    pub item: u32,
    /// Action id, `1..A`: what the model is told about it afterwards.
    pub action: u16,
    /// Bit `n` is set where the behaviour is a positive of task `n`.
    pub labels: u16,
    /// What it was worth, in the units of the log; 0 where nothing is known. Not negative.
    pub value: f32,
    /// Unix seconds.
    pub time: i64,
}

impl Event {
    /// Most tasks that labels have room for.
    pub const MAX_TASKS: usize = 16;

    /// Is this behaviour a positive of task `n`?
    #[must_use]
    pub const fn is_positive(&self, n: usize) -> bool {
        self.labels >> n & 1 == 1
    }

    /// Bytes of an event on disk: its fields in the order of the struct, little-endian, four zero bytes
    /// before the time.
    pub(crate) const BYTES: usize = 24;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.item.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.action.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.labels.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.value.to_le_bytes());
        bytes[16..].copy_from_slice(&self.time.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self {
            item: u32::from_le_bytes(part(bytes, 0)),
            action: u16::from_le_bytes(part(bytes, 4)),
            labels: u16::from_le_bytes(part(bytes, 6)),
            value: f32::from_le_bytes(part(bytes, 8)),
            time: i64::from_le_bytes(part(bytes, 16)),
        }
    }
}

/// `N` bytes of a record, from its byte `at`.
pub(crate) fn part<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| record[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_every_field() {
        let event = Event { item: 7, action: 300, labels: 5, value: 0.1, time: -3 };
        assert_eq!(Event::from_bytes(&event.to_bytes()), event);
        assert_eq!(event.to_bytes()[..8], [7, 0, 0, 0, 44, 1, 5, 0]);
    }
}
