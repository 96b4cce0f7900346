//! Packages of plans. The plans are none: nothing here looks into them.

use onr_runtime::{builder::PlanKind, manifest::Manifest};
use onr_triton::{Backend, Package, PackageOptions, Source, config::ContextAllocation};

use crate::support::{World, graph_options, options, plan, pretend_plans, pretend_profiles};

fn plans() -> (World, std::path::PathBuf) {
    let world = World::new();
    let dir = world.export("engine", graph_options(), 0);
    pretend_plans(&dir, PlanKind::Tensorrt, &["sm86"]);
    (world, dir)
}

#[test]
fn plans_of_a_data_centre_are_preferred() {
    let (_world, dir) = plans();
    let package = plan(&dir, &options()).unwrap();
    assert_eq!((package.backend, package.notes.len()), (Backend::TensorRt, 0));
    let text = package.models[0].config.to_string();
    for line in ["platform: \"tensorrt_plan\"", "kind: KIND_GPU", "profile: [ \"0\" ]"] {
        assert!(text.contains(line), "{text}");
    }
    let names: Vec<_> = package.models[0].files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["model.plan"], "a plan has its own weights");
}

#[test]
fn graphs_and_contexts_are_configured() {
    let (_world, dir) = plans();
    let wanted = PackageOptions {
        cuda_graphs: true,
        context_allocation: Some(ContextAllocation::OnProfileChange),
        gpus: vec![1],
        instances: 2,
        ..options()
    };
    let package = plan(&dir, &wanted).unwrap();
    let text = package.models[0].config.to_string();
    for part in
        ["graph_spec {", "graph_lower_bound {", "ON_PROFILE_CHANGE", "gpus: [ 1 ]", "count: 2"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn profiles_that_overlap_or_cannot_be_read_are_refused() {
    let (_world, dir) = plans();
    pretend_profiles(&dir);
    let edit = |texts: &[&str]| {
        let mut manifest = Manifest::read(&dir).unwrap();
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        manifest.engines.get_mut("rank").unwrap().profiles = texts;
        manifest.write(&dir).unwrap();
    };
    edit(&["kv=1:5:5", "kv=5:9:12"]);
    let error = plan(&dir, &options()).unwrap_err().to_string();
    assert_eq!(error, "optimisation profiles 0 and 1 overlap");
    edit(&["kv=1:5:5", "kv"]);
    let error = Source::open(&dir).unwrap_err().to_string();
    assert!(error.ends_with("profile part `kv` is not `name=min:opt:max`"), "{error}");
}

#[test]
fn plans_for_several_gpus_lie_side_by_side() {
    let world = World::new();
    let dirs = ["sm86", "sm90"].map(|target| {
        let dir = world.export(target, graph_options(), 0);
        pretend_plans(&dir, PlanKind::Tensorrt, &[target]);
        dir
    });
    let open = |dirs: &[std::path::PathBuf]| {
        dirs.iter().map(|d| Source::open(d).unwrap()).collect::<Vec<_>>()
    };
    let package = Package::plan(&open(&dirs), &options(), None).unwrap();
    let model = &package.models[0];
    let names: Vec<_> = model.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["model_sm86.plan", "model_sm90.plan"]);
    let by_capability: Vec<_> = model.config.cc_model_filenames.iter().collect();
    assert_eq!(by_capability[0], (&"8.6".to_owned(), &"model_sm86.plan".to_owned()));
    assert_eq!(by_capability[1].0, "9.0");

    let refused = |dirs: &[std::path::PathBuf]| {
        Package::plan(&open(dirs), &options(), None).unwrap_err().to_string()
    };
    let twice = refused(&[dirs[0].clone(), dirs[0].clone()]);
    assert!(
        twice.ends_with("are for sm86, and each directory must be for one GPU of its own"),
        "{twice}"
    );
    pretend_plans(&dirs[1], PlanKind::Tensorrt, &[]);
    assert!(refused(&dirs).contains("are for an unknown GPU"), "{}", refused(&dirs));
    let other = world.export("other", graph_options(), 1);
    pretend_plans(&other, PlanKind::Tensorrt, &["sm90"]);
    let said = refused(&[dirs[0].clone(), other]);
    assert!(said.ends_with("do not belong together: their checkpoints differ"), "{said}");
}

#[test]
fn plans_of_workstations_are_refused_where_they_are_asked_for() {
    let world = World::new();
    let dir = world.export("engine", graph_options(), 0);
    let tensorrt = PackageOptions { backend: Some(Backend::TensorRt), ..options() };
    let error = plan(&dir, &tensorrt).unwrap_err().to_string();
    assert!(error.ends_with("has no plan of encode, append, generate, rank, oneranker"), "{error}");
    pretend_plans(&dir, PlanKind::TensorrtRtx, &["sm86", "sm89"]);
    let error = plan(&dir, &tensorrt).unwrap_err();
    assert!(error.to_string().ends_with("has plans of TensorRT for RTX, which Triton cannot load"));
    let hint = error.hint().unwrap();
    assert!(hint.contains("--builder trtexec=PATH") && hint.contains("--backend python"), "{hint}");
    let package = plan(&dir, &options()).unwrap();
    assert_eq!(package.backend, Backend::OnnxRuntime);
    assert_eq!(
        package.notes,
        [
            "the models are for the backend onnxruntime: not every plan here is one that Triton loads"
        ]
    );
}
