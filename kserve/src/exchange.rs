//! What a model is asked, and what it says.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::call::Model;
use crate::{Cancel, KserveError, Tensor};

/// One request for one model.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct InferRequest {
    pub(crate) model: String,
    pub(crate) version: Option<String>,
    pub(crate) id: String,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancel: Option<Cancel>,
}

impl InferRequest {
    /// A request for the newest version of `model`, for all outputs.
    pub fn new(model: impl Into<String>, inputs: impl Into<Vec<Tensor>>) -> Self {
        Self { model: model.into(), inputs: inputs.into(), ..Self::default() }
    }

    /// Asks this version and no other.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Names the request; the answer repeats it. For logs and traces of the server.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Asks for these outputs only.
    pub fn outputs<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.outputs = names.into_iter().map(Into::into).collect();
        self
    }

    /// Waits this long, connecting included, instead of [`crate::ClientOptions::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets another thread stop it.
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    pub(crate) fn asked(&self) -> Model<'_> {
        Model { name: &self.model, version: self.version.as_deref() }
    }

    /// What every server would refuse.
    pub(crate) fn check(&self) -> Result<(), KserveError> {
        let refuse =
            |problem: String| Err(KserveError::Request { model: self.model.clone(), problem });
        if self.model.is_empty() {
            return refuse("it names no model".into());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.inputs.iter().find(|input| !seen.insert(input.name())) {
            return refuse(format!("input `{}` is there twice", twice.name()));
        }
        Ok(())
    }
}

/// What a model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferResponse {
    /// The model that answered.
    pub model: String,
    /// Its version.
    pub version: String,
    /// The request's id; empty if it had none.
    pub id: String,
    /// The outputs, in the server's order; their bytes are slices of one buffer.
    pub outputs: Vec<Tensor>,
}

impl InferResponse {
    /// The output of this name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Tensor> {
        self.outputs.iter().find(|output| output.name() == name)
    }
}
