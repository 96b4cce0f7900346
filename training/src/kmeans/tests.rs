//! Against blobs whose centres are known and against a slow, obvious Lloyd.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;

use super::assign::{Assigned, squared_distance};
use super::*;

/// `n` points around `k` random centres in a box of -10..10, each coordinate up to `spread` away.
fn blobs(n: usize, dim: usize, k: usize, spread: f32, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let centres: Vec<f32> = (0..k * dim).map(|_| rng.random_range(-10.0..10.0)).collect();
    let mut points = Vec::new();
    for i in 0..n {
        for d in 0..dim {
            points.push(centres[i % k * dim + d] + rng.random_range(-spread..=spread));
        }
    }
    (points, centres)
}

fn inertia(points: &[f32], dim: usize, centres: &[f32]) -> f64 {
    let nearest = |p: &[f32]| {
        let distances = centres.chunks(dim).map(|c| squared_distance(p, c));
        f64::from(distances.fold(f32::INFINITY, f32::min))
    };
    points.chunks(dim).map(nearest).sum()
}

/// Lloyd until nothing changes, from `k` random points; the best of five.
fn obvious(points: &[f32], dim: usize, k: usize) -> f64 {
    let n = points.len() / dim;
    let run = |seed| {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut centres = Vec::new();
        for _ in 0..k {
            let i = rng.random_range(0..n);
            centres.extend_from_slice(&points[i * dim..(i + 1) * dim]);
        }
        let mut before = f64::INFINITY;
        loop {
            let now = inertia(points, dim, &centres);
            if now >= before {
                return before;
            }
            before = now;
            let mut sums = vec![0.0_f64; k * dim];
            let mut counts = vec![0_u32; k];
            for p in points.chunks(dim) {
                let near = |c: &usize| squared_distance(p, &centres[c * dim..(c + 1) * dim]);
                let c = (0..k).min_by(|a, b| near(a).total_cmp(&near(b))).unwrap();
                counts[c] += 1;
                (0..dim).for_each(|d| sums[c * dim + d] += f64::from(p[d]));
            }
            for i in (0..k * dim).filter(|i| counts[i / dim] > 0) {
                centres[i] = (sums[i] / f64::from(counts[i / dim])) as f32;
            }
        }
    };
    (0..5).map(run).fold(f64::INFINITY, f64::min)
}

#[test]
fn separated_blobs_are_found() {
    for (n, batch) in [(400, 4_096), (3_000, 100)] {
        let (points, centres) = blobs(n, 5, 8, 0.2, 3);
        let options = KMeansOptions { batch, ..KMeansOptions::default() };
        let found = cluster(&points, 5, 8, &options).unwrap();
        for centre in centres.chunks(5) {
            let nearest = found.centres.chunks(5).map(|c| squared_distance(c, centre));
            assert!(nearest.fold(f32::INFINITY, f32::min) < 0.02);
        }
        assert!(found.sizes.iter().all(|&size| size as usize == n / 8));
        assert!((0..n).all(|i| found.assignment[i] == found.assignment[i % 8]));
    }
}

#[test]
fn not_worse_than_an_obvious_lloyd() {
    let shapes = [(500, 2, 5, 3.0), (500, 8, 8, 6.0), (700, 3, 12, 1.0), (500, 16, 6, 20.0)];
    for (case, (n, dim, k, spread)) in shapes.into_iter().enumerate() {
        let (points, _) = blobs(n, dim, k, spread, case as u64);
        let best = obvious(&points, dim, k);
        for seed in 0..3 {
            for batch in [100, 4_096] {
                let options = KMeansOptions { batch, seed, ..KMeansOptions::default() };
                let found = cluster(&points, dim, k, &options).unwrap();
                let ratio = found.inertia / best;
                assert!(ratio < 1.05, "case {case}, batch {batch}, seed {seed}: {ratio}");
            }
        }
    }
}

#[test]
fn the_same_on_one_thread_and_on_four() {
    let (points, _) = blobs(9_000, 3, 8, 4.0, 1);
    let on = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = KMeansOptions { starts: 2, batch: 500, steps: 5, passes: 2, seed: 9 };
        pool.install(|| cluster(&points, 3, 8, &options).unwrap())
    };
    let one = on(1);
    assert_eq!(one, on(4));
    let other = KMeansOptions { starts: 2, batch: 500, steps: 5, passes: 2, seed: 10 };
    assert_ne!(one, cluster(&points, 3, 8, &other).unwrap());
}

#[test]
fn an_empty_cluster_is_moved_to_the_farthest_point() {
    let points = [0.0, 0.1, 5.0, 5.1, 90.0];
    let centres = [0.0, 5.0, -700.0];
    let none = KMeansOptions { steps: 0, passes: 0, ..KMeansOptions::default() };
    let found = cluster_from(&points, 1, &centres, &none).unwrap();
    assert_eq!(found.centres, [0.0, 5.0, 90.0]);
    assert_eq!((found.assignment, found.sizes), (vec![0, 0, 1, 1, 2], vec![2, 2, 1]));
}

#[test]
fn filling_one_cluster_may_empty_another_and_still_ends() {
    let points = [10.0, 10.0, 11.0, 13.0];
    let centres = &mut [0.0, 100.0, 200.0, 16.0];
    let points = Points::new(&points, 1, "points").unwrap();
    let mut assigned = Assigned::new(points, centres);
    assert!(matches!(
        assigned.fill(points, centres),
        Err(KMeansError::TooFewPoints { distinct: 3, k: 4 })
    ));
    let centres = &mut [0.0, 100.0, 16.0];
    let mut assigned = Assigned::new(points, centres);
    assert_eq!(assigned.sizes, [0, 0, 4]);
    assert_eq!(assigned.fill(points, centres), Ok(true));
    assert_eq!(assigned, Assigned::new(points, centres));
    assert!(assigned.sizes.iter().all(|&size| size > 0));
}

#[test]
fn a_warm_start_of_settled_centres_changes_nothing() {
    let (points, _) = blobs(900, 4, 6, 1.0, 8);
    let long = KMeansOptions { steps: 500, ..KMeansOptions::default() };
    let first = cluster(&points, 4, 6, &long).unwrap();
    assert_eq!(cluster_from(&points, 4, &first.centres, &long).unwrap(), first);
}

#[test]
fn a_sample_without_the_rare_points_is_made_good() {
    let mut points = vec![1.0_f32; 60_000];
    points[123] = 5.0;
    points[54_321] = 9.0;
    let options = KMeansOptions { batch: 50, steps: 3, ..KMeansOptions::default() };
    let found = cluster(&points, 1, 3, &options).unwrap();
    let mut centres = found.centres.clone();
    centres.sort_by(f32::total_cmp);
    assert_eq!((centres, found.inertia), (vec![1.0, 5.0, 9.0], 0.0));
}

#[test]
fn refused_because_too_few_points_differ() {
    let run = |points: &[f32], k| cluster(points, 2, k, &KMeansOptions::default()).unwrap_err();
    let points = [1.0, 2.0, 3.0, 4.0, 1.0, 2.0];
    assert_eq!(run(&points, 3), KMeansError::TooFewPoints { distinct: 2, k: 3 });
    assert_eq!(run(&points, 4), KMeansError::TooFewPoints { distinct: 2, k: 4 });
    assert_eq!(run(&[], 1), KMeansError::TooFewPoints { distinct: 0, k: 1 });
    assert_eq!(run(&points, 3).to_string(), "2 different points are too few for 3 clusters");
}

#[test]
fn refused_because_a_number_is_none_or_too_large() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e16] {
        let mut points = vec![0.5; 30];
        points[17] = bad;
        let error = cluster(&points, 3, 1, &KMeansOptions::default()).unwrap_err();
        assert!(error.to_string().starts_with("points: number 2 of row 5 is "), "{error}");
        let error = cluster_from(&[0.0; 30], 3, &points, &KMeansOptions::default()).unwrap_err();
        assert!(error.to_string().starts_with("centres: number 2 of row 5 is "), "{error}");
    }
}

#[test]
fn refused_because_of_shapes_and_zeros() {
    let options = KMeansOptions::default();
    let shape = |len, dim| KMeansError::Shape { what: "points", len, dim };
    assert_eq!(cluster(&[0.0; 7], 2, 1, &options), Err(shape(7, 2)));
    assert_eq!(cluster(&[0.0; 7], 0, 1, &options), Err(shape(7, 0)));
    assert_eq!(cluster(&[0.0; 7], 1, 0, &options), Err(KMeansError::Options { name: "k" }));
    assert_eq!(cluster_from(&[0.0], 1, &[], &options), Err(KMeansError::Options { name: "k" }));
    let none = KMeansOptions { starts: 0, ..options };
    assert_eq!(cluster(&[0.0], 1, 1, &none), Err(KMeansError::Options { name: "starts" }));
    let none = KMeansOptions { batch: 0, ..options };
    assert_eq!(cluster(&[0.0], 1, 1, &none), Err(KMeansError::Options { name: "batch" }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_returned_belongs_together(
        dim in 1_usize..20,
        k in 1_usize..7,
        coarse in any::<bool>(),
        numbers in prop::collection::vec(-100.0_f32..100.0, 1..800),
        (starts, batch, steps, passes, seed) in (1_usize..4, 1_usize..40, 0_usize..10, 0_usize..6, any::<u64>()),
    ) {
        let mut points = numbers[..numbers.len() / dim * dim].to_vec();
        if coarse {
            points.iter_mut().for_each(|x| *x = (*x / 80.0).round());
        }
        let options = KMeansOptions { starts, batch, steps, passes, seed };
        let distinct = Points::new(&points, dim, "points").unwrap().distinct();
        match cluster(&points, dim, k, &options) {
            Err(error) => prop_assert_eq!(error, KMeansError::TooFewPoints { distinct, k }),
            Ok(found) => {
                prop_assert!(distinct >= k);
                prop_assert!(found.centres.len() == k * dim && found.sizes.len() == k);
                for (i, point) in points.chunks(dim).enumerate() {
                    let near = |c: usize| squared_distance(point, &found.centres[c * dim..(c + 1) * dim]);
                    let own = found.assignment[i] as usize;
                    prop_assert!((0..k).all(|c| near(own) < near(c) || near(own) == near(c) && own <= c));
                }
                for c in 0..k {
                    let count = found.assignment.iter().filter(|&&a| a as usize == c).count();
                    prop_assert!(count > 0 && count == found.sizes[c] as usize);
                }
                let expected = inertia(&points, dim, &found.centres);
                prop_assert!((found.inertia - expected).abs() <= 1e-9 * expected);
            }
        }
    }

    #[test]
    fn a_full_pass_never_makes_it_worse(
        numbers in prop::collection::vec(-100.0_f32..100.0, 20..400),
        seed in any::<u64>(),
    ) {
        let points = &numbers[..numbers.len() / 2 * 2];
        let after = |passes| {
            let options = KMeansOptions { starts: 1, batch: 5, steps: 4, passes, seed };
            cluster(points, 2, 4, &options).unwrap().inertia
        };
        for passes in 0..4 {
            prop_assert!(after(passes + 1) <= after(passes) * 1.000_01);
        }
    }
}
