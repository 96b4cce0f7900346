//! Statistics do not depend on order, cuts and merging, and are what a loop over the values finds.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::num::NonZeroUsize;

use onr_calibration::{
    BINS, CalibrationError, MIN_EXPONENT, NonFinite, NonFiniteKind, TensorStats,
};
use proptest::prelude::*;

/// Values of every kind, with magnitudes over the whole range of F32.
fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -3.0_f32..3.0,
        2 => Just(0.0_f32),
        1 => Just(-0.0_f32),
        4 => any::<u32>().prop_map(f32::from_bits),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
        1 => Just(f32::MAX),
        1 => (-20_i32..20).prop_map(|e| 2.0_f32.powi(e)),
    ]
}

/// A value and the sample that it is of.
type Seen = (f32, u64);

fn seen() -> impl Strategy<Value = Vec<Seen>> {
    proptest::collection::vec((any_value(), 0_u64..5), 0..300)
}

fn observe(values: &[Seen]) -> TensorStats {
    let mut stats = TensorStats::default();
    values.iter().for_each(|(value, sample)| stats.observe(&[*value], *sample).unwrap());
    stats
}

fn text(stats: &TensorStats) -> String {
    serde_json::to_string(stats).unwrap()
}

fn merged(a: &TensorStats, b: &TensorStats) -> TensorStats {
    let mut all = a.clone();
    all.merge(b).unwrap();
    all
}

/// The histogram, value by value, with a range that is known from the start.
fn slow_histogram(values: &[f32]) -> (i32, Vec<u64>) {
    let finite = || values.iter().filter(|x| x.is_finite()).map(|x| f64::from(x.abs()));
    let top = finite().fold(0.0, f64::max);
    let exponent = (MIN_EXPONENT..).find(|e| top < f64::from(*e).exp2()).unwrap();
    let mut bins = vec![0; BINS];
    for x in finite().filter(|x| *x > 0.0) {
        bins[(x / f64::from(exponent).exp2() * 2048.0).floor() as usize] += 1;
    }
    (exponent, bins)
}

proptest! {
    #[test]
    fn order_does_not_matter(values in seen(), seed in any::<u64>()) {
        let mut shuffled = values.clone();
        let n = shuffled.len().max(1) as u64;
        for i in 0..shuffled.len() {
            let other = (seed.wrapping_mul(i as u64 + 7) >> 11) % n;
            shuffled.swap(i, other as usize);
        }
        prop_assert_eq!(text(&observe(&values)), text(&observe(&shuffled)));
    }

    #[test]
    fn cuts_and_merging_do_not_matter(values in seen(), cut in 0_usize..300, other in 0_usize..300) {
        let (cut, other) = (cut.min(values.len()), other.min(values.len()));
        let (low, high) = (cut.min(other), cut.max(other));
        let (a, b, c) = (observe(&values[..low]), observe(&values[low..high]), observe(&values[high..]));
        let whole = text(&observe(&values));
        prop_assert_eq!(&text(&merged(&merged(&a, &b), &c)), &whole);
        prop_assert_eq!(&text(&merged(&a, &merged(&b, &c))), &whole);
        prop_assert_eq!(&text(&merged(&c, &merged(&b, &a))), &whole);
    }

    #[test]
    fn one_call_is_as_many(values in proptest::collection::vec(any_value(), 0..300), copies in 1_usize..60) {
        // Long enough for every path: with several blocks and with a few values.
        let long = values.repeat(copies);
        let mut once = TensorStats::default();
        once.observe(&long, 3).unwrap();
        let mut pieces = TensorStats::default();
        long.chunks(97).for_each(|piece| pieces.observe(piece, 3).unwrap());
        prop_assert_eq!(text(&once), text(&pieces));
    }

    #[test]
    fn statistics_are_what_a_loop_finds(values in proptest::collection::vec(any_value(), 0..300)) {
        let stats = observe(&values.iter().map(|x| (*x, 0)).collect::<Vec<_>>());
        let count = |test: &dyn Fn(f32) -> bool| values.iter().filter(|x| test(**x)).count() as u64;
        prop_assert_eq!(stats.count(), values.len() as u64);
        prop_assert_eq!(stats.zeros(), count(&|x| x == 0.0));
        prop_assert_eq!(stats.nan(), count(&f32::is_nan));
        prop_assert_eq!(stats.positive_infinity(), count(&|x| x == f32::INFINITY));
        prop_assert_eq!(stats.negative_infinity(), count(&|x| x == f32::NEG_INFINITY));
        let finite = values.iter().copied().filter(|x| x.is_finite());
        prop_assert_eq!(stats.min(), finite.clone().reduce(f32::min));
        prop_assert_eq!(stats.max(), finite.reduce(f32::max));
        let f16 = half::f16::from_f32;
        let losses = stats.f16_losses();
        prop_assert_eq!(losses.flushed, count(&|x| x != 0.0 && f16(x).to_f32() == 0.0));
        prop_assert_eq!(losses.overflow, count(&|x| x.is_finite() && f16(x).is_infinite()));
        let smallest_normal = half::f16::MIN_POSITIVE.to_f32();
        prop_assert_eq!(losses.subnormal, count(&|x| x != 0.0 && x.abs() < smallest_normal));
        let (exponent, bins) = slow_histogram(&values);
        prop_assert_eq!(stats.histogram().exponent(), exponent);
        prop_assert_eq!(&stats.histogram().bins()[..], &bins[..]);
    }

    #[test]
    fn text_reads_back(values in seen()) {
        let stats = observe(&values);
        let back: TensorStats = serde_json::from_str(&text(&stats)).unwrap();
        prop_assert_eq!(back, stats);
    }

    #[test]
    fn channels_are_the_largest_of_their_column(values in proptest::collection::vec(any_value(), 30)) {
        let mut stats = TensorStats::new(NonZeroUsize::new(5));
        stats.observe(&values, 0).unwrap();
        for (column, max) in stats.channel_maxima().unwrap().iter().enumerate() {
            let all = values.iter().skip(column).step_by(5).filter(|x| x.is_finite());
            prop_assert_eq!(*max, all.fold(0.0, |max: f32, x| max.max(x.abs())));
        }
    }
}

/// Numbers that look random, of both signs, below 1.
fn many(count: usize) -> Vec<f32> {
    let mut state = 9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn large_calls_grow_and_count_like_small_ones() {
    let mut values = many(700_000);
    // One bin takes more than a count of 16 bits holds; later values double the range several times.
    values[..600_000].fill(0.25);
    values[650_000] = 3.0;
    values[660_000] = -1000.0;
    values[670_000] = f32::NAN;
    let mut once = TensorStats::new(NonZeroUsize::new(7));
    once.observe(&values, 0).unwrap();
    let mut pieces = TensorStats::new(NonZeroUsize::new(7));
    values.chunks(7000).rev().for_each(|piece| pieces.observe(piece, 0).unwrap());
    assert_eq!(text(&once), text(&pieces));
    let (exponent, bins) = slow_histogram(&values);
    assert_eq!((once.histogram().exponent(), &once.histogram().bins()[..]), (exponent, &bins[..]));
}

#[test]
fn halves_are_their_values() {
    let values = many(40_000);
    let f16: Vec<_> = values.iter().map(|x| half::f16::from_f32(*x)).collect();
    let bf16: Vec<_> = values.iter().map(|x| half::bf16::from_f32(*x)).collect();
    let expected = |values: Vec<f32>| {
        let mut stats = TensorStats::new(NonZeroUsize::new(8));
        stats.observe(&values, 4).unwrap();
        text(&stats)
    };
    let mut stats = TensorStats::new(NonZeroUsize::new(8));
    stats.observe_f16(&f16, 4).unwrap();
    assert_eq!(text(&stats), expected(f16.iter().map(|x| x.to_f32()).collect()));
    let mut stats = TensorStats::new(NonZeroUsize::new(8));
    stats.observe_bf16(&bf16, 4).unwrap();
    assert_eq!(text(&stats), expected(bf16.iter().map(|x| x.to_f32()).collect()));
}

#[test]
fn minus_zero_is_told_as_zero() {
    let mut stats = TensorStats::default();
    stats.observe(&[-0.0], 0).unwrap();
    assert_eq!(stats.min().map(f32::to_bits), Some(0));
    assert_eq!(stats.max().map(f32::to_bits), Some(0));
    assert_eq!(stats.histogram().total(), 0);
}

#[test]
fn the_first_sample_that_is_not_finite_is_kept() {
    let mut stats = TensorStats::default();
    stats.observe(&[1.0, f32::INFINITY], 9).unwrap();
    stats.observe(&[f32::NEG_INFINITY, f32::INFINITY], 4).unwrap();
    stats.observe(&[f32::NAN], 6).unwrap();
    let first = NonFinite { sample: 4, kind: NonFiniteKind::PositiveInfinity };
    assert_eq!(stats.first_non_finite(), Some(first));
    assert_eq!(stats.finite(), 1);
}

#[test]
fn other_rows_and_channels_are_refused() {
    let mut stats = TensorStats::new(NonZeroUsize::new(3));
    let error = stats.observe(&[1.0, 2.0], 0);
    assert!(matches!(error, Err(CalibrationError::Rows { values: 2, channels: 3 })));
    let error = stats.merge(&TensorStats::default());
    assert!(matches!(error, Err(CalibrationError::Channels { ours: Some(3), theirs: None })));
    assert_eq!(stats, TensorStats::new(NonZeroUsize::new(3)));
}

#[test]
fn contents_that_no_observation_gives_are_refused() {
    let good = text(&observe(&[(1.5, 0), (-2.0, 0), (f32::NAN, 1)]));
    for (from, to) in [
        ("\"count\":3", "\"count\":4"),
        ("\"min\":-2.0", "\"min\":-4.0"),
        ("\"min\":-2.0", "\"min\":null"),
        ("\"exponent\":2", "\"exponent\":3"),
        ("\"exponent\":2", "\"exponent\":999"),
        ("[-768,", "[-767,"),
        ("[-768,", "[0,-768,"),
        ("\"nan\":1", "\"nan\":0"),
    ] {
        assert!(good.contains(from), "{from} is in {good}");
        let bad = good.replace(from, to);
        assert!(serde_json::from_str::<TensorStats>(&bad).is_err(), "{to}");
    }
}
