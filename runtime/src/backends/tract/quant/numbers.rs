//! What ONNX Runtime's CPU kernels make of one number.

/// The least and the largest code of an integer type.
pub(super) type Bounds = (i32, i32);

/// The code of an F32: saturated, then rounded to nearest even. NaN becomes the least code.
pub(super) fn quantize_f32(x: f32, scale: f32, zero: i32, (least, largest): Bounds) -> i32 {
    // `max` first: it is what turns NaN into the bound.
    let inside = (x / scale).max((least - zero) as f32).min((largest - zero) as f32);
    inside.round_ties_even() as i32 + zero
}

/// The code of an F16. ONNX Runtime divides in F32, but goes through a 32-bit integer before it
/// saturates: what does not fit there, NaN and both infinities included, becomes the least integer.
pub(super) fn quantize_f16(x: f32, scale: f32, zero: i32, (least, largest): Bounds) -> i32 {
    const BEYOND: f32 = 2_147_483_648.0;
    let rounded = (x / scale).round_ties_even();
    let integer = if (-BEYOND..BEYOND).contains(&rounded) { rounded as i32 } else { i32::MIN };
    integer.wrapping_add(zero).clamp(least, largest)
}

/// The number of a code.
pub(super) fn dequantize(code: i32, scale: f32, zero: i32) -> f32 {
    code.wrapping_sub(zero) as f32 * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    const I8: Bounds = (-128, 127);

    #[test]
    fn ties_go_to_the_even_code_before_the_zero_point_is_added() {
        let codes = [0.5, 1.5, 2.5, -0.5, -1.5].map(|x| quantize_f32(x, 1.0, 3, I8));
        assert_eq!(codes, [3, 5, 5, 3, 1]);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|x| quantize_f16(x, 1.0, 3, I8)), codes);
    }

    #[test]
    fn the_division_is_a_division() {
        // A tie, by division; the rounded reciprocal of 7 makes it less than one.
        let x = -101.5_f32;
        assert_eq!(quantize_f32(x, 7.0, 0, I8), -14);
        assert_eq!((x * (1.0 / 7.0)).round_ties_even(), -15.0);
    }

    #[test]
    fn what_is_no_number_is_the_least_code() {
        assert_eq!(quantize_f32(f32::NAN, 1.0, 3, I8), -128);
        assert_eq!(quantize_f32(f32::INFINITY, 1.0, 3, I8), 127);
        let f16 = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(f16.map(|x| quantize_f16(x, 1.0, 3, I8)), [-128; 3]);
        // The least integer minus one is the largest.
        assert_eq!(quantize_f16(f32::INFINITY, 1.0, -1, I8), 127);
    }
}
