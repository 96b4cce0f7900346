//! Symbolic dimensions: what is known when a graph is built, and what is bound when it runs.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// Concrete values of the symbols of a shape.
pub type Bindings = BTreeMap<String, usize>;

/// One axis of a shape: a number, or `scale * symbol + offset` of a symbol bound at run time.
///
/// The affine form is all that the OneRanker graphs need: `kv + P + 1` joined scores of the
/// softmax variant, `4 * batch` flattened rows of the retrieval product.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Dim {
    /// Known when the graph is built.
    Fixed(usize),
    /// `scale * symbol + offset`, `scale >= 1`.
    Affine {
        /// Name of the symbol, as it stands in the ONNX file.
        symbol: Arc<str>,
        /// Factor of the symbol.
        scale: usize,
        /// Added after scaling.
        offset: usize,
    },
}

impl Dim {
    /// The plain symbol `name`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::Affine { symbol: name.into(), scale: 1, offset: 0 }
    }

    /// The number, if it is known.
    #[must_use]
    pub const fn fixed(&self) -> Option<usize> {
        match self {
            Self::Fixed(n) => Some(*n),
            Self::Affine { .. } => None,
        }
    }

    /// `self + n`.
    #[must_use]
    pub fn plus(&self, n: usize) -> Self {
        match self {
            Self::Fixed(m) => Self::Fixed(m + n),
            Self::Affine { symbol, scale, offset } => {
                Self::Affine { symbol: symbol.clone(), scale: *scale, offset: offset + n }
            }
        }
    }

    /// `self - n`, if that is certain not to be negative.
    #[must_use]
    pub fn minus(&self, n: usize) -> Option<Self> {
        match self {
            Self::Fixed(m) => m.checked_sub(n).map(Self::Fixed),
            Self::Affine { symbol, scale, offset } => offset
                .checked_sub(n)
                .map(|offset| Self::Affine { symbol: symbol.clone(), scale: *scale, offset }),
        }
    }

    /// `self * n`.
    #[must_use]
    pub fn times(&self, n: usize) -> Self {
        match self {
            Self::Fixed(m) => Self::Fixed(m * n),
            Self::Affine { symbol, scale, offset } => {
                Self::Affine { symbol: symbol.clone(), scale: scale * n, offset: offset * n }
            }
        }
    }

    /// The sum, when at most one side has a symbol.
    #[must_use]
    pub fn join(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (a, Self::Fixed(n)) => Some(a.plus(*n)),
            (Self::Fixed(n), b) => Some(b.plus(*n)),
            _ => None,
        }
    }

    /// The value under `bindings`; `None` when the symbol is not bound.
    #[must_use]
    pub fn resolve(&self, bindings: &Bindings) -> Option<usize> {
        match self {
            Self::Fixed(n) => Some(*n),
            Self::Affine { symbol, scale, offset } => {
                bindings.get(symbol.as_ref()).map(|v| v * scale + offset)
            }
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::Fixed(n)
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Affine { symbol, scale, offset } => {
                if *scale != 1 {
                    write!(f, "{scale}*")?;
                }
                write!(f, "{symbol}")?;
                if *offset != 0 {
                    write!(f, "+{offset}")?;
                }
                Ok(())
            }
        }
    }
}

/// `[batch,seq,64]`: how shapes look in dumps and messages.
#[must_use]
pub fn show_shape(shape: &[Dim]) -> String {
    let dims: Vec<_> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affine_arithmetic_resolves() {
        let kv = Dim::named("kv");
        let joined = kv.join(&Dim::Fixed(7)).unwrap().plus(1);
        assert_eq!(joined.to_string(), "kv+8");
        assert_eq!(joined.minus(8), Some(kv.clone()));
        assert_eq!(joined.minus(9), None);
        let bound = Bindings::from([("kv".to_owned(), 5)]);
        assert_eq!(joined.resolve(&bound), Some(13));
        assert_eq!(Dim::named("batch").times(4).resolve(&bound), None);
        assert_eq!(kv.join(&Dim::named("batch")), None);
    }
}
