//! Tensors put together from rectangles of a mapped file; nothing is read before it is written.

use std::ops::Range;

use super::map::{Reorder, Slice};

/// Columns that are copied together from a transposed source: one line of a cache each way.
const TILE: usize = 16;

/// Numbers of a file as a matrix with strides; a tensor of one axis is a matrix of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    /// Bytes of one number.
    size: usize,
    axes: usize,
    start: usize,
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> View<'a> {
    /// A stored tensor, or `None` if it has neither one axis nor two.
    pub(super) fn new(bytes: &'a [u8], size: usize, shape: &[usize]) -> Option<Self> {
        let (rows, columns) = match *shape {
            [n] => (1, n),
            [rows, columns] => (rows, columns),
            _ => return None,
        };
        let axes = shape.len();
        Some(Self { bytes, size, axes, start: 0, rows, columns, row_step: columns, column_step: 1 })
    }

    /// Sizes of the axes.
    pub(super) fn shape(&self) -> Vec<usize> {
        [self.rows, self.columns][2 - self.axes..].to_vec()
    }

    /// Rows become columns; a tensor of one axis is its own transpose.
    pub(super) fn transposed(self) -> Self {
        if self.axes == 1 {
            return self;
        }
        Self {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }

    /// The slice that lies within `range` of an axis that the view has.
    pub(super) fn part(self, axis: usize, range: Range<usize>) -> Self {
        if axis + 2 - self.axes == 0 {
            let start = self.start + range.start * self.row_step;
            Self { start, rows: range.len(), ..self }
        } else {
            let start = self.start + range.start * self.column_step;
            Self { start, columns: range.len(), ..self }
        }
    }

    /// Copies `rows` to `out`, whose rows have `pitch` numbers, from its column `at`.
    fn copy(&self, rows: Range<usize>, out: &mut [u8], pitch: usize, at: usize) {
        match self.size {
            2 => self.copy_numbers::<2>(rows, out, pitch, at),
            _ => self.copy_numbers::<4>(rows, out, pitch, at),
        }
    }

    fn copy_numbers<const N: usize>(
        &self,
        rows: Range<usize>,
        out: &mut [u8],
        pitch: usize,
        at: usize,
    ) {
        let (from, _) = self.bytes.as_chunks::<N>();
        let (to, _) = out.as_chunks_mut::<N>();
        let first = |row: usize| self.start + row * self.row_step;
        if self.column_step == 1 {
            for (target, row) in rows.enumerate() {
                let target = &mut to[target * pitch + at..][..self.columns];
                target.copy_from_slice(&from[first(row)..][..self.columns]);
            }
            return;
        }
        for tile in (0..self.columns).step_by(TILE) {
            let end = self.columns.min(tile + TILE);
            for (target, row) in rows.clone().enumerate() {
                for column in tile..end {
                    to[target * pitch + at + column] = from[first(row) + column * self.column_step];
                }
            }
        }
    }
}

/// A tensor to be written: views side by side and on top of each other, without gap or overlap.
#[derive(Clone, Debug)]
pub(super) struct Canvas<'a> {
    axes: usize,
    rows: usize,
    columns: usize,
    blocks: Vec<Block<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    row: usize,
    column: usize,
    view: View<'a>,
}

impl<'a> Canvas<'a> {
    /// Joins views along `axis`, by default the last.
    ///
    /// # Errors
    /// The reason, when the views do not fit each other.
    pub(super) fn join(views: &[View<'a>], axis: Option<usize>) -> Result<Self, String> {
        let axes = views.first().map_or(1, |view| view.axes);
        let axis = axis.unwrap_or(axes - 1);
        let mut canvas = Self { axes, rows: 0, columns: 0, blocks: Vec::new() };
        if axis >= axes {
            return Err(format!("`axis` is {axis}, and the pieces have {axes}"));
        }
        for view in views {
            let (first, size) = (&views[0], view.shape());
            let mut other = first.shape();
            if size.len() == other.len() {
                other[axis] = size[axis];
            }
            if size != other {
                return Err(format!(
                    "pieces of shapes {:?} and {size:?} cannot be joined along axis {axis}",
                    first.shape()
                ));
            }
            if axis + 1 == axes {
                canvas.blocks.push(Block { row: 0, column: canvas.columns, view: *view });
                canvas.columns += view.columns;
                canvas.rows = view.rows;
            } else {
                canvas.blocks.push(Block { row: canvas.rows, column: 0, view: *view });
                canvas.rows += view.rows;
                canvas.columns = view.columns;
            }
        }
        Ok(canvas)
    }

    /// Sizes of the axes.
    pub(super) fn shape(&self) -> Vec<usize> {
        [self.rows, self.columns][2 - self.axes..].to_vec()
    }

    /// Puts the four blocks of the last axis into the order U, V, Q, K.
    ///
    /// # Errors
    /// The reason, when the axis does not divide.
    pub(super) fn reordered(&self, reorder: Reorder, n_heads: usize) -> Result<Self, String> {
        let groups = if reorder.per_head { n_heads } else { 1 };
        let width = Slice::Equal { index: 0, of: 4 * groups }.within(self.columns)?.len();
        let mut target = Self { columns: 0, blocks: Vec::new(), ..*self };
        for at in reorder.at {
            for group in 0..groups {
                let first = (group * 4 + at) * width;
                self.append_columns(first..first + width, &mut target);
            }
        }
        Ok(target)
    }

    /// Adds the columns of `range` at the right of `target`.
    fn append_columns(&self, range: Range<usize>, target: &mut Self) {
        for block in &self.blocks {
            let start = range.start.max(block.column);
            let end = range.end.min(block.column + block.view.columns);
            if start < end {
                let within = start - block.column..end - block.column;
                let view = block.view.part(block.view.axes - 1, within);
                let column = target.columns + start - range.start;
                target.blocks.push(Block { row: block.row, column, view });
            }
        }
        target.columns += range.len();
    }

    /// The bytes, when they lie in the file as they are needed.
    pub(super) fn in_place(&self) -> Option<&'a [u8]> {
        let [Block { view, .. }] = self.blocks[..] else { return None };
        let dense = view.column_step == 1 && (view.rows == 1 || view.row_step == view.columns);
        let range = view.start * view.size..(view.start + view.rows * view.columns) * view.size;
        dense.then(|| &view.bytes[range])
    }

    /// Number of rows.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// Fills `buffer` with some of the rows, each number of `size` bytes.
    pub(super) fn read(&self, rows: Range<usize>, size: usize, buffer: &mut Vec<u8>) {
        buffer.resize(rows.len() * self.columns * size, 0);
        for Block { row, column, view } in &self.blocks {
            let (start, end) = (rows.start.max(*row), rows.end.min(row + view.rows));
            if start < end {
                let first = (start - rows.start) * self.columns * size;
                view.copy(start - row..end - row, &mut buffer[first..], self.columns, *column);
            }
        }
    }
}

impl Slice {
    /// The range of an axis of `len` that this slice covers.
    ///
    /// # Errors
    /// The reason, when it does not fit.
    pub(super) fn within(self, len: usize) -> Result<Range<usize>, String> {
        match self {
            Self::Equal { index, of } if len.is_multiple_of(of) => {
                let width = len / of;
                Ok(index * width..(index + 1) * width)
            }
            Self::Equal { of, .. } => Err(format!("{len} does not divide into {of} equal parts")),
            Self::Range { start, end } if end <= len => Ok(start..end),
            Self::Range { start, end } => Err(format!("{start}..{end} goes beyond {len}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A matrix in memory, and the same operations in the plainest way.
    #[derive(Clone, Debug, PartialEq)]
    struct Plain(Vec<Vec<u16>>);

    impl Plain {
        fn counting(rows: usize, columns: usize, from: usize) -> Self {
            let row = |r| (0..columns).map(|c| (from + r * columns + c) as u16).collect();
            Self((0..rows).map(row).collect())
        }

        fn bytes(&self) -> Vec<u8> {
            self.0.iter().flatten().flat_map(|n| n.to_le_bytes()).collect()
        }

        fn transposed(&self) -> Self {
            let column = |c: usize| self.0.iter().map(|row| row[c]).collect();
            Self((0..self.0[0].len()).map(column).collect())
        }

        fn columns(&self, picked: impl Iterator<Item = usize> + Clone) -> Self {
            let pick = |row: &Vec<u16>| picked.clone().map(|c| row[c]).collect();
            Self(self.0.iter().map(pick).collect())
        }
    }

    /// Reads a canvas in steps of some rows.
    fn bytes(canvas: &Canvas<'_>, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut buffer = vec![9; 3];
        for start in (0..canvas.rows()).step_by(step) {
            canvas.read(start..canvas.rows().min(start + step), 2, &mut buffer);
            out.extend_from_slice(&buffer);
        }
        out
    }

    proptest! {
        #[test]
        fn part_transpose_join_and_reorder_are_the_plain_ones(
            heads in 1_usize..4, width in 1_usize..20, other in 1_usize..20, step in 1_usize..9,
            at in Just([0, 1, 2, 3]).prop_shuffle(), per_head in any::<bool>(), cut in 0_usize..20,
        ) {
            // Two foreign matrices [out, in], of which all rows from `skip` on are taken.
            let columns = 4 * heads * width;
            let cut = cut % columns;
            let (skip, upper, lower) = (3, cut, columns - cut);
            let a = Plain::counting(skip + upper, other, 0);
            let b = Plain::counting(skip + lower, other, 7000);
            let taken = |m: &Plain| Plain(m.0[skip..].to_vec());
            let joined = Plain([taken(&a).0, taken(&b).0].concat()).transposed();
            let w = if per_head { width } else { heads * width };
            let groups = if per_head { heads } else { 1 };
            let source = at.iter().flat_map(|at| {
                (0..groups).flat_map(move |g| (0..w).map(move |i| (g * 4 + at) * w + i))
            });
            let wanted = joined.columns(source.collect::<Vec<_>>().into_iter());

            let (bytes_a, bytes_b) = (a.bytes(), b.bytes());
            let view = |bytes, rows| {
                View::new(bytes, 2, &[rows, other]).unwrap().part(0, skip..rows).transposed()
            };
            let views = [view(&bytes_a, skip + upper), view(&bytes_b, skip + lower)];
            let canvas = Canvas::join(&views, None).unwrap();
            prop_assert_eq!(bytes(&canvas, step), joined.bytes());
            let reorder = Reorder { at, per_head };
            let canvas = canvas.reordered(reorder, heads).unwrap();
            prop_assert_eq!(canvas.shape(), [other, columns]);
            prop_assert_eq!(bytes(&canvas, step), wanted.bytes());
        }
    }

    #[test]
    fn rows_that_lie_together_are_not_copied() {
        let stored = Plain::counting(6, 4, 0).bytes();
        let view = View::new(&stored, 2, &[6, 4]).unwrap();
        let whole = Canvas::join(&[view], None).unwrap();
        assert_eq!(whole.in_place().unwrap().as_ptr(), stored.as_ptr());
        let rows = Canvas::join(&[view.part(0, 2..4)], None).unwrap();
        assert_eq!(rows.in_place().unwrap(), &stored[16..32]);
        for strided in [view.part(1, 0..2), view.transposed()] {
            assert!(Canvas::join(&[strided], None).unwrap().in_place().is_none());
        }
    }

    #[test]
    fn joins_along_rows_and_refuses_what_does_not_fit() {
        let stored = Plain::counting(6, 4, 0).bytes();
        let view = View::new(&stored, 2, &[6, 4]).unwrap();
        let back = Canvas::join(&[view.part(0, 3..6), view.part(0, 0..3)], Some(0)).unwrap();
        assert_eq!(back.shape(), [6, 4]);
        assert_eq!(bytes(&back, 4), [&stored[24..], &stored[..24]].concat());
        let error = |views: &[View<'_>], axis| Canvas::join(views, axis).unwrap_err();
        assert_eq!(
            error(&[view, view.transposed()], None),
            "pieces of shapes [6, 4] and [4, 6] cannot be joined along axis 1"
        );
        assert_eq!(error(&[view], Some(2)), "`axis` is 2, and the pieces have 2");
        let flat = View::new(&stored, 2, &[24]).unwrap();
        assert!(error(&[view, flat], None).contains("[6, 4] and [24]"));
        let uneven = Canvas::join(&[view], None).unwrap();
        let reorder = Reorder { at: [0, 1, 2, 3], per_head: true };
        assert_eq!(
            uneven.reordered(reorder, 2).unwrap_err(),
            "4 does not divide into 8 equal parts"
        );
    }
}
