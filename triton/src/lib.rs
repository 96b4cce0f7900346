//! Model repositories for NVIDIA Triton, and a Triton to try them on.
//!
//! In: directories that `onr export` or `onr build-engine` wrote. Out: models in a repository, each version whole or not
//! there, checks of what lies there and of what a server would make of it; a `tritonserver` on loopback that serves one.
//! Never done here: compiling a plan, inference (that is `onr-kserve`), printing, reading the command line.

pub mod config;
mod ensemble;
mod error;
mod interface;
mod options;
mod package;
pub mod preflight;
pub mod profiles;
pub mod repository;
mod server;
mod source;
mod tensors;
pub mod text;
mod warmup;

pub use error::PackageError;
pub use options::{Backend, PackageName, PackageOptions};
pub use package::{Content, Package, PlannedFile, PlannedModel};
pub use server::{Control, LoadFailure, LocalServer, ServerError, ServerOptions};
pub use source::Source;
