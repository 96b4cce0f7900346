//! What `onr parity` found, on all directories and backends.

use std::path::PathBuf;

use onr_exporter::artifact::FileRecord;
use onr_runtime::parity::{ParityReport, Status};
use serde::Serialize;

use super::super::describe::describe;
use crate::{
    exit::Exit,
    show::{Detail, Report, Table, bytes, figure},
};

/// Failures of a run that a table names.
const SHOWN: usize = 4;

/// Everything that was run.
#[derive(Default)]
pub(crate) struct ParityDone {
    pub(super) runs: Vec<Run>,
    pub(super) skipped: Vec<SkippedBackend>,
    pub(super) warnings: Vec<String>,
    /// What was recorded, where that was asked for instead.
    pub(super) recorded: Option<Recording>,
}

/// A golden file that was written.
#[derive(Serialize)]
pub(super) struct Recording {
    pub(super) out: PathBuf,
    pub(super) requests: usize,
    /// What its yardsticks are for.
    pub(super) kind: String,
    #[serde(flatten)]
    pub(super) file: FileRecord,
}

/// One directory against one reference, on one backend.
#[derive(Serialize)]
pub(super) struct Run {
    pub(super) dir: PathBuf,
    #[serde(flatten)]
    pub(super) report: ParityReport,
}

impl Run {
    /// Short, and its own among the runs of a command.
    pub(super) fn name(&self) -> String {
        let ParityReport { backend, precision, strength, .. } = &self.report;
        format!("{} {backend} {precision} {}", self.dir.display(), strength.name())
    }
}

/// A backend that is not here.
#[derive(Serialize)]
pub(super) struct SkippedBackend {
    pub(super) backend: String,
    pub(super) what: String,
    pub(super) hint: String,
    /// Was it to be there?
    pub(super) required: bool,
}

/// Checks by what came of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) excused: usize,
    /// Backends that are not here among them.
    pub(super) skipped: usize,
}

impl ParityDone {
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts { skipped: self.skipped.len(), ..Counts::default() };
        for check in self.runs.iter().flat_map(|run| &run.report.checks) {
            match check.status {
                Status::Passed => counts.passed += 1,
                Status::Failed { .. } => counts.failed += 1,
                Status::Excused { .. } => counts.excused += 1,
                Status::Skipped { .. } => counts.skipped += 1,
            }
        }
        counts
    }

    pub(super) fn passed(&self) -> bool {
        self.runs.iter().all(|run| run.report.passed())
            && !self.skipped.iter().any(|skipped| skipped.required)
    }

    /// A line for each run, and what is wrong with it.
    fn table(&self) -> String {
        let heads =
            ["directory", "backend", "precision", "against", "overlap", "DC shift", "checks", ""];
        let mut table = Table::new(&heads);
        let mut wrong = Vec::new();
        for Run { dir, report } in &self.runs {
            let overlap = report.order.as_ref().map(|o| format!("{:.4}", o.mean_overlap));
            let shift = report.consistency.as_ref().map(|dc| figure(dc.max_shift));
            let failures: Vec<String> = report.failures().collect();
            table.row([
                dir.display().to_string(),
                report.backend.clone(),
                report.precision.clone(),
                report.strength.name().to_owned(),
                overlap.unwrap_or_default(),
                shift.unwrap_or_default(),
                report.checks.len().to_string(),
                if failures.is_empty() { "holds" } else { "FAILS" }.to_owned(),
            ]);
            let more = failures.len().saturating_sub(SHOWN);
            let name = format!("{} on {}", dir.display(), report.backend);
            wrong.extend(failures.into_iter().take(SHOWN).map(|why| format!("  {name}: {why}")));
            if more > 0 {
                wrong.push(format!("  {name}: and {more} more (-v has all)"));
            }
        }
        [vec![table.text()], wrong].concat().join("\n")
    }

    /// Each warning once: directories may share requests.
    pub(super) fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            if !self.warnings.contains(warning) {
                self.warnings.push(warning.clone());
            }
        }
    }
}

impl Serialize for ParityDone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(recorded) = &self.recorded {
            return recorded.serialize(serializer);
        }
        #[derive(Serialize)]
        struct Shown<'a> {
            passed: bool,
            counts: Counts,
            reports: &'a [Run],
            skipped: &'a [SkippedBackend],
        }
        let (passed, counts) = (self.passed(), self.counts());
        Shown { passed, counts, reports: &self.runs, skipped: &self.skipped }.serialize(serializer)
    }
}

impl Report for ParityDone {
    fn human(&self, detail: Detail) -> String {
        if let Some(Recording { out, requests, kind, file }) = &self.recorded {
            let size = bytes(file.size);
            return format!("{}: {size}, {requests} requests, for {kind}", out.display());
        }
        let many = self.runs.len() > 1;
        let mut texts: Vec<String> = Vec::new();
        match (many, detail) {
            (false, _) => texts.extend(self.runs.iter().map(|run| describe(&run.report, detail))),
            (true, Detail::All) => texts.extend(self.runs.iter().map(|run| {
                format!("directory  {}\n{}", run.dir.display(), describe(&run.report, detail))
            })),
            (true, Detail::Short) => texts.push(self.table()),
        }
        for SkippedBackend { backend, what, hint, required } in &self.skipped {
            let word = if *required { "FAILS" } else { "skipped" };
            texts.push(format!("{backend}: {word}, {what}; {hint}"));
        }
        if many || !self.skipped.is_empty() {
            let Counts { passed, failed, excused, skipped } = self.counts();
            let word = if self.passed() { "holds" } else { "FAILS" };
            texts.push(format!(
                "in all     {word}: {passed} checks passed, {failed} failed, {excused} excused, {skipped} skipped"
            ));
        }
        texts.join("\n\n")
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn exit(&self) -> Exit {
        if self.recorded.is_some() {
            return Exit::Fine;
        }
        if self.runs.is_empty() || self.skipped.iter().any(|skipped| skipped.required) {
            Exit::Missing
        } else if self.passed() {
            Exit::Fine
        } else {
            Exit::Tolerance
        }
    }
}
