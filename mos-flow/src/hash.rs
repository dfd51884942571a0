//! A keyed hash of a few words, which an attacker who does not know the key cannot aim.

use core::fmt;

/// Multilinear hashing over 64-bit words with 128-bit coefficients, of which the upper half is kept.
///
/// With independent random coefficients two different inputs of one length have the same value with probability 2^-64
/// (strongly universal; Lemire and Kaser, "Strongly universal string hashing is fast", theorem 1). Here the
/// coefficients are drawn from a seed of 128 bits, so that is what an attacker has to guess; inputs chosen without it
/// collide like random ones.
#[derive(Clone)]
pub struct KeyedHash {
    offset: u128,
    factors: [u128; KeyedHash::WORDS],
}

impl KeyedHash {
    /// The most words that are hashed.
    pub const WORDS: usize = 8;

    /// A hash from a secret seed. A process should draw a new one at its start.
    pub fn new(seed: [u8; 16]) -> Self {
        let mut state = u128::from_le_bytes(seed);
        let mut draw = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            u128::from(mix(state as u64 ^ (state >> 64) as u64)) << 64 | u128::from(mix((state >> 32) as u64))
        };
        KeyedHash { offset: draw(), factors: core::array::from_fn(|_| draw()) }
    }

    /// The hash of up to [`KeyedHash::WORDS`] words. Zeros at the end do not change it: inputs of several lengths have
    /// to say their length.
    #[inline]
    pub fn hash(&self, words: &[u64]) -> u64 {
        debug_assert!(words.len() <= Self::WORDS);
        let sum = words
            .iter()
            .zip(&self.factors)
            .fold(self.offset, |h, (w, f)| h.wrapping_add(f.wrapping_mul(u128::from(*w))));
        #[allow(clippy::cast_possible_truncation)] // the upper half
        let upper = (sum >> 64) as u64;
        upper
    }
}

impl fmt::Debug for KeyedHash {
    /// Does not show the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash")
    }
}

/// The two words of an address, for hashing.
pub(crate) fn address_words(address: &[u8; 16]) -> [u64; 2] {
    let (halves, _) = address.as_chunks::<8>();
    core::array::from_fn(|i| halves.get(i).map_or(0, |h| u64::from_ne_bytes(*h)))
}

/// A bijective mix of 64 bits (the finaliser of SplitMix64), to spread a seed.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_word_and_the_seed_matter() {
        let (one, two) = (KeyedHash::new([1; 16]), KeyedHash::new([2; 16]));
        let base = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut values = HashSet::from([one.hash(&base), two.hash(&base)]);
        for i in 0..KeyedHash::WORDS {
            for bit in [0, 17, 63] {
                let mut words = base;
                words[i] ^= 1 << bit;
                values.insert(one.hash(&words));
            }
        }
        assert_eq!(values.len(), 2 + 3 * KeyedHash::WORDS);
    }

    #[test]
    fn values_spread_over_both_halves() {
        let hash = KeyedHash::new([3; 16]);
        let values: [HashSet<u64>; 2] =
            [32, 0].map(|shift| (0..40_000).map(|i| hash.hash(&[i, 7]) >> shift & 0xffff_ffff).collect());
        // 40,000 values of 32 bits: about 0.2 collisions are expected.
        assert!(values.iter().all(|v| v.len() > 39_990), "{:?}", values.map(|v| v.len()));
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(std::format!("{:?}", KeyedHash::new([4; 16])), "KeyedHash");
    }
}
