//! The internet checksum (RFC 1071) and its use by IPv4 and TCP.

use super::{Family, Packet};

/// A running one's complement sum of 16-bit words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds octets; an odd last one counts as the high octet of a word.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Sum {
        // The sum does not depend on how words are grouped (RFC 1071, 2(C)): 32-bit words cannot overflow 64 bits
        // for less than 2^32 of them, and byte order can be put right at the end (2(B)).
        let (words, tail) = bytes.as_chunks::<4>();
        let mut sum: u64 = words.iter().map(|w| u64::from(u32::from_ne_bytes(*w))).sum();
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        sum += u64::from(u32::from_ne_bytes(last));
        Sum(self.0 + sum)
    }

    /// Adds one 16-bit number.
    #[must_use]
    pub fn word(self, word: u16) -> Sum {
        Sum(self.0 + u64::from(word.to_be()))
    }

    /// The folded sum, not complemented. A packet whose checksum is right sums to `0xffff`.
    #[allow(clippy::cast_possible_truncation)] // folded to 16 bits
    pub fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::from_be(sum as u16)
    }
}

/// Whether an IPv4 header's checksum is right.
pub fn ipv4_header_ok(header: &[u8]) -> bool {
    Sum::default().bytes(header).fold() == 0xffff
}

/// Whether the TCP checksum is right. `None` when the capture cut the segment: then it cannot be told.
pub fn tcp_ok(frame: &[u8], packet: &Packet) -> Option<bool> {
    let segment = packet.segment_bytes(frame);
    if segment.len() < packet.segment_len {
        return None;
    }
    let length = u16::try_from(segment.len()).ok()?;
    let addresses = match packet.family {
        Family::V4 => 12..20,
        Family::V6 => 8..40,
    };
    let pseudo = packet.ip_bytes(frame).get(addresses).unwrap_or_default();
    let sum = Sum::default().bytes(pseudo).word(6).word(length).bytes(segment);
    Some(sum.fold() == 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
    }

    proptest! {
        #[test]
        fn agrees_with_the_sum_word_by_word(bytes in prop::collection::vec(any::<u8>(), 0..200), word: u16) {
            let mut naive = u32::from(word);
            for pair in bytes.chunks(2) {
                naive += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            }
            while naive > 0xffff {
                naive = (naive & 0xffff) + (naive >> 16);
            }
            prop_assert_eq!(u32::from(Sum::default().word(word).bytes(&bytes).fold()), naive);
        }
    }
}
