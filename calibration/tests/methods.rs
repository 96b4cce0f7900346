//! Each method against a slow implementation that is written another way.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use onr_calibration::{
    BINS, ClipError, Method, SMALLEST_SCALE, Target, TensorStats, fp8, int8, scale,
};
use proptest::prelude::*;

const TARGETS: [Target; 2] = [Target::Int8, Target::Fp8E4M3];

fn observe(values: &[f32]) -> TensorStats {
    let mut stats = TensorStats::default();
    stats.observe(values, 0).unwrap();
    stats
}

/// Divergence of a candidate of `bins`, bin by bin.
fn slow_divergence(bins: &[u64], candidate: usize) -> f64 {
    let kept = &bins[..candidate];
    let mut p: Vec<f64> = kept.iter().map(|n| *n as f64).collect();
    p[candidate - 1] += bins[candidate..].iter().sum::<u64>() as f64;
    let level = |bin: usize| bin * 128 / candidate;
    let mut q = vec![0.0; candidate];
    for wanted in 0..128 {
        let of_level: Vec<usize> = (0..candidate).filter(|bin| level(*bin) == wanted).collect();
        let sum: u64 = of_level.iter().map(|bin| kept[*bin]).sum();
        let filled: Vec<_> = of_level.into_iter().filter(|bin| kept[*bin] > 0).collect();
        filled.iter().for_each(|bin| q[*bin] = sum as f64 / filled.len() as f64);
    }
    let (sum_p, sum_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let term = |(p, q): (&f64, &f64)| {
        if *p > 0.0 { p / sum_p * ((p / sum_p) / (q / sum_q)).ln() } else { 0.0 }
    };
    p.iter().zip(&q).map(term).sum()
}

/// Squared error of `range`, from many points of each bin and the codec.
fn slow_error(stats: &TensorStats, range: f64, target: Target) -> f64 {
    const POINTS: u32 = 64;
    let (width, scale) = (stats.histogram().bin_width(), scale(range as f32, target));
    let round_trip = match target {
        Target::Int8 => int8::round_trip,
        Target::Fp8E4M3 => fp8::round_trip,
    };
    let mut sum = 0.0;
    for (bin, count) in stats.histogram().bins().iter().enumerate().filter(|(_, n)| **n > 0) {
        for point in 0..POINTS {
            let x = (bin as f64 + (f64::from(point) + 0.5) / f64::from(POINTS)) * width;
            let error = x - f64::from(round_trip(x as f32, scale));
            sum += *count as f64 * error * error / f64::from(POINTS);
        }
    }
    sum
}

/// A bulk and a few outliers, as activations have them.
fn heavy_tailed() -> impl Strategy<Value = Vec<f32>> {
    let bulk = proptest::collection::vec(-1.0_f32..1.0, 20..400);
    let tail = proptest::collection::vec(0.5_f32..30.0, 0..6);
    (bulk, tail).prop_map(|(mut bulk, tail)| {
        bulk.iter_mut().for_each(|x| *x = *x * *x * *x);
        bulk.extend(tail);
        bulk
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn entropy_has_the_smallest_divergence(values in heavy_tailed()) {
        let stats = observe(&values);
        let histogram = stats.histogram();
        let amax = Method::Entropy.clip(&stats, Target::Int8).unwrap();
        // A range is the end of a bin, or the largest value: that may be the first number of the last bin.
        let ends_all = Some(amax) == stats.absmax();
        let bins = (f64::from(amax) / histogram.bin_width()).round() as usize;
        let chosen = if ends_all { histogram.occupied() } else { bins };
        let candidates = 128..=histogram.occupied();
        let best = candidates.map(|i| slow_divergence(histogram.bins(), i)).fold(f64::MAX, f64::min);
        let got = slow_divergence(histogram.bins(), chosen);
        prop_assert!(got <= best + 1e-9, "{chosen} bins: {got} instead of {best}");
    }

    #[test]
    fn mse_has_the_smallest_error(values in heavy_tailed()) {
        let stats = observe(&values);
        let (width, absmax) = (stats.histogram().bin_width(), f64::from(stats.absmax().unwrap()));
        for target in TARGETS {
            let amax = f64::from(Method::Mse.clip(&stats, target).unwrap());
            let edges = (1..=BINS).map(|i| (i as f64 * width).min(absmax));
            let best = edges.map(|range| slow_error(&stats, range, target)).fold(f64::MAX, f64::min);
            let got = slow_error(&stats, amax, target);
            prop_assert!(got <= best * 1.02, "{target:?} {amax}: {got} instead of {best}");
        }
    }
}

proptest! {
    #[test]
    fn ranges_are_positive_and_within_what_was_seen(
        values in proptest::collection::vec(any::<f32>(), 1..50),
        percent in 0.1_f64..=100.0,
    ) {
        let stats = observe(&values);
        prop_assume!(stats.finite() > 0);
        for method in [Method::MinMax, Method::Percentile(percent), Method::Entropy, Method::Mse] {
            for target in TARGETS {
                let Ok(amax) = method.clip(&stats, target) else {
                    prop_assert_eq!((method, target), (Method::Entropy, Target::Fp8E4M3));
                    continue;
                };
                let most = stats.absmax().unwrap().max(SMALLEST_SCALE * target.max_code());
                prop_assert!(amax > 0.0 && amax <= most, "{}: {} of {}", method, amax, most);
                prop_assert!(scale(amax, target) >= SMALLEST_SCALE);
                prop_assert!(scale(amax, target).is_finite());
            }
        }
    }

    #[test]
    fn percentile_is_a_bin_above_the_value_of_that_rank(
        values in proptest::collection::vec(-9.0_f32..9.0, 1..400),
        percent in 1.0_f64..=100.0,
    ) {
        let stats = observe(&values);
        let mut sorted: Vec<f32> = values.iter().map(|x| x.abs()).filter(|x| *x > 0.0).collect();
        sorted.sort_by(f32::total_cmp);
        prop_assume!(!sorted.is_empty());
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        let at_rank = sorted[rank.max(1) - 1];
        let amax = Method::Percentile(percent).clip(&stats, Target::Int8).unwrap();
        prop_assert!(amax >= at_rank);
        prop_assert!(f64::from(amax - at_rank) <= stats.histogram().bin_width());
    }

    #[test]
    fn minmax_is_the_largest_magnitude(values in proptest::collection::vec(-9.0_f32..9.0, 1..50)) {
        let amax = Method::MinMax.clip(&observe(&values), Target::Int8).unwrap();
        prop_assert_eq!(amax, values.iter().fold(0.0, |m: f32, x| m.max(x.abs())));
    }
}

/// Normal numbers by Box and Muller.
fn normal(count: usize) -> Vec<f32> {
    let mut state = 3_u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let one = |_| (-2.0 * uniform().ln()).sqrt() * (uniform() * std::f64::consts::TAU).cos();
    (0..count).map(one).map(|x| x as f32).collect()
}

#[test]
fn mse_finds_the_known_optimum_of_a_normal_distribution() {
    // Banner et al., "Post training 4-bit quantization of convolutional networks" (ACIQ): 3.92 standard
    // deviations for 8 bits.
    let amax = Method::Mse.clip(&observe(&normal(400_000)), Target::Int8).unwrap();
    assert!((amax - 3.92).abs() < 0.1, "{amax}");
}

#[test]
fn an_outlier_is_clipped_by_all_but_minmax() {
    let mut values = normal(400_000);
    values.push(60.0);
    let stats = observe(&values);
    assert_eq!(Method::MinMax.clip(&stats, Target::Int8), Ok(60.0));
    for method in [Method::Percentile(99.99), Method::Entropy, Method::Mse] {
        let amax = method.clip(&stats, Target::Int8).unwrap();
        assert!((2.5..30.0).contains(&amax), "{method}: {amax}");
    }
}

#[test]
fn dead_and_tiny_tensors_have_the_smallest_scale() {
    for values in [&[0.0, -0.0][..], &[1e-40, 0.0][..]] {
        for target in TARGETS {
            let amax = Method::Mse.clip(&observe(values), target).unwrap();
            assert_eq!(scale(amax, target), SMALLEST_SCALE);
        }
    }
    assert_eq!(scale(f32::NAN, Target::Int8), SMALLEST_SCALE);
    assert!(scale(f32::INFINITY, Target::Int8).is_finite());
}

#[test]
fn without_a_finite_value_there_is_no_range() {
    let clip = |stats: &TensorStats| Method::MinMax.clip(stats, Target::Int8);
    assert_eq!(clip(&TensorStats::default()), Err(ClipError::Empty));
    assert_eq!(clip(&observe(&[f32::NAN, f32::INFINITY])), Err(ClipError::NoFinite { values: 2 }));
    let error = Method::Entropy.clip(&observe(&[1.0]), Target::Fp8E4M3);
    assert_eq!(error, Err(ClipError::EntropyForFp8));
}

#[test]
fn methods_are_read_and_written() {
    for (text, method) in [
        ("minmax", Method::MinMax),
        ("percentile=99.999", Method::Percentile(99.999)),
        ("entropy", Method::Entropy),
        ("mse", Method::Mse),
    ] {
        assert_eq!(text.parse(), Ok(method));
        assert_eq!(method.to_string(), text);
    }
    assert_eq!("percentile".parse(), Ok(Method::Percentile(99.99)));
    for wrong in
        ["", "MinMax", "percentile=", "percentile=0", "percentile=101", "percentile=NaN", "mse=3"]
    {
        assert!(wrong.parse::<Method>().is_err(), "{wrong}");
    }
}
