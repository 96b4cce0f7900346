//! Where histories come from.

use onr_interactions::{Event, InteractionsError, Store};

/// Histories of users, read one at a time.
pub trait Histories {
    /// Why a history could not be read.
    type Error: std::error::Error + Send + Sync + 'static;

    /// How many users there are: ids are `0..n_users`.
    fn n_users(&self) -> usize;

    /// `V`: how many items there are with the padding item, so that items are `1..V`.
    fn n_items(&self) -> usize;

    /// Replaces `into` by the whole history of `user`, oldest first.
    ///
    /// # Errors
    /// Whatever the implementation meets; a user that is not there too.
    fn history(&self, user: usize, into: &mut Vec<Event>) -> Result<(), Self::Error>;
}

impl Histories for Store {
    type Error = InteractionsError;

    fn n_users(&self) -> usize {
        self.n_users()
    }

    fn n_items(&self) -> usize {
        self.n_items()
    }

    fn history(&self, user: usize, into: &mut Vec<Event>) -> Result<(), InteractionsError> {
        self.history(user, into)
    }
}

/// Histories in memory.
#[derive(Debug, Clone, Default)]
pub struct InMemory {
    n_items: usize,
    histories: Vec<Vec<Event>>,
}

impl InMemory {
    /// `histories[user]`, oldest first, of items in `1..n_items`.
    #[must_use]
    pub const fn new(n_items: usize, histories: Vec<Vec<Event>>) -> Self {
        Self { n_items, histories }
    }
}

/// A user that is not in [`InMemory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no user {user}, there are {n_users}")]
pub struct NoSuchUser {
    /// Who was asked for.
    pub user: usize,
    /// How many there are.
    pub n_users: usize,
}

impl Histories for InMemory {
    type Error = NoSuchUser;

    fn n_users(&self) -> usize {
        self.histories.len()
    }

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn history(&self, user: usize, into: &mut Vec<Event>) -> Result<(), NoSuchUser> {
        let n_users = self.histories.len();
        let events = self.histories.get(user).ok_or(NoSuchUser { user, n_users })?;
        into.clear();
        into.extend_from_slice(events);
        Ok(())
    }
}
