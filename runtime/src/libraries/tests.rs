use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;

fn touch(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"").unwrap();
}

/// A search of `dir`, with these variables set, for a program at `repo/target/release/onr`.
fn search(dir: &TempDir, variables: &[(&str, &Path)]) -> Search {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let mut search = Search::from_parts(
        |name| variables.get(name).map(|path| path.as_os_str().to_owned()),
        Some(&dir.path().join("repo/target/release/onr")),
        Some(&dir.path().join("work/deep")),
    );
    // Nothing of this machine: neither its libraries nor what lies above the temporary directory.
    search.roots.retain(|root| {
        let (Root::Venv(path) | Root::Directory(path)) = root;
        path.starts_with(dir.path())
    });
    search
}

const CAPI: &str = "lib/python3.11/site-packages/onnxruntime/capi";

#[test]
fn the_repository_of_the_executable_is_found_without_variables() {
    let dir = TempDir::new().unwrap();
    let venv = dir.path().join("repo/.onr/venv");
    let file = venv.join(CAPI).join("libonnxruntime.so.1.31.1");
    touch(&file);
    touch(&venv.join(CAPI).join("libonnxruntime_providers_shared.so"));
    let found = search(&dir, &[]).onnxruntime().unwrap();
    assert_eq!(found, Found { path: file, origin: Origin::Venv(venv) });
}

#[test]
fn an_unpacked_archive_has_its_own_libraries() {
    let dir = TempDir::new().unwrap();
    let (file, program) = (dir.path().join("onr/lib/libonnxruntime.so.1"), "onr/bin/onr");
    touch(&file);
    touch(&dir.path().join(".onr/lib/libonnxruntime.so.1"));
    let search = Search::from_parts(|_| None, Some(&dir.path().join(program)), None);
    assert_eq!(search.onnxruntime().unwrap().path, file);
}

#[test]
fn the_current_directory_counts_upwards() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("work/.onr/lib/libonnxruntime.so.1");
    touch(&file);
    assert_eq!(search(&dir, &[]).onnxruntime().unwrap().path, file);
}

#[test]
fn an_active_environment_comes_before_the_repository() {
    let dir = TempDir::new().unwrap();
    let mine = dir.path().join("mine");
    touch(&dir.path().join("repo/.onr/venv").join(CAPI).join("libonnxruntime.so.1.31.1"));
    touch(&mine.join(CAPI).join("libonnxruntime.so.1.30.0"));
    let found = search(&dir, &[("VIRTUAL_ENV", &mine)]).onnxruntime().unwrap();
    assert_eq!(found.origin, Origin::Venv(mine));
}

#[test]
fn the_newest_file_of_our_major_version_wins() {
    let dir = TempDir::new().unwrap();
    for name in ["", ".1", ".1.9.0", ".1.31.1", ".2.0.0", ".1.31.x"] {
        touch(&dir.path().join("libs").join(format!("libonnxruntime.so{name}")));
    }
    let found = search(&dir, &[(ONNXRUNTIME_VARIABLE, &dir.path().join("libs"))]).onnxruntime();
    assert_eq!(found.unwrap().path, dir.path().join("libs/libonnxruntime.so.1.31.1"));
}

#[test]
fn an_override_may_be_a_file_and_relative() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("work/deep/ort.so");
    touch(&file);
    let found = search(&dir, &[(ONNXRUNTIME_VARIABLE, Path::new("ort.so"))]).onnxruntime().unwrap();
    assert_eq!(found, Found { path: file, origin: Origin::Variable(ONNXRUNTIME_VARIABLE) });
}

#[test]
fn an_override_that_points_to_nothing_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    touch(&dir.path().join("repo/.onr/lib/libonnxruntime.so.1"));
    let nowhere = dir.path().join("nowhere");
    let error = search(&dir, &[(ONNXRUNTIME_VARIABLE, &nowhere)]).onnxruntime().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("ONR_ONNXRUNTIME is ") && text.contains("nowhere"), "{text}");
    assert!(error.hint().contains("unset ONR_ONNXRUNTIME"));
}

#[test]
fn nothing_found_says_where_it_looked() {
    let dir = TempDir::new().unwrap();
    let error = search(&dir, &[]).onnxruntime().unwrap_err();
    assert!(error.hint().contains("make setup"));
    let LibraryError::NotFound { looked_in, what, variable } = error else { panic!("{error}") };
    assert_eq!((what, variable), ("libonnxruntime.so", ONNXRUNTIME_VARIABLE));
    assert!(looked_in.contains(&dir.path().join("repo/.onr/venv")), "{looked_in:?}");
    assert!(looked_in.contains(&dir.path().join("work/.onr/lib")), "{looked_in:?}");
}

#[test]
fn tensorrt_needs_both_libraries_in_one_directory() {
    let dir = TempDir::new().unwrap();
    let package = dir.path().join("repo/.onr/venv/lib/python3.12/site-packages/tensorrt_rtx_libs");
    touch(&package.join("libtensorrt_rtx.so.1"));
    assert!(search(&dir, &[]).tensorrt().is_err());
    touch(&package.join("libtensorrt_onnxparser_rtx.so.1"));
    let found = search(&dir, &[]).tensorrt().unwrap();
    assert_eq!(found.runtime.path, package.join("libtensorrt_rtx.so.1"));
    assert_eq!(found.parser.path, package.join("libtensorrt_onnxparser_rtx.so.1"));
    assert_eq!(found.parser.origin, found.runtime.origin);

    let unpacked = dir.path().join("TensorRT-RTX-1.7");
    touch(&unpacked.join("lib/libtensorrt_rtx.so.1.7.1"));
    touch(&unpacked.join("lib/libtensorrt_onnxparser_rtx.so.1.7.1"));
    let found = search(&dir, &[(TENSORRT_VARIABLE, &unpacked)]).tensorrt().unwrap();
    assert_eq!(found.runtime.path, unpacked.join("lib/libtensorrt_rtx.so.1.7.1"));
    assert_eq!(found.runtime.origin, Origin::Variable(TENSORRT_VARIABLE));
}

/// `make test` installs the libraries first, so not finding them here is a failure.
#[test]
fn what_setup_installed_is_found() {
    let search = Search::from_env();
    let explain = |error: LibraryError| panic!("{error}; {}", error.hint());
    search.onnxruntime().unwrap_or_else(explain);
    search.tensorrt().unwrap_or_else(|error| panic!("{error}; {}", error.hint()));
}

#[test]
fn trtexec_of_the_path_comes_before_that_of_the_container() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    let path = env::join_paths([&first, &second]).unwrap();
    let found = search(&dir, &[("PATH", Path::new(&path))]);
    assert_eq!(found.programs, [first, second.clone(), "/usr/src/tensorrt/bin".into()]);
    let here = second.join("trtexec");
    touch(&here);
    assert_eq!(found.trtexec(), here);
    let nowhere = Search { programs: vec![dir.path().join("a")], ..Search::default() };
    assert_eq!(nowhere.trtexec(), Path::new("trtexec"));
}
