//! Many pairs of numbers as few hexagons.

use std::collections::BTreeMap;

use serde::Serialize;

/// Scores beside those of the reference.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scores {
    /// Score in this precision (y) by score of the reference (x).
    pub pairs: Density,
    /// Score in this precision less that of the reference (y), by score of the reference (x).
    pub errors: Density,
}

impl Scores {
    /// Counts pairs of a reference's score and that in this precision.
    #[must_use]
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        let errors: Vec<_> = pairs.iter().map(|(x, y)| (*x, y - x)).collect();
        Self { pairs: Density::of(pairs, true), errors: Density::of(&errors, false) }
    }
}

/// How many points lie in each of a grid of hexagons.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Density {
    /// Smallest and largest x; equal where there is one only.
    pub x: [f64; 2],
    /// Smallest and largest y.
    pub y: [f64; 2],
    /// Distance of the centres of neighbours in a row, in units of x; of two rows, in units of y.
    pub step: [f64; 2],
    /// Hexagons with points, row by row from the least y.
    pub cells: Vec<Cell>,
    /// Points that are drawn.
    pub points: u64,
    /// Points that are not drawn: a number of theirs is not finite, or beyond 1e300.
    pub not_finite: u64,
}

/// A hexagon with points.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Cell {
    /// Its centre.
    pub x: f64,
    /// Its centre.
    pub y: f64,
    /// Points in it.
    pub count: u64,
}

/// Numbers beyond are not drawn: differences have to be finite.
const FARTHEST: f64 = 1e300;
/// Hexagons in a row.
const COLUMNS: f64 = 40.0;
/// Rows: regular hexagons in a plot that is 1.4 times as wide as high.
const ROWS: f64 = 33.0;

impl Density {
    /// Counts points. With `square` x and y have the same range, so that equal numbers lie on the diagonal.
    #[must_use]
    pub fn of(points: &[(f64, f64)], square: bool) -> Self {
        let finite = || points.iter().filter(|(x, y)| x.abs() <= FARTHEST && y.abs() <= FARTHEST);
        let (mut x, mut y) = (range(finite().map(|p| p.0)), range(finite().map(|p| p.1)));
        if square {
            let both = [x[0].min(y[0]), x[1].max(y[1])];
            (x, y) = (both, both);
        }
        let step = [step(x, COLUMNS), step(y, ROWS)];
        let mut counts: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        for (px, py) in finite() {
            *counts.entry(nearest((px - x[0]) / step[0], (py - y[0]) / step[1])).or_default() += 1;
        }
        let cells = counts.into_iter().map(|((row, column), count)| Cell {
            x: x[0] + step[0] * (column as f64 + if row % 2 == 0 { 0.0 } else { 0.5 }),
            y: y[0] + step[1] * row as f64,
            count,
        });
        let cells = cells.collect();
        let points_drawn = finite().count() as u64;
        let not_finite = points.len() as u64 - points_drawn;
        Self { x, y, step, cells, points: points_drawn, not_finite }
    }
}

fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let ends = |a: Option<[f64; 2]>, v: f64| Some(a.map_or([v, v], |[l, h]| [l.min(v), h.max(v)]));
    values.fold(None, ends).unwrap_or([0.0, 0.0])
}

fn step([low, high]: [f64; 2], parts: f64) -> f64 {
    let step = high / parts - low / parts;
    if step > 0.0 { step } else { low.abs().max(1.0) / parts }
}

/// Row and column of the nearest centre. Odd rows are half a column further right; rows are `sqrt(3) / 2` of
/// a column apart.
fn nearest(x: f64, y: f64) -> (i64, i64) {
    let near = y.floor() as i64;
    let centre = |row: i64| {
        let shift = if row % 2 == 0 { 0.0 } else { 0.5 };
        let column = (x - shift).round().max(0.0);
        let far = (x - shift - column).powi(2) + 0.75 * (y - row as f64).powi(2);
        (far, (row, column as i64))
    };
    let (low, high) = (centre(near), centre(near + 1));
    if high.0 < low.0 { high.1 } else { low.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_in_a_hexagon_close_by() {
        let points: Vec<_> = (0..5000)
            .map(|i| (f64::from(i % 71) * 0.3 - 4.0, f64::from(i * 7 % 113) * 0.02))
            .collect();
        let found = Density::of(&points, false);
        assert_eq!(found.cells.iter().map(|c| c.count).sum::<u64>(), 5000);
        for one in &points {
            let alone = nearest((one.0 + 4.0) / found.step[0], one.1 / found.step[1]);
            let shift = if alone.0 % 2 == 0 { 0.0 } else { 0.5 };
            let x = -4.0 + found.step[0] * (alone.1 as f64 + shift);
            assert!((x - one.0).abs() <= found.step[0] * 0.51, "{one:?} {x}");
        }
        assert!(found.cells.len() < 2000);
    }

    #[test]
    fn numbers_that_are_none_are_counted_apart() {
        let found = Density::of(&[(1.0, 1.0), (f64::NAN, 0.0), (0.0, f64::INFINITY)], true);
        assert_eq!((found.points, found.not_finite, found.cells.len()), (1, 2, 1));
        assert_eq!(Density::of(&[], true).cells, []);
        let wide = Density::of(&[(f64::MAX, 0.0), (-1e300, 0.0), (1e300, 0.0)], true);
        assert_eq!((wide.points, wide.not_finite, wide.cells.len()), (2, 1, 2));
    }
}
