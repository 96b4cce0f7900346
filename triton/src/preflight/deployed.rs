//! What a server says of itself and of the models of one package.

use std::collections::BTreeMap;

use onr_graphs::GraphKind;
use onr_kserve::{Client, KserveError, ModelConfig, RepositoryModel};
use serde::Serialize;

use crate::options::PackageName;

/// A server and those of its models that a package of this name would meet.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// Where it listens.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// Models of the package's names that it has, by name, and members of their ensembles.
    pub models: BTreeMap<String, DeployedModel>,
}

/// A model of a server.
#[derive(Debug, Clone)]
pub struct DeployedModel {
    /// Versions that can be asked.
    pub ready: Vec<String>,
    /// Why it cannot be asked, in the server's words; empty where it can.
    pub reason: String,
    /// Its configuration, where it can be asked.
    pub config: Option<ModelConfig>,
}

/// What is live, as `onr package` noted it in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Live {
    /// The model.
    pub model: String,
    /// Versions that can be asked.
    pub versions: Vec<String>,
    /// Version of `onr` that packaged it; none for what it did not package.
    pub onr: Option<String>,
    /// SHA-256 of the manifest that it is made from.
    pub manifest_sha256: Option<String>,
    /// SHA-256 of the checkpoint.
    pub checkpoint_sha256: Option<String>,
    /// Precision of the export.
    pub precision: Option<String>,
}

impl Deployed {
    /// Asks a server.
    ///
    /// # Errors
    /// [`KserveError`] when it does not answer, or is no Triton.
    pub fn ask(client: &Client, name: &PackageName) -> Result<Self, KserveError> {
        let version = client.server_metadata()?.version;
        let index = client.repository_index()?;
        let mut models = BTreeMap::new();
        for model in names(name) {
            if let Some(found) = find(client, &index, &model)? {
                let steps = found.config.iter().flat_map(|config| &config.steps);
                let steps: Vec<String> = steps.map(|step| step.model.clone()).collect();
                models.insert(model, found);
                for step in steps {
                    if let Some(found) = find(client, &index, &step)? {
                        models.insert(step, found);
                    }
                }
            }
        }
        Ok(Self { endpoint: client.endpoint().to_string(), version, models })
    }

    /// What is live under the package's names.
    pub(super) fn live(&self, name: &PackageName) -> Vec<Live> {
        let names = names(name);
        let ours = self.models.iter().filter(|(model, _)| names.contains(model));
        ours.filter_map(|(model, found)| {
            let config = found.config.as_ref()?;
            let parameter = |key: &str| config.parameters.get(key).cloned();
            Some(Live {
                model: model.clone(),
                versions: found.ready.clone(),
                onr: parameter("onr.version"),
                manifest_sha256: parameter("onr.manifest_sha256"),
                checkpoint_sha256: parameter("onr.checkpoint_sha256"),
                precision: parameter("onr.precision"),
            })
        })
        .collect()
    }
}

/// Names that models of a package can have.
pub(super) fn names(name: &PackageName) -> Vec<String> {
    let graphs = GraphKind::ALL.iter().map(|kind| name.model(kind.name()));
    graphs.chain([name.to_string()]).collect()
}

/// The model, if it is in the repository.
fn find(
    client: &Client,
    index: &[RepositoryModel],
    name: &str,
) -> Result<Option<DeployedModel>, KserveError> {
    let entries: Vec<_> = index.iter().filter(|entry| entry.name == name).collect();
    if entries.is_empty() {
        return Ok(None);
    }
    let ready = entries.iter().filter(|entry| entry.is_ready());
    let ready: Vec<String> = ready.map(|entry| entry.version.clone()).collect();
    if ready.is_empty() {
        let mut reasons = entries.iter().map(|entry| entry.reason.as_str());
        let reason = reasons.rfind(|text| !text.is_empty()).unwrap_or("not loaded");
        return Ok(Some(DeployedModel { ready, reason: reason.to_owned(), config: None }));
    }
    let config = match client.model_config(name, None) {
        Ok(config) => Some(config),
        // It went between two questions.
        Err(KserveError::UnknownModel { .. } | KserveError::NotReady { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Some(DeployedModel { ready, reason: String::new(), config }))
}
