//! Look-ups, slices, counting and choosing.

use super::{GraphBuilder, Result, Tensor, broadcast};
use crate::{dim::Dim, dtype::DType, graph::Attr};

/// The `k` largest elements of the last axis.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    /// Their values, descending, `[.., k]`.
    pub values: Tensor,
    /// Their positions, I64, `[.., k]`.
    pub indices: Tensor,
}

/// From where a [`GraphBuilder::slice`] is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// `offset` elements are skipped at the front.
    FromFront,
    /// The slice ends `offset` elements before the end.
    FromBack,
}

impl GraphBuilder {
    /// `table[.., indices, ..]` along `axis`: the axis is replaced by the shape of `indices`.
    ///
    /// # Errors
    /// [`crate::BuildError`] unless `indices` is I64 and the axis exists.
    pub fn gather(&mut self, table: Tensor, indices: Tensor, axis: usize) -> Result {
        self.own("Gather", &[table, indices])?;
        if self.dtype(indices) != DType::I64 {
            return Err(self.bad_types("Gather", &[table, indices]));
        }
        let table_shape = self.axis("Gather", table, axis)?;
        let mut shape = table_shape[..axis].to_vec();
        shape.extend(self.shape(indices));
        shape.extend_from_slice(&table_shape[axis + 1..]);
        let attrs = vec![("axis", Attr::Int(axis as i64))];
        self.push("Gather", &[table, indices], attrs, self.dtype(table), shape)
    }

    /// Row `indices[b, s]` of batch entry `b`: `x[B, T, ..], indices[B, S] -> [B, S, ..]`.
    ///
    /// # Errors
    /// [`crate::BuildError`] unless `indices` is I64 of rank 2 with the batch of `x`.
    pub fn gather_rows(&mut self, x: Tensor, indices: Tensor) -> Result {
        self.own("GatherND", &[x, indices])?;
        let (sx, si) = (self.shape(x), self.shape(indices));
        if self.dtype(indices) != DType::I64 {
            return Err(self.bad_types("GatherND", &[x, indices]));
        }
        if sx.len() < 2 || si.len() != 2 || sx[0] != si[0] {
            return Err(self.bad_shapes("GatherND", &[x, indices]));
        }
        let shape: Vec<Dim> = si.iter().chain(&sx[2..]).cloned().collect();
        let indices = self.unsqueeze(indices, 2)?;
        let attrs = vec![("batch_dims", Attr::Int(1))];
        self.push("GatherND", &[x, indices], attrs, self.dtype(x), shape)
    }

    /// `len` neighbouring elements of `axis`, or all but `offset` when `len` is `None`.
    ///
    /// # Errors
    /// [`crate::BuildError`] when the axis is certain to be shorter than that.
    pub fn slice(
        &mut self,
        x: Tensor,
        axis: usize,
        order: Order,
        offset: usize,
        len: Option<usize>,
    ) -> Result {
        self.own("Slice", &[x])?;
        let mut shape = self.axis("Slice", x, axis)?;
        let left = shape[axis].minus(offset).ok_or_else(|| self.bad_shapes("Slice", &[x]))?;
        shape[axis] = len.map_or(left, Dim::Fixed);
        let offset = offset as i64;
        let (start, end) = match (order, len) {
            (Order::FromFront, None) => (offset, i64::MAX),
            (Order::FromFront, Some(n)) => (offset, offset + n as i64),
            (Order::FromBack, None) => (0, -offset),
            (Order::FromBack, Some(n)) if offset == 0 => (-(n as i64), i64::MAX),
            (Order::FromBack, Some(n)) => (-offset - n as i64, -offset),
        };
        let operands = [x, self.ints(&[start]), self.ints(&[end]), self.ints(&[axis as i64])];
        self.push("Slice", &operands, vec![], self.dtype(x), shape)
    }

    /// The `k` largest elements of the last axis, in descending order.
    ///
    /// # Errors
    /// [`crate::BuildError`] unless `x` is a float of at least rank 1.
    pub fn top_k(&mut self, x: Tensor, k: usize) -> Result<TopK> {
        self.own("TopK", &[x])?;
        self.accepts("TopK", &[x])?;
        let mut shape = self.shape(x);
        *shape.last_mut().ok_or_else(|| self.bad_shapes("TopK", &[x]))? = Dim::Fixed(k);
        let count = self.ints(&[k as i64]);
        let attrs =
            vec![("axis", Attr::Int(-1)), ("largest", Attr::Int(1)), ("sorted", Attr::Int(1))];
        let results = vec![(self.dtype(x), shape.clone()), (DType::I64, shape)];
        let out = self.push_many("TopK", &[x, count], attrs, results)?;
        Ok(TopK { values: out[0], indices: out[1] })
    }

    /// `0, 1, .. n - 1` with the size `n` of one axis of `x`, I64, `[n]`.
    ///
    /// # Errors
    /// [`crate::BuildError::Axis`].
    pub fn iota(&mut self, x: Tensor, axis: usize) -> Result {
        self.own("Range", &[x])?;
        let size = self.axis("Range", x, axis)?[axis].clone();
        let end = self.size_of(x, axis)?;
        let (start, step) = (self.int(0), self.int(1));
        self.push("Range", &[start, end, step], vec![], DType::I64, vec![size])
    }

    /// `x` repeated along axes of size 1 until it has the batch axis of `like`.
    ///
    /// # Errors
    /// [`crate::BuildError::Shapes`] unless axis 0 of `x` has size 1.
    pub fn expand_batch(&mut self, x: Tensor, like: Tensor) -> Result {
        self.own("Expand", &[x, like])?;
        let (sx, batch) = (self.shape(x), self.axis("Expand", like, 0)?[0].clone());
        if sx.first() == Some(&batch) {
            return Ok(x);
        }
        let mut target = vec![Dim::Fixed(1); sx.len()];
        target[0] = batch;
        let shape = broadcast(&sx, &target).ok_or_else(|| self.bad_shapes("Expand", &[x, like]))?;
        let rows = self.size_of(like, 0)?;
        let rows = self.unsqueeze(rows, 0)?;
        let ones = self.ints(&vec![1; sx.len() - 1]);
        let sizes = self.concat(&[rows, ones], 0)?;
        self.push("Expand", &[x, sizes], vec![], self.dtype(x), shape)
    }

    /// The size of one axis, I64 of rank 0.
    fn size_of(&mut self, x: Tensor, axis: usize) -> Result {
        let rank = self.shape(x).len();
        let sizes = self.push("Shape", &[x], vec![], DType::I64, vec![rank.into()])?;
        let at = self.int(axis as i64);
        self.gather(sizes, at, 0)
    }
}
