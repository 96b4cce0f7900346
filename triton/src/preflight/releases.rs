//! Which TensorRT the containers of Triton have.

use super::version::Version;

/// A release of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Release {
    /// `YY.MM`, the tag without `-py3`.
    pub(super) release: &'static str,
    /// Version of the server, as its metadata tell.
    pub(super) triton: &'static str,
    /// Version of TensorRT, as far as it is known.
    pub(super) tensorrt: &'static str,
}

const fn row(release: &'static str, triton: &'static str, tensorrt: &'static str) -> Release {
    Release { release, triton, tensorrt }
}

/// Containers `tritonserver:YY.MM-py3`. Those of TensorRT-LLM (`-trtllm-python-py3`) may have another TensorRT.
///
/// Sources. TensorRT of 24.10 and 25.01: `docs/introduction/release_notes.md` of Triton at those releases. 26.04: the table
/// of its release notes, as a public repository quotes it. 24.03: a public page. 24.05 to 24.08: an early
/// `docs/compatibility.md`, whose table is of TensorRT-LLM's containers. The others are as remembered from NVIDIA's
/// support matrix and were not read again: confirm a row before you rely on it. Versions of the server: `build.py`
/// of 25.03 (2.56.0) and builds of 24.04 (2.45.0) and 24.11 (2.52.0); between them each month is one minor version.
/// Numbers of a build that are not sure are left out, and so are releases: better no answer than a wrong one. Who
/// runs another container gives `--container-facts`, which go before this table.
const RELEASES: [Release; 17] = [
    row("23.12", "2.41.0", "8.6.1.6"),
    row("24.01", "2.42.0", "8.6.1.6"),
    row("24.02", "2.43.0", "8.6.3"),
    row("24.03", "2.44.0", "8.6.3"),
    row("24.04", "2.45.0", "8.6.3"),
    row("24.05", "2.46.0", "10.0.1.6"),
    row("24.06", "2.47.0", "10.1.0"),
    row("24.07", "2.48.0", "10.2.0.19"),
    row("24.08", "2.49.0", "10.3.0.26"),
    row("24.09", "2.50.0", "10.4.0"),
    row("24.10", "2.51.0", "10.5.0.18"),
    row("24.11", "2.52.0", "10.6.0"),
    row("24.12", "2.53.0", "10.7.0"),
    row("25.01", "2.54.0", "10.8.0.43"),
    row("25.02", "2.55.0", "10.8.0.43"),
    row("25.03", "2.56.0", "10.9.0.34"),
    row("26.04", "2.68.0", "10.16.1.11"),
];

/// The first release whose TensorRT backend has int64: of the container, the server, TensorRT.
pub(super) const INT64: (&[u32], &[u32], &[u32]) = (&[24, 5], &[2, 46], &[10]);

/// The release of that name.
pub(super) fn by_release(release: &str) -> Option<Release> {
    by(release, |row| row.release)
}

/// The release that has this server.
pub(super) fn by_triton(version: &str) -> Option<Release> {
    by(version, |row| row.triton)
}

fn by(text: &str, of: fn(&Release) -> &str) -> Option<Release> {
    let wanted = Version::parse(text)?;
    RELEASES.into_iter().find(|row| Version::parse(of(row)).as_ref() == Some(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_readable() {
        let read = |text| Version::parse(text).unwrap();
        for pair in RELEASES.windows(2) {
            let ordered = |of: fn(&Release) -> &str| read(of(&pair[0])) <= read(of(&pair[1]));
            assert!(ordered(|r| r.release) && ordered(|r| r.triton) && ordered(|r| r.tensorrt));
        }
        for row in RELEASES {
            assert!(read(row.tensorrt).len() >= 3);
            let (release, triton, tensorrt) = INT64;
            let int64 = read(row.release).reaches(release);
            assert_eq!(int64, read(row.triton).reaches(triton), "{row:?}");
            assert_eq!(int64, read(row.tensorrt).reaches(tensorrt), "{row:?}");
        }
    }

    #[test]
    fn a_release_is_found_by_either_name() {
        assert_eq!(by_triton("2.51.0"), by_release("24.10"));
        assert_eq!(by_release("24.10").unwrap().tensorrt, "10.5.0.18");
        assert_eq!(by_triton("2.1.0"), None);
        assert_eq!(by_triton("nightly"), None);
    }
}
