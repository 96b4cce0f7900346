//! Which task a row of the log is a positive of, and what it was worth.

use onr_requests::{Cell, Condition};
use serde::{Deserialize, Serialize};

use crate::Event;
use crate::error::{InteractionsError, LabelProblem};

/// What makes a row a positive of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelRule {
    /// The task's name.
    pub name: String,
    /// A [`Condition`] on the columns of the log, `*` for every row.
    pub when: String,
    /// What a positive was worth; at most one task has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueRule>,
}

/// A row's worth: `max(column - minus, 0) * times`, where the condition of its task holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRule {
    /// The column, a number; an empty cell is worth 0.
    pub column: String,
    /// What is taken off the column.
    #[serde(default)]
    pub minus: f64,
    /// What the rest is multiplied with, above 0.
    #[serde(default = "one")]
    pub times: f64,
}

const fn one() -> f64 {
    1.0
}

/// The rules of all tasks, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels {
    rules: Vec<LabelRule>,
    conditions: Vec<Condition>,
    columns: Vec<String>,
    value: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Value {
    task: usize,
    /// Index into the columns.
    column: usize,
    minus: f64,
    times: f64,
}

/// A column, by its index, and what it should have had.
pub(crate) type Refused = (usize, &'static str);

impl Labels {
    /// Checks the rules; task `n` is `rules[n]`.
    ///
    /// # Errors
    /// [`InteractionsError::Labels`] with all that is wrong.
    pub fn new(rules: Vec<LabelRule>) -> Result<Self, InteractionsError> {
        let mut labels = Self { rules, ..Self::default() };
        let mut problems = Vec::new();
        let rules = std::mem::take(&mut labels.rules);
        for (number, rule) in rules.iter().enumerate() {
            let task =
                if rule.name.is_empty() { (number + 1).to_string() } else { rule.name.clone() };
            let mut refuse = |reason: &str| {
                problems.push(LabelProblem { task: task.clone(), reason: reason.to_owned() })
            };
            if rule.name.trim().is_empty() {
                refuse("no name");
            } else if rules[..number].iter().any(|before| before.name == rule.name) {
                refuse("another task has this name");
            }
            if number == Event::MAX_TASKS {
                refuse(&format!(
                    "there are {} tasks, at most {} fit",
                    rules.len(),
                    Event::MAX_TASKS
                ));
            }
            labels.add(number, rule, &mut refuse);
        }
        labels.rules = rules;
        if problems.is_empty() { Ok(labels) } else { Err(InteractionsError::Labels { problems }) }
    }

    fn add(&mut self, task: usize, rule: &LabelRule, refuse: &mut impl FnMut(&str)) {
        match Condition::parse(&rule.when, &mut self.columns) {
            Ok(condition) => self.conditions.push(condition),
            Err(reason) => refuse(&format!("condition `{}`: {reason}", rule.when)),
        }
        let Some(ValueRule { column, minus, times }) = &rule.value else { return };
        if self.value.is_some() {
            refuse("another task has a value already");
        }
        if column.trim().is_empty() {
            refuse("the value has no column");
        }
        if !minus.is_finite() {
            refuse(&format!("`minus` is {minus}, needed is a finite number"));
        }
        if !(times.is_finite() && *times > 0.0) {
            refuse(&format!("`times` is {times}, needed is a finite number above 0"));
        }
        let known = self.columns.iter().position(|c| c == column);
        let column = known.unwrap_or_else(|| {
            self.columns.push(column.clone());
            self.columns.len() - 1
        });
        self.value = Some(Value { task, column, minus: *minus, times: *times });
    }

    /// The rules, in the order of the tasks.
    #[must_use]
    pub fn rules(&self) -> &[LabelRule] {
        &self.rules
    }

    /// The names of the tasks, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// The task that has a value.
    #[must_use]
    pub fn value_task(&self) -> Option<usize> {
        self.value.map(|value| value.task)
    }

    /// The columns that [`Labels::judge`] asks for by their index; an empty name is the rating column.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The bits of the tasks that a row is a positive of, and its value.
    pub(crate) fn judge<'c>(
        &self,
        cell: impl Fn(usize) -> Cell<'c>,
    ) -> Result<(u16, f32), Refused> {
        let mut bits = 0;
        for (n, condition) in self.conditions.iter().enumerate() {
            let holds = condition.holds(&cell).map_err(|k| (k, "a number"))?;
            bits |= u16::from(holds) << n;
        }
        let value = self.value.filter(|value| bits >> value.task & 1 == 1);
        Ok((bits, value.map_or(Ok(0.0), |value| value.of(cell(value.column)))?))
    }
}

impl Value {
    fn of(self, cell: Cell<'_>) -> Result<f32, Refused> {
        let refuse = |needed| (self.column, needed);
        if cell == Cell::Null {
            return Ok(0.0);
        }
        let number = cell.number().filter(|n| n.is_finite());
        let number = number.ok_or_else(|| refuse("a finite number"))?;
        let value = ((number - self.minus).max(0.0) * self.times) as f32;
        if value.is_finite() { Ok(value) } else { Err(refuse("a value that 32 bits can hold")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, when: &str) -> LabelRule {
        LabelRule { name: name.into(), when: when.into(), value: None }
    }

    fn worth(column: &str, minus: f64, times: f64) -> Option<ValueRule> {
        Some(ValueRule { column: column.into(), minus, times })
    }

    fn movies() -> Labels {
        let value = worth("rating", 3.0, 0.5);
        Labels::new(vec![
            rule("impression", "*"),
            rule("click", "rating>=4 && device!=tv"),
            LabelRule { value, ..rule("value", "rating>=4") },
        ])
        .unwrap()
    }

    #[test]
    fn every_rule_is_judged() {
        let labels = movies();
        assert_eq!(
            (labels.columns(), labels.value_task()),
            (&["rating".into(), "device".into()][..], Some(2))
        );
        for (rating, device, expected) in [
            (Cell::Int(5), "tv", (0b101, 1.0)),
            (Cell::Text("4"), "phone", (0b111, 0.5)),
            (Cell::Float(3.5), "phone", (0b001, 0.0)),
            (Cell::Null, "phone", (0b001, 0.0)),
        ] {
            let cells = [rating, Cell::Text(device)];
            assert_eq!(labels.judge(|k| cells[k]), Ok(expected));
        }
    }

    #[test]
    fn an_unknown_value_is_nothing_and_never_negative() {
        let labels =
            Labels::new(vec![LabelRule { value: worth("paid", 2.0, 3.0), ..rule("value", "*") }])
                .unwrap();
        for (cell, value) in [(Cell::Null, 0.0), (Cell::Int(-9), 0.0), (Cell::Int(4), 6.0)] {
            assert_eq!(labels.judge(|_| cell), Ok((1, value)));
        }
    }

    #[test]
    fn refused_because_of_the_cell() {
        let labels = movies();
        let judge = |rating| labels.judge(|k| if k == 0 { rating } else { Cell::Null });
        assert_eq!(judge(Cell::Text("good")), Err((0, "a number")));
        assert_eq!(judge(Cell::Float(f64::INFINITY)), Err((0, "a finite number")));
        assert_eq!(judge(Cell::Float(1e300)), Err((0, "a value that 32 bits can hold")));
    }

    #[test]
    fn refused_with_all_problems_at_once() {
        let bad = LabelRule { value: worth("", f64::NAN, -1.0), ..rule("click", "rating") };
        let again = LabelRule { value: worth("x", 0.0, 1.0), ..rule("click", "*") };
        let text = Labels::new(vec![bad, again, rule("", "*")]).unwrap_err().to_string();
        assert_eq!(
            text.split("; ").collect::<Vec<_>>(),
            [
                "task `click`: condition `rating`: no comparison and no `*`",
                "task `click`: the value has no column",
                "task `click`: `minus` is NaN, needed is a finite number",
                "task `click`: `times` is -1, needed is a finite number above 0",
                "task `click`: another task has this name",
                "task `click`: another task has a value already",
                "task `3`: no name",
            ]
        );
        let many = (0..17).map(|n| rule(&n.to_string(), "*")).collect();
        let text = Labels::new(many).unwrap_err().to_string();
        assert_eq!(text, "task `16`: there are 17 tasks, at most 16 fit");
    }

    #[test]
    fn reads_from_toml() {
        let text = "name = \"value\"\nwhen = \">=4\"\nvalue = { column = \"rating\", minus = 3 }";
        let read: LabelRule = toml::from_str(text).unwrap();
        assert_eq!(read, LabelRule { value: worth("rating", 3.0, 1.0), ..rule("value", ">=4") });
        assert!(toml::from_str::<LabelRule>(&text.replace("minus", "less")).is_err());
    }
}
