//! Runs models on real requests and counts what their values are.
//!
//! Every sample runs alone, at its own lengths. So no padding gets into a range, and neither the order of
//! the samples nor the number of threads or machines changes a bit of the result.

mod chain;
mod derive;
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
    /// Samples can't be read.
    #[error(transparent)]
    Data(#[from] crate::npz::NpzError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Something that can run samples, one per thread.
trait Runner {
    /// What it runs.
    type Sample;
    /// Runs a sample and counts.
    fn sample(&mut self, sample: Self::Sample) -> Result<(), CalibrateError>;
    /// What was counted.
    fn statistics(self) -> Statistics;
}

/// Samples, one after another, to all threads that ask; `None` when there are no more.
type Next<'a, T> = dyn Fn() -> Result<Option<T>, CalibrateError> + Sync + 'a;

/// Runs `count` samples on as many threads as asked, each with a runner of its own, and adds up what they
/// counted.
fn spread<R: Runner>(
    (count, next): (usize, &Next<'_, R::Sample>),
    threads: NonZeroUsize,
    progress: &dyn Progress,
    make: &(dyn Fn() -> Result<R, CalibrateError> + Sync),
) -> Result<Statistics, CalibrateError> {
    progress.stage("calibrate", count as u64);
    let stop = AtomicBool::new(false);
    let work = || {
        let mut runner = make()?;
        while !stop.load(Ordering::Relaxed) {
            let Some(sample) = next()? else { break };
            runner.sample(sample)?;
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
    let workers = threads.get().min(count).max(1);
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

/// Elements of a list, one to each call.
fn each<'a>(samples: &'a [usize]) -> Box<Next<'a, usize>> {
    let next = AtomicUsize::new(0);
    Box::new(move || Ok(samples.get(next.fetch_add(1, Ordering::Relaxed)).copied()))
}
