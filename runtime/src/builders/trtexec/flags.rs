//! Which flags a version of `trtexec` gets. `docs/triton.md` has the table.

use std::{ffi::OsString, path::Path};

use onr_onnx::ElemType;

use super::{NAME, contents::Contents, program::About, version::Version};
use crate::{
    builder::{BuildJob, EngineError, PlanWeights},
    builders::shapes::{InputShapes, dynamic_inputs},
};

/// All arguments that compile `job`.
pub(super) fn build(about: &About, job: &BuildJob<'_>) -> Result<Vec<OsString>, EngineError> {
    let shapes = dynamic_inputs(job)?;
    let mut flags = vec![path("--onnx=", job.onnx), path("--saveEngine=", job.plan)];
    let mut add = |flag: String| flags.push(flag.into());
    check_names(job, shapes.first().map_or(&[], Vec::as_slice))?;
    if shapes.len() > 1 && !about.knows(PROFILE) {
        let what = format!("it builds one profile, not {}", shapes.len());
        let hint = "leave --profiles out, or take the trtexec of TensorRT 9 or later";
        return Err(unsupported(about.version, job, what, hint));
    }
    for (number, inputs) in shapes.iter().enumerate() {
        // The shapes behind a number, up to the next one, are those of its profile.
        if shapes.len() > 1 {
            add(format!("{PROFILE}={number}"));
        }
        for (name, pick) in ENDS {
            add(format!("{name}={}", spec(inputs, pick)));
        }
    }
    typing(about.version, job)?.into_iter().for_each(&mut add);
    weights(about.version, job)?.into_iter().for_each(|flag| add(flag.to_owned()));
    add("--skipInference".to_owned());
    if let Some(bytes) = job.workspace {
        add(format!("--memPoolSize=workspace:{}", mebibytes(bytes)));
    }
    Ok(flags)
}

/// All arguments that run a plan once, in a folder with the files of its inputs; in a profile by number, where there are several.
pub(crate) fn run(
    about: &About,
    plan: &Path,
    inputs: &[RunInput<'_>],
    profile: Option<usize>,
) -> Vec<OsString> {
    let files: Vec<String> = inputs.iter().map(|i| format!("{}:{}", i.name, i.file)).collect();
    let shapes: Vec<String> = inputs
        .iter()
        .filter(|i| i.dynamic)
        .map(|i| format!("{}:{}", i.name, sizes(i.shape)))
        .collect();
    let mut flags = vec![path("--loadEngine=", plan)];
    let mut add = |flag: String| flags.push(flag.into());
    if !files.is_empty() {
        add(format!("--loadInputs={}", files.join(",")));
    }
    if !shapes.is_empty() {
        add(format!("--shapes={}", shapes.join(",")));
    }
    if let Some(number) = profile {
        add(format!("--useProfile={number}"));
    }
    for flag in ["--iterations=1", "--duration=0", "--warmUp=0", "--avgRuns=1"] {
        add(flag.to_owned());
    }
    // TensorRT 11 leaves the outputs on the GPU, and writes what its buffers held before.
    for flag in ["--includeDataTransfers", "--noCudaGraph"] {
        if about.knows(flag) {
            add(flag.to_owned());
        }
    }
    add("--dumpRawBindingsToFile".to_owned());
    flags
}

/// An input of a run.
#[derive(Debug)]
pub(crate) struct RunInput<'a> {
    /// Its name in the graph.
    pub(crate) name: &'a str,
    /// The file with its bytes, without a folder.
    pub(crate) file: String,
    /// Its sizes.
    pub(crate) shape: &'a [usize],
    /// Does the graph leave a size open?
    pub(crate) dynamic: bool,
}

/// The characters at which `trtexec` splits what names inputs.
pub(crate) fn carries(name: &str) -> bool {
    !name.contains([',', ':', '\'', '='])
}

/// Flags that say what becomes of the weights. With both, a stripped plan takes any weights; with the second alone it
/// would take those that it was built with.
fn weights(version: Version, job: &BuildJob<'_>) -> Result<Vec<&'static str>, EngineError> {
    match job.weights {
        PlanWeights::Fixed => Ok(Vec::new()),
        PlanWeights::Refittable => Ok(vec!["--refit"]),
        PlanWeights::Stripped if version.major < 10 => Err(unsupported(
            version,
            job,
            "plans without weights came with TensorRT 10".to_owned(),
            "use --refit, which keeps them in the plan, or the trtexec of TensorRT 10 or later",
        )),
        PlanWeights::Stripped => Ok(vec!["--refit", "--stripWeights"]),
    }
}

/// Flags that have TensorRT compute in the types of the graph.
fn typing(version: Version, job: &BuildJob<'_>) -> Result<Vec<String>, EngineError> {
    match version.major {
        // It knows nothing but strongly typed networks.
        11.. => return Ok(Vec::new()),
        10 => return Ok(vec![STRONGLY.to_owned()]),
        _ => {}
    }
    let contents = Contents::read(job.onnx)?;
    check_types(version, job, &contents)?;
    match version.major {
        9 => Ok(vec![STRONGLY.to_owned()]),
        _ => weakly(version, job, &contents),
    }
}

/// Begins another profile.
const PROFILE: &str = "--profile";

const STRONGLY: &str = "--stronglyTyped";

/// A type, the first TensorRT that has it, and what to do without.
const SINCE: [(ElemType, u32, &str); 5] = [
    (ElemType::Bfloat16, 9, "choose --precision fp16"),
    (ElemType::Float8E4M3Fn, 9, "choose int8 in its place"),
    (ElemType::Int4, 10, "choose int8 in its place"),
    (ElemType::Uint4, 10, "choose int8 in its place"),
    (ElemType::Float4E2M1, 10, "choose int8 in its place"),
];

/// Refuses what this version would misread or does not have.
fn check_types(
    version: Version,
    job: &BuildJob<'_>,
    contents: &Contents,
) -> Result<(), EngineError> {
    let of_64_bits = contents.interface().filter(|(_, elem)| *elem == Some(ElemType::Int64));
    let names: Vec<_> = of_64_bits.map(|(name, _)| format!("`{name}`")).collect();
    if !names.is_empty() {
        let are = if names.len() == 1 { "is" } else { "are" };
        return Err(unsupported(
            version,
            job,
            format!(
                "{} {are} int64, a type that inputs and outputs have since TensorRT 10",
                names.join(", ")
            ),
            "export with `--ids int32`, which passes ids and times in 32 bits, or take the trtexec \
             of TensorRT 10 or later",
        ));
    }
    let missing = SINCE
        .iter()
        .find(|(elem, since, _)| version.major < *since && contents.types.contains(elem));
    match missing {
        None => Ok(()),
        Some((elem, since, instead)) => Err(unsupported(
            version,
            job,
            format!("it has {elem}, which came with TensorRT {since}"),
            &format!("{instead}, or take the trtexec of TensorRT {since} or later"),
        )),
    }
}

/// Flags of 8.6, whose networks are weakly typed: it may compute in any type that it is allowed, so
/// the types of the graph are allowed, and nodes in 32 bits are pinned.
fn weakly(
    version: Version,
    job: &BuildJob<'_>,
    contents: &Contents,
) -> Result<Vec<String>, EngineError> {
    let mut flags = io_formats(version, job, contents)?;
    if contents.quantized {
        flags.push("--int8".to_owned());
    }
    if !contents.types.contains(&ElemType::Float16) {
        return Ok(flags);
    }
    flags.push("--fp16".to_owned());
    if contents.wide.is_empty() {
        return Ok(flags);
    }
    if let Some(name) = contents.wide.iter().find(|name| !carries(name)) {
        let what = format!("node `{name}` has a character that flags for layers cannot carry");
        return Err(unsupported(version, job, what, RENAME));
    }
    let pins: Vec<String> = contents.wide.iter().map(|name| format!("{name}:fp32")).collect();
    let pins = pins.join(",");
    if pins.len() > LONGEST {
        let what = format!("{} nodes to keep in 32 bits do not fit a flag", contents.wide.len());
        let hint = "export all in fp32, or take the trtexec of TensorRT 9 or later";
        return Err(unsupported(version, job, what, hint));
    }
    flags.push("--precisionConstraints=obey".to_owned());
    flags.push(format!("--layerPrecisions={pins}"));
    flags.push(format!("--layerOutputTypes={pins}"));
    Ok(flags)
}

const RENAME: &str = "rename it, or take the trtexec of TensorRT 10 or later";

/// Linux takes arguments of 128 KiB.
const LONGEST: usize = (128 << 10) - 64;

/// Types of inputs and outputs, where 8.6 would choose others: codes in 8 bits would become floats.
fn io_formats(
    version: Version,
    job: &BuildJob<'_>,
    contents: &Contents,
) -> Result<Vec<String>, EngineError> {
    let narrow = |elem: &Option<ElemType>| matches!(elem, Some(ElemType::Float16 | ElemType::Int8));
    if !contents.interface().any(|(_, elem)| narrow(elem)) {
        return Ok(Vec::new());
    }
    let mut flags = Vec::new();
    let sides = [("--inputIOFormats", &contents.inputs), ("--outputIOFormats", &contents.outputs)];
    for (flag, tensors) in sides {
        let mut formats = Vec::new();
        for (name, elem) in tensors {
            let format = match elem {
                Some(ElemType::Float) => "fp32:chw",
                Some(ElemType::Float16) => "fp16:chw",
                Some(ElemType::Int8) => "int8:chw",
                Some(ElemType::Int32) => "int32:chw",
                other => {
                    let elem = other.map_or("of no type", ElemType::name);
                    let what = format!(
                        "`{name}` is {elem}, which its {flag} cannot say beside tensors in 16 or 8 bits"
                    );
                    let hint = "export with `--io-precision fp32`, or take the trtexec of TensorRT 10 \
                                or later";
                    return Err(unsupported(version, job, what, hint));
                }
            };
            formats.push(format);
        }
        if !formats.is_empty() {
            flags.push(format!("{flag}={}", formats.join(",")));
        }
    }
    Ok(flags)
}

/// One end of a range.
type Pick = fn(&InputShapes) -> &[usize];

/// The shape flags, and which shape belongs to each.
const ENDS: [(&str, Pick); 3] =
    [("--minShapes", |s| &s.min), ("--optShapes", |s| &s.opt), ("--maxShapes", |s| &s.max)];

/// `ids:1x8,lens:1`.
fn spec(shapes: &[InputShapes], pick: Pick) -> String {
    shapes.iter().map(|s| format!("{}:{}", s.name, sizes(pick(s)))).collect::<Vec<_>>().join(",")
}

/// `1x8`.
fn sizes(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn check_names(job: &BuildJob<'_>, shapes: &[InputShapes]) -> Result<(), EngineError> {
    match shapes.iter().find(|s| !carries(&s.name)) {
        None => Ok(()),
        Some(s) => Err(EngineError::Build {
            builder: NAME,
            graph: job.graph.to_owned(),
            reason: format!("input `{}` has a character that its shape flags cannot carry", s.name),
        }),
    }
}

/// MiB without a unit: that is what all versions read alike. 8.6 and 9 ignore a unit, and 10.0 multiplies
/// with it what it then takes for MiB.
fn mebibytes(bytes: u64) -> String {
    match bytes % MIB {
        0 => (bytes / MIB).to_string(),
        _ => format!("{:.6}", bytes as f64 / MIB as f64),
    }
}

const MIB: u64 = 1 << 20;

fn path(flag: &str, path: &Path) -> OsString {
    let mut whole = OsString::from(flag);
    whole.push(path);
    whole
}

fn unsupported(version: Version, job: &BuildJob<'_>, what: String, hint: &str) -> EngineError {
    EngineError::Unsupported {
        builder: format!("{NAME} of TensorRT {version}"),
        graph: job.graph.to_owned(),
        reason: what,
        hint: hint.to_owned(),
    }
}
