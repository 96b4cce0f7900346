//! Scores beside those of the reference.

use super::{Section, many, panel, precision};
use crate::{
    data::{Density, PrecisionReport},
    element::{Element, el, text},
    number::{self, significant},
    svg::{Same, Scatter},
};

pub(super) fn section(report: &PrecisionReport) -> Option<Section> {
    let scores = report.scores.as_ref()?;
    let body = if scores.pairs.cells.is_empty() {
        text("p", "No candidate has a score on both sides.").class("empty")
    } else {
        let pairs = draw(report, "pairs", &scores.pairs, Same::Diagonal);
        let errors = draw(report, "errors", &scores.errors, Same::Zero);
        el("div").class("panels").child(pairs).child(errors)
    };
    Some(Section { id: "scores", title: "Scores", body })
}

fn draw(report: &PrecisionReport, id: &str, data: &Density, same: Same) -> Element {
    let precision = precision(report);
    let (title, y, caption) = match same {
        Same::Diagonal => (
            "Against the reference".to_owned(),
            format!("score in {precision}"),
            "On the dashed line nothing has changed.",
        ),
        Same::Zero => (
            "Error by score".to_owned(),
            format!("score in {precision} − reference"),
            "A slope or a bow is a bias; width is noise. The order only suffers where neighbours are closer \
             than that.",
        ),
    };
    let [low, high] = data.y;
    let ends = format!("y from {} to {}", significant(low, 3), significant(high, 3));
    let drawing = Scatter {
        id,
        title: &title,
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
    panel(&title, drawing.draw(), &caption)
}
