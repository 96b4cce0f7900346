use std::collections::BTreeSet;

use tempfile::TempDir;
use tract_onnx::tract_core::ops::{konst::Const, matmul::optimized::OptMatMul};

use super::*;
use crate::backends::fixture;

fn session(model: &Path) -> TractSession {
    TractBackend::new().session(model).unwrap()
}

#[test]
fn the_version_is_the_one_we_are_built_with() {
    let lock = include_str!("../../../../Cargo.lock");
    let (_, after) = lock.split_once("name = \"tract-onnx\"\nversion = \"").unwrap();
    let (version, _) = after.split_once('"').unwrap();
    assert_eq!(VERSION, format!("tract {version}"));
}

#[test]
fn a_contradiction_in_the_graph_is_an_error_when_it_runs() {
    let dir = TempDir::new().unwrap();
    let mut session = session(&fixture::contradiction(&dir));
    let error = session.run(&fixture::linear_feeds(&[[1., 2.]])).unwrap_err();
    assert!(matches!(error, RunError::Run { backend: "tract", .. }), "{error}");
}

#[test]
fn a_panic_comes_back_as_words() {
    assert_eq!(guarded::<()>(|| panic!("at {}", 7)), Err("panic: at 7".to_owned()));
    assert_eq!(guarded::<()>(|| panic!("plain")), Err("panic: plain".to_owned()));
}

/// `y` for `batch` equal rows of `x`, over a table of 128 x 97.
fn feed(session: &mut TractSession, product: bool, batch: usize) -> HostTensor {
    let x = if product {
        HostTensor::of(&[batch, 128], vec![1_f32; batch * 128])
    } else {
        HostTensor::of(&[batch], vec![77_i64; batch])
    };
    session.run(&Feeds::from([("x".into(), x)])).unwrap().remove("y").unwrap()
}

/// Numbers of plans, and of tables and packed tables in memory, after 24 batch sizes.
fn plans_and_tables(product: bool) -> (usize, usize, usize) {
    let dir = TempDir::new().unwrap();
    let mut session = session(&fixture::big_table(dir.path(), 128, 97, product));
    session.plans = Plans::new(NonZeroUsize::new(24).unwrap());
    let row = feed(&mut session, product, 1).to_f32().unwrap();
    for batch in 33..56 {
        let got = feed(&mut session, product, batch).to_f32().unwrap();
        assert_eq!(got, row.repeat(batch), "batch {batch}");
    }
    let (mut tables, mut packed) = (BTreeSet::new(), BTreeSet::new());
    for plan in session.plans.values() {
        for node in &plan.model().nodes {
            if let Some(constant) = node.op_as::<Const>() {
                tables.insert(Arc::as_ptr(constant.val()));
            }
            let Some(matmul) = node.op_as::<OptMatMul>() else { continue };
            let mut ops = matmul.micro_ops.clone();
            let inputs = ops.iter_mut().flat_map(constants::packed_inputs);
            packed.extend(inputs.map(|input| Arc::as_ptr(&input.packed)));
        }
    }
    (session.plans.values().count(), tables.len(), packed.len())
}

#[test]
fn plans_share_the_table_that_they_look_up() {
    assert_eq!(plans_and_tables(false), (24, 1, 0));
}

#[test]
fn plans_share_packed_weights_as_far_as_they_use_the_same_kernel() {
    let (plans, _, packed) = plans_and_tables(true);
    assert_eq!(plans, 24);
    assert!((1..=8).contains(&packed), "{packed} packed tables");
}

#[test]
fn two_graphs_of_one_backend_share_their_table() {
    let dir = TempDir::new().unwrap();
    let model = fixture::big_table(dir.path(), 128, 97, false);
    let backend = TractBackend::new();
    let tables = |session: &TractSession| -> Vec<_> {
        let nodes = session.parsed.model.nodes().iter();
        nodes.filter_map(|n| n.op_as::<Const>()).map(|c| Arc::as_ptr(c.val())).collect()
    };
    let (mut first, mut second) =
        (backend.session(&model).unwrap(), backend.session(&model).unwrap());
    assert_eq!(tables(&first), tables(&second));
    assert_eq!(feed(&mut first, false, 3), feed(&mut second, false, 3));
    let other = TractBackend::new().session(&model).unwrap();
    assert_ne!(tables(&first), tables(&other));
}
