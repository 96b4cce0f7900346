//! Versions as numbers between dots.

use std::fmt;

/// `10.5.0.18`, or as much of it as somebody knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(Vec<u32>);

impl Version {
    /// Reads numbers between dots; what stands behind the last one (`2.51.0dev`) is left out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let parts: Result<Vec<u32>, _> = text[..end].split('.').map(str::parse).collect();
        parts.ok().filter(|parts| parts.len() > 1).map(Self)
    }

    /// How many numbers it has.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Are they one version, as far as both are known?
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    /// Is it this one or a later one?
    pub(super) fn reaches(&self, least: &[u32]) -> bool {
        self.0.as_slice() >= least
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn numbers_count_as_numbers() {
        assert_eq!(version("10.05.00").to_string(), "10.5.0");
        assert_eq!(version("2.51.0dev").to_string(), "2.51.0");
        for text in ["", "10", "ten.5", "10..5", "v10.5"] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn versions_agree_as_far_as_they_are_known() {
        assert!(version("10.5.0").agrees(&version("10.5.0.18")));
        assert!(!version("10.5.0").agrees(&version("10.5.1.18")));
        assert!(version("24.10").reaches(&[24, 5]) && version("2.46.0").reaches(&[2, 46]));
        assert!(!version("24.04").reaches(&[24, 5]));
    }
}
