//! Drawings. Each is given numbers and words, and knows no model: other reports draw with them too.
//!
//! Colours are classes of the page's style sheet, so that a drawing follows light and dark.

mod axis;
mod bars;
mod columns;
mod errors;
mod magnitudes;
mod scale;
mod scatter;
mod size;

pub(crate) use bars::{Bar, Bars, Mark};
pub(crate) use columns::Columns;
pub(crate) use errors::{ErrorPoint, ErrorRow, Errors};
pub(crate) use magnitudes::{MagnitudePlot, sparkline};
pub(crate) use scale::Unit;
pub(crate) use scatter::{Same, Scatter};
pub(crate) use size::before_after;

use crate::element::{Element, el, text};

/// Width of a drawing in its own units; the page scales it.
pub(crate) const WIDTH: f64 = 360.0;
/// Height of letters.
const FONT: f64 = 12.0;

/// A drawing of [`WIDTH`] that says what it is.
fn drawing(id: &str, height: f64, title: &str, description: &str) -> Element {
    el("svg")
        .class("plot")
        .attr("viewBox", format_args!("0 0 {WIDTH} {}", px(height)))
        .attr("role", "img")
        .attr("aria-labelledby", format_args!("{id}-t {id}-d"))
        .child(text("title", title).attr("id", format_args!("{id}-t")))
        .child(text("desc", description).attr("id", format_args!("{id}-d")))
}

/// A coordinate. What is no number stands at 0.
fn px(value: f64) -> String {
    let text = format!("{:.1}", if value.is_finite() { value } else { 0.0 });
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.into() }
}

/// A straight line.
fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Element {
    el("line")
        .class(class)
        .attr("x1", px(from.0))
        .attr("y1", px(from.1))
        .attr("x2", px(to.0))
        .attr("y2", px(to.1))
}

/// A rectangle; a negative width or height is none.
fn rect(class: &str, at: (f64, f64), size: (f64, f64)) -> Element {
    el("rect")
        .class(class)
        .attr("x", px(at.0))
        .attr("y", px(at.1))
        .attr("width", px(size.0.max(0.0)))
        .attr("height", px(size.1.max(0.0)))
}

/// Words. The class says size, colour and anchor.
fn label(class: &str, at: (f64, f64), words: &str) -> Element {
    text("text", words).class(class).attr("x", px(at.0)).attr("y", px(at.1))
}

/// About how wide a text is; rather too wide than too narrow.
fn width_of(words: &str) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ' ' | '\u{a0}' | '/' | 't' | 'f' | 'r' => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' => 0.92,
        _ => 0.61,
    };
    FONT * words.chars().map(em).sum::<f64>()
}

/// A text that is at most so wide: part of its middle is left out, since names differ at their ends.
fn shorten(words: &str, width: f64) -> String {
    let chars: Vec<char> = words.chars().collect();
    let mut keep = chars.len();
    let mut out = words.to_owned();
    while width_of(&out) > width && keep > 2 {
        keep -= 1;
        let head: String = chars[..keep / 3].iter().collect();
        let tail: String = chars[chars.len() - (keep - keep / 3)..].iter().collect();
        out = format!("{head}…{tail}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_there() {
        assert_eq!([px(1.0), px(-0.01), px(2.26), px(f64::NAN)], ["1", "0", "2.3", "0"]);
    }

    #[test]
    fn long_names_lose_their_middle() {
        let name = "rank.rank_layers.0.uvqk/MatMul";
        let short = shorten(name, 100.0);
        assert!(
            short.starts_with("rank") && short.ends_with("MatMul") && width_of(&short) <= 100.0
        );
        assert_eq!(shorten("tail", 100.0), "tail");
    }
}
