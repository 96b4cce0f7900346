//! Products with weights: which hurt, what their activations look like, and where they are clipped.

use super::{
    super::{Section, many, panel, table::table},
    product_rows,
};
use crate::{
    data::{PrecisionReport, Product, Way},
    element::{Element, el, text},
    number::{self, NONE, percent, significant, small_percent},
    svg::{Bar, Bars, Mark, Unit, sparkline},
};

pub(super) fn section(report: &PrecisionReport) -> Option<Section> {
    if report.products.is_empty() {
        return None;
    }
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|c| report.products.iter().any(|p| (c.cell)(0, p).is_some()))
        .collect();
    let heads: Vec<_> = columns.iter().map(|c| (c.head, c.class)).collect();
    let caption = "Products with weights. A name opens its histogram and more.";
    let mut bodies = Vec::new();
    for (at, product) in report.products.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| report.products[at].graph.as_str());
        if before != Some(product.graph.as_str()) {
            bodies.push(graph(report, &product.graph, columns.len()));
        }
        let cells =
            columns.iter().map(|c| (c.cell)(at, product).unwrap_or_else(|| text("span", NONE)));
        let cells = columns.iter().zip(cells).map(|(c, cell)| el("td").class(c.class).child(cell));
        bodies.push(product_rows::body(at, product, cells.collect()));
    }
    let mut heads_all = vec![("Product", "")];
    heads_all.extend(heads);
    let table = table(caption, &heads_all, bodies);
    let body = el("div")
        .child(text("p", &summary(&report.products)))
        .child(
            el("div")
                .class("panels")
                .children(costs(&report.products))
                .children(clipped(&report.products)),
        )
        .child(el("div").class("products").child(table));
    Some(Section::new("products", "Products", body))
}

fn ways(products: &[&Product]) -> String {
    let count = |way: Way| products.iter().filter(|p| p.way == way).count() as u64;
    let ways = [
        (Way::Narrow, "in 8 bits"),
        (Way::Smoothed, "in 8 bits, smoothed"),
        (Way::Wide, "in 16 or 32 bits"),
    ];
    let some = ways.into_iter().map(|(way, words)| (count(way), words)).filter(|(n, _)| *n > 0);
    some.map(|(n, words)| format!("{} {words}", number::count(n))).collect::<Vec<_>>().join(" · ")
}

fn summary(products: &[Product]) -> String {
    let all: Vec<&Product> = products.iter().collect();
    format!(
        "{}: {}. Histograms count magnitudes of the activation on a scale of logarithms; the line is the clip, and \
         what lies above it becomes the largest code.",
        many(products.len() as u64, "product"),
        ways(&all)
    )
}

/// The row above the products of a graph.
fn graph(report: &PrecisionReport, graph: &str, columns: usize) -> Element {
    let its: Vec<_> = report.products.iter().filter(|p| p.graph == graph).collect();
    let name = text("span", if graph.is_empty() { NONE } else { graph }).class("graph");
    let words = el("div").class("still").child(name).child(text("span", &ways(&its)).class("note"));
    let cell = el("th").attr("scope", "rowgroup").attr("colspan", columns + 1).child(words);
    el("tbody").class("group").child(el("tr").child(cell))
}

/// The most rows of a drawing.
const MOST: usize = 12;

/// Products by a figure of theirs, the largest first. What has none, or 0, is left out.
fn largest(products: &[Product], of: fn(&Product) -> Option<f64>) -> Vec<(f64, &Product)> {
    let each = products.iter().filter_map(|p| Some((of(p)?, p)));
    let mut all: Vec<_> = each.filter(|(v, _)| v.is_finite() && *v > 0.0).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.truncate(MOST);
    all
}

fn rows(largest: &[(f64, &Product)], written: fn(f64) -> String) -> Vec<Bar> {
    let tone = |way: Way| match way {
        Way::Wide => "old",
        Way::Narrow => "a",
        Way::Smoothed => "s",
    };
    let row = |(value, product): &(f64, &Product)| Bar {
        // The path says which product it is; the operator behind it is the same for all.
        label: product.node.rsplit_once('/').map_or(&*product.node, |(path, _)| path).to_owned(),
        note: String::new(),
        value: *value,
        interval: None,
        written: written(*value),
        tone: tone(product.way),
    };
    largest.iter().map(row).collect()
}

fn bars(
    id: &str,
    title: &str,
    name: &str,
    unit: Unit,
    rows: &[Bar],
    caption: &str,
) -> Option<Element> {
    let first = rows.first()?;
    let description = format!("The first is {} with {}.", first.label, first.written);
    let drawing = Bars { id, title, description: &description, name, unit, mark: Mark::Bar, rows };
    Some(panel(title, drawing.draw(), caption))
}

/// Products that cost most when they alone run in 8 bits.
fn costs(products: &[Product]) -> Option<Element> {
    let largest = largest(products, |p| p.alone.map(|a| a.score_error));
    let caption = "Error of the scores when only this product runs in 8 bits, in standard deviations of a \
                   request’s scores. Purple ones are smoothed, grey ones stayed in 16 or 32 bits.";
    let rows = rows(&largest, |v| significant(v, 2));
    bars("costs", "The costliest alone", "score error, sd", Unit::Plain, &rows, caption)
}

/// Products of which most is clipped.
fn clipped(products: &[Product]) -> Option<Element> {
    let largest = largest(products, |p| p.magnitudes.as_ref()?.above);
    let caption = "Share of an activation’s values whose magnitude lies above the clip. Purple ones are smoothed.";
    let rows = rows(&largest, small_percent);
    bars("clipped", "The most clipped", "values above the clip", Unit::Share, &rows, caption)
}

/// A column of the table; one without a single cell is left out.
struct Column {
    head: &'static str,
    class: &'static str,
    cell: fn(usize, &Product) -> Option<Element>,
}

fn span(words: &str) -> Element {
    text("span", words)
}

const COLUMNS: [Column; 8] = [
    Column { head: "Way", class: "", cell: |_, p| Some(product_rows::badge(p.way)) },
    Column {
        head: "FLOPs",
        class: "num",
        cell: |_, p| p.flops_share.map(|s| span(&percent(s, 1))),
    },
    Column { head: "|activation|", class: "", cell: histogram },
    Column {
        head: "Above clip",
        class: "num",
        cell: |_, p| p.magnitudes.as_ref()?.above.map(|s| span(&small_percent(s))),
    },
    Column {
        head: "Scale",
        class: "num",
        cell: |_, p| p.activation_scale.map(|s| span(&significant(s, 3))),
    },
    Column {
        head: "Weight scale",
        class: "num",
        cell: |_, p| p.weight_scales.map(|s| span(&s.map(|s| significant(s, 2)).join("–"))),
    },
    Column {
        head: "Dead channels",
        class: "num",
        cell: |_, p| p.dead_channels.map(|n| span(&number::count(n))),
    },
    Column {
        head: "Error alone",
        class: "num",
        cell: |_, p| p.alone.map(|a| span(&format!("{} sd", significant(a.score_error, 2)))),
    },
];

fn histogram(at: usize, product: &Product) -> Option<Element> {
    let data = product.magnitudes.as_ref()?;
    let clip = data.clip.map_or_else(String::new, |c| format!(", clip {}", significant(c, 3)));
    let said = format!("magnitudes 0 to {}{clip}", significant(data.end, 3));
    Some(sparkline(&product_rows::shape(at), &said, data))
}
