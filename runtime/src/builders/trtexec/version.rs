//! Which TensorRT a `trtexec` belongs to.

use std::fmt;

/// A version of TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
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

    /// Can it compile any of our graphs? The reason if not.
    pub(super) fn check(self) -> Result<(), &'static str> {
        match (self.major, self.minor) {
            (9.., _) | (8, 6..) => Ok(()),
            _ => Err("its parser lacks what the graphs need; 8.6 is the oldest that is taken"),
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
    fn from_8_6_on() {
        let check = |major, minor| Version { major, minor, patch: 3 }.check();
        for (major, minor) in [(8, 6), (9, 0), (10, 0), (11, 2), (12, 0)] {
            assert_eq!(check(major, minor), Ok(()));
        }
        assert!(check(8, 5).unwrap_err().ends_with("8.6 is the oldest that is taken"));
        assert!(check(7, 9).is_err());
    }
}
