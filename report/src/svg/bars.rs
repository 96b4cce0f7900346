//! Rows with a bar or a dot each: one number a thing, things below each other.

use super::{
    FONT, WIDTH, axis, drawing, label, line, px, rect,
    scale::{Scale, Unit},
    shorten, width_of,
};
use crate::element::{Element, el, text};

/// What stands for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A bar from 0: lengths can be compared.
    Bar,
    /// A dot with its interval: the axis need not begin at 0.
    Dot,
}

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// What it is.
    pub(crate) label: String,
    /// More about it, smaller and below.
    pub(crate) note: String,
    /// The number; nothing is drawn for one that is none.
    pub(crate) value: f64,
    /// Where the number may be.
    pub(crate) interval: Option<[f64; 2]>,
    /// How it is written.
    pub(crate) written: String,
    /// Class of the colour.
    pub(crate) tone: &'static str,
}

/// A drawing of rows.
pub(crate) struct Bars<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// What the numbers are.
    pub(crate) name: &'a str,
    pub(crate) unit: Unit,
    pub(crate) mark: Mark,
    pub(crate) rows: &'a [Bar],
}

/// Height of a row, and of one with a note.
const ROWS: [f64; 2] = [25.0, 36.0];

impl Bars<'_> {
    pub(crate) fn draw(&self) -> Element {
        let height = ROWS[usize::from(self.rows.iter().any(|r| !r.note.is_empty()))];
        let bottom = 4.0 + height * self.rows.len().max(1) as f64;
        let widest =
            |f: fn(&Bar) -> &str| self.rows.iter().map(|r| width_of(f(r))).fold(0.0, f64::max);
        let names = widest(|r| &r.label).max(widest(|r| &r.note)).clamp(40.0, 170.0);
        let paper = [names + 14.0, WIDTH - widest(|r| &r.written).max(34.0) - 14.0];
        let scale = Scale::nice(self.domain(), paper);
        let svg = drawing(self.id, bottom + 2.0 * FONT + 14.0, self.title, self.description)
            .child(axis::below(&scale, self.unit, self.name, [2.0, bottom]));
        let rows = self.rows.iter().enumerate();
        svg.children(
            rows.map(|(at, row)| self.row(row, &scale, 4.0 + height * (at as f64 + 0.5), names)),
        )
    }

    fn domain(&self) -> [f64; 2] {
        let ends = self.rows.iter().flat_map(|r| r.interval.into_iter().flatten().chain([r.value]));
        let finite = ends.filter(|v| v.is_finite());
        let start =
            if self.mark == Mark::Bar { [0.0, 0.0] } else { [f64::INFINITY, f64::NEG_INFINITY] };
        let [low, high] = finite.fold(start, |[low, high], v| [low.min(v), high.max(v)]);
        match (low <= high, self.unit) {
            (false, _) => [0.0, 1.0],
            // At least 2 percentage points: less would blow up what is nothing.
            (true, Unit::Share) if self.mark == Mark::Dot && high - low < 0.02 => {
                let low = (low - 0.01).max(0.0);
                [low.min(0.98), (low + 0.02).max(high).min(1.0)]
            }
            (true, _) if low == 0.0 && high == 0.0 => [0.0, 1.0],
            (true, _) => [low, high],
        }
    }

    fn row(&self, row: &Bar, scale: &Scale, y: f64, names: f64) -> Element {
        let two = !row.note.is_empty();
        let first = if two { y - 2.0 } else { y + 4.0 };
        let name = shorten(&row.label, names);
        let said = format!("{}: {}", row.label, row.written);
        let mut group =
            el("g").child(text("title", &said)).child(label("row", (0.0, first), &name));
        if two {
            group = group.child(label("note", (0.0, y + 12.0), &row.note));
        }
        if row.value.is_finite() {
            group = group.children(self.mark(row, scale, y));
        }
        group.child(label("value end", (WIDTH, y + 4.0), &row.written))
    }

    fn mark(&self, row: &Bar, scale: &Scale, y: f64) -> Vec<Element> {
        let (zero, x) = (scale.at(0.0), scale.at(row.value));
        let mut marks = Vec::new();
        if self.mark == Mark::Bar {
            let class = format!("fill {}", row.tone);
            marks.push(rect(&class, (zero.min(x), y - 7.0), ((x - zero).abs().max(1.0), 14.0)));
        }
        if let Some([low, high]) = row.interval {
            let (low, high) = (scale.at(low), scale.at(high));
            let class = format!("whisker {}", row.tone);
            let cap = |x: f64| line(&class, (x, y - 5.0), (x, y + 5.0));
            marks.extend([line(&class, (low, y), (high, y)), cap(low), cap(high)]);
        }
        if self.mark == Mark::Dot {
            let class = format!("fill {}", row.tone);
            marks.push(el("circle").class(&class).attr("cx", px(x)).attr("cy", px(y)).attr("r", 5));
        }
        marks
    }
}
