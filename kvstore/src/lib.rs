//! Keeps what was computed from users' histories, in bounded memory, and never gives out what is stale.
//!
//! **In:** users, versions of a model, [`Behaviour`]s, values with their sizes in bytes.
//! **Out:** [`Lookup`]s, [`Statistics`].
//! **Never here:** tensors, models, devices, clocks. What a value is, and where it lies, is the caller's.
//!
//! ```
//! use std::sync::Arc;
//! use onr_kvstore::{Behaviour, Lookup, Store};
//!
//! let seen = |item| Behaviour { item, action: 1, time: 10 * item };
//! let store = Store::new(1 << 20);
//! store.put("v1", "ann", &[seen(1), seen(2)], Arc::new("of two"), 4096);
//! match store.get("v1", "ann", &[seen(1), seen(2), seen(3)]) {
//!     Lookup::Prefix { value, known } => assert_eq!((*value, known), ("of two", 2)),
//!     other => panic!("{other:?}"),
//! }
//! assert_eq!(store.get("v1", "ann", &[seen(9), seen(2)]), Lookup::Changed);
//! assert_eq!(store.get("v2", "ann", &[seen(1), seen(2)]), Lookup::Absent);
//! ```

mod recent;
mod statistics;
mod store;

pub use statistics::Statistics;
pub use store::{Behaviour, ENTRY_BYTES, Lookup, Store};
