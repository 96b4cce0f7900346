//! A configuration as text.

use std::{collections::BTreeMap, fmt};

use super::{
    ContextAllocation, DynamicBatching, EnsembleStep, GraphSpec, InstanceGroup, ModelConfig,
    TensorConfig, VersionPolicy, Warmup, WarmupData,
};
use crate::text::{Message, Value};

impl fmt::Display for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl ModelConfig {
    /// The fields, in the order of the file.
    #[must_use]
    pub fn message(&self) -> Message {
        let mut m = Message::default();
        m.text("name", &self.name);
        for (field, value) in [("platform", &self.platform), ("backend", &self.backend)] {
            value.iter().for_each(|text| m.text(field, text));
        }
        self.default_model_filename.iter().for_each(|file| m.text("default_model_filename", file));
        strings(&mut m, "cc_model_filenames", &self.cc_model_filenames);
        m.word("max_batch_size", self.max_batch_size);
        self.input.iter().for_each(|t| m.message("input", tensor(t)));
        self.output.iter().for_each(|t| m.message("output", tensor(t)));
        self.version_policy.iter().for_each(|p| m.message("version_policy", policy(p)));
        self.instance_group.iter().for_each(|g| m.message("instance_group", group(g)));
        self.dynamic_batching.iter().for_each(|d| m.message("dynamic_batching", batching(d)));
        self.cuda_graphs.iter().for_each(|specs| m.message("optimization", optimization(specs)));
        self.model_warmup.iter().for_each(|w| m.message("model_warmup", warmup(w)));
        if !self.ensemble_scheduling.is_empty() {
            let mut steps = Message::default();
            self.ensemble_scheduling.iter().for_each(|s| steps.message("step", step(s)));
            m.message("ensemble_scheduling", steps);
        }
        self.write_parameters(&mut m);
        m
    }

    fn write_parameters(&self, m: &mut Message) {
        let allocation = self.context_allocation.map(|a| (ContextAllocation::PARAMETER, a.name()));
        let own = self.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, text) in allocation.into_iter().chain(own) {
            let mut value = Message::default();
            value.text("string_value", text);
            m.entry("parameters", key, Value::Message(value));
        }
    }
}

fn strings(m: &mut Message, field: &str, map: &BTreeMap<String, String>) {
    map.iter().for_each(|(key, value)| m.entry(field, key, Value::Text(value.clone())));
}

fn tensor(t: &TensorConfig) -> Message {
    let mut m = Message::default();
    m.text("name", &t.name);
    m.word("data_type", t.data_type.name());
    m.push("dims", Value::numbers(&t.dims));
    if let Some(shape) = &t.reshape {
        let mut reshape = Message::default();
        reshape.push("shape", Value::numbers(shape));
        m.message("reshape", reshape);
    }
    if t.optional {
        m.word("optional", true);
    }
    m
}

fn policy(policy: &VersionPolicy) -> Message {
    let (mut m, mut which) = (Message::default(), Message::default());
    let field = match policy {
        VersionPolicy::Latest(n) => {
            which.word("num_versions", n);
            "latest"
        }
        VersionPolicy::All => "all",
        VersionPolicy::Specific(versions) => {
            which.push("versions", Value::numbers(versions));
            "specific"
        }
    };
    m.message(field, which);
    m
}

fn group(g: &InstanceGroup) -> Message {
    let mut m = Message::default();
    m.word("kind", g.kind.name());
    m.word("count", g.count);
    if !g.gpus.is_empty() {
        m.push("gpus", Value::numbers(&g.gpus));
    }
    if !g.profile.is_empty() {
        let names = g.profile.iter().map(|name| Value::Text(name.clone())).collect();
        m.push("profile", Value::List(names));
    }
    m
}

fn batching(d: &DynamicBatching) -> Message {
    let mut m = Message::default();
    if !d.preferred_batch_size.is_empty() {
        m.push("preferred_batch_size", Value::numbers(&d.preferred_batch_size));
    }
    m.word("max_queue_delay_microseconds", d.max_queue_delay_microseconds);
    m
}

fn optimization(specs: &[GraphSpec]) -> Message {
    let (mut m, mut cuda) = (Message::default(), Message::default());
    cuda.word("graphs", true);
    for spec in specs {
        let mut shapes = shapes(spec.batch_size, &spec.input);
        if let Some(bound) = &spec.lower_bound {
            shapes.message("graph_lower_bound", self::shapes(bound.batch_size, &bound.input));
        }
        cuda.message("graph_spec", shapes);
    }
    m.message("cuda", cuda);
    m
}

fn shapes(batch_size: usize, inputs: &BTreeMap<String, Vec<i64>>) -> Message {
    let mut m = Message::default();
    m.word("batch_size", batch_size);
    for (name, dims) in inputs {
        let mut shape = Message::default();
        shape.push("dim", Value::numbers(dims));
        m.entry("input", name, Value::Message(shape));
    }
    m
}

fn warmup(w: &Warmup) -> Message {
    let mut m = Message::default();
    m.text("name", &w.name);
    m.word("batch_size", w.batch_size);
    for (name, input) in &w.inputs {
        let mut value = Message::default();
        value.word("data_type", input.data_type.name());
        value.push("dims", Value::numbers(&input.dims));
        match &input.data {
            WarmupData::Zero => value.word("zero_data", true),
            WarmupData::Random => value.word("random_data", true),
            WarmupData::File(file) => value.text("input_data_file", file),
        }
        m.entry("inputs", name, Value::Message(value));
    }
    m
}

fn step(s: &EnsembleStep) -> Message {
    let mut m = Message::default();
    m.text("model_name", &s.model_name);
    m.word("model_version", s.model_version);
    strings(&mut m, "input_map", &s.input_map);
    strings(&mut m, "output_map", &s.output_map);
    m
}
