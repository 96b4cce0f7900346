//! Elements of an axis in another order, fewer or more.

use super::{Data, HostTensor};

impl HostTensor {
    /// Elements of one axis in the order of `at`; those beyond its end are 0.
    ///
    /// # Panics
    /// When there is no such axis.
    #[must_use]
    pub fn pick(&self, axis: usize, at: &[usize]) -> Self {
        let grid = Grid {
            outer: self.shape[..axis].iter().product(),
            len: self.shape[axis],
            inner: self.shape[axis + 1..].iter().product(),
        };
        let mut shape = self.shape.clone();
        shape[axis] = at.len();
        macro_rules! picked {
            ($($variant:ident),*) => {
                match self.data() {
                    $(Data::$variant(values) => Data::$variant(grid.pick(values, at)),)*
                }
            };
        }
        Self { shape, data: picked!(F32, F16, BF16, F8E4M3, I8, F64, I32, U8, I64, Bool).into() }
    }

    /// Tensors of one type, equal but for their first axis, one behind the other; `None` when they are not.
    #[must_use]
    pub fn stack_rows(parts: &[Self]) -> Option<Self> {
        let first = parts.first()?;
        let mut shape = first.shape.clone();
        *shape.first_mut()? = 0;
        macro_rules! stacked {
            ($($variant:ident),*) => {
                match first.data() {
                    $(Data::$variant(_) => {
                        let mut all = Vec::new();
                        for part in parts {
                            let Data::$variant(values) = part.data() else { return None };
                            if part.shape.get(1..)? != shape.get(1..)? {
                                return None;
                            }
                            all.extend_from_slice(values);
                            shape[0] += part.shape[0];
                        }
                        Data::$variant(all)
                    })*
                }
            };
        }
        let data = stacked!(F32, F16, BF16, F8E4M3, I8, F64, I32, U8, I64, Bool);
        Self::new(shape, data)
    }
}

/// A tensor seen as `[outer, len, inner]`.
struct Grid {
    outer: usize,
    len: usize,
    inner: usize,
}

impl Grid {
    fn pick<T: Copy + Default>(&self, values: &[T], at: &[usize]) -> Vec<T> {
        let mut out = vec![T::default(); self.outer * at.len() * self.inner];
        for outer in 0..self.outer {
            for (to, from) in at.iter().enumerate().filter(|(_, from)| **from < self.len) {
                let source = (outer * self.len + from) * self.inner;
                let target = (outer * at.len() + to) * self.inner;
                out[target..target + self.inner]
                    .copy_from_slice(&values[source..source + self.inner]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_axis_are_picked() {
        let x = HostTensor::of(&[2, 3], vec![1_i64, 2, 3, 4, 5, 6]);
        assert_eq!(x.pick(0, &[1]), HostTensor::of(&[1, 3], vec![4_i64, 5, 6]));
        assert_eq!(x.pick(1, &[2, 0]), HostTensor::of(&[2, 2], vec![3_i64, 1, 6, 4]));
        let cut = x.pick(1, &[1, 7]);
        assert_eq!(cut, HostTensor::of(&[2, 2], vec![2_i64, 0, 5, 0]), "beyond the end");
    }

    #[test]
    fn rows_come_one_behind_the_other() {
        let x = HostTensor::of(&[2, 1], vec![1_i64, 2]);
        let y = HostTensor::of(&[1, 1], vec![3_i64]);
        let both = HostTensor::of(&[3, 1], vec![1_i64, 2, 3]);
        assert_eq!(HostTensor::stack_rows(&[x.clone(), y]), Some(both));
        let wider = HostTensor::of(&[1, 2], vec![1_i64, 2]);
        let other = HostTensor::of(&[1, 1], vec![1.0_f32]);
        assert_eq!(HostTensor::stack_rows(&[x.clone(), wider]), None);
        assert_eq!(HostTensor::stack_rows(&[x, other]), None);
    }
}
