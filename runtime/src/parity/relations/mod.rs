//! What must hold of an engine whatever its numbers are: relations between its own answers.
//!
//! They need no reference, so they run where there is none, on the engine that serves. A wrong number in the weights
//! breaks none of them; a mask, a slot or a shape that is handled wrongly breaks one, and its name says which.

mod bench;
mod cases;
mod fused;
mod layout;
mod shapes;
mod values;

use std::time::Duration;

use onr_exporter::Progress;
use onr_graphs::{GraphKind, Profile};

use super::{ParityError, check::Check, job::ParityJob};
use bench::Bench;

/// What came of all relations.
#[derive(Debug, Default)]
pub struct Relations {
    /// One for each, named `relation.…`.
    pub checks: Vec<Check>,
    /// Time inside the backend.
    pub elapsed: Duration,
}

/// Something that must hold; says what is wrong.
type Case = fn(&mut Bench<'_>) -> Result<Verdict, ParityError>;

/// What came of one.
enum Verdict {
    Holds,
    Wrong(String),
    /// The requests or the directory do not allow it.
    Skipped(String),
}

impl From<Option<String>> for Verdict {
    fn from(wrong: Option<String>) -> Self {
        wrong.map_or(Self::Holds, Self::Wrong)
    }
}

/// Name and case, in the order of reports.
const CASES: [(&str, Case); 18] = [
    ("repeated-runs", cases::repeated),
    ("concurrent-runs", cases::concurrent),
    ("identical-rows", cases::identical_rows),
    ("other-rows", cases::other_rows),
    ("permuted-candidates", cases::permuted_candidates),
    ("added-candidates", cases::added_candidates),
    ("padding", cases::padding),
    ("stale-slots", values::stale_slots),
    ("strange-ids", values::strange_ids),
    ("shifted-times", values::shifted_times),
    ("sold-out", fused::sold_out),
    ("split", fused::split),
    ("ensemble", fused::ensemble),
    ("append", cases::append),
    ("profile.batch", shapes::batch),
    ("profile.seq", shapes::seq),
    ("profile.candidates", shapes::candidates),
    ("profile.new", shapes::new),
];

/// Runs all relations on a few of the job's requests.
///
/// # Errors
/// [`ParityError`] when the engine cannot run even the plain batch, and [`ParityError::Interrupted`].
pub fn relations(
    job: &ParityJob<'_>,
    profile: &Profile,
    progress: &dyn Progress,
) -> Result<Relations, ParityError> {
    let all = |why: &str| -> Relations {
        let skip = |(name, _): &(&str, Case)| Check::skipped(format!("relation.{name}"), why);
        Relations { checks: CASES.iter().map(skip).collect(), elapsed: Duration::ZERO }
    };
    let has = |kind: &GraphKind| job.graphs.iter().any(|graph| graph.name == kind.name());
    if let Some(kind) = Bench::GRAPHS.iter().find(|kind| !has(kind)) {
        return Ok(all(&format!("the directory has no graph {}", kind.name())));
    }
    if job.requests.is_empty() {
        return Ok(all("there are no requests"));
    }
    let mut bench = Bench::new(job, profile)?;
    progress.stage("relations", CASES.len() as u64);
    let mut checks = Vec::new();
    for (name, case) in CASES {
        let name = format!("relation.{name}");
        checks.push(match case(&mut bench) {
            Ok(Verdict::Holds) => Check::of(name, None),
            Ok(Verdict::Wrong(why)) => Check::failed(name, why),
            Ok(Verdict::Skipped(why)) => Check::skipped(name, why),
            // An engine that answers the plain batch and refuses this one breaks the relation.
            Err(ParityError::Interrupted) => return Err(ParityError::Interrupted),
            Err(error) => Check::failed(name, error.to_string()),
        });
        if progress.advance(1).is_break() {
            return Err(ParityError::Interrupted);
        }
    }
    Ok(Relations { checks, elapsed: bench.elapsed() })
}
