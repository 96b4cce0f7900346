//! Errors on a scale of powers of ten, a row below the other, with the limits that they keep to or do not.

use super::{
    FONT, WIDTH, axis, drawing, label, line, px,
    scale::{Scale, Unit},
    shorten, width_of,
};
use crate::element::{Element, el, text};

/// A row of [`Errors`].
#[derive(Debug, Clone)]
pub(crate) struct ErrorRow {
    /// What it is; shorter rows may leave it out.
    pub(crate) label: String,
    /// Is it one of many like it?
    pub(crate) series: bool,
    pub(crate) points: Vec<ErrorPoint>,
}

/// A number, and what it is held against. What is no number is not drawn.
#[derive(Debug, Clone)]
pub(crate) struct ErrorPoint {
    pub(crate) value: f64,
    /// Where a line from the number ends.
    pub(crate) far: Option<f64>,
    pub(crate) limit: Option<f64>,
    /// Class of the colour.
    pub(crate) tone: &'static str,
    pub(crate) broken: bool,
    pub(crate) said: String,
}

/// A drawing of rows under headings.
pub(crate) struct Errors<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// What the numbers are.
    pub(crate) name: &'a str,
    pub(crate) groups: &'a [(String, Vec<ErrorRow>)],
}

/// Height of a heading, a row, and a row of one of very many.
const HEAD: f64 = 21.0;
const ROW: f64 = 17.0;
const LOW: f64 = 9.0;
/// More rows than this are low ones.
const MANY: usize = 40;
/// Width of the lane for 0, which has no logarithm.
const ZERO: f64 = 30.0;
/// Room for a mark behind the plot.
const MARK: f64 = 16.0;

impl Errors<'_> {
    pub(crate) fn draw(&self) -> Element {
        let rows = || self.groups.iter().flat_map(|(_, rows)| rows);
        let low = rows().count() > MANY;
        let height = |row: &ErrorRow| if low && row.series { LOW } else { ROW };
        let names = rows().map(|r| width_of(&r.label)).fold(40.0, f64::max).min(120.0);
        let zero = rows().flat_map(|r| &r.points).any(|p| p.value == 0.0);
        let left = names + 12.0;
        let paper = [left + if zero { ZERO } else { 0.0 }, WIDTH - MARK];
        let place = Place { scale: Scale::new(self.domain(), paper), zero: left + 4.0, names };
        let all: f64 = rows().map(height).sum();
        let bottom = 2.0 + HEAD * self.groups.len() as f64 + all;
        let mut svg = drawing(self.id, bottom + 2.0 * FONT + 14.0, self.title, self.description)
            .child(axis::below(&place.scale, Unit::Power, self.name, [2.0, bottom]));
        if zero {
            svg = svg.child(label("tick mid", (place.zero, bottom + FONT + 3.0), "0"));
            svg = svg.child(line("grid", (place.zero, 2.0), (place.zero, bottom)));
        }
        let mut y = 2.0;
        for (name, rows) in self.groups {
            svg = svg.child(label("head", (0.0, y + HEAD - 7.0), name));
            y += HEAD;
            for (at, row) in rows.iter().enumerate() {
                let high = height(row);
                let named = high >= ROW || at % 2 == 0;
                svg = svg.child(place.row(row, [y, y + high], named));
                y += high;
            }
        }
        svg
    }

    /// Powers of ten around all that is drawn.
    fn domain(&self) -> [f64; 2] {
        let points = self.groups.iter().flat_map(|(_, rows)| rows).flat_map(|r| &r.points);
        let numbers = points.flat_map(|p| [Some(p.value), p.far, p.limit].into_iter().flatten());
        let logs = numbers.map(f64::log10).filter(|log| log.is_finite());
        let [low, high] = logs.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], log| {
            [low.min(log), high.max(log)]
        });
        if low > high {
            return [-1.0, 0.0];
        }
        // Some room, so that nothing lies on the frame, and a whole power of ten at least.
        let room = ((1.0 - (high - low)) / 2.0).max(0.08);
        [low - room, high + room]
    }
}

/// Where things are.
struct Place {
    scale: Scale,
    /// Of numbers that are 0.
    zero: f64,
    /// Width of the names.
    names: f64,
}

impl Place {
    fn at(&self, value: f64) -> Option<f64> {
        match value {
            0.0 => Some(self.zero),
            v => Some(v.log10()).filter(|log| log.is_finite()).map(|log| self.scale.at(log)),
        }
    }

    fn row(&self, row: &ErrorRow, [top, bottom]: [f64; 2], named: bool) -> Element {
        let middle = top.midpoint(bottom);
        let mut group = el("g");
        if named {
            group =
                group.child(label("row", (6.0, middle + 3.5), &shorten(&row.label, self.names)));
        }
        // Points of a row stand closer to each other than to those of the next.
        let (top, high) = (top + 1.0, (bottom - top - 2.0) / row.points.len().max(1) as f64);
        for (at, point) in row.points.iter().enumerate() {
            group = group.child(self.point(point, top + high * (at as f64 + 0.5), high));
        }
        let broken = row.points.iter().any(|p| p.broken);
        group.children(broken.then(|| label("cross end", (WIDTH, middle + 4.0), "✗")))
    }

    fn point(&self, point: &ErrorPoint, y: f64, high: f64) -> Element {
        let tone = if point.broken { "bad" } else { point.tone };
        let mut group = el("g").child(text("title", &point.said));
        let half = (high / 2.0 - 0.5).clamp(2.0, 6.0);
        let limit = point.limit.and_then(|limit| self.at(limit));
        group = group.children(limit.map(|x| line("limit", (x, y - half), (x, y + half))));
        let Some(x) = self.at(point.value) else { return group };
        if let Some(far) = point.far.and_then(|far| self.at(far)) {
            group = group.child(line(&format!("whisker {tone}"), (x, y), (far, y)));
        }
        let dot = el("circle").class(&format!("fill {tone}"));
        group.child(
            dot.attr("cx", px(x)).attr("cy", px(y)).attr("r", px((high / 2.0).clamp(2.0, 3.5))),
        )
    }
}
