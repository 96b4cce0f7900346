//! What can go wrong.

/// Why a recommender could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// An option that means nothing.
    #[error("{option} must be positive")]
    Option {
        /// Its name.
        option: &'static str,
    },
    /// A user was asked for that is not there.
    #[error("there is no user {user}, there are {n_users}")]
    NoSuchUser {
        /// Who was asked for.
        user: usize,
        /// How many there are.
        n_users: usize,
    },
    /// A history could not be read.
    #[error("the history of user {user} could not be read")]
    History {
        /// Whose it is.
        user: usize,
        /// What the store says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A history has an item that the catalogue lacks.
    #[error("user {user} has item {item}, items are 1..{n_items}")]
    Item {
        /// Whose history it is in.
        user: usize,
        /// The item.
        item: u32,
        /// `V`.
        n_items: usize,
    },
    /// The recommender has no task.
    #[error("recommender {recommender} orders items for no task")]
    NoTasks {
        /// Its name.
        recommender: String,
    },
    /// The recommender could not answer.
    #[error("recommender {recommender} failed")]
    Recommender {
        /// Its name.
        recommender: String,
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer has the wrong length.
    #[error("{what} has {got} elements, not {expected}")]
    Length {
        /// Which answer.
        what: &'static str,
        /// Its length.
        got: usize,
        /// What its length must be.
        expected: usize,
    },
    /// A score is infinite or not a number: no order is defined.
    #[error("{what} of item {item} for user {user} and task {task} is {score}")]
    NotFinite {
        /// Which score.
        what: &'static str,
        /// For whom.
        user: usize,
        /// Number of the task.
        task: usize,
        /// Of which item.
        item: u32,
        /// The score.
        score: f32,
    },
    /// A ranking stage that is there for some users and not for others.
    #[error("recommender {recommender} ranks in some batches only")]
    SometimesRanked {
        /// Its name.
        recommender: String,
    },
    /// The progress callback asked to stop.
    #[error("stopped after {done} of {of} users")]
    Stopped {
        /// Users that were done.
        done: usize,
        /// Users in all.
        of: usize,
    },
}

/// Why two sides could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A side without runs.
    #[error("there is no evaluation to compare")]
    NoRuns,
    /// No resamples, so no interval.
    #[error("an interval needs at least one resample")]
    NoResamples,
    /// An evaluation lacks the list.
    #[error("the evaluation of {recommender} has no list {list}")]
    NoList {
        /// Who was evaluated.
        recommender: String,
        /// The list.
        list: String,
    },
    /// An evaluation lacks the task.
    #[error("the evaluation of {recommender} has no task {task}")]
    NoTask {
        /// Who was evaluated.
        recommender: String,
        /// The task.
        task: String,
    },
    /// The metric is defined for no user that all runs have.
    #[error("no user that all runs share counts for {metric}")]
    NoUsers {
        /// Name of the metric.
        metric: &'static str,
    },
}
