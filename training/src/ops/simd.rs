//! Loops compiled for the vector instructions that this machine has.

/// Runs `f` compiled for AVX2 and FMA where the machine has them. Only what is inlined into `f` gains:
/// mark it `#[inline(always)]`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2,fma")]
    fn wide<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(
            unsafe_code,
            reason = "calls a function that needs features which were just found"
        )]
        // SAFETY: the processor has both features that `wide` is compiled for.
        return unsafe { wide(f) };
    }
    f()
}

/// Runs `f`: other architectures have their vector instructions in the baseline.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    f()
}
