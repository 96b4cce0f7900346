//! A tensor as it travels.

use bytes::Bytes;

use crate::{Datatype, Element, KserveError, strings};

/// A named tensor: elements in row-major order, little-endian, in a buffer that copies share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    name: String,
    datatype: Datatype,
    shape: Vec<usize>,
    bytes: Bytes,
}

impl Tensor {
    /// A tensor over the caller's bytes, which are not copied. A shape `[]` has one element.
    ///
    /// # Errors
    /// [`KserveError::Bytes`] if they are not as many as type and shape need, [`KserveError::Strings`] if the bytes of
    /// a [`Datatype::Bytes`] tensor are not so many strings.
    pub fn new(
        name: impl Into<String>,
        datatype: Datatype,
        shape: impl Into<Vec<usize>>,
        bytes: impl Into<Bytes>,
    ) -> Result<Self, KserveError> {
        let tensor = Self { name: name.into(), datatype, shape: shape.into(), bytes: bytes.into() };
        tensor.check()?;
        Ok(tensor)
    }

    /// A tensor of numbers, `[shape]` in row-major order. They are copied.
    ///
    /// # Errors
    /// [`KserveError::Bytes`] if they are not as many as the shape needs.
    pub fn of<T: Element>(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        elements: &[T],
    ) -> Result<Self, KserveError> {
        let mut bytes = Vec::with_capacity(std::mem::size_of_val(elements));
        elements.iter().for_each(|element| element.put(&mut bytes));
        Self::new(name, T::DATATYPE, shape, bytes)
    }

    /// A tensor of strings, `[shape]` in row-major order. They are copied.
    ///
    /// # Errors
    /// [`KserveError::Strings`] if they are not as many as the shape needs, or one is longer than 4 GiB.
    pub fn of_strings<T: AsRef<[u8]>>(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        elements: &[T],
    ) -> Result<Self, KserveError> {
        let (name, shape) = (name.into(), shape.into());
        match strings::join(elements) {
            Ok(bytes) => Self::new(name, Datatype::Bytes, shape, bytes),
            Err(problem) => Err(KserveError::Strings { tensor: name, shape, problem }),
        }
    }

    /// Name of the model's input or output.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Type of the elements.
    #[must_use]
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// Size of every axis, the batch first if the model has one.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements' bytes. Copying the handle copies none of them.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The elements as numbers; `None` if the tensor is of another type.
    #[must_use]
    pub fn to_vec<T: Element>(&self) -> Option<Vec<T>> {
        let size = self.datatype.size().filter(|_| self.datatype == T::DATATYPE)?;
        self.bytes.chunks_exact(size).map(T::take).collect()
    }

    /// The elements as strings, slices of [`Tensor::bytes`]; `None` if the tensor is of another type.
    #[must_use]
    pub fn to_strings(&self) -> Option<Vec<Bytes>> {
        (self.datatype == Datatype::Bytes).then(|| strings::split(&self.bytes).ok())?
    }

    fn check(&self) -> Result<(), KserveError> {
        let count = self.shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
        let Some(size) = self.datatype.size() else {
            return self.check_strings(count);
        };
        let needed = count.and_then(|n| n.checked_mul(size));
        if needed == Some(self.bytes.len()) {
            return Ok(());
        }
        Err(KserveError::Bytes {
            tensor: self.name.clone(),
            datatype: self.datatype,
            shape: self.shape.clone(),
            needed: needed.map_or(u64::MAX, |n| n as u64),
            found: self.bytes.len() as u64,
        })
    }

    fn check_strings(&self, count: Option<usize>) -> Result<(), KserveError> {
        let found = strings::split(&self.bytes).map(|strings| strings.len());
        let problem = match found {
            Ok(found) if Some(found) == count => return Ok(()),
            Ok(found) => format!("it has {found} strings"),
            Err(problem) => problem,
        };
        Err(KserveError::Strings { tensor: self.name.clone(), shape: self.shape.clone(), problem })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn little_endian_and_row_major() {
        let tensor = Tensor::of("x", [2, 2], &[1_i16, -1, 256, 0]).unwrap();
        assert_eq!(&tensor.bytes()[..], b"\x01\0\xff\xff\0\x01\0\0");
        assert_eq!(tensor.to_vec::<i16>(), Some(vec![1, -1, 256, 0]));
        assert_eq!(tensor.to_vec::<u16>(), None);
        assert_eq!(Tensor::of("b", [2], &[true, false]).unwrap().bytes()[..], [1, 0]);
    }

    #[test]
    fn the_callers_bytes_are_not_copied() {
        let bytes = Bytes::from(vec![0; 64]);
        let tensor = Tensor::new("x", Datatype::Fp64, [8], bytes.clone()).unwrap();
        assert_eq!(tensor.bytes().as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn as_many_bytes_as_the_shape_needs() {
        let error = Tensor::new("x", Datatype::Fp32, [2, 3], vec![0; 23]).unwrap_err();
        assert_eq!(error.to_string(), "tensor `x`, FP32 [2, 3], needs 24 bytes and has 23");
        let huge = Tensor::new("x", Datatype::Fp32, [usize::MAX, 2], vec![0; 8]).unwrap_err();
        assert!(matches!(huge, KserveError::Bytes { needed: u64::MAX, .. }));
        assert!(Tensor::of("scalar", [], &[1.0_f32]).is_ok());
        assert!(Tensor::of::<f32>("none", [3, 0], &[]).is_ok());
    }

    #[test]
    fn as_many_strings_as_the_shape_needs() {
        let error = Tensor::of_strings("s", [3], &["a", "b"]).unwrap_err();
        assert_eq!(error.to_string(), "tensor `s`, BYTES [3]: it has 2 strings");
        assert!(Tensor::new("s", Datatype::Bytes, [1], vec![9, 0, 0, 0]).is_err());
        assert!(Tensor::new("s", Datatype::Bytes, [0], vec![]).is_ok());
    }

    proptest! {
        #[test]
        fn numbers_return_bit_for_bit(bits: Vec<u32>) {
            let numbers: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
            let tensor = Tensor::of("x", [bits.len()], &numbers).unwrap();
            let back: Vec<u32> = tensor.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect();
            prop_assert_eq!(back, bits);
        }

        #[test]
        fn strings_return(strings: Vec<Vec<u8>>) {
            let tensor = Tensor::of_strings("s", [strings.len()], &strings).unwrap();
            prop_assert_eq!(tensor.to_strings().unwrap(), strings);
        }
    }
}
