//! Statistics of all tensors of a model's graphs.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, NonFiniteTensor};
use crate::method::{Method, Target};
use crate::shard::{Shard, Shards};
use crate::stats::TensorStats;

/// What a calibration is of: a checkpoint or an ONNX file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelId {
    /// Name for people; two models are told apart by their hash alone.
    pub name: String,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (sha256 {})", self.name, self.sha256)
    }
}

/// Statistics of the tensors of one graph.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphStats {
    /// SHA-256 of the graph in lower-case hex.
    pub sha256: String,
    /// By name of the tensor.
    pub tensors: BTreeMap<String, TensorStats>,
}

/// Something about a tensor that a range hides.
#[derive(Clone, PartialEq, Debug)]
pub struct Suspicion {
    /// Name of the graph.
    pub graph: String,
    /// Name of the tensor.
    pub tensor: String,
    /// What is odd.
    pub what: Oddity,
}

/// What is odd about a tensor.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Oddity {
    /// All finite values are this one, seen `count` times.
    Constant {
        /// The value.
        value: f32,
        /// How many finite values there were.
        count: u64,
    },
    /// Channels that are always zero.
    DeadChannels {
        /// How many.
        dead: usize,
        /// Of how many.
        of: usize,
    },
}

/// What calibration has seen of one model with one set of requests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    model: ModelId,
    requests: String,
    shards: Shards,
    samples: u64,
    graphs: BTreeMap<String, GraphStats>,
}

impl Calibration {
    /// Nothing seen yet of `model`. `requests` is the hash of the whole set of requests, of which this
    /// calibration sees `shard`.
    #[must_use]
    pub fn new(model: ModelId, requests: impl Into<String>, shard: Shard) -> Self {
        let (requests, shards) = (requests.into(), Shards::one(shard));
        Self { model, requests, shards, samples: 0, graphs: BTreeMap::new() }
    }

    /// The statistics of `tensor` of `graph`, to add to; made when they are not there. All shards must make
    /// the same tensors, so make them before the first sample: a shard may have none.
    ///
    /// # Errors
    /// [`CalibrationError::GraphHash`] when the graph has another `sha256`, [`CalibrationError::Channels`]
    /// when the tensor has other channels.
    pub fn entry(
        &mut self,
        graph: &str,
        sha256: &str,
        tensor: &str,
        channels: Option<NonZeroUsize>,
    ) -> Result<&mut TensorStats, CalibrationError> {
        let empty = || GraphStats { sha256: sha256.to_owned(), tensors: BTreeMap::new() };
        let stats = self.graphs.entry(graph.to_owned()).or_insert_with(empty);
        same_hash(graph, &stats.sha256, sha256)?;
        let stats =
            stats.tensors.entry(tensor.to_owned()).or_insert_with(|| TensorStats::new(channels));
        let (ours, theirs) = (stats.channel_count(), channels.map(NonZeroUsize::get));
        if ours != theirs {
            return Err(CalibrationError::Channels { ours, theirs });
        }
        Ok(stats)
    }

    /// Counts `samples` more as seen.
    pub fn add_samples(&mut self, samples: u64) {
        self.samples += samples;
    }

    /// What this is a calibration of.
    #[must_use]
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// Hash of the whole set of requests.
    #[must_use]
    pub fn requests(&self) -> &str {
        &self.requests
    }

    /// Samples seen.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Shards seen; [`Shard::WHOLE`] alone when none is lacking.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        self.shards.seen()
    }

    /// Shards still lacking.
    #[must_use]
    pub fn missing_shards(&self) -> Vec<Shard> {
        self.shards.missing()
    }

    /// Graphs by name.
    #[must_use]
    pub fn graphs(&self) -> &BTreeMap<String, GraphStats> {
        &self.graphs
    }

    /// All that `parts` have seen, in any order. What all shards have seen is, to the byte of its file, what
    /// one run over everything sees.
    ///
    /// # Errors
    /// [`CalibrationError`] when there is no part, a shard comes twice, or parts are of different models,
    /// requests, numbers of shards, graphs or tensors.
    pub fn merge(parts: impl IntoIterator<Item = Self>) -> Result<Self, CalibrationError> {
        let mut parts = parts.into_iter();
        let mut all = parts.next().ok_or(CalibrationError::Nothing)?;
        for part in parts {
            all.add(&part)?;
        }
        Ok(all)
    }

    fn add(&mut self, other: &Self) -> Result<(), CalibrationError> {
        other.expect_model(&self.model)?;
        if self.requests != other.requests {
            let (ours, theirs) = (self.requests.clone(), other.requests.clone());
            return Err(CalibrationError::Requests { ours, theirs });
        }
        self.shards = self.shards.union(&other.shards)?;
        self.samples += other.samples;
        if self.model.name > other.model.name {
            self.model.name.clone_from(&other.model.name);
        }
        if let Some(graph) = lacking(&self.graphs, &other.graphs) {
            return Err(CalibrationError::GraphSets { graph });
        }
        for ((name, ours), theirs) in self.graphs.iter_mut().zip(other.graphs.values()) {
            ours.add(name, theirs)?;
        }
        Ok(())
    }

    /// Refuses another model than `needed`, by its hash; the name may differ.
    ///
    /// # Errors
    /// [`CalibrationError::Model`].
    pub fn expect_model(&self, needed: &ModelId) -> Result<(), CalibrationError> {
        if self.model.sha256 == needed.sha256 {
            return Ok(());
        }
        Err(CalibrationError::Model { found: self.model.clone(), needed: needed.clone() })
    }

    /// Refuses another graph of the name `graph` than that with the hash `needed`.
    ///
    /// # Errors
    /// [`CalibrationError::NoGraph`], [`CalibrationError::GraphHash`].
    pub fn expect_graph(&self, graph: &str, needed: &str) -> Result<(), CalibrationError> {
        same_hash(graph, &self.graph(graph)?.sha256, needed)
    }

    /// Statistics of one tensor.
    ///
    /// # Errors
    /// [`CalibrationError::NoGraph`], [`CalibrationError::NoTensor`].
    pub fn tensor(&self, graph: &str, tensor: &str) -> Result<&TensorStats, CalibrationError> {
        let absent = || CalibrationError::NoTensor { graph: graph.into(), tensor: tensor.into() };
        self.graph(graph)?.tensors.get(tensor).ok_or_else(absent)
    }

    /// The magnitude that the largest code of `target` stands for; see [`Method::clip`].
    ///
    /// # Errors
    /// [`CalibrationError`] when the tensor is not there or has no range.
    pub fn range(
        &self,
        graph: &str,
        tensor: &str,
        method: Method,
        target: Target,
    ) -> Result<f32, CalibrationError> {
        method.clip(self.tensor(graph, tensor)?, target).map_err(|cause| CalibrationError::Range {
            graph: graph.into(),
            tensor: tensor.into(),
            cause,
        })
    }

    /// [`Self::range`] of each tensor of `graph`, on all cores.
    ///
    /// # Errors
    /// As [`Self::range`], for the first tensor in order that has none.
    pub fn ranges(
        &self,
        graph: &str,
        method: Method,
        target: Target,
    ) -> Result<BTreeMap<String, f32>, CalibrationError> {
        let names: Vec<_> = self.graph(graph)?.tensors.keys().map(String::as_str).collect();
        self.ranges_of(graph, &names, method, target)
    }

    /// [`Self::range`] of some tensors of `graph`, on all cores.
    ///
    /// # Errors
    /// As [`Self::range`], for the first of `names` that has none.
    pub fn ranges_of(
        &self,
        graph: &str,
        names: &[&str],
        method: Method,
        target: Target,
    ) -> Result<BTreeMap<String, f32>, CalibrationError> {
        let range =
            |name: &&str| Ok(((*name).to_owned(), self.range(graph, name, method, target)?));
        let found: Vec<Result<_, CalibrationError>> = names.par_iter().map(range).collect();
        found.into_iter().collect()
    }

    /// Refuses values that are not finite.
    ///
    /// # Errors
    /// [`CalibrationError::NonFinite`] with each tensor that has such values, and the first sample.
    pub fn check_finite(&self) -> Result<(), CalibrationError> {
        let tensors: Vec<_> = self
            .each()
            .filter_map(|(graph, tensor, stats)| {
                let first = stats.first_non_finite()?;
                let values = stats.count() - stats.finite();
                Some(NonFiniteTensor { graph: graph.into(), tensor: tensor.into(), first, values })
            })
            .collect();
        if tensors.is_empty() { Ok(()) } else { Err(CalibrationError::NonFinite { tensors }) }
    }

    /// Tensors that are constant, and those with dead channels, by graph and name.
    #[must_use]
    pub fn suspicions(&self) -> Vec<Suspicion> {
        let all = self.each().flat_map(|(graph, tensor, stats)| {
            let suspicion =
                |what| Suspicion { graph: graph.to_owned(), tensor: tensor.to_owned(), what };
            oddities(stats).map(suspicion)
        });
        all.collect()
    }

    fn each(&self) -> impl Iterator<Item = (&str, &str, &TensorStats)> {
        self.graphs.iter().flat_map(|(graph, stats)| {
            stats.tensors.iter().map(|(tensor, s)| (graph.as_str(), tensor.as_str(), s))
        })
    }

    fn graph(&self, graph: &str) -> Result<&GraphStats, CalibrationError> {
        let absent = || CalibrationError::NoGraph { graph: graph.into() };
        self.graphs.get(graph).ok_or_else(absent)
    }
}

impl GraphStats {
    fn add(&mut self, name: &str, other: &Self) -> Result<(), CalibrationError> {
        same_hash(name, &other.sha256, &self.sha256)?;
        if let Some(tensor) = lacking(&self.tensors, &other.tensors) {
            return Err(CalibrationError::TensorSets { graph: name.to_owned(), tensor });
        }
        for (ours, theirs) in self.tensors.values_mut().zip(other.tensors.values()) {
            ours.merge(theirs)?;
        }
        Ok(())
    }
}

fn same_hash(graph: &str, found: &str, needed: &str) -> Result<(), CalibrationError> {
    if found == needed {
        return Ok(());
    }
    Err(CalibrationError::GraphHash {
        graph: graph.to_owned(),
        found: found.to_owned(),
        needed: needed.to_owned(),
    })
}

/// The first name that only one of the two has.
fn lacking<T>(a: &BTreeMap<String, T>, b: &BTreeMap<String, T>) -> Option<String> {
    let only_a = a.keys().filter(|name| !b.contains_key(*name));
    let only_b = b.keys().filter(|name| !a.contains_key(*name));
    only_a.chain(only_b).min().cloned()
}

fn oddities(stats: &TensorStats) -> impl Iterator<Item = Oddity> {
    let constant = stats.constant();
    let constant = constant.map(|value| Oddity::Constant { value, count: stats.finite() });
    let maxima = stats.channel_maxima().unwrap_or_default();
    let dead = maxima.iter().filter(|max| **max == 0.0).count();
    let dead = (dead > 0).then_some(Oddity::DeadChannels { dead, of: maxima.len() });
    constant.into_iter().chain(dead)
}
