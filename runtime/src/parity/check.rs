//! One thing that was proven, refuted, excused or not tried.

use serde::{Deserialize, Serialize};

/// One thing that was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Stable: `rank.scores`, `order`, `weights`, `relation.permuted-candidates`. Excuses name it.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub status: Status,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Passed,
    /// It does not.
    Failed {
        /// What is wrong.
        why: String,
    },
    /// It does not, and somebody knows why.
    Excused {
        /// What is wrong.
        why: String,
        /// Why that is let pass.
        reason: String,
    },
    /// It could not be looked at.
    Skipped {
        /// What is missing.
        why: String,
    },
}

impl Check {
    /// A check that failed where there is something wrong.
    #[must_use]
    pub fn of(name: impl Into<String>, wrong: Option<String>) -> Self {
        let status = wrong.map_or(Status::Passed, |why| Status::Failed { why });
        Self { name: name.into(), status }
    }

    /// A check that failed.
    #[must_use]
    pub fn failed(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::of(name, Some(why.into()))
    }

    /// A check that could not be made.
    #[must_use]
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Skipped { why: why.into() } }
    }

    /// Name and reason, for a check that failed and is not excused.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match &self.status {
            Status::Failed { why } => Some(format!("{}: {why}", self.name)),
            _ => None,
        }
    }
}
