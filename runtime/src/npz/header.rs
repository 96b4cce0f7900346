//! The header of an array: `\x93NUMPY`, a version, a length, and a Python dictionary as text.

use std::io::Read;

use onr_graphs::DType;

/// Longest header that is read; NumPy's own are below 200 bytes.
const LONGEST: usize = 1 << 16;

/// What an array is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

/// NumPy's names of the types that inputs have.
const TYPES: [(&str, DType); 8] = [
    ("<f8", DType::F64),
    ("<f4", DType::F32),
    ("<f2", DType::F16),
    ("<i8", DType::I64),
    ("<i4", DType::I32),
    ("|u1", DType::U8),
    ("|b1", DType::Bool),
    ("|i1", DType::I8),
];

impl Header {
    /// Reads it; the elements come next.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(from: &mut impl Read) -> Result<Self, String> {
        let mut bytes = |n: usize| {
            let mut bytes = vec![0; n];
            let read = from.read_exact(&mut bytes);
            read.map(|()| bytes).map_err(|_| "it ends within its header".to_owned())
        };
        let magic = bytes(8)?;
        let version = match magic.strip_prefix(b"\x93NUMPY") {
            Some(version) => version[0],
            None => return Err("it does not begin as an array does".to_owned()),
        };
        let length = match version {
            1 => bytes(2)?.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)),
            2 | 3 => bytes(4)?.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)),
            other => return Err(format!("its version is {other}")),
        };
        if length > LONGEST {
            return Err(format!("its header has {length} bytes"));
        }
        let text = bytes(length)?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// From `{'descr': '<f4', 'fortran_order': False, 'shape': (64, 8), }`.
    fn parse(text: &str) -> Result<Self, String> {
        let after = |key: &str| {
            let at = text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
            at.ok_or_else(|| format!("its header has no `{key}`"))
        };
        let shape = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (shape, _) = shape.ok_or("its header has no tuple for a shape")?;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes: Result<Vec<usize>, _> = sizes.map(str::parse).collect();
        let shape = sizes.map_err(|_| format!("its header has the shape ({shape})"))?;
        if after("fortran_order")?.starts_with("True") && shape.len() > 1 {
            return Err("it is stored column by column: numpy.ascontiguousarray turns it".into());
        }
        let descr = after("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let (descr, _) = descr.ok_or("it has fields, which no input has")?;
        let known = TYPES.iter().find(|(name, _)| *name == descr);
        let (_, dtype) = known.ok_or_else(|| {
            let names: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
            format!("its type is `{descr}`; read are {}", names.join(", "))
        })?;
        let elements = shape.iter().try_fold(dtype.size(), |n, size| n.checked_mul(*size));
        elements.ok_or_else(|| format!("its shape {shape:?} is impossible"))?;
        Ok(Self { dtype: *dtype, shape })
    }

    /// As NumPy writes it; `None` for a type that NumPy does not have.
    pub(super) fn write(&self) -> Option<Vec<u8>> {
        let (descr, _) = TYPES.iter().find(|(_, dtype)| *dtype == self.dtype)?;
        let sizes: String = self.shape.iter().map(|n| format!("{n},")).collect();
        let mut text =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
        // The elements begin at a multiple of 64 bytes.
        const BEFORE: usize = 10;
        let length = (BEFORE + text.len() + 1).next_multiple_of(64) - BEFORE;
        text.extend(std::iter::repeat_n(' ', length - text.len() - 1));
        text.push('\n');
        // Version 1.0, which every reader knows; its length has two bytes.
        let length = u16::try_from(text.len()).ok()?.to_le_bytes();
        Some([&b"\x93NUMPY\x01\x00"[..], &length, text.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(version: u8, text: &str) -> Vec<u8> {
        let length = text.len() as u32;
        let length = if version == 1 {
            length.to_le_bytes()[..2].to_vec()
        } else {
            length.to_le_bytes().to_vec()
        };
        [&b"\x93NUMPY"[..], &[version, 0], &length, text.as_bytes()].concat()
    }

    fn read(text: &str) -> Result<Header, String> {
        Header::read(&mut npy(1, text).as_slice())
    }

    #[test]
    fn headers_of_numpy_are_read() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 8, 128), }     \n";
        let want = Header { dtype: DType::F32, shape: vec![64, 8, 128] };
        assert_eq!(read(text), Ok(want));
        let one = "{'descr': '|b1', 'fortran_order': True, 'shape': (3,), }";
        assert_eq!(read(one), Ok(Header { dtype: DType::Bool, shape: vec![3] }));
        let none = "{'descr': '<i4', 'fortran_order': False, 'shape': (), }";
        let header = Header::read(&mut npy(2, none).as_slice());
        assert_eq!(header, Ok(Header { dtype: DType::I32, shape: vec![] }));
    }

    #[test]
    fn what_is_written_is_read_and_aligned() {
        for shape in [vec![], vec![3], vec![10_000_000, 128], vec![1; 30]] {
            let header = Header { dtype: DType::F16, shape };
            let bytes = header.write().unwrap();
            assert_eq!((&bytes[..8], bytes.len() % 64), (&b"\x93NUMPY\x01\x00"[..], 0));
            assert_eq!(Header::read(&mut bytes.as_slice()), Ok(header));
        }
        assert_eq!(Header { dtype: DType::BF16, shape: vec![] }.write(), None);
    }

    #[test]
    fn what_no_input_takes_has_its_words() {
        let refused = |text: &str| read(text).unwrap_err();
        let big = refused("{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }");
        assert!(big.starts_with("its type is `>f4`; read are <f8, <f4"), "{big}");
        let fields = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }";
        assert_eq!(refused(fields), "it has fields, which no input has");
        let columns = "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }";
        assert!(refused(columns).contains("ascontiguousarray"));
        let huge =
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }";
        assert!(refused(huge).contains("impossible"));
        assert!(refused("{'shape': (-1,)}").contains("(-1,)"));
        assert_eq!(Header::read(&mut &b"PK"[..]), Err("it ends within its header".to_owned()));
        assert!(Header::read(&mut &b"not an array"[..]).unwrap_err().contains("begin"));
        assert!(Header::read(&mut npy(9, "").as_slice()).unwrap_err().contains("version"));
    }
}
