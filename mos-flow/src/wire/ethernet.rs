//! Ethernet, VLAN tags (IEEE 802.1Q) and the Linux cooked headers that stand in their place.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `EtherType` values.
pub mod ethertype {
    #![allow(missing_docs)]
    pub const IPV4: u16 = 0x0800;
    pub const IPV6: u16 = 0x86dd;
    pub const VLAN: u16 = 0x8100;
    /// Service tag (IEEE 802.1ad).
    pub const QINQ: u16 = 0x88a8;
    /// Service tag before 802.1ad.
    pub const QINQ_OLD: u16 = 0x9100;
    pub const MPLS: u16 = 0x8847;
    /// With a label that the upstream router assigned (RFC 5332).
    pub const MPLS_UPSTREAM: u16 = 0x8848;
    /// PPPoE session (RFC 2516); its discovery, 0x8863, carries no packets.
    pub const PPPOE: u16 = 0x8864;
    /// Smaller values are lengths (IEEE 802.3).
    pub const FIRST: u16 = 0x0600;
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    /// Destination address.
    pub dst: [u8; 6],
    /// Source address.
    pub src: [u8; 6],
    /// What follows.
    pub ethertype: U16,
}

/// A VLAN tag: what follows the tag's own type.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct VlanTag {
    /// Priority (3 bits), drop eligible (1), VLAN id (12).
    pub tci: U16,
    /// What follows.
    pub ethertype: U16,
}

impl VlanTag {
    /// The VLAN id.
    pub fn id(&self) -> u16 {
        self.tci.get() & 0x0fff
    }
}

/// A PPPoE header (RFC 2516, 4).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PppoeHeader {
    /// Version and type, 1 both.
    pub version_type: u8,
    /// 0 for session data.
    pub code: u8,
    /// The session, unique between two stations.
    pub session: U16,
    /// Octets behind this header.
    pub len: U16,
}

/// Linux cooked capture, version 1 (`LINKTYPE_LINUX_SLL`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SllHeader {
    /// To us, broadcast, ..., outgoing.
    pub packet_type: U16,
    /// ARPHRD of the device.
    pub hardware: U16,
    /// Octets of the address.
    pub address_len: U16,
    /// Source address, padded.
    pub address: [u8; 8],
    /// What follows.
    pub ethertype: U16,
}

/// Linux cooked capture, version 2 (`LINKTYPE_LINUX_SLL2`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Sll2Header {
    /// What follows.
    pub ethertype: U16,
    /// Reserved.
    pub reserved: U16,
    /// Index of the interface, two words.
    pub interface: [U16; 2],
    /// ARPHRD of the device.
    pub hardware: U16,
    /// To us, broadcast, ..., outgoing.
    pub packet_type: u8,
    /// Octets of the address.
    pub address_len: u8,
    /// Source address, padded.
    pub address: [u8; 8],
}
