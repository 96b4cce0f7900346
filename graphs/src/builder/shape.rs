//! Operators that move axes and never touch a number.

use super::{GraphBuilder, Result, Tensor};
use crate::{dim::Dim, graph::Attr};

impl GraphBuilder {
    /// Axes in the order `perm`.
    ///
    /// # Errors
    /// [`crate::BuildError::Shapes`] unless `perm` is a permutation of the axes.
    pub fn transpose(&mut self, x: Tensor, perm: &[usize]) -> Result {
        self.own("Transpose", &[x])?;
        let shape = self.shape(x);
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..shape.len()) {
            return Err(self.bad_shapes("Transpose", &[x]));
        }
        let to = perm.iter().map(|&p| shape[p].clone()).collect();
        let perm = Attr::Ints(perm.iter().map(|&p| p as i64).collect());
        self.push("Transpose", &[x], vec![("perm", perm)], self.dtype(x), to)
    }

    /// The last two axes exchanged.
    ///
    /// # Errors
    /// [`crate::BuildError::Shapes`] below rank 2.
    pub fn swap_last(&mut self, x: Tensor) -> Result {
        self.own("Transpose", &[x])?;
        let rank = self.shape(x).len();
        if rank < 2 {
            return Err(self.bad_shapes("Transpose", &[x]));
        }
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 1, rank - 2);
        self.transpose(x, &perm)
    }

    /// `x` in another shape of the same volume.
    ///
    /// # Errors
    /// [`crate::BuildError::Shapes`] when the volumes differ, or when more than one symbolic axis
    /// has moved (ONNX can infer one).
    pub fn reshape(&mut self, x: Tensor, to: &[Dim]) -> Result {
        self.own("Reshape", &[x])?;
        let from = self.shape(x);
        let mut inferred = 0;
        let spec: Vec<i64> = to
            .iter()
            .enumerate()
            .map(|(i, dim)| match dim {
                Dim::Fixed(n) => *n as i64,
                same if from.get(i) == Some(same) => 0,
                _ => {
                    inferred += 1;
                    -1
                }
            })
            .collect();
        if inferred > 1 || volume(&from) != volume(to) {
            return Err(self.bad_shapes("Reshape", &[x]));
        }
        let spec = self.ints(&spec);
        self.push("Reshape", &[x, spec], vec![], self.dtype(x), to.to_vec())
    }

    /// A new axis of size 1 at `axis`.
    ///
    /// # Errors
    /// [`crate::BuildError::Axis`].
    pub fn unsqueeze(&mut self, x: Tensor, axis: usize) -> Result {
        self.own("Unsqueeze", &[x])?;
        let mut shape = self.shape(x);
        if axis > shape.len() {
            return Err(self.bad_shapes("Unsqueeze", &[x]));
        }
        shape.insert(axis, Dim::Fixed(1));
        let axes = self.ints(&[axis as i64]);
        self.push("Unsqueeze", &[x, axes], vec![], self.dtype(x), shape)
    }

    /// Parts of equal, known size along `axis`.
    ///
    /// # Errors
    /// [`crate::BuildError::Shapes`] unless the axis has a known size that `parts` divides.
    pub fn split<const PARTS: usize>(&mut self, x: Tensor, axis: usize) -> Result<[Tensor; PARTS]> {
        self.own("Split", &[x])?;
        let shape = self.axis("Split", x, axis)?;
        let size = shape[axis]
            .fixed()
            .filter(|n| n.is_multiple_of(PARTS))
            .ok_or_else(|| self.bad_shapes("Split", &[x]))?;
        let mut part = shape;
        part[axis] = Dim::Fixed(size / PARTS);
        let sizes = self.ints(&[(size / PARTS) as i64; PARTS]);
        let results = vec![(self.dtype(x), part); PARTS];
        let attrs = vec![("axis", Attr::Int(axis as i64))];
        let parts = self.push_many("Split", &[x, sizes], attrs, results)?;
        parts.try_into().map_err(|_| self.bad_shapes("Split", &[x]))
    }

    /// Tensors one after the other along `axis`.
    ///
    /// # Errors
    /// [`crate::BuildError::Shapes`] when another axis differs, or two symbols would be added.
    pub fn concat(&mut self, parts: &[Tensor], axis: usize) -> Result {
        self.own("Concat", parts)?;
        self.accepts("Concat", parts)?;
        let mut shape = self.axis("Concat", parts[0], axis)?;
        for &part in &parts[1..] {
            let other = self.shape(part);
            let fits = other.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
            let joined = fits.then(|| shape[axis].join(&other[axis])).flatten();
            shape[axis] = joined.ok_or_else(|| self.bad_shapes("Concat", parts))?;
        }
        let attrs = vec![("axis", Attr::Int(axis as i64))];
        self.push("Concat", parts, attrs, self.dtype(parts[0]), shape)
    }
}

/// Product of the axes as a number and a sorted list of symbols.
fn volume(shape: &[Dim]) -> (usize, Vec<String>) {
    let mut number = 1;
    let mut symbols = Vec::new();
    for dim in shape {
        match dim {
            Dim::Fixed(n) => number *= n,
            Dim::Affine { symbol, scale, offset: 0 } => {
                number *= scale;
                symbols.push(symbol.to_string());
            }
            sum => symbols.push(sum.to_string()),
        }
    }
    symbols.sort_unstable();
    (number, symbols)
}
