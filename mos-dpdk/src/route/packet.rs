//! The outermost IP packet of a frame, as a router reads it (RFC 1812, 5.2.2; RFC 8200, 3).

use super::RouteDrop;
use mos_flow::wire::checksum::{self, Sum};
use mos_flow::wire::ipv4::Ipv4Header;
use mos_flow::wire::ipv6::{FragmentHeader, Ipv6Header};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::FromBytes;

pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;
/// Extension headers (RFC 8200, 4.1) with a length in units of 8 octets behind the first, and those that have none or
/// another one.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
/// Extension headers that are walked. Arbitrary; there are four kinds, and some may come twice.
const MOST_EXTENSIONS: usize = 8;

/// An IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'f> {
    /// The packet, without the padding behind it.
    pub(super) octets: &'f [u8],
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Time to live, or hop limit.
    pub(super) hop_limit: u8,
    /// What `payload` is, by the header before it.
    pub(super) protocol: u8,
    /// What is behind the IPv4 header with its options, or the fixed IPv6 header.
    pub(super) payload: &'f [u8],
    /// A fragment, and not the first one: there is no header of another protocol in it. Always `false` for IPv6, see
    /// [`Datagram::upper`].
    pub(super) later_fragment: bool,
    /// Any fragment of IPv4.
    pub(super) fragment: bool,
}

impl<'f> Datagram<'f> {
    /// Reads a packet of either family.
    pub(super) fn parse(octets: &'f [u8]) -> Result<Self, RouteDrop> {
        match octets.first().map(|octet| octet >> 4) {
            Some(4) => Self::parse_v4(octets),
            _ => Self::parse_v6(octets),
        }
    }

    pub(super) fn parse_v4(octets: &'f [u8]) -> Result<Self, RouteDrop> {
        let (ip, _) = Ipv4Header::ref_from_prefix(octets).map_err(|_| RouteDrop::BadHeader)?;
        let octets = octets.get(..ip.total_len.get().into()).ok_or(RouteDrop::BadHeader)?;
        let header_len = ip.header_len();
        if ip.version_ihl >> 4 != 4 || header_len < size_of::<Ipv4Header>() {
            return Err(RouteDrop::BadHeader);
        }
        let (header, payload) = octets.split_at_checked(header_len).ok_or(RouteDrop::BadHeader)?;
        if !checksum::ipv4_header_ok(header) {
            return Err(RouteDrop::IpChecksum);
        }
        Ok(Datagram {
            octets,
            source: Ipv4Addr::from(ip.src).into(),
            destination: Ipv4Addr::from(ip.dst).into(),
            hop_limit: ip.ttl,
            protocol: ip.protocol,
            payload,
            later_fragment: ip.fragment().offset > 0,
            fragment: ip.is_fragment(),
        })
    }

    pub(super) fn parse_v6(octets: &'f [u8]) -> Result<Self, RouteDrop> {
        let (ip, rest) = Ipv6Header::ref_from_prefix(octets).map_err(|_| RouteDrop::BadHeader)?;
        let payload = rest.get(..ip.payload_len.get().into()).ok_or(RouteDrop::BadHeader)?;
        if ip.version_class_flow.get() >> 28 != 6 {
            return Err(RouteDrop::BadHeader);
        }
        let octets = octets.get(..size_of::<Ipv6Header>() + payload.len()).ok_or(RouteDrop::BadHeader)?;
        Ok(Datagram {
            octets,
            source: Ipv6Addr::from(ip.src).into(),
            destination: Ipv6Addr::from(ip.dst).into(),
            hop_limit: ip.hop_limit,
            protocol: ip.next_header,
            payload,
            later_fragment: false,
            fragment: false,
        })
    }

    pub(super) fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// The protocol behind the extension headers, and where it begins: empty in fragments but the first. `None` when
    /// it cannot be told.
    pub(super) fn upper(&self) -> Option<(u8, &'f [u8])> {
        if !self.is_v6() {
            let payload = if self.later_fragment { &[][..] } else { self.payload };
            return Some((self.protocol, payload));
        }
        let (mut protocol, mut rest) = (self.protocol, self.payload);
        for _ in 0..MOST_EXTENSIONS {
            let len = match protocol {
                HOP_BY_HOP | ROUTING | DESTINATION => (usize::from(*rest.get(1)?) + 1) * 8,
                FRAGMENT => {
                    let (header, _) = FragmentHeader::ref_from_prefix(rest).ok()?;
                    if header.fragment().offset > 0 {
                        return Some((header.next_header, &[]));
                    }
                    size_of::<FragmentHeader>()
                }
                _ => return Some((protocol, rest)),
            };
            protocol = *rest.first()?;
            rest = rest.get(len..)?;
        }
        None
    }

    /// The sum that ICMPv6 covers: of the payload and its pseudo-header (RFC 8200, 8.1).
    pub(super) fn icmpv6_sum(&self) -> u16 {
        sum_v6(self.source, self.destination, self.payload)
    }
}

/// The sum of an ICMPv6 message with its pseudo-header; `0xffff` when the checksum in it is right.
pub(super) fn sum_v6(source: IpAddr, destination: IpAddr, message: &[u8]) -> u16 {
    let sum = [source, destination].iter().fold(Sum::default(), |sum, address| match address {
        IpAddr::V4(v4) => sum.bytes(&v4.octets()),
        IpAddr::V6(v6) => sum.bytes(&v6.octets()),
    });
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    sum.bytes(&len.to_be_bytes()).word(ICMPV6.into()).bytes(message).fold()
}
