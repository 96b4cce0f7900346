//! Which part of a history trains, which chooses and which judges.

use crate::Event;

/// A part of every history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// The behaviour before the last one, after everything before it: choices are made on it.
    Validation,
    /// The last behaviour, after everything before it: only reported.
    Test,
}

/// One history, leave-one-out: the last behaviour tests, the one before it validates, the rest trains.
#[derive(Debug, Clone, Copy)]
pub struct Split<'a>(pub &'a [Event]);

impl<'a> Split<'a> {
    /// What training may see: all but the last two behaviours; of one or two behaviours nothing.
    #[must_use]
    pub fn training(self) -> &'a [Event] {
        &self.0[..self.0.len().saturating_sub(2)]
    }

    /// What is known before the held-out behaviour, and that behaviour. `None` where the history is too
    /// short to have both a non-empty past and a behaviour to hold out.
    #[must_use]
    pub fn held_out(self, fold: Fold) -> Option<(&'a [Event], &'a Event)> {
        let end = match fold {
            Fold::Validation => self.0.len().checked_sub(1)?,
            Fold::Test => self.0.len(),
        };
        let (target, past) = self.0[..end].split_last()?;
        (!past.is_empty()).then_some((past, target))
    }
}
