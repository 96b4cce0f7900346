//! Operators that work element by element, and casts.

use super::{GraphBuilder, Result, Tensor, broadcast};
use crate::{dtype::DType, graph::Attr};

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $op:literal;)*) => {
        impl GraphBuilder {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`crate::BuildError`] when types differ or shapes do not broadcast.
            pub fn $name(&mut self, a: Tensor, b: Tensor) -> Result {
                let dtype = self.own($op, &[a, b]).map(|()| self.dtype(a))?;
                self.binary($op, a, b, dtype)
            }
        )*}
    };
}

binary! {
    /// `a + b`.
    add = "Add";
    /// `a - b`.
    sub = "Sub";
    /// `a * b`.
    mul = "Mul";
    /// `a / b`.
    div = "Div";
    /// The larger of both.
    max = "Max";
    /// The smaller of both.
    min = "Min";
    /// Both are true.
    and = "And";
}

macro_rules! compare {
    ($($(#[$doc:meta])* $name:ident = $op:literal;)*) => {
        impl GraphBuilder {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`crate::BuildError`] when types differ or shapes do not broadcast.
            pub fn $name(&mut self, a: Tensor, b: Tensor) -> Result {
                self.binary($op, a, b, DType::Bool)
            }
        )*}
    };
}

compare! {
    /// `a < b`.
    less = "Less";
    /// `a <= b`.
    less_or_equal = "LessOrEqual";
    /// `a >= b`.
    greater_or_equal = "GreaterOrEqual";
    /// `a == b`.
    equal = "Equal";
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident = $op:literal;)*) => {
        impl GraphBuilder {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`crate::BuildError::Types`] for an element type that the operator does not take.
            pub fn $name(&mut self, x: Tensor) -> Result {
                self.unary($op, x)
            }
        )*}
    };
}

unary! {
    /// `|x|`.
    abs = "Abs";
    /// The largest integer not above `x`.
    floor = "Floor";
    /// Natural logarithm.
    log = "Log";
    /// `1 / (1 + e^-x)`.
    sigmoid = "Sigmoid";
    /// Square root.
    sqrt = "Sqrt";
}

impl GraphBuilder {
    /// `x * sigmoid(x)`.
    ///
    /// # Errors
    /// [`crate::BuildError::Types`] unless `x` is a float.
    pub fn silu(&mut self, x: Tensor) -> Result {
        let gate = self.sigmoid(x)?;
        self.mul(x, gate)
    }

    /// `x * factor`.
    ///
    /// # Errors
    /// [`crate::BuildError::Types`] unless `x` is a float.
    pub fn scale(&mut self, x: Tensor, factor: f32) -> Result {
        self.own("Mul", &[x])?;
        let factor = self.float(self.dtype(x), factor);
        self.mul(x, factor)
    }

    /// `if condition { yes } else { no }`, element by element.
    ///
    /// # Errors
    /// [`crate::BuildError`] when `condition` is not bool, types differ or shapes do not broadcast.
    pub fn select(&mut self, condition: Tensor, yes: Tensor, no: Tensor) -> Result {
        let all = [condition, yes, no];
        self.own("Where", &all)?;
        if self.dtype(condition) != DType::Bool || self.dtype(yes) != self.dtype(no) {
            return Err(self.bad_types("Where", &all));
        }
        let shape = broadcast(&self.shape(yes), &self.shape(no))
            .and_then(|s| broadcast(&s, &self.shape(condition)))
            .ok_or_else(|| self.bad_shapes("Where", &all))?;
        self.push("Where", &all, vec![], self.dtype(yes), shape)
    }

    /// `x` as `dtype`; `x` itself when it has that type already.
    ///
    /// # Errors
    /// [`crate::BuildError::Foreign`].
    pub fn cast(&mut self, x: Tensor, dtype: DType) -> Result {
        self.own("Cast", &[x])?;
        if self.dtype(x) == dtype {
            return Ok(x);
        }
        let shape = self.shape(x);
        self.push("Cast", &[x], vec![("to", Attr::Type(dtype))], dtype, shape)
    }

    pub(super) fn unary(&mut self, op: &'static str, x: Tensor) -> Result {
        self.own(op, &[x])?;
        self.accepts(op, &[x])?;
        self.push(op, &[x], vec![], self.dtype(x), self.shape(x))
    }

    fn binary(&mut self, op: &'static str, a: Tensor, b: Tensor, result: DType) -> Result {
        self.own(op, &[a, b])?;
        self.accepts(op, &[a, b])?;
        let shape = broadcast(&self.shape(a), &self.shape(b))
            .ok_or_else(|| self.bad_shapes(op, &[a, b]))?;
        self.push(op, &[a, b], vec![], result, shape)
    }

    /// All operands have one type, and the operator takes it.
    pub(super) fn accepts(&self, op: &'static str, operands: &[Tensor]) -> Result<()> {
        let first = self.dtype(operands[0]);
        let uniform = operands.iter().all(|&t| self.dtype(t) == first);
        let known = crate::ops::spec(op).is_some_and(|s| s.dtypes.contains(&first));
        if uniform && known { Ok(()) } else { Err(self.bad_types(op, operands)) }
    }
}
