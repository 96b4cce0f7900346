//! Which TensorRT a `trtexec` belongs to.

use std::fmt;

/// A version of TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// The version in `&&&& RUNNING TensorRT.trtexec [TensorRT v101401] [b48] # trtexec --help`.
    pub(super) fn from_banner(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("[TensorRT v")?;
        let (version, _) = rest.split_once(']')?;
        match version.contains('.') {
            true => Self::from_dotted(version),
            false => Self::from_number(version.parse().ok()?),
        }
    }

    /// `NV_TENSORRT_VERSION`: thousands before 10, ten thousands since.
    fn from_number(n: u32) -> Option<Self> {
        match n {
            1_000..10_000 => Some(Self { major: n / 1000, minor: n / 100 % 10, patch: n % 100 }),
            100_000..1_000_000 => {
                Some(Self { major: n / 10_000, minor: n / 100 % 100, patch: n % 100 })
            }
            _ => None,
        }
    }

    fn from_dotted(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|p| p.parse().ok());
        let mut next = || parts.next().flatten();
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }

    /// Can it compile our graphs? The reason if not.
    pub(super) fn check(self) -> Result<(), &'static str> {
        match self.major {
            10.. => Ok(()),
            9 => Err("it has strongly typed networks, but the int64 ids of the graphs need \
                      TensorRT 10 or newer"),
            _ => Err("strongly typed networks came with TensorRT 9, and the int64 ids of the \
                      graphs need TensorRT 10 or newer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_of_all_ages() {
        let read = |banner: &str| Version::from_banner(banner).map(|v| v.to_string());
        let banner = "&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --help";
        assert_eq!(read(banner).as_deref(), Some("8.6.1"));
        assert_eq!(read("[TensorRT v9300]").as_deref(), Some("9.3.0"));
        assert_eq!(read("[TensorRT v100300] [b26]").as_deref(), Some("10.3.0"));
        let banner = "&&&& RUNNING TensorRT.trtexec [TensorRT v101401] [b48] # x";
        assert_eq!(read(banner).as_deref(), Some("10.14.1"));
        assert_eq!(read("[TensorRT v110201] [b3]").as_deref(), Some("11.2.1"));
        assert_eq!(read("[TensorRT v11.1.0.106]").as_deref(), Some("11.1.0"));
        assert_eq!(read("[TensorRT v10701]"), None, "five digits are no data-centre version");
        assert_eq!(read("TensorRT is great"), None);
    }

    #[test]
    fn ten_and_newer_are_accepted() {
        let check = |major| Version { major, minor: 0, patch: 0 }.check();
        assert_eq!(check(10), Ok(()));
        assert_eq!(check(11), Ok(()));
        assert!(check(9).unwrap_err().starts_with("it has strongly typed networks, but"));
        assert!(check(8).unwrap_err().starts_with("strongly typed networks came with TensorRT 9"));
    }
}
