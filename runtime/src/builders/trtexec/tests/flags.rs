//! Every flag that we emit, against the option table of each version.

use std::{collections::BTreeSet, fs};

use onr_exporter::{onnx::OnnxFile, progress::Silent};
use onr_graphs::{Dim, Profile};

use super::super::Trtexec;
use super::standin::Standin;
use crate::builder::{BuildJob, BuiltEngine, EngineBuilder, EngineError, PlanWeights};

const TABLES: [&str; 5] = ["8.6", "9", "10.0", "10.late", "11.1"];

fn build(
    standin: &Standin,
    precision: &str,
    dynamic: bool,
    workspace: Option<u64>,
) -> Result<BuiltEngine, EngineError> {
    build_with(
        standin,
        (precision, dynamic),
        workspace,
        (&[Profile::for_model(16)], PlanWeights::Fixed),
    )
}

fn build_with(
    standin: &Standin,
    (precision, dynamic): (&str, bool),
    workspace: Option<u64>,
    (profiles, weights): (&[Profile], PlanWeights),
) -> Result<BuiltEngine, EngineError> {
    let onnx = standin.graph(precision, dynamic);
    let infos = OnnxFile::read(&onnx).unwrap().inputs;
    let dim = |size: &String| size.parse().map_or_else(|_| Dim::named(size), Dim::Fixed);
    let inputs: Vec<_> =
        infos.iter().map(|i| (i.name.clone(), i.shape.iter().map(dim).collect())).collect();
    let job = BuildJob {
        graph: "g",
        onnx: &onnx,
        plan: &standin.path("g.plan"),
        inputs: &inputs,
        profiles,
        targets: &[],
        workspace,
        weights,
    };
    Trtexec::new(standin.program()).build(&job, &Silent)
}

/// The options of the plan, without those that all have.
fn typing(standin: &Standin) -> BTreeSet<String> {
    let plan = fs::read_to_string(standin.path("g.plan")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let all: BTreeSet<String> = serde_json::from_value(plan["options"].clone()).unwrap();
    let common = ["--onnx", "--saveEngine", "--skipInference"];
    all.into_iter().filter(|o| !common.contains(&o.as_str()) && !o.ends_with("Shapes")).collect()
}

#[test]
fn every_version_takes_the_flags_of_every_precision() {
    for table in TABLES {
        let standin = Standin::new(table, "");
        for precision in ["fp32", "fp16", "int8", "bf16", "fp8"] {
            for dynamic in [true, false] {
                if !dynamic && precision != "fp32" {
                    continue;
                }
                let built = build(&standin, precision, dynamic, None);
                let older = table == "8.6" && matches!(precision, "bf16" | "fp8");
                assert_eq!(built.is_err(), older, "{table} {precision}: {built:?}");
                if older {
                    continue;
                }
                let expected: &[&str] = match (table, precision) {
                    ("11.1", _) | ("8.6", "fp32") => &[],
                    ("8.6", "int8") => &["--int8"],
                    ("8.6", "fp16") => &[
                        "--fp16",
                        "--inputIOFormats",
                        "--layerOutputTypes",
                        "--layerPrecisions",
                        "--outputIOFormats",
                        "--precisionConstraints",
                    ],
                    _ => &["--stronglyTyped"],
                };
                let expected = expected.iter().map(|&o| o.to_owned()).collect();
                assert_eq!(typing(&standin), expected, "{table} {precision}");
            }
        }
    }
}

/// 8.6 has one profile a plan; the others number them.
#[test]
fn several_profiles_are_numbered_where_a_version_has_several() {
    let profile = |text: &str| Profile::for_model(16).with(text).unwrap();
    let profiles = [profile("batch=1:2:4"), profile("batch=5:6:8")];
    for table in TABLES {
        let standin = Standin::new(table, "");
        if table == "8.6" {
            let error = build_with(&standin, ("fp32", true), None, (&profiles, PlanWeights::Fixed))
                .unwrap_err();
            let why = "cannot compile graph g: it builds one profile, not 2";
            assert_eq!(error.to_string(), format!("trtexec of TensorRT 8.6.1 {why}"));
            assert!(error.hint().unwrap().starts_with("leave --profiles out"));
            assert!(!standin.path("g.plan").exists());
            continue;
        }
        let built =
            build_with(&standin, ("fp32", true), None, (&profiles, PlanWeights::Fixed)).unwrap();
        assert_eq!(built.profiles.len(), 2, "{table}");
        assert!(built.profiles[1].starts_with("batch=5:6:8,"), "{:?}", built.profiles);
        let plan = fs::read_to_string(standin.path("g.plan")).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let rows = |number: usize| {
            [0, 1, 2].map(|end| plan["profiles"][number][end]["x"][0].as_u64().unwrap())
        };
        assert_eq!((rows(0), rows(1)), ([1, 2, 4], [5, 6, 8]), "{table}");
        let fixed = build_with(&standin, ("fp32", false), None, (&profiles, PlanWeights::Fixed));
        assert!(fixed.is_ok(), "fixed shapes have no profiles: {fixed:?}");
    }
}

/// 8.6 and 9 ignore a unit, and 10.0 multiplies with it what it then takes for MiB.
#[test]
fn every_version_reads_the_same_workspace() {
    for table in TABLES {
        let standin = Standin::new(table, "");
        for (bytes, mib) in [(1 << 30, 1024.0), ((3 << 20) + (1 << 19), 3.5)] {
            build(&standin, "fp32", true, Some(bytes)).unwrap();
            let plan = fs::read_to_string(standin.path("g.plan")).unwrap();
            let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
            assert_eq!(plan["workspace_mib"], mib, "{table}");
        }
    }
}

#[test]
fn integers_of_64_bits_need_ten() {
    for table in TABLES {
        let standin = Standin::new(table, "");
        let built = build(&standin, "int64", true, None);
        match (table, built) {
            ("8.6" | "9", Err(error)) => {
                let told = error.to_string();
                let what = "graph g: `ids`, `ids.out` are int64, a type that inputs and outputs have \
                            since TensorRT 10";
                assert!(told.starts_with("trtexec of TensorRT "), "{told}");
                assert!(told.ends_with(what), "{told}");
                let hint = error.hint().unwrap();
                assert!(hint.starts_with("export with `--ids int32`"), "{hint}");
                assert!(!standin.path("g.plan").exists());
            }
            (_, built) => drop(built.unwrap()),
        }
    }
}

#[test]
fn eight_has_neither_bf16_nor_fp8() {
    let standin = Standin::new("8.6", "");
    let told = build(&standin, "bf16", true, None).unwrap_err().to_string();
    assert_eq!(
        told,
        "trtexec of TensorRT 8.6.1 cannot compile graph g: it has bfloat16, which came with TensorRT 9"
    );
    let error = build(&standin, "fp8", true, None).unwrap_err();
    assert!(error.to_string().ends_with("it has float8e4m3fn, which came with TensorRT 9"));
    let hint = "choose int8 in its place, or take the trtexec of TensorRT 9 or later";
    assert_eq!(error.hint().as_deref(), Some(hint));
}

#[test]
fn weights_may_be_exchanged_or_left_out() {
    for table in TABLES {
        let standin = Standin::new(table, "");
        let built = build_with(
            &standin,
            ("fp32", true),
            None,
            (&[Profile::for_model(16)], PlanWeights::Refittable),
        )
        .unwrap();
        assert_eq!(built.weights, PlanWeights::Refittable);
        assert!(typing(&standin).contains("--refit"), "{table}");
        let stripped = build_with(
            &standin,
            ("fp32", true),
            None,
            (&[Profile::for_model(16)], PlanWeights::Stripped),
        );
        match table {
            "8.6" | "9" => {
                let told = stripped.unwrap_err().to_string();
                assert!(told.contains("plans without weights came with TensorRT 10"), "{told}");
            }
            _ => {
                stripped.unwrap();
                let options = typing(&standin);
                assert!(
                    options.contains("--refit") && options.contains("--stripWeights"),
                    "{table}"
                );
            }
        }
    }
}

#[test]
fn a_file_that_is_no_graph_is_refused_before_the_tool_starts() {
    let standin = Standin::new("8.6", "dies");
    let onnx = standin.path("g.onnx");
    fs::write(&onnx, "onnx").unwrap();
    let job = BuildJob {
        graph: "g",
        onnx: &onnx,
        plan: &standin.path("g.plan"),
        inputs: &[],
        profiles: &[Profile::for_model(16)],
        targets: &[],
        workspace: None,
        weights: PlanWeights::Fixed,
    };
    let error = Trtexec::new(standin.program()).build(&job, &Silent).unwrap_err();
    assert!(matches!(error, EngineError::Onnx(_)), "{error}");
}

#[test]
fn a_tool_that_dies_leaves_no_plan() {
    for table in ["8.6", "11.1"] {
        let standin = Standin::new(table, "dies");
        let told = build(&standin, "fp32", true, None).unwrap_err().to_string();
        assert!(told.contains("signal: 6 (SIGABRT)"), "{told}");
        assert!(told.ends_with(": out of memory"), "{told}");
        assert!(!standin.path("g.plan").exists());
    }
}
