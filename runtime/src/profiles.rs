//! Buckets and profiles by symbol, as a file that people may edit and as a part of the manifest.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use onr_graphs::{Axis, AxisError, Range};
use serde::{Deserialize, Serialize};

/// One symbol, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisRecord {
    /// Sizes that requests are padded to.
    pub buckets: Vec<usize>,
    /// `min:opt:max` of each profile.
    pub profiles: Vec<String>,
}

/// By symbol.
pub type AxisRecords = BTreeMap<String, AxisRecord>;

/// Why a file of profiles could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfilesError {
    /// It is not there or cannot be read.
    #[error("cannot read {file}", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It is no TOML, or has other keys than buckets and profiles by symbol.
    #[error("{file}: {reason}", file = file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key has a value that cannot be.
    #[error("{file}: {error}", file = file.display())]
    Axis {
        /// The file.
        file: PathBuf,
        /// The key, and what is wrong with it.
        error: AxisError,
    },
}

impl ProfilesError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> String {
        let text = match self {
            Self::Read { .. } => "`onr plan-profiles --out FILE` writes one",
            Self::Format { .. } => {
                "for each of seq and candidates: [seq], buckets = [64, 256], profiles = [\"1:64:64\", \"65:256:256\"]"
            }
            Self::Axis { .. } => {
                "profiles follow each other from 1 on without gaps, buckets ascend, and both end at the largest size"
            }
        };
        text.to_owned()
    }
}

impl From<&Axis> for AxisRecord {
    fn from(axis: &Axis) -> Self {
        Self {
            buckets: axis.buckets().to_vec(),
            profiles: axis.profiles().iter().map(Range::to_string).collect(),
        }
    }
}

/// The records of checked axes.
#[must_use]
pub fn records(axes: &BTreeMap<String, Axis>) -> AxisRecords {
    axes.iter().map(|(symbol, axis)| (symbol.clone(), axis.into())).collect()
}

/// Checks records of a model with histories of at most `max_seq_len` behaviours.
///
/// # Errors
/// [`AxisError`], which names the key.
pub fn axes(
    records: &AxisRecords,
    max_seq_len: usize,
) -> Result<BTreeMap<String, Axis>, AxisError> {
    let axis = |(symbol, record): (&String, &AxisRecord)| {
        let range = |(at, text): (usize, &String)| {
            let wrong =
                || AxisError::Range { symbol: symbol.clone(), at, text: format!("\"{text}\"") };
            text.parse::<Range>().map_err(|()| wrong())
        };
        let ranges = record.profiles.iter().enumerate().map(range);
        let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        let axis = Axis::new(symbol, ranges, record.buckets.clone(), max_seq_len)?;
        Ok((symbol.clone(), axis))
    };
    records.iter().map(axis).collect()
}

/// Reads a file of `onr plan-profiles`, or one like it.
///
/// # Errors
/// [`ProfilesError`].
pub fn read(file: &Path, max_seq_len: usize) -> Result<BTreeMap<String, Axis>, ProfilesError> {
    let named = || file.to_owned();
    let text =
        fs::read_to_string(file).map_err(|cause| ProfilesError::Read { file: named(), cause })?;
    let format = |reason: String| ProfilesError::Format { file: named(), reason };
    let records: AxisRecords =
        toml::from_str(&text).map_err(|e| format(e.to_string().trim_end().to_owned()))?;
    if records.is_empty() {
        return Err(format("it names no symbol".to_owned()));
    }
    axes(&records, max_seq_len).map_err(|error| ProfilesError::Axis { file: named(), error })
}

/// The file's text, with a head that says how it may be edited.
#[must_use]
pub fn text(axes: &BTreeMap<String, Axis>) -> String {
    const HEAD: &str = "\
# Buckets: sizes that requests are padded to. Profiles: min:opt:max of the sizes that kernels are chosen for, without
# gaps from 1 on. Both end at the largest size. `kv` is as `seq` unless it is named.
";
    let tables = toml::to_string(&records(axes)).unwrap_or_default();
    format!("{HEAD}\n{tables}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[candidates]\nbuckets = [8, 64]\nprofiles = [\"1:8:64\"]\n\n\
                        [seq]\nbuckets = [4, 12]\nprofiles = [\"1:4:4\", \"5:12:12\"]\n";

    fn reread(text: &str) -> Result<BTreeMap<String, Axis>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        fs::write(&file, text).unwrap();
        let named = |e: ProfilesError| e.to_string().replace(&file.display().to_string(), "F");
        read(&file, 12).map_err(named)
    }

    #[test]
    fn what_is_written_is_read() {
        let axes = reread(TEXT).unwrap();
        assert_eq!(axes["seq"].to_string(), "1:4:4, 5:12:12 (buckets 4, 12)");
        assert!(text(&axes).ends_with(TEXT), "{}", text(&axes));
        assert_eq!(reread(&text(&axes)).unwrap(), axes);
    }

    #[test]
    fn what_is_wrong_names_its_key() {
        let refused = |from: &str, to: &str| {
            assert!(TEXT.contains(from));
            reread(&TEXT.replace(from, to)).unwrap_err()
        };
        assert_eq!(
            refused("5:12:12", "4:12:12"),
            "F: seq.profiles[1] = 4:12:12 overlaps or precedes the one before it, 1:4:4"
        );
        assert_eq!(
            refused("5:12:12", "5-12"),
            "F: seq.profiles[1] = \"5-12\" is not `min:opt:max` with 1 <= min <= opt <= max"
        );
        assert!(refused("[4, 12]", "[12, 4]").contains("F: seq.buckets[1] = 4 is not above 12"));
        assert!(refused("[seq]", "[tokens]").contains("F: `tokens` is none of seq,"));
        assert!(refused("buckets = [8", "bucket = [8").contains("unknown field `bucket`"));
        assert!(refused("[8, 64]", "[8, -64]").contains("invalid value"));
        assert_eq!(reread("# nothing\n").unwrap_err(), "F: it names no symbol");
        assert!(reread("seq = [").is_err());
    }
}
