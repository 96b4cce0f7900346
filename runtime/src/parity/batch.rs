//! Requests as padded tensors under the names of the contract.

use std::ops::Range;

use onr_graphs::{Filter, GraphOptions, ItemInput, ModelConfig};
use onr_requests::Request;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tensor::{Feeds, HostTensor};

/// How requests become batches.
#[derive(Debug, Clone, Copy)]
pub struct BatchShape {
    /// Rows of every batch; the last one is filled with empty histories.
    pub rows: usize,
    /// Histories are padded to a multiple of this, at most `max_seq_len`.
    pub seq_step: usize,
    /// Candidates are padded to a multiple of this.
    pub candidate_step: usize,
}

/// Some requests, padded to one shape.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Which of the requests these are.
    pub requests: Range<usize>,
    /// Real behaviours of each request.
    pub seq_lens: Vec<usize>,
    /// Real candidates of each request.
    pub candidates: Vec<Vec<i64>>,
    /// `T`, also used as the capacity `S`.
    pub seq: usize,
    /// `item_ids`, `timestamps`, `candidate_ids` and so on, whatever the graphs may ask for.
    pub inputs: Feeds,
}

/// Cuts requests into batches. Histories are at most `max_seq_len` long (checked when read).
#[must_use]
pub fn batches(
    requests: &[Request],
    cfg: &ModelConfig,
    options: &GraphOptions,
    shape: BatchShape,
) -> Vec<Batch> {
    let starts = (0..requests.len()).step_by(shape.rows);
    let ends = starts.map(|s| s..(s + shape.rows).min(requests.len()));
    ends.map(|range| batch(&requests[range.clone()], range, cfg, options, shape)).collect()
}

fn batch(
    requests: &[Request],
    range: Range<usize>,
    cfg: &ModelConfig,
    options: &GraphOptions,
    shape: BatchShape,
) -> Batch {
    let longest = |f: fn(&Request) -> usize| requests.iter().map(f).max().unwrap_or(0).max(1);
    let seq = longest(|r| r.items.len()).next_multiple_of(shape.seq_step).min(cfg.max_seq_len);
    let width = longest(|r| r.candidates.len()).next_multiple_of(shape.candidate_step);
    let rows = shape.rows;
    let matrix = |width: usize, of: fn(&Request) -> &[i64]| {
        let mut data = vec![0; rows * width];
        for (row, request) in data.chunks_mut(width).zip(requests) {
            let values = of(request);
            row[..values.len()].copy_from_slice(values);
        }
        HostTensor::of(&[rows, width], data)
    };
    let column = |of: fn(&Request) -> i64| {
        let mut data: Vec<i64> = requests.iter().map(of).collect();
        data.resize(rows, 0);
        HostTensor::of(&[rows], data)
    };
    let mut inputs = Feeds::from([
        ("item_ids".to_owned(), matrix(seq, |r| &r.items)),
        ("action_ids".to_owned(), matrix(seq, |r| &r.actions)),
        ("timestamps".to_owned(), matrix(seq, |r| &r.timestamps)),
        ("seq_lens".to_owned(), column(|r| r.items.len() as i64)),
        ("request_time".to_owned(), column(|r| r.request_time)),
        ("candidate_ids".to_owned(), matrix(width, |r| &r.candidates)),
    ]);
    if options.item_input == ItemInput::Embeddings {
        let items = item_vectors(&inputs["item_ids"], cfg.d_model);
        let candidates = item_vectors(&inputs["candidate_ids"], cfg.d_model);
        inputs.insert("item_embeddings".into(), items);
        inputs.insert("candidate_embeddings".into(), candidates);
    }
    match options.filter {
        Filter::None => {}
        Filter::Global => {
            inputs.insert("allowed_items".into(), allowed(&[cfg.n_items]));
        }
        Filter::User => {
            inputs.insert("allowed_items".into(), allowed(&[rows, cfg.n_items]));
        }
    }
    Batch {
        requests: range,
        seq_lens: requests.iter().map(|r| r.items.len()).collect(),
        candidates: requests.iter().map(|r| r.candidates.clone()).collect(),
        seq,
        inputs,
    }
}

/// Stand-ins for vectors that a caller would compute: each id has its own, of length near 1.
fn item_vectors(ids: &HostTensor, width: usize) -> HostTensor {
    let mut data = Vec::with_capacity(ids.data().len() * width);
    for &id in ids.as_i64().unwrap_or_default() {
        let mut rng = ChaCha8Rng::seed_from_u64(id as u64);
        let scale = (3.0 / width as f32).sqrt();
        data.extend((0..width).map(|_| scale * rng.random_range(-1.0..1.0_f32)));
    }
    HostTensor::of(&[ids.shape(), &[width]].concat(), data)
}

/// Nine items of ten are in stock, the same ones in every run.
fn allowed(shape: &[usize]) -> HostTensor {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let bits =
        (0..shape.iter().product()).map(|_| rng.random_range(0..10) != 0).collect::<Vec<_>>();
    HostTensor::of(shape, bits)
}
