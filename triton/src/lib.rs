//! What a deployment in Triton needs.
//!
//! **In:** a model repository. **Out:** a `tritonserver` on loopback that serves it.
//! **Never here:** inference (that is `onr-kserve`), printing.
//!
//! | step | item |
//! | --- | --- |
//! | start a server, stop it whatever happens | [`LocalServer`], [`ServerOptions`] |

mod server;

pub use server::{Control, LoadFailure, LocalServer, ServerError, ServerOptions};
