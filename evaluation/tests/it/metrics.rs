//! Metrics, from their definitions.

use onr_evaluation::{Among, Metrics};
use proptest::prelude::*;

use crate::support::evaluation;

type Row = (usize, Option<u32>, f32);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let place = prop::option::of(1u32..25);
    prop::collection::vec((place, 0u8..4), 1..40).prop_map(|rows| {
        let each = rows.into_iter().enumerate();
        each.map(|(user, (place, value))| (user, place, f32::from(value) / 2.0)).collect()
    })
}

fn ndcg(row: &Row) -> f64 {
    row.1.filter(|p| *p <= 10).map_or(0.0, |p| std::f64::consts::LN_2 / f64::from(p + 1).ln())
}

fn share(rows: &[Row], k: u32) -> f64 {
    rows.iter().filter(|row| row.1.is_some_and(|p| p <= k)).count() as f64 / rows.len() as f64
}

fn check(got: &Metrics, rows: &[Row]) -> Result<(), TestCaseError> {
    let n = rows.len() as f64;
    let worth: f64 = rows.iter().map(|row| f64::from(row.2)).sum();
    let gained: f64 = rows.iter().map(|row| f64::from(row.2) * ndcg(row)).sum();
    let reciprocal: f64 = rows.iter().filter_map(|row| row.1).map(|p| 1.0 / f64::from(p)).sum();
    prop_assert_eq!(got.users, rows.len());
    prop_assert_eq!(got.value_users, rows.iter().filter(|row| row.2 > 0.0).count());
    prop_assert_eq!(got.value_ndcg10.is_some(), worth > 0.0);
    for (got, want) in [
        (got.hr1, share(rows, 1)),
        (got.hr5, share(rows, 5)),
        (got.hr10, share(rows, 10)),
        (got.retrieved, share(rows, u32::MAX)),
        (got.ndcg10, rows.iter().map(ndcg).sum::<f64>() / n),
        (got.mrr, reciprocal / n),
        (got.value_ndcg10.unwrap_or(0.0), gained / worth.max(1e-9)),
    ] {
        prop_assert!((got - want).abs() < 1e-9, "{} {}", got, want);
    }
    Ok(())
}

proptest! {
    #[test]
    fn metrics_are_their_definitions(rows in rows()) {
        let evaluation = evaluation(rows.iter().copied());
        let got = evaluation.metrics("final").expect("has the list");
        check(&got, &rows)?;
        // A value makes a positive here.
        let positives: Vec<Row> = rows.into_iter().filter(|row| row.2 > 0.0).collect();
        match evaluation.metrics_among("final", Among::PositivesOf("t0")) {
            Some(got) => check(&got, &positives)?,
            None => prop_assert!(positives.is_empty()),
        }
    }
}

#[test]
fn a_list_that_is_not_there_has_no_metrics() {
    let evaluation = evaluation([(0, Some(1), 0.0)]);
    assert_eq!(evaluation.metrics("ranker:t0"), None);
    let got = evaluation.metrics("final").expect("has the list");
    assert_eq!((got.value_ndcg10, got.value10), (None, None));
}
