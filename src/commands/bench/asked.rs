//! One request that is sent again and again, and its first answer.

use onr_kserve::{Client, InferRequest, InferResponse, KserveError};
use onr_load::Failure;
use onr_runtime::{backends::triton::Deployed, tensor::Feeds};

use super::answers::Answers;
use crate::exit::Refusal;

/// A request, and what was answered when nothing else was asked.
pub(super) struct Asked {
    request: InferRequest,
    first: InferResponse,
    /// What is wrong with the first answer, and so with all that equal it.
    problem: Option<Failure>,
}

impl Asked {
    /// Asks for the first time.
    pub(super) fn first(
        client: &Client,
        deployed: &Deployed,
        answers: &Answers<'_>,
        feeds: &Feeds,
    ) -> anyhow::Result<Self> {
        let request = deployed.request(feeds)?;
        let first = client.infer(&request).map_err(|error| {
            let name = &deployed.config().name;
            let refusal = Refusal::wrong(format!("{name} does not answer: {}", words(&error)));
            match error.hint() {
                Some(hint) => refusal.hint(hint),
                None => refusal,
            }
        })?;
        let problem = answers.problem(&first);
        Ok(Self { request, first, problem })
    }

    /// Asks once more.
    pub(super) fn again(&self, client: &Client, answers: &Answers<'_>) -> Result<(), Failure> {
        let answer = client.infer(&self.request).map_err(|e| failure(&e))?;
        if answer.outputs == self.first.outputs {
            return self.problem.clone().map_or(Ok(()), Err);
        }
        answers.compare(&self.first, &answer)
    }
}

/// A request that failed, by kind.
fn failure(error: &KserveError) -> Failure {
    let kind = match error {
        KserveError::Connect { .. } => "no connection",
        KserveError::Lost { .. } => "connection lost",
        KserveError::Timeout { .. } => "no answer in time",
        KserveError::NotReady { .. } => "not ready",
        KserveError::UnknownModel { .. } => "unknown model",
        KserveError::Refused { .. } => "refused",
        KserveError::Malformed { .. } => "malformed answer",
        _ => "not sent",
    };
    Failure::new(kind, words(error))
}

/// An error and what is behind it, in one line.
fn words(error: &KserveError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
