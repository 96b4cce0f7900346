//! TensorRT's calibration cache.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use onr_calibration::trt_cache::{CacheError, TrtVersion, read, write};
use proptest::prelude::*;

fn version(text: &str) -> TrtVersion {
    text.parse().unwrap()
}

fn one(name: &str, scale: f32) -> BTreeMap<String, f32> {
    BTreeMap::from([(name.to_owned(), scale)])
}

#[test]
fn headers_and_bits_are_those_of_tensorrt() {
    let scales = BTreeMap::from([("x".to_owned(), 1.0), ("blocks.0/a: b".to_owned(), 1e-30)]);
    let text = write(version("8.6.1"), &scales).unwrap();
    assert_eq!(text, "TRT-8601-EntropyCalibration2\nblocks.0/a: b: 0da24260\nx: 3f800000\n");
    for (typed, header) in [
        ("10.3.0", "TRT-100300-EntropyCalibration2\n"),
        ("10.14.1.48", "TRT-101401-EntropyCalibration2\n"),
        ("8.5.3", "TRT-8503-EntropyCalibration2\n"),
    ] {
        assert_eq!(write(version(typed), &BTreeMap::new()).unwrap(), header);
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        scales in proptest::collection::btree_map("[a-z/:. ]{1,9}", 1e-38_f32..1e38, 0..9),
    ) {
        let text = write(version("10.3.0"), &scales).unwrap();
        let cache = read(&text).unwrap();
        prop_assert_eq!((cache.version, cache.scales), (100_300, scales));
    }
}

#[test]
fn a_cache_of_tensorrt_itself_is_read() {
    let text =
        "TRT-7103-EntropyCalibration2\r\n(Unnamed Layer* 4) [Shuffle]_output: 1000000\r\n\r\n";
    let cache = read(text).unwrap();
    assert_eq!(cache.version, 7103);
    assert_eq!(cache.scales["(Unnamed Layer* 4) [Shuffle]_output"].to_bits(), 0x0100_0000);
}

#[test]
fn versions_without_calibrators_are_refused() {
    let error = write(version("11.0.0"), &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, CacheError::Removed { .. }));
    assert!(error.to_string().contains("removed calibrators"), "{error}");
    for wrong in ["", "10", "10.3", "a.b.c", "10.3.0.1.2", "8.600.1"] {
        assert!(wrong.parse::<TrtVersion>().is_err(), "{wrong}");
    }
}

#[test]
fn scales_that_are_not_positive_numbers_are_refused() {
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let error = write(version("8.6.1"), &one("x", scale)).unwrap_err();
        assert!(matches!(error, CacheError::Scale { .. }), "{scale}");
    }
    for name in ["", "a\nb"] {
        let error = write(version("8.6.1"), &one(name, 1.0)).unwrap_err();
        assert!(matches!(error, CacheError::Name { .. }), "{name:?}");
    }
}

#[test]
fn lines_that_are_wrong_are_named() {
    for header in
        ["", "TRT-8601-MinMaxCalibration\n", "TRT--EntropyCalibration2", "8601-EntropyCalibration2"]
    {
        assert!(matches!(read(header), Err(CacheError::Header { .. })), "{header}");
    }
    let body = |lines: &str| read(&format!("TRT-8601-EntropyCalibration2\na: 3f800000\n{lines}"));
    for wrong in
        ["b", "b:3f800000", "b: ", "b: 3f80000g", "b: +3f80000", "b: 13f800000", ": 3f800000"]
    {
        let error = body(wrong).unwrap_err();
        assert!(matches!(error, CacheError::Line { line: 3, .. }), "{wrong}: {error}");
    }
    for wrong in ["b: 0", "b: bf800000", "b: 7f800000", "b: 7fc00000", "b: 80000000"] {
        let error = body(wrong).unwrap_err();
        assert!(matches!(error, CacheError::LineScale { line: 3, .. }), "{wrong}: {error}");
    }
    let error = body("b: 3f800000\na: 3f800000").unwrap_err();
    assert!(matches!(error, CacheError::Twice { line: 4, .. }), "{error}");
}
