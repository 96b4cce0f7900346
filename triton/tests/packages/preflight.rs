//! Preflight against a server that has a package.

use onr_graphs::GraphOptions;
use onr_kserve::Transport;
use onr_triton::{
    Backend, LocalServer, PackageOptions, ServerOptions, Source,
    preflight::{CheckName, Deployed, Facts, Plan, Preflight, Status, ask, preflight},
};

use crate::support::{World, graph_options, options};

fn python() -> PackageOptions {
    PackageOptions { backend: Some(Backend::Python), ..options() }
}

fn run(dir: &std::path::Path, server: &Deployed) -> Preflight {
    let source = Source::open(dir).unwrap();
    let plan = Plan { source: &source, options: python(), users: 0, gpu_memory: None };
    preflight(&plan, &Facts::default(), Some(server))
}

fn names(found: &Preflight) -> &Status {
    &found.check(CheckName::Names).unwrap().status
}

#[test]
fn what_is_live_decides_whether_clients_would_notice() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    world.write(&dir, &python()).unwrap();
    let server = ServerOptions::new(world.path("models"), world.path("log"));
    let server = LocalServer::start(&server).unwrap_or_else(|error| panic!("{error}"));
    for transport in [Transport::Http, Transport::Grpc] {
        let there = ask(&server.endpoint(transport), &options().name).unwrap();
        let same = run(&dir, &there);
        assert!(same.passed(), "{same:?}");
        assert!(matches!(names(&same), Status::Passed { .. }), "{same:?}");
        let backends = &same.check(CheckName::Backends).unwrap().status;
        assert!(matches!(backends, Status::Passed { .. }), "{backends:?}");
        assert_eq!(same.live.len(), 6, "{:?}", same.live);
        let manifest = Source::open(&dir).unwrap().manifest;
        let checkpoint = manifest.checkpoint.map(|c| c.sha256);
        for live in &same.live {
            assert_eq!(live.versions, ["1"], "{live:?}");
            assert_eq!(live.checkpoint_sha256, checkpoint, "{live:?}");
            assert_eq!(live.manifest_sha256.as_deref(), Some(manifest.sha256.as_str()));
        }
    }

    let there = ask(&server.endpoint(Transport::Http), &options().name).unwrap();
    let fewer = world.export("fewer", GraphOptions { top_k: 3, ..graph_options() }, 1);
    let found = run(&fewer, &there);
    let Status::Failed { why, fix } = names(&found) else { panic!("{found:?}") };
    assert_eq!(
        why,
        "oneranker_fused: output `candidate_ids` was TYPE_INT64 [10], would be TYPE_INT64 [6]\n\
         oneranker_fused: output `generator_logits` was TYPE_FP32 [10, 2], would be TYPE_FP32 [6, 2]\n\
         oneranker_fused: output `scores` was TYPE_FP32 [10, 2], would be TYPE_FP32 [6, 2]"
    );
    assert!(fix.contains("--name"), "{fix}");
    assert!(!found.passed());

    let other = ask(&server.endpoint(Transport::Http), &"ads".parse().unwrap()).unwrap();
    assert!(other.models.is_empty());
}
