//! NVIDIA's own definition of a configuration reads what we write, and finds in it what we meant.

use std::{fs, path::Path, process::Command};

use onr_exporter::Silent;
use onr_graphs::{Filter, GraphOptions, Precision};
use onr_runtime::builder::PlanKind;
use onr_triton::{
    Backend, Package, PackageOptions, Source,
    config::{
        ContextAllocation, DataType, ModelConfig, TensorConfig, VersionPolicy, Warmup, WarmupData,
        WarmupInput,
    },
    repository::Repository,
};

use crate::support::{World, graph_options, options, pretend_plans, pretend_profiles, requests};

/// Reads each file, and prints it as JSON with the names of the definition.
const READ: &str = "
import json, sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
for file in sys.argv[1:]:
    config = text_format.Parse(open(file, encoding='utf-8').read(), model_config_pb2.ModelConfig())
    assert config.name, file
    print(json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True)))
";

/// What NVIDIA's definition finds in the files. `make setup` installs it.
fn read(files: &[std::path::PathBuf]) -> Vec<serde_json::Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".onr/venv/bin/python");
    let client = root.join(".onr/triton/client");
    let mut command = Command::new(&python);
    command.args(["-c", READ]).args(files).env("PYTHONPATH", client);
    let output = command.output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}; run `make setup`", python.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\nif tritonclient is missing, run `make setup`");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every configuration of a package that is written to a repository.
fn packaged(world: &World, name: &str, options: &PackageOptions) -> Vec<serde_json::Value> {
    let source = Source::open(&world.path(name)).unwrap();
    let package = Package::plan(&[source], options, Some(&requests())).unwrap();
    let models = world.path(&format!("{name}-models"));
    let written = Repository::open(&models).unwrap().write(&package, &Silent).unwrap();
    let file = |name: &str| models.join(name).join("config.pbtxt");
    read(&written.models.iter().map(|m| file(&m.name)).collect::<Vec<_>>())
}

#[test]
fn every_configuration_of_a_package_is_valid() {
    let world = World::new();
    for (name, filter, precision) in
        [("a", Filter::None, Precision::F32), ("b", Filter::User, Precision::F16)]
    {
        let chosen = GraphOptions { filter, precision, ..graph_options() };
        pretend_plans(&world.export(name, chosen, 0), PlanKind::Tensorrt, &["sm86"]);
        for backend in [Backend::TensorRt, Backend::OnnxRuntime, Backend::Python] {
            let plans = backend == Backend::TensorRt;
            let asked = PackageOptions {
                backend: Some(backend),
                cuda_graphs: plans,
                context_allocation: plans.then_some(ContextAllocation::Static),
                preferred_batches: vec![4, 8],
                queue_delay_us: 500,
                user_embeddings: true,
                ..options()
            };
            let configs = packaged(&world, name, &asked);
            assert_eq!(configs.len(), 6);
            assert_eq!(configs[0]["backend"], backend.name());
            assert_eq!(configs[5]["ensemble_scheduling"]["step"].as_array().unwrap().len(), 3);
            fs::remove_dir_all(world.path(&format!("{name}-models"))).unwrap();
        }
    }
}

#[test]
fn fields_mean_what_we_meant() {
    let world = World::new();
    pretend_plans(&world.export("engine", graph_options(), 0), PlanKind::Tensorrt, &["sm86"]);
    let asked = PackageOptions { cuda_graphs: true, keep_versions: 2, ..options() };
    let configs = packaged(&world, "engine", &asked);
    let (encode, ensemble) = (&configs[0], &configs[5]);
    let text = |value: &serde_json::Value| value.to_string();
    assert_eq!(encode["max_batch_size"], 32);
    let lens =
        encode["input"].as_array().unwrap().iter().find(|t| t["name"] == "seq_lens").unwrap();
    assert_eq!(text(&lens["dims"]), "[\"1\"]");
    assert_eq!(text(&lens["reshape"]), "{}", "there, and empty");
    assert_eq!(text(&encode["version_policy"]), r#"{"latest":{"num_versions":2}}"#);
    assert_eq!(text(&encode["instance_group"][0]["profile"]), r#"["0"]"#);
    let graph = &encode["optimization"]["cuda"]["graph_spec"][0];
    assert_eq!(text(&graph["input"]["item_ids"]["dim"]), "[\"6\"]");
    assert_eq!(text(&graph["input"]["seq_lens"]), "{}");
    assert_eq!(graph["graph_lower_bound"]["batch_size"], 1);
    let warm = &encode["model_warmup"][0]["inputs"];
    let file = warm["item_ids"]["input_data_file"].as_str().unwrap();
    let bytes = fs::read(world.path("engine-models/oneranker_encode/warmup").join(file)).unwrap();
    let row: usize = warm["item_ids"]["dims"][0].as_str().unwrap().parse().unwrap();
    assert_eq!(bytes.len(), 8 * row);
    let rank = &configs[3]["model_warmup"][0]["inputs"];
    assert_eq!(rank["past_key_values.1.key"]["zero_data"], true);
    let steps = &ensemble["ensemble_scheduling"]["step"];
    assert_eq!(steps[1]["model_version"], "-1");
    assert_eq!(steps[1]["input_map"]["past_key_values.0.key"], "present.0.key");
    assert_eq!(ensemble["platform"], "ensemble");
}

#[test]
fn several_profiles_are_named_recorded_and_warmed() {
    let world = World::new();
    let dir = world.export("engine", graph_options(), 0);
    pretend_plans(&dir, PlanKind::Tensorrt, &["sm86"]);
    pretend_profiles(&dir);
    let asked = PackageOptions { cuda_graphs: true, ..options() };
    let configs = packaged(&world, "engine", &asked);
    let (encode, rank) = (&configs[0], &configs[3]);
    assert_eq!(encode["instance_group"][0]["profile"].to_string(), r#"["0","1"]"#);
    assert_eq!(rank["instance_group"][0]["profile"].to_string(), r#"["0","1","2","3"]"#);
    let sizes = |config: &serde_json::Value, input: &str, axis: usize| {
        let specs = config["optimization"]["cuda"]["graph_spec"].as_array().unwrap();
        let size =
            |s: &serde_json::Value| s["input"][input]["dim"][axis].as_str().unwrap().to_owned();
        specs.iter().map(size).collect::<Vec<_>>().join(" ")
    };
    // Each at the best and at the largest batch.
    assert_eq!(sizes(encode, "item_ids", 0), "5 5 12 12");
    assert_eq!(sizes(rank, "candidate_ids", 0), "16 16 16 16 64 64 64 64");
    assert_eq!(sizes(rank, "past_key_values.1.key", 1), "5 5 12 12 5 5 12 12");
    let warm = |config: &serde_json::Value, input: &str, axis: usize| {
        let warmups = config["model_warmup"].as_array().unwrap();
        let one = |w: &serde_json::Value| {
            format!(
                "{}: {}",
                w["name"].as_str().unwrap(),
                w["inputs"][input]["dims"][axis].as_str().unwrap()
            )
        };
        warmups.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(
        warm(encode, "item_ids", 0),
        [
            "profile 0, smallest batch: 5",
            "profile 0, best batch: 5",
            "profile 1, smallest batch: 12",
            "profile 1, best batch: 12"
        ]
    );
    let keys = warm(rank, "past_key_values.1.key", 1);
    assert_eq!((keys.len(), keys[1].as_str()), (8, "profile 0, best batch: 5"));
    assert_eq!(keys[7], "profile 3, best batch: 12");
    let candidates = warm(rank, "candidate_ids", 0);
    assert_eq!(
        (candidates[1].as_str(), candidates[7].as_str()),
        ("profile 0, best batch: 16", "profile 3, best batch: 64")
    );
}

#[test]
fn any_string_comes_back_as_it_was() {
    let world = World::new();
    let strange = "\"quoted\" \\ back\\slash\nline\ttab\r\u{1}0\u{7f} \u{e9} \u{1f600} #{}[]:;'";
    let tensor = TensorConfig {
        name: strange.to_owned(),
        data_type: DataType::Bf16,
        dims: vec![-1, 4],
        reshape: None,
        optional: true,
    };
    let warm = WarmupInput {
        data_type: DataType::Int64,
        dims: vec![3],
        data: WarmupData::File(strange.to_owned()),
    };
    let config = ModelConfig {
        name: strange.to_owned(),
        default_model_filename: Some(strange.to_owned()),
        input: vec![tensor],
        parameters: [(strange.to_owned(), strange.to_owned())].into(),
        model_warmup: vec![Warmup {
            name: strange.to_owned(),
            batch_size: 2,
            inputs: [("x".to_owned(), warm)].into(),
        }],
        version_policy: Some(VersionPolicy::Specific(vec![1, 3])),
        ..ModelConfig::default()
    };
    let file = world.path("config.pbtxt");
    fs::write(&file, config.to_string()).unwrap();
    let read = &read(&[file])[0];
    assert_eq!(read["name"], strange);
    assert_eq!(read["default_model_filename"], strange);
    assert_eq!(read["input"][0]["name"], strange);
    assert_eq!(read["input"][0]["optional"], true);
    assert_eq!(read["parameters"][strange]["string_value"], strange);
    assert_eq!(read["model_warmup"][0]["inputs"]["x"]["input_data_file"], strange);
    assert_eq!(read["version_policy"]["specific"]["versions"][1], "3");
}
