//! The short way through nearly every frame: Ethernet, IPv4 without options, TCP, whole.
//!
//! It finds what the walk would find, or nothing.

use super::VlanStack;
use super::ethernet::{EthernetHeader, ethertype};
use super::ipv4::Ipv4Header;
use super::packet::{Family, Packet, TCP};
use tcp_reasm::PlainSegment;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Version 4, a header of five words.
const WITHOUT_OPTIONS: u8 = 0x45;
const IP: usize = size_of::<EthernetHeader>();
const SEGMENT: usize = size_of::<Headers>();

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Headers {
    ethernet: EthernetHeader,
    ip: Ipv4Header,
}

impl Headers {
    /// Octets behind the IP header, if the frame is of that kind.
    #[inline]
    fn segment_len(&self) -> Option<usize> {
        let ip = &self.ip;
        let plain = self.ethernet.ethertype.get() == ethertype::IPV4
            && ip.version_ihl == WITHOUT_OPTIONS
            && ip.protocol == TCP
            && !ip.is_fragment();
        usize::from(ip.total_len.get()).checked_sub(size_of::<Ipv4Header>()).filter(|_| plain)
    }
}

/// The packet of a frame of Ethernet that is of that kind.
#[inline]
pub(super) fn packet(frame: &[u8]) -> Option<Packet> {
    let (headers, _) = Headers::ref_from_prefix(frame).ok()?;
    Some(packet_of(frame, headers.segment_len()?))
}

/// The packet of a frame that is of that kind, with so many octets behind the IP header.
#[inline]
pub(crate) fn packet_of(frame: &[u8], segment_len: usize) -> Packet {
    Packet {
        vlans: VlanStack::default(),
        family: Family::V4,
        protocol: TCP,
        ip: IP,
        transport: SEGMENT,
        end: (SEGMENT + segment_len).min(frame.len()),
        segment_len,
        network: 0, // neither VLAN nor tunnel: see `network`
        depth: 1,
        fragment: None,
        protocol_at: 9,
        label: None,
    }
}

/// The addresses and the segment in it, when that is as nearly all are.
#[inline]
pub(crate) fn segment(frame: &[u8]) -> Option<([[u8; 4]; 2], PlainSegment)> {
    let (headers, rest) = Headers::ref_from_prefix(frame).ok()?;
    let segment = PlainSegment::parse(rest, headers.segment_len()?)?;
    Some(([headers.ip.src, headers.ip.dst], segment))
}
