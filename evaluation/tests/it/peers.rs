//! Counts, by hand.

use onr_evaluation::{
    CoOccurrence, CoOccurrenceSettings, EvaluateError, EvaluateOptions, InMemory, Markov,
    MarkovSettings, Popularity, Reach, Recommender, evaluate,
};
use onr_interactions::{Event, Fold};
use proptest::prelude::*;

use crate::support::{history, mix};

/// The last two behaviours of each are held out.
fn store() -> InMemory {
    InMemory::new(
        7,
        vec![
            history(&[1, 2, 3, 6, 6]),
            history(&[2, 3, 1, 6, 6]),
            history(&[2, 1, 6, 6]),
            history(&[5]),
        ],
    )
}

fn scores(peer: &mut impl Recommender, past: &[u32]) -> Vec<f32> {
    let past = history(past);
    peer.retrieve(&[&past]).expect("peers do not fail")
}

fn reach(window: usize, ordered: bool) -> Reach {
    Reach { window, ordered, fade: 0.0 }
}

fn near(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} is not {want:?}");
}

#[test]
fn popularity_counts_training_only() {
    let mut peer = Popularity::fit(&store()).expect("fits");
    assert_eq!(scores(&mut peer, &[4]), [0.0, 3.0, 3.0, 2.0, 0.0, 0.0, 0.0]);
}

#[test]
fn markov_adds_smoothing_to_what_comes_next() {
    let settings = MarkovSettings { reach: reach(1, true), smoothing: 0.8 };
    let mut peer = Markov::fit(&store(), settings).expect("fits");
    near(&scores(&mut peer, &[1, 2]), &[0.0, 1.3, 0.3, 2.2, 0.0, 0.0, 0.0]);
    near(&scores(&mut peer, &[4]), &[0.0, 0.3, 0.3, 0.2, 0.0, 0.0, 0.0]);
}

#[test]
fn cooccurrence_divides_by_powers_of_popularity() {
    let settings = CoOccurrenceSettings {
        reach: reach(usize::MAX, false),
        past_power: 1.0,
        item_power: 0.5,
        decay: 0.5,
    };
    let mut peer = CoOccurrence::fit(&store(), settings).expect("fits");
    let root = |n: f32| n.sqrt();
    // Near 2: 1 three times, 3 twice. Near 3: 1 and 2, twice each.
    let want =
        [0.0, (1.0 + 0.5) / root(3.0), 0.5 / root(3.0), 2.0 / 3.0 / root(2.0), 0.0, 0.0, 0.0];
    near(&scores(&mut peer, &[3, 2]), &want);
    let mut long: Vec<u32> = vec![2];
    long.extend([5; CoOccurrence::LAST]);
    near(&scores(&mut peer, &long), &[0.0; 7]);
}

#[test]
fn far_items_fade() {
    let settings = |fade| CoOccurrenceSettings {
        reach: Reach { window: 5, ordered: true, fade },
        past_power: 0.0,
        item_power: 0.0,
        decay: 1.0,
    };
    let store = InMemory::new(5, vec![history(&[1, 2, 3, 4, 4])]);
    let mut peer = CoOccurrence::fit(&store, settings(0.5)).expect("fits");
    near(&scores(&mut peer, &[1]), &[0.0, 0.0, 1.0, 0.5f32.sqrt(), 0.0]);
    near(&scores(&mut peer, &[3]), &[0.0; 5]);
}

proptest! {
    #[test]
    fn counts_are_those_of_all_pairs(
        items in prop::collection::vec(prop::collection::vec(1u32..8, 0..12), 1..6),
        window in 1usize..9,
        ordered: bool,
        last in 1u32..8,
    ) {
        let mut want = [0f32; 8];
        for user in items.iter().map(|items| &items[..items.len().saturating_sub(2)]) {
            for i in 0..user.len() {
                for j in 0..user.len() {
                    let near = i != j && i.abs_diff(j) <= window && !(ordered && j < i);
                    if near && user[i] == last {
                        want[user[j] as usize] += 1.0;
                    }
                }
            }
        }
        let store = InMemory::new(8, items.iter().map(|items| history(items)).collect());
        let settings = MarkovSettings { reach: reach(window, ordered), smoothing: 0.0 };
        let mut peer = Markov::fit(&store, settings).expect("fits");
        prop_assert_eq!(scores(&mut peer, &[last]), want);
    }
}

/// Users who go through the items in steps of one, from places that look random.
fn walks() -> InMemory {
    let walk = |user: u64| {
        let start = (mix(user) % 40) as u32;
        history(&(0..9).map(|n| 1 + (start + n) % 40).collect::<Vec<u32>>())
    };
    InMemory::new(41, (0..60).map(walk).collect())
}

fn hr1(peer: &mut impl Recommender, fold: Fold) -> f64 {
    let got = evaluate(peer, &walks(), &EvaluateOptions::new(fold)).expect("evaluates");
    got.metrics("final").expect("has users").hr1
}

#[test]
fn tuned_peers_find_a_chain() {
    let mut markov = Markov::tuned(&walks(), None).expect("tunes");
    assert_eq!(markov.settings().reach, reach(1, false));
    let mut near = CoOccurrence::tuned(&walks(), None).expect("tunes");
    let mut popular = Popularity::fit(&walks()).expect("fits");
    assert!(hr1(&mut markov, Fold::Test) > 0.9);
    assert!(hr1(&mut near, Fold::Test) > 0.9);
    assert!(hr1(&mut popular, Fold::Test) < 0.3);
}

#[test]
fn peers_refuse_items_outside_the_catalogue() {
    let store = InMemory::new(3, vec![history(&[1, 3, 1, 1])]);
    let got = Popularity::fit(&store).expect_err("is refused");
    assert!(matches!(got, EvaluateError::Item { user: 0, item: 3, n_items: 3 }));
    let empty = InMemory::new(3, vec![]);
    let mut peer = Markov::tuned(&empty, None).expect("tunes on nobody");
    assert_eq!(peer.retrieve(&[&[] as &[Event]]).map(|s| s.len()), Ok(3));
}
