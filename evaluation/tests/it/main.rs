//! What the crate promises, against slow and obvious implementations.

mod bootstrap;
mod evaluate;
mod metrics;
mod peers;
mod refusals;
mod support;
