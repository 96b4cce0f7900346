//! A package in a real Triton: parity of what is live, and a version that goes live while it serves.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use onr_kserve::{Client, ClientOptions, InferRequest, Tensor, Transport};
use onr_triton::{LocalServer, ServerOptions};
use serde_json::Value;

use crate::{
    support::{BOTH, Outcome, World, python},
    trtexec::standin,
};

const PACKAGE: [&str; 5] = ["package", "triton", "graphs", "--out", "models"];
const CANARY: [&str; 2] = ["--backend", "python"];

/// A server for the world's repository.
fn serve(world: &World, arguments: &[&str]) -> LocalServer {
    let options = ServerOptions::new(world.path("models"), world.path("server.log"));
    let options = arguments.iter().fold(options, |options, more| options.argument(*more));
    LocalServer::start(&options).unwrap_or_else(|error| panic!("{error}\n{:?}", error.hint()))
}

fn exported(more: &[&str]) -> World {
    let world = World::new();
    world.runs(&[&["export"], &BOTH[..], more, &["--out", "graphs"]].concat());
    world
}

fn candidate(server: &LocalServer, transport: Transport) -> String {
    format!("triton={}", server.endpoint(transport))
}

fn report(outcome: &Outcome) -> Value {
    let done: Value = serde_json::from_str(&outcome.out).unwrap();
    done["reports"][0].clone()
}

/// Names of checks with this status.
fn checks<'a>(report: &'a Value, status: &str) -> Vec<&'a str> {
    let all = report["checks"].as_array().unwrap().iter();
    all.filter(|check| check["status"] == status)
        .filter_map(|check| check["name"].as_str())
        .collect()
}

#[test]
fn what_is_deployed_is_what_was_exported() {
    let world = exported(&["--with-filter", "user", "--top-k", "5"]);
    world.runs(&[&PACKAGE[..], &CANARY].concat());
    let server = serve(&world, &[]);
    for transport in [Transport::Http, Transport::Grpc] {
        let live = candidate(&server, transport);
        let report = report(&world.runs(&["parity", "graphs", "--candidate", &live, "--json"]));
        assert_eq!((&report["backend"], &report["device"]), (&"triton".into(), &"cpu".into()));
        assert_eq!(report["requests"], 64);
        let passed = checks(&report, "passed");
        let expected = [
            "encode.present.1.value",
            "append.present.0.key",
            "rank.scores",
            "oneranker.retrieved logits",
            "relation.concurrent-runs",
            "relation.profile.batch",
            "relation.sold-out",
            "relation.split",
            "relation.ensemble",
        ];
        for name in expected {
            assert!(passed.contains(&name), "{name} is not in {passed:?}");
        }
    }
}

#[test]
fn half_precision_and_other_names_are_served() {
    let world = exported(&["--precision", "fp16"]);
    world.runs(&[&PACKAGE[..], &CANARY, &["--name", "ads"]].concat());
    let server = serve(&world, &[]);
    let url = candidate(&server, Transport::Http);
    let report =
        report(&world.runs(&["parity", "graphs", "--candidate", &format!("{url}/ads"), "--json"]));
    assert_eq!(checks(&report, "failed"), [""; 0]);
    // Nothing under the default name, and it is said what is there.
    let error = world.refuses(1, &["parity", "graphs", "--candidate", &url]);
    assert!(error.contains("oneranker_") && error.contains("ads_encode"), "{error}");
}

#[test]
fn ids_of_32_bits_are_served() {
    let world = exported(&["--ids", "int32", "--with-filter", "user", "--top-k", "5"]);
    world.runs(&[&PACKAGE[..], &CANARY].concat());
    let config = fs::read_to_string(world.path("models/oneranker/config.pbtxt")).unwrap();
    assert!(config.contains("TYPE_INT32") && !config.contains("TYPE_INT64"), "{config}");
    let server = serve(&world, &[]);
    let live = candidate(&server, Transport::Http);
    let report = report(&world.runs(&["parity", "graphs", "--candidate", &live, "--json"]));
    let passed = checks(&report, "passed");
    for name in ["rank.scores", "relation.strange-ids", "relation.shifted-times", "relation.split"]
    {
        assert!(passed.contains(&name), "{name} is not in {passed:?}");
    }
    let url = server.endpoint(Transport::Http).to_string();
    world.runs(&["bench", "graphs", "--triton", &url, "--seconds", "1"]);
}

/// What a server without the backends of `models` says of them. It reads and checks all configurations first.
fn without_backends(world: &World) -> String {
    let options = ServerOptions::new(world.path("models"), world.path("server.log"));
    LocalServer::start(&options).map(|_| ()).unwrap_err();
    fs::read_to_string(world.path("server.log")).unwrap()
}

/// Such a server has neither the backend `tensorrt` nor `onnxruntime`: it gets as far as looking for them.
#[test]
fn configurations_of_other_backends_pass_the_strict_mode() {
    let world = exported(&[]);
    world.runs(&PACKAGE);
    let said = without_backends(&world);
    assert!(said.contains("unable to find backend library for backend 'onnxruntime'"), "{said}");
    assert!(!said.contains("Poll failed"), "{said}");

    let tool = standin(&world, "10.late", "");
    world.runs(&[&["build-engine"], &BOTH[..], &["--out", "plans", "--builder", &tool]].concat());
    fs::remove_dir_all(world.path("models")).unwrap();
    let more = ["--cuda-graphs", "--context-allocation", "static"];
    world.runs(&[&["package", "triton", "plans", "--out", "models"], &more[..]].concat());
    let said = without_backends(&world);
    for graph in ["append", "encode", "fused", "generate", "rank"] {
        let found = format!(
            "failed to load 'oneranker_{graph}' version 1: Invalid argument: unable to find backend library for backend 'tensorrt'"
        );
        assert!(said.contains(&found), "{said}");
    }
    assert!(!said.contains("Poll failed"), "{said}");

    // It would say so: sizes that no tensor has are found before that.
    world.edit("models/oneranker_encode/config.pbtxt", "[ -1 ]", "[ 0 ]");
    let said = without_backends(&world);
    assert!(said.contains("Poll failed for model directory 'oneranker_encode'"), "{said}");
}

#[test]
fn another_checkpoint_that_is_live_is_found() {
    let world = exported(&[]);
    world.runs(&["init", "--model", "m.toml", "--seed", "9", "--out", "other.safetensors"]);
    let other =
        ["export", "--model", "m.toml", "--weights", "other.safetensors", "--out", "others"];
    world.runs(&other);
    world.runs(&["package", "triton", "others", "--out", "models", "--backend", "python"]);
    let server = serve(&world, &[]);
    let live = candidate(&server, Transport::Http);
    let outcome = world.run(&["parity", "graphs", "--candidate", &live, "--json"]);
    assert_eq!(outcome.code, Some(4), "{}", outcome.err);
    let report = report(&outcome);
    let failed = checks(&report, "failed");
    assert!(failed.contains(&"rank.scores") && failed.contains(&"oneranker.scores"), "{failed:?}");
    // What holds between a model's own answers holds for any.
    assert!(!failed.iter().any(|name| name.starts_with("relation.")), "{failed:?}");
}

#[test]
fn servers_that_are_not_there() {
    let world = exported(&[]);
    let nobody = ["parity", "graphs", "--candidate", "triton=http://127.0.0.1:1"];
    let error = world.refuses(3, &nobody);
    assert!(error.contains("127.0.0.1:1") && error.contains("is a server running"), "{error}");
    let error = world.refuses(2, &["parity", "graphs", "--candidate", "triton=localhost"]);
    assert!(error.contains("no scheme") && error.contains("http://HOST:PORT"), "{error}");
    let error = world.refuses(2, &["parity", "graphs", "--candidate", "cuda"]);
    assert!(error.contains("trtexec[=PATH] and triton="), "{error}");
    // Beside another backend it is skipped, and counted.
    let both = "ort,triton=http://127.0.0.1:1";
    let done = world.runs(&["parity", "graphs", "--no-relations", "--candidate", both, "--json"]);
    let done: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(done["skipped"][0]["backend"], "triton");
    let required = ["parity", "graphs", "--no-relations", "--candidate", "ort", "--require", both];
    assert_eq!(world.run(&required).code, Some(3));
}

#[test]
fn the_official_client_gets_what_was_recorded() {
    let world = exported(&[]);
    world.runs(&["parity", "record", "graphs", "--limit", "16", "--out", "golden.safetensors"]);
    world.runs(&[&PACKAGE[..], &CANARY].concat());
    let server = serve(&world, &[]);
    let address =
        |transport| server.endpoint(transport).to_string().split("://").nth(1).unwrap().to_owned();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join(".onr/triton/client");
    let script = format!(
        "import sys\n\
         sys.path.insert(0, '{}')\n\
         import numpy as np\n\
         import tritonclient.grpc as grpc\n\
         import tritonclient.http as http\n\
         from safetensors.numpy import load_file\n\
         golden = load_file('golden.safetensors')\n\
         names = ['item_ids', 'action_ids', 'timestamps', 'seq_lens', 'request_time', 'candidate_ids']\n\
         want = golden['outputs.scores']\n\
         for kind, address in ((http, '{}'), (grpc, '{}')):\n\
         \x20   client = kind.InferenceServerClient(address)\n\
         \x20   inputs = []\n\
         \x20   for name in names:\n\
         \x20       value = golden['inputs.' + name]\n\
         \x20       value = value[:, None] if value.ndim == 1 else value\n\
         \x20       inputs.append(kind.InferInput(name, list(value.shape), 'INT64'))\n\
         \x20       inputs[-1].set_data_from_numpy(value)\n\
         \x20   got = client.infer('oneranker', inputs).as_numpy('scores')\n\
         \x20   assert got.shape == want.shape, got.shape\n\
         \x20   assert np.abs(got - want).max() < 1e-4 * np.sqrt((want ** 2).mean()), np.abs(got - want).max()\n",
        client.display(),
        address(Transport::Http),
        address(Transport::Grpc),
    );
    python(&world, &script);
}

/// One request for the fused model.
fn request(at: usize) -> InferRequest {
    let row = |name: &str, values: &[i64]| Tensor::of(name, [1, values.len()], values).unwrap();
    let time = 1_700_000_000 + at as i64;
    InferRequest::new(
        "oneranker_fused",
        [
            row("item_ids", &[1 + at as i64 % 29, 2, 3]),
            row("action_ids", &[1, 1, 2]),
            row("timestamps", &[time, time + 1, time + 5]),
            row("seq_lens", &[3]),
            row("request_time", &[time + 60]),
        ],
    )
}

#[test]
fn a_version_goes_live_while_eight_clients_ask() {
    let world = exported(&["--top-k", "5"]);
    world.runs(&[&PACKAGE[..], &CANARY].concat());
    let server = serve(&world, &["--model-control-mode=poll", "--repository-poll-secs=1"]);
    let client = Client::new(&server.endpoint(Transport::Http), ClientOptions::default()).unwrap();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed: Mutex<Vec<String>> = Mutex::default();
    let versions: Mutex<std::collections::BTreeSet<String>> = Mutex::default();
    thread::scope(|scope| {
        for at in 0..8 {
            let (client, stop, answered, failed, versions) =
                (&client, &stop, &answered, &failed, &versions);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match client.infer(&request(at)) {
                        Ok(answer) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            versions.lock().unwrap().insert(answer.version);
                        }
                        Err(error) => failed.lock().unwrap().push(error.to_string()),
                    }
                }
            });
        }
        let live = |version: &str| {
            let started = Instant::now();
            while !versions.lock().unwrap().contains(version) {
                if started.elapsed() > Duration::from_secs(60) {
                    failed.lock().unwrap().push(format!("version {version} never came"));
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        };
        live("1");
        world.runs(&[&PACKAGE[..], &CANARY].concat());
        live("2");
        versions.lock().unwrap().clear();
        world.runs(&["package", "triton", "--rollback", "--out", "models"]);
        live("1");
        stop.store(true, Ordering::Relaxed);
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {answered:?}: {:?}", failed.len(), failed.first());
    assert!(answered.load(Ordering::Relaxed) > 100, "{answered:?}");
}
