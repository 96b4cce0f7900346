//! Calls of a context, which takes streams and addresses on trust.
#![expect(unsafe_code, reason = "what is trusted here is made in the runner")]

use crate::{Address, Context, DeviceError, Stream};

pub(super) fn choose_profile(
    context: &mut dyn Context,
    profile: usize,
    stream: &Stream,
) -> Result<(), DeviceError> {
    // SAFETY: the stream lives longer than the context, in the same runner.
    unsafe { context.choose(profile, stream.handle()) }
}

pub(super) fn bind(
    context: &mut dyn Context,
    addresses: &[(String, Vec<usize>, Address)],
) -> Result<(), DeviceError> {
    // SAFETY: each buffer holds its tensor whole, and lives until the run has been waited for.
    addresses.iter().try_for_each(|(name, _, at)| unsafe { context.bind(name, *at) })
}

pub(super) fn enqueue(context: &mut dyn Context, stream: &Stream) -> Result<(), DeviceError> {
    // SAFETY: everything was bound just before.
    unsafe { context.enqueue(stream.handle()) }
}
