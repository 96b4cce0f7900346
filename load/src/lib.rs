//! Drives anything that answers with load, and measures how fast it does.
//!
//! **In:** a function that makes one call and blocks until it is answered, a [`Load`].
//! **Out:** [`Measured`]: counts, throughput, latencies, failures by kind, and all of it second by second.
//! **Never here:** networks, models, files, printing, opinions about the figures.
//!
//! | load | who decides when a call is made | what latency is counted from |
//! | --- | --- | --- |
//! | [`Shape::Closed`] | each worker calls again when it has its answer | the call |
//! | [`Shape::Open`] | a schedule of arrivals at a rate | when the call was **due** |
//!
//! A closed loop slows down with what it measures, so a stall of a second shows as one slow call of each worker. An open loop counts every
//! call that was due in that second: a slow server cannot hide its queue.
//!
//! [`Latencies`] counts latencies that somebody else measured.
//!
//! ```
//! use std::{sync::atomic::AtomicBool, time::Duration};
//! use onr_load::{Failure, Load, Shape, SystemClock, Until, drive};
//!
//! let load = Load::new(Shape::Closed { workers: 2 }, Until::Calls(100));
//! let call = |_call| Ok::<u64, Failure>(1);
//! let measured = drive(&load, &SystemClock::new(), &AtomicBool::new(false), &call)?;
//! assert_eq!((measured.requests, measured.failed), (100, 0));
//! # Ok::<(), onr_load::LoadError>(())
//! ```

mod arrivals;
mod clock;
mod drive;
mod error;
mod feed;
mod latencies;
mod load;
mod measured;
mod series;
mod tally;
mod virtual_clock;

pub use clock::{Clock, SystemClock};
pub use drive::drive;
pub use error::LoadError;
pub use feed::Call;
pub use latencies::Latencies;
pub use load::{Load, Shape, Spacing, Until};
pub use measured::{FailureKind, Latency, Measured, Second};
pub use tally::Failure;
pub use virtual_clock::VirtualClock;
