//! Keys and values of one user, as they are kept.

use std::sync::Arc;

use onr_device::DeviceError;

use crate::tensor::{Value, Values};

/// Bytes that a tensor takes beside its elements.
const TENSOR_BYTES: u64 = 192;

/// Keys and values of all generator layers, `past_key_values.{l}.key/.value [1, H, S, Dh]`. A clone shares them.
#[derive(Debug, Clone)]
pub struct Kept {
    past: Arc<Values>,
    slots: usize,
}

impl Kept {
    /// What `encode` or `append` gave.
    pub(super) fn of_present(present: Values) -> Self {
        let past = present.into_iter().filter_map(|(name, value)| {
            Some((format!("past_key_values.{}", name.strip_prefix("present.")?), value))
        });
        Self::of_past(past.collect())
    }

    pub(super) fn of_past(past: Values) -> Self {
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
        let of = |value: &Value| value.bytes() as u64 + TENSOR_BYTES;
        self.past.values().map(of).sum()
    }

    /// The same with room for `slots` behaviours at least; new slots hold 0.
    ///
    /// # Errors
    /// [`DeviceError`] where they lie on a device.
    pub(super) fn with_room(self, slots: usize) -> Result<Self, DeviceError> {
        if slots <= self.slots {
            return Ok(self);
        }
        let grown = |(name, kv): (&String, &Value)| Ok((name.clone(), kv.widened(2, slots)?));
        let past: Result<Values, DeviceError> = self.past.iter().map(grown).collect();
        Ok(Self::of_past(past?))
    }

    /// Adds them to the inputs of a graph.
    pub(super) fn put_into(&self, state: &mut Values) {
        state.extend(self.past.iter().map(|(name, kv)| (name.clone(), kv.clone())));
    }
}
