//! Two sizes as two bars, small enough for a cell of a table.

use super::rect;
use crate::element::{Element, el, text};

/// Before above after, both by the largest of the table.
pub(crate) fn before_after(said: &str, before: u64, after: u64, most: u64) -> Element {
    let width = |n: u64| 100.0 * n as f64 / most.max(1) as f64;
    let bar = |class: &str, y: f64, n: u64| {
        (n > 0).then(|| rect(class, (0.0, y), (width(n).max(0.5), 8.0)))
    };
    el("svg")
        .class("sizes")
        .attr("viewBox", "0 0 100 20")
        .attr("preserveAspectRatio", "none")
        .attr("role", "img")
        .child(text("title", said))
        .children(bar("fill old", 1.0, before))
        .children(bar("fill a", 11.0, after))
}
