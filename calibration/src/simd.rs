//! Loops compiled for the vector instructions that this machine has.

/// A loop and what it works on.
///
/// Only what is inlined is compiled for the vector instructions: mark [`Self::run`] and what it calls
/// `#[inline(always)]`. That is why this is no closure, which cannot be marked.
pub(crate) trait Loop {
    /// What comes out.
    type Output;

    /// Runs the loop.
    fn run(self) -> Self::Output;
}

/// Runs `work` compiled for AVX2 where the machine has it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn vectorised<L: Loop>(work: L) -> L::Output {
    #[target_feature(enable = "avx2")]
    fn wide<L: Loop>(work: L) -> L::Output {
        work.run()
    }
    if is_x86_feature_detected!("avx2") {
        #[expect(
            unsafe_code,
            reason = "calls a function that needs a feature which was just found"
        )]
        // SAFETY: the processor has the feature that `wide` is compiled for.
        return unsafe { wide(work) };
    }
    work.run()
}

/// Runs `work`: other architectures have their vector instructions in the baseline.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn vectorised<L: Loop>(work: L) -> L::Output {
    work.run()
}
