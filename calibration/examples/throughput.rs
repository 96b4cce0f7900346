//! Nanoseconds per element of `TensorStats::observe`, on one core.
#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

use std::num::NonZeroUsize;
use std::time::Instant;

use onr_calibration::TensorStats;

/// Values of one call: a tensor of this size is in the second cache or beyond.
const VALUES: usize = 1 << 18;
const ROUNDS: usize = 200;

fn main() {
    let normal = bell(VALUES);
    let rectified: Vec<f32> = normal.iter().map(|x| x.max(0.0)).collect();
    let constant = vec![0.5; VALUES];
    let channels = NonZeroUsize::new(512);
    let halves: Vec<_> = normal.iter().map(|x| half::f16::from_f32(*x)).collect();
    report("bell-shaped", || time(&normal, None));
    report("half zeros", || time(&rectified, None));
    report("constant", || time(&constant, None));
    report("bell-shaped, 512 channels", || time(&normal, channels));
    report("bell-shaped, 512 values a call", || {
        let mut stats = TensorStats::default();
        clock(|| normal.chunks(512).all(|few| stats.observe(few, 0).is_ok()))
    });
    report("bell-shaped F16", || {
        let mut stats = TensorStats::default();
        clock(|| stats.observe_f16(&halves, 0).is_ok())
    });
}

/// Sums of six uniform numbers.
fn bell(values: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    (0..values).map(|_| (0..6).map(|_| uniform()).sum()).collect()
}

fn time(values: &[f32], channels: Option<NonZeroUsize>) -> f64 {
    let mut stats = TensorStats::new(channels);
    clock(|| stats.observe(values, 0).is_ok())
}

/// Nanoseconds per value.
fn clock(work: impl FnOnce() -> bool) -> f64 {
    let start = Instant::now();
    assert!(work(), "whole rows");
    start.elapsed().as_secs_f64() * 1e9 / VALUES as f64
}

fn report(what: &str, mut once: impl FnMut() -> f64) {
    let mut all: Vec<f64> = (0..ROUNDS).map(|_| once()).collect();
    all.sort_by(f64::total_cmp);
    println!("{what}: {:.2} ns median, {:.2} ns best", all[ROUNDS / 2], all[0]);
}
