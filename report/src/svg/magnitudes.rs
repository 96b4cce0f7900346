//! Histograms of magnitudes: small ones in a row of a table, and the same again with axes.

use super::{
    FONT, WIDTH, axis, drawing, label, line, px,
    scale::{Scale, Unit, log_count},
    width_of,
};
use crate::{
    data::Magnitudes,
    element::{Element, el, text},
    number,
};

/// Height of the shape that both drawings share, in its own units.
const TALL: f64 = 100.0;

/// A histogram without axes. Its shape has the id `id`, so that [`MagnitudePlot`] can show it again.
pub(crate) fn sparkline(id: &str, said: &str, data: &Magnitudes) -> Element {
    let bars = data.bars.len().max(1) as f64;
    let mut svg = el("svg")
        .class("spark")
        .attr("viewBox", format_args!("0 0 {bars} {TALL}"))
        .attr("preserveAspectRatio", "none")
        .attr("role", "img")
        .child(text("title", said))
        .child(shape(data).attr("id", id));
    if let Some(clip) = data.clip.filter(|clip| clip.is_finite()) {
        let x = clip_at(data, clip);
        svg = svg.child(line("clip", (x, 0.0), (x, TALL)));
    }
    svg
}

/// The clip in bars, within the drawing.
fn clip_at(data: &Magnitudes, clip: f64) -> f64 {
    let bars = data.bars.len().max(1) as f64;
    let at = clip / data.end * bars;
    if at.is_finite() { at.clamp(0.0, bars) } else { bars }
}

/// Counts on a scale of logarithms: what is kept and what lies above the clip.
fn shape(data: &Magnitudes) -> Element {
    let bars = data.bars.len() as f64;
    let clip = data.clip.filter(|c| c.is_finite()).map_or(bars, |clip| clip_at(data, clip));
    let above = (clip < bars).then(|| el("path").class("above").attr("d", steps(data, clip, bars)));
    el("g").child(el("path").class("kept").attr("d", steps(data, 0.0, clip))).children(above)
}

/// The outline of the bars between two places, down to the axis.
fn steps(data: &Magnitudes, from: f64, to: f64) -> String {
    let most = log_count(data.bars.iter().copied().max().unwrap_or(0));
    let height = |n: u64| px((TALL * (1.0 - log_count(n) / most.max(0.1))).round());
    let mut path = format!("M{} {TALL}", px(from));
    let mut x = from;
    let mut before = String::new();
    for (bar, n) in data.bars.iter().enumerate() {
        let end = (bar as f64 + 1.0).min(to);
        if end <= x {
            continue;
        }
        let y = height(*n);
        if y == before {
            // One step goes on: its end is moved.
            path.truncate(path.rfind('H').unwrap_or(path.len()));
        } else {
            path.push_str(&format!("V{y}"));
        }
        path.push_str(&format!("H{}", px(end)));
        (x, before) = (end, y);
    }
    path.push_str(&format!("V{TALL}Z"));
    path
}

/// A histogram with axes and its clip.
pub(crate) struct MagnitudePlot<'a> {
    pub(crate) id: &'a str,
    /// Id of the [`sparkline`]'s shape.
    pub(crate) shape: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// What the magnitudes are of.
    pub(crate) name: &'a str,
    pub(crate) data: &'a Magnitudes,
}

const LEFT: f64 = 42.0;
const TOP: f64 = 38.0;
const BOTTOM: f64 = 158.0;

impl MagnitudePlot<'_> {
    pub(crate) fn draw(&self) -> Element {
        let data = self.data;
        let most = data.bars.iter().copied().max().unwrap_or(0);
        let right = WIDTH - 8.0;
        let across = Scale::new([0.0, data.end], [LEFT, right]);
        let up = Scale::new([0.0, log_count(most).max(0.1)], [BOTTOM, TOP]);
        let (bars, tall) = (data.bars.len().max(1) as f64, (BOTTOM - TOP) / TALL);
        let place =
            format!("translate({LEFT} {TOP}) scale({:.3} {tall:.3})", (right - LEFT) / bars);
        drawing(self.id, BOTTOM + 2.0 * FONT + 14.0, self.title, self.description)
            .child(axis::left_counts(&up, most, "values", [LEFT, right]))
            .child(el("use").attr("href", format_args!("#{}", self.shape)).attr("transform", place))
            .child(axis::below(&across, Unit::Plain, self.name, [BOTTOM, BOTTOM]))
            .children(self.clip(&across))
    }

    fn clip(&self, across: &Scale) -> Option<Element> {
        let clip = self.data.clip.filter(|clip| clip.is_finite())?;
        let x = across.at(clip);
        let share = self.data.above.map(|s| format!(", {} above", number::small_percent(s)));
        let beyond = if clip > across.domain()[1] { " →" } else { "" };
        let words =
            format!("clip {}{}{beyond}", number::significant(clip, 3), share.unwrap_or_default());
        let half = width_of(&words) / 2.0;
        let middle = x.clamp(LEFT + half, (WIDTH - half).max(LEFT + half));
        let mark = el("g").child(line("clip", (x, TOP - 6.0), (x, BOTTOM)));
        Some(mark.child(label("value mid warn", (middle, TOP - 11.0), &words)))
    }
}
