//! The file: shards merge to the bytes of one run, and what is wrong is refused by name.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::error::Error;
use std::num::NonZeroUsize;

use onr_calibration::{
    Calibration, CalibrationError, ClipError, Method, ModelId, Oddity, Shard, Target,
};

const SAMPLES: u64 = 11;

fn model(sha256: &str) -> ModelId {
    ModelId { name: "toy".into(), sha256: sha256.into() }
}

/// What a run over the samples of `shard` sees.
fn run(shard: Shard) -> Calibration {
    let mut seen = Calibration::new(model("m1"), "r1", shard);
    let tensors = [("prefill", "x"), ("prefill", "y"), ("decode", "x")];
    for (graph, tensor) in tensors {
        seen.entry(graph, "g1", tensor, NonZeroUsize::new(3)).unwrap();
    }
    for sample in (0..SAMPLES).filter(|sample| shard.takes(*sample)) {
        for (i, (graph, tensor)) in tensors.into_iter().enumerate() {
            let value = (sample as f32 - 3.7) * 1.9_f32.powi(i as i32 * 9) / 3.0;
            let stats = seen.entry(graph, "g1", tensor, NonZeroUsize::new(3)).unwrap();
            stats.observe(&[value, value * value, 0.0], sample).unwrap();
        }
        seen.add_samples(1);
    }
    seen
}

fn shard(text: &str) -> Shard {
    text.parse().unwrap()
}

fn whole() -> Calibration {
    run(Shard::WHOLE)
}

#[test]
fn shards_merge_in_any_order_to_the_bytes_of_one_run() {
    let text = whole().to_json().unwrap();
    for (of, order) in [(2, vec![2, 1]), (3, vec![2, 3, 1]), (20, (1..=20).rev().collect())] {
        let parts: Vec<_> = order.into_iter().map(|i| run(Shard::new(i, of).unwrap())).collect();
        // Through their files, and two of them first.
        let read = |part: &Calibration| Calibration::from_json(part.to_json().unwrap().as_bytes());
        let (first, rest) = parts.split_at(2);
        let first = Calibration::merge(first.iter().map(|p| read(p).unwrap())).unwrap();
        let rest = rest.iter().map(|p| read(p).unwrap());
        let all = Calibration::merge(rest.chain([first])).unwrap();
        assert_eq!(all.to_json().unwrap(), text, "{of} shards");
        assert_eq!((all.samples(), all.missing_shards()), (SAMPLES, vec![]));
    }
}

#[test]
fn lacking_shards_are_told() {
    let some = Calibration::merge([run(shard("4/4")), run(shard("2/4"))]).unwrap();
    assert_eq!(some.shards(), [shard("2/4"), shard("4/4")]);
    assert_eq!(some.missing_shards(), [shard("1/4"), shard("3/4")]);
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let merge = |a: Calibration, b: Calibration| Calibration::merge([a, b]).unwrap_err();
    let one = || run(shard("1/3"));
    let fresh = |id: &str, requests: &str| Calibration::new(model(id), requests, shard("2/3"));
    assert!(matches!(merge(one(), one()), CalibrationError::ShardTwice { .. }));
    assert!(matches!(merge(whole(), whole()), CalibrationError::ShardTwice { .. }));
    assert!(matches!(merge(one(), run(shard("2/4"))), CalibrationError::ShardCount { .. }));
    assert!(matches!(merge(one(), whole()), CalibrationError::ShardCount { .. }));
    assert!(matches!(merge(one(), fresh("m2", "r1")), CalibrationError::Model { .. }));
    assert!(matches!(merge(one(), fresh("m1", "r2")), CalibrationError::Requests { .. }));
    assert!(matches!(merge(one(), fresh("m1", "r1")), CalibrationError::GraphSets { .. }));
    let mut more = run(shard("2/3"));
    more.entry("prefill", "g1", "z", None).unwrap();
    assert!(
        matches!(merge(one(), more), CalibrationError::TensorSets { tensor, .. } if tensor == "z")
    );
    let mut other = fresh("m1", "r1");
    other.entry("prefill", "g2", "x", None).unwrap();
    other.entry("decode", "g1", "x", NonZeroUsize::new(3)).unwrap();
    assert!(matches!(merge(one(), other), CalibrationError::GraphHash { .. }));
    assert!(matches!(Calibration::merge([]), Err(CalibrationError::Nothing)));
}

#[test]
fn a_file_reads_back() {
    let text = whole().to_json().unwrap();
    let back = Calibration::from_json(text.as_bytes()).unwrap();
    assert_eq!(back, whole());
    assert_eq!(back.to_json().unwrap(), text);
    let tight: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(Calibration::from_json(tight.to_string().as_bytes()).unwrap(), whole());
    let tensor_lines = text.lines().filter(|line| line.contains("\"bins\"")).count();
    assert_eq!(tensor_lines, 3, "one line a tensor:\n{text}");
}

#[test]
fn what_is_no_calibration_is_refused() {
    let read = |text: &str| Calibration::from_json(text.as_bytes()).unwrap_err();
    let good = whole().to_json().unwrap();
    assert!(matches!(read(""), CalibrationError::NotJson { .. }));
    assert!(matches!(read(&good[..good.len() / 2]), CalibrationError::NotJson { .. }));
    let error = Calibration::from_json(&[0xff, 0xfe]).unwrap_err();
    assert!(matches!(error, CalibrationError::NotJson { line: 1, .. }));
    for text in ["[]", "{}", "3", r#"{"format": "x", "version": 1}"#] {
        assert!(matches!(read(text), CalibrationError::NotCalibration { .. }), "{text}");
    }
    let newer = good.replace("\"version\":1", "\"version\":2");
    assert!(matches!(read(&newer), CalibrationError::Version { found: 2, known: 1 }));
    let malformed = good.replace("\"zeros\":", "\"zeroes\":");
    assert!(matches!(read(&malformed), CalibrationError::Malformed { .. }));
}

#[test]
fn damage_is_noticed() {
    let good = whole().to_json().unwrap();
    for (from, to) in [
        ("\"samples\":11", "\"samples\":12"),
        ("\"name\":\"toy\"", "\"name\":\"boy\""),
        ("\"f16_overflow\":0", "\"f16_overflow\":1"),
        ("\"r1\"", "\"r2\""),
    ] {
        assert!(good.contains(from), "{from} is in {good}");
        let error = Calibration::from_json(good.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(error, CalibrationError::Seal { .. }), "{to}: {error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn every_changed_digit_of_the_content_is_noticed() {
    let good = whole().to_json().unwrap();
    let start = good.find("\"calibration\"").unwrap();
    let digits = good.bytes().enumerate().skip(start).filter(|(_, b)| b.is_ascii_digit());
    for (at, digit) in digits.step_by(3) {
        let mut bad = good.clone().into_bytes();
        bad[at] = if digit == b'9' { b'1' } else { digit + 1 };
        // The last digits of a number may change without changing the F32.
        let unnoticed = Calibration::from_json(&bad).is_ok_and(|read| read != whole());
        assert!(!unnoticed, "byte {at}");
    }
}

#[test]
fn names_and_hashes_are_asked_for() {
    let seen = whole();
    seen.expect_model(&ModelId { name: "renamed".into(), sha256: "m1".into() }).unwrap();
    assert!(matches!(seen.expect_model(&model("m2")), Err(CalibrationError::Model { .. })));
    seen.expect_graph("prefill", "g1").unwrap();
    let error = seen.expect_graph("prefill", "g2");
    assert!(matches!(error, Err(CalibrationError::GraphHash { .. })));
    let range = |graph, tensor| seen.range(graph, tensor, Method::MinMax, Target::Int8);
    let all = seen.ranges("prefill", Method::MinMax, Target::Int8).unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(all["x"], range("prefill", "x").unwrap());
    assert!(matches!(range("prefill", "z"), Err(CalibrationError::NoTensor { .. })));
    assert!(matches!(range("p", "x"), Err(CalibrationError::NoGraph { .. })));
}

#[test]
fn a_tensor_without_values_is_told_by_name() {
    let mut seen = Calibration::new(model("m1"), "r1", Shard::WHOLE);
    seen.entry("g", "h", "empty", None).unwrap();
    seen.entry("g", "h", "nan", None).unwrap().observe(&[f32::NAN], 0).unwrap();
    let cause = |tensor| {
        let error = seen.range("g", tensor, Method::Mse, Target::Int8).unwrap_err();
        assert!(error.to_string().contains(tensor));
        error.source().unwrap().downcast_ref::<ClipError>().copied()
    };
    assert_eq!(cause("empty"), Some(ClipError::Empty));
    assert_eq!(cause("nan"), Some(ClipError::NoFinite { values: 1 }));
}

#[test]
fn values_that_are_not_finite_are_listed() {
    let mut seen = whole();
    seen.check_finite().unwrap();
    let x = seen.entry("prefill", "g1", "x", NonZeroUsize::new(3)).unwrap();
    x.observe(&[f32::NAN, 1.0, f32::INFINITY], 8).unwrap();
    x.observe(&[1.0, f32::NEG_INFINITY, 1.0], 5).unwrap();
    let Err(CalibrationError::NonFinite { tensors }) = seen.check_finite() else {
        panic!("no error")
    };
    assert_eq!(tensors.len(), 1);
    let found = (tensors[0].tensor.as_str(), tensors[0].first.sample, tensors[0].values);
    assert_eq!(found, ("x", 5, 3));
}

#[test]
fn odd_tensors_are_listed() {
    let mut seen = Calibration::new(model("m1"), "r1", Shard::WHOLE);
    seen.entry("g", "h", "same", None).unwrap().observe(&[0.5; 4], 0).unwrap();
    let some = seen.entry("g", "h", "some", NonZeroUsize::new(3)).unwrap();
    some.observe(&[0.0, 1.0, 0.0, 0.0, 2.0, -0.0], 0).unwrap();
    let odd: Vec<_> = seen.suspicions().into_iter().map(|s| (s.tensor, s.what)).collect();
    let constant = Oddity::Constant { value: 0.5, count: 4 };
    let dead = Oddity::DeadChannels { dead: 2, of: 3 };
    assert_eq!(odd, [("same".to_owned(), constant), ("some".to_owned(), dead)]);
}

#[test]
fn entries_are_of_one_graph_and_one_shape() {
    let mut seen = whole();
    let error = seen.entry("prefill", "g2", "x", NonZeroUsize::new(3)).unwrap_err();
    assert!(matches!(error, CalibrationError::GraphHash { .. }));
    let error = seen.entry("prefill", "g1", "x", None).unwrap_err();
    assert!(matches!(error, CalibrationError::Channels { .. }));
}

#[test]
fn shards_are_read_and_written() {
    assert_eq!(shard("2/3").to_string(), "2/3");
    for wrong in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/3/5", "-1/3", "1/65537"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
    }
    let taken: Vec<_> = (0..7).filter(|sample| shard("2/3").takes(*sample)).collect();
    assert_eq!(taken, [1, 4]);
}
