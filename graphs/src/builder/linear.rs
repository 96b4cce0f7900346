//! Products, reductions and norms.

use super::{GraphBuilder, Result, Tensor, broadcast};
use crate::{dim::Dim, error::BuildError, graph::Attr};

impl GraphBuilder {
    /// `a[.., m, k] x b[.., k, n] -> [.., m, n]`, leading axes broadcast.
    ///
    /// # Errors
    /// [`BuildError::Contraction`] when the two `k` differ, symbols included.
    pub fn matmul(&mut self, a: Tensor, b: Tensor) -> Result {
        self.own("MatMul", &[a, b])?;
        self.accepts("MatMul", &[a, b])?;
        let (sa, sb) = (self.shape(a), self.shape(b));
        let ([lead_a @ .., m, k], [lead_b @ .., kb, n]) = (sa.as_slice(), sb.as_slice()) else {
            return Err(self.bad_shapes("MatMul", &[a, b]));
        };
        if k != kb {
            let at = self.path();
            return Err(BuildError::Contraction { at, lhs: k.clone(), rhs: kb.clone() });
        }
        let mut shape =
            broadcast(lead_a, lead_b).ok_or_else(|| self.bad_shapes("MatMul", &[a, b]))?;
        shape.extend([m.clone(), n.clone()]);
        self.push("MatMul", &[a, b], vec![], self.dtype(a), shape)
    }

    /// `a[.., m, k] x b[.., n, k]^T -> [.., m, n]`, both of one rank.
    ///
    /// # Errors
    /// As [`matmul`](Self::matmul).
    pub fn matmul_transposed(&mut self, a: Tensor, b: Tensor) -> Result {
        let b = self.swap_last(b)?;
        self.matmul(a, b)
    }

    /// `x[r, k] x table[n, k]^T -> [r, n]` without a transposed copy of the table: one `Gemm`.
    ///
    /// # Errors
    /// As [`matmul`](Self::matmul); both operands have rank 2.
    pub fn rows_dot_table(&mut self, x: Tensor, table: Tensor) -> Result {
        self.own("Gemm", &[x, table])?;
        self.accepts("Gemm", &[x, table])?;
        let (sx, st) = (self.shape(x), self.shape(table));
        let ([rows, k], [n, kt]) = (sx.as_slice(), st.as_slice()) else {
            return Err(self.bad_shapes("Gemm", &[x, table]));
        };
        if k != kt {
            let at = self.path();
            return Err(BuildError::Contraction { at, lhs: k.clone(), rhs: kt.clone() });
        }
        let attrs = vec![("transB", Attr::Int(1))];
        self.push("Gemm", &[x, table], attrs, self.dtype(x), vec![rows.clone(), n.clone()])
    }

    /// Sum over one axis, which stays with size 1.
    ///
    /// # Errors
    /// [`BuildError::Axis`].
    pub fn sum_over(&mut self, x: Tensor, axis: usize) -> Result {
        self.own("ReduceSum", &[x])?;
        let mut shape = self.axis("ReduceSum", x, axis)?;
        shape[axis] = Dim::Fixed(1);
        let axes = self.ints(&[axis as i64]);
        self.push("ReduceSum", &[x, axes], vec![("keepdims", Attr::Int(1))], self.dtype(x), shape)
    }

    /// Softmax over the last axis.
    ///
    /// # Errors
    /// [`BuildError::Types`] unless `x` is a float.
    pub fn softmax(&mut self, x: Tensor) -> Result {
        self.own("Softmax", &[x])?;
        self.accepts("Softmax", &[x])?;
        self.push("Softmax", &[x], vec![("axis", Attr::Int(-1))], self.dtype(x), self.shape(x))
    }

    /// `LayerNorm(x) * weight + bias` over the last axis: biased variance, `eps` inside the root.
    ///
    /// # Errors
    /// [`BuildError::Shapes`] unless `weight` and `bias` have the length of the last axis.
    pub fn layer_norm(&mut self, x: Tensor, weight: Tensor, bias: Tensor, eps: f32) -> Result {
        let all = [x, weight, bias];
        self.own("LayerNormalization", &all)?;
        self.accepts("LayerNormalization", &all)?;
        let shape = self.shape(x);
        let last = shape.last().map(std::slice::from_ref);
        if [weight, bias].iter().any(|&t| Some(self.shape(t).as_slice()) != last) {
            return Err(self.bad_shapes("LayerNormalization", &all));
        }
        let attrs = vec![("axis", Attr::Int(-1)), ("epsilon", Attr::Float(eps))];
        self.push("LayerNormalization", &all, attrs, self.dtype(x), shape)
    }
}
