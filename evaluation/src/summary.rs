//! Everything that an evaluation says, to be written down.

use onr_interactions::Fold;
use serde::{Deserialize, Serialize};

use crate::{Counts, Evaluation, Metrics, StageOutcome};

/// Metrics of one list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListSummary {
    /// Name of the list.
    pub list: String,
    /// Name of the task whose score orders it.
    pub task: String,
    /// Over all judged users; `None` where there are none.
    pub all: Option<Metrics>,
    /// Over users whose held-out behaviour is a positive of `task`; `None` where there are none.
    pub positives: Option<Metrics>,
}

/// What the ranking stage does, on average over users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// Candidates of a user.
    pub candidates: f64,
    /// [`StageOutcome::dc`].
    pub dc: f64,
    /// Tau-b of ranker and generator for the first task: 1 is a copy. `None` where no user has one.
    pub first_tau: Option<f64>,
    /// Overlap of their best ten.
    pub first_overlap10: f64,
    /// Tau-b of ranker and generator for the last task.
    pub last_tau: Option<f64>,
    /// Overlap of their best ten.
    pub last_overlap10: f64,
}

/// An evaluation in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the recommender.
    pub recommender: String,
    /// `validation` or `test`.
    pub fold: String,
    /// Who was judged and who was not.
    pub counts: Counts,
    /// In the order of [`Evaluation::lists`].
    pub lists: Vec<ListSummary>,
    /// `None` without a ranking stage.
    pub stage: Option<StageSummary>,
}

impl Evaluation {
    /// All metrics of all lists.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let lists = self.lists.iter().enumerate().map(|(n, list)| ListSummary {
            list: list.name.clone(),
            task: self.tasks[list.task].clone(),
            all: self.metrics_at(n, None),
            positives: self.metrics_at(n, Some(list.task)),
        });
        let fold = match self.fold {
            Fold::Validation => "validation",
            Fold::Test => "test",
        };
        Summary {
            recommender: self.recommender.clone(),
            fold: fold.to_owned(),
            counts: self.counts,
            lists: lists.collect(),
            stage: self.stage(),
        }
    }

    /// Averages of the ranking stage; `None` where there is none, or nobody was judged.
    #[must_use]
    pub fn stage(&self) -> Option<StageSummary> {
        let mean = |of: fn(&StageOutcome) -> Option<f64>| {
            let (mut n, mut sum) = (0.0, 0.0);
            for x in self.outcomes.iter().filter_map(|o| of(o.stage.as_ref()?)) {
                n += 1.0;
                sum += x;
            }
            (n > 0.0).then(|| sum / n)
        };
        Some(StageSummary {
            candidates: mean(|s| Some(f64::from(s.candidates)))?,
            dc: mean(|s| Some(s.dc))?,
            first_tau: mean(|s| s.first.tau),
            first_overlap10: mean(|s| Some(s.first.overlap10))?,
            last_tau: mean(|s| s.last.tau),
            last_overlap10: mean(|s| Some(s.last.overlap10))?,
        })
    }
}
