//! Axes with their grid.

use super::{
    FONT, WIDTH, label, line,
    scale::{Scale, Unit, log_count, log_ticks},
};
use crate::{
    element::{Element, el},
    number,
};

/// The scale below a plot: grid lines from `top` to `bottom`, if there is room between them, numbers below, and
/// what they are.
pub(super) fn below(scale: &Scale, unit: Unit, name: &str, [top, bottom]: [f64; 2]) -> Element {
    let axis = scale.ticks(unit, true).into_iter().fold(el("g"), |axis, (value, text)| {
        let x = scale.at(value);
        let grid = (top < bottom).then(|| line("grid", (x, top), (x, bottom)));
        axis.children(grid).child(label("tick mid", (x, bottom + FONT + 3.0), &text))
    });
    let [left, right] = scale.paper();
    axis.child(line("axis", (left, bottom), (right, bottom))).child(name_below(scale, name, bottom))
}

/// What the numbers below a plot are.
pub(super) fn name_below(scale: &Scale, name: &str, bottom: f64) -> Element {
    let [left, right] = scale.paper();
    let half = super::width_of(name) / 2.0;
    let middle = left.midpoint(right).min(WIDTH - half).max(half);
    label("name mid", (middle, bottom + 2.0 * FONT + 8.0), name)
}

/// The scale left of a plot: grid lines to the right end, numbers, and what they are above.
pub(super) fn left(scale: &Scale, unit: Unit, name: &str, [left, right]: [f64; 2]) -> Element {
    let rows = scale.ticks(unit, false).into_iter().map(|(value, text)| (scale.at(value), text));
    upright(rows, name, [left, right])
}

/// Counts by their logarithms, left of a plot.
pub(super) fn left_counts(scale: &Scale, most: u64, name: &str, ends: [f64; 2]) -> Element {
    let ticks = log_ticks(most, 4).into_iter();
    let zero = std::iter::once((scale.at(0.0), "0".to_owned()));
    let rows = ticks.map(|n| (scale.at(log_count(n)), number::short(n)));
    // 1 is close to 0 when there are millions.
    let apart = |(y, _): &(f64, String)| (scale.at(0.0) - y) > FONT;
    upright(zero.chain(rows.filter(apart)), name, ends)
}

fn upright(
    rows: impl Iterator<Item = (f64, String)>,
    name: &str,
    [left, right]: [f64; 2],
) -> Element {
    let axis = rows.fold(el("g"), |axis, (y, text)| {
        axis.child(line("grid", (left, y), (right, y))).child(label(
            "tick end",
            (left - 6.0, y + 4.0),
            &text,
        ))
    });
    axis.child(label("name", (0.0, FONT), name))
}
