//! What an evaluation keeps of each user.

use onr_interactions::Fold;
use serde::{Deserialize, Serialize};

/// A list that a recommender makes for every user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// `generator:{task}`, `ranker:{task}` or `final`.
    pub name: String,
    /// Number of the task whose score orders it.
    pub task: usize,
}

/// How close the ranker's order of the candidates is to the generator's, for one task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Closeness {
    /// Kendall's tau-b of the two scores; `None` where one of them tells no candidates apart.
    pub tau: Option<f64>,
    /// Share of the generator's best ten that are among the ranker's best ten.
    pub overlap10: f64,
}

/// What the ranking stage did for one user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageOutcome {
    /// `C`: how many candidates it got.
    pub candidates: u32,
    /// `KL(softmax(scores / T) || softmax(logits / T))` of the last task over the candidates, in nats.
    pub dc: f64,
    /// The first task's ranker against the first task's generator.
    pub first: Closeness,
    /// The last task's ranker against the last task's generator.
    pub last: Closeness,
}

/// One user who was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct UserOutcome {
    /// Who.
    pub user: usize,
    /// The held-out item.
    pub item: u32,
    /// Labels of the held-out behaviour: bit `n` for task `n`.
    pub labels: u16,
    /// Value of the held-out behaviour.
    pub value: f32,
    /// For each list the place of the held-out item, from 1; `None` where it was not retrieved.
    pub places: Vec<Option<u32>>,
    /// For each list the mean expected value of its best ten items; empty where no truth was given.
    pub value10: Vec<f32>,
    /// The ranking stage's; `None` where there is none.
    pub stage: Option<StageOutcome>,
}

impl UserOutcome {
    /// Is the held-out behaviour a positive of task `n`?
    #[must_use]
    pub const fn is_positive(&self, n: usize) -> bool {
        self.labels >> n & 1 == 1
    }
}

/// Who was judged and who was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Users who were asked for.
    pub users: usize,
    /// Of them without a past and a behaviour to hold out.
    pub too_short: usize,
    /// Of them with a held-out item that is in the past already: it is no candidate and can't be found.
    pub repeated: usize,
    /// Of them judged.
    pub judged: usize,
}

/// A recommender's lists, judged user by user.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Name of the recommender.
    pub recommender: String,
    /// Which behaviour was held out.
    pub fold: Fold,
    /// `N` names, in causal order.
    pub tasks: Vec<String>,
    /// `generator:{task}` for each task; with a ranking stage `ranker:{task}` for each task but the last (with one
    /// task: for it); and `final`: by the last task, of the ranking stage or else of the generator.
    pub lists: Vec<List>,
    /// The judged users, by ascending id.
    pub outcomes: Vec<UserOutcome>,
    /// How many they are, and why not more.
    pub counts: Counts,
}

impl Evaluation {
    /// Number of the list with this name.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<usize> {
        self.lists.iter().position(|list| list.name == name)
    }

    /// Number of the task with this name.
    #[must_use]
    pub fn task(&self, name: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task == name)
    }

    /// Was there a ranking stage?
    #[must_use]
    pub fn is_ranked(&self) -> bool {
        self.lists.len() > self.tasks.len() + 1
    }
}

/// The lists of a recommender, in the order of [`Evaluation::lists`].
pub(crate) fn lists(tasks: &[String], ranked: bool) -> Vec<List> {
    let of = |stage: &str, n: usize| {
        tasks
            .iter()
            .take(n)
            .enumerate()
            .map(move |(task, name)| (format!("{stage}:{name}"), task))
            .collect::<Vec<_>>()
    };
    let mut names = of("generator", tasks.len());
    if ranked {
        names.extend(of("ranker", ranker_lists(tasks.len())));
    }
    names.push(("final".to_owned(), tasks.len() - 1));
    names.into_iter().map(|(name, task)| List { name, task }).collect()
}

/// How many lists the ranking stage makes before the final one.
pub(crate) fn ranker_lists(tasks: usize) -> usize {
    (tasks - 1).max(1)
}
