//! The internet checksum (RFC 1071), its use by IPv4, TCP and UDP, and its update after an edit (RFC 1624).

use super::packet::{TCP, UDP};
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

/// Whether the checksum of a packet's IP header is right; IPv6 has none.
pub fn ip_ok(frame: &[u8], packet: &Packet) -> bool {
    let (header, _) = packet.unfragmentable(frame);
    packet.family == Family::V6 || ipv4_header_ok(header)
}

/// Whether an IPv4 header's checksum is right.
pub fn ipv4_header_ok(header: &[u8]) -> bool {
    Sum::default().bytes(header).fold() == 0xffff
}

/// Whether the TCP checksum is right. `None` when it cannot be told: the capture cut the segment, or it is a fragment.
pub fn tcp_ok(frame: &[u8], packet: &Packet) -> Option<bool> {
    let segment = packet.segment_bytes(frame);
    if segment.len() < packet.segment_len || packet.fragment.is_some() {
        return None;
    }
    Some(pseudo_header(frame, packet, TCP, segment.len())?.bytes(segment).fold() == 0xffff)
}

/// Whether the UDP checksum is right. `None` when it cannot be told: as for TCP, or the sender computed none.
pub fn udp_ok(frame: &[u8], packet: &Packet) -> Option<bool> {
    let header = packet.udp(frame)?;
    if header.checksum.get() == 0 {
        return None;
    }
    // The datagram may be shorter than what IP carries.
    let datagram = packet.segment_bytes(frame).get(..header.len.get().into())?;
    Some(pseudo_header(frame, packet, UDP, datagram.len())?.bytes(datagram).fold() == 0xffff)
}

/// Makes the checksum of a TCP or UDP packet whose sender has left that to its network card: then the field has the sum of the
/// pseudo header alone, not complemented. Returns whether it had. A checksum that is right stays what it is; what is not all
/// there, or is a fragment, is left alone.
pub fn complete(frame: &mut [u8], packet: &Packet) -> bool {
    let at = match packet.protocol {
        TCP => 16,
        UDP => 6,
        _ => return false,
    };
    let segment = packet.segment_bytes(frame);
    let Some(field) = segment.get(at..).and_then(<[u8]>::first_chunk).map(|field| u16::from_be_bytes(*field))
    else {
        return false;
    };
    let pseudo = pseudo_header(frame, packet, packet.protocol, segment.len()).map(Sum::fold);
    if pseudo != Some(field) || packet.fragment.is_some() || segment.len() < packet.segment_len {
        return false;
    }
    let sum = match !Sum::default().bytes(segment).fold() {
        // Of UDP a checksum of 0 is none (RFC 768).
        0 if packet.protocol == UDP => 0xffff,
        sum => sum,
    };
    let place = frame.get_mut(packet.transport + at..).and_then(<[u8]>::first_chunk_mut);
    place.map(|place| *place = sum.to_be_bytes()).is_some()
}

pub(crate) fn pseudo_header(frame: &[u8], packet: &Packet, protocol: u8, len: usize) -> Option<Sum> {
    let addresses = match packet.family {
        Family::V4 => 12..20,
        Family::V6 => 8..40,
    };
    let addresses = packet.ip_bytes(frame).get(addresses)?;
    Some(Sum::default().bytes(addresses).word(protocol.into()).word(u16::try_from(len).ok()?))
}

/// The checksum after one of the words that it covers has changed.
///
/// The word must begin at an even offset. A UDP checksum of 0 is none and stays so; when the result is 0, UDP sends
/// `0xffff` instead (RFC 768): both are the caller's to see to.
#[must_use]
pub fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    // RFC 1624, equation 3. The older equation of RFC 1141 gives 0xffff where a full sum gives 0, and a receiver that
    // compares would refuse it.
    !Sum::default().word(!checksum).word(!old).word(new).fold()
}

/// As [`update16`], for two words.
#[must_use]
pub fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    update(checksum, &old.to_be_bytes(), &new.to_be_bytes())
}

/// As [`update16`], for octets that replace as many others, from an even offset on. An odd last one is taken for the
/// high half of a word whose low half stays.
#[must_use]
pub fn update(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    debug_assert!(old.len() == new.len());
    let (gone, come) = (Sum::default().bytes(old).fold(), Sum::default().bytes(new).fold());
    !Sum::default().word(!checksum).word(!gone).word(come).fold()
}

#[cfg(test)]
mod tests {
    use super::super::{LinkType, craft, parse};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

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

        /// Over words that are often 0 or all ones, where the two zeros of one's complement meet. The first word stands
        /// for what no header lacks, so that there is never nothing but zeros.
        #[test]
        fn an_update_is_the_full_sum(
            words in prop::collection::vec(prop_oneof![Just(0_u16), Just(0xffff), Just(1), any::<u16>()], 3..12),
            new in prop::collection::vec(prop_oneof![Just(0_u16), Just(0xffff), Just(0xfffe), any::<u16>()], 1..9),
            first in 1_u16..,
            at in any::<prop::sample::Index>(),
        ) {
            let full = |words: &[u16]| {
                !words.iter().fold(Sum::default().word(first), |sum, w| sum.word(*w)).fold()
            };
            let octets = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
            let start = at.index(words.len());
            let len = new.len().min(words.len() - start);
            let mut after = words.clone();
            after[start..start + len].copy_from_slice(&new[..len]);
            let (old, new) = (&words[start..start + len], &after[start..start + len]);
            let (before, wanted) = (full(&words), full(&after));
            prop_assert_eq!(update(before, &octets(old), &octets(new)), wanted);
            let one_by_one = old.iter().zip(new).fold(before, |sum, (o, n)| update16(sum, *o, *n));
            prop_assert_eq!(one_by_one, wanted);
            if let ([a, b], [c, d]) = (old, new) {
                let long = |high: &u16, low: &u16| u32::from(*high) << 16 | u32::from(*low);
                prop_assert_eq!(update32(before, long(a, b), long(c, d)), wanted);
            }
        }
    }

    /// RFC 1624, 4: where RFC 1141 goes wrong.
    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    /// A frame as a host leaves it to its network card: the field is the sum of the pseudo header.
    fn unfinished(family: Family, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut segment = match protocol {
            UDP => craft::udp((7, 9), payload),
            _ => craft::tcp(false, payload),
        };
        // 10.0.0.1 and 10.0.0.2, or fd00::1 and fd00::2.
        let high = if family == Family::V4 { 0x0a00 } else { 0xfd00 };
        let sum = 2 * high + 1 + 2 + usize::from(protocol) + segment.len();
        let at = if protocol == UDP { 6 } else { 16 };
        let folded = (sum & 0xffff) + (sum >> 16);
        segment[at..at + 2].copy_from_slice(&u16::try_from(folded).unwrap().to_be_bytes());
        match family {
            Family::V4 => craft::ethernet(false, 0x0800, &craft::ipv4(false, (1, 2), protocol, &segment)),
            Family::V6 => craft::ethernet(false, 0x86dd, &craft::ipv6(false, (1, 2), protocol, &segment)),
        }
    }

    proptest! {
        #[test]
        fn what_was_left_to_a_card_is_completed_and_nothing_else(
            is_v4: bool,
            is_tcp: bool,
            payload in prop::collection::vec(any::<u8>(), 0..100),
            flip in 1_u16..,
        ) {
            let (family, protocol) =
                (if is_v4 { Family::V4 } else { Family::V6 }, if is_tcp { TCP } else { UDP });
            let mut frame = unfinished(family, protocol, &payload);
            let packet = parse(LinkType::Ethernet, &frame).unwrap();
            let is_right = |frame: &[u8]| {
                let ok = if is_tcp { tcp_ok(frame, &packet) } else { udp_ok(frame, &packet) };
                ok == Some(true)
            };
            let at = packet.transport + if is_tcp { 16 } else { 6 };
            let mut damaged = frame.clone();
            damaged[at] ^= flip.to_be_bytes()[0];
            damaged[at + 1] ^= flip.to_be_bytes()[1];
            let before = damaged.clone();
            prop_assert!(!complete(&mut damaged, &packet) && damaged == before);
            let before = frame.clone();
            prop_assert!(complete(&mut frame, &packet) && is_right(&frame));
            prop_assert!(frame[..at] == before[..at] && frame[at + 2..] == before[at + 2..]);
            let before = frame.clone();
            complete(&mut frame, &packet);
            prop_assert!(frame == before, "once is enough");
        }
    }

    #[test]
    fn what_is_not_a_whole_packet_is_not_completed() {
        let whole = unfinished(Family::V4, TCP, b"payload");
        let packet = parse(LinkType::Ethernet, &whole).unwrap();
        let mut cut = whole[..whole.len() - 1].to_vec();
        let cut_packet = parse(LinkType::Ethernet, &cut).unwrap();
        assert!(!complete(&mut cut, &cut_packet));
        let mut first = whole.clone();
        first[14 + 6] = 0x20; // more fragments follow
        let first_packet = parse(LinkType::Ethernet, &first).unwrap();
        assert!(first_packet.fragment.is_some() && !complete(&mut first, &first_packet));
        assert!(!complete(&mut whole.clone(), &Packet { protocol: 1, ..packet }));
        assert!(!complete(&mut [], &packet));
    }
}
