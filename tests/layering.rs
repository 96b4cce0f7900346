//! Who may depend on whom. Changing this table is a design decision.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{fs, path::Path};

const ALLOWED: [(&str, &str, &[&str]); 19] = [
    ("onr-graphs", "graphs", &[]),
    ("onr-onnx", "onnx", &[]),
    ("onr-calibration", "calibration", &[]),
    ("onr-precision", "precision", &["onr-calibration", "onr-onnx"]),
    ("onr-exporter", "exporter", &["onr-graphs", "onr-onnx", "onr-calibration", "onr-precision"]),
    ("onr-requests", "requests", &[]),
    ("onr-interactions", "interactions", &["onr-requests"]),
    ("onr-evaluation", "evaluation", &["onr-interactions"]),
    (
        "onr-training",
        "training",
        &["onr-graphs", "onr-exporter", "onr-requests", "onr-interactions", "onr-evaluation"],
    ),
    (
        "onr-runtime",
        "runtime",
        &[
            "onr-graphs",
            "onr-onnx",
            "onr-calibration",
            "onr-precision",
            "onr-exporter",
            "onr-requests",
            "onr-kserve",
            "onr-device",
            "onr-kvstore",
        ],
    ),
    ("onr-report", "report", &[]),
    ("onr-kserve", "kserve", &[]),
    (
        "onr-triton",
        "triton",
        &["onr-graphs", "onr-exporter", "onr-requests", "onr-runtime", "onr-kserve"],
    ),
    ("onr-load", "load", &[]),
    ("onr-kvstore", "kvstore", &[]),
    ("onr-planner", "planner", &[]),
    (
        "onr-mutation",
        "mutation",
        &[
            "onr-graphs",
            "onr-onnx",
            "onr-calibration",
            "onr-exporter",
            "onr-requests",
            "onr-runtime",
        ],
    ),
    ("onr-device", "device", &["onr-graphs"]),
    (
        "onr",
        ".",
        &[
            "onr-device",
            "onr-graphs",
            "onr-onnx",
            "onr-calibration",
            "onr-precision",
            "onr-exporter",
            "onr-requests",
            "onr-interactions",
            "onr-evaluation",
            "onr-training",
            "onr-runtime",
            "onr-kserve",
            "onr-report",
            "onr-triton",
            "onr-load",
            "onr-kvstore",
            "onr-planner",
        ],
    ),
];

fn manifest(folder: &str) -> toml::Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("Cargo.toml");
    fs::read_to_string(file).unwrap().parse().unwrap()
}

/// What a manifest depends on among ours, at build time and optional ones included; tests may use more.
fn internal(manifest: &toml::Table) -> Vec<String> {
    let tables = ["dependencies", "build-dependencies"].into_iter().filter_map(|t| manifest.get(t));
    let names = tables.filter_map(toml::Value::as_table).flatten().map(|(name, _)| name.clone());
    names.filter(|n| n.starts_with("onr")).collect()
}

#[test]
fn crates_depend_downwards_only() {
    for (name, folder, allowed) in ALLOWED {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(name));
        let forbidden: Vec<_> =
            internal(&manifest).into_iter().filter(|d| !allowed.contains(&d.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}");
    }
}

#[test]
fn every_member_has_its_row() {
    let root = manifest(".");
    let members = root["workspace"]["members"].as_array().unwrap();
    let listed: Vec<_> = members.iter().filter_map(toml::Value::as_str).collect();
    let rows: Vec<_> = ALLOWED.iter().map(|(_, folder, _)| *folder).filter(|f| *f != ".").collect();
    assert_eq!(listed, rows);
}
