//! Why a packet cannot be changed.

use core::fmt;

/// Why a packet cannot be changed, or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketError {
    /// These octets, or others behind them, were forwarded before: their receiver has them already.
    AlreadySent,
    /// The capture cut the packet.
    Cut,
    /// The packet came in fragments, which are forwarded as they come.
    Fragmented,
    /// Source and destination are of different families, or of another one than the packet.
    Family,
    /// There is no packet in flight.
    NoPacket,
    /// There is no memory for another changed packet, or not so much.
    NoRoom,
    /// Octets that the connection does not keep cannot be sent again: the side's buffer is off.
    NotKept,
    /// The packet has no such part.
    NotThere,
    /// The length of this packet's payload cannot be changed: it belongs to no connection, its receiver does not take it, or
    /// it carries a SYN or a RST.
    NotTracked,
    /// The octets lie outside of that part of the packet.
    OutOfBounds,
    /// The length of the payload can only be changed in the sender's hook.
    TooLate,
    /// More changes than can be followed at once, until the receiver has acknowledged some. Drop the packet: the sender sends it
    /// again. No packet has too many by itself: those that lie near each other are followed as one.
    TooMany,
    /// The packet is inside of a tunnel, whose headers would have to be changed, too.
    Tunnelled,
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PacketError::AlreadySent => "octets there were forwarded before",
            PacketError::Cut => "the capture cut the packet",
            PacketError::Fragmented => "the packet came in fragments",
            PacketError::Family => "addresses of different families",
            PacketError::NoPacket => "no packet is in flight",
            PacketError::NoRoom => "no memory for another packet",
            PacketError::NotKept => "octets of that side are not kept",
            PacketError::NotThere => "the packet has no such part",
            PacketError::NotTracked => "the length of that payload cannot be changed",
            PacketError::OutOfBounds => "octets outside of that part of the packet",
            PacketError::TooLate => "the length can be changed in the sender's hook only",
            PacketError::TooMany => "too many changes at once",
            PacketError::Tunnelled => "the packet is inside of a tunnel",
        })
    }
}

impl core::error::Error for PacketError {}
