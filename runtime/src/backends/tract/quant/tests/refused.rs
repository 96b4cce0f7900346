//! What no file should say, and what is said of it.

use onr_onnx::ElemType;
use tempfile::TempDir;

use super::model::{Net, le_f16, le_f32};
use crate::{
    backend::{Backend as _, RunError},
    backends::tract::TractBackend,
};

const F32: ElemType = ElemType::Float;
const I8: ElemType = ElemType::Int8;
const F8: ElemType = ElemType::Float8E4M3Fn;

/// Why tract refuses to load the model.
fn refused(net: &Net) -> String {
    let dir = TempDir::new().unwrap();
    match TractBackend::new().open(&net.write(&dir)).err() {
        Some(RunError::Load { backend: "tract", reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Quantizes `x`, of four columns, by `scales`.
fn quantizing(scales: &[f32], dims: &[i64], codes: ElemType, zeros: &[u8]) -> Net {
    Net::new(19)
        .input("x", F32, &[-1, 4])
        .constant("s", F32, dims, &le_f32(scales))
        .constant("z", codes, if zeros.len() == 1 { &[] } else { &[4] }, zeros)
        .node("QuantizeLinear", &["x", "s", "z"], "y")
        .output("y", codes)
}

#[test]
fn an_axis_has_to_be_there() {
    for axis in [2, -3] {
        let net = quantizing(&[1.0; 4], &[4], I8, &[0; 4]).with("axis", axis);
        let want = format!("`make_y` (QuantizeLinear): axis {axis} is outside a tensor of 2 axes");
        assert_eq!(refused(&net), want);
    }
}

#[test]
fn scales_are_as_many_as_their_axis_is_long() {
    let net = quantizing(&[1.0; 3], &[3], I8, &[0]);
    let want = "`make_y` (QuantizeLinear): it has 3 scales for axis 1 of 4 elements";
    assert_eq!(refused(&net), want);
    let weights = Net::new(13)
        .constant("w", I8, &[2, 4], &[1; 8])
        .constant("s", F32, &[2], &le_f32(&[1.0; 2]))
        .node("DequantizeLinear", &["w", "s"], "y")
        .output("y", F32);
    let want = "`make_y` (DequantizeLinear): it has 2 scales for axis 1 of 4 elements";
    assert_eq!(refused(&weights), want);
    let square = quantizing(&[1.0; 4], &[2, 2], I8, &[0; 4]);
    let want = "`make_y` (QuantizeLinear): its scale has shape [2, 2], not one axis";
    assert_eq!(refused(&square), want);
}

#[test]
fn a_scale_is_a_positive_number() {
    for bad in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY] {
        let text = refused(&quantizing(&[1.0, 1.0, bad, 1.0], &[4], F8, &[0; 4]));
        let want = format!("`make_y` (QuantizeLinear): scale 2 is {bad}, not a positive number");
        assert_eq!(text, want);
    }
}

#[test]
fn a_zero_point_fits_its_scale() {
    let text = refused(&quantizing(&[1.0; 4], &[4], I8, &[0]));
    assert_eq!(text, "`make_y` (QuantizeLinear): it has 4 scales and 1 zero points");
    let text = refused(&quantizing(&[1.0], &[], F8, &[1]));
    assert_eq!(text, "`make_y` (QuantizeLinear): it has an FP8 zero point that is not zero");
}

#[test]
fn one_division_has_one_type() {
    let net = Net::new(23)
        .input("x", ElemType::Float16, &[-1, 4])
        .constant("s", F32, &[], &le_f32(&[1.0]))
        .constant("z", I8, &[], &[0])
        .node("QuantizeLinear", &["x", "s", "z"], "y")
        .output("y", I8);
    let text = refused(&net);
    assert_eq!(text, "`make_y` (QuantizeLinear): it divides F16 by a scale of F32");
}

#[test]
fn what_is_not_here_is_named() {
    let blocks = quantizing(&[1.0], &[], I8, &[0]).with("block_size", 2);
    assert_eq!(refused(&blocks), "`make_y` (QuantizeLinear): it has blocks of 2 elements");
    let open = quantizing(&[1.0], &[], F8, &[0]).with("saturate", 0);
    assert_eq!(refused(&open), "`make_y` (QuantizeLinear): it does not saturate");
    let wide = Net::new(21)
        .input("x", F32, &[4])
        .constant("s", F32, &[], &le_f32(&[1.0]))
        .constant("z", ElemType::Int16, &[], &[0; 2])
        .node("QuantizeLinear", &["x", "s", "z"], "y")
        .output("y", ElemType::Int16);
    assert_eq!(refused(&wide), "`make_y` (QuantizeLinear): there are no codes int16 here");
}

#[test]
fn nobody_computes_with_codes() {
    let sum = Net::new(19).input("x", F8, &[4]).node("Add", &["x", "x"], "y").output("y", F8);
    assert_eq!(refused(&sum), "`make_y` (Add): it computes with float8e4m3fn");
    let cast = Net::new(19)
        .input("x", F8, &[4])
        .node("Cast", &["x"], "y")
        .with("to", ElemType::Int64.code().into())
        .output("y", ElemType::Int64);
    let want = "`make_y` (Cast): there are no casts between FP8 and int64 here";
    assert_eq!(refused(&cast), want);
}

/// A scale that a graph computes is not known before it runs.
#[test]
fn a_computed_scale_is_checked_when_it_runs() {
    let net = Net::new(19)
        .input("x", ElemType::Float16, &[-1, 4])
        .input("s", ElemType::Float16, &[-1])
        .constant("z", I8, &[3], &[0; 3])
        .constant("c", ElemType::Float16, &[], &le_f16(&[1.0]))
        .node("QuantizeLinear", &["x", "s", "z"], "y")
        .output("y", I8);
    let half = |shape: &[usize]| {
        super::model::floats(ElemType::Float16, shape, &vec![1.0; shape.iter().product()])
    };
    let feeds = [("x".to_owned(), half(&[2, 4])), ("s".to_owned(), half(&[3]))].into();
    let error = net.on_tract(&feeds).unwrap_err();
    assert!(
        matches!(&error, RunError::Run { reason, .. } if reason.contains("3 scales for axis 1")),
        "{error}"
    );
}
