//! FP8 and INT8 codes against their definitions.

use onr_calibration::{fp8, int8};

/// S.EEEE.MMM with bias 7, by the words of the definition.
fn defined(code: u8) -> f64 {
    let sign = if code >= 128 { -1.0 } else { 1.0 };
    let exponent = f64::from(code / 8 % 16);
    let fraction = f64::from(code % 8) / 8.0;
    match (code / 8 % 16, code % 8) {
        (15, 7) => f64::NAN,
        (0, _) => sign * fraction * (-6.0_f64).exp2(),
        _ => sign * (1.0 + fraction) * (exponent - 7.0).exp2(),
    }
}

#[test]
fn every_code_decodes_as_defined_and_comes_back() {
    for code in 0..=255_u8 {
        let value = f64::from(fp8::decode(code));
        if code & 0x7f == fp8::NAN {
            assert!(value.is_nan());
        } else {
            assert_eq!(value.to_bits(), defined(code).to_bits(), "{code:02x}");
        }
        assert_eq!(fp8::encode(fp8::decode(code)), code, "{code:02x}");
    }
    assert_eq!(fp8::decode(0x7e), fp8::MAX);
}

#[test]
fn between_codes_the_nearest_is_taken_and_ties_go_to_even() {
    for code in 0..0x7e_u8 {
        let middle = f32::midpoint(fp8::decode(code), fp8::decode(code + 1));
        let even = if code % 2 == 0 { code } else { code + 1 };
        for (sign, flag) in [(1.0, 0), (-1.0, 0x80)] {
            assert_eq!(fp8::encode(sign * middle), even | flag, "{middle}");
            assert_eq!(fp8::encode(sign * middle.next_down()), code | flag, "below {middle}");
            assert_eq!(fp8::encode(sign * middle.next_up()), (code + 1) | flag, "above {middle}");
        }
    }
}

#[test]
fn what_is_too_large_saturates() {
    for large in [448.0, 460.0, 464.0, 465.0, 1e9, f32::MAX, f32::INFINITY] {
        assert_eq!((fp8::encode(large), fp8::encode(-large)), (0x7e, 0xfe), "{large}");
    }
    assert_eq!(fp8::encode(f32::NAN) & 0x7f, 0x7f);
    assert_eq!((fp8::encode(f32::MIN_POSITIVE), fp8::encode(-1e-40)), (0, 0x80));
}

#[test]
fn int8_rounds_half_to_even_and_saturates() {
    let cases = [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (-2.5, -2), (126.6, 127)];
    for (value, code) in cases {
        assert_eq!(int8::quantize(value, 1.0), code, "{value}");
    }
    let ends = [(127.5, 127), (1e30, 127), (f32::INFINITY, 127), (-128.5, -128), (-1e30, -128)];
    for (value, code) in ends {
        assert_eq!(int8::quantize(value, 1.0), code, "{value}");
    }
    assert_eq!(int8::quantize(f32::NAN, 1.0), 0);
}

#[test]
fn int8_divides() {
    // 0.35 / 0.1 is the tie 3.5 in F32, multiplying by the reciprocal is not always the same.
    let (mut differ, scale) = (0, 0.1_f32);
    for i in -1270..=1270_i16 {
        let value = f32::from(i) * 0.01;
        let expected = (value / scale).round_ties_even() as i8;
        assert_eq!(int8::quantize(value, scale), expected);
        differ += u32::from((value * (1.0 / scale)).round_ties_even() as i8 != expected);
    }
    assert!(differ > 0, "the test tells division from multiplication");
}
