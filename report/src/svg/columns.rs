//! Columns side by side: how many of each.

use super::{FONT, WIDTH, axis, drawing, label, line, rect, scale::Scale, width_of};
use crate::{
    element::{Element, el, text},
    number,
};

/// A drawing of counts.
pub(crate) struct Columns<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// What the columns are.
    pub(crate) name: &'a str,
    /// What is counted.
    pub(crate) unit: &'a str,
    /// What each column is, and its count.
    pub(crate) columns: &'a [(String, u64)],
}

const TOP: f64 = 34.0;
const BOTTOM: f64 = 180.0;
/// The least height of a column that is not empty.
const SEEN: f64 = 1.5;

impl Columns<'_> {
    pub(crate) fn draw(&self) -> Element {
        let all = self.columns.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
        let most = self.columns.iter().map(|(_, n)| *n).max().unwrap_or(0);
        let slot = WIDTH / self.columns.len().max(1) as f64;
        let height = Scale::new([0.0, (most as f64).max(1.0)], [BOTTOM, TOP]);
        let across = Scale::new([0.0, 1.0], [0.0, WIDTH]);
        let svg = drawing(self.id, BOTTOM + 2.0 * FONT + 14.0, self.title, self.description)
            .child(label("name", (0.0, FONT), self.unit))
            .child(axis::name_below(&across, self.name, BOTTOM));
        let named = self.every_other(slot);
        let each = self.columns.iter().enumerate().map(|(at, (name, n))| {
            let middle = slot * (at as f64 + 0.5);
            let mut group = el("g").child(text("title", &said(name, *n, all, self.unit)));
            if *n > 0 {
                let y = height.at(*n as f64).min(BOTTOM - SEEN);
                let width = (slot * 0.78).min(64.0);
                group = group.child(rect("fill a", (middle - width / 2.0, y), (width, BOTTOM - y)));
                group = group.child(label("value mid", (middle, y - 5.0), &number::short(*n)));
            }
            if at % named == (self.columns.len() - 1) % named {
                group = group.child(label("tick mid", (middle, BOTTOM + FONT + 3.0), name));
            }
            group
        });
        svg.children(each).child(line("axis", (0.0, BOTTOM), (WIDTH, BOTTOM)))
    }

    /// Every how manieth column has room for its name.
    fn every_other(&self, slot: f64) -> usize {
        let widest = self.columns.iter().map(|(name, _)| width_of(name)).fold(1.0, f64::max);
        ((widest + 4.0) / slot).ceil().max(1.0) as usize
    }
}

fn said(name: &str, n: u64, all: u64, unit: &str) -> String {
    let share = number::percent(n as f64 / all.max(1) as f64, 1);
    format!("{name}: {} {unit} ({share})", number::count(n))
}
