//! Loops compiled for the vector instructions that this machine has.

/// Runs `f` compiled for AVX2 where the machine has it. Only what is inlined into `f` gains: mark it
/// `#[inline(always)]`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2")]
    fn wide<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
    if is_x86_feature_detected!("avx2") {
        #[expect(
            unsafe_code,
            reason = "calls a function that needs a feature which was just found"
        )]
        // SAFETY: the processor has the feature that `wide` is compiled for.
        return unsafe { wide(f) };
    }
    f()
}

/// Runs `f`: other architectures have their vector instructions in the baseline.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    f()
}
