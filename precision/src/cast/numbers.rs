//! The two 16-bit floats: what they can say, and what rounding to them does to numbers.

use half::{bf16, f16};
use onr_onnx::ElemType;
use rayon::prelude::*;

/// FP16's smallest normal number; below it digits go one by one.
pub(super) const SMALLEST_NORMAL: f32 = 6.103_515_6e-5;

/// Numbers from here down are taken for "never" where they mask a softmax.
pub(super) const MASK: f32 = -1e4;

/// Elements of a constant that one task looks at.
const BLOCK: usize = 1 << 16;

/// A 16-bit float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrow {
    F16,
    Bf16,
}

impl Narrow {
    pub(crate) const fn of(elem: ElemType) -> Option<Self> {
        match elem {
            ElemType::Float16 => Some(Self::F16),
            ElemType::Bfloat16 => Some(Self::Bf16),
            _ => None,
        }
    }

    pub(crate) const fn elem(self) -> ElemType {
        match self {
            Self::F16 => ElemType::Float16,
            Self::Bf16 => ElemType::Bfloat16,
        }
    }

    /// The opset from which `Cast` knows the type.
    pub(super) const fn opset(self) -> i64 {
        match self {
            Self::F16 => 6,
            Self::Bf16 => 13,
        }
    }

    /// The nearest number of the type, ties to even, the sign kept.
    pub(super) fn round(self, x: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(x).to_f32(),
            Self::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }

    /// The lowest finite number.
    pub(super) fn lowest(self) -> f32 {
        match self {
            Self::F16 => f16::MIN.to_f32(),
            Self::Bf16 => bf16::MIN.to_f32(),
        }
    }

    /// Up to here all integers are exact.
    pub(super) const fn exact_integers(self) -> f32 {
        match self {
            Self::F16 => 2048.0,
            Self::Bf16 => 256.0,
        }
    }

    /// A measured magnitude from here on keeps a node in F32: half of FP16's largest number, because what
    /// was measured is a sample, and the next request may bring a binade more. BF16 reaches as far as F32.
    pub(crate) const fn overflow(self) -> f32 {
        match self {
            Self::F16 => 32_752.0,
            Self::Bf16 => f32::INFINITY,
        }
    }

    /// Little-endian F32 as little-endian numbers of the type.
    pub(super) fn pack(self, bytes: &[u8]) -> Vec<u8> {
        let mut packed = vec![0; bytes.len() / 2];
        packed.par_chunks_mut(2 * BLOCK).zip(bytes.par_chunks(4 * BLOCK)).for_each(|(to, from)| {
            for (to, x) in to.chunks_exact_mut(2).zip(f32s(from)) {
                let bits = match self {
                    Self::F16 => f16::from_f32(x).to_bits(),
                    Self::Bf16 => bf16::from_f32(x).to_bits(),
                };
                to.copy_from_slice(&bits.to_le_bytes());
            }
        });
        packed
    }
}

/// The numbers of little-endian F32 bytes.
pub(super) fn f32s(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// What a constant holds, as far as a cast asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stats {
    pub(super) count: u64,
    /// Not 0 and below FP16's normal numbers; none for BF16, whose exponents are F32's.
    pub(super) subnormal: u64,
    /// Not 0 and 0 when rounded.
    pub(super) flushed: u64,
    /// Finite and infinite when rounded.
    pub(super) overflowing: u64,
    /// The finite number of the largest magnitude.
    pub(super) largest: f32,
    /// The number of the smallest magnitude that is not 0.
    pub(super) smallest: f32,
    /// The lowest number, `-inf` included.
    pub(super) lowest: f32,
    pub(super) nan: bool,
}

impl Stats {
    const NONE: Self = Self {
        count: 0,
        subnormal: 0,
        flushed: 0,
        overflowing: 0,
        largest: 0.0,
        smallest: f32::INFINITY,
        lowest: f32::INFINITY,
        nan: false,
    };

    /// Of little-endian F32 bytes.
    pub(super) fn of(bytes: &[u8], narrow: Narrow) -> Self {
        let block = |bytes: &[u8]| f32s(bytes).fold(Self::NONE, |stats, x| stats.with(x, narrow));
        bytes.par_chunks(4 * BLOCK).map(block).reduce(|| Self::NONE, Self::and)
    }

    fn with(mut self, x: f32, narrow: Narrow) -> Self {
        let rounded = narrow.round(x);
        self.count += 1;
        self.nan |= x.is_nan();
        self.lowest = self.lowest.min(x);
        if x != 0.0 && !x.is_nan() {
            let small = narrow == Narrow::F16 && x.abs() < SMALLEST_NORMAL;
            self.subnormal += u64::from(small);
            self.flushed += u64::from(rounded == 0.0);
            if x.abs() < self.smallest.abs() {
                self.smallest = x;
            }
        }
        if x.is_finite() {
            self.overflowing += u64::from(rounded.is_infinite());
            if x.abs() > self.largest.abs() {
                self.largest = x;
            }
        }
        self
    }

    fn and(self, other: Self) -> Self {
        let larger = other.largest.abs() > self.largest.abs();
        let smaller = other.smallest.abs() < self.smallest.abs();
        Self {
            count: self.count + other.count,
            subnormal: self.subnormal + other.subnormal,
            flushed: self.flushed + other.flushed,
            overflowing: self.overflowing + other.overflowing,
            largest: if larger { other.largest } else { self.largest },
            smallest: if smaller { other.smallest } else { self.smallest },
            lowest: self.lowest.min(other.lowest),
            nan: self.nan || other.nan,
        }
    }

    /// Whether too much is lost at the small end. A single number is judged by itself: a factor or an
    /// epsilon below the normal numbers is off by up to half of itself. A tensor by [`too_small`].
    pub(super) fn vanishes(&self) -> bool {
        match self.count {
            1 => self.subnormal > 0 || self.flushed > 0,
            _ => self.flushed == self.count || too_small(self.subnormal, self.flushed, self.count),
        }
    }
}

/// Whether too many numbers of a tensor lie below FP16's normal ones, or become 0.
///
/// A bell curve has a tenth of its mass below 2^-14 when its width is about 5e-4: there the steps of the
/// subnormal numbers are still finer than those of its typical number. At half of the mass they no longer are;
/// a tenth keeps a distance. What becomes 0 is lost for a product that scales it up again, so one in a
/// hundred is enough. Activations of trained models have under 1 % and 0.01 %.
pub(crate) fn too_small(subnormal: u64, flushed: u64, count: u64) -> bool {
    subnormal.saturating_mul(10) > count || flushed.saturating_mul(100) > count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Narrow, Stats, f32s};

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn ties_go_to_even_and_signs_stay() {
        let pack = |x: f32| Narrow::F16.pack(&x.to_le_bytes());
        assert_eq!(pack(2049.0), [0x00, 0x68], "2049 lies between 2048 and 2050");
        assert_eq!(pack(2051.0), [0x02, 0x68]);
        assert_eq!(
            pack(-1e-9),
            [0x00, 0x80],
            "a tiny negative is the negative zero, never positive"
        );
        assert_eq!(pack(-4e-8), [0x01, 0x80]);
        assert_eq!(pack(65_519.0), [0xff, 0x7b]);
        assert_eq!(pack(65_520.0), [0x00, 0x7c]);
        assert_eq!(Narrow::Bf16.pack(&f32::MIN.to_le_bytes()), [0x80, 0xff]);
    }

    #[test]
    fn a_scalar_is_judged_by_itself_and_a_tensor_by_its_mass() {
        let vanishes = |x: &[f32]| Stats::of(&bytes(x), Narrow::F16).vanishes();
        assert!(vanishes(&[1e-9]));
        assert!(vanishes(&[1e-5]));
        assert!(!vanishes(&[1e-4]));
        assert!(!vanishes(&[0.0]));
        let mut weights = vec![0.05; 999];
        weights.push(1e-9);
        assert!(!vanishes(&weights));
        assert!(vanishes(&[1e-9; 4]));
        assert!(!Stats::of(&bytes(&[1e-9]), Narrow::Bf16).vanishes());
    }

    proptest! {
        #[test]
        fn rounding_never_changes_a_sign(x in any::<f32>().prop_filter("a number", |x| !x.is_nan())) {
            for narrow in [Narrow::F16, Narrow::Bf16] {
                prop_assert_eq!(narrow.round(x).is_sign_negative(), x.is_sign_negative());
            }
        }

        #[test]
        fn statistics_do_not_depend_on_blocks(x in prop::collection::vec(-1e6_f32..1e6, 1..200)) {
            let bytes = bytes(&x);
            let whole = Stats::of(&bytes, Narrow::F16);
            let parts = f32s(&bytes).map(|x| Stats::of(&x.to_le_bytes(), Narrow::F16));
            prop_assert_eq!(parts.reduce(Stats::and), Some(whole));
        }
    }
}
