//! Where the headers of a packet lie, and views of them.

use super::VlanStack;
use super::ipv4::Ipv4Header;
use super::ipv6::{FragmentHeader, Ipv6Header};
use super::udp::UdpHeader;
use tcp_reasm::header::TcpHeader;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// The address family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Which part of its datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Identification; 16 bits of it in IPv4.
    pub id: u32,
    /// Where its payload begins in the datagram's, in octets.
    pub offset: u32,
    /// Whether another one follows.
    pub more: bool,
}

/// Where the innermost IP packet of a frame lies. Lengths are consistent: the parts are inside the captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// VLAN ids of the whole frame, outermost first.
    pub vlans: VlanStack,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The protocol behind all IP headers.
    pub protocol: u8,
    /// Start of the IP header in the frame.
    pub ip: usize,
    /// Start of the header behind the IP headers; of the payload, when it is a fragment.
    pub transport: usize,
    /// End of the IP packet in the captured frame; padding lies behind it.
    pub end: usize,
    /// Octets behind the IP headers by the IP length; more than were captured when the capture cut the frame.
    pub segment_len: usize,
    /// In which network the addresses are: a word of family, VLANs and tunnels, the same for both directions of a
    /// connection.
    ///
    /// Bit 0 is the family (1 for IPv6). Without an IP tunnel the word is exact: the VLAN ids and the PPPoE session. With
    /// one, bit 1 is set and the rest is a keyed hash over the tunnels and VLANs on the way: the network identifier of
    /// VXLAN; the session of ERSPAN; the key of GRE and its outer addresses; the outer addresses of IP in IP, of Teredo,
    /// and of MPLS over IP and UDP. Of GTP-U it is only that there is one: tunnel endpoints differ by direction and
    /// change when a handset moves. MPLS labels are not in it, they differ by direction, too.
    pub network: u64,
    /// IP headers passed, this one included; a reassembled datagram's counts once more.
    pub depth: u8,
    /// Which part of its datagram it is, unless it is the whole. Then [`Packet::protocol`] is behind `transport` only
    /// in the first one.
    pub fragment: Option<Fragment>,
    /// Place of the octet, from `ip` on, that tells the protocol.
    pub(super) protocol_at: u16,
    /// The outermost MPLS label.
    pub(super) label: Option<u32>,
}

impl Packet {
    /// The captured IP packet, from its header on.
    #[inline]
    pub fn ip_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.ip..self.end).unwrap_or_default()
    }

    /// The captured part behind the IP headers.
    #[inline]
    pub fn segment_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.transport..self.end).unwrap_or_default()
    }

    /// Source and destination address. IPv4 addresses are IPv4-mapped.
    #[inline]
    pub fn addresses(&self, frame: &[u8]) -> ([u8; 16], [u8; 16]) {
        let ip = self.ip_bytes(frame);
        match self.family {
            Family::V4 => (mapped(ip.get(12..16)), mapped(ip.get(16..20))),
            Family::V6 => (sixteen(ip.get(8..24)), sixteen(ip.get(24..40))),
        }
    }

    /// Source and destination port of a TCP or UDP packet; 0 when the header is not there, and for fragments: a
    /// second fragment shows none, so the first one must not either.
    #[inline]
    pub fn ports(&self, frame: &[u8]) -> (u16, u16) {
        match self.segment_bytes(frame) {
            &[a, b, c, d, ..] if self.fragment.is_none() => {
                (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            _ => (0, 0),
        }
    }

    /// The outermost MPLS label.
    pub fn mpls(&self) -> Option<u32> {
        self.label
    }

    /// The headers that every fragment of the datagram repeats, the fragment header left out, and the place in them of
    /// the octet that tells what follows: in a reassembled datagram it is [`Packet::protocol`].
    pub fn unfragmentable<'a>(&self, frame: &'a [u8]) -> (&'a [u8], usize) {
        let own = if self.family == Family::V6 && self.fragment.is_some() {
            size_of::<FragmentHeader>()
        } else {
            0
        };
        let headers = frame.get(self.ip..self.transport.saturating_sub(own)).unwrap_or_default();
        (headers, usize::from(self.protocol_at))
    }

    /// The IPv4 header without its options.
    pub fn ipv4<'a>(&self, frame: &'a [u8]) -> Option<&'a Ipv4Header> {
        (self.family == Family::V4).then(|| view(self.ip_bytes(frame)))?
    }

    /// As [`Packet::ipv4`], to be edited in place; [`checksum::update16`](super::checksum::update16) and its siblings
    /// put checksums right.
    pub fn ipv4_mut<'a>(&self, frame: &'a mut [u8]) -> Option<&'a mut Ipv4Header> {
        (self.family == Family::V4).then(|| view_mut(frame.get_mut(self.ip..self.end)?))?
    }

    /// The fixed IPv6 header.
    pub fn ipv6<'a>(&self, frame: &'a [u8]) -> Option<&'a Ipv6Header> {
        (self.family == Family::V6).then(|| view(self.ip_bytes(frame)))?
    }

    /// As [`Packet::ipv6`], to be edited in place.
    pub fn ipv6_mut<'a>(&self, frame: &'a mut [u8]) -> Option<&'a mut Ipv6Header> {
        (self.family == Family::V6).then(|| view_mut(frame.get_mut(self.ip..self.end)?))?
    }

    /// The TCP header without its options.
    pub fn tcp<'a>(&self, frame: &'a [u8]) -> Option<&'a TcpHeader> {
        self.carries(TCP).then(|| view(self.segment_bytes(frame)))?
    }

    /// As [`Packet::tcp`], to be edited in place.
    pub fn tcp_mut<'a>(&self, frame: &'a mut [u8]) -> Option<&'a mut TcpHeader> {
        self.carries(TCP).then(|| view_mut(frame.get_mut(self.transport..self.end)?))?
    }

    /// The UDP header.
    pub fn udp<'a>(&self, frame: &'a [u8]) -> Option<&'a UdpHeader> {
        self.carries(UDP).then(|| view(self.segment_bytes(frame)))?
    }

    /// As [`Packet::udp`], to be edited in place.
    pub fn udp_mut<'a>(&self, frame: &'a mut [u8]) -> Option<&'a mut UdpHeader> {
        self.carries(UDP).then(|| view_mut(frame.get_mut(self.transport..self.end)?))?
    }

    fn carries(&self, protocol: u8) -> bool {
        self.protocol == protocol && self.fragment.is_none()
    }
}

fn view<T: FromBytes + Immutable + KnownLayout + Unaligned>(bytes: &[u8]) -> Option<&T> {
    T::ref_from_prefix(bytes).ok().map(|(header, _)| header)
}

fn view_mut<T: FromBytes + IntoBytes + KnownLayout + Unaligned>(bytes: &mut [u8]) -> Option<&mut T> {
    T::mut_from_prefix(bytes).ok().map(|(header, _)| header)
}

/// An IPv4 address in the form in which IPv6 maps it, `::ffff:a.b.c.d`.
#[inline]
fn mapped(v4: Option<&[u8]>) -> [u8; 16] {
    let mut address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    if let (Some(low), Some(v4)) = (address.last_chunk_mut::<4>(), v4.and_then(|v| v.first_chunk())) {
        *low = *v4;
    }
    address
}

fn sixteen(bytes: Option<&[u8]>) -> [u8; 16] {
    bytes.and_then(|b| b.first_chunk().copied()).unwrap_or_default()
}
