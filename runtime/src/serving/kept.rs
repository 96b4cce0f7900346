//! Keys and values of one user, as they are kept.

use std::sync::Arc;

use crate::tensor::{Feeds, HostTensor};

/// Bytes that a tensor takes beside its elements.
const TENSOR_BYTES: u64 = 192;

/// Keys and values of all generator layers, `past_key_values.{l}.key/.value [1, H, S, Dh]`. A clone shares them.
#[derive(Debug, Clone)]
pub struct Kept {
    past: Arc<Feeds>,
    slots: usize,
}

impl Kept {
    /// What `encode` or `append` gave.
    pub(super) fn of_present(present: Feeds) -> Self {
        let past = present.into_iter().filter_map(|(name, value)| {
            Some((format!("past_key_values.{}", name.strip_prefix("present.")?), value))
        });
        Self::of_past(past.collect())
    }

    pub(super) fn of_past(past: Feeds) -> Self {
        let slots = past.values().next().and_then(|kv| kv.shape().get(2)).copied();
        Self { past: Arc::new(past), slots: slots.unwrap_or(0) }
    }

    /// `S`: behaviours that there is room for.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// Bytes, as the store counts them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |t: &HostTensor| (t.data().len() * t.dtype().size()) as u64 + TENSOR_BYTES;
        self.past.values().map(of).sum()
    }

    /// The same with room for `slots` behaviours at least; new slots hold 0.
    pub(super) fn with_room(self, slots: usize) -> Self {
        if slots <= self.slots {
            return self;
        }
        let all: Vec<usize> = (0..slots).collect();
        let grown = |(name, kv): (&String, &HostTensor)| (name.clone(), kv.pick(2, &all));
        Self::of_past(self.past.iter().map(grown).collect())
    }

    /// Adds them to the inputs of a graph.
    pub(super) fn put_into(&self, state: &mut Feeds) {
        state.extend(self.past.iter().map(|(name, kv)| (name.clone(), kv.clone())));
    }
}
