//! Requests by the way in which their keys and values came about.

use std::time::Duration;

use onr_load::{Latencies, Latency, LoadError};
use onr_runtime::serving::Origin;
use serde::Serialize;

/// Names of the ways, and what they are in words.
const NAMES: [&str; 4] = ["kept", "appended", "encoded", "empty"];

/// Counts and times by way; what was computed from nothing for comparison is apart.
pub(super) struct Ways {
    ways: [Way; 4],
    anew: Latencies,
    flops_anew: u64,
}

struct Way {
    latencies: Latencies,
    flops: u64,
}

/// What came of one way.
#[derive(Serialize)]
pub(crate) struct WayFigures {
    /// `kept`, `appended`, `encoded`, `empty`, or `from scratch`.
    pub(super) way: &'static str,
    pub(super) requests: u64,
    /// Operations of the products of an average request; none for `from scratch`, where some requests ran alone.
    pub(super) flops_each: Option<u64>,
    pub(super) latency: Latency,
}

impl Ways {
    pub(super) fn new() -> Result<Self, LoadError> {
        let way = || Ok::<_, LoadError>(Way { latencies: Latencies::new()?, flops: 0 });
        Ok(Self { ways: [way()?, way()?, way()?, way()?], anew: Latencies::new()?, flops_anew: 0 })
    }

    /// An answer: how long it took, its operations, and those of the same answer from nothing.
    pub(super) fn add(&mut self, origin: Origin, took: Duration, (flops, anew): (u64, u64)) {
        let at = match origin {
            Origin::Kept => 0,
            Origin::Appended(_) => 1,
            Origin::Encoded => 2,
            Origin::Empty => 3,
        };
        self.ways[at].latencies.record(took);
        self.ways[at].flops += flops;
        self.flops_anew += anew;
    }

    pub(super) fn add_anew(&mut self, took: Duration) {
        self.anew.record(took);
    }

    pub(super) fn requests(&self) -> u64 {
        self.ways.iter().map(|way| way.latencies.count()).sum()
    }

    pub(super) fn flops(&self) -> u64 {
        self.ways.iter().map(|way| way.flops).sum()
    }

    pub(super) const fn flops_anew(&self) -> u64 {
        self.flops_anew
    }

    /// Share of the operations from nothing that were not run.
    pub(super) fn saved_share(&self) -> f64 {
        1.0 - self.flops() as f64 / self.flops_anew.max(1) as f64
    }

    /// The ways that were taken, then what was computed from nothing.
    pub(super) fn figures(&self) -> Vec<WayFigures> {
        let taken = self.ways.iter().zip(NAMES).filter(|(way, _)| way.latencies.count() > 0);
        let taken = taken.map(|(way, name)| WayFigures {
            way: name,
            requests: way.latencies.count(),
            flops_each: Some(way.flops / way.latencies.count()),
            latency: way.latencies.summary(),
        });
        let anew = WayFigures {
            way: "from scratch",
            requests: self.anew.count(),
            flops_each: None,
            latency: self.anew.summary(),
        };
        taken.chain([anew]).collect()
    }
}
