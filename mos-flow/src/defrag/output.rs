//! A complete datagram: its octets in one piece, and its header made that of an unfragmented one.

use crate::memory::Memory;
use crate::wire::Family;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use core::fmt;
use core::ops::Deref;
use zerocopy::FromBytes;

/// Octets of the largest datagram: an IPv6 header and 65,535 octets behind it.
pub const OUTPUT_LEN: usize = size_of::<Ipv6Header>() + 65_535;

/// A complete datagram, from its IP header on, in memory that goes back with
/// [`Defrag::put_back`](super::Defrag::put_back).
pub struct Output<M: Memory> {
    octets: M::Of<u8>,
    len: usize,
}

impl<M: Memory> fmt::Debug for Output<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({} octets)", self.len)
    }
}

impl<M: Memory> Deref for Output<M> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl<M: Memory> Output<M> {
    pub(super) fn new(octets: M::Of<u8>) -> Self {
        Output { octets, len: 0 }
    }

    /// Copies the datagram that `pieces` make up; `false` when it finds no room.
    pub(super) fn fill<'p>(&mut self, pieces: impl Iterator<Item = &'p [u8]>) -> bool {
        self.len = 0;
        for piece in pieces {
            let end = self.len + piece.len();
            let Some(to) = self.octets.get_mut(self.len..end) else { return false };
            to.copy_from_slice(piece);
            self.len = end;
        }
        true
    }

    /// Makes the header, `header_len` octets of it, that of a whole datagram. `next` is an octet to be replaced, and
    /// `ecn` what the congestion bits gain.
    pub(super) fn finish(&mut self, family: Family, header_len: usize, next: Option<(usize, u8)>, ecn: u8) {
        let octets = self.octets.get_mut(..self.len).unwrap_or_default();
        if let Some((at, next)) = next
            && let Some(octet) = octets.get_mut(at)
        {
            *octet = next;
        }
        match family {
            Family::V4 => finish_v4(octets, header_len, ecn),
            Family::V6 => finish_v6(octets, ecn),
        }
    }
}

fn length(octets: usize) -> u16 {
    u16::try_from(octets).unwrap_or(u16::MAX) // it was checked
}

fn finish_v4(octets: &mut [u8], header_len: usize, ecn: u8) {
    let total = length(octets.len());
    let Ok((header, _)) = Ipv4Header::mut_from_prefix(octets) else { return };
    header.total_len = total.into();
    header.flags_offset = 0.into();
    header.tos |= ecn;
    header.checksum = 0.into();
    let sum = !Sum::default().bytes(octets.get(..header_len).unwrap_or_default()).fold();
    if let Ok((header, _)) = Ipv4Header::mut_from_prefix(octets) {
        header.checksum = sum.into();
    }
}

fn finish_v6(octets: &mut [u8], ecn: u8) {
    let behind = length(octets.len().saturating_sub(size_of::<Ipv6Header>()));
    let Ok((header, _)) = Ipv6Header::mut_from_prefix(octets) else { return };
    header.payload_len = behind.into();
    header.version_class_flow = (header.version_class_flow.get() | u32::from(ecn) << 20).into();
}
