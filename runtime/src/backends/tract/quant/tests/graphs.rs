//! Whole graphs, beside ONNX Runtime that optimises nothing.

use onr_calibration::fp8;
use onr_onnx::ElemType;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tract_onnx::tract_core::ops::konst::Const;

use super::{
    super::coding::Coding,
    model::{Net, le_f32},
};
use crate::{
    backends::tract::{TractBackend, TractSession},
    tensor::{Feeds, HostTensor},
};

const F32: ElemType = ElemType::Float;
const I8: ElemType = ElemType::Int8;
const F8: ElemType = ElemType::Float8E4M3Fn;
const I64: ElemType = ElemType::Int64;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(11)
}

fn bytes(count: usize) -> Vec<u8> {
    let mut rng = rng();
    // No NaN among FP8 codes: one would hide every sum that it is part of.
    (0..count).map(|_| rng.random()).map(|b: u8| if b & 0x7f == 0x7f { 0 } else { b }).collect()
}

fn uniform(count: usize, low: f32, high: f32) -> Vec<f32> {
    let mut rng = rng();
    (0..count).map(|_| rng.random_range(low..high)).collect()
}

/// `y = dq(q(x)) . dq(w) + dq(b)`: weights per channel, transposed on the way when `flipped`. What
/// quantization makes is an output too.
fn product(codes: ElemType, flipped: bool) -> Net {
    const K: usize = 96;
    const N: usize = 40;
    let (dims, axis) = if flipped { ([40, 96], 0) } else { ([96, 40], 1) };
    let net = Net::new(19)
        .input("x", F32, &[-1, -1, 96])
        .constant("xs", F32, &[], &le_f32(&[0.02]))
        .constant("xz", codes, &[], &[0])
        .constant("w", codes, &dims, &bytes(K * N))
        .constant("ws", F32, &[40], &le_f32(&uniform(N, 0.001, 0.02)))
        .constant("wz", codes, &[40], &[0; N])
        .constant("b", ElemType::Int32, &[40], &bytes(4 * N))
        .constant("bs", F32, &[40], &le_f32(&uniform(N, 1e-9, 1e-8)))
        .constant("bz", ElemType::Int32, &[40], &[0; 4 * N])
        .node("QuantizeLinear", &["x", "xs", "xz"], "q")
        .node("DequantizeLinear", &["q", "xs", "xz"], "dq")
        .node("DequantizeLinear", &["w", "ws", "wz"], "dw")
        .with("axis", axis)
        .node("DequantizeLinear", &["b", "bs", "bz"], "db")
        .with("axis", 0);
    let net = if flipped {
        net.node("Transpose", &["dw"], "m")
    } else {
        net.node("Identity", &["dw"], "m")
    };
    net.node("MatMul", &["dq", "m"], "p")
        .node("Add", &["p", "db"], "y")
        .output("q", codes)
        .output("dq", F32)
        .output("dw", F32)
        .output("db", F32)
        .output("y", F32)
}

#[test]
fn a_quantized_product_differs_by_the_order_of_its_sums_only() {
    for codes in [I8, F8] {
        for flipped in [false, true] {
            let net = product(codes, flipped);
            for rows in [1, 7, 33] {
                let x = HostTensor::of(&[2, rows, 96], uniform(2 * rows * 96, -4.0, 4.0));
                compare(&net, &Feeds::from([("x".to_owned(), x)]), &format!("{codes} {flipped}"));
            }
        }
    }
}

/// All outputs to the bit, `y` to the rounding of a sum.
fn compare(net: &Net, feeds: &Feeds, words: &str) {
    let (mut want, mut got) = (net.on_ort(feeds), net.on_tract(feeds).unwrap());
    let (want_y, got_y) = (want.remove("y").unwrap(), got.remove("y").unwrap());
    assert_eq!(got, want, "{words}");
    let (want_y, got_y) = (want_y.to_f32().unwrap(), got_y.to_f32().unwrap());
    let largest = want_y.iter().fold(0_f32, |m, x| m.max(x.abs()));
    for (got, want) in got_y.iter().zip(&want_y) {
        assert!((got - want).abs() <= 1e-6 * largest, "{words}: {got} for {want}");
    }
}

#[test]
fn quantization_survives_reshapes_and_transposes_around_it() {
    let net = Net::new(21)
        .input("x", F32, &[-1, 6, 8])
        .constant("s", F32, &[8], &le_f32(&uniform(8, 0.01, 0.1)))
        .constant("z", I8, &[8], &bytes(8))
        .constant("to", I64, &[3], &[0_i64, 8, -1].map(i64::to_le_bytes).concat())
        .node("Transpose", &["x"], "t")
        .node("Transpose", &["t"], "u")
        .node("QuantizeLinear", &["u", "s", "z"], "q")
        .with("axis", -1)
        .node("Reshape", &["q", "to"], "r")
        .with("allowzero", 0)
        .node("Transpose", &["r"], "v")
        .node("DequantizeLinear", &["v", "s", "z"], "d")
        .with("axis", 1)
        .node("Transpose", &["d"], "y")
        .output("q", I8)
        .output("y", F32);
    for rows in [1, 5] {
        let x = HostTensor::of(&[rows, 6, 8], uniform(rows * 48, -6.0, 6.0));
        net.agrees(&Feeds::from([("x".to_owned(), x)]), "moved");
    }
}

#[test]
fn a_second_quantization_is_no_identity() {
    let net = Net::new(19)
        .input("x", F32, &[-1])
        .constant("a", F32, &[], &le_f32(&[0.1]))
        .constant("b", F32, &[], &le_f32(&[0.07]))
        .constant("z", I8, &[], &[3])
        .constant("f", F8, &[], &[0])
        .node("QuantizeLinear", &["x", "a", "z"], "q")
        .node("DequantizeLinear", &["q", "a", "z"], "d")
        .node("QuantizeLinear", &["d", "b", "f"], "r")
        .node("DequantizeLinear", &["r", "b", "f"], "y")
        .output("y", F32);
    let x = HostTensor::of(&[3000], uniform(3000, -20.0, 20.0));
    net.agrees(&Feeds::from([("x".to_owned(), x)]), "twice");
}

/// Rows of codes with a scale each, looked up together.
fn table(elem: ElemType, raw: &[u8]) -> Net {
    Net::new(21)
        .input("ids", I64, &[-1])
        .constant("codes", elem, &[8, 6], raw)
        .constant("scales", F32, &[8, 1], &le_f32(&uniform(8, 0.01, 0.1)))
        .node("Gather", &["codes", "ids"], "rows")
        .node("Gather", &["scales", "ids"], "by")
        .node("Cast", &["rows"], "numbers")
        .with("to", 1)
        .node("Mul", &["numbers", "by"], "y")
        .output("y", F32)
}

fn ids() -> Feeds {
    Feeds::from([("ids".to_owned(), HostTensor::of(&[4], vec![5_i64, 0, 7, 5]))])
}

#[test]
fn a_table_of_codes_is_looked_up() {
    table(I8, &bytes(48)).agrees(&ids(), "int8");
    table(ElemType::Uint8, &bytes(48)).agrees(&ids(), "uint8");
}

/// ONNX allows no `Gather` of FP8 and 4 bits, so ONNX Runtime can't be asked.
#[test]
fn a_table_of_fp8_or_half_bytes_is_looked_up() {
    let scales = uniform(8, 0.01, 0.1);
    let want = |number: &dyn Fn(usize) -> f32| -> Vec<f32> {
        let rows = [5, 0, 7, 5].into_iter();
        rows.flat_map(|row| (0..6).map(move |c| (row, row * 6 + c)))
            .map(|(row, at)| number(at) * scales[row])
            .collect()
    };
    let raw = bytes(48);
    let got = |elem, raw: &[u8]| table(elem, raw).on_tract(&ids()).unwrap()["y"].to_f32().unwrap();
    assert_eq!(got(F8, &raw), want(&|at| fp8::decode(raw[at])));
    let half = |at: usize| if at.is_multiple_of(2) { raw[at / 2] & 15 } else { raw[at / 2] >> 4 };
    assert_eq!(got(ElemType::Uint4, &raw[..24]), want(&|at| half(at).into()));
    let signed = |at| f32::from((half(at) << 4).cast_signed() >> 4);
    assert_eq!(got(ElemType::Int4, &raw[..24]), want(&signed));
}

#[test]
fn weights_are_numbers_once_the_graph_is_read() {
    let dir = TempDir::new().unwrap();
    let session: TractSession =
        TractBackend::new().session(&product(I8, true).write(&dir)).unwrap();
    let nodes = session.parsed.model.nodes();
    let left: Vec<_> =
        nodes.iter().filter(|n| n.op_is::<Coding>()).map(|n| n.name.as_str()).collect();
    assert_eq!(left, ["make_q", "make_dq"]);
    let held = |name: &str| nodes.iter().any(|n| n.name == name && n.op_is::<Const>());
    assert!(held("make_dw") && held("make_db"), "weights");
    assert!(!held("w") && !held("b"), "their codes are still there");
}

#[test]
fn codes_go_in_and_come_out() {
    for elem in [I8, F8] {
        let net = Net::new(19)
            .input("past", elem, &[-1, 3])
            .input("x", F32, &[-1, 3])
            .constant("s", F32, &[], &le_f32(&[0.05]))
            .constant("z", elem, &[], &[0])
            .node("QuantizeLinear", &["x", "s", "z"], "q")
            .node("Identity", &["past"], "kept")
            .node("DequantizeLinear", &["past", "s", "z"], "y")
            .output("q", elem)
            .output("kept", elem)
            .output("y", F32);
        let past = super::model::codes(elem, &[2, 3], &bytes(6));
        let x = HostTensor::of(&[4, 3], uniform(12, -9.0, 9.0));
        let feeds = Feeds::from([("past".to_owned(), past.clone()), ("x".to_owned(), x)]);
        assert_eq!(net.agrees(&feeds, &elem.to_string())["kept"], past);
    }
}
