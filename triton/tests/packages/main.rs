//! Packages of a tiny model: what is written, refused, taken back, and what others make of it.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod configs;
mod official;
mod plans;
mod preflight;
mod refused;
mod repository;
mod script;
mod support;
