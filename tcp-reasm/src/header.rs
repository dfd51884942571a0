//! The TCP header as it lies on the wire. The only file that knows TCP byte positions.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of a header without options.
pub const MIN_HEADER: usize = size_of::<TcpHeader>();

/// The fixed part of a TCP header (RFC 9293, 3.1), readable and writable in place.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: U16,
    /// Destination port.
    pub dst_port: U16,
    /// Sequence number of the first octet, of the SYN when that flag is set.
    pub seq: U32,
    /// Next octet expected, when the ACK flag is set.
    pub ack: U32,
    /// Data offset (4 bits), reserved (3), flags (9).
    pub offset_flags: U16,
    /// Window, unscaled.
    pub window: U16,
    /// Checksum over pseudo header, header and payload.
    pub checksum: U16,
    /// Urgent pointer, when the URG flag is set.
    pub urgent: U16,
}

impl TcpHeader {
    /// Octets of header and options as the data offset says. May be less than the fixed part: the caller checks.
    pub fn header_len(&self) -> usize {
        usize::from(self.offset_flags.get() >> 12) * 4
    }

    /// The control bits, the reserved ones among them.
    pub fn flags(&self) -> Flags {
        Flags(self.offset_flags.get() & 0x0fff)
    }
}

/// TCP control bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x001);
    /// Synchronise sequence numbers.
    pub const SYN: Flags = Flags(0x002);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x004);
    /// Push.
    pub const PSH: Flags = Flags(0x008);
    /// The acknowledgement number is significant.
    pub const ACK: Flags = Flags(0x010);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x020);
    /// ECN echo (RFC 3168).
    pub const ECE: Flags = Flags(0x040);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x080);
    /// Accurate ECN (RFC 9768).
    pub const AE: Flags = Flags(0x100);
    /// Reserved; no host looks at them.
    pub const RESERVED: Flags = Flags(0xe00);

    /// Whether all bits of `bits` are set.
    #[inline]
    pub const fn has(self, bits: Flags) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether one of `bits` is set.
    #[inline]
    pub const fn any(self, bits: Flags) -> bool {
        self.0 & bits.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(Flags, &str); 9] = [
            (Flags::SYN, "S"),
            (Flags::FIN, "F"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::ACK, "A"),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "C"),
            (Flags::AE, "e"),
        ];
        LETTERS.iter().filter(|(bit, _)| self.has(*bit)).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_as_letters_and_combine() {
        let f = Flags::SYN | Flags::ACK;
        assert_eq!(std::format!("{f}"), "SA");
        assert!(f.has(Flags::SYN) && f.any(Flags::SYN | Flags::RST) && !f.has(Flags::SYN | Flags::RST));
    }
}
