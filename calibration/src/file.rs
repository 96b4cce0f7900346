//! The text of `calibration.json`.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use sha2::{Digest, Sha256};

use crate::calibration::Calibration;
use crate::error::CalibrationError;

/// What the file says that it is.
const FORMAT: &str = "onr-calibration";
/// The version that is written, and the newest that is read.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

/// The file: `sha256` is the hash of `calibration` as JSON without white space.
#[derive(Serialize)]
struct Sealed<'a> {
    format: &'a str,
    version: u64,
    sha256: &'a str,
    calibration: &'a Calibration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedOwned {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "version")]
    _version: u64,
    sha256: String,
    calibration: Calibration,
}

impl Calibration {
    /// The text of the file, one line a tensor: equal calibrations give equal bytes.
    ///
    /// # Errors
    /// [`CalibrationError::Write`], which statistics give no cause for.
    pub fn to_json(&self) -> Result<String, CalibrationError> {
        let sha256 = self.hash()?;
        let sealed =
            Sealed { format: FORMAT, version: VERSION, sha256: &sha256, calibration: self };
        let mut text = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(&mut text, Lines { depth: 0 });
        sealed.serialize(&mut writer).map_err(|cause| CalibrationError::Write { cause })?;
        text.push(b'\n');
        String::from_utf8(text).map_err(|cause| {
            let cause = serde_json::Error::io(io::Error::new(io::ErrorKind::InvalidData, cause));
            CalibrationError::Write { cause }
        })
    }

    /// Reads the text of a file back. White space does not matter.
    ///
    /// # Errors
    /// [`CalibrationError`] when it is not JSON, not a calibration, of a newer version, malformed, or not
    /// what was sealed.
    pub fn from_json(text: &[u8]) -> Result<Self, CalibrationError> {
        let header: Header = serde_json::from_slice(text).map_err(|cause| {
            if cause.is_data() {
                CalibrationError::NotCalibration { needed: FORMAT }
            } else {
                not_json(cause)
            }
        })?;
        if header.format != FORMAT {
            return Err(CalibrationError::NotCalibration { needed: FORMAT });
        }
        if header.version != VERSION {
            return Err(CalibrationError::Version { found: header.version, known: VERSION });
        }
        let file: SealedOwned =
            serde_json::from_slice(text).map_err(|cause| CalibrationError::Malformed { cause })?;
        let found = file.calibration.hash()?;
        if found != file.sha256 {
            return Err(CalibrationError::Seal { sealed: file.sha256, found });
        }
        Ok(file.calibration)
    }

    fn hash(&self) -> Result<String, CalibrationError> {
        let text = serde_json::to_vec(self).map_err(|cause| CalibrationError::Write { cause })?;
        Ok(Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn not_json(cause: serde_json::Error) -> CalibrationError {
    CalibrationError::NotJson { line: cause.line(), column: cause.column(), cause }
}

/// Objects down to the tensors on a line for each key, below that no white space.
struct Lines {
    depth: usize,
}

impl Lines {
    /// Depth of the objects whose keys are tensors: file, calibration, graphs, graph, tensors.
    const TENSORS: usize = 5;

    fn line<W: io::Write + ?Sized>(&self, writer: &mut W) -> io::Result<()> {
        if self.depth > Self::TENSORS {
            return Ok(());
        }
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer)
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.depth < Self::TENSORS {
            self.line(writer)?;
        }
        writer.write_all(b"}")
    }
}
