//! Hashes that stay the same over versions and machines.

use sha2::{Digest, Sha256};

/// 128 bits that stand for an external id: the beginning of its SHA-256, big-endian.
pub(crate) type Id = [u64; 2];

/// The hash of an external id.
pub(crate) fn id(text: &str) -> Id {
    let digest = Sha256::digest(text);
    let word = |from: usize| {
        let bytes = digest.iter().skip(from).take(8);
        bytes.fold(0, |hash, &byte| hash << 8 | u64::from(byte))
    };
    [word(0), word(8)]
}

/// Mixes numbers into one, each bit of each into all bits (the finaliser of SplitMix64).
pub(crate) fn mix(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |hash: u64, number| {
        let mut z = (hash ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_for_ever() {
        assert_eq!(id("abc"), [0xba78_16bf_8f01_cfea, 0x4141_40de_5dae_2223]);
        assert_eq!(mix(&[0]), 0xe220_a839_7b1d_cdaf);
        assert_ne!(mix(&[1, 2]), mix(&[2, 1]));
    }
}
