//! Two numbers against each other, for very many pairs: hexagons, darker where there are more.

use super::{
    FONT, WIDTH, axis, drawing, label, line, px,
    scale::{Scale, Unit, log_count},
};
use crate::{
    data::Density,
    element::{Element, el},
    number,
};

/// Where pairs of equal numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Same {
    /// On the diagonal.
    Diagonal,
    /// At y = 0.
    Zero,
}

/// A drawing of a density.
pub(crate) struct Scatter<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// What x is.
    pub(crate) x: &'a str,
    /// What y is.
    pub(crate) y: &'a str,
    /// What is counted.
    pub(crate) unit: &'a str,
    pub(crate) same: Same,
    pub(crate) data: &'a Density,
}

const LEFT: f64 = 44.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 248.0;
/// Shades, the lightest first: classes `h1` to `h5`.
const SHADES: u32 = 5;

impl Scatter<'_> {
    pub(crate) fn draw(&self) -> Element {
        let data = self.data;
        let right = WIDTH - 8.0;
        // Room for half a hexagon; around the only number there is for some more.
        let wide = |[low, high]: [f64; 2], step: f64| {
            let room = step * if low < high { 0.5 } else { 15.0 };
            [low - room, high + room]
        };
        let x = Scale::new(wide(data.x, data.step[0]), [LEFT, right]);
        let y = Scale::new(wide(data.y, data.step[1]), [BOTTOM, TOP]);
        drawing(self.id, BOTTOM + 4.0 * FONT + 16.0, self.title, self.description)
            .child(axis::left(&y, Unit::Plain, self.y, [LEFT, right]))
            .child(axis::below(&x, Unit::Plain, self.x, [TOP, BOTTOM]))
            .children(self.cells(&x, &y))
            .child(self.same(&x, &y))
            .children(self.key(right))
    }

    fn same(&self, x: &Scale, y: &Scale) -> Element {
        let [from, to] = match self.same {
            Same::Diagonal => x.domain(),
            Same::Zero => [0.0, 0.0],
        };
        let [left, right] = x.paper();
        line("same", (left, y.at(from)), (right, y.at(to)))
    }

    fn most(&self) -> u64 {
        self.data.cells.iter().map(|c| c.count).max().unwrap_or(0)
    }

    /// From 1 to [`SHADES`], even on a scale of logarithms.
    fn shade(&self, count: u64) -> u32 {
        let part =
            (log_count(count) - log_count(1)) / (log_count(self.most()) - log_count(1)).max(1e-9);
        1 + (part * f64::from(SHADES)).clamp(0.0, f64::from(SHADES - 1)) as u32
    }

    /// One path a shade.
    fn cells(&self, x: &Scale, y: &Scale) -> Vec<Element> {
        let (wide, high) = (
            x.at(self.data.x[0] + self.data.step[0]) - x.at(self.data.x[0]),
            y.at(self.data.y[0]) - y.at(self.data.y[0] + self.data.step[1]),
        );
        let (half, third) = (px(wide / 2.0), high / 3.0);
        let (short, long) = (px(third), px(third * 2.0));
        let outline = format!("l{half} {short}v{long}l-{half} {short}l-{half}-{short}v-{long}z");
        let mut paths = vec![String::new(); SHADES as usize];
        for cell in &self.data.cells {
            let at = (px(x.at(cell.x)), px(y.at(cell.y) - third * 2.0));
            let path = &mut paths[self.shade(cell.count) as usize - 1];
            path.push_str(&format!("M{} {}{outline}", at.0, at.1));
        }
        let shades = paths.into_iter().zip(1..).filter(|(path, _)| !path.is_empty());
        shades.map(|(path, shade)| el("path").class(&format!("h{shade}")).attr("d", path)).collect()
    }

    /// What the shades stand for.
    fn key(&self, right: f64) -> Vec<Element> {
        let y = BOTTOM + 3.0 * FONT + 14.0;
        let width = 20.0;
        let most = number::short(self.most());
        let start = right - super::width_of(&most) - 6.0 - width * f64::from(SHADES);
        let words = format!("{} in a hexagon: 1", self.unit);
        let boxes = (1..=SHADES).map(|shade| {
            let at = (start + width * f64::from(shade - 1), y - 10.0);
            super::rect(&format!("h{shade}"), at, (width, 11.0))
        });
        let mut key: Vec<_> = boxes.collect();
        key.push(label("tick end", (start - 6.0, y), &words));
        key.push(label("tick end", (right, y), &most));
        key
    }
}
