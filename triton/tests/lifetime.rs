//! Servers that load and unload, stop, crash, and leave nothing behind.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{BOTH, Place, soon};
use onr_kserve::{Client, ClientOptions, Endpoint, InferRequest, KserveError, Tensor, Transport};
use onr_triton::{Control, LocalServer, ServerError, ServerOptions};

fn number(x: f32) -> Tensor {
    Tensor::of("x", [1, 1], &[x]).unwrap()
}

fn is_there(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn shared_memory(of: u32) -> Vec<String> {
    let files = fs::read_dir("/dev/shm").unwrap().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("onr_triton_{of}_"))).collect()
}

#[test]
fn models_are_loaded_and_unloaded() {
    for transport in BOTH {
        let explicit =
            |options: ServerOptions| options.control(Control::Explicit(vec!["twice".into()]));
        let place = Place::with(&[common::chain, common::failing], explicit);
        let client = place.client(transport);
        let ready = || {
            let models = client.repository_index().unwrap();
            let mut names: Vec<_> =
                models.into_iter().filter(|m| m.is_ready()).map(|m| m.name).collect();
            names.sort();
            names
        };
        assert_eq!(ready(), ["twice"]);
        client.load_model("chain").unwrap();
        assert_eq!(ready(), ["chain", "plus", "twice"]);
        client.infer(&InferRequest::new("chain", [number(1.0)])).unwrap();
        client.unload_model("chain", true).unwrap();
        assert!(soon(|| ready() == ["twice"]), "{:?}", ready());
        let error = client.infer(&InferRequest::new("chain", [number(1.0)])).unwrap_err();
        assert!(
            matches!(&error, KserveError::UnknownModel { ready: Some(names), .. } if names == &["twice"]),
            "{error:?}"
        );

        let error = client.load_model("nobody").unwrap_err();
        assert!(matches!(&error, KserveError::Refused { .. }), "{error:?}");
        let config = place.folder.path().join("models/failing/config.pbtxt");
        fs::write(&config, fs::read_to_string(&config).unwrap().replace("FP32", "FP33")).unwrap();
        let error = client.load_model("failing").unwrap_err();
        assert!(matches!(&error, KserveError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("failing"), "{error}");
    }
}

#[test]
fn a_server_that_is_killed_in_the_middle() {
    for transport in BOTH {
        let mut place = Place::new(&[common::sleeper]);
        let client = place.client(transport);
        client.infer(&InferRequest::new("sleeper", [number(0.0)])).unwrap();
        let lost = thread::scope(|threads| {
            let asked =
                threads.spawn(|| client.infer(&InferRequest::new("sleeper", [number(30.0)])));
            thread::sleep(Duration::from_millis(300));
            place.server.kill();
            asked.join().unwrap().unwrap_err()
        });
        assert!(matches!(&lost, KserveError::Lost { .. }), "{lost:?}");
        assert!(soon(|| place.server.processes().unwrap().is_empty()));
        assert!(!place.server.is_running());
        // The system closes the sockets of its last threads a little later.
        let again = || client.infer(&InferRequest::new("sleeper", [number(0.0)])).unwrap_err();
        assert!(soon(|| matches!(again(), KserveError::Connect { .. })), "{:?}", again());
        let gone = again();
        assert!(gone.hint().unwrap().contains("is a server running"));
    }
}

/// A server that came back on its port is asked again by the same client, over a new connection.
#[test]
fn a_server_that_comes_back() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    // Of two such arguments the last counts.
    let again = |options: ServerOptions| options.argument(format!("--grpc-port={port}"));
    let endpoint = Endpoint::new(Transport::Grpc, "127.0.0.1", port);
    let client = Client::new(&endpoint, ClientOptions::default()).unwrap();
    for _ in 0..2 {
        let place = Place::with(&[common::chain], again);
        let answer = client.infer(&InferRequest::new("chain", [number(1.0)])).unwrap();
        assert_eq!(answer.outputs[0].to_vec::<f32>(), Some(vec![3.0]));
        drop(place);
    }
    assert!(soon(|| matches!(client.server_live(), Err(KserveError::Connect { .. }))));
}

#[test]
fn dropping_leaves_nothing_behind() {
    let place = Place::with(&[common::chain], |options| options.shared_memory(1 << 20));
    let client = place.client(BOTH[0]);
    client.infer(&InferRequest::new("chain", [number(1.0)])).unwrap();
    let processes = place.server.processes().unwrap();
    assert!(processes.len() >= 4, "a server and two models: {processes:?}");
    let memory = place.server.memory().unwrap();
    assert!((50 << 20..4 << 30).contains(&memory), "{memory}");
    assert!(place.server.log().unwrap().contains("successfully loaded 'plus'"));
    drop(place);
    assert!(soon(|| !processes.iter().any(|id| is_there(*id))));
}

/// The test runs itself as the program that is killed.
#[test]
fn the_server_dies_with_its_program() {
    const ROLE: &str = "ONR_TRITON_TEST_PROGRAM";
    if let Ok(told) = std::env::var(ROLE) {
        let place = Place::new(&[common::chain]);
        let ids: Vec<_> = place.server.processes().unwrap().iter().map(u32::to_string).collect();
        let half = Path::new(&told).with_extension("half");
        fs::write(&half, ids.join(" ")).unwrap();
        fs::rename(&half, &told).unwrap();
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("processes");
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_server_dies_with_its_program", "--nocapture"])
        .env(ROLE, &told)
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(soon(|| told.exists()), "the program has no server");
    let ids = fs::read_to_string(&told).unwrap();
    let ids: Vec<u32> = ids.split(' ').map(|id| id.parse().unwrap()).collect();
    assert!(ids.iter().all(|id| is_there(*id)));
    assert!(!shared_memory(program.id()).is_empty());
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(soon(|| !ids.iter().any(|id| is_there(*id))), "processes remain");
    assert!(soon(|| shared_memory(program.id()).is_empty()), "shared memory remains");
}

#[test]
fn a_repository_that_does_not_load_names_its_models() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    common::chain(&models);
    fs::write(models.join("plus/1/model.py"), "raise ValueError('weights are missing')").unwrap();
    let options = ServerOptions::new(&models, folder.path().join("log"));
    let error = LocalServer::start(&options).unwrap_err();
    let ServerError::Stopped { failures, .. } = &error else { panic!("{error:?}") };
    assert!(
        failures.iter().any(|f| f.model == "plus" && f.words.contains("weights are missing")),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("log"));
}

#[test]
fn programs_that_are_not_there_or_not_servers() {
    let folder = tempfile::tempdir().unwrap();
    let options = || ServerOptions::new(folder.path(), folder.path().join("log"));
    let error = LocalServer::start(&options().program("/nowhere/tritonserver")).unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
    let error = LocalServer::start(&options().program("/bin/true")).unwrap_err();
    assert!(matches!(&error, ServerError::Stopped { .. }), "{error}");
    let late = options().program("/bin/sleep").deadline(Duration::from_millis(200));
    assert!(LocalServer::start(&late).is_err());
}
