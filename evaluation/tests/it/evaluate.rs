//! Places, candidates and values are those of full sorts.

use std::collections::BTreeSet;

use onr_evaluation::{EvaluateOptions, InMemory, StageOutcome, UserOutcome, evaluate};
use onr_interactions::{Event, Fold, Split, Store};
use proptest::prelude::*;

use crate::support::{Made, event, history, mix};

/// Items by descending score, ties by the smaller id.
fn sorted(mut items: Vec<u32>, score: impl Fn(u32) -> f32) -> Vec<u32> {
    items.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
    items
}

fn truth(user: usize, past: &[Event], n_items: usize) -> Vec<f32> {
    (0..n_items)
        .map(|item| (mix((user * 1000 + past.len() * 100 + item) as u64) % 64) as f32)
        .collect()
}

/// `None` where the user is not judged.
fn slow(
    made: &Made,
    user: usize,
    history: &[Event],
    options: &EvaluateOptions<'_>,
) -> Option<UserOutcome> {
    let (past, target) = Split(history).held_out(options.fold)?;
    let unseen: Vec<u32> = (1..made.n_items as u32)
        .filter(|item| past.iter().all(|event| event.item != *item))
        .collect();
    if !unseen.contains(&target.item) {
        return None;
    }
    let generated: Vec<Vec<u32>> =
        (0..made.n).map(|t| sorted(unseen.clone(), |i| made.logit(past, t, i))).collect();
    let cut = generated.iter().flat_map(|list| list.iter().take(options.cutoff).copied());
    let candidates: Vec<u32> = cut.collect::<BTreeSet<u32>>().into_iter().collect();
    let ranked = |t| sorted(candidates.clone(), |i| made.ranked(past, t, i));
    let mut lists = generated.clone();
    if made.ranks {
        lists.extend((0..(made.n - 1).max(1)).map(ranked));
        lists.push(ranked(made.n - 1));
    } else {
        lists.push(generated[made.n - 1].clone());
    }
    let place = |list: &Vec<u32>| list.iter().position(|i| *i == target.item).map(|p| p as u32 + 1);
    let expected = truth(user, past, made.n_items);
    let value10 = |list: &Vec<u32>| {
        let best: Vec<f32> = list.iter().take(10).map(|i| expected[*i as usize]).collect();
        best.iter().sum::<f32>() / best.len() as f32
    };
    Some(UserOutcome {
        user,
        item: target.item,
        labels: target.labels,
        value: target.value,
        places: lists.iter().map(place).collect(),
        value10: lists.iter().map(value10).collect(),
        stage: made.ranks.then(|| slow_stage(made, past, &candidates)),
    })
}

/// Without taus, which have their own tests.
fn slow_stage(made: &Made, past: &[Event], candidates: &[u32]) -> StageOutcome {
    let softmax = |score: &dyn Fn(u32) -> f32| {
        let all: Vec<f64> = candidates.iter().map(|i| f64::from(score(*i)).exp()).collect();
        all.iter().map(|x| x / all.iter().sum::<f64>()).collect::<Vec<f64>>()
    };
    let last = made.n - 1;
    let p = softmax(&|i| made.ranked(past, last, i));
    let q = softmax(&|i| made.logit(past, last, i));
    let closeness = |task| {
        let a = sorted(candidates.to_vec(), |i| made.ranked(past, task, i));
        let b = sorted(candidates.to_vec(), |i| made.logit(past, task, i));
        let shown = a.len().min(10);
        let common = a[..shown].iter().filter(|i| b[..shown].contains(i)).count();
        onr_evaluation::Closeness { tau: None, overlap10: common as f64 / shown as f64 }
    };
    StageOutcome {
        candidates: candidates.len() as u32,
        dc: p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum(),
        first: closeness(0),
        last: closeness(last),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-5
}

proptest! {
    #[test]
    fn outcomes_are_those_of_full_sorts(
        n in 1usize..4,
        levels in 1u64..40,
        cutoff in 1usize..20,
        batch in 1usize..5,
        ranks: bool,
        validation: bool,
        items in prop::collection::vec(prop::collection::vec(1u32..25, 0..7), 1..9),
    ) {
        let made = Made { n, n_items: 25, levels, ranks };
        let histories: Vec<Vec<Event>> = items.iter().map(|items| history(items)).collect();
        let of = |user: usize, past: &[Event]| truth(user, past, 25);
        let fold = if validation { Fold::Validation } else { Fold::Test };
        let options = EvaluateOptions { cutoff, batch, truth: Some(&of), ..EvaluateOptions::new(fold) };
        let store = InMemory::new(25, histories.clone());
        let got = evaluate(&mut made.clone(), &store, &options).expect("evaluates");
        let want: Vec<UserOutcome> = histories
            .iter()
            .enumerate()
            .filter_map(|(user, history)| slow(&made, user, history, &options))
            .collect();
        prop_assert_eq!(got.outcomes.len(), want.len());
        prop_assert_eq!(got.counts.judged + got.counts.too_short + got.counts.repeated, histories.len());
        for (got, want) in got.outcomes.iter().zip(&want) {
            prop_assert_eq!(got.user, want.user);
            prop_assert_eq!(&got.places, &want.places);
            prop_assert_eq!(got.value10.len(), want.value10.len());
            for (got, want) in got.value10.iter().zip(&want.value10) {
                prop_assert!(close(f64::from(*got), f64::from(*want)));
            }
            prop_assert_eq!(got.stage.is_some(), want.stage.is_some());
            if let (Some(got), Some(want)) = (got.stage, want.stage) {
                prop_assert_eq!(got.candidates, want.candidates);
                prop_assert!(close(got.dc, want.dc));
                prop_assert!(close(got.first.overlap10, want.first.overlap10));
                prop_assert!(close(got.last.overlap10, want.last.overlap10));
            }
        }
        if let Some(first) = got.outcomes.first() {
            prop_assert_eq!(first.places.len(), got.lists.len());
        }
    }
}

fn names(n: usize, ranks: bool) -> Vec<String> {
    let mut made = Made { n, n_items: 9, levels: 5, ranks };
    let store = InMemory::new(9, vec![history(&[1, 2, 3])]);
    let evaluation =
        evaluate(&mut made, &store, &EvaluateOptions::new(Fold::Test)).expect("evaluates");
    evaluation.lists.into_iter().map(|list| list.name).collect()
}

#[test]
fn lists_have_names() {
    assert_eq!(names(2, false), ["generator:t0", "generator:t1", "final"]);
    assert_eq!(names(1, true), ["generator:t0", "ranker:t0", "final"]);
    let all = ["generator:t0", "generator:t1", "generator:t2", "ranker:t0", "ranker:t1", "final"];
    assert_eq!(names(3, true), all);
}

#[test]
fn users_without_a_target_are_counted() {
    let mut made = Made { n: 1, n_items: 9, levels: 5, ranks: true };
    let histories = vec![
        history(&[]),
        history(&[4]),
        history(&[4, 5]),
        history(&[4, 5, 4]),
        history(&[1, 2, 3]),
    ];
    let store = InMemory::new(9, histories);
    let test = evaluate(&mut made, &store, &EvaluateOptions::new(Fold::Test)).expect("evaluates");
    assert_eq!((test.counts.too_short, test.counts.repeated, test.counts.judged), (2, 1, 2));
    assert_eq!(test.outcomes.iter().map(|o| o.user).collect::<Vec<_>>(), [2, 4]);
    let options = EvaluateOptions::new(Fold::Validation);
    let validation = evaluate(&mut made, &store, &options).expect("evaluates");
    assert_eq!(validation.outcomes.iter().map(|o| o.user).collect::<Vec<_>>(), [3, 4]);
    let nobody = EvaluateOptions { users: Some(&[]), ..options };
    let nobody = evaluate(&mut made, &store, &nobody).expect("evaluates");
    assert_eq!(nobody.counts.users, 0);
    assert_eq!(nobody.metrics("final"), None);
}

#[test]
fn a_sample_of_users_has_their_outcomes_of_all() {
    let mut made = Made { n: 2, n_items: 30, levels: 9, ranks: true };
    let histories = (0..20).map(|u| history(&[1 + u, 2 + u, 3 + u])).collect();
    let store = InMemory::new(30, histories);
    let options = EvaluateOptions::new(Fold::Test);
    let all = evaluate(&mut made, &store, &options).expect("evaluates");
    let sample = EvaluateOptions { users: Some(&[7, 3, 7]), batch: 1, ..options };
    let some = evaluate(&mut made, &store, &sample).expect("evaluates");
    assert_eq!(some.outcomes, [all.outcomes[3].clone(), all.outcomes[7].clone()]);
}

#[test]
fn a_ranker_that_copies_is_seen() {
    struct Copy(Made);
    impl onr_evaluation::Recommender for Copy {
        type Error = std::convert::Infallible;
        fn name(&self) -> &str {
            "copy"
        }
        fn tasks(&self) -> Vec<String> {
            self.0.tasks()
        }
        fn retrieve(&mut self, histories: &[&[Event]]) -> Result<Vec<f32>, Self::Error> {
            self.0.retrieve(histories)
        }
        fn rank(
            &mut self,
            histories: &[&[Event]],
            candidates: &[Vec<u32>],
        ) -> Result<Option<Vec<onr_evaluation::Ranked>>, Self::Error> {
            let mut answer = self.0.rank(histories, candidates)?;
            for ranked in answer.iter_mut().flatten() {
                ranked.scores.clone_from(&ranked.generator_logits);
            }
            Ok(answer)
        }
    }
    let store = InMemory::new(60, (1..9).map(|u| history(&[u, u + 1, u + 2])).collect());
    let options = EvaluateOptions { cutoff: 20, ..EvaluateOptions::new(Fold::Test) };
    let made = Made { n: 2, n_items: 60, levels: 1 << 20, ranks: true };
    let copy = evaluate(&mut Copy(made.clone()), &store, &options).expect("evaluates");
    let stage = copy.summary().stage.expect("has a ranking stage");
    assert!(stage.dc.abs() < 1e-12);
    assert!(close(stage.first_tau.expect("has a tau"), 1.0));
    assert!(close(stage.last_overlap10, 1.0));
    let own = evaluate(&mut made.clone(), &store, &options).expect("evaluates");
    let stage = own.summary().stage.expect("has a ranking stage");
    assert!(stage.dc > 0.1 && stage.last_tau.expect("has a tau") < 0.5);
}

#[test]
fn labels_and_value_are_the_held_out_behaviours() {
    let mut made = Made { n: 2, n_items: 9, levels: 5, ranks: false };
    let mut target = event(5);
    (target.labels, target.value) = (0b10, 2.5);
    let store = InMemory::new(9, vec![vec![event(1), event(2), target]]);
    let got = evaluate(&mut made, &store, &EvaluateOptions::new(Fold::Test)).expect("evaluates");
    let outcome = &got.outcomes[0];
    assert_eq!((outcome.item, outcome.labels, outcome.value.to_bits()), (5, 2, 2.5f32.to_bits()));
    assert!(outcome.is_positive(1) && !outcome.is_positive(0));
    let among = |task| got.metrics_among("final", onr_evaluation::Among::PositivesOf(task));
    assert!(among("t1").is_some() && among("t0").is_none() && among("t9").is_none());
}

#[test]
fn a_store_is_judged_as_histories_in_memory() {
    let histories: Vec<Vec<Event>> = (1..9).map(|u| history(&[u, u + 1, u + 2])).collect();
    let dir = tempfile::tempdir().expect("a directory");
    let tasks = vec!["t0".to_owned()];
    let store = Store::from_histories(20, tasks, histories.clone(), dir.path()).expect("writes");
    let mut made = Made { n: 2, n_items: 20, levels: 9, ranks: true };
    let options = EvaluateOptions::new(Fold::Test);
    let on_disk = evaluate(&mut made, &store, &options).expect("evaluates");
    let memory = InMemory::new(20, histories);
    let in_memory = evaluate(&mut made, &memory, &options).expect("evaluates");
    assert_eq!(on_disk.outcomes, in_memory.outcomes);
}
