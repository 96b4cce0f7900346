//! Versions that appear, stay and go.

use std::{
    fs,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
};

use onr_exporter::{Progress, Silent};
use onr_graphs::{GraphKind, GraphOptions, Precision};
use onr_triton::{
    Package, PackageOptions, Source,
    repository::{ConfigChange, Repository, holds_packages, verify},
};

use crate::support::{World, graph_options, named, options, requests};

#[test]
fn a_package_is_six_models_of_one_version() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    let written = world.write(&dir, &options()).unwrap();
    assert_eq!((written.version, written.models.len()), (1, 6));
    assert!(written.models.iter().all(|m| m.config == ConfigChange::New));
    let tree = world.tree();
    for file in ["config.pbtxt", "1/model.onnx", "1/weights.data", "1/onr-package.json"] {
        assert!(tree.contains_key(&format!("oneranker_encode/{file}")), "{file}");
    }
    assert!(
        tree.contains_key("oneranker/1/onr-package.json"),
        "the ensemble's version is no empty directory"
    );
    assert!(!tree.keys().any(|name| name.starts_with('.')), "no lock, nothing hidden");
    assert_eq!(tree["oneranker_rank/1/weights.data"], fs::read(dir.join("weights.data")).unwrap());
    let checked = verify(&world.path("models")).unwrap();
    assert_eq!((checked.models, checked.versions, checked.files), (6, 6, 10));
    assert_eq!(checked.packages["oneranker"], 1);
}

#[test]
fn the_next_version_leaves_the_first_alone() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    fs::create_dir_all(world.path("models/theirs/3")).unwrap();
    fs::write(world.path("models/theirs/config.pbtxt"), b"name: \xff").unwrap();
    world.write(&dir, &options()).unwrap();
    let first = world.tree();
    let again = world.write(&dir, &options()).unwrap();
    assert_eq!(again.version, 2);
    assert!(again.models.iter().all(|m| m.config == ConfigChange::Same));
    let other = world.write(&world.export("newer", graph_options(), 1), &options()).unwrap();
    assert_eq!(other.version, 3);
    assert!(other.models.iter().all(|m| m.config == ConfigChange::Replaced));
    let third = world.tree();
    for (name, bytes) in &first {
        let same = third.get(name) == Some(bytes);
        assert!(same || name.ends_with("config.pbtxt"), "{name}");
    }
    assert_eq!(first["theirs/config.pbtxt"], third["theirs/config.pbtxt"]);
    assert_eq!(verify(&world.path("models")).unwrap().versions, 18);
}

#[test]
fn all_models_get_the_version_after_the_highest() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    world.write(&dir, &options()).unwrap();
    let rank = world.path("models/oneranker_rank");
    fs::rename(rank.join("1"), rank.join("7")).unwrap();
    assert_eq!(world.write(&dir, &options()).unwrap().version, 8);
    let world = World::new();
    world.write(&world.export("a", graph_options(), 0), &named("a")).unwrap();
    let other = world.write(&world.export("b", graph_options(), 1), &named("b")).unwrap();
    assert_eq!(other.version, 1, "packages count for themselves");
}

#[test]
fn what_clients_see_must_stay() {
    let world = World::new();
    world.write(&world.export("graphs", graph_options(), 0), &options()).unwrap();
    let before = world.tree();
    let half = GraphOptions { precision: Precision::F16, ..graph_options() };
    let error = world.write(&world.export("half", half, 0), &options()).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("model oneranker_encode would change under its clients:"), "{said}");
    assert!(
        said.contains(
            "output `present.0.key` was TYPE_FP32 [2, -1, 4], would be TYPE_FP16 [2, -1, 4]"
        ),
        "{said}"
    );
    assert!(error.hint().unwrap().contains("another `--name`"));
    let fewer = GraphOptions { top_k: 3, ..graph_options() };
    let error = world.write(&world.export("fewer", fewer, 0), &options()).unwrap_err().to_string();
    assert!(
        error.contains("`candidate_ids` was TYPE_INT64 [10], would be TYPE_INT64 [6]"),
        "{error}"
    );
    assert_eq!(world.tree(), before);
    world.write(&world.path("half"), &named("half")).unwrap();
}

#[test]
fn models_of_others_are_not_touched() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    fs::create_dir_all(world.path("models/oneranker_rank/1")).unwrap();
    fs::write(world.path("models/oneranker_rank/1/model.onnx"), "theirs").unwrap();
    let before = world.tree();
    let error = world.write(&dir, &options()).unwrap_err();
    assert!(error.to_string().contains("its newest version has no onr-package.json"), "{error}");
    assert_eq!(world.tree(), before);
    fs::remove_dir_all(world.path("models/oneranker_rank/1")).unwrap();
    world.write(&dir, &options()).unwrap();
    // `oneranker` with the graph of another package's name.
    let error = world.write(&dir, &named("oneranker_rank")).unwrap_err().to_string();
    assert!(error.contains("it belongs to the package oneranker"), "{error}");
}

#[test]
fn a_model_that_would_stay_behind() {
    let world = World::new();
    world.write(&world.export("all", graph_options(), 0), &options()).unwrap();
    let four = world.export_of("four", graph_options(), 1, &GraphKind::ALL[..4]);
    let error = world.write(&four, &options()).unwrap_err().to_string();
    assert!(error.starts_with("oneranker_fused of package oneranker would stay behind"), "{error}");
}

#[test]
fn a_rollback_takes_the_newest_away_and_its_configuration() {
    let world = World::new();
    world.write(&world.export("old", graph_options(), 0), &options()).unwrap();
    let first = world.tree();
    let roll_back = || Repository::open(&world.path("models")).unwrap().rollback("oneranker");
    let only = roll_back().unwrap_err().to_string();
    assert!(only.starts_with("version 1 of oneranker"), "{only}");
    assert_eq!(world.tree(), first);
    let dir = world.export("new", graph_options(), 1);
    let package =
        Package::plan(&[Source::open(&dir).unwrap()], &options(), Some(&requests())).unwrap();
    Repository::open(&world.path("models")).unwrap().write(&package, &Silent).unwrap();
    assert!(world.tree().keys().any(|name| name.starts_with("oneranker_encode/warmup/item_ids-")));
    let done = roll_back().unwrap();
    assert_eq!((done.removed, done.models.len()), (2, 6));
    assert_eq!(done.models[0], ("oneranker".to_owned(), 1), "the ensemble goes first");
    assert_eq!(world.tree(), first);

    world.write(&dir, &options()).unwrap();
    fs::remove_dir_all(world.path("models/oneranker_rank/2")).unwrap();
    let error = roll_back().unwrap_err().to_string();
    assert!(
        error.contains("different newest versions") && error.contains("oneranker_rank 1"),
        "{error}"
    );
    let none = Repository::open(&world.path("models")).unwrap().rollback("none").unwrap_err();
    assert!(none.to_string().ends_with("has no package none"), "{none}");
}

#[test]
fn hand_made_changes_are_told_and_a_rollback_keeps_them() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    world.write(&dir, &options()).unwrap();
    let config = world.path("models/oneranker_rank/config.pbtxt");
    let edit = || {
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("count: 1", "count: 9")).unwrap();
    };
    edit();
    assert_eq!(verify(&world.path("models")).unwrap().edited, ["oneranker_rank"]);
    let good = fs::read(&config).unwrap();
    fs::write(&config, "garbage {").unwrap();
    let error = verify(&world.path("models")).unwrap_err().to_string();
    assert!(error.contains("oneranker_rank/config.pbtxt: line 1: a message has no end"), "{error}");
    fs::write(&config, good).unwrap();
    let written = world.write(&dir, &options()).unwrap();
    assert!(
        written.notes.iter().any(|n| n.starts_with("oneranker_rank: changes that somebody made"))
    );
    assert!(!fs::read_to_string(&config).unwrap().contains("count: 9"));
    edit();
    let done = Repository::open(&world.path("models")).unwrap().rollback("oneranker").unwrap();
    assert!(done.notes[0].contains("stays as it is"), "{:?}", done.notes);
    assert!(fs::read_to_string(&config).unwrap().contains("count: 9"));
}

#[test]
fn a_repository_is_checked_file_by_file() {
    let world = World::new();
    assert!(!holds_packages(&world.path("models")));
    let dir = world.export("graphs", graph_options(), 0);
    world.write(&dir, &PackageOptions { max_batch: Some(8), ..options() }).unwrap();
    assert!(holds_packages(&world.path("models")));
    fs::remove_file(world.path("models/oneranker_append/1/model.onnx")).unwrap();
    fs::write(world.path("models/oneranker_rank/1/weights.data"), "short").unwrap();
    fs::remove_file(world.path("models/oneranker/config.pbtxt")).unwrap();
    let error = verify(&world.path("models")).unwrap_err().to_string();
    for part in [
        "oneranker_append/1/model.onnx: No such file",
        "oneranker_rank/1/weights.data has 5 bytes, not",
        "oneranker/config.pbtxt is not there",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

/// Asks for an end after so many steps.
struct Stop(AtomicU64);

impl Progress for Stop {
    fn stage(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) -> ControlFlow<()> {
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            0 | 1 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn an_interruption_leaves_everything_as_it_was() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    world.write(&dir, &options()).unwrap();
    let before = world.tree();
    let package = Package::plan(&[Source::open(&dir).unwrap()], &options(), None).unwrap();
    for steps in 1..=11 {
        let repository = Repository::open(&world.path("models")).unwrap();
        let stop = Stop(AtomicU64::new(steps));
        let error = repository.write(&package, &stop).unwrap_err();
        assert_eq!(error.to_string(), "interrupted", "{steps}");
        drop(repository);
        assert_eq!(world.tree(), before, "{steps}");
    }
}
