//! `BYTES` tensors: each element is its length, four bytes, little-endian, then so many bytes.

use bytes::Bytes;

/// The elements in `bytes`, as slices of it. Says what is wrong if a length points beyond the end.
pub(crate) fn split(bytes: &Bytes) -> Result<Vec<Bytes>, String> {
    let mut elements = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.get(at..at + 4).map(|length| {
            let length = length.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
            at + 4 + length
        });
        let Some(end) = end.filter(|end| *end <= bytes.len()) else {
            return Err(format!("string {} ends beyond the tensor", elements.len()));
        };
        elements.push(bytes.slice(at + 4..end));
        at = end;
    }
    Ok(elements)
}

/// The elements in the protocol's form. Says which one is longer than its length can say.
pub(crate) fn join<T: AsRef<[u8]>>(elements: &[T]) -> Result<Bytes, String> {
    let size = elements.iter().map(|element| 4 + element.as_ref().len()).sum();
    let mut bytes = Vec::with_capacity(size);
    for (place, element) in elements.iter().enumerate() {
        let length = u32::try_from(element.as_ref().len());
        let length = length.map_err(|_| format!("string {place} is longer than 4 GiB"))?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(element.as_ref());
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let bytes = join(&["ab", "", "c"]).unwrap();
        assert_eq!(&bytes[..], b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c");
        assert_eq!(split(&bytes).unwrap(), ["ab", "", "c"]);
        assert_eq!(split(&Bytes::new()).unwrap(), Vec::<Bytes>::new());
    }

    #[test]
    fn lengths_beyond_the_end() {
        for bytes in [&b"\x01\0\0\0"[..], b"\0\0\0", b"\0\0\0\0\x02\0\0\0a", b"\xff\xff\xff\xff"] {
            assert!(split(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
    }
}
