//! `onr parity --onnx`: any ONNX model against another, or against itself on another backend.

use std::{iter, path::Path};

use onr_graphs::Profile;
use onr_onnx::Model;
use onr_runtime::{
    backend::Backend,
    backends::tract::TractBackend,
    inputs::random,
    npz::{InputSpec, Npz, NpzError, inputs},
    parity::{Pair, ParityError, ParityReport, compare_pair},
    tensor::Feeds,
};

use super::candidate::candidate;
use crate::{
    args::{PairArgs, ParityArgs},
    context::Context,
    exit::Refusal,
};

/// Largest size that a symbol gets unless it is typed; a comparison is about operators, not about load.
const MOST: usize = 24;

/// Size of a symbol that nobody has named.
const UNNAMED: usize = 2;

/// Refuses what means nothing for a file.
pub(super) fn check(args: &ParityArgs) -> Result<(), Refusal> {
    if args.requests.requests.is_some() || args.requests.sort {
        let what = "--requests and --sort are for a directory of graphs";
        return Err(Refusal::usage(what).hint("--data or --random give inputs to --onnx"));
    }
    Ok(())
}

/// A file on a backend against another, or itself on another backend.
pub(super) fn prove(
    onnx: &Path,
    args: &PairArgs,
    ours: &dyn Backend,
    context: &Context,
) -> anyhow::Result<ParityReport> {
    let against = args.against.as_deref().unwrap_or(onnx);
    let (batches, from) = batches(onnx, against, args)?;
    let theirs = candidate(&args.reference, context)?;
    let pair = Pair { candidate: (ours, onnx), reference: (theirs.as_ref(), against) };
    compare_pair(&pair, batches, &from, context.progress())
}

/// Batches of inputs, one in memory at a time.
type AllBatches = Box<dyn Iterator<Item = anyhow::Result<Feeds>>>;

/// The inputs that were asked for, and where they come from in words.
pub(super) fn batches(
    onnx: &Path,
    against: &Path,
    args: &PairArgs,
) -> anyhow::Result<(AllBatches, String)> {
    let (ours, theirs) = (inputs(&Model::open(onnx)?), inputs(&Model::open(against)?));
    if let Some(data) = &args.data {
        let npz = Npz::open(data)?;
        // The types of one of them; the other's are rounded from these.
        let all = match npz.batches(&united(&theirs, &ours)) {
            Err(NpzError::Misfit { .. }) => npz.batches(&united(&ours, &theirs))?,
            other => other?,
        };
        let name = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok((Box::new(all.map(|batch| Ok(batch?))), name));
    }
    let typed = Profile::of_any(args.profile.as_deref().unwrap_or_default())?;
    let default = Profile::for_model(256).with("")?;
    let size = |symbol: &str| {
        let follows = matches!(symbol, "kv" | "new").then(|| typed.get("seq")).flatten();
        match typed.get(symbol).or(follows) {
            Some(range) => range.opt,
            None => default.get(symbol).map_or(UNNAMED, |r| r.opt.min(MOST)),
        }
    };
    let drawn = random(&united(&theirs, &ours), args.seed, &size)?;
    Ok((Box::new(drawn.into_iter().map(Ok)), format!("random inputs, seed {}", args.seed)))
}

/// All inputs of two models, with the types of the first.
fn united(first: &[InputSpec], second: &[InputSpec]) -> Vec<InputSpec> {
    let more = second.iter().filter(|i| first.iter().all(|f| f.name != i.name));
    first.iter().chain(more).cloned().collect()
}

/// One file on tract and on another backend, at the best sizes of a profile.
pub(super) fn prove_one(
    onnx: &Path,
    ours: &dyn Backend,
    profile: &Profile,
    context: &Context,
) -> anyhow::Result<ParityReport> {
    let size = |symbol: &str| profile.get(symbol).map_or(UNNAMED, |r| r.opt.min(MOST));
    let drawn = random(&inputs(&Model::open(onnx)?), 0, &size)?;
    let reference = TractBackend::new();
    let pair = Pair { candidate: (ours, onnx), reference: (&reference, onnx) };
    let drawn = iter::IntoIterator::into_iter(drawn).map(Ok::<_, ParityError>);
    Ok(compare_pair(&pair, drawn, "random inputs", context.progress())?)
}
