//! Rules that turn the columns of a log row into an action id.

use std::fmt;
use std::str::FromStr;

use crate::columns::Cell;
use crate::condition::Condition;
use crate::error::RequestError;

/// Which action a log row is: clauses that are tried in order, the first match wins.
///
/// `rating>=5:3,rating>=4:2,*:1` reads: a rating of 5 or more is action 3, else of 4 or more is
/// action 2, else action 1. A row that no clause matches is left out of the history, so
/// `rating>=4:1` keeps the good ratings alone.
///
/// | part | form |
/// | --- | --- |
/// | clause | `CONDITION:ACTION`, clauses separated by commas |
/// | `CONDITION` | a [`Condition`]; `*` (always) only in the last clause |
/// | `ACTION` | an action id of at least 0 |
///
/// An empty cell matches `*` alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRule {
    text: String,
    columns: Vec<String>,
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq)]
struct Clause {
    condition: Condition,
    action: i32,
}

impl Default for ActionRule {
    /// `*:1`: every row is action 1.
    fn default() -> Self {
        let clauses = vec![Clause { condition: Condition::always(), action: 1 }];
        Self { text: "*:1".to_owned(), columns: Vec::new(), clauses }
    }
}

impl fmt::Display for ActionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ActionRule {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let mut rule = Self { text: text.to_owned(), columns: Vec::new(), clauses: Vec::new() };
        for clause in text.split(',') {
            let refuse = |reason| RequestError::ActionRule { clause: clause.to_owned(), reason };
            if rule.clauses.last().is_some_and(|last| last.condition.is_always()) {
                return Err(refuse("nothing after `*` can match"));
            }
            let (test, action) =
                clause.rsplit_once(':').ok_or_else(|| refuse("no `:ACTION` at the end"))?;
            let action = action.trim().parse().ok().filter(|&a: &i32| a >= 0);
            let action = action.ok_or_else(|| refuse("the action must be an integer from 0"))?;
            let condition = Condition::parse(test, &mut rule.columns).map_err(refuse)?;
            rule.clauses.push(Clause { condition, action });
        }
        Ok(rule)
    }
}

impl ActionRule {
    /// The columns that [`ActionRule::apply`] asks for; an empty name is the rating column.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The largest action id that the rule can give.
    pub(crate) fn largest(&self) -> i32 {
        self.clauses.iter().map(|c| c.action).max().unwrap_or(0)
    }

    /// The action of a row, `None` when no clause matches. `Err` has the index of a column whose
    /// value should have been a number.
    pub(crate) fn apply<'c>(&self, cell: impl Fn(usize) -> Cell<'c>) -> Result<Option<i32>, usize> {
        for Clause { condition, action } in &self.clauses {
            if condition.holds(&cell)? {
                return Ok(Some(*action));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rule: &str, cell: Cell<'_>) -> Result<Option<i32>, usize> {
        rule.parse::<ActionRule>().unwrap().apply(|_| cell)
    }

    #[test]
    fn the_first_match_wins() {
        let rule = "rating>=5:3, rating >= 4 : 2, *:1";
        for (rating, action) in [("5", 3), ("4.5", 2), ("4", 2), ("3.99", 1)] {
            assert_eq!(apply(rule, Cell::Text(rating)), Ok(Some(action)), "{rating}");
        }
        assert_eq!(apply(rule, Cell::Int(9)), Ok(Some(3)));
        assert_eq!(apply(rule, Cell::Float(4.0)), Ok(Some(2)));
        assert_eq!(apply(rule, Cell::Null), Ok(Some(1)));
    }

    #[test]
    fn no_match_is_no_action() {
        assert_eq!(apply("rating>4:1", Cell::Int(4)), Ok(None));
        assert_eq!(apply("rating!=4:1", Cell::Null), Ok(None));
        assert_eq!(apply("rating!=4:1", Cell::Float(f64::NAN)), Ok(None));
    }

    #[test]
    fn text_and_numbers_compare_for_equality() {
        assert_eq!(apply("event=buy:3,event!=view:2", Cell::Text("buy")), Ok(Some(3)));
        assert_eq!(apply("event=buy:3,event!=view:2", Cell::Text("cart")), Ok(Some(2)));
        assert_eq!(apply("event=buy:3,event!=view:2", Cell::Text("view")), Ok(None));
        assert_eq!(apply("clicked==1:3", Cell::Text("1.0")), Ok(Some(3)));
        assert_eq!(apply("clicked=1:3", Cell::Text("yes")), Ok(None));
    }

    #[test]
    fn a_clause_may_have_several_tests() {
        let rule = "x>=2&&x<4:2,*:1";
        assert_eq!([1, 2, 4].map(|n| apply(rule, Cell::Int(n))), [1, 2, 1].map(|a| Ok(Some(a))));
    }

    #[test]
    fn columns_are_listed_once_and_may_be_unnamed() {
        let rule: ActionRule = ">=5:3,event=buy:2,>=4:1".parse().unwrap();
        assert_eq!(rule.columns(), ["", "event"]);
        assert_eq!(rule.largest(), 3);
        assert_eq!(rule.to_string().parse::<ActionRule>().unwrap(), rule);
        assert_eq!("*:1".parse::<ActionRule>().unwrap(), ActionRule::default());
    }

    #[test]
    fn refused_because_a_number_is_none() {
        assert_eq!(apply("event=buy:3,rating>2:1", Cell::Text("x")), Err(1));
    }

    #[test]
    fn refused_because_of_the_text() {
        for (rule, reason) in [
            ("", "no `:ACTION` at the end"),
            ("rating>=5", "no `:ACTION` at the end"),
            ("rating>=5:x", "the action must be an integer from 0"),
            ("rating>=5:-1", "the action must be an integer from 0"),
            ("rating:1", "no comparison and no `*`"),
            ("rating!5:1", "`!` must be `!=`"),
            ("rating>=:1", "no value to compare with"),
            ("rating>=high:1", "only numbers can be ordered"),
            ("*:1,rating>4:2", "nothing after `*` can match"),
        ] {
            let error = rule.parse::<ActionRule>().unwrap_err().to_string();
            assert!(error.ends_with(reason), "{rule}: {error}");
        }
    }
}
