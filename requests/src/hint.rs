//! Advice for each error, apart from the fact that the error states.

use std::io::ErrorKind;

use crate::error::RequestError;

impl RequestError {
    /// What the reader could do next; the CLI prints it on a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Json { .. } | Self::MissingField { .. } => {
                "one object a line: {\"user\": \"u1\", \"items\": [5], \"actions\": [1], \"timestamps\": [1700000000], \
                 \"request_time\": 1700000060, \"candidates\": [7, 9]}; only `candidates` may be left out"
            }
            Self::LineTooLong { .. } => {
                "a JSON Lines file has one request a line, not one array of requests"
            }
            Self::Null { .. } => "only `candidates` may be null; fill or drop the others",
            Self::Lengths { .. } => "each behaviour is one item, one action and one timestamp",
            Self::TooLong { .. } => {
                "without --strict the history is cut to its most recent behaviours"
            }
            Self::Backwards { .. } => "--sort orders each history by time",
            Self::MissingColumn { .. } => {
                "a log's columns can be named by option; a request file needs user, items, actions, timestamps and request_time"
            }
            Self::Cell { needed: "unix seconds", .. } => {
                "times are unix seconds; convert dates before"
            }
            Self::ActionRule { .. } => {
                "for example `rating>=5:3,rating>=4:2,*:1`: the first match gives the action id"
            }
            Self::RuleAction { .. } => "compare the action rule with n_actions in model.toml",
            Self::VocabVersion { .. } => "make the vocabulary again from the log",
            Self::VocabTooLarge { .. } => {
                "give the vocabulary that the model was trained with, or train with a larger n_items"
            }
            Self::Read { cause, .. } if cause.kind() == ErrorKind::NotFound => {
                "`onr requests` makes one from an interaction log"
            }
            Self::Extension { .. } => "the format follows from the extension: rename the file",
            Self::TooManyRows { .. } => "split the log by user",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    #[test]
    fn a_hint_follows_what_is_needed() {
        let cell = |needed| RequestError::Cell {
            place: Place::Request { number: 1 },
            column: "when".to_owned(),
            value: "noon".to_owned(),
            needed,
        };
        assert!(cell("unix seconds").hint().is_some_and(|h| h.contains("convert dates")));
        assert_eq!(cell("an id").hint(), None);
    }
}
