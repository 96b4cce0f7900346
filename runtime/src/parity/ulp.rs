//! Distance in units of the last place.

use half::{bf16, f16};
use onr_graphs::DType;

/// How many representable numbers of `dtype` two numbers are apart, each rounded to it first. Both zeros are one
/// number. `None` for what is not a number, and for types that are no floats.
pub(super) fn ulps(a: f32, b: f32, dtype: DType) -> Option<u64> {
    if a.is_nan() || b.is_nan() {
        return None;
    }
    let place = |x: f32| match dtype {
        DType::F32 => ordered(i64::from(x.to_bits()), 1 << 31),
        DType::F16 => ordered(i64::from(f16::from_f32(x).to_bits()), 1 << 15),
        DType::BF16 => ordered(i64::from(bf16::from_f32(x).to_bits()), 1 << 15),
        _ => 0,
    };
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16).then(|| place(a).abs_diff(place(b)))
}

/// The place of a float among all of its type, 0 for both zeros.
const fn ordered(bits: i64, sign: i64) -> i64 {
    if bits < sign { bits } else { sign - bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_apart() {
        for (dtype, next) in [
            (DType::F32, 1.0 + f32::EPSILON),
            (DType::F16, 1.0 + 1.0 / 1024.0),
            (DType::BF16, 1.0 + 1.0 / 128.0),
        ] {
            assert_eq!(ulps(1.0, next, dtype), Some(1), "{dtype:?}");
            assert_eq!(ulps(-1.0, -next, dtype), Some(1), "{dtype:?}");
            assert_eq!(ulps(1.0, 1.0, dtype), Some(0), "{dtype:?}");
        }
    }

    #[test]
    fn zero_has_one_place_between_its_neighbours() {
        let tiny = f32::from_bits(1);
        assert_eq!(ulps(0.0, -0.0, DType::F32), Some(0));
        assert_eq!(ulps(tiny, -tiny, DType::F32), Some(2));
        assert_eq!(ulps(f32::MAX, f32::INFINITY, DType::F32), Some(1));
    }

    #[test]
    fn what_is_no_number_has_no_distance() {
        assert_eq!(ulps(f32::NAN, 1.0, DType::F32), None);
        assert_eq!(ulps(1.0, 1.0, DType::I8), None);
    }
}
