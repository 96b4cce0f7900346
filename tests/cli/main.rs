//! `onr` as people meet it: bad input, full disks, Ctrl-C, and what it says about them.
//!
//! Each refusal is run in a directory of its own and must leave every file of it as it was.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[cfg(feature = "triton")]
mod bench;
mod bisect;
mod ci;
mod deployed;
mod device;
mod directories;
mod disk;
mod help;
mod items;
mod libraries;
mod models;
mod output;
mod package;
mod parity;
mod precision;
mod preflight;
mod profiles;
mod requests;
mod rewrite;
mod serve_check;
mod signals;
mod support;
mod training;
mod trtexec;
mod usage;
