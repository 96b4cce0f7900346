//! Runs models on real requests and counts what their values are.
//!
//! Every sample runs alone, at its own lengths. So no padding gets into a range, and neither the order of
//! the samples nor the number of threads or machines changes a bit of the result.

mod chain;
mod watch;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use onr_calibration::{CalibrationError, TensorStats};
use onr_exporter::Progress;

pub use chain::{ChainJob, calibrate_chain};
pub use watch::{Watched, calibrate_model};

use crate::backend::RunError;

/// Statistics by graph, then by tensor.
pub type Statistics = BTreeMap<String, BTreeMap<String, TensorStats>>;

/// Why a calibration could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// A graph can't be read.
    #[error(transparent)]
    Onnx(#[from] onr_onnx::OnnxError),
    /// A graph can't be loaded or run.
    #[error("sample {sample}: {cause}")]
    Sample {
        /// Index of the sample.
        sample: u64,
        /// Why.
        cause: RunError,
    },
    /// A graph can't be loaded.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The graphs of the directory don't make a chain.
    #[error("graph {graph} needs `{input}`, which no graph before it gives")]
    Missing {
        /// Name of the graph.
        graph: String,
        /// Name of its input.
        input: String,
    },
    /// Statistics don't fit together.
    #[error(transparent)]
    Statistics(#[from] CalibrationError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Something that can run samples, one per thread.
trait Runner {
    /// Runs sample `at` and counts.
    fn sample(&mut self, at: usize) -> Result<(), CalibrateError>;
    /// What was counted.
    fn statistics(self) -> Statistics;
}

/// Runs `samples` on as many threads as asked, each with a runner of its own, and adds up what they counted.
fn spread<R: Runner>(
    samples: &[usize],
    threads: NonZeroUsize,
    progress: &dyn Progress,
    make: &(dyn Fn() -> Result<R, CalibrateError> + Sync),
) -> Result<Statistics, CalibrateError> {
    progress.stage("calibrate", samples.len() as u64);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut runner = make()?;
        while !stop.load(Ordering::Relaxed) {
            let Some(at) = samples.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            runner.sample(*at)?;
            if progress.advance(1).is_break() {
                return Err(CalibrateError::Interrupted);
            }
        }
        Ok(runner.statistics())
    };
    let guarded = || {
        let result = work();
        if result.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        result
    };
    let workers = threads.get().min(samples.len()).max(1);
    let results: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(guarded)).collect();
        let own = guarded();
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others).collect()
    });
    let mut total = Statistics::new();
    for counted in results {
        for (graph, tensors) in counted? {
            let all = total.entry(graph).or_default();
            for (name, stats) in tensors {
                match all.get_mut(&name) {
                    Some(sum) => sum.merge(&stats)?,
                    None => drop(all.insert(name, stats)),
                }
            }
        }
    }
    Ok(total)
}
