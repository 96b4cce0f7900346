//! Synthetic requests with the corners that real ones have: empty and full histories, ties, gaps.

use std::collections::HashSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::check::Limits;
use crate::request::Request;

/// Unix seconds around which synthetic requests are made: November 2023.
const NOW: i64 = 1_700_000_000;
/// How far request times spread before and after, seconds: about a month.
const SPREAD: i64 = 30 * 86_400;
/// The share of behaviours at the same second as the one before.
const TIES: f64 = 0.2;
/// The longest gap between two behaviours, seconds: about four months.
const LONGEST_GAP: f64 = 1e7;
/// What a history spans on average at most, seconds: 25 years, so that long ones begin after 1970.
const LONGEST_SPAN: f64 = 8e8;

/// Makes `count` requests that pass a [`crate::Checker`] of the same `limits`, even a strict one.
///
/// Request 0 has an empty history, request 1 a full one, request 2 one behaviour; the others have any
/// length of `0..=max_seq_len`. Times are unix seconds around 1.7e9 with gaps from none (a fifth of
/// them) to months; one request in sixteen is made a little before its last behaviour. Items and
/// candidates are of `1..n_items`, actions of `1..n_actions` (0 where there is no other), candidates
/// unique, `n_candidates` of them or as many as there are items.
///
/// Request `i` depends on `limits`, `seed`, `n_candidates` and `i`, not on `count`.
#[must_use]
pub fn random_requests(
    limits: &Limits,
    count: usize,
    seed: u64,
    n_candidates: usize,
) -> Vec<Request> {
    (0..count).map(|i| request(limits, i, seed, n_candidates)).collect()
}

/// The random stream `number` of `seed`: streams don't depend on the order in which they are used.
pub(crate) fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

fn request(limits: &Limits, i: usize, seed: u64, n_candidates: usize) -> Request {
    let rng = &mut stream(seed, i as u64);
    let items = i64::try_from(limits.n_items).unwrap_or(i64::MAX) - 1;
    let actions = i64::try_from(limits.n_actions).unwrap_or(i64::MAX) - 1;
    let longest = if items < 1 { 0 } else { limits.max_seq_len };
    let length = match i {
        0 => 0,
        1 => longest,
        2 => longest.min(1),
        _ => rng.random_range(0..=longest),
    };
    let last = NOW + rng.random_range(-SPREAD..=SPREAD);
    Request {
        user: format!("user-{i}"),
        items: (0..length).map(|_| rng.random_range(1..=items)).collect(),
        actions: (0..length)
            .map(|_| if actions < 1 { 0 } else { rng.random_range(1..=actions) })
            .collect(),
        timestamps: times(rng, length, last),
        request_time: if rng.random_ratio(1, 16) {
            last - log_uniform(rng, 60.0)
        } else {
            last + log_uniform(rng, 86_400.0)
        },
        candidates: unique(rng, items, n_candidates),
    }
}

/// `length` times that end at `last`, oldest first.
fn times(rng: &mut ChaCha8Rng, length: usize, last: i64) -> Vec<i64> {
    let mut top = LONGEST_GAP;
    // The mean of a log-uniform gap of 1..top is about top / ln(top).
    while top > 2.0 && top / top.ln() * length as f64 > LONGEST_SPAN {
        top /= 2.0;
    }
    let mut time = last;
    let mut times: Vec<i64> = (0..length)
        .map(|_| {
            let this = time;
            time -= if rng.random_bool(TIES) { 0 } else { log_uniform(rng, top) };
            this
        })
        .collect();
    times.reverse();
    times
}

/// A whole number of `1..=top` whose logarithm is uniform.
fn log_uniform(rng: &mut ChaCha8Rng, top: f64) -> i64 {
    (rng.random::<f64>() * top.ln()).exp() as i64
}

/// `n` different ids of `1..=items` in random order, all of them where there are fewer (Floyd's
/// algorithm, then a shuffle: nothing as large as the table is made).
fn unique(rng: &mut ChaCha8Rng, items: i64, n: usize) -> Vec<i64> {
    let n = i64::try_from(n).unwrap_or(i64::MAX).min(items.max(0));
    let mut chosen = HashSet::new();
    let mut list = Vec::new();
    for upper in items - n + 1..=items {
        let drawn = rng.random_range(1..=upper);
        let id = if chosen.insert(drawn) { drawn } else { upper };
        chosen.insert(id);
        list.push(id);
    }
    for i in (1..list.len()).rev() {
        list.swap(i, rng.random_range(0..=i));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckOptions, Checker, Place};

    const LIMITS: Limits = Limits { n_items: 500, n_actions: 4, max_seq_len: 64 };

    #[test]
    fn they_pass_a_strict_check_with_nothing_to_count() {
        let mut checker = Checker::new(LIMITS, CheckOptions { strict: true, sort: false });
        for (number, request) in (1..).zip(random_requests(&LIMITS, 300, 7, 20)) {
            checker.check(request, &Place::Request { number }).unwrap();
        }
        let report = checker.report();
        assert_eq!((report.requests, report.candidates), (300, 6000));
        assert_eq!(report.unknown_history_items + report.unknown_actions, 0);
        assert_eq!(report.unknown_candidates + report.padding_candidates, 0);
        assert_eq!((report.repeated_candidates, report.times_beyond_seconds), (0, 0));
        assert!((5..40).contains(&report.made_before_last_behaviour), "{report:?}");
    }

    #[test]
    fn the_first_three_are_the_corners() {
        let lengths: Vec<_> =
            random_requests(&LIMITS, 200, 1, 0).iter().map(|r| r.items.len()).collect();
        assert_eq!(lengths[..3], [0, 64, 1]);
        assert!(lengths[3..].iter().any(|&n| n < 10) && lengths[3..].iter().any(|&n| n > 54));
    }

    #[test]
    fn gaps_go_from_ties_to_months() {
        for (length, longest) in [(1000, 2_000_000), (16_384, 200_000)] {
            let limits = Limits { max_seq_len: length, ..LIMITS };
            let times = &random_requests(&limits, 2, 5, 0)[1].timestamps;
            let gaps: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
            let ties = gaps.iter().filter(|&&g| g == 0).count() as f64 / gaps.len() as f64;
            assert!((0.15..0.25).contains(&ties), "{ties}");
            assert!(gaps.iter().any(|&g| g > longest) && gaps.iter().all(|&g| g >= 0));
            assert!(times[0] > 0 && (times[length - 1] - NOW).abs() <= SPREAD);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_whatever_the_count() {
        let many = random_requests(&LIMITS, 30, 9, 8);
        assert_eq!(random_requests(&LIMITS, 10, 9, 8), many[..10]);
        assert_ne!(random_requests(&LIMITS, 10, 10, 8), many[..10]);
    }

    #[test]
    fn candidates_are_unique_and_as_many_as_there_are() {
        let limits = Limits { n_items: 6, n_actions: 1, max_seq_len: 1 };
        for request in random_requests(&limits, 50, 2, 100) {
            let mut sorted = request.candidates.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 2, 3, 4, 5]);
            assert!(request.actions.iter().all(|&a| a == 0));
        }
        let none = Limits { n_items: 1, ..limits };
        assert!(
            random_requests(&none, 5, 2, 3)
                .iter()
                .all(|r| r.items.is_empty() && r.candidates.is_empty())
        );
    }

    #[test]
    fn each_candidate_is_as_likely_as_the_next() {
        let limits = Limits { n_items: 11, n_actions: 1, max_seq_len: 1 };
        let mut counts = [0_u32; 11];
        for request in random_requests(&limits, 4000, 2, 3) {
            request.candidates.iter().for_each(|&id| counts[id as usize] += 1);
        }
        assert!(counts[1..].iter().all(|c| (1000..1400).contains(c)), "{counts:?}");
    }
}
