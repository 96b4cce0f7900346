//! One call for a history and candidates: `encode`, `generate` and `rank`, with keys and values passed by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{EnsembleStep, ModelConfig, TensorConfig};

/// The graphs that an ensemble calls, in their order.
pub(crate) const STEPS: [&str; 3] = ["encode", "generate", "rank"];

/// What the ensemble's clients get.
const OUTPUTS: [&str; 2] = ["scores", "generator_logits"];

/// An ensemble of the models of [`STEPS`]. An input that no earlier step makes is the client's. Inputs have no reshape of
/// their own: each member does that.
pub(crate) fn ensemble(name: &str, members: &[&ModelConfig], user_embeddings: bool) -> ModelConfig {
    let wanted =
        |name: &str| OUTPUTS.contains(&name) || (user_embeddings && name == "user_embeddings");
    let read: BTreeSet<String> =
        members.iter().flat_map(|m| m.input.iter().map(|t| tensor_of(&t.name))).collect();
    let mut made: BTreeSet<String> = BTreeSet::new();
    let mut config = ModelConfig {
        name: name.to_owned(),
        platform: Some("ensemble".into()),
        max_batch_size: members.iter().map(|m| m.max_batch_size).min().unwrap_or(0),
        ..ModelConfig::default()
    };
    for member in members {
        let mut step = EnsembleStep {
            model_name: member.name.clone(),
            model_version: -1,
            input_map: BTreeMap::new(),
            output_map: BTreeMap::new(),
        };
        for input in &member.input {
            let tensor = tensor_of(&input.name);
            if !made.contains(&tensor) && !config.input.iter().any(|t| t.name == tensor) {
                config.input.push(TensorConfig { reshape: None, ..input.clone() });
            }
            step.input_map.insert(input.name.clone(), tensor);
        }
        for output in &member.output {
            if wanted(&output.name) {
                config.output.push(TensorConfig { reshape: None, ..output.clone() });
            }
            if wanted(&output.name) || read.contains(&output.name) {
                step.output_map.insert(output.name.clone(), output.name.clone());
                made.insert(output.name.clone());
            }
        }
        config.ensemble_scheduling.push(step);
    }
    config
}

/// The ensemble's tensor that an input reads: what one call returned as `present` goes into the next as
/// `past_key_values`.
fn tensor_of(input: &str) -> String {
    match input.strip_prefix("past_key_values.") {
        Some(rest) => format!("present.{rest}"),
        None => input.to_owned(),
    }
}
