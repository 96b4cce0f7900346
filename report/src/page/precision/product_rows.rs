//! One product: a row, and what it opens.

use super::super::{
    parts::figure,
    table::{code, row},
};
use crate::{
    data::{Magnitudes, Product, Way},
    element::{Element, el, text},
    number::{self, percent, significant},
    svg::MagnitudePlot,
};

/// Class and words of a way.
pub(super) fn way(way: Way) -> (&'static str, &'static str) {
    match way {
        Way::Wide => ("way wide", "16/32 bit"),
        Way::Narrow => ("way narrow", "8 bit"),
        Way::Smoothed => ("way smoothed", "smoothed"),
    }
}

pub(super) fn badge(of: Way) -> Element {
    let (class, words) = way(of);
    text("span", words).class(class)
}

/// Id of a histogram's shape, which is drawn twice.
pub(super) fn shape(at: usize) -> String {
    format!("h{at}")
}

/// Two rows: the second shows when the name in the first is opened, by the style sheet alone.
pub(super) fn body(at: usize, product: &Product, cells: Vec<Element>) -> Element {
    let name = el("details").child(el("summary").child(code(&product.node)));
    let columns = cells.len() + 1;
    let more = el("td").attr("colspan", columns).child(more(at, product));
    el("tbody").class("product").child(row(name, cells)).child(el("tr").class("more").child(more))
}

fn more(at: usize, product: &Product) -> Element {
    let drawing = product.magnitudes.as_ref().map(|data| histogram(at, data));
    el("div").class("about").children(drawing).child(facts(product))
}

fn histogram(at: usize, data: &Magnitudes) -> Element {
    let drawing = MagnitudePlot {
        id: &format!("m{at}"),
        shape: &shape(at),
        title: "Magnitudes of the activation",
        description: &format!(
            "{} values up to {}.",
            number::count(data.total()),
            significant(data.end, 3)
        ),
        name: "|activation|",
        data,
    };
    let zeros = percent(data.zeros as f64 / data.total().max(1) as f64, 1);
    figure(
        drawing.draw(),
        &format!("{} values; {zeros} are 0 and not drawn.", number::count(data.total())),
    )
}

/// What the row has no room for.
fn facts(product: &Product) -> Element {
    let fact = |name: &str, value: Element| [text("dt", name), el("dd").child(value)];
    let mut facts = Vec::new();
    for (name, value) in [("Activation", &product.activation), ("Weight", &product.weight)] {
        if !value.is_empty() {
            facts.extend(fact(name, code(value)));
        }
    }
    if let Some(clip) = product.magnitudes.as_ref().and_then(|m| m.clip) {
        facts.extend(fact("Clip", text("span", &significant(clip, 4))));
    }
    if let Some(alone) = product.alone {
        let found = format!(
            "overlap {}, score error {} sd ({})",
            percent(alone.overlap, 1),
            significant(alone.score_error, 3),
            way(alone.way).1
        );
        facts.extend(fact("Alone", text("span", &found)));
    }
    el("dl").children(facts)
}
