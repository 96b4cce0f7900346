//! Differences between two sets of outputs, over the elements that belong to requests.

use std::{collections::BTreeMap, ops::Range};

use onr_graphs::DType;

use super::{ParityError, batch::Batch, ulp::ulps};
use crate::tensor::Feeds;

/// Differences of one output, pooled over all requests.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// Elements compared.
    pub count: u64,
    /// Largest `|got - want|`.
    pub max_abs: f64,
    /// Largest `|got - want| / max(|want|, rms of that request's want)`.
    pub max_rel: f64,
    /// Largest `1 - cosine` of a request's outputs.
    pub max_turn: f64,
    /// Sum of `(got - want)^2`.
    pub sum_error: f64,
    /// Sum of `want^2`.
    pub sum_want: f64,
    /// Elements of `got` that are not finite.
    pub not_finite: u64,
    /// Elements of `want` that are not finite: nothing can be compared with them.
    pub not_finite_want: u64,
    /// Index of the first request with such an element, on either side.
    pub first_not_finite: Option<usize>,
    /// Largest distance in representable numbers of the candidate's type; none for codes.
    pub max_ulp: Option<u64>,
    /// Elements behind a history's end that are not what the contract puts there.
    pub stray: u64,
    /// Index of the request with the largest difference.
    pub worst_request: usize,
}

impl Difference {
    /// Root mean square of the difference.
    #[must_use]
    pub fn rms_error(&self) -> f64 {
        (self.sum_error / self.count.max(1) as f64).sqrt()
    }

    /// Root mean square of the reference.
    #[must_use]
    pub fn rms_want(&self) -> f64 {
        (self.sum_want / self.count.max(1) as f64).sqrt()
    }

    /// Power of the reference over that of the differences, in decibels; `None` where nothing differs.
    #[must_use]
    pub fn sqnr_db(&self) -> Option<f64> {
        let differs = self.sum_error > 0.0 && self.sum_want > 0.0;
        differs.then(|| 10.0 * (self.sum_want / self.sum_error).log10())
    }

    fn add(&mut self, want: &[f32], got: &[f32], dtype: DType, request: usize) {
        let square = |x: &f32| f64::from(*x).powi(2);
        let (sum_want, sum_got): (f64, f64) =
            (want.iter().map(square).sum(), got.iter().map(square).sum());
        let rms = (sum_want / want.len().max(1) as f64).sqrt();
        let mut dot = 0.0;
        for (&w, &g) in want.iter().zip(got) {
            if !(g.is_finite() && w.is_finite()) {
                self.not_finite += u64::from(!g.is_finite());
                self.not_finite_want += u64::from(!w.is_finite());
                self.first_not_finite.get_or_insert(request);
                continue;
            }
            self.max_ulp = self.max_ulp.max(ulps(w, g, dtype));
            let (w, g) = (f64::from(w), f64::from(g));
            let error = (g - w).abs();
            if error > self.max_abs {
                self.max_abs = error;
                self.worst_request = request;
            }
            self.max_rel = self.max_rel.max(error / w.abs().max(rms).max(f64::MIN_POSITIVE));
            self.sum_error += error * error;
            dot += w * g;
        }
        let norm = (sum_want * sum_got).sqrt();
        if norm > 0.0 {
            self.max_turn = self.max_turn.max(1.0 - dot / norm);
        }
        self.count += want.len() as u64;
        self.sum_want += sum_want;
    }
}

/// Differences by graph and output, in the order of first comparison.
#[derive(Debug, Default)]
pub struct Differences {
    order: Vec<(String, String)>,
    by_output: BTreeMap<(String, String), Difference>,
}

impl Differences {
    /// Compares all float outputs of a graph for one batch.
    ///
    /// # Errors
    /// [`ParityError::Shape`], also for an output that `got` lacks.
    pub fn add(
        &mut self,
        graph: &str,
        batch: &Batch,
        want: &Feeds,
        got: &Feeds,
    ) -> Result<(), ParityError> {
        for (output, w) in want {
            let Some(w32) = w.to_f32() else { continue };
            let Some(g) = got.get(output) else {
                let (graph, output) = (graph.to_owned(), output.clone());
                return Err(ParityError::Absent {
                    graph,
                    output,
                    got: got.keys().cloned().collect(),
                });
            };
            let Some(g32) = g.to_f32().filter(|_| g.shape() == w.shape()) else {
                return Err(ParityError::Shape {
                    graph: graph.into(),
                    output: output.clone(),
                    got: g.shape().to_vec(),
                    want: w.shape().to_vec(),
                });
            };
            let dtype = g.dtype();
            let difference = self.entry(graph, output);
            for (row, range) in real_elements(output, w.shape(), batch) {
                let request = batch.requests.start + row;
                difference.add(&w32[range.clone()], &g32[range], dtype, request);
            }
        }
        Ok(())
    }

    /// Counts elements in slots behind histories that are not what is `expected` of an output: 0 from `encode`, what
    /// was there before from `append`.
    pub fn count_stray(
        &mut self,
        graph: &str,
        batch: &Batch,
        got: &Feeds,
        expected: &dyn Fn(&str) -> f32,
    ) {
        for (output, tensor) in got {
            let expected = expected(output);
            let Some(values) = tensor.to_f32() else { continue };
            let padding = padding_elements(tensor.shape(), batch);
            let stray = padding.into_iter().flat_map(|r| &values[r]).filter(|x| **x != expected);
            self.entry(graph, output).stray += stray.count() as u64;
        }
    }

    /// The differences of one output; none yet when it is new.
    pub fn entry(&mut self, graph: &str, output: &str) -> &mut Difference {
        let key = (graph.to_owned(), output.to_owned());
        if !self.by_output.contains_key(&key) {
            self.order.push(key.clone());
        }
        self.by_output.entry(key).or_default()
    }

    /// The differences of one output, if it was compared.
    #[must_use]
    pub fn get(&self, graph: &str, output: &str) -> Option<&Difference> {
        self.by_output.get(&(graph.to_owned(), output.to_owned()))
    }

    /// Graph, output and differences, in the order of first comparison.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Difference)> {
        self.order.iter().map(|key| (key.0.as_str(), key.1.as_str(), &self.by_output[key]))
    }
}

/// The contiguous pieces of an output that belong to requests, each with its row in the batch.
/// Padding rows, slots behind a history and padding candidates are left out.
fn real_elements(output: &str, shape: &[usize], batch: &Batch) -> Vec<(usize, Range<usize>)> {
    let rows = batch.seq_lens.len();
    match shape {
        &[_, heads, slots, width] if output.starts_with("present.") => (0..rows)
            .flat_map(|b| (0..heads).map(move |h| (b, (b * heads + h) * slots * width)))
            .map(|(b, start)| (b, start..start + batch.seq_lens[b] * width))
            .collect(),
        &[_, candidates, tasks] if output == "scores" || output == "generator_logits" => (0..rows)
            .map(|b| {
                let start = b * candidates * tasks;
                let real = batch.candidates[b].len().min(candidates);
                (b, start..start + real * tasks)
            })
            .collect(),
        &[_, ref rest @ ..] => {
            let size: usize = rest.iter().product();
            (0..rows).map(|b| (b, b * size..(b + 1) * size)).collect()
        }
        [] => Vec::new(),
    }
}

/// Slots behind each history of `[B, H, T, Dh]`.
fn padding_elements(shape: &[usize], batch: &Batch) -> Vec<Range<usize>> {
    let &[rows, heads, slots, width] = shape else { return Vec::new() };
    let len = |b: usize| batch.seq_lens.get(b).copied().unwrap_or(0);
    let starts =
        (0..rows).flat_map(|b| (0..heads).map(move |h| (b, (b * heads + h) * slots * width)));
    starts.map(|(b, start)| start + len(b) * width..start + slots * width).collect()
}
