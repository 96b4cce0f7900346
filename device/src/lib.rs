//! Engines on a device: memory, streams, recorded launches, and the shapes that an engine runs at.
//!
//! In: plans as bytes, tensors as bytes with shapes. Out: tensors on the device or on the host. Never here: what a
//! model means, files, printing.
//!
//! | item | what it is |
//! | --- | --- |
//! | [`Driver`] | what we use of CUDA; [`host::HostDriver`] plays it in memory of the process |
//! | [`Device`] | a driver with a pool of buffers: [`Buffer`], [`Pinned`], [`Stream`], [`Launch`] |
//! | [`Engines`], [`Engine`], [`Context`] | what we use of TensorRT |
//! | [`Runner`] | one context with its stream: shapes, profiles, buffers, recorded launches |
//! | [`DeviceTensor`] | a tensor that stays where it was computed |

#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod driver;
mod engine;
mod error;
pub mod host;
mod pool;
mod runner;
mod shapes;
mod tensor;

pub use device::{Buffer, Device, Event, Launch, Pinned, Stream};
pub use driver::{Address, DeviceInfo, Driver, Handle, Memory};
pub use engine::{Binding, Context, Engine, Engines, Weights};
pub use error::DeviceError;
pub use runner::{Counters, Feed, Keep, Runner, RunnerOptions};
pub use shapes::{Ranges, choose};
pub use tensor::DeviceTensor;
