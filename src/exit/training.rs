//! Errors of the verbs that train and judge.

use std::error::Error;

use onr_evaluation::{CompareError, EvaluateError};
use onr_interactions::{InteractionsError, simulate::SimulationError};
use onr_requests::RequestError;
use onr_training::{TrainingError, kmeans::KMeansError};

use super::{Exit, of_export};

pub(super) fn opinion(cause: &(dyn Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(e) = cause.downcast_ref::<TrainingError>() {
        return Some(of_training(e));
    }
    if let Some(e) = cause.downcast_ref::<InteractionsError>() {
        return Some(of_interactions(e));
    }
    if let Some(e) = cause.downcast_ref::<SimulationError>() {
        let (exit, hint) = of_simulation(e);
        return Some((exit, hint.map(str::to_owned)));
    }
    if let Some(e) = cause.downcast_ref::<EvaluateError>() {
        return Some((of_evaluation(e), None));
    }
    let e = cause.downcast_ref::<CompareError>()?;
    let (exit, hint) = of_comparison(e);
    Some((exit, hint.map(str::to_owned)))
}

fn of_training(e: &TrainingError) -> (Exit, Option<String>) {
    let hint = match e {
        TrainingError::Interactions(e) => return of_interactions(e),
        TrainingError::Checkpoint(e) => return (of_export(e), e.hint()),
        TrainingError::Interrupted { .. } => {
            return (Exit::Interrupted, Some("the same command goes on from there".to_owned()));
        }
        TrainingError::Config { .. } => "docs/training.md lists every key of train.toml",
        TrainingError::NothingToLearn { .. } => "give more of the log, or look at `data.actions`",
        TrainingError::NoPositives { .. } => {
            "compare the task's `when` with the columns of the log; the last two behaviours of each \
             user do not train"
        }
        TrainingError::Items { .. } => "raise n_items in model.toml",
        TrainingError::NotFinite { .. } => {
            "lower `optimizer.learning_rate` or `optimizer.clip_norm`"
        }
        TrainingError::State { .. } => "--fresh begins anew; or choose another --out",
        TrainingError::Clusters(KMeansError::TooFewPoints { .. }) => {
            "there must be more different items than fake items"
        }
        _ => return (Exit::Wrong, None),
    };
    (Exit::Wrong, Some(hint.to_owned()))
}

/// Rules stand in `train.toml`: only what was typed is wrong usage.
fn of_interactions(e: &InteractionsError) -> (Exit, Option<String>) {
    let exit = match e {
        InteractionsError::Stopped => Exit::Interrupted,
        InteractionsError::Log(RequestError::Extension { .. }) => Exit::Usage,
        _ => Exit::Wrong,
    };
    let hint = match e {
        InteractionsError::Read { .. } => None,
        InteractionsError::Log(RequestError::MissingColumn { .. }) => Some(
            "train.toml names columns: `[data]` those of users, items and times; `actions`, `when` and \
             `value` those of labels"
                .to_owned(),
        ),
        _ => e.hint(),
    };
    (exit, hint)
}

const fn of_simulation(e: &SimulationError) -> (Exit, Option<&'static str>) {
    match e {
        SimulationError::Parameters { .. } => (
            Exit::Usage,
            Some(
                "--users, --items, --series and --price-slope set these; there are five series or more",
            ),
        ),
        SimulationError::Exists { .. } => (Exit::Wrong, Some("choose another --out")),
        SimulationError::Read { .. } | SimulationError::Json { .. } => {
            (Exit::Wrong, Some("`onr simulate` writes truth.json beside its log"))
        }
        SimulationError::Version { .. } => {
            (Exit::Wrong, Some("simulate the log again with this program"))
        }
        SimulationError::UnknownUser { .. }
        | SimulationError::UnknownItem { .. }
        | SimulationError::SeenTwice { .. } => {
            (Exit::Wrong, Some("--truth is the folder that the log was simulated into"))
        }
        _ => (Exit::Wrong, None),
    }
}

const fn of_evaluation(e: &EvaluateError) -> Exit {
    match e {
        EvaluateError::Stopped { .. } => Exit::Interrupted,
        EvaluateError::Option { .. } => Exit::Usage,
        _ => Exit::Wrong,
    }
}

const fn of_comparison(e: &CompareError) -> (Exit, Option<&'static str>) {
    match e {
        CompareError::NoUsers { .. } => (
            Exit::Wrong,
            Some(
                "value10 needs `onr evaluate --truth`, dc a ranking stage, value-ndcg10 a task with a value",
            ),
        ),
        _ => (Exit::Usage, None),
    }
}
