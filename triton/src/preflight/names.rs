//! Models of the package's names that are deployed already: would their clients notice?

use std::collections::BTreeMap;

use onr_kserve::{Datatype, IoConfig, ModelConfig as LiveConfig};

use super::{
    CheckName,
    check::{Check, lines},
    deployed::{Deployed, DeployedModel, names},
};
use crate::{
    config::{ModelConfig, TensorConfig},
    interface::differences,
    options::PackageName,
    package::Package,
};

/// Compares what would be packaged with what is live under the same names.
pub(super) fn check(
    name: &PackageName,
    package: Option<&Package>,
    server: Option<&Deployed>,
) -> Check {
    const NAME: CheckName = CheckName::Names;
    let Some(server) = server else { return Check::skipped(NAME, "no server was asked") };
    let Some(package) = package else {
        return Check::skipped(NAME, "it cannot be packaged: there is nothing to compare");
    };
    let mut wrong = Vec::new();
    let mut same = Vec::new();
    for planned in &package.models {
        let model = &planned.config.name;
        let Some(found) = server.models.get(model) else { continue };
        let problems = of_model(&planned.config, found, server);
        if problems.is_empty() {
            same.push(format!("{model} {}", found.ready.join(", ")));
        }
        wrong.extend(problems.into_iter().map(|why| format!("{model}: {why}")));
    }
    for model in names(name) {
        let planned = package.models.iter().any(|p| p.config.name == model);
        if server.models.contains_key(&model) && !planned {
            wrong
                .push(format!("{model}: would stay behind, of another checkpoint than the others"));
        }
    }
    if !wrong.is_empty() {
        let fix = "choose another `--name`, and move the clients; a model that does not load needs its log read first";
        return Check::failed(NAME, lines(wrong), fix);
    }
    if same.is_empty() {
        return Check::passed(NAME, format!("no model is called {name} or {name}_* there"));
    }
    Check::passed(NAME, format!("as clients know them: {}", same.join("; ")))
}

fn of_model(planned: &ModelConfig, found: &DeployedModel, server: &Deployed) -> Vec<String> {
    let Some(live) = &found.config else {
        return vec![format!("it is in the repository and not ready ({})", found.reason)];
    };
    if !live.parameters.contains_key("onr.version") {
        return vec!["`onr package` did not write what is there".to_owned()];
    }
    let mut wrong = changes(live, planned);
    let (was, is) = (live.max_batch_size as usize, planned.max_batch_size);
    if is < was {
        wrong.push(format!("the largest batch was {was}, would be {is}"));
    }
    let steps = live.steps.iter().map(|step| &step.model);
    let gone = steps.filter(|step| server.models.get(*step).is_none_or(|m| m.ready.is_empty()));
    wrong.extend(gone.map(|step| format!("its step {step} is not there")));
    wrong
}

/// What clients would see of the difference.
fn changes(live: &LiveConfig, planned: &ModelConfig) -> Vec<String> {
    let inputs = differences("input", &deployed(&live.inputs), &wanted(&planned.input));
    [inputs, differences("output", &deployed(&live.outputs), &wanted(&planned.output))].concat()
}

fn deployed(tensors: &[IoConfig]) -> BTreeMap<String, String> {
    let of = |io: &IoConfig| {
        let optional = if io.optional { ", optional" } else { "" };
        let datatype = match io.datatype {
            Datatype::Bytes => "STRING",
            other => other.name(),
        };
        (io.name.clone(), format!("TYPE_{datatype} {:?}{optional}", io.dims))
    };
    tensors.iter().map(of).collect()
}

fn wanted(tensors: &[TensorConfig]) -> BTreeMap<String, String> {
    let of = |t: &TensorConfig| {
        let optional = if t.optional { ", optional" } else { "" };
        (t.name.clone(), format!("{} {:?}{optional}", t.data_type.name(), t.dims))
    };
    tensors.iter().map(of).collect()
}
