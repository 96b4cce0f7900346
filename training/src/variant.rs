//! What an ablation leaves out, and the plain peer.

use onr_graphs::ModelConfig;

use crate::config::TrainConfig;

/// A part of OneRanker that a run does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Without {
    /// No fake items: `n_fake_items = 0`.
    FakeItems,
    /// No distribution-consistency loss.
    Consistency,
    /// No tokens of their own for the tasks, and so no order among them: one state learns from the
    /// labels of all tasks, and the final order is its.
    TaskOrder,
    /// No ranking decoder, and so no consistency: the generator's order is final.
    Ranker,
}

impl Without {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FakeItems, Self::Consistency, Self::TaskOrder, Self::Ranker];

    /// The word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FakeItems => "fake-items",
            Self::Consistency => "dc",
            Self::TaskOrder => "task-order",
            Self::Ranker => "ranker",
        }
    }

    /// Takes the part out of a configuration.
    pub fn apply(self, model: &mut ModelConfig, train: &mut TrainConfig) {
        match self {
            Self::FakeItems => model.n_fake_items = 0,
            Self::Consistency => train.consistency.weight = 0.0,
            Self::TaskOrder => model.tasks = vec!["all".to_owned()],
            Self::Ranker => {
                train.ranker.weight = 0.0;
                train.consistency.weight = 0.0;
            }
        }
    }
}

/// The plain generative recommender of the same size: one user embedding that learns the next behaviour; no tasks, fake
/// items, ranker or consistency.
pub fn baseline(model: &mut ModelConfig, train: &mut TrainConfig) {
    model.tasks.truncate(1);
    train.task.truncate(1);
    Without::FakeItems.apply(model, train);
    Without::Ranker.apply(model, train);
}
