//! Are answers what they were? A server under load may mix up rows, requests or versions.

use std::sync::atomic::{AtomicU64, Ordering};

use onr_kserve::InferResponse;
use onr_load::Failure;
use onr_runtime::{
    backends::triton::Deployed,
    parity::Tolerance,
    tensor::{Data, Feeds, HostTensor},
};

/// The rms of an output that is nearly 0 counts as this.
const SMALL: f64 = 1e-3;

/// Of a list of ids, one in so many may be another: the last digits decide between items that are nearly tied.
const ID_OF: usize = 100;

/// What answers of one deployed model must be, and how far they were from it.
pub(super) struct Answers<'a> {
    deployed: &'a Deployed,
    tolerance: Tolerance,
    rows: usize,
    /// Bits of the largest difference, in units of the output's rms. Of numbers that are not negative, bits sort as they do.
    largest: AtomicU64,
    moved: AtomicU64,
}

/// Places where other ids stand, by row of a tensor that begins with these axes.
struct Moved {
    axes: Vec<usize>,
    places: Vec<bool>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(deployed: &'a Deployed, tolerance: Tolerance, rows: usize) -> Self {
        let (largest, moved) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { deployed, tolerance, rows, largest, moved }
    }

    /// The largest difference of an answer from the first one to the same request, in units of the output's rms, and how many ids were others.
    pub(super) fn found(&self) -> (f64, u64) {
        let largest = f64::from_bits(self.largest.load(Ordering::SeqCst));
        (largest, self.moved.load(Ordering::SeqCst))
    }

    /// What is wrong with an answer by itself: its shapes, numbers that are none.
    pub(super) fn problem(&self, answer: &InferResponse) -> Option<Failure> {
        let config = self.deployed.config();
        for io in &config.outputs {
            let Some(tensor) = answer.output(&io.name) else {
                return Some(Failure::new("shape", format!("output `{}` is missing", io.name)));
            };
            let (first, rest) = tensor.shape().split_first().unwrap_or((&0, &[]));
            let fits = |(size, dim): (&usize, &i64)| *dim < 0 || *dim == *size as i64;
            let whole = rest.len() == io.dims.len() && rest.iter().zip(&io.dims).all(fits);
            if *first != self.rows || !whole {
                let (got, rows, dims) = (tensor.shape(), self.rows, &io.dims);
                let what = format!("output `{}` is {got:?}, not {rows} rows of {dims:?}", io.name);
                return Some(Failure::new("shape", what));
            }
        }
        let feeds = match self.deployed.answer(answer) {
            Ok(feeds) => feeds,
            Err(error) => return Some(Failure::new("shape", error.to_string())),
        };
        let bad = feeds.iter().find(|(_, x)| x.to_f64().iter().any(|x| !x.is_finite()));
        bad.map(|(name, _)| not_finite(name))
    }

    /// Compares an answer whose bytes are others with the first one.
    pub(super) fn compare(
        &self,
        first: &InferResponse,
        got: &InferResponse,
    ) -> Result<(), Failure> {
        if let Some(problem) = self.problem(got) {
            return Err(problem);
        }
        let host =
            |answer| self.deployed.answer(answer).map_err(|e| Failure::new("shape", e.to_string()));
        let (want, got) = (host(first)?, host(got)?);
        let moved = self.moved(&want, &got)?;
        for (name, want) in &want {
            let Some(got) = got.get(name).filter(|got| got.shape() == want.shape()) else {
                return Err(Failure::new("shape", format!("output `{name}` changed its shape")));
            };
            if !matches!(want.data(), Data::I64(_)) {
                self.numbers(name, want, got, moved.as_ref())?;
            }
        }
        Ok(())
    }

    /// Where ids are others; refuses more than a few.
    fn moved(&self, want: &Feeds, got: &Feeds) -> Result<Option<Moved>, Failure> {
        let mut found = None;
        for (name, want) in want {
            let ids = got.get(name).and_then(HostTensor::as_i64);
            let (Some(want_ids), Some(got_ids)) = (want.as_i64(), ids) else { continue };
            let places: Vec<bool> = want_ids.iter().zip(got_ids).map(|(a, b)| a != b).collect();
            let count = places.iter().filter(|moved| **moved).count();
            self.moved.fetch_add(count as u64, Ordering::SeqCst);
            if count > places.len().div_ceil(ID_OF) {
                let all = places.len();
                let what =
                    format!("{count} of {all} ids of `{name}` are not those of the first answer");
                return Err(Failure::new("other answer", what));
            }
            if count > 0 {
                found = Some(Moved { axes: want.shape().to_vec(), places });
            }
        }
        Ok(found)
    }

    /// Compares numbers, but for places where other ids stand.
    fn numbers(
        &self,
        name: &str,
        want: &HostTensor,
        got: &HostTensor,
        moved: Option<&Moved>,
    ) -> Result<(), Failure> {
        let moved = moved.filter(|moved| want.shape().starts_with(&moved.axes));
        let width = moved.map_or(1, |m| want.data().len() / m.places.len().max(1)).max(1);
        let left_out = |at: usize| moved.is_some_and(|m| m.places[at / width]);
        let (want, got) = (want.to_f64(), got.to_f64());
        let (mut squares, mut errors, mut largest) = (0.0, 0.0, 0.0_f64);
        for (at, (want, got)) in want.iter().zip(&got).enumerate() {
            squares += want * want;
            if !left_out(at) {
                errors += (want - got) * (want - got);
                largest = largest.max((want - got).abs());
            }
        }
        let count = want.len().max(1) as f64;
        let rms = (squares / count).sqrt().max(SMALL);
        let (pooled, largest) = ((errors / count).sqrt() / rms, largest / rms);
        self.largest.fetch_max(largest.to_bits(), Ordering::SeqCst);
        let (error, limit) = match self.tolerance {
            Tolerance::Elements { times_rms } => (largest, times_rms),
            Tolerance::Pooled { times_rms } => (pooled, times_rms),
            // No relation has it: nothing is rounded once more here.
            Tolerance::WeightsOnly { floor, .. } => (pooled, floor),
        };
        if error <= limit {
            return Ok(());
        }
        let what = format!(
            "`{name}` is {error:.1e} of its rms from the first answer, {limit:.1e} allowed"
        );
        Err(Failure::new("other answer", what))
    }
}

fn not_finite(name: &str) -> Failure {
    Failure::new("not finite", format!("output `{name}` has a number that is not finite"))
}
