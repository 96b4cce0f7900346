use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::backends::fixture;

/// `make test` installs ONNX Runtime, so not finding it is a failure.
fn backend() -> OrtBackend {
    let backend = OrtBackend::new(Search::from_env());
    if let Availability::Missing { what, hint } = backend.availability() {
        panic!("{what}; {hint}");
    }
    backend
}

#[test]
fn the_version_is_read_from_the_library() {
    let Availability::Ready { version, library } = backend().availability() else { panic!() };
    let number = version.strip_prefix("onnxruntime ").unwrap();
    assert!(number.split('.').count() >= 3 && number.starts_with("1."), "{version}");
    let library = library.unwrap();
    assert!(library.is_absolute() && library.is_file(), "{}", library.display());
}

#[test]
fn a_missing_library_is_a_value_with_a_hint() {
    let backend = OrtBackend::new(Search::default());
    let Availability::Missing { what, hint } = backend.availability() else { panic!() };
    assert!(what.contains("libonnxruntime.so") && hint.contains("make setup"), "{what}; {hint}");
    let error = backend.open(Path::new("model.onnx")).err().unwrap();
    assert!(matches!(&error, RunError::Missing { backend: "ort", .. }), "{error}");
    assert!(error.hint().unwrap().contains("make setup"));
}

#[test]
fn a_file_that_is_no_library_is_missing_too() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("libonnxruntime.so.1");
    std::fs::write(&file, "no ELF").unwrap();
    let search = Search { onnxruntime: Some(file), ..Search::default() };
    let error = OrtBackend::new(search).check(Path::new("model.onnx")).unwrap_err();
    assert!(matches!(error, RunError::Missing { .. }), "{error}");
}

fn checked(write: fn(&TempDir) -> PathBuf) -> Result<(), RunError> {
    let dir = TempDir::new().unwrap();
    backend().check(&write(&dir))
}

#[test]
fn check_passes_what_is_valid() {
    for write in [fixture::linear, fixture::gather, fixture::square_f16, fixture::passing_bf16] {
        checked(write).unwrap();
    }
}

#[test]
fn check_names_the_node_that_is_wrong() {
    let text = checked(fixture::contradiction).unwrap_err().to_string();
    assert!(text.contains("node_y") && text.contains("MatMul"), "{text}");
    assert!(matches!(checked(fixture::not_onnx), Err(RunError::Load { .. })));
}

#[test]
fn check_does_not_ask_for_kernels() {
    let write = |dir: &TempDir| {
        fixture::Graph::default()
            .input("x", fixture::I16, &["n"])
            .node("Relu", &["x"], &["y"])
            .output("y", fixture::I16, &["n"])
            .write(dir)
    };
    checked(write).unwrap();
    let dir = TempDir::new().unwrap();
    let error = backend().open(&write(&dir)).err();
    assert!(matches!(error, Some(RunError::Load { .. })), "{error:?}");
}

#[test]
fn an_unoptimised_session_gives_the_same() {
    let dir = TempDir::new().unwrap();
    let model = fixture::linear(&dir);
    let plain = backend().with_optimisation(Optimisation::Disable).with_threads(NonZeroUsize::MIN);
    let rows = [[1., 2.], [3., 4.]];
    let got = plain.open(&model).unwrap().run(&fixture::linear_feeds(&rows)).unwrap();
    assert_eq!(got["y"], fixture::linear_result(&rows));
}

#[test]
fn an_operator_that_is_none_is_no_missing_kernel() {
    let text = checked(|dir| {
        fixture::Graph::default()
            .input("x", fixture::F32, &["n"])
            .node("Relux", &["x"], &["y"])
            .output("y", fixture::F32, &["n"])
            .write(dir)
    });
    let text = text.unwrap_err().to_string();
    assert!(text.contains("Relux"), "{text}");
}

#[test]
fn the_placement_counts_every_node() {
    let dir = TempDir::new().unwrap();
    let plain = backend().with_optimisation(Optimisation::Disable);
    let loaded = library::load(&plain.search).unwrap();
    let mut builder = plain.builder(&loaded).unwrap();
    let session = builder.commit_from_file(fixture::gather(&dir)).unwrap();
    let nodes = library::nodes_by_provider(&session).unwrap();
    assert_eq!(nodes, [("CPUExecutionProvider".to_owned(), 4)].into());
}

#[test]
fn a_second_library_in_one_process_is_refused() {
    backend();
    let first = Search::from_env().onnxruntime().unwrap().path;
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("libonnxruntime.so.1");
    std::os::unix::fs::symlink(&first, &link).unwrap();
    let named = |file: PathBuf| {
        OrtBackend::new(Search { onnxruntime: Some(file), ..Search::default() }).availability()
    };
    assert!(matches!(named(link), Availability::Ready { .. }), "another name of the same file");
    let copy = dir.path().join("copy.so");
    std::fs::copy(&first, &copy).unwrap();
    let Availability::Missing { what, .. } = named(copy) else { panic!("two libraries") };
    assert!(what.contains("already"), "{what}");
}
