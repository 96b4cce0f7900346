//! Plans against all that there could be.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use onr_planner::{AxisPlan, Bucket, Histogram, Limits, PlanError, forecast, plan};
use proptest::prelude::*;

/// Padded positions of a sample, the slow way.
fn cost(buckets: &[usize], sizes: &[usize]) -> usize {
    let padded = |size: &usize| *buckets.iter().find(|bucket| *bucket >= size).unwrap();
    sizes.iter().map(|size| padded(size) - size).sum()
}

/// All sets of multiples below the largest size, with it.
fn all_buckets(limits: Limits) -> Vec<Vec<usize>> {
    let ends: Vec<usize> = (1..limits.largest).filter(|n| n % limits.multiple == 0).collect();
    let mut all = Vec::new();
    for set in 0..1_usize << ends.len() {
        let mut chosen: Vec<usize> =
            (0..ends.len()).filter(|bit| set >> bit & 1 == 1).map(|bit| ends[bit]).collect();
        chosen.push(limits.largest);
        if chosen.len() <= limits.buckets {
            all.push(chosen);
        }
    }
    all
}

/// The weighted distances of a run of buckets to one of them.
fn distance(run: &[Bucket], opt: usize) -> f64 {
    let ratio = |b: &Bucket| (b.size as f64 / opt as f64).ln().abs();
    run.iter().map(|b| b.requests.max(1) as f64 * b.size as f64 * ratio(b)).sum()
}

/// The least distance of all ways to cut the buckets into at most so many runs, each with any of its buckets as the best.
fn least(buckets: &[Bucket], most: usize) -> f64 {
    let n = buckets.len();
    let mut least = f64::INFINITY;
    for cuts in 0..1_usize << (n - 1) {
        let mut ends: Vec<usize> = (1..n).filter(|at| cuts >> (at - 1) & 1 == 1).collect();
        ends.push(n);
        if ends.len() > most {
            continue;
        }
        let mut start = 0;
        let mut sum = 0.0;
        for end in ends {
            let run = &buckets[start..end];
            let best = run.iter().map(|b| distance(run, b.size));
            sum += best.fold(f64::INFINITY, f64::min);
            start = end;
        }
        least = least.min(sum);
    }
    least
}

fn distance_of(axis: &AxisPlan) -> f64 {
    let within = |span: &onr_planner::Span| {
        let run = axis.buckets.iter().filter(|b| (span.min..=span.max).contains(&b.size));
        distance(&run.copied().collect::<Vec<_>>(), span.opt)
    };
    axis.profiles.iter().map(within).sum()
}

/// A sample, and limits that it keeps.
fn cases(largest: usize, most: usize) -> impl Strategy<Value = (Vec<usize>, Limits)> {
    (1..=largest, 1..=most, 1..=most, 1..=5_usize).prop_flat_map(
        |(largest, buckets, profiles, multiple)| {
            let limits = Limits { buckets, profiles, multiple, largest };
            (prop::collection::vec(0..=largest, 0..40), Just(limits))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_buckets_pad_less((sizes, limits) in cases(12, 6)) {
        let axis = plan(&sizes.iter().copied().collect(), limits).unwrap();
        let chosen: Vec<usize> = axis.buckets.iter().map(|b| b.size).collect();
        let all = all_buckets(limits);
        let best = all.iter().map(|buckets| cost(buckets, &sizes)).min().unwrap();
        prop_assert_eq!(cost(&chosen, &sizes), best);
        let fewest = all.iter().filter(|b| cost(b, &sizes) == best).map(Vec::len).min().unwrap();
        prop_assert_eq!(chosen.len(), fewest);
        prop_assert!(all.contains(&chosen), "{:?}", chosen);
    }

    #[test]
    fn no_profiles_are_nearer((sizes, limits) in cases(60, 8)) {
        let axis = plan(&sizes.iter().copied().collect(), limits).unwrap();
        let (found, best) = (distance_of(&axis), least(&axis.buckets, limits.profiles));
        prop_assert!((found - best).abs() <= 1e-9 * best.max(1.0), "{} {}", found, best);
    }

    #[test]
    fn every_size_has_one_profile_and_a_bucket((sizes, limits) in cases(400, 9)) {
        let axis = plan(&sizes.iter().copied().collect(), limits).unwrap();
        for size in 1..=limits.largest {
            let taking = axis.profiles.iter().filter(|p| (p.min..=p.max).contains(&size));
            prop_assert_eq!(taking.count(), 1, "{}", size);
            let padded = axis.padded(size).unwrap();
            prop_assert!(padded >= size && padded <= limits.largest);
        }
        prop_assert_eq!(axis.padded(0), Some(axis.buckets[0].size));
        prop_assert_eq!(axis.padded(limits.largest + 1), None);
        prop_assert!(axis.buckets.windows(2).all(|pair| pair[0].size < pair[1].size));
        prop_assert!(axis.buckets.len() <= limits.buckets);
        prop_assert!(axis.profiles.len() <= limits.profiles);
        prop_assert_eq!(axis.buckets.iter().map(|b| b.requests).sum::<u64>(), sizes.len() as u64);
        for span in &axis.profiles {
            prop_assert!(span.min <= span.opt && span.opt <= span.max);
            prop_assert!(axis.buckets.iter().any(|b| b.size == span.opt));
        }
    }

    #[test]
    fn a_forecast_is_the_sum_of_what_is_padded((sizes, limits) in cases(50, 4)) {
        let axis = plan(&sizes.iter().copied().collect(), limits).unwrap();
        let waste = forecast(sizes.iter().map(|size| [*size]), [&axis]);
        let buckets: Vec<usize> = axis.buckets.iter().map(|b| b.size).collect();
        prop_assert_eq!(waste.computed - waste.useful, cost(&buckets, &sizes) as u128);
        prop_assert_eq!(waste.single, (limits.largest * sizes.len()) as u128);
        prop_assert!(waste.planned_share() <= waste.single_share());
    }
}

const LIMITS: Limits = Limits { buckets: 4, profiles: 2, multiple: 8, largest: 20 };

#[test]
fn the_largest_size_is_covered_whatever_the_sample_has() {
    for sizes in [&[][..], &[0], &[1, 2], &[20], &[19]] {
        let axis = plan(&sizes.iter().copied().collect(), LIMITS).unwrap();
        assert_eq!(axis.largest(), 20, "no multiple of 8, and yet the last: {sizes:?}");
        assert_eq!((axis.profiles[0].min, axis.profiles[axis.profiles.len() - 1].max), (1, 20));
    }
    let nothing = plan(&Histogram::default(), LIMITS).unwrap();
    assert_eq!((nothing.buckets.len(), nothing.profiles.len()), (1, 1));
    assert_eq!(forecast::<1>([], [&nothing]).planned_share(), 0.0, "nothing is not all waste");
}

#[test]
fn two_axes_are_forecast_together() {
    let limits = |largest| Limits { multiple: 1, largest, ..LIMITS };
    let lengths = plan(&[2, 10].into_iter().collect(), limits(10)).unwrap();
    let candidates = plan(&[4, 4].into_iter().collect(), limits(5)).unwrap();
    let waste = forecast([[2, 4], [10, 4]], [&lengths, &candidates]);
    assert_eq!((waste.useful, waste.computed, waste.single), (48, 48, 100));
}

#[test]
fn what_cannot_be_planned() {
    let refused = |limits| plan(&[21].into_iter().collect(), limits).unwrap_err();
    assert_eq!(refused(LIMITS), PlanError::Beyond { size: 21, largest: 20 });
    for (limit, limits) in [
        ("buckets", Limits { buckets: 0, ..LIMITS }),
        ("profiles", Limits { profiles: 0, ..LIMITS }),
        ("multiple", Limits { multiple: 0, ..LIMITS }),
        ("largest", Limits { largest: 0, ..LIMITS }),
    ] {
        assert_eq!(refused(limits), PlanError::Zero { limit });
    }
}

/// Every length there is, a hundred thousand requests, as many buckets as anybody would ask for.
#[test]
fn large_samples_are_planned() {
    let sizes = || (0..100_000_usize).map(|i| i * i % 8193);
    let limits = Limits { buckets: 64, profiles: 8, multiple: 1, largest: 8192 };
    let axis = plan(&sizes().collect(), limits).unwrap();
    assert_eq!((axis.buckets.len(), axis.profiles.len()), (64, 8));
    let waste = forecast(sizes().map(|size| [size]), [&axis]);
    assert!(waste.planned_share() < 0.02, "{waste:?}");
    assert!(waste.single_share() > 0.4, "{waste:?}");
}
