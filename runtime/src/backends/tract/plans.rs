//! Plans by the shapes they were made for, the least recently used ones dropped.

use std::{num::NonZeroUsize, sync::Arc};

use tract_onnx::prelude::TypedSimplePlan;

/// The shapes of all inputs, in the order of the graph.
pub(super) type Shapes = Vec<Vec<usize>>;

pub(super) type Plans = Recent<Shapes, Arc<TypedSimplePlan>>;

/// A few values by key. Few enough that looking through all of them costs nothing.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    capacity: NonZeroUsize,
    /// Most recently used last.
    entries: Vec<(K, V)>,
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    pub(super) const fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, entries: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The value of `key`, made now if it is not there. A failure is not remembered.
    pub(super) fn get_or_make<E>(
        &mut self,
        key: K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        let entry = match self.entries.iter().position(|(k, _)| *k == key) {
            Some(at) => self.entries.remove(at),
            None => {
                // Before the new one is made: it may need the memory.
                if self.entries.len() == self.capacity.get() {
                    self.entries.remove(0);
                }
                (key, make()?)
            }
        };
        let value = entry.1.clone();
        self.entries.push(entry);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut recent = Recent::new(NonZeroUsize::new(2).unwrap());
        let mut made = Vec::new();
        for key in [1, 2, 1, 3, 1, 2] {
            let value = recent.get_or_make(key, || {
                made.push(key);
                Ok::<_, ()>(10 * key)
            });
            assert_eq!(value, Ok(10 * key));
        }
        assert_eq!(made, [1, 2, 3, 2]);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let mut recent = Recent::new(NonZeroUsize::MIN);
        assert_eq!(recent.get_or_make(1, || Err("no")), Err("no"));
        assert_eq!(recent.get_or_make(1, || Ok::<_, ()>(5)), Ok(5));
    }
}
