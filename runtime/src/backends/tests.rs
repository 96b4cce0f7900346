//! Cases that every backend must pass: each runs on tract and on ONNX Runtime.

use std::path::PathBuf;

use half::{bf16, f16};
use tempfile::TempDir;

use super::{fixture, ort::OrtBackend, tract::TractBackend};
use crate::{
    backend::{Availability, Backend, Placement, RunError, Session},
    libraries::Search,
    tensor::{Feeds, HostTensor},
};

/// Both backends. That ONNX Runtime is not there is a failure: `make test` installs it.
fn backends() -> [Box<dyn Backend>; 2] {
    let ort = OrtBackend::new(Search::from_env());
    if let Availability::Missing { what, hint } = ort.availability() {
        panic!("{what}; {hint}");
    }
    [Box::new(TractBackend::new()), Box::new(ort)]
}

/// Runs `case` on a session of each backend with the model that `write` writes.
fn on_each(write: fn(&TempDir) -> PathBuf, case: impl Fn(&mut dyn Session, &str)) {
    let dir = TempDir::new().unwrap();
    let model = write(&dir);
    for backend in backends() {
        case(backend.open(&model).unwrap().as_mut(), backend.name());
    }
}

/// Every backend refuses what `write` writes, with [`RunError::Load`].
fn refused_by_each(write: fn(&TempDir) -> PathBuf) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let model = write(&dir);
    let refused = |backend: &dyn Backend| match backend.open(&model).err() {
        Some(error @ RunError::Load { .. }) => error.to_string(),
        other => panic!("{}: {other:?}", backend.name()),
    };
    backends().iter().map(|backend| refused(backend.as_ref())).collect()
}

#[test]
fn a_linear_layer_runs_at_one_shape_after_another() {
    on_each(fixture::linear, |session, name| {
        for rows in [&[[1., 2.], [3., 4.]][..], &[[-1., 0.5]], &[[1., 2.], [3., 4.], [5., 6.]]] {
            let got = session.run(&fixture::linear_feeds(rows)).unwrap();
            let want = Feeds::from([("y".into(), fixture::linear_result(rows))]);
            assert_eq!(got, want, "{name}");
        }
        let cpu = Placement { device: "cpu".into(), fallback_nodes: 0 };
        assert_eq!(session.placement(), cpu, "{name}");
    });
}

#[test]
fn f16_goes_in_and_comes_out() {
    on_each(fixture::square_f16, |session, name| {
        let half = |values: &[f32]| {
            let values: Vec<_> = values.iter().copied().map(f16::from_f32).collect();
            HostTensor::of(&[values.len()], values)
        };
        let got = session.run(&Feeds::from([("x".into(), half(&[1., -3., 0.5]))])).unwrap();
        assert_eq!(got["y"], half(&[1.25, 9.25, 0.5]), "{name}");
    });
}

#[test]
fn integers_look_up_a_table_and_bools_come_out() {
    on_each(fixture::gather, |session, name| {
        let ids = HostTensor::of(&[1, 3], vec![3_i64, 0, 1]);
        let got = session.run(&Feeds::from([("ids".into(), ids.clone())])).unwrap();
        let rows = HostTensor::of(&[1, 3, 2], vec![30_f32, 31., 0., 1., 10., 11.]);
        let known = HostTensor::of(&[1, 3], vec![true, false, true]);
        let want = [("known", known), ("rows", rows), ("same", ids)];
        assert_eq!(got, Feeds::from(want.map(|(k, v)| (k.to_owned(), v))), "{name}");
    });
}

#[test]
fn a_size_may_be_an_output() {
    on_each(fixture::rows_of, |session, name| {
        let got = session.run(&fixture::linear_feeds(&[[0., 0.]; 5])).unwrap();
        assert_eq!(got["rows"], HostTensor::of(&[], vec![5_i64]), "{name}");
    });
}

#[test]
fn an_empty_batch_gives_an_empty_result() {
    on_each(fixture::linear, |session, name| {
        let got = session.run(&fixture::linear_feeds(&[])).unwrap();
        assert_eq!(got["y"], fixture::linear_result(&[]), "{name}");
    });
    on_each(fixture::square_f16, |session, name| {
        let empty = HostTensor::of::<f16>(&[0], vec![]);
        let got = session.run(&Feeds::from([("x".into(), empty.clone())])).unwrap();
        assert_eq!(got["y"], empty, "{name}");
    });
}

#[test]
fn feeds_that_do_not_fit_are_named() {
    on_each(fixture::linear, |session, name| {
        let mut wrong = fixture::linear_feeds(&[[1., 2.]]);
        wrong.insert("z".into(), HostTensor::of(&[1], vec![0_f32]));
        for (feeds, input) in [
            (Feeds::new(), "x"),
            (wrong, "z"),
            (Feeds::from([("x".into(), HostTensor::of(&[1, 2], vec![1_i64, 2]))]), "x"),
            (Feeds::from([("x".into(), HostTensor::of(&[2], vec![1_f32, 2.]))]), "x"),
            (Feeds::from([("x".into(), HostTensor::of(&[1, 3], vec![1_f32, 2., 3.]))]), "x"),
        ] {
            let Err(RunError::Feed { backend, input: got, .. }) = session.run(&feeds) else {
                panic!("{name} took {feeds:?}");
            };
            assert_eq!((backend, got.as_str()), (name, input));
        }
        // And the session is none the worse for it.
        session.run(&fixture::linear_feeds(&[[1., 2.]])).unwrap();
    });
}

#[test]
fn an_index_outside_the_table_is_an_error_and_no_crash() {
    on_each(fixture::gather, |session, name| {
        let ids = |id| Feeds::from([("ids".into(), HostTensor::of(&[1, 1], vec![id]))]);
        let error = session.run(&ids(99_i64)).unwrap_err();
        assert!(matches!(error, RunError::Run { .. }), "{name}: {error}");
        session.run(&ids(1)).unwrap();
    });
}

#[test]
fn broken_files_are_refused() {
    for write in [fixture::not_onnx, fixture::without_weights, fixture::without_source] {
        for text in refused_by_each(write) {
            assert!(text.contains("cannot load") && text.contains("model.onnx"), "{text}");
        }
    }
    refused_by_each(|dir| dir.path().join("nowhere.onnx"));
}

#[test]
fn bf16_runs_on_one_and_is_refused_by_the_other() {
    let dir = TempDir::new().unwrap();
    let model = fixture::passing_bf16(&dir);
    let [tract, ort] = backends();
    let refusal = tract.open(&model).err().unwrap().to_string();
    assert_eq!(refusal, "tract has no element type bf16 for `x`");
    let x = HostTensor::of(&[2], vec![bf16::from_f32(1.5), bf16::from_f32(-0.125)]);
    let feeds = Feeds::from([("x".into(), x.clone())]);
    assert_eq!(ort.open(&model).unwrap().run(&feeds).unwrap()["y"], x);
}
