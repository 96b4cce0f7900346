//! Two ONNX models that should compute the same, each on a backend: what is left of a proof when there is no
//! checkpoint.

use std::{collections::BTreeMap, path::Path, time::Duration, time::Instant};

use onr_exporter::Progress;
use onr_graphs::Precision;
use onr_onnx::Model;

use super::{
    ParityError,
    batch::Batch,
    check::Check,
    compare::Differences,
    job::{Measured, version},
    report::{ParityReport, Strength},
    tolerance::Tolerance,
    verdict::judge_all,
};
use crate::{
    backend::{Backend, Session},
    inputs::fitting,
    npz::{InputSpec, inputs},
    numbers::Numbers,
    tensor::{Feeds, HostTensor},
};

/// A candidate and its reference.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// Runs the candidate, and its file.
    pub candidate: (&'a dyn Backend, &'a Path),
    /// Runs the reference, and its file: another one or the same.
    pub reference: (&'a dyn Backend, &'a Path),
}

/// Runs both on each of `batches` and compares all outputs: floats within the tolerance of the narrowest numbers
/// of the files, integers exactly where all numbers have 32 bits. Inputs are rounded to each file's float types.
///
/// # Errors
/// [`ParityError`] when a backend cannot load or run its file, and what `batches` yields. Outputs that only one
/// side has, other types, shapes and NaN are failures of the report.
pub fn compare_pair<E: From<ParityError>>(
    pair: &Pair<'_>,
    batches: impl Iterator<Item = Result<Feeds, E>>,
    from: &str,
    progress: &dyn Progress,
) -> Result<ParityReport, E> {
    let models = (read(pair.reference.1)?, read(pair.candidate.1)?);
    let mut want = Timed::open(pair.reference, &models.0)?;
    let mut got = Timed::open(pair.candidate, &models.1)?;
    let graph = models.1.graph().name.clone().unwrap_or_default();
    let numbers = Numbers::of([&models.0, &models.1]);
    let mut outputs = Outputs::new(&graph, numbers == Numbers::F32);
    let mut count = 0;
    progress.stage("parity", 0);
    for batch in batches {
        let batch = batch?;
        outputs.add(&want.run(&batch)?, &got.run(&batch)?)?;
        count += 1;
        if progress.advance(1).is_break() {
            return Err(ParityError::Interrupted.into());
        }
    }
    let is_same = pair.candidate.1 == pair.reference.1;
    let mut report = ParityReport {
        reference: reference_words(pair, is_same),
        strength: if is_same { Strength::SameFile } else { Strength::OtherFile },
        candidate: version(pair.candidate.0),
        backend: pair.candidate.0.name().to_owned(),
        device: got.session.placement().device,
        precision: numbers.name().into(),
        requests_from: from.into(),
        requests: count,
        outputs: Vec::new(),
        order: None,
        consistency: None,
        worst: None,
        checks: Vec::new(),
        reference_seconds: want.spent.as_secs_f64(),
        candidate_seconds: got.spent.as_secs_f64(),
        requests_ranked: Vec::new(),
    };
    judge_all(&outputs.measured(), tolerance(numbers, is_same), &mut report);
    Ok(report)
}

fn read(file: &Path) -> Result<Model, ParityError> {
    Model::open(file).map_err(|e| ParityError::Export(e.into()))
}

/// Two files are held to what their numbers can hold, one file to what two engines may differ in.
const fn tolerance(numbers: Numbers, is_same: bool) -> Tolerance {
    match numbers {
        Numbers::F32 => Tolerance::golden(Precision::F32),
        Numbers::F16 => Tolerance::golden(Precision::F16),
        Numbers::BF16 => Tolerance::golden(Precision::BF16),
        // A code on the border between two is one off: a step of 1/127, some ten products long.
        Numbers::Codes if is_same => Tolerance::golden(Precision::F16),
        // Half a step of each code, whose largest is some ten times the rms.
        Numbers::Codes => Tolerance::Elements { times_rms: 0.5 },
    }
}

fn reference_words(pair: &Pair<'_>, is_same: bool) -> String {
    let name = pair.reference.1.file_name().unwrap_or_default().to_string_lossy();
    let which = if is_same { "the same file, " } else { "" };
    format!("{} on {which}{name}", version(pair.reference.0))
}

/// A model on a backend, and the time that it took.
struct Timed {
    session: Box<dyn Session>,
    inputs: Vec<InputSpec>,
    spent: Duration,
}

impl Timed {
    fn open((backend, file): (&dyn Backend, &Path), model: &Model) -> Result<Self, ParityError> {
        let began = Instant::now();
        let session = backend.open(file)?;
        Ok(Self { session, inputs: inputs(model), spent: began.elapsed() })
    }

    fn run(&mut self, batch: &Feeds) -> Result<Feeds, ParityError> {
        let feeds = fitting(&self.inputs, batch)?;
        let began = Instant::now();
        let outputs = self.session.run(&feeds)?;
        self.spent += began.elapsed();
        Ok(outputs)
    }
}

/// What was found of the outputs so far.
struct Outputs<'a> {
    graph: &'a str,
    /// Do integers have to be equal?
    is_exact: bool,
    floats: Differences,
    /// By output: what no tolerance forgives.
    failures: BTreeMap<String, String>,
    /// By output: integers that differ, and all of them.
    integers: BTreeMap<String, (usize, usize)>,
}

impl<'a> Outputs<'a> {
    fn new(graph: &'a str, is_exact: bool) -> Self {
        Self {
            graph,
            is_exact,
            floats: Differences::default(),
            failures: BTreeMap::new(),
            integers: BTreeMap::new(),
        }
    }

    fn add(&mut self, want: &Feeds, got: &Feeds) -> Result<(), ParityError> {
        let (mut left, mut right) = (Feeds::new(), Feeds::new());
        for (name, w) in want {
            let Some(g) = got.get(name) else {
                self.fail(name, "is only in the reference".into());
                continue;
            };
            if w.shape() != g.shape() {
                let (g, w) = (g.shape(), w.shape());
                self.fail(name, format!("has shape {g:?}, the reference's has {w:?}"));
                continue;
            }
            match (w.to_f32(), g.to_f32()) {
                (Some(w), Some(g)) => {
                    let flat = |v: Vec<f32>| HostTensor::of(&[1, v.len()], v);
                    left.insert(name.clone(), flat(w));
                    right.insert(name.clone(), flat(g));
                }
                (None, None) if w.dtype() == g.dtype() => self.whole(name, w, g),
                _ => {
                    let (g, w) = (g.dtype(), w.dtype());
                    self.fail(name, format!("is {g}, the reference's is {w}"));
                }
            }
        }
        for name in got.keys().filter(|name| !want.contains_key(*name)) {
            self.fail(name, "is only in the candidate".into());
        }
        let batch = Batch {
            requests: 0..1,
            seq_lens: vec![0],
            candidates: vec![Vec::new()],
            seq: 0,
            inputs: Feeds::new(),
        };
        self.floats.add(self.graph, &batch, &left, &right)
    }

    fn fail(&mut self, output: &str, words: String) {
        self.failures.entry(output.to_owned()).or_insert(words);
    }

    fn whole(&mut self, output: &str, want: &HostTensor, got: &HostTensor) {
        let (want, got) = (want.to_f64(), got.to_f64());
        let differ = want.iter().zip(&got).filter(|(w, g)| w != g).count();
        let entry = self.integers.entry(output.to_owned()).or_default();
        entry.0 += differ;
        entry.1 += want.len();
    }

    fn measured(mut self) -> Measured {
        for (output, (differ, all)) in std::mem::take(&mut self.integers) {
            if self.is_exact && differ > 0 {
                self.fail(&output, format!("{differ} of {all} elements differ"));
            }
        }
        let graph = self.graph;
        let failed = |(name, why): (String, String)| Check::failed(format!("{graph}.{name}"), why);
        let failures = self.failures.into_iter().map(failed);
        Measured { failures: failures.collect(), candidate: self.floats, ..Measured::default() }
    }
}
