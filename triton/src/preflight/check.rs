//! One thing that was looked at before a deployment.

use serde::Serialize;

use super::CheckName;

/// Lines of a reason that are told; of more, how many.
const SHOWN: usize = 6;

/// One thing that was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: CheckName,
    /// What came of it.
    #[serde(flatten)]
    pub status: Status,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Status {
    /// It will do.
    Passed {
        /// What was found.
        found: String,
    },
    /// It will not.
    Failed {
        /// What is wrong; a line each.
        why: String,
        /// What to do about it.
        fix: String,
    },
    /// It could not be looked at, or there is nothing to look at.
    Skipped {
        /// Why not.
        why: String,
    },
}

impl Check {
    pub(super) fn passed(name: CheckName, found: impl Into<String>) -> Self {
        Self { name, status: Status::Passed { found: found.into() } }
    }

    pub(super) fn failed(name: CheckName, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, status: Status::Failed { why: why.into(), fix: fix.into() } }
    }

    pub(super) fn skipped(name: CheckName, why: impl Into<String>) -> Self {
        Self { name, status: Status::Skipped { why: why.into() } }
    }

    /// The same of one plan.
    pub(super) fn of(mut self, graph: &str) -> Self {
        let (Status::Passed { found: text }
        | Status::Failed { why: text, .. }
        | Status::Skipped { why: text }) = &mut self.status;
        *text = format!("{graph}: {text}");
        self
    }

    /// The same with more of what was found.
    pub(super) fn with(mut self, more: &str) -> Self {
        if let Status::Passed { found } = &mut self.status {
            found.push_str("; ");
            found.push_str(more);
        }
        self
    }

    /// Does it fail?
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self.status, Status::Failed { .. })
    }
}

/// Reasons as lines, the first of many.
pub(super) fn lines(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(SHOWN);
    if more > 0 {
        all.truncate(SHOWN);
        all.push(format!("and {more} more"));
    }
    all.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_reasons_are_counted() {
        let all = |n: usize| lines((0..n).map(|i| i.to_string()).collect());
        assert_eq!(all(2), "0\n1");
        assert_eq!(all(9), "0\n1\n2\n3\n4\n5\nand 3 more");
    }

    #[test]
    fn json_has_name_and_status_side_by_side() {
        let check = Check::failed(CheckName::PlanKind, "a", "b");
        let json = serde_json::to_string(&check).unwrap();
        assert_eq!(json, r#"{"name":"plan.kind","status":"failed","why":"a","fix":"b"}"#);
    }
}
