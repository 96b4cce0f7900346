//! Intervals.

use onr_evaluation::{
    Among, CompareError, CompareOptions, Comparison, Evaluation, Metric, Side, compare,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::evaluation;

fn side<'a>(runs: &'a [&'a Evaluation]) -> Side<'a> {
    Side { runs, list: "final", among: Among::Everyone }
}

fn hits(seed: u64, users: usize, rate: f64) -> Evaluation {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    evaluation((0..users).map(|user| (user, random.random_bool(rate).then_some(1), 1.0)))
}

fn hr1(a: &[&Evaluation], b: &[&Evaluation], resamples: usize, seed: u64) -> Comparison {
    compare(side(a), side(b), Metric::Hr1, CompareOptions { resamples, seed }).expect("compares")
}

#[test]
fn nineteen_intervals_of_twenty_hold_the_truth() {
    let (mut difference, mut ratio, n) = (0, 0, 200);
    for trial in 0..n {
        let (a, b) = (hits(2 * trial, 150, 0.5), hits(2 * trial + 1, 150, 0.4));
        let got = hr1(&[&a], &[&b], 200, trial);
        difference += u64::from(got.difference.low <= 0.1 && 0.1 <= got.difference.high);
        let of = got.ratio.expect("the second side has hits");
        ratio += u64::from(of.low <= 1.25 && 1.25 <= of.high);
    }
    // Two standard errors of a coverage of 0.95 over 200 trials are 0.03.
    for covered in [difference, ratio] {
        assert!((0.91..=0.99).contains(&(covered as f64 / n as f64)), "{covered} of {n}");
    }
}

#[test]
fn the_answer_follows_from_the_seed_alone() {
    let (a, b) = (hits(1, 150, 0.3), hits(2, 150, 0.2));
    let on = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| hr1(&[&a], &[&b], 500, seed))
    };
    assert_eq!(on(1, 7), on(4, 7));
    assert_ne!(on(1, 7), on(1, 8));
}

#[test]
fn pairs_make_intervals_narrow() {
    let a = hits(1, 400, 0.5);
    // The same users hit, but for the first ten.
    let b =
        evaluation(a.outcomes.iter().map(|o| (o.user, o.places[0].filter(|_| o.user >= 10), 1.0)));
    let paired = hr1(&[&a], &[&b], 1000, 0);
    let apart = hr1(&[&a], &[&hits(2, 400, 0.5)], 1000, 0);
    let width = |c: &Comparison| c.difference.high - c.difference.low;
    assert!(width(&paired) < width(&apart) / 3.0);
    assert!((paired.difference.mean - (paired.a.mean - paired.b.mean)).abs() < 1e-12);
    let same = hr1(&[&a], &[&a], 100, 0);
    assert!(same.difference.low.abs() < 1e-12 && same.difference.high.abs() < 1e-12);
}

#[test]
fn a_seed_is_no_user_more() {
    let (a, b) = (hits(1, 100, 0.4), hits(2, 100, 0.3));
    let once = hr1(&[&a], &[&b], 400, 3);
    let thrice = hr1(&[&a, &a, &a], &[&b], 400, 3);
    assert!((once.difference.low - thrice.difference.low).abs() < 1e-12);
    assert!((once.difference.high - thrice.difference.high).abs() < 1e-12);
    let other = hits(5, 100, 0.4);
    let pooled = hr1(&[&a, &other], &[&b], 400, 3);
    let mean = |e: &Evaluation| e.metrics("final").expect("has the list").hr1;
    assert!((pooled.a.mean - f64::midpoint(mean(&a), mean(&other))).abs() < 1e-12);
}

#[test]
fn users_of_one_side_are_dropped_and_counted() {
    let a = evaluation([(1, Some(1), 1.0), (2, None, 1.0), (3, Some(1), 1.0)]);
    let b = evaluation([(2, Some(1), 1.0), (3, None, 1.0), (4, Some(1), 1.0), (5, Some(1), 1.0)]);
    let got = hr1(&[&a], &[&b], 50, 0);
    assert_eq!((got.users, got.dropped), (2, 3));
    assert!((got.a.mean - 0.5).abs() < 1e-12 && (got.b.mean - 0.5).abs() < 1e-12);
}

#[test]
fn users_without_value_weigh_nothing() {
    let a = evaluation([(1, Some(1), 0.0), (2, Some(1), 3.0), (3, None, 1.0)]);
    let b = evaluation([(1, Some(1), 0.0), (2, None, 3.0), (3, None, 1.0)]);
    let got = compare(side(&[&a]), side(&[&b]), Metric::ValueNdcg10, CompareOptions::default())
        .expect("compares");
    assert!((got.a.mean - 0.75).abs() < 1e-12);
    assert_eq!(got.ratio, None);
    // Resamples of the first user alone have no mean.
    assert!(got.resamples < 2000 && got.resamples > 1800, "{}", got.resamples);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let a = evaluation([(1, Some(1), 0.0)]);
    let b = evaluation([(2, Some(1), 0.0)]);
    let go = |a: Side<'_>, b: Side<'_>, metric, resamples| {
        compare(a, b, metric, CompareOptions { resamples, seed: 0 }).expect_err("is refused")
    };
    let runs = [&a];
    let with = |list, among| Side { runs: &runs, list, among };
    let fine = with("final", Among::Everyone);
    assert_eq!(go(fine, side(&[]), Metric::Hr1, 9), CompareError::NoRuns);
    assert_eq!(go(fine, fine, Metric::Hr1, 0), CompareError::NoResamples);
    let no_users = |metric| CompareError::NoUsers { metric };
    assert_eq!(go(fine, side(&[&b]), Metric::Hr1, 9), no_users("HR@1"));
    assert_eq!(go(fine, fine, Metric::Value10, 9), no_users("value@10"));
    let got = go(with("ranker:t0", Among::Everyone), fine, Metric::Hr1, 9);
    assert!(matches!(got, CompareError::NoList { list, .. } if list == "ranker:t0"));
    let got = go(fine, with("final", Among::PositivesOf("t9")), Metric::Hr1, 9);
    assert!(matches!(got, CompareError::NoTask { task, .. } if task == "t9"));
}
