//! What a log is asked for.

use crate::action::ActionRule;
use crate::error::RequestError;

/// The columns of a log by name; `None` looks for the usual names.
///
/// | column | looked for | unit |
/// | --- | --- | --- |
/// | `user` | `user_id`, `session_id`, `userId`, `user` | external id |
/// | `item` | `item_id`, `itemId`, `movieId`, `item` | external id |
/// | `timestamp` | `timestamp`, `time`, `ts` | unix seconds, fractions cut; Parquet timestamps |
/// | `rating` | `rating` | number; only where a rule has a test without a column |
/// | `candidates` | – | external item ids, separated by spaces or `\|` |
///
/// The types in a RecBole header (`user_id:token`) are no part of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Who.
    pub user: Option<String>,
    /// With which item.
    pub item: Option<String>,
    /// When.
    pub timestamp: Option<String>,
    /// How well it was liked.
    pub rating: Option<String>,
    /// What was shown at the time. A request takes what its user's latest row lists, held out or not,
    /// each item once; an empty cell is no candidates. `None` draws candidates by popularity.
    pub candidates: Option<String>,
}

/// Where the action id of a behaviour comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Actions {
    /// A rule over columns.
    Rule(ActionRule),
    /// A column that has the action id itself.
    Column(String),
}

/// How requests are made from a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogOptions {
    /// Where the log has what.
    pub columns: Columns,
    /// What makes an action.
    pub actions: Actions,
    /// The longest history, behaviours.
    pub max_seq_len: usize,
    /// The share of `max_seq_len` that remains when a history overflows, see [`crate::Window`].
    pub keep: f64,
    /// The model's items, padding included, when the model is known: a larger vocabulary is refused.
    pub n_items: Option<usize>,
    /// The model's actions, padding included, when the model is known: a rule for others is refused.
    pub n_actions: Option<usize>,
    /// Candidates drawn for each request when no column lists them: by how often the log has an item
    /// (held-out behaviours included), without replacement, fewer where the log has fewer items.
    pub n_candidates: usize,
    /// Seed of the drawing.
    pub seed: u64,
    /// Keep each user's last behaviour out of the history, as the thing to predict.
    pub hold_out_last: bool,
    /// At most so many requests: the first users in the order of their ids.
    pub limit: Option<usize>,
}

impl LogOptions {
    /// The options for histories of `max_seq_len`; all else at its default: usual column names, action
    /// 1 for each row, 0.75 kept, no model sizes, no candidates, seed 0, nothing held out, all users.
    #[must_use]
    pub fn new(max_seq_len: usize) -> Self {
        Self {
            columns: Columns::default(),
            actions: Actions::Rule(ActionRule::default()),
            max_seq_len,
            keep: 0.75,
            n_items: None,
            n_actions: None,
            n_candidates: 0,
            seed: 0,
            hold_out_last: false,
            limit: None,
        }
    }
}

impl Actions {
    /// Refuses a rule that gives actions which a model with `n_actions` does not have. What a column
    /// has is seen row by row alone.
    ///
    /// # Errors
    /// [`RequestError::RuleAction`].
    pub fn fits(&self, n_actions: usize) -> Result<(), RequestError> {
        let Self::Rule(rule) = self else { return Ok(()) };
        let action = i64::from(rule.largest());
        if usize::try_from(action).is_ok_and(|a| a < n_actions) {
            return Ok(());
        }
        Err(RequestError::RuleAction { action, n_actions })
    }
}
