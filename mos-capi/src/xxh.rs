//! xxHash, by its specification: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>.

/// The 32 bit hash.
pub(crate) fn xxh32(octets: &[u8], seed: u32) -> u32 {
    const P: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let (stripes, rest) = octets.as_chunks::<16>();
    let mut hash = if stripes.is_empty() {
        seed.wrapping_add(P[4])
    } else {
        let first = seed.wrapping_add(P[0]).wrapping_add(P[1]);
        let mut lanes = [first, seed.wrapping_add(P[1]), seed, seed.wrapping_sub(P[0])];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks().0) {
                let sum = lane.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P[1]));
                *lane = sum.rotate_left(13).wrapping_mul(P[0]);
            }
        }
        let turned = lanes.into_iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
        turned.fold(0, u32::wrapping_add)
    };
    hash = hash.wrapping_add(octets.len() as u32); // modulo 2^32, as specified
    let (words, rest) = rest.as_chunks();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P[2]));
        hash = hash.rotate_left(17).wrapping_mul(P[3]);
    }
    for octet in rest {
        hash = hash.wrapping_add(u32::from(*octet).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(P[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(P[2]);
    hash ^ hash >> 16
}

/// The primes of the 64 bit hash.
const P: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// The 64 bit hash.
pub(crate) fn xxh64(octets: &[u8], seed: u64) -> u64 {
    let (stripes, rest) = octets.as_chunks::<32>();
    let mut hash = if stripes.is_empty() { seed.wrapping_add(P[4]) } else { converge(stripes, seed) };
    hash = hash.wrapping_add(octets.len() as u64);
    let (words, rest) = rest.as_chunks();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(P[0]).wrapping_add(P[3]);
    }
    let (halves, rest) = rest.as_chunks();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(P[0]);
        hash = hash.rotate_left(23).wrapping_mul(P[1]).wrapping_add(P[2]);
    }
    for octet in rest {
        hash = (hash ^ u64::from(*octet).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(P[1]);
    hash = (hash ^ hash >> 29).wrapping_mul(P[2]);
    hash ^ hash >> 32
}

/// The four lanes over whole stripes, made one.
fn converge(stripes: &[[u8; 32]], seed: u64) -> u64 {
    let first = seed.wrapping_add(P[0]).wrapping_add(P[1]);
    let mut lanes = [first, seed.wrapping_add(P[1]), seed, seed.wrapping_sub(P[0])];
    for stripe in stripes {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks().0) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
    let sum = turned.fold(0, u64::wrapping_add);
    lanes.iter().fold(sum, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(P[0]).wrapping_add(P[3]))
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P[1])).rotate_left(31).wrapping_mul(P[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the published implementation gives.
    #[test]
    fn hashes_are_the_published_ones() {
        let table: [(&[u8], u32, u64); 4] = [
            (b"", 0x02cc_5d05, 0xef46_db37_51d8_e999),
            (b"a", 0x550d_7456, 0xd24e_c4f1_a98c_6e5b),
            (b"abc", 0x32d1_53ff, 0x44bc_2cf5_ad77_0999),
            (b"Nobody inspects the spammish repetition", 0xe229_3b2f, 0xfbce_a83c_8a37_8bf1),
        ];
        for (octets, short, long) in table {
            assert_eq!((xxh32(octets, 0), xxh64(octets, 0)), (short, long), "{octets:?}");
        }
    }

    /// What `xxhsum` 0.8 and its kin give, with seeds: no stripe, words alone, one stripe and many, each with a rest.
    #[test]
    fn seeds_and_lengths_count() {
        let octets: Vec<u8> = (0..101_u8).map(|i| i.wrapping_mul(7).wrapping_add(3)).collect();
        let table = [
            (1, 0x99ba_fee8, 0xc960_5b95_df42_dc9b),
            (14, 0xa970_bf30, 0x53fd_5e91_6ca6_1752),
            (31, 0x5446_2da7, 0xe8cb_f0e0_0f19_0c6e),
            (101, 0x0d9f_2962, 0xb3c8_b905_8de2_ba80),
        ];
        for (length, short, long) in table {
            let octets = &octets[..length];
            assert_eq!(xxh32(octets, 0x9e37_79b1), short, "{length}");
            assert_eq!(xxh64(octets, 0x9e37_79b1_85eb_ca87), long, "{length}");
        }
    }
}
