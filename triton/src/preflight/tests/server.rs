//! Facts against what a server has, which is made up as well.

use onr_kserve as kserve;

use super::*;

/// A server with the models that a package of `source` has.
fn server(source: &Source) -> Deployed {
    let package = Package::plan(std::slice::from_ref(source), &options(None), None).unwrap();
    let io = |t: &crate::config::TensorConfig| kserve::IoConfig {
        name: t.name.clone(),
        datatype: t.data_type.name().parse().unwrap(),
        dims: t.dims.clone(),
        reshape: t.reshape.clone(),
        optional: false,
    };
    let models = package.models.iter().map(|model| {
        let config = kserve::ModelConfig {
            name: model.config.name.clone(),
            platform: String::new(),
            backend: "onnxruntime".into(),
            max_batch_size: model.config.max_batch_size as u32,
            inputs: model.config.input.iter().map(io).collect(),
            outputs: model.config.output.iter().map(io).collect(),
            version_policy: kserve::VersionPolicy::Latest(1),
            steps: Vec::new(),
            parameters: model.config.parameters.clone(),
            instances: Vec::new(),
            dynamic_batching: None,
        };
        let (ready, reason) = (vec!["3".to_owned()], String::new());
        (model.config.name.clone(), DeployedModel { ready, reason, config: Some(config) })
    });
    let models: BTreeMap<_, _> = models.collect();
    Deployed { endpoint: "http://there:8000".into(), version: "2.51.0".into(), models }
}

fn names(source: &Source, server: &Deployed) -> String {
    said(&served(source, None, &Facts::default(), Some(server)), CheckName::Names)
}

#[test]
fn models_of_the_same_names() {
    let source = source();
    assert_eq!(
        said(&run(&source, None, &Facts::default()), CheckName::Names),
        "skipped: no server was asked"
    );
    let mut there = server(&source);
    assert_eq!(names(&source, &there), "passed: as clients know them: ads_encode 3; ads_fused 3");
    let found = served(&source, None, &Facts::default(), Some(&there));
    assert_eq!(
        said(&found, CheckName::Backends),
        "passed: onnxruntime, which runs ads_encode there"
    );
    assert_eq!(found.live.len(), 2);
    assert_eq!(found.live[1].precision.as_deref(), Some("fp32"));
    let fused = there.models.get_mut("ads_fused").and_then(|m| m.config.as_mut()).unwrap();
    fused.outputs[0].dims = vec![12, 2];
    fused.max_batch_size = 8;
    assert_eq!(
        names(&source, &there),
        "failed: ads_fused: output `scores` was TYPE_FP32 [12, 2], would be TYPE_FP32 [10, 2]; \
         ads_fused: the largest batch was 8, would be 4"
    );
    there.models.clear();
    assert_eq!(names(&source, &there), "passed: no model is called ads or ads_* there");
}

#[test]
fn models_that_are_foreign_gone_or_left_behind() {
    let source = source();
    let mut there = server(&source);
    let encode = there.models.get("ads_encode").unwrap().clone();
    let mut ensemble = encode.clone();
    let step = |model: &str| kserve::EnsembleStep {
        model: model.into(),
        version: -1,
        inputs: BTreeMap::new(),
        outputs: BTreeMap::new(),
    };
    ensemble.config.as_mut().unwrap().steps = vec![step("ads_encode"), step("ads_rank")];
    there.models.insert("ads".into(), ensemble.clone());
    assert_eq!(
        names(&source, &there),
        "failed: ads: would stay behind, of another checkpoint than the others"
    );
    there.models.remove("ads");
    there.models.insert("ads_encode".into(), ensemble);
    assert_eq!(names(&source, &there), "failed: ads_encode: its step ads_rank is not there");
    let mut foreign = encode.clone();
    foreign.config.as_mut().unwrap().parameters.clear();
    there.models.insert("ads_encode".into(), foreign);
    assert_eq!(
        names(&source, &there),
        "failed: ads_encode: `onr package` did not write what is there"
    );
    let reason = "no such plan".to_owned();
    let broken = DeployedModel { ready: Vec::new(), reason, config: None };
    there.models.insert("ads_encode".into(), broken);
    assert_eq!(
        names(&source, &there),
        "failed: ads_encode: it is in the repository and not ready (no such plan)"
    );
}

#[test]
fn facts_of_another_server() {
    let source = source();
    let there = server(&source);
    let check = |text: &str| {
        let found = served(&source, None, &facts(text), Some(&there));
        found.check(CheckName::Facts).map(|_| said(&found, CheckName::Facts))
    };
    assert_eq!(check("{}"), None);
    assert!(check(r#"{"tritonserver_version": "2.51.0"}"#).unwrap().starts_with("passed"));
    assert_eq!(
        check(r#"{"tritonserver_version": "2.50.0"}"#).unwrap(),
        "failed: the server is Triton 2.51.0, the facts are of 2.50.0"
    );
}
