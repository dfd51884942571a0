//! IPv6 (RFC 8200) and its extension headers.

use super::Fragment;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fixed IPv6 header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_flow: U32,
    /// Octets behind this header.
    pub payload_len: U16,
    /// What follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: [u8; 16],
    /// Destination address.
    pub dst: [u8; 16],
}

/// The fragment header (RFC 8200, 4.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    /// What follows.
    pub next_header: u8,
    /// Reserved.
    pub reserved: u8,
    /// Offset in units of 8 octets (13 bits), reserved (2), more fragments (1).
    pub offset_more: U16,
    /// Identification.
    pub id: U32,
}

impl FragmentHeader {
    /// A fragment that is the whole datagram (RFC 6946).
    pub fn is_atomic(&self) -> bool {
        self.offset_more.get() & 0xfff9 == 0
    }

    /// Which part of its datagram the packet is.
    pub fn fragment(&self) -> Fragment {
        let word = self.offset_more.get();
        Fragment { id: self.id.get(), offset: u32::from(word & 0xfff8), more: word & 1 != 0 }
    }
}

/// Protocol numbers of extension headers.
pub(crate) mod next {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const DESTINATION: u8 = 60;
    pub(in crate::wire) const MOBILITY: u8 = 135;
    pub(in crate::wire) const HIP: u8 = 139;
    pub(in crate::wire) const SHIM6: u8 = 140;
}

/// Octets of an extension header of type `kind` whose second octet is `len`; `None` when it is not one that is
/// walked over.
pub(crate) fn extension_len(kind: u8, len: u8) -> Option<usize> {
    match kind {
        next::HOP_BY_HOP | next::ROUTING | next::DESTINATION | next::MOBILITY | next::HIP | next::SHIM6 => {
            Some((usize::from(len) + 1) * 8)
        }
        next::AUTHENTICATION => Some((usize::from(len) + 2) * 4), // RFC 4302, 2.2: in words, minus 2
        _ => None,
    }
}
