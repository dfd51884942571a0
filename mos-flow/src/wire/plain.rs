//! The short way through nearly every frame: Ethernet, IPv4 without options, TCP, whole.
//!
//! It finds what the walk would find, or nothing.

use super::VlanStack;
use super::ethernet::{EthernetHeader, ethertype};
use super::ipv4::Ipv4Header;
use super::packet::{Family, Packet, TCP};
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

/// The packet of a frame of Ethernet that is of that kind.
#[inline]
pub(super) fn packet(frame: &[u8]) -> Option<Packet> {
    let (headers, _) = Headers::ref_from_prefix(frame).ok()?;
    let (ip, len) = (&headers.ip, usize::from(headers.ip.total_len.get()));
    let plain = headers.ethernet.ethertype.get() == ethertype::IPV4
        && ip.version_ihl == WITHOUT_OPTIONS
        && ip.protocol == TCP
        && !ip.is_fragment();
    let segment_len = len.checked_sub(size_of::<Ipv4Header>()).filter(|_| plain)?;
    Some(Packet {
        vlans: VlanStack::default(),
        family: Family::V4,
        protocol: TCP,
        ip: IP,
        transport: SEGMENT,
        end: (IP + len).min(frame.len()),
        segment_len,
        network: 0, // neither VLAN nor tunnel: see `network`
        depth: 1,
        fragment: None,
        protocol_at: 9,
        label: None,
    })
}
