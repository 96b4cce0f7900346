//! Everything that can go wrong between us and a device.

/// Why something did not run on a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no driver's library on this machine, or it is too old.
    #[error("there is no usable CUDA driver: {what}")]
    NoDriver {
        /// What was looked for, or what the driver said.
        what: String,
    },
    /// The driver shows no device of that number.
    #[error("the CUDA driver shows no device {ordinal}: {what}")]
    NoDevice {
        /// The device that was asked for, from 0.
        ordinal: usize,
        /// What the driver said.
        what: String,
    },
    /// The plan was compiled for other devices.
    #[error("the plan is for {plan}, this device ({device}) is {found}")]
    Capability {
        /// What the plan was compiled for, as `sm86, sm89`.
        plan: String,
        /// The device's name.
        device: String,
        /// Its compute capability, as `sm90`.
        found: String,
    },
    /// Memory does not suffice.
    #[error("{device} has no {asked} bytes left: {free} of {total} are free")]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// Bytes asked for.
        asked: u64,
        /// Bytes that were free.
        free: u64,
        /// Bytes that it has.
        total: u64,
    },
    /// A call of the driver failed.
    #[error("the driver failed in {call}: {what}")]
    Driver {
        /// What we asked for.
        call: &'static str,
        /// What it said.
        what: String,
    },
    /// The library refused a plan.
    #[error("the plan cannot be loaded: {reason}")]
    Plan {
        /// The library's words.
        reason: String,
    },
    /// An engine failed while it ran, or before it could.
    #[error("the engine failed: {reason}")]
    Engine {
        /// The library's words.
        reason: String,
    },
    /// An input is missing, unknown, of another type or of a shape that no profile has.
    #[error("input `{input}` {reason}")]
    Input {
        /// Name of the input.
        input: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl DeviceError {
    /// What the reader could do next, where that is known.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoDriver { .. } => Some(
                "run on a machine with a GPU and its driver; --candidate ort and tract need neither",
            ),
            Self::NoDevice { .. } => {
                Some("`nvidia-smi -L` lists devices; CUDA_VISIBLE_DEVICES may hide them")
            }
            Self::Capability { .. } => {
                Some("build the plan for this GPU: `onr build-engine --target`")
            }
            Self::OutOfMemory { .. } => Some(
                "smaller batches, a smaller store of keys and values, or another process less on the device",
            ),
            _ => None,
        }
    }
}
