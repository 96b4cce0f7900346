//! What is not judged, and says so.

use std::cell::RefCell;
use std::ops::ControlFlow;

use onr_evaluation::{EvaluateError, EvaluateOptions, InMemory, Ranked, Recommender, evaluate};
use onr_interactions::{Event, Fold};

use crate::support::{Made, history};

/// Changes the answers of [`Made`].
struct Bent<F, G> {
    made: Made,
    retrieve: F,
    rank: G,
}

impl<F: FnMut(&mut Vec<f32>), G: FnMut(&mut Option<Vec<Ranked>>)> Recommender for Bent<F, G> {
    type Error = std::io::Error;

    fn name(&self) -> &str {
        "bent"
    }

    fn tasks(&self) -> Vec<String> {
        self.made.tasks()
    }

    fn retrieve(&mut self, histories: &[&[Event]]) -> Result<Vec<f32>, Self::Error> {
        let Ok(mut scores) = self.made.retrieve(histories);
        (self.retrieve)(&mut scores);
        if scores.is_empty() { Err(std::io::Error::other("nothing")) } else { Ok(scores) }
    }

    fn rank(
        &mut self,
        histories: &[&[Event]],
        candidates: &[Vec<u32>],
    ) -> Result<Option<Vec<Ranked>>, Self::Error> {
        let Ok(mut answer) = self.made.rank(histories, candidates);
        (self.rank)(&mut answer);
        Ok(answer)
    }
}

fn refusal(
    retrieve: impl FnMut(&mut Vec<f32>),
    rank: impl FnMut(&mut Option<Vec<Ranked>>),
) -> EvaluateError {
    let made = Made { n: 2, n_items: 9, levels: 5, ranks: true };
    let store = InMemory::new(9, vec![history(&[1, 2, 3]), history(&[4, 5, 6])]);
    let options = EvaluateOptions { batch: 1, ..EvaluateOptions::new(Fold::Test) };
    evaluate(&mut Bent { made, retrieve, rank }, &store, &options).expect_err("is refused")
}

#[test]
fn bad_answers_are_refused() {
    let got = refusal(|scores| scores[12] = f32::NAN, |_| ());
    let want = matches!(got, EvaluateError::NotFinite { user: 0, task: 1, item: 3, .. });
    assert!(want, "{got}");
    let got = refusal(|scores| scores[4] = f32::INFINITY, |_| ());
    assert!(matches!(got, EvaluateError::NotFinite { task: 0, item: 4, .. }), "{got}");
    let got = refusal(|scores| scores.truncate(17), |_| ());
    assert!(matches!(got, EvaluateError::Length { got: 17, expected: 18, .. }), "{got}");
    let got = refusal(Vec::clear, |_| ());
    assert!(matches!(got, EvaluateError::Recommender { .. }), "{got}");
}

#[test]
fn bad_rankings_are_refused() {
    let each =
        |f: fn(&mut Ranked)| move |a: &mut Option<Vec<Ranked>>| a.iter_mut().flatten().for_each(f);
    let got = refusal(|_| (), each(|ranked| ranked.scores[1] = f32::NAN));
    assert!(matches!(got, EvaluateError::NotFinite { user: 0, task: 1, item: 3, .. }), "{got}");
    let got = refusal(|_| (), each(|ranked| ranked.generator_logits.truncate(3)));
    assert!(matches!(got, EvaluateError::Length { got: 3, .. }), "{got}");
    let got = refusal(|_| (), |answer| answer.iter_mut().for_each(Vec::clear));
    assert!(matches!(got, EvaluateError::Length { got: 0, expected: 1, .. }), "{got}");
    let mut calls = 0;
    let got = refusal(
        |_| (),
        |answer| {
            calls += 1;
            if calls == 2 {
                *answer = None;
            }
        },
    );
    assert!(matches!(got, EvaluateError::SometimesRanked { .. }), "{got}");
}

fn with(options: &EvaluateOptions<'_>, items: &[u32]) -> EvaluateError {
    let mut made = Made { n: 1, n_items: 9, levels: 5, ranks: false };
    let store = InMemory::new(9, vec![history(&[1, 2, 3]), history(items)]);
    evaluate(&mut made, &store, options).expect_err("is refused")
}

#[test]
fn bad_options_and_histories_are_refused() {
    let fine = EvaluateOptions::new(Fold::Test);
    for (options, name) in [
        (EvaluateOptions { batch: 0, ..fine }, "batch"),
        (EvaluateOptions { cutoff: 0, ..fine }, "cutoff"),
        (EvaluateOptions { temperature: f64::NAN, ..fine }, "temperature"),
    ] {
        assert!(matches!(with(&options, &[]), EvaluateError::Option { option } if option == name));
    }
    let got = with(&EvaluateOptions { users: Some(&[1, 2]), ..fine }, &[]);
    assert!(matches!(got, EvaluateError::NoSuchUser { user: 2, n_users: 2 }));
    let got = with(&fine, &[1, 9, 2]);
    assert!(matches!(got, EvaluateError::Item { user: 1, item: 9, n_items: 9 }));
    assert!(matches!(with(&fine, &[0, 1]), EvaluateError::Item { item: 0, .. }));
    let short = |_: usize, _: &[Event]| vec![0.0; 8];
    let got = with(&EvaluateOptions { truth: Some(&short), ..fine }, &[]);
    assert!(matches!(got, EvaluateError::Length { what: "truth", got: 8, expected: 9 }));
}

#[test]
fn progress_is_told_and_stops() {
    let told = RefCell::new(Vec::new());
    let stop = |progress: onr_evaluation::Progress| {
        told.borrow_mut().push((progress.done, progress.of));
        if progress.done >= 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options =
        EvaluateOptions { batch: 1, progress: Some(&stop), ..EvaluateOptions::new(Fold::Test) };
    let got = with(&options, &[4, 5]);
    assert!(matches!(got, EvaluateError::Stopped { done: 2, of: 2 }), "{got}");
    assert_eq!(*told.borrow(), [(1, 2), (2, 2)]);
}
