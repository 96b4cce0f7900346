//! Relations on the batch's own shape, but for padding.

use std::{thread, time::Duration};

use super::{
    super::{
        ParityError,
        batch::Batch,
        chain::{JUNK, append_state},
        tolerance::Tolerance,
    },
    Verdict,
    bench::{Bench, Outputs, run},
    layout::Layout,
};
use crate::tensor::{Feeds, HostTensor};
use onr_graphs::GraphKind;

/// New behaviours of `append`.
pub(super) const NEW: usize = 4;

/// Runs at the same time, and how often each.
const THREADS: usize = 2;
const RUNS: usize = 2;

impl Bench<'_> {
    /// The plain batch's own layout.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            rows: (0..self.batch.inputs["seq_lens"].data().len()).collect(),
            slots: self.batch.seq,
            candidates: (0..self.batch.inputs["candidate_ids"].shape()[1]).collect(),
        }
    }
}

/// The same batch again gives the same bits.
pub(super) fn repeated(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let again = bench.run(&bench.batch.clone())?;
    Ok(bits(&bench.plain, &again, "a second run").into())
}

/// Sessions that run at the same time do not disturb each other.
pub(super) fn concurrent(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let (job, batch, plain) = (bench.job, &bench.batch, &bench.plain);
    type Done = Result<(Option<String>, Duration), ParityError>;
    let work = || -> Done {
        let mut chain = job.chain();
        let mut wrong = None;
        for _ in 0..RUNS {
            let got = run(&mut chain, batch)?;
            wrong = wrong.or_else(|| bits(plain, &got, "one of two runs at the same time"));
        }
        Ok((wrong, chain.elapsed))
    };
    let done: Vec<Done> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if done.len() < THREADS {
        return Ok(Verdict::Wrong("a thread of the engine panicked".into()));
    }
    let mut wrong = None;
    let mut longest = Duration::ZERO;
    for result in done {
        let (found, elapsed) = result?;
        wrong = wrong.or(found);
        longest = longest.max(elapsed);
    }
    bench.spent += longest;
    Ok(wrong.into())
}

/// The first output that is not the same to the bit.
fn bits(want: &Outputs, got: &Outputs, whose: &str) -> Option<String> {
    want.iter().zip(got).find_map(|((kind, want), (_, got))| {
        let other = want.iter().find(|(name, tensor)| got.get(*name) != Some(*tensor))?.0;
        Some(format!("{}.{other} of {whose} has other bits", kind.name()))
    })
}

/// One request in all rows has one answer.
pub(super) fn identical_rows(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let rows = bench.requests.len();
    let Some(longest) = bench.requests.last().cloned().filter(|_| rows > 1) else {
        return Ok(Verdict::Skipped("there is one request only".into()));
    };
    let width = bench.layout().candidates.len();
    let same = bench.padded(&vec![longest; rows], (rows, bench.batch.seq, width));
    let answers = bench.run(&same)?;
    let first = Layout { rows: vec![0; rows], ..bench.layout() };
    let of_first: Outputs = answers
        .iter()
        .map(|(kind, feeds)| {
            let aligned =
                feeds.iter().map(|(n, t)| (n.clone(), super::layout::align(n, t, &first)));
            (*kind, aligned.collect())
        })
        .collect();
    Ok(bench.differ(&same, &of_first, &answers, &bench.layout())?.into())
}

/// A request's answer does not depend on the row it stands in, nor on its neighbours.
pub(super) fn other_rows(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let rows = bench.requests.len();
    if rows < 2 {
        return Ok(Verdict::Skipped("there is one request only".into()));
    }
    let reversed: Vec<_> = bench.requests.iter().rev().cloned().collect();
    let width = bench.layout().candidates.len();
    let turned = bench.padded(&reversed, (rows, bench.batch.seq, width));
    let answers = bench.run(&turned)?;
    let layout = Layout { rows: (0..rows).rev().collect(), ..bench.layout() };
    Ok(bench.differ(&bench.batch, &bench.plain, &answers, &layout)?.into())
}

/// Candidates in another order keep their scores.
pub(super) fn permuted_candidates(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let width = bench.layout().candidates.len();
    if width < 2 {
        return Ok(Verdict::Skipped("there is one candidate only".into()));
    }
    let mut turned = bench.batch.clone();
    let layout = Layout { candidates: (0..width).rev().collect(), ..bench.layout() };
    for name in ["candidate_ids", "candidate_embeddings"] {
        if let Some(tensor) = turned.inputs.get_mut(name) {
            *tensor = tensor.pick(1, &layout.candidates);
        }
    }
    let answers = bench.run(&turned)?;
    Ok(bench.differ(&bench.batch, &bench.plain, &answers, &layout)?.into())
}

/// More candidates do not change the scores of those that were there.
pub(super) fn added_candidates(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let most = bench.range("candidates").map_or(usize::MAX, |range| range.max);
    let width = bench.layout().candidates.len();
    let wider = (2 * width).min(most);
    if wider <= width {
        return Ok(Verdict::Skipped(format!("the profile ends at {most} candidates")));
    }
    let mut requests = bench.requests.clone();
    let items = bench.job.config.n_items.max(2) as i64 - 1;
    for request in &mut requests {
        // Behind the padding of the plain batch, so that all keep their places.
        request.candidates.resize(width, 0);
        let more = (request.candidates.len()..wider).map(|k| 1 + k as i64 % items);
        request.candidates.extend(more);
    }
    let rows = requests.len();
    let answers = bench.run(&bench.padded(&requests, (rows, bench.batch.seq, wider)))?;
    Ok(bench.differ(&bench.batch, &bench.plain, &answers, &bench.layout())?.into())
}

/// What stands in the slots behind a history does not matter.
pub(super) fn padding(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let mut dirty = bench.batch.clone();
    let lens = dirty.seq_lens.clone();
    if lens.iter().all(|len| *len == dirty.seq) {
        return Ok(Verdict::Skipped("all histories fill their slots".into()));
    }
    for (name, junk) in [("item_ids", 1), ("action_ids", 1), ("timestamps", 1)] {
        let Some(tensor) = dirty.inputs.get_mut(name) else { continue };
        let (rows, seq) = (tensor.shape()[0], tensor.shape()[1]);
        let mut values = tensor.as_i64().unwrap_or_default().to_vec();
        for row in 0..rows {
            let len = lens.get(row).copied().unwrap_or(0);
            values[row * seq + len..(row + 1) * seq].fill(junk);
        }
        *tensor = HostTensor::of(&[rows, seq], values);
    }
    if let Some(vectors) = dirty.inputs.get_mut("item_embeddings") {
        *vectors = junk_vectors(vectors, &lens);
    }
    let answers = bench.run(&dirty)?;
    Ok(bench.differ(&bench.batch, &bench.plain, &answers, &bench.layout())?.into())
}

/// `[B, T, D]` with 7 behind each history.
fn junk_vectors(vectors: &HostTensor, lens: &[usize]) -> HostTensor {
    let (Some(mut values), &[rows, seq, width]) = (vectors.to_f32(), vectors.shape()) else {
        return vectors.clone();
    };
    for row in 0..rows {
        let len = lens.get(row).copied().unwrap_or(0);
        values[(row * seq + len) * width..(row + 1) * seq * width].fill(JUNK);
    }
    HostTensor::of(vectors.shape(), values)
}

/// A history that grew has the keys and values, and the answers, of one that came whole.
pub(super) fn append(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    appended(bench, NEW)
}

/// As [`append`], with up to `new` new behaviours.
pub(super) fn appended(bench: &mut Bench<'_>, new: usize) -> Result<Verdict, ParityError> {
    if !bench.chain.has(GraphKind::Append) {
        return Ok(Verdict::Skipped("the directory has no graph append".into()));
    }
    let (batch, plain) = (bench.batch.clone(), bench.plain.clone());
    let wrong = grown(bench, &batch, &plain, new)?;
    Ok(wrong.into())
}

/// What is wrong with the answers to histories that grew by up to `new` behaviours, where `whole` are those to whole
/// ones.
pub(super) fn grown(
    bench: &mut Bench<'_>,
    batch: &Batch,
    whole: &Outputs,
    new: usize,
) -> Result<Option<String>, ParityError> {
    let (_, present) = &whole[0];
    let state = append_state(batch, present, new, 0.0);
    let grown = bench.chain.run(GraphKind::Append, &state)?;
    let grown: Feeds = grown.into_iter().filter(|(name, _)| present.contains_key(name)).collect();
    let answers = bench.run_on(batch, grown)?;
    // New behaviours attend to what codes stand for, those of a whole history to the numbers before.
    let tolerance = if bench.job.coded.keys { Tolerance::CODED_KEYS } else { bench.tolerance };
    bench.differ_within(tolerance, batch, (whole, &answers), &bench.layout())
}
