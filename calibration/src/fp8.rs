//! FP8 E4M3 as ONNX's `FLOAT8E4M3FN`: bias 7, no infinities, NaN is `S.1111.111`, the largest number is 448.

/// The largest finite magnitude.
pub const MAX: f32 = 448.0;
/// Code of NaN without sign.
pub const NAN: u8 = 0x7f;

const SIGN: u8 = 0x80;
/// Code of [`MAX`] without sign.
const TOP: u8 = 0x7e;

/// The nearest code, ties to the even one. What is beyond 448 saturates, infinities too (ONNX's
/// `saturate = 1`); NaN keeps its sign.
#[must_use]
pub fn encode(value: f32) -> u8 {
    let bits = value.to_bits();
    let sign = (bits >> 24) as u8 & SIGN;
    let magnitude = value.abs();
    let code = if value.is_nan() {
        NAN
    } else if magnitude >= MAX {
        TOP
    } else if magnitude < 0.015_625 {
        // Subnormal, below 2^-6: multiples of 2^-9. Eight of them are the code of the smallest normal.
        (magnitude * 512.0).round_ties_even() as u8
    } else {
        // Keep 3 of 23 bits of fraction; a carry moves on into the exponent, as it should.
        let bits = magnitude.to_bits();
        let half = 0x7_ffff + ((bits >> 20) & 1);
        (((bits + half) >> 20) - ((127 - 7) << 3)) as u8
    };
    sign | code
}

/// The value of a code, exact.
#[must_use]
pub fn decode(code: u8) -> f32 {
    let (exponent, fraction) = (i32::from((code >> 3) & 0xf), f32::from(code & 7));
    let magnitude = match (exponent, code & !SIGN) {
        (_, NAN) => f32::NAN,
        (0, _) => fraction / 512.0,
        _ => (1.0 + fraction / 8.0) * 2.0_f32.powi(exponent - 7),
    };
    if code & SIGN == 0 { magnitude } else { -magnitude }
}

/// `value` as the codes have it: divided by `scale`, encoded, decoded, multiplied by `scale`.
#[must_use]
pub fn round_trip(value: f32, scale: f32) -> f32 {
    decode(encode(value / scale)) * scale
}
