//! Scores beside those of the reference.

use super::{many, panel};
use crate::{
    data::{Density, Scores},
    element::{Element, text},
    number::{self, significant},
    svg::{Same, Scatter},
};

/// Two drawings, or a sentence where there is nothing to draw. `what` says whose scores they are: `score in
/// INT8`; ids begin with `prefix`.
pub(super) fn panels(scores: &Scores, what: &str, prefix: &str) -> Vec<Element> {
    if scores.pairs.cells.is_empty() {
        return vec![text("p", "No candidate has a score on both sides.").class("empty")];
    }
    let draw = |id: &str, data, same| draw(data, what, &format!("{prefix}{id}"), same);
    vec![draw("pairs", &scores.pairs, Same::Diagonal), draw("errors", &scores.errors, Same::Zero)]
}

fn draw(data: &Density, what: &str, id: &str, same: Same) -> Element {
    let (title, y, caption) = match same {
        Same::Diagonal => {
            ("Against the reference", what.to_owned(), "On the dashed line nothing has changed.")
        }
        Same::Zero => (
            "Error by score",
            format!("{what} − reference"),
            "A slope or a bow is a bias; width is noise. The order only suffers where neighbours are closer \
             than that.",
        ),
    };
    let [low, high] = data.y;
    let ends = format!("y from {} to {}", significant(low, 3), significant(high, 3));
    let drawing = Scatter {
        id,
        title,
        description: &format!(
            "{} in {} hexagons; {ends}.",
            many(data.points, "candidate"),
            data.cells.len()
        ),
        x: "score of the reference",
        y: &y,
        unit: "candidates",
        same,
        data,
    };
    let mut caption = format!("{}: {ends}. {caption}", many(data.points, "candidate"));
    if data.not_finite > 0 {
        let n = number::count(data.not_finite);
        caption += &format!(" {n} more have a score that is not finite and are not drawn.");
    }
    panel(title, drawing.draw(), &caption)
}
