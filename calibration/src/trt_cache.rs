//! The calibration cache of TensorRT 10 and older.
//!
//! The first line is `TRT-<version>-EntropyCalibration2`, whatever made the scales: `trtexec` accepts no
//! other. Each further line is `<tensor>: <hex>`, the bits of the scale (`amax / 127`) as a hexadecimal
//! number.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// The first version without calibrators.
const NO_CACHE_SINCE: u32 = 11;
const ALGORITHM: &str = "EntropyCalibration2";

/// A version of TensorRT, `major.minor.patch`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrtVersion {
    /// As in `10.3.0`: 10.
    pub major: u32,
    /// 3.
    pub minor: u32,
    /// 0.
    pub patch: u32,
}

impl TrtVersion {
    /// The version as one number: `8.6.1` is 8601, from 10 on `10.3.0` is 100300.
    #[must_use]
    pub fn number(self) -> u32 {
        let Self { major, minor, patch } = self;
        let unit = if major >= 10 { 10_000 } else { 1000 };
        major.saturating_mul(unit).saturating_add(minor.saturating_mul(100)).saturating_add(patch)
    }
}

impl fmt::Display for TrtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for TrtVersion {
    type Err = CacheError;

    fn from_str(text: &str) -> Result<Self, CacheError> {
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        match parts.as_deref() {
            // More parts are the build.
            Ok([major, minor, patch] | [major, minor, patch, _])
                if *minor < 100 && *patch < 100 =>
            {
                Ok(Self { major: *major, minor: *minor, patch: *patch })
            }
            _ => Err(CacheError::VersionText { text: text.to_owned() }),
        }
    }
}

/// A calibration cache that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Cache {
    /// [`TrtVersion::number`] of the TensorRT that it is for.
    pub version: u32,
    /// Scale by tensor of the network.
    pub scales: BTreeMap<String, f32>,
}

/// What is wrong with a calibration cache or with what is to be written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Not a version.
    #[error("`{text}` is not a TensorRT version `major.minor.patch`")]
    VersionText {
        /// The text as typed.
        text: String,
    },
    /// That version reads no cache.
    #[error(
        "TensorRT {version} reads no calibration cache: version {NO_CACHE_SINCE} removed calibrators"
    )]
    Removed {
        /// The version that was asked for.
        version: TrtVersion,
    },
    /// A name cannot stand in a line.
    #[error("a line of a calibration cache cannot name tensor {name:?}")]
    Name {
        /// The name.
        name: String,
    },
    /// A scale to be written is not a positive number.
    #[error("the scale of `{name}` is {value}, needed is a positive number")]
    Scale {
        /// The tensor.
        name: String,
        /// The scale as text.
        value: String,
    },
    /// The first line is another.
    #[error("line 1: `{found}` is not `TRT-<version>-{ALGORITHM}`")]
    Header {
        /// The line.
        found: String,
    },
    /// A line is not `<tensor>: <hex>`.
    #[error("line {line}: `{found}` is not `<tensor>: <1 to 8 hex digits>`")]
    Line {
        /// From 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// A scale is not a positive number.
    #[error("line {line}: the scale of `{name}` is {value}, needed is a positive number")]
    LineScale {
        /// From 1.
        line: usize,
        /// The tensor.
        name: String,
        /// The scale as text.
        value: String,
    },
    /// One tensor twice.
    #[error("line {line}: `{name}` was already there")]
    Twice {
        /// From 1.
        line: usize,
        /// The tensor.
        name: String,
    },
}

impl CacheError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::VersionText { .. } => Some("for example 8.6.1 or 10.3.0"),
            Self::Removed { .. } => Some("put the scales into the graph as Q/DQ nodes"),
            Self::Header { .. } => Some("TensorRT's other calibrators write other headers"),
            _ => None,
        }
    }
}

/// The text of a cache with `scales` by tensor of the network, for one version of TensorRT.
///
/// # Errors
/// [`CacheError`] when the version reads no cache, a scale is not a positive number, or a name does not fit
/// into a line.
pub fn write(version: TrtVersion, scales: &BTreeMap<String, f32>) -> Result<String, CacheError> {
    if version.major >= NO_CACHE_SINCE {
        return Err(CacheError::Removed { version });
    }
    let mut text = format!("TRT-{}-{ALGORITHM}\n", version.number());
    for (name, scale) in scales {
        if name.is_empty() || name.contains(['\n', '\r']) {
            return Err(CacheError::Name { name: name.clone() });
        }
        if !is_scale(*scale) {
            return Err(CacheError::Scale { name: name.clone(), value: scale.to_string() });
        }
        text += &format!("{name}: {:08x}\n", scale.to_bits());
    }
    Ok(text)
}

/// Reads a cache back. A tensor's name ends at the last `": "` of its line; TensorRT itself leaves leading
/// zeros out.
///
/// # Errors
/// [`CacheError`] with the line that is wrong.
pub fn read(text: &str) -> Result<Cache, CacheError> {
    let mut lines = text.lines().zip(1..);
    let header = lines.next().map_or("", |(line, _)| line);
    let version = header
        .strip_prefix("TRT-")
        .and_then(|rest| rest.strip_suffix(ALGORITHM)?.strip_suffix('-')?.parse().ok())
        .ok_or_else(|| CacheError::Header { found: header.to_owned() })?;
    let mut scales = BTreeMap::new();
    for (found, line) in lines.filter(|(line, _)| !line.is_empty()) {
        let wrong = || CacheError::Line { line, found: found.to_owned() };
        let (name, hex) = found.rsplit_once(": ").ok_or_else(wrong)?;
        let digits = (1..=8).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if name.is_empty() || !digits {
            return Err(wrong());
        }
        let scale = f32::from_bits(u32::from_str_radix(hex, 16).map_err(|_| wrong())?);
        let name = name.to_owned();
        if !is_scale(scale) {
            return Err(CacheError::LineScale { line, name, value: scale.to_string() });
        }
        if scales.insert(name.clone(), scale).is_some() {
            return Err(CacheError::Twice { line, name });
        }
    }
    Ok(Cache { version, scales })
}

fn is_scale(scale: f32) -> bool {
    scale.is_finite() && scale > 0.0
}
