//! Does parity find faults? Graphs are made wrong on purpose, one node at a time, and parity is asked.
//!
//! A *mutant* is the export of a random model in which one operator of [`operators`] has changed one node of one
//! graph. It is *killed* when it does not load, when outputs leave their tolerance, or when a relation breaks. A
//! survivor needs a reason why it computes the same, or less than the tolerance apart: [`survivor`].

pub mod curve;
pub mod kind;
pub mod models;
pub mod mutant;
pub mod operators;
pub mod study;
pub mod survivor;
pub mod text;
