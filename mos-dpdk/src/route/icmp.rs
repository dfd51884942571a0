//! ICMP (RFC 792; RFC 1812, 4.3) and ICMPv6 (RFC 4443): echo, and the errors that a router reports.

use super::fragment::seal;
use super::network::{Exit, Place};
use super::packet::{Datagram, ICMP, ICMPV6, sum_v6};
use super::{Fate, LINK, Out, RouteDrop, Router};
use mos_flow::Instant;
use mos_flow::wire::checksum::{Sum, update16};
use mos_flow::wire::ipv4::Ipv4Header;
use mos_flow::wire::ipv6::Ipv6Header;
use std::net::IpAddr;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const ECHO_REPLY: u8 = 0;
const ECHO: u8 = 8;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// What the router sends itself begins with (RFC 1700).
const HOP_LIMIT: u8 = 64;
/// Precedence of errors (RFC 1812, 4.3.2.5): internetwork control.
const PRECEDENCE: u8 = 0xc0;
/// The largest errors: RFC 1812, 4.3.2.3; RFC 4443, 2.4(c).
const LARGEST: usize = 576;
const LARGEST_V6: usize = 1280;
/// Errors that may follow each other at once. Arbitrary.
const BURST: u64 = 10;

/// What has to be reported of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    HopLimit,
    NoRoute,
    TooLarge { mtu: u16 },
    Unresolved,
}

impl Trouble {
    /// Type, code, and the word behind the checksum.
    fn values(self, v6: bool) -> (u8, u8, u32) {
        match (self, v6) {
            (Trouble::HopLimit, false) => (11, 0, 0),
            (Trouble::NoRoute, false) => (3, 0, 0),
            (Trouble::TooLarge { mtu }, false) => (3, 4, mtu.into()),
            (Trouble::Unresolved, false) => (3, 1, 0),
            (Trouble::HopLimit, true) => (3, 0, 0),
            (Trouble::NoRoute, true) => (1, 0, 0),
            (Trouble::TooLarge { mtu }, true) => (2, 0, mtu.into()),
            (Trouble::Unresolved, true) => (1, 3, 0),
        }
    }
}

impl From<Trouble> for RouteDrop {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::HopLimit => RouteDrop::HopLimit,
            Trouble::NoRoute => RouteDrop::NoRoute,
            Trouble::TooLarge { .. } => RouteDrop::TooLarge,
            Trouble::Unresolved => RouteDrop::Unresolved,
        }
    }
}

/// The head of a message.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    kind: u8,
    code: u8,
    checksum: U16,
    word: U32,
}

/// How many errors may be sent: a token bucket (RFC 1812, 4.3.2.8; RFC 4443, 2.4(f)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// What one costs, in microseconds of waiting; `None` when there are to be none.
    cost: Option<u64>,
    saved: u64,
    last: Instant,
}

impl Budget {
    pub(super) fn new(per_second: u32) -> Self {
        let cost = 1_000_000_u64.checked_div(per_second.into());
        Budget { cost, saved: cost.unwrap_or(0) * BURST, last: Instant::default() }
    }

    fn spend(&mut self, now: Instant) -> bool {
        let Some(cost) = self.cost else { return false };
        let passed = u64::try_from(now.since(self.last).as_micros()).unwrap_or(u64::MAX);
        self.last = now;
        self.saved = self.saved.saturating_add(passed).min(cost * BURST);
        let left = self.saved.checked_sub(cost);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

/// Whether errors about a packet must not be sent: about errors and what may be one, and about fragments but the
/// first (RFC 1812, 4.3.2.7; RFC 4443, 2.4(e)). That it was for one host, and came from one, was seen to before.
fn is_silent(packet: &Datagram<'_>) -> bool {
    match packet.upper() {
        _ if packet.later_fragment => true,
        Some((ICMP, message)) if !packet.is_v6() => {
            // Those of requests and replies; what is not known may be an error.
            !matches!(message.first(), Some(0 | 8 | 13..=18))
        }
        Some((ICMPV6, message)) if packet.is_v6() => message.first().is_none_or(|kind| *kind < 128),
        Some(_) => false,
        None => true,
    }
}

impl Router {
    /// Reports `trouble` with a packet to its sender, if that is allowed.
    pub(super) fn report(&mut self, packet: &Datagram<'_>, trouble: Trouble, out: &mut Out<'_>) {
        let exit = match self.network.place(packet.source) {
            _ if is_silent(packet) => return,
            Some(Place::Host(exit)) => Some(exit),
            None => None,
            // The router itself.
            Some(_) => return,
        };
        let way = exit.and_then(|exit| Some((exit, self.network.source(exit.port, packet.is_v6())?)));
        let Some((exit, source)) = way.filter(|_| self.budget.spend(out.now)) else {
            self.stats.errors_withheld += 1;
            return;
        };
        self.stats.errors += 1;
        if self.write_error(packet, trouble, source).is_some() {
            let fate = self.dispatch(exit, packet.source, out);
            self.count(fate.unwrap_or_else(|trouble| Fate::Dropped(trouble.into())));
        }
    }

    /// Writes an error into the draft.
    fn write_error(&mut self, packet: &Datagram<'_>, trouble: Trouble, source: IpAddr) -> Option<()> {
        let (kind, code, word) = trouble.values(packet.is_v6());
        let mut header = Header { kind, code, checksum: 0.into(), word: word.into() };
        let ip = if packet.is_v6() { size_of::<Ipv6Header>() } else { size_of::<Ipv4Header>() };
        let largest = if packet.is_v6() { LARGEST_V6 } else { LARGEST };
        let most = largest.checked_sub(ip + size_of::<Header>())?;
        let quote = packet.octets.get(..most).unwrap_or(packet.octets);
        let len = size_of::<Header>() + quote.len();
        self.draft.clear();
        self.draft.extend_from_slice(&LINK);
        match (source, packet.source) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let tos = packet.octets.get(1)? & 0x1e | PRECEDENCE;
                let sum = Sum::default().bytes(header.as_bytes()).bytes(quote);
                header.checksum = (!sum.fold()).into();
                self.write_v4(tos, (source.octets(), destination.octets()), len)?;
            }
            (IpAddr::V6(own), IpAddr::V6(destination)) => {
                let ip = Ipv6Header {
                    version_class_flow: (6 << 28).into(),
                    payload_len: u16::try_from(len).ok()?.into(),
                    next_header: ICMPV6,
                    hop_limit: HOP_LIMIT,
                    src: own.octets(),
                    dst: destination.octets(),
                };
                self.draft.extend_from_slice(ip.as_bytes());
            }
            _ => return None,
        }
        let start = self.draft.len();
        self.draft.extend_from_slice(header.as_bytes());
        self.draft.extend_from_slice(quote);
        if packet.is_v6() {
            let message = self.draft.get_mut(start..)?;
            let sum = sum_v6(source, packet.source, message);
            let (header, _) = Header::mut_from_prefix(message).ok()?;
            header.checksum = (!sum).into();
        }
        Some(())
    }

    /// Adds an IPv4 header for `len` octets of ICMP to the draft.
    fn write_v4(&mut self, tos: u8, (src, dst): ([u8; 4], [u8; 4]), len: usize) -> Option<()> {
        self.identification = self.identification.wrapping_add(1);
        let ip = Ipv4Header {
            version_ihl: 0,
            tos,
            total_len: 0.into(),
            id: self.identification.into(),
            flags_offset: 0.into(),
            ttl: HOP_LIMIT,
            protocol: ICMP,
            checksum: 0.into(),
            src,
            dst,
        };
        let start = self.draft.len();
        self.draft.extend_from_slice(ip.as_bytes());
        seal(self.draft.get_mut(start..)?, len)
    }

    /// Answers a packet to one of the router's addresses, when it is a whole echo request.
    pub(super) fn answer_echo(&mut self, port: u16, packet: &Datagram<'_>, out: &mut Out<'_>) -> Fate {
        let exit = match self.network.place(packet.source) {
            Some(Place::Host(exit)) => exit,
            // The same link, and not by a gateway.
            Some(Place::LinkLocal) => Exit { port, gateway: None },
            None => return Fate::Dropped(RouteDrop::NoRoute),
            Some(_) => return Fate::Dropped(RouteDrop::MartianSource),
        };
        if self.write_echo_reply(packet).is_none() {
            return Fate::Dropped(RouteDrop::Local);
        }
        self.stats.echoes += 1;
        let fate = self.dispatch(exit, packet.source, out);
        self.count(fate.unwrap_or_else(|trouble| Fate::Dropped(trouble.into())));
        Fate::Answered
    }

    /// Writes the reply to an echo request into the draft; `None` when it is none.
    fn write_echo_reply(&mut self, packet: &Datagram<'_>) -> Option<()> {
        let (header, rest) = Header::ref_from_prefix(packet.payload).ok()?;
        let (request, reply, sum) = match (packet.source, packet.protocol) {
            (IpAddr::V4(_), ICMP) => (ECHO, ECHO_REPLY, Sum::default().bytes(packet.payload).fold()),
            (IpAddr::V6(_), ICMPV6) => (ECHO_V6, ECHO_REPLY_V6, packet.icmpv6_sum()),
            _ => return None,
        };
        if packet.fragment || sum != 0xffff || (header.kind, header.code) != (request, 0) {
            return None;
        }
        let checksum = update16(header.checksum.get(), u16::from(request) << 8, u16::from(reply) << 8);
        let header = Header { kind: reply, checksum: checksum.into(), ..*header };
        self.draft.clear();
        self.draft.extend_from_slice(&LINK);
        match (packet.destination, packet.source) {
            (IpAddr::V4(own), IpAddr::V4(source)) => {
                let tos = *packet.octets.get(1)?;
                self.write_v4(tos, (own.octets(), source.octets()), packet.payload.len())?;
            }
            (IpAddr::V6(own), IpAddr::V6(source)) => {
                let (ip, _) = Ipv6Header::ref_from_prefix(packet.octets).ok()?;
                let ip = Ipv6Header { hop_limit: HOP_LIMIT, src: own.octets(), dst: source.octets(), ..*ip };
                self.draft.extend_from_slice(ip.as_bytes());
            }
            _ => return None,
        }
        self.draft.extend_from_slice(header.as_bytes());
        self.draft.extend_from_slice(rest);
        Some(())
    }
}
