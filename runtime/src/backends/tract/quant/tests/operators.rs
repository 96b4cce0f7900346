//! One operator at a time, on random numbers, ties, extremes and what is no number.

use onr_onnx::{ElemType, proto::TensorProto};
use rand::{Rng as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use super::model::{Net, codes, floats, le};
use crate::tensor::Feeds;

const F32: ElemType = ElemType::Float;
const F16: ElemType = ElemType::Float16;
const F8: ElemType = ElemType::Float8E4M3Fn;
const SHAPE: [usize; 3] = [3, 4, 50];

fn feed(tensor: crate::tensor::HostTensor) -> Feeds {
    Feeds::from([("x".to_owned(), tensor)])
}

/// Scales of all magnitudes, the smallest subnormal in the type.
fn scales(rng: &mut ChaCha8Rng, elem: ElemType, count: usize) -> Vec<f32> {
    let (low, high) = if elem == F32 { (-149, 100) } else { (-24, 14) };
    let exponents = [low, low + 3, -6, -3, 0, 1, high];
    let one = |rng: &mut ChaCha8Rng| {
        let exponent = *exponents.choose(rng).unwrap();
        let exact = exponent <= low + 3 || rng.random_bool(0.3);
        2_f64.powi(exponent) as f32 * if exact { 1.0 } else { rng.random_range(1.0..2.0) }
    };
    (0..count).map(|_| one(rng)).collect()
}

/// Numbers around the codes of one of `scales`, every tenth of them special.
fn numbers(rng: &mut ChaCha8Rng, scales: &[f32], count: usize) -> Vec<f32> {
    const SPECIAL: [f32; 12] = [
        f32::NAN,
        -f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        -1e-45,
        65504.0,
    ];
    let one = |rng: &mut ChaCha8Rng| {
        let scale = *scales.choose(rng).unwrap();
        match rng.random_range(0..10) {
            0 => *SPECIAL.choose(rng).unwrap(),
            1..4 => scale * (rng.random_range(-300..300) as f32 + 0.5),
            4 => scale * rng.random_range(-1e10..1e10_f32),
            5 => {
                scale * 2_f32.powi(rng.random_range(-11..10)) * rng.random_range(-16..17) as f32
                    / 16.0
            }
            _ => scale * rng.random_range(-520.0..520.0_f32),
        }
    };
    (0..count).map(|_| one(rng)).collect()
}

/// Scale and zero point of one test: a scalar, a list of one, or a list along an axis.
struct Spread {
    axis: Option<i64>,
    dims: Vec<i64>,
    count: usize,
}

fn spreads() -> Vec<Spread> {
    let along = |axis: i64| {
        let at = usize::try_from(if axis < 0 { axis + 3 } else { axis }).unwrap();
        Spread { axis: Some(axis), dims: vec![SHAPE[at] as i64], count: SHAPE[at] }
    };
    let whole = |dims| Spread { axis: None, dims, count: 1 };
    let mut all = vec![whole(vec![]), whole(vec![1])];
    all.extend([0, 1, 2, -1, -3].map(along));
    all
}

fn with_axis(net: Net, spread: &Spread) -> Net {
    match spread.axis {
        Some(axis) => net.with("axis", axis),
        None => net,
    }
}

/// Random zero points, or zeros where the type has no others.
fn zeros(rng: &mut ChaCha8Rng, elem: ElemType, count: usize) -> Vec<u8> {
    (0..count).map(|_| if elem == F8 { 0 } else { rng.random() }).collect()
}

fn quantizes(x: ElemType, y: ElemType, opset: i64) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for spread in spreads() {
        let scales = scales(&mut rng, x, spread.count);
        let zeros = zeros(&mut rng, y, spread.count);
        let values = numbers(&mut rng, &scales, SHAPE.iter().product());
        let net = Net::new(opset)
            .input("x", x, &[-1, 4, 50])
            .constant("s", x, &spread.dims, &le(x, &scales))
            .constant("z", y, &spread.dims, &zeros)
            .node("QuantizeLinear", &["x", "s", "z"], "y");
        let net = with_axis(net, &spread);
        // Bytes do not leave a session.
        let net = match y {
            ElemType::Uint8 => net.node("Cast", &["y"], "n").with("to", 1).output("n", F32),
            _ => net.output("y", y),
        };
        let words = format!("{x} to {y} at {opset}, axis {:?}", spread.axis);
        net.agrees(&feed(floats(x, &SHAPE, &values)), &words);
    }
}

#[test]
fn quantize_linear() {
    for opset in [13, 19, 21] {
        quantizes(F32, ElemType::Int8, opset);
        quantizes(F32, ElemType::Uint8, opset);
    }
    for opset in [19, 21] {
        quantizes(F32, F8, opset);
        quantizes(F16, ElemType::Int8, opset);
        quantizes(F16, ElemType::Uint8, opset);
        quantizes(F16, F8, opset);
    }
}

#[test]
fn without_a_zero_point_codes_are_bytes_unless_the_node_says_otherwise() {
    let values: Vec<f32> = (-300..300).map(|n| n as f32 * 0.25).collect();
    let x = feed(floats(F32, &[600], &values));
    let net = |opset| {
        Net::new(opset).input("x", F32, &[600]).constant("s", F32, &[], &le(F32, &[0.5])).node(
            "QuantizeLinear",
            &["x", "s"],
            "q",
        )
    };
    net(13).node("Cast", &["q"], "y").with("to", 1).output("y", F32).agrees(&x, "bytes");
    for elem in [ElemType::Int8, F8] {
        let net = net(21).with("output_dtype", elem.code().into()).output("q", elem);
        net.agrees(&x, &elem.to_string());
    }
}

/// Codes of a type as they are stored, in a tensor of [`SHAPE`].
fn stored(rng: &mut ChaCha8Rng, elem: ElemType) -> Vec<u8> {
    let count: usize = SHAPE.iter().product();
    (0..(count * elem.bits()).div_ceil(8)).map(|_| rng.random()).collect()
}

fn dequantizes(x: ElemType, y: ElemType, opset: i64) {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let dims = SHAPE.map(|size| size as i64);
    for spread in spreads() {
        let scales = scales(&mut rng, y, spread.count);
        let raw = stored(&mut rng, x);
        let zeros = match x {
            ElemType::Int32 => vec![0; 4 * spread.count],
            // An odd one out is followed by half a byte of nothing.
            x => zeros(&mut rng, x, (spread.count * x.bits()).div_ceil(8)),
        };
        let node = |net: Net| {
            let net = net
                .constant("s", y, &spread.dims, &le(y, &scales))
                .constant("z", x, &spread.dims, &zeros)
                .node("DequantizeLinear", &["x", "s", "z"], "y")
                .output("y", y);
            with_axis(net, &spread)
        };
        let words = format!("{x} to {y} at {opset}, axis {:?}", spread.axis);
        node(Net::new(opset).constant("x", x, &dims, &raw)).agrees(&Feeds::new(), &words);
        if matches!(x, ElemType::Int8 | F8) {
            let net = node(Net::new(opset).input("x", x, &[3, 4, -1]));
            net.agrees(&feed(codes(x, &SHAPE, &raw)), &format!("{words}, fed"));
        }
    }
}

#[test]
fn dequantize_linear() {
    let eight = [ElemType::Int8, ElemType::Uint8, ElemType::Int32];
    for x in eight {
        dequantizes(x, F32, 13);
        dequantizes(x, F16, 19);
    }
    for x in eight.into_iter().chain([F8, ElemType::Int4, ElemType::Uint4]) {
        dequantizes(x, F32, 21);
        dequantizes(x, F16, 21);
    }
}

#[test]
fn an_odd_number_of_half_bytes_also_as_a_list() {
    for elem in [ElemType::Int4, ElemType::Uint4] {
        let listed = TensorProto {
            name: Some("x".to_owned()),
            data_type: Some(elem.code()),
            dims: vec![5],
            int32_data: vec![0x87, 0xf0, 0x03],
            ..TensorProto::default()
        };
        let net = |net: Net| {
            net.constant("s", F32, &[], &le(F32, &[0.5]))
                .node("DequantizeLinear", &["x", "s"], "y")
                .node("Cast", &["x"], "c")
                .with("to", 10)
                .output("y", F32)
                .output("c", F16)
        };
        let raw = net(Net::new(21).constant("x", elem, &[5], &[0x87, 0xf0, 0x03]));
        let want = raw.agrees(&Feeds::new(), "raw");
        assert_eq!(net(Net::new(21).stored(listed)).on_tract(&Feeds::new()).unwrap(), want);
    }
}

#[test]
fn casts_to_and_from_fp8() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let every: Vec<u8> = (0..=255).collect();
    for wide in [F32, F16] {
        let values: Vec<f32> = numbers(&mut rng, &[1.0], 20_000);
        let to = Net::new(19)
            .input("x", wide, &[-1])
            .node("Cast", &["x"], "y")
            .with("to", F8.code().into())
            .node("Identity", &["y"], "z")
            .output("z", F8);
        to.agrees(&feed(floats(wide, &[values.len()], &values)), &format!("{wide} to FP8"));
        let from = |net: Net| {
            net.node("Cast", &["x"], "y").with("to", wide.code().into()).output("y", wide)
        };
        let x = feed(codes(F8, &[256], &every));
        from(Net::new(19).input("x", F8, &[-1])).agrees(&x, &format!("FP8 to {wide}"));
        let constant = onr_onnx::tensor("", F8, &[256], every.clone());
        let held = Net::new(19).node("Constant", &[], "x").holding(constant);
        from(held).agrees(&Feeds::new(), &format!("constant FP8 to {wide}"));
    }
}
