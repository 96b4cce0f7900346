//! The raw bindings that `trtexec` leaves: `NAME.output.D0.D1.TYPE.raw`, one file for each output.

use std::{collections::BTreeSet, fs, path::Path};

use onr_graphs::DType;

use crate::{
    backends::signature::{Axis, Input},
    tensor::{Feeds, HostTensor},
};

/// What TensorRT calls its types in these names: since 10 as its flags do, before as its headers do.
const LABELS: [(&str, DType); 12] = [
    ("fp32", DType::F32),
    ("float", DType::F32),
    ("fp16", DType::F16),
    ("half", DType::F16),
    ("bf16", DType::BF16),
    ("fp8", DType::F8E4M3),
    ("int64", DType::I64),
    ("int32", DType::I32),
    ("int8", DType::I8),
    ("uint8", DType::U8),
    ("bool", DType::Bool),
    ("bfloat16", DType::BF16),
];

/// The outputs of a graph, as its file declares them.
#[derive(Debug)]
pub(super) struct Outputs(Vec<Input>);

impl Outputs {
    /// Refuses names that `trtexec` would write to one file.
    pub(super) fn new(declared: Vec<Input>) -> Result<Self, String> {
        let mut names = BTreeSet::new();
        match declared.iter().find(|output| !names.insert(safe(&output.name))) {
            None => Ok(Self(declared)),
            Some(twice) => Err(format!(
                "trtexec writes output `{}` and another to one file, as `{}`",
                twice.name,
                safe(&twice.name)
            )),
        }
    }

    /// Reads all of them from a folder.
    pub(super) fn read(&self, folder: &Path) -> Result<Feeds, String> {
        let entries = fs::read_dir(folder).map_err(|e| format!("cannot read its folder: {e}"))?;
        let mut names: Vec<String> =
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.ends_with(".raw"));
        names.sort();
        let read = |output: &Input| {
            let found = Found::of(output, &names)?;
            let tensor = found.tensor(output, folder)?;
            Ok((output.name.clone(), tensor))
        };
        self.0.iter().map(read).collect()
    }
}

/// A file with an output, and what its name says.
#[derive(Debug, PartialEq)]
struct Found<'a> {
    file: &'a str,
    shape: Vec<i64>,
    label: &'a str,
}

impl<'a> Found<'a> {
    /// The one file of an output.
    fn of(output: &Input, names: &'a [String]) -> Result<Self, String> {
        let mut found = names.iter().filter_map(|name| Self::parse(&output.name, name));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) if names.is_empty() => {
                Err(format!("it left no file with output `{}`, nor any other", output.name))
            }
            (None, _) => Err(format!(
                "it left no file with output `{}`, but {}",
                output.name,
                names.join(", ")
            )),
            (Some(one), Some(other)) => {
                Err(format!("{} and {} may both be output `{}`", one.file, other.file, output.name))
            }
        }
    }

    fn parse(output: &str, file: &'a str) -> Option<Self> {
        let rest = file.strip_prefix(&safe(output))?.strip_prefix(".output.")?;
        let (sizes, label) = rest.strip_suffix(".raw")?.rsplit_once('.')?;
        let sizes = sizes.split('.').filter(|size| !size.is_empty());
        let shape: Result<Vec<i64>, _> = sizes.map(str::parse).collect();
        Some(Self { file, shape: shape.ok()?, label })
    }

    /// Its content, if it is what the graph says.
    fn tensor(&self, output: &Input, folder: &Path) -> Result<HostTensor, String> {
        let (name, file) = (&output.name, self.file);
        let label = self.label.to_ascii_lowercase();
        let dtype = LABELS.iter().find(|(known, _)| *known == label).map(|(_, dtype)| *dtype);
        if dtype != Some(output.dtype) {
            let graph = output.dtype;
            return Err(format!(
                "{file}: output `{name}` is {}, the graph gives {graph}",
                self.label
            ));
        }
        let shape: Result<Vec<usize>, _> = self.shape.iter().map(|s| usize::try_from(*s)).collect();
        let shape = shape.map_err(|_| {
            format!("{file}: output `{name}` has a size that is known only after the run")
        })?;
        if let Some(axes) = output.axes.as_deref().filter(|axes| !fits(axes, &shape)) {
            let axes: Vec<String> = axes.iter().map(Axis::to_string).collect();
            let axes = axes.join(",");
            return Err(format!(
                "{file}: output `{name}` has shape {shape:?}, the graph gives [{axes}]"
            ));
        }
        let bytes = fs::read(folder.join(file)).map_err(|e| format!("cannot read {file}: {e}"))?;
        HostTensor::from_le_bytes(output.dtype, &shape, &bytes).ok_or_else(|| {
            let (count, dtype) = (bytes.len(), output.dtype);
            format!("{file} holds {count} bytes, which are no {dtype} {shape:?}")
        })
    }
}

fn fits(axes: &[Axis], shape: &[usize]) -> bool {
    let same = |(axis, size): (&Axis, &usize)| !matches!(axis, Axis::Fixed(f) if f != size);
    axes.len() == shape.len() && axes.iter().zip(shape).all(same)
}

/// `trtexec` keeps letters, digits and `._-,` of a name.
fn safe(name: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || "._-,".contains(c);
    // It looks at bytes.
    let one = |c: char| if keep(c) { c.to_string() } else { "_".repeat(c.len_utf8()) };
    name.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, dtype: DType, axes: &[i64]) -> Input {
        let axes = axes.iter().map(|size| Axis::new(*size, "batch")).collect();
        Input { name: name.into(), dtype, axes: Some(axes) }
    }

    fn read(output: Input, files: &[(&str, &[u8])]) -> Result<Feeds, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Outputs::new(vec![output])?.read(folder.path())
    }

    fn refused(output: Input, file: &str, bytes: &[u8]) -> String {
        read(output, &[(file, bytes)]).unwrap_err()
    }

    #[test]
    fn names_of_both_ages() {
        let scores = || output("rank/scores.0", DType::F32, &[-1, 2]);
        let bytes = [0, 0, 128, 63, 0, 0, 0, 64];
        let want =
            Feeds::from([("rank/scores.0".into(), HostTensor::of(&[1, 2], vec![1_f32, 2.0]))]);
        for file in ["rank_scores.0.output.1.2.fp32.raw", "rank_scores.0.output.1.2.Float.raw"] {
            let other = ("rank_scores.0.input.1.2.fp32.raw", &b"other"[..]);
            assert_eq!(read(scores(), &[(file, &bytes), other]).unwrap(), want);
        }
        let scalar = read(output("s", DType::I32, &[]), &[("s.output..int32.raw", &[7, 0, 0, 0])]);
        assert_eq!(scalar.unwrap()["s"], HostTensor::of(&[], vec![7_i32]));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let x = || output("x", DType::F32, &[-1, 2]);
        let told = refused(x(), "x.output.1.2.fp32.raw", &[0; 7]);
        assert_eq!(told, "x.output.1.2.fp32.raw holds 7 bytes, which are no f32 [1, 2]");
        let told = refused(x(), "x.output.1.2.fp16.raw", &[0; 4]);
        assert_eq!(told, "x.output.1.2.fp16.raw: output `x` is fp16, the graph gives f32");
        let told = refused(x(), "x.output.1.2.odd.raw", &[0; 4]);
        assert_eq!(told, "x.output.1.2.odd.raw: output `x` is odd, the graph gives f32");
        let told = refused(x(), "x.output.1.3.fp32.raw", &[0; 12]);
        assert!(told.ends_with("has shape [1, 3], the graph gives [batch,2]"), "{told}");
        let told = refused(x(), "x.output.-1.2.fp32.raw", &[0; 8]);
        assert!(told.ends_with("has a size that is known only after the run"), "{told}");
        let told = refused(x(), "y.output.1.2.fp32.raw", &[0; 8]);
        assert_eq!(told, "it left no file with output `x`, but y.output.1.2.fp32.raw");
        let told = read(x(), &[]).unwrap_err();
        assert_eq!(told, "it left no file with output `x`, nor any other");
        let two: [(&str, &[u8]); 2] =
            [("x.output.1.2.fp32.raw", &[0; 8]), ("x.output.2.2.fp32.raw", &[0; 16])];
        let told = read(x(), &two).unwrap_err();
        assert!(told.ends_with("may both be output `x`"), "{told}");
    }

    #[test]
    fn two_names_of_one_file_are_refused() {
        let twice = vec![output("a/b", DType::F32, &[]), output("a_b", DType::F32, &[])];
        let told = Outputs::new(twice).unwrap_err();
        assert_eq!(told, "trtexec writes output `a_b` and another to one file, as `a_b`");
    }
}
