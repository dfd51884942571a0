//! IPv4 (RFC 791).

use super::Fragment;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fixed part of an IPv4 header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    /// Version (4 bits), header length in words (4).
    pub version_ihl: u8,
    /// Type of service.
    pub tos: u8,
    /// Octets of header and payload.
    pub total_len: U16,
    /// Identification.
    pub id: U16,
    /// Reserved, DF, MF (3 bits), fragment offset in units of 8 octets (13).
    pub flags_offset: U16,
    /// Time to live.
    pub ttl: u8,
    /// What follows.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: U16,
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
}

impl Ipv4Header {
    /// Octets of the header with options.
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0x0f) * 4
    }

    /// Whether this is one of several fragments.
    pub fn is_fragment(&self) -> bool {
        self.flags_offset.get() & 0x3fff != 0
    }

    /// Which part of its datagram the packet is, if it is a fragment.
    pub fn fragment(&self) -> Fragment {
        let word = self.flags_offset.get();
        Fragment { id: self.id.get().into(), offset: u32::from(word & 0x1fff) * 8, more: word & 0x2000 != 0 }
    }
}
