//! The seam to TensorRT's runtime.
#![expect(
    unsafe_code,
    reason = "numbers are taken on trust here; what makes them trustworthy is above"
)]

use std::{fmt, sync::Arc};

use onr_graphs::DType;

use crate::{Address, DeviceError, Handle};

/// One input or output of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the graph.
    pub name: String,
    /// Is it an input?
    pub input: bool,
    /// Its element type.
    pub dtype: DType,
    /// Its shape; `None` where it differs from run to run.
    pub shape: Vec<Option<usize>>,
}

/// New weights by the name that they have in the graph, as little-endian bytes.
pub type Weights<'a> = [(&'a str, DType, &'a [u8])];

/// A library that loads plans.
pub trait Engines: Send + Sync + fmt::Debug {
    /// What it calls itself, version included: `TensorRT for RTX 1.7.1`.
    fn title(&self) -> String;

    /// Loads a plan onto the current device.
    ///
    /// # Errors
    /// [`DeviceError::Plan`], [`DeviceError::OutOfMemory`].
    fn load(&self, plan: &[u8]) -> Result<Arc<dyn Engine>, DeviceError>;

    /// The plan with other weights: those that it names are replaced, the rest stays.
    ///
    /// # Errors
    /// [`DeviceError::Plan`] when it was not built for that, or a weight that it needs is missing.
    fn refit(&self, plan: &[u8], weights: &Weights<'_>) -> Result<Vec<u8>, DeviceError>;
}

/// A loaded plan. Its weights are on the device, once.
pub trait Engine: Send + Sync {
    /// Inputs and outputs in the order of the graph.
    fn bindings(&self) -> &[Binding];

    /// How many optimisation profiles it has.
    fn profiles(&self) -> usize;

    /// What runs it: own scratch memory, own shapes. Several run side by side.
    ///
    /// # Errors
    /// [`DeviceError::Engine`], [`DeviceError::OutOfMemory`].
    fn context(&self) -> Result<Box<dyn Context>, DeviceError>;
}

/// Runs an engine, one run at a time.
///
/// # Safety
/// Addresses and streams are taken on trust: see [`Driver`](crate::Driver).
pub unsafe trait Context: Send {
    /// Uses another profile from now on. Shapes are to be set anew.
    ///
    /// # Errors
    /// [`DeviceError::Engine`].
    ///
    /// # Safety
    /// The stream lives, and is of the engine's device.
    unsafe fn choose(&mut self, profile: usize, stream: Handle) -> Result<(), DeviceError>;

    /// Sets the shape of an input.
    ///
    /// # Errors
    /// [`DeviceError::Input`].
    fn resize(&mut self, input: &str, shape: &[usize]) -> Result<(), DeviceError>;

    /// The shape of an output, once all inputs have one.
    ///
    /// # Errors
    /// [`DeviceError::Engine`].
    fn output(&self, name: &str) -> Result<Vec<usize>, DeviceError>;

    /// Where an input or output lies.
    ///
    /// # Errors
    /// [`DeviceError::Engine`].
    ///
    /// # Safety
    /// There is memory for the whole tensor, until the runs that use it are over.
    unsafe fn bind(&mut self, name: &str, at: Address) -> Result<(), DeviceError>;

    /// Gives one run to the stream.
    ///
    /// # Errors
    /// [`DeviceError::Engine`].
    ///
    /// # Safety
    /// Everything is bound, and the stream lives.
    unsafe fn enqueue(&mut self, stream: Handle) -> Result<(), DeviceError>;
}
