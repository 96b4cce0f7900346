//! Load on a real server, as people meet it. No figure of time decides anything here.

use onr_kserve::{Client, ClientOptions, Transport};
use onr_triton::{LocalServer, ServerOptions};
use serde_json::Value;

use crate::support::{Running, World};

/// The tiny model, packaged for Python, on a server. Dropped in this order: server, files.
struct Served {
    server: LocalServer,
    world: World,
}

impl Served {
    fn new() -> Self {
        let world = World::exported();
        let python = ["--backend", "python", "--out", "models"];
        world.runs(&[&["package", "triton", "graphs"], &python[..]].concat());
        let options = ServerOptions::new(world.path("models"), world.path("log"));
        match LocalServer::start(&options) {
            Ok(server) => Self { server, world },
            Err(error) => panic!("{error}\n{}", error.hint().unwrap_or_default()),
        }
    }

    fn url(&self, transport: Transport) -> String {
        self.server.endpoint(transport).to_string()
    }

    /// Runs without an error, and what it reported.
    fn bench(&self, transport: Transport, more: &[&str]) -> Value {
        let url = self.url(transport);
        let begin = ["bench", "graphs", "--json", "--limit", "16", "--triton", &url];
        json(&self.world.runs(&[&begin[..], more].concat()).out)
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

const SHORT: [&str; 4] = ["--seconds", "0.3", "--warmup", "0.1"];

#[test]
fn clients_of_every_model_without_an_error() {
    let served = Served::new();
    let done = served.bench(
        Transport::Http,
        &["--clients", "8", "--seconds", "1", "--warmup", "0.2", "--batch", "1,3"],
    );
    assert_eq!(done["model"], "oneranker_fused");
    let batches = done["batches"].as_array().unwrap();
    assert_eq!(batches.iter().map(|b| b["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    for batch in batches {
        let requests = batch["requests"].as_u64().unwrap();
        assert!(requests > 8, "{batch:#}");
        assert_eq!(batch["failed"], 0, "{batch:#}");
        assert_eq!(batch["rows"], requests * batch["batch"].as_u64().unwrap());
        assert!(batch["latency"]["p50_ms"].as_f64() <= batch["latency"]["max_ms"].as_f64());
        // Requests may be joined, and then sums may be rounded otherwise.
        assert!(batch["largest_difference"].as_f64().unwrap() < 1e-4, "{batch:#}");
        assert!(!batch["seconds"].as_array().unwrap().is_empty());
        let counted = batch["server"][0]["requests"].as_u64().unwrap();
        assert!(counted >= requests, "{batch:#}");
    }
    for graph in ["ensemble", "encode", "append", "generate", "rank"] {
        let done = served.bench(Transport::Http, &[&SHORT[..], &["--graph", graph]].concat());
        let batch = &done["batches"][0];
        assert!(batch["requests"].as_u64() > Some(0) && batch["failed"] == 0, "{graph}: {done:#}");
        let models = batch["server"].as_array().unwrap().len();
        assert_eq!(models, if graph == "ensemble" { 4 } else { 1 }, "{graph}: {done:#}");
    }
}

#[test]
fn a_rate_and_what_people_read() {
    let served = Served::new();
    let rate = [&SHORT[..], &["--rate", "20", "--in-flight", "4"]].concat();
    let done = served.bench(Transport::Grpc, &[&rate[..], &["--spacing", "even"]].concat());
    let batch = &done["batches"][0];
    assert_eq!(batch["failed"], 0, "{done:#}");
    let all = batch["requests"].as_u64().unwrap() + batch["unsent"].as_u64().unwrap();
    assert_eq!(all, 6, "due at 100, 150 to 350 ms: {done:#}");
    let url = served.url(Transport::Http);
    let text = [&["bench", "graphs", "--triton", &url, "-v"], &rate[..]].concat();
    let text = served.world.runs(&text).out;
    for words in [
        "oneranker_fused on triton 2.",
        "20 requests a second, spaced as by independent users",
        "64 drawn from seed 0",
        "copies over the network are included",
        "p99.9",
        "by the server's own count",
        "different requests; all as the first ones ",
        "second  requests  failed",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
}

/// A run of some seconds that is under way: the first answers were given, and some under load.
fn under_way(served: &Served, seconds: &str) -> Running {
    let url = served.url(Transport::Http);
    let run = ["bench", "graphs", "--triton", &url, "--limit", "8", "--warmup", "0", "--json"];
    let mut running = served.world.start(&[&run[..], &["--seconds", seconds]].concat());
    let endpoint = served.server.endpoint(Transport::Http);
    let client = Client::new(&endpoint, ClientOptions::default()).unwrap();
    running.until("load", || {
        let counts = client.statistics(Some("oneranker_fused"), None).unwrap_or_default();
        counts.iter().any(|model| model.success.count > 40)
    });
    running
}

#[test]
fn ctrl_c_ends_it_and_shows_what_was_measured() {
    let served = Served::new();
    let running = under_way(&served, "600");
    running.signal("INT");
    let (outcome, _) = running.end(&served.world);
    assert_eq!(outcome.code, Some(130), "{}{}", outcome.out, outcome.err);
    let batch = &json(&outcome.out)["batches"][0];
    assert_eq!((&batch["stopped"], &batch["failed"]), (&true.into(), &0.into()), "{batch:#}");
    assert!(batch["requests"].as_u64() > Some(0), "{batch:#}");
}

#[test]
fn a_server_that_dies_is_told_with_what_failed() {
    let mut served = Served::new();
    let running = under_way(&served, "5");
    served.server.kill();
    let (outcome, _) = running.end(&served.world);
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.out, outcome.err);
    let done = json(&outcome.out);
    let batch = &done["batches"][0];
    assert!(batch["failed"].as_u64() > Some(0), "{done:#}");
    let kinds: Vec<_> =
        batch["failures"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"no connection"), "{kinds:?}");
    let first = batch["failures"][0]["first"].as_str().unwrap();
    assert!(first.contains("127.0.0.1"), "{first}");
    assert!(done["warnings"].to_string().contains("no statistics"), "{done:#}");
}

#[test]
fn answers_that_change_are_failures() {
    let Served { server, world } = Served::new();
    drop(server);
    let noise = "np.ascontiguousarray(value + np.float32(np.random.rand()))";
    world.edit("models/oneranker_rank/1/model.py", "np.ascontiguousarray(value)", noise);
    let options = ServerOptions::new(world.path("models"), world.path("log"));
    let server = LocalServer::start(&options).unwrap();
    let url = server.endpoint(Transport::Http).to_string();
    let args = ["bench", "graphs", "--triton", &url, "--graph", "rank"];
    let outcome = world.run(&[&args[..], &SHORT].concat());
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.out, outcome.err);
    assert!(outcome.out.contains("x other answer: `"), "{}", outcome.out);
}

#[test]
fn what_cannot_be_asked() {
    let world = World::exported();
    let bench = |more: &[&'static str]| {
        let begin = ["bench", "graphs", "--triton", "http://127.0.0.1:1"];
        [&begin[..], more].concat()
    };
    let said = world.refuses(3, &bench(&[]));
    assert!(said.starts_with("error: triton is not available: can't connect to"), "{said}");
    assert!(said.contains(" hint: is a server running"), "{said}");
    let usage: [&[&str]; 8] = [
        &["--graph", "oneranker"],
        &["--batch", "0"],
        &["--clients", "0"],
        &["--rate", "0"],
        &["--rate", "10", "--clients", "4"],
        &["--spacing", "even"],
        &["--seconds", "0"],
        &["--warmup", "-1"],
    ];
    for more in usage {
        let said = world.refuses(2, &bench(more));
        assert!(said.starts_with("error: "), "{said}");
    }
    assert!(world.refuses(2, &bench(&["--graph", "oneranker"])).contains("ensemble"));
    let address = world.refuses(2, &["bench", "graphs", "--triton", "localhost:8000"]);
    assert!(address.contains("write http://HOST:PORT"), "{address}");
    let none = world.refuses(1, &["bench", "none", "--triton", "http://127.0.0.1:1"]);
    assert!(none.contains("none/onr.json"), "{none}");
}

#[test]
fn models_that_are_not_there_and_requests_that_are_too_large() {
    let served = Served::new();
    let url = served.url(Transport::Http);
    let other = format!("{url}/canary");
    let said = served.world.refuses(1, &["bench", "graphs", "--triton", &other]);
    assert!(said.contains("canary_fused") && said.contains("ready there: "), "{said}");
    let large = ["bench", "graphs", "--triton", &url, "--batch", "1,64"];
    let said = served.world.refuses(2, &large);
    assert!(
        said.contains("--batch 64 is more than the 32 rows that oneranker_fused takes"),
        "{said}"
    );
}
