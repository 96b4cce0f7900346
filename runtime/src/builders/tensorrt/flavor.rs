//! Which TensorRT a build of `onr` binds: TensorRT for RTX, or data-centre TensorRT with the Cargo feature `tensorrt`.
//!
//! They are two products with interfaces of their own, and `trtx` has the headers of one or of the other. So is `onr`
//! made for one of them, and what differs stands here.

use trtx::BuilderConfig;

use crate::builder::{PlanKind, Target};

/// What one of the two is called and does.
#[derive(Debug)]
pub(super) struct Flavor {
    /// The word of `--builder`.
    pub(super) name: &'static str,
    /// In sentences.
    pub(super) title: &'static str,
    pub(super) kind: PlanKind,
    /// Major and least minor version: `trtx` carries the headers of this one, and newer libraries of the same major
    /// version keep its interface.
    pub(super) needed: (i32, i32),
    /// The GPUs that it compiles for without having one; empty: only for the one that it runs on.
    pub(super) targets: &'static [Target],
    /// What a plan is compiled for when nobody says.
    pub(super) default_targets: &'static [Target],
    /// What to do where its libraries are not there, before the name of the variable.
    pub(super) hint: &'static str,
}

/// The one that this build binds.
#[cfg(not(feature = "tensorrt"))]
pub(super) const BOUND: Flavor = Flavor {
    name: "tensorrt-rtx",
    title: "TensorRT for RTX",
    kind: PlanKind::TensorrtRtx,
    needed: (1, 7),
    targets: &super::TensorRt::TARGETS,
    default_targets: &super::TensorRt::DEFAULT_TARGETS,
    hint: "run `make setup`, or set",
};

/// The one that this build binds.
#[cfg(feature = "tensorrt")]
pub(super) const BOUND: Flavor = Flavor {
    name: "tensorrt",
    title: "TensorRT",
    kind: PlanKind::Tensorrt,
    needed: (11, 4),
    targets: &[],
    default_targets: &[],
    hint: "use the container of the deployment, or set",
};

/// The GPU of this machine, where plans are for that one and no other.
///
/// # Errors
/// Why there is none, in words.
#[cfg(not(feature = "tensorrt"))]
#[expect(clippy::unnecessary_wraps, reason = "the other TensorRT needs a GPU")]
pub(super) fn own_target() -> Result<Option<Target>, String> {
    Ok(None)
}

/// The GPU of this machine, where plans are for that one and no other.
///
/// # Errors
/// Why there is none, in words.
#[cfg(feature = "tensorrt")]
pub(super) fn own_target() -> Result<Option<Target>, String> {
    super::device::target().map(Some)
}

/// Says which GPUs the plan is for.
#[cfg(not(feature = "tensorrt"))]
pub(super) fn aim(config: &mut BuilderConfig<'_>, targets: &[Target]) -> Result<(), String> {
    let said = |error: trtx::Error| error.to_string();
    let count = i32::try_from(targets.len()).unwrap_or(i32::MAX);
    config.set_nb_compute_capabilities(count).map_err(said)?;
    for (index, target) in (0..).zip(targets) {
        let capability =
            capability(*target).ok_or_else(|| format!("{} does not know {target}", BOUND.title))?;
        config.set_compute_capability(capability, index).map_err(said)?;
    }
    Ok(())
}

#[cfg(not(feature = "tensorrt"))]
fn capability(target: Target) -> Option<trtx::ComputeCapability> {
    use trtx::ComputeCapability as Capability;
    match target.0 {
        75 => Some(Capability::kSM75),
        80 => Some(Capability::kSM80),
        86 => Some(Capability::kSM86),
        89 => Some(Capability::kSM89),
        120 => Some(Capability::kSM120),
        121 => Some(Capability::kSM121),
        _ => None,
    }
}

/// It is for the GPU that it is compiled on.
#[cfg(feature = "tensorrt")]
pub(super) fn aim(_: &mut BuilderConfig<'_>, _: &[Target]) -> Result<(), String> {
    Ok(())
}
