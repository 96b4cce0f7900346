//! What a row of a log must be.

use crate::columns::Cell;

/// Tests of the columns of a log row; all of them must hold.
///
/// | part | form |
/// | --- | --- |
/// | condition | `TEST`, `TEST && TEST && …`, or `*` (always) |
/// | `TEST` | `COLUMN OP VALUE` |
/// | `COLUMN` | a column name; empty is the log's rating column |
/// | `OP` | `>=` `<=` `>` `<` (numbers), `=` `==` `!=` (numbers if both are, else text) |
///
/// An empty cell holds in no test.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
struct Test {
    /// Index into the columns that the parser was given.
    column: usize,
    op: Op,
    text: String,
    number: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
    NotEqual,
}

/// Longer spellings come first: `>=` must not be read as `>`.
const OPS: [(&str, Op); 7] = [
    (">=", Op::AtLeast),
    ("<=", Op::AtMost),
    ("==", Op::Equal),
    ("!=", Op::NotEqual),
    (">", Op::Above),
    ("<", Op::Below),
    ("=", Op::Equal),
];

impl Condition {
    /// `*`.
    pub(crate) const fn always() -> Self {
        Self { tests: Vec::new() }
    }

    /// Reads a condition. Columns that `columns` lacks are added to it; [`Condition::holds`] asks for
    /// cells by the index in it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, columns: &mut Vec<String>) -> Result<Self, &'static str> {
        if text.trim() == "*" {
            return Ok(Self::always());
        }
        let tests = text.split("&&").map(|test| Test::parse(test.trim(), columns));
        Ok(Self { tests: tests.collect::<Result<_, _>>()? })
    }

    /// Whether every row is meant: `*`.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether the row with these cells is meant.
    ///
    /// # Errors
    /// The index of a column whose value should have been a number.
    pub fn holds<'c>(&self, cell: impl Fn(usize) -> Cell<'c>) -> Result<bool, usize> {
        for test in &self.tests {
            if !test.matches(cell(test.column)).ok_or(test.column)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Test {
    fn parse(text: &str, columns: &mut Vec<String>) -> Result<Self, &'static str> {
        let start = text.find(['<', '>', '=', '!']).ok_or("no comparison and no `*`")?;
        let (name, rest) = (text[..start].trim(), &text[start..]);
        let (spelling, op) =
            OPS.into_iter().find(|(s, _)| rest.starts_with(s)).ok_or("`!` must be `!=`")?;
        let value = rest[spelling.len()..].trim();
        let number = value.parse().ok().filter(|n: &f64| n.is_finite());
        if value.is_empty() {
            return Err("no value to compare with");
        }
        if op.orders() && number.is_none() {
            return Err("only numbers can be ordered");
        }
        let known = columns.iter().position(|c| c == name);
        let column = known.unwrap_or_else(|| {
            columns.push(name.to_owned());
            columns.len() - 1
        });
        Ok(Self { column, op, text: value.to_owned(), number })
    }

    /// `None` when the cell must be a number and is none.
    fn matches(&self, cell: Cell<'_>) -> Option<bool> {
        let number = match cell {
            Cell::Null => return Some(false),
            cell => cell.number(),
        };
        let (Some(left), Some(right)) = (number, self.number) else {
            return if self.op.orders() { None } else { Some(self.matches_text(cell)) };
        };
        Some(match self.op {
            Op::AtLeast => left >= right,
            Op::AtMost => left <= right,
            Op::Above => left > right,
            Op::Below => left < right,
            Op::Equal => left == right,
            Op::NotEqual => left != right && !left.is_nan(),
        })
    }

    fn matches_text(&self, cell: Cell<'_>) -> bool {
        let equal = matches!(cell, Cell::Text(text) if text == self.text);
        equal == (self.op == Op::Equal)
    }
}

impl Op {
    fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, cells: &[Cell<'_>]) -> Result<bool, usize> {
        Condition::parse(text, &mut Vec::new()).unwrap().holds(|k| cells[k])
    }

    #[test]
    fn every_comparison_on_its_boundary() {
        for (op, below, same, above) in [
            (">=", false, true, true),
            ("<=", true, true, false),
            (">", false, false, true),
            ("<", true, false, false),
            ("=", false, true, false),
            ("==", false, true, false),
            ("!=", true, false, true),
        ] {
            let got = [1, 2, 3].map(|n| holds(&format!("x{op}2"), &[Cell::Int(n)]));
            assert_eq!(got, [Ok(below), Ok(same), Ok(above)], "{op}");
        }
    }

    #[test]
    fn all_tests_of_a_conjunction_must_hold() {
        let text = "rating>=4 && event == buy&&rating<5";
        let cells = |rating, event| [Cell::Int(rating), Cell::Text(event)];
        assert_eq!(holds(text, &cells(4, "buy")), Ok(true));
        assert_eq!(holds(text, &cells(5, "buy")), Ok(false));
        assert_eq!(holds(text, &cells(4, "view")), Ok(false));
        assert_eq!(holds(text, &[Cell::Int(4), Cell::Null]), Ok(false));
    }

    #[test]
    fn a_star_is_every_row() {
        assert!(Condition::parse(" * ", &mut Vec::new()).unwrap().is_always());
        assert_eq!(holds("*", &[]), Ok(true));
    }

    #[test]
    fn columns_are_shared_between_conditions() {
        let mut columns = Vec::new();
        Condition::parse("a>1&&b=x", &mut columns).unwrap();
        let second = Condition::parse("b=y&&>3", &mut columns).unwrap();
        assert_eq!(columns, ["a", "b", ""]);
        let cells = [Cell::Null, Cell::Text("y"), Cell::Float(3.5)];
        assert_eq!(second.holds(|k| cells[k]), Ok(true));
    }

    #[test]
    fn refused_because_a_number_is_none() {
        assert_eq!(holds("event=buy&&rating>2", &[Cell::Text("buy"), Cell::Text("x")]), Err(1));
        assert_eq!(holds("event=buy&&rating>2", &[Cell::Text("see"), Cell::Text("x")]), Ok(false));
    }

    #[test]
    fn refused_because_of_the_text() {
        for (text, reason) in [
            ("", "no comparison and no `*`"),
            ("rating", "no comparison and no `*`"),
            ("rating!5", "`!` must be `!=`"),
            ("rating>=", "no value to compare with"),
            ("rating>=high", "only numbers can be ordered"),
            ("rating>=1&&", "no comparison and no `*`"),
            ("rating>=1&&*", "no comparison and no `*`"),
        ] {
            assert_eq!(Condition::parse(text, &mut Vec::new()), Err(reason), "{text}");
        }
    }
}
