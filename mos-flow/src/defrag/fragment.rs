//! A fragment, and what tells its datagram from others.

use super::datagram::{HEADROOM, MAX_PAYLOAD};
use super::{FragmentDrop, FragmentPolicy};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::{FragmentHeader, Ipv6Header, extension_len, next};
use crate::wire::{Family, Packet};
use ringbuf_core::Range;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const NO_NEXT: u8 = 59;
const TCP_HEADER: usize = 20;

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DatagramKey {
    /// Source address; an IPv4 one IPv4-mapped.
    pub src: [u8; 16],
    /// Destination address.
    pub dst: [u8; 16],
    /// Identification.
    pub id: u32,
    /// Protocol of IPv4. 0 for IPv6, whose next header may differ by fragment (RFC 8200, 4.5).
    pub protocol: u8,
    /// Where it was seen: VLANs, tunnels.
    pub network: u64,
}

/// A fragment, as the walk over its frame found it.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// What it shares with the others.
    pub key: DatagramKey,
    /// IPv4 or IPv6; part of the key.
    pub family: Family,
    /// Its place in the datagram's payload, in octets.
    pub offset: u32,
    /// Whether others follow.
    pub more: bool,
    /// The IPv4 header with options, or the IPv6 headers before the fragment header.
    pub header: &'a [u8],
    /// IPv6: where in `header` the number stands that led to the fragment header.
    pub next_header_at: usize,
    /// IPv6: what follows the fragment header.
    pub next_header: u8,
    /// The captured payload.
    pub payload: &'a [u8],
    /// Octets of payload by the IP length; more than were captured when the capture cut it.
    pub payload_len: usize,
}

impl<'a> Fragment<'a> {
    /// The fragment that `packet` of `frame` is; `None` when it is whole.
    pub fn of(frame: &'a [u8], packet: &Packet) -> Option<Self> {
        let part = packet.fragment?;
        let (src, dst) = packet.addresses(frame);
        let protocol = if packet.family == Family::V4 { packet.protocol } else { 0 };
        let (header, next_header_at) = packet.unfragmentable(frame);
        Some(Fragment {
            key: DatagramKey { src, dst, id: part.id, protocol, network: packet.network },
            family: packet.family,
            offset: part.offset,
            more: part.more,
            header,
            next_header_at,
            next_header: packet.protocol,
            payload: packet.segment_bytes(frame),
            payload_len: packet.segment_len,
        })
    }

    /// What tells its datagram from others, as words to be hashed.
    pub fn words(&self) -> [u64; 6] {
        let key = &self.key;
        let half = |address: &[u8; 16], i| address.as_chunks().0.get(i).map_or(0, |h| u64::from_ne_bytes(*h));
        let numbers = u64::from(key.id) << 32 | u64::from(key.protocol) << 8 | self.family as u64;
        [half(&key.src, 0), half(&key.src, 1), half(&key.dst, 0), half(&key.dst, 1), key.network, numbers]
    }

    /// The octets of the datagram that it brings.
    pub(super) fn range(&self, policy: FragmentPolicy) -> Result<Range, FragmentDrop> {
        let least = match self.family {
            Family::V4 => size_of::<Ipv4Header>(),
            Family::V6 => size_of::<Ipv6Header>().max(self.next_header_at.saturating_add(1)),
        };
        if !(least..=HEADROOM).contains(&self.header.len()) {
            return Err(FragmentDrop::BadHeader);
        }
        if self.payload.len() < self.payload_len {
            return Err(FragmentDrop::Cut);
        }
        let start = u64::from(self.offset);
        let end = start.saturating_add(self.payload_len as u64);
        match self.family {
            // What is over a multiple of 8 is cut off, as Linux does; there is no place for it.
            Family::V4 => Ok(Range::new(start, if self.more { end & !7 } else { end })),
            Family::V6 if policy == FragmentPolicy::Linux && self.cut_transport().is_some() => {
                Err(FragmentDrop::HeaderChain)
            }
            Family::V6 if end > MAX_PAYLOAD => Err(FragmentDrop::TooLarge),
            Family::V6 if self.more && !end.is_multiple_of(8) => Err(FragmentDrop::BadLength),
            Family::V6 => Ok(Range::new(start, end)),
        }
    }

    /// Whether it is the whole datagram, which IPv6 allows (RFC 6946).
    pub(super) fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }

    /// The transport of a first fragment that does not hold the whole of its header (RFC 7112).
    fn cut_transport(&self) -> Option<u8> {
        if self.offset > 0 || !self.more {
            return None;
        }
        let (transport, at) = self.transport()?;
        let least = match transport {
            TCP => TCP_HEADER,
            UDP | ICMPV6 => 8,
            _ => 1,
        };
        (self.payload_len < at.saturating_add(least)).then_some(transport)
    }

    /// The transport of a first fragment, and where in the payload its header begins, or would. As in Linux, nothing is
    /// said of a payload that ends before the length of an extension header, nor of one without transport or with a
    /// later fragment in it; and the mobility header is a transport.
    fn transport(&self) -> Option<(u8, usize)> {
        if self.family == Family::V4 {
            return Some((self.key.protocol, 0));
        }
        let payload = self.payload.get(..self.payload_len).unwrap_or(self.payload);
        let (mut kind, mut at) = (self.next_header, 0_usize);
        // Each header has 8 octets or more, so that the payload's length is a limit of the rounds.
        loop {
            let (following, len) = match kind {
                NO_NEXT => return None,
                next::FRAGMENT => {
                    let [following, _, 0, 0..8, ..] = *payload.get(at..)? else { return None };
                    (following, size_of::<FragmentHeader>())
                }
                next::HOP_BY_HOP | next::ROUTING | next::DESTINATION | next::AUTHENTICATION => {
                    let [following, len, ..] = *payload.get(at..)? else { return None };
                    (following, extension_len(kind, len)?)
                }
                _ => return Some((kind, at)),
            };
            (kind, at) = (following, at.saturating_add(len));
        }
    }

    /// Whether it hides flags or ports of TCP in the next fragment (RFC 1858, 3).
    pub(super) fn is_tiny(&self) -> bool {
        self.cut_transport() == Some(TCP)
    }

    pub(super) fn congestion_bits(&self) -> u8 {
        match (self.family, self.header) {
            (Family::V4, [_, tos, ..]) => tos & 0b11,
            (Family::V6, [_, class_flow, ..]) => class_flow >> 4 & 0b11,
            _ => 0,
        }
    }
}
