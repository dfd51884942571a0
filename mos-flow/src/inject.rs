//! Packets that nobody sent: segments of one's own, resets, and what is split off a segment that grew too long.
//!
//! ```text
//!   ┌──────────────────────────┬─────────────┬────────────┬─────────┐
//!   │ [`Encapsulation`]        │ IPv4 / IPv6 │ TCP        │ payload │   [`emit`]
//!   │ as before another packet │             │     [`Outgoing`]     │
//!   └──────────────────────────┴─────────────┴────────────┴─────────┘
//! ```
//!
//! All headers come out whole: lengths (those of PPPoE and IEEE 802.3 too) and checksums are right. The caller lends the
//! memory.

mod encapsulation;

mod reset;

mod split;

pub use encapsulation::Encapsulation;
pub use reset::{MAX_RESETS, resets};
pub use split::Split;

use crate::wire::checksum::Sum;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::{Family, LinkType};
use core::fmt;
use core::net::SocketAddr;
use ringbuf_core::SeqNum;
use tcp_reasm::Flags;
use tcp_reasm::header::TcpHeader;
use zerocopy::{FromBytes, IntoBytes};

const TCP: u8 = 6;
/// The most octets of options that a TCP header has room for (RFC 9293, 3.1).
const MAX_OPTIONS: usize = 40;
/// Time to live, hop limit. What most systems begin with.
const TTL: u8 = 64;
/// The packet must not be fragmented (RFC 791, 3.1); then its identification means nothing (RFC 6864, 4.1).
const DF: u16 = 0x4000;

/// A TCP segment to be made.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Who it is from.
    pub source: SocketAddr,
    /// Who it is for. An address of the same family.
    pub destination: SocketAddr,
    /// Sequence number of the first octet, of the SYN when that flag is set.
    pub seq: SeqNum,
    /// Acknowledgement number. Sets the ACK flag.
    pub ack: Option<SeqNum>,
    /// Control bits besides ACK.
    pub flags: Flags,
    /// Window, unscaled.
    pub window: u16,
    /// Options, at most 40 octets; they are padded to whole words.
    pub options: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
}

/// Why a packet cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InjectError {
    /// The addresses, or the packet whose encapsulation is used, are of different families.
    Families,
    /// MPLS labels mean something in one direction only, and the packet is to go in the other.
    Labels,
    /// The headers before the IP header are none that can be repeated.
    Link,
    /// The memory is too short.
    NoRoom,
    /// More options than a header has room for.
    Options,
    /// Longer than a length field can tell.
    TooLong,
    /// The packet lies in an IP tunnel.
    Tunnel,
}

impl fmt::Display for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InjectError::Families => "addresses of different families",
            InjectError::Labels => "MPLS labels of the other direction are not known",
            InjectError::Link => "link header cannot be repeated",
            InjectError::NoRoom => "no room for the packet",
            InjectError::Options => "more TCP options than a header has room for",
            InjectError::TooLong => "packet is longer than its length field can tell",
            InjectError::Tunnel => "packet lies in a tunnel",
        })
    }
}

impl core::error::Error for InjectError {}

/// Writes a frame into `out`. Returns its length and how to read its first header.
///
/// # Errors
/// [`InjectError`]; what is in `out` then means nothing.
pub fn emit(
    segment: &Outgoing<'_>,
    around: &Encapsulation<'_>,
    out: &mut [u8],
) -> Result<(usize, LinkType), InjectError> {
    let family = family(segment)?;
    if segment.options.len() > MAX_OPTIONS {
        return Err(InjectError::Options);
    }
    let header_len = size_of::<TcpHeader>() + segment.options.len().next_multiple_of(4);
    let ip = around.len();
    let places = Places { link: around.link(), family, ip, transport: ip + ip_header_len(family) };
    let len = places.transport + header_len + segment.payload.len();
    let frame = out.get_mut(..len).ok_or(InjectError::NoRoom)?;
    around.write(family, frame)?;
    let (headers, tcp) = frame.split_at_mut_checked(places.transport).ok_or(InjectError::NoRoom)?;
    let ip_header = headers.get_mut(ip..).unwrap_or_default();
    write_ip(segment, ip_header).ok_or(InjectError::NoRoom)?;
    write_tcp(segment, header_len, tcp).ok_or(InjectError::NoRoom)?;
    places.seal(frame)?;
    Ok((len, places.link))
}

fn family(segment: &Outgoing<'_>) -> Result<Family, InjectError> {
    match (segment.source, segment.destination) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => Ok(Family::V4),
        (SocketAddr::V6(_), SocketAddr::V6(_)) => Ok(Family::V6),
        _ => Err(InjectError::Families),
    }
}

fn ip_header_len(family: Family) -> usize {
    match family {
        Family::V4 => size_of::<Ipv4Header>(),
        Family::V6 => size_of::<Ipv6Header>(),
    }
}

/// Lengths and checksum come later.
fn write_ip(segment: &Outgoing<'_>, out: &mut [u8]) -> Option<()> {
    match (segment.source, segment.destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            *Ipv4Header::mut_from_bytes(out).ok()? = Ipv4Header {
                version_ihl: 0x45,
                tos: 0,
                total_len: 0.into(),
                id: 0.into(),
                flags_offset: DF.into(),
                ttl: TTL,
                protocol: TCP,
                checksum: 0.into(),
                src: source.ip().octets(),
                dst: destination.ip().octets(),
            };
        }
        (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
            *Ipv6Header::mut_from_bytes(out).ok()? = Ipv6Header {
                version_class_flow: (6 << 28).into(),
                payload_len: 0.into(),
                next_header: TCP,
                hop_limit: TTL,
                src: source.ip().octets(),
                dst: destination.ip().octets(),
            };
        }
        _ => return None,
    }
    Some(())
}

fn write_tcp(segment: &Outgoing<'_>, header_len: usize, out: &mut [u8]) -> Option<()> {
    let (header, rest) = out.split_at_mut_checked(header_len)?;
    rest.get_mut(..segment.payload.len())?.copy_from_slice(segment.payload);
    let (fixed, options) = TcpHeader::mut_from_prefix(header).ok()?;
    let (own, padding) = options.split_at_mut_checked(segment.options.len())?;
    own.copy_from_slice(segment.options);
    padding.fill(0);
    let flags = if segment.ack.is_some() { segment.flags | Flags::ACK } else { segment.flags };
    let words = u16::try_from(header_len / 4).ok()?;
    *fixed = TcpHeader {
        src_port: segment.source.port().into(),
        dst_port: segment.destination.port().into(),
        seq: segment.seq.0.into(),
        ack: segment.ack.map_or(0, |ack| ack.0).into(),
        offset_flags: (words << 12 | flags.0 & 0x0fff).into(),
        window: segment.window.into(),
        checksum: 0.into(),
        urgent: 0.into(),
    };
    Some(())
}

/// Where the headers of a TCP packet are that ends with its frame.
#[derive(Clone, Copy, Debug)]
struct Places {
    link: LinkType,
    family: Family,
    ip: usize,
    transport: usize,
}

impl Places {
    /// Puts all lengths and checksums right.
    fn seal(&self, frame: &mut [u8]) -> Result<(), InjectError> {
        let (link, packet) = frame.split_at_mut_checked(self.ip).ok_or(InjectError::NoRoom)?;
        encapsulation::set_lengths(self.link, link, packet.len())?;
        let len = packet.len();
        let headers = self.transport.saturating_sub(self.ip);
        let (ip, segment) = packet.split_at_mut_checked(headers).ok_or(InjectError::NoRoom)?;
        let addresses = match self.family {
            Family::V4 => {
                seal_ipv4(ip, len)?;
                ip.get(12..20)
            }
            Family::V6 => {
                let (header, _) = Ipv6Header::mut_from_prefix(ip).map_err(|_| InjectError::NoRoom)?;
                let len = len - size_of::<Ipv6Header>();
                header.payload_len = u16::try_from(len).map_err(|_| InjectError::TooLong)?.into();
                ip.get(8..40)
            }
        };
        let len = u16::try_from(segment.len()).map_err(|_| InjectError::TooLong)?;
        let (header, _) = TcpHeader::mut_from_prefix(segment).map_err(|_| InjectError::NoRoom)?;
        header.checksum = 0.into();
        let sum = Sum::default().bytes(addresses.unwrap_or_default()).word(TCP.into()).word(len);
        let checksum = !sum.bytes(segment).fold();
        if let Ok((header, _)) = TcpHeader::mut_from_prefix(segment) {
            header.checksum = checksum.into();
        }
        Ok(())
    }
}

fn seal_ipv4(ip: &mut [u8], len: usize) -> Result<(), InjectError> {
    let (header, options) = Ipv4Header::mut_from_prefix(ip).map_err(|_| InjectError::NoRoom)?;
    header.total_len = u16::try_from(len).map_err(|_| InjectError::TooLong)?.into();
    header.checksum = 0.into();
    header.checksum = (!Sum::default().bytes(header.as_bytes()).bytes(options).fold()).into();
    Ok(())
}

#[cfg(test)]
mod tests;
