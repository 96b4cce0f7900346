//! Failures that somebody knows about, so that a pipeline may go on and still sees the next one.

use std::path::Path;

use serde::Deserialize;

use super::ParityError;

/// A failure that is let pass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excuse {
    /// Name of the check; a `*` at the end stands for anything.
    pub check: String,
    /// Only on this backend.
    pub candidate: Option<String>,
    /// Only in this precision.
    pub precision: Option<String>,
    /// Why it is let pass. Not empty.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    excuse: Vec<Excuse>,
}

impl Excuse {
    /// Reads `[[excuse]]` tables of a TOML file.
    ///
    /// # Errors
    /// [`ParityError::Excuses`] for a file that cannot be read, has other keys, or has an excuse without a reason.
    pub fn read(path: &Path) -> Result<Vec<Self>, ParityError> {
        let fail = |reason: String| ParityError::Excuses { file: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        let file: File = toml::from_str(&text).map_err(|e| fail(e.to_string()))?;
        match file.excuse.iter().find(|e| e.reason.trim().is_empty()) {
            Some(bare) => Err(fail(format!("the excuse for `{}` has no reason", bare.check))),
            None => Ok(file.excuse),
        }
    }

    /// Whether it is for this run.
    pub(super) fn is_for(&self, backend: &str, precision: &str) -> bool {
        let fits = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|a| a == is);
        fits(&self.candidate, backend) && fits(&self.precision, precision)
    }

    /// Whether it is for this check.
    pub(super) fn names(&self, check: &str) -> bool {
        match self.check.strip_suffix('*') {
            Some(start) => check.starts_with(start),
            None => check == self.check,
        }
    }
}
