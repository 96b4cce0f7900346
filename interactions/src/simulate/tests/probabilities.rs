//! What `Truth` says is what happens.

use proptest::prelude::*;

use super::*;
use crate::simulate::random::Stream;
use crate::simulate::state::State;
use crate::simulate::taste::Taste;
use crate::simulate::user::outcome;

/// A user after the first `length` impressions of the log.
fn after(log: &SimulatedLog, user: usize, length: usize) -> (Taste, State) {
    let mut state = State::default();
    for row in &log.user(user).rows[..length] {
        assert!(state.show(&log.world, row.item));
    }
    (Taste::new(&log.world, user), state)
}

fn ids(log: &SimulatedLog, user: usize, length: usize) -> Vec<String> {
    log.user(user).rows[..length].iter().map(|row| log.item_id(row.item as usize)).collect()
}

#[test]
fn next_items_are_as_frequent_as_interest_says() {
    const DRAWS: usize = 60_000;
    let log = simulate(&Simulation { min_events: 50, max_events: 55, ..small() }).unwrap();
    for (user, length) in [(0, 0), (1, 3), (2, 12), (3, 25), (4, 40), (5, 50)] {
        let (taste, state) = after(&log, user, length);
        let interest = state.interest(&log.world, &taste);
        let rng = &mut Stream::Events(1_000 + user).of(5);
        let mut counts = vec![0_usize; 60];
        for _ in 0..DRAWS {
            counts[state.draw(&log.world, &taste, rng) as usize] += 1;
        }
        let chi_square: f64 = counts
            .iter()
            .zip(&interest)
            .filter(|&(_, &p)| p > 0.0)
            .map(|(&count, p)| (count as f64 - p * DRAWS as f64).powi(2) / (p * DRAWS as f64))
            .sum();
        // 59 degrees of freedom at most: above 110 once in 20,000 times.
        assert!(chi_square < 110.0, "user {user} after {length}: {chi_square}");
        assert!(counts.iter().zip(&interest).all(|(&count, &p)| count == 0 || p > 0.0));
    }
}

#[test]
fn values_are_as_large_as_expected() {
    const DRAWS: u32 = 100_000;
    let log = simulate(&small()).unwrap();
    let truth = log.truth();
    let history = ids(&log, 7, 5);
    let moment = truth.moment(&log.user_id(7), &history).unwrap();
    let expected = moment.expected_values();
    let (taste, state) = after(&log, 7, 5);
    let rng = &mut Stream::Events(7).of(99);
    for item in [0_usize, 9, 23, 41, log.user(7).rows[5].item as usize] {
        let mut sums = (0.0, 0.0, 0.0);
        for _ in 0..DRAWS {
            let row = outcome(&log.world, &taste, &state, item as u32, 0, rng);
            sums.0 += f64::from(u8::from(row.clicked));
            sums.1 += f64::from(u8::from(row.converted));
            sums.2 += row.value;
        }
        let mean = |sum: f64| sum / f64::from(DRAWS);
        assert!((mean(sums.0) - moment.click(item)).abs() < 0.01);
        assert!((mean(sums.1) - moment.click(item) * moment.conversion(item)).abs() < 0.01);
        let ratio = mean(sums.2) / f64::from(expected[item]);
        assert!((0.94..1.06).contains(&ratio), "item {item}: {ratio}");
    }
}

#[test]
fn utilities_sum_to_the_worth_of_the_next_impression() {
    const DRAWS: u32 = 200_000;
    let log = simulate(&small()).unwrap();
    let truth = log.truth();
    let moment = truth.moment(&log.user_id(3), &ids(&log, 3, 4)).unwrap();
    let expected: f64 = moment.utilities().iter().copied().map(f64::from).sum();
    let (taste, state) = after(&log, 3, 4);
    let rng = &mut Stream::Events(3).of(98);
    let mut sum = 0.0;
    for _ in 0..DRAWS {
        let item = state.draw(&log.world, &taste, rng);
        sum += outcome(&log.world, &taste, &state, item, 0, rng).value;
    }
    let ratio = sum / f64::from(DRAWS) / expected;
    assert!((0.97..1.03).contains(&ratio), "{ratio}");
}

#[test]
fn the_next_of_each_series_matters_and_not_the_last_event_alone() {
    let log = simulate(&Simulation::default()).unwrap();
    let (taste, mut state) = after(&log, 0, 0);
    let followed: Vec<usize> = taste.followed.iter().map(|f| f.series).collect();
    for &series in &followed {
        assert!(state.show(&log.world, log.world.chain(series)[10]));
    }
    let interest = state.interest(&log.world, &taste);
    for one in &taste.followed {
        let next = log.world.chain(one.series)[11] as usize;
        assert!(interest[next] > 0.75 * 0.95 * one.weight);
    }
}

#[test]
fn the_chain_is_a_ring_and_seen_items_are_skipped() {
    let log = simulate(&small()).unwrap();
    let (world, mut state) = (&log.world, State::default());
    let chain = world.chain(2).to_vec();
    assert_eq!(state.successor(world, 2), None);
    state.show(world, chain[0]);
    state.show(world, chain[1]);
    state.show(world, chain[9]);
    assert_eq!(state.successor(world, 2), Some(chain[2]));
    assert!(!state.show(world, chain[1]));
    assert_eq!(chain.iter().filter(|&&item| state.show(world, item)).count(), 7);
    assert_eq!(state.successor(world, 2), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn interest_is_a_distribution_over_what_is_unseen(user in 0_usize..600, cut in 0_usize..5) {
        let log = simulate(&small()).unwrap();
        let length = log.user(user).rows.len() - cut;
        let history = ids(&log, user, length);
        let truth = log.truth();
        let moment = truth.moment(&log.user_id(user), &history).unwrap();
        let (interest, values) = (moment.interest(), moment.expected_values());
        prop_assert!((interest.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        for id in &history {
            prop_assert!(interest[truth.item_number(id).unwrap()] == 0.0);
        }
        for (item, &value) in values.iter().enumerate() {
            let product =
                moment.click(item) * moment.conversion(item) * log.world.price(item as u32);
            prop_assert_eq!(value, product as f32);
            let utility = f64::from(interest[item]) * product;
            prop_assert!((f64::from(moment.utilities()[item]) - utility).abs() < 1e-6 * (1.0 + utility));
        }
    }
}

#[test]
fn refused_because_unknown_or_seen_twice() {
    let truth = simulate(&small()).unwrap().truth();
    let refusal =
        |user: &str, history: &[&str]| truth.moment(user, history).unwrap_err().to_string();
    assert_eq!(refusal("u1", &[]), "`u1` is no user of a simulated log");
    assert_eq!(refusal("u000000001", &["i60"]), "`i60` is no item of this simulated log");
    assert_eq!(
        refusal("u000000001", &["i03", "i04", "i03"]),
        "item `i03` is twice in the history of `u000000001`, who sees nothing twice"
    );
}
