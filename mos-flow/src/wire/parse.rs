//! One walk over a frame, with a depth limit.

use super::ipv4::Ipv4Header;
use super::ipv6::{FragmentHeader, Ipv6Header, extension_len, next};
use super::link::LinkType;
use super::network::{Identity, Kind};
use super::packet::{Family, Fragment, Packet};
use super::{VlanStack, checksum, network, plain};
use crate::hash::KeyedHash;
use crate::reason::DropReason;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// IP headers, one inside the other, followed before a packet is given up.
pub const MAX_DEPTH: u8 = 4;

/// Extension headers of an IPv6 packet followed before it is given up.
pub const MAX_EXTENSIONS: usize = 8;

/// Walks frames to their innermost IP packet.
#[derive(Clone, Debug)]
pub struct Walker {
    hash: KeyedHash,
    vlans_in_key: bool,
    tunnels_in_key: bool,
}

impl Default for Walker {
    /// A walker whose seed everybody knows, for traffic that nobody made up to collide.
    fn default() -> Self {
        Walker::new([0; 16])
    }
}

impl Walker {
    /// A walker that hashes the identity of tunnels with a secret seed. VLANs and tunnels belong to the identity of a
    /// network.
    pub fn new(seed: [u8; 16]) -> Self {
        Walker { hash: KeyedHash::new(seed), vlans_in_key: true, tunnels_in_key: true }
    }

    /// Whether VLANs tell connections apart. Without, a connection whose directions are in different VLANs is one.
    #[must_use]
    pub fn vlans_in_key(self, yes: bool) -> Self {
        Walker { vlans_in_key: yes, ..self }
    }

    /// Whether tunnels tell connections apart. Without, a connection that changes its tunnel stays one, and so do two
    /// customers of a provider who use the same addresses; and whoever can send UDP to a port of tunnels can send
    /// segments of any connection.
    #[must_use]
    pub fn tunnels_in_key(self, yes: bool) -> Self {
        Walker { tunnels_in_key: yes, ..self }
    }

    /// Walks the headers of `frame`.
    ///
    /// # Errors
    /// The reason for which the frame is not an IP packet that can be followed.
    #[inline]
    pub fn walk(&self, link: LinkType, frame: &[u8]) -> Result<Packet, DropReason> {
        if link == LinkType::Ethernet
            && let Some(packet) = plain::packet(frame)
        {
            return Ok(packet);
        }
        self.walk_all(link, frame)
    }

    fn walk_all(&self, link: LinkType, frame: &[u8]) -> Result<Packet, DropReason> {
        let mut walk = Walk::new(self, frame);
        let layer = walk.link(link)?;
        let family = walk.reach(layer)?;
        walk.innermost(family)
    }

    /// Walks on in a datagram that was put together from fragments, `fragment` one of them. It begins with the IP
    /// header, and the places in the result are places in it. VLANs, network and depth go on from the fragment, so a
    /// fragment in a fragment in a fragment has an end.
    ///
    /// # Errors
    /// As [`Walker::walk`].
    pub fn walk_again(&self, datagram: &[u8], fragment: &Packet) -> Result<Packet, DropReason> {
        let tunnel = network::hashed(fragment.network);
        let walk = Walk {
            end: datagram.len(),
            vlans: fragment.vlans,
            label: fragment.label,
            tunnel,
            named: if tunnel.is_some() { fragment.vlans.ids().len() } else { 0 },
            session: network::session(fragment.network),
            depth: fragment.depth.max(1),
            ..Walk::new(self, datagram)
        };
        walk.innermost(fragment.family)
    }
}

/// Walks the headers of `frame` with the default [`Walker`].
///
/// # Errors
/// The reason for which the frame is not an IP packet that can be followed.
pub fn parse(link: LinkType, frame: &[u8]) -> Result<Packet, DropReason> {
    Walker::default().walk(link, frame)
}

/// A walk on its way. A copy of it goes ahead where it is not sure that there is a way.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    walker: &'a Walker,
    pub(super) frame: &'a [u8],
    /// The next header, at most `end` and the frame's end.
    at: usize,
    /// Where the packet ends that was walked into, by its length: behind the frame when the capture cut it.
    end: usize,
    pub(super) vlans: VlanStack,
    /// The word of the network in the last tunnel.
    tunnel: Option<u64>,
    /// VLANs that are part of that word.
    named: usize,
    pub(super) label: Option<u32>,
    pub(super) labels: u8,
    /// The PPPoE session behind the last tunnel.
    session: Option<u16>,
    depth: u8,
}

impl<'a> Walk<'a> {
    fn new(walker: &'a Walker, frame: &'a [u8]) -> Self {
        Walk {
            walker,
            frame,
            at: 0,
            end: usize::MAX,
            vlans: VlanStack::default(),
            tunnel: None,
            named: 0,
            label: None,
            labels: 0,
            session: None,
            depth: 0,
        }
    }

    /// The innermost packet from the IP header at hand on. Each turn passes an IP header, and those are counted.
    #[inline]
    fn innermost(mut self, family: Family) -> Result<Packet, DropReason> {
        let mut packet = self.ip(family)?;
        while let Some(inner) = self.inner(&packet)? {
            packet = inner;
        }
        Ok(packet)
    }

    /// What was captured of the packet walked into, from here on.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.frame.get(self.at..self.end.min(self.frame.len())).unwrap_or_default()
    }

    /// Goes on by `len` octets.
    #[inline]
    pub(super) fn skip(&mut self, len: usize) -> Result<(), DropReason> {
        if len > self.rest().len() {
            return Err(self.lacks(len));
        }
        self.at += len;
        Ok(())
    }

    /// Why there are no more `len` octets.
    fn lacks(&self, len: usize) -> DropReason {
        if len > self.end.saturating_sub(self.at) { DropReason::BadLength } else { DropReason::FrameTooShort }
    }

    /// The header at hand.
    #[inline]
    pub(super) fn peek<T>(&self) -> Result<&'a T, DropReason>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        T::ref_from_prefix(self.rest()).map(|(header, _)| header).map_err(|_| self.lacks(size_of::<T>()))
    }

    /// The header at hand; goes on behind it.
    #[inline]
    pub(super) fn take<T>(&mut self) -> Result<&'a T, DropReason>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        let header = self.peek::<T>()?;
        self.skip(size_of::<T>())?;
        Ok(header)
    }

    /// A length field says that `len` octets are left; what is behind them is padding.
    #[inline]
    pub(super) fn narrow(&mut self, len: usize) -> Result<(), DropReason> {
        if len > self.end.saturating_sub(self.at) {
            return Err(DropReason::BadLength);
        }
        self.end = self.at + len;
        Ok(())
    }

    /// Goes into a tunnel.
    pub(super) fn enter(&mut self, kind: Kind, identity: Identity) {
        if self.walker.tunnels_in_key {
            self.tunnel = Some(network::inside(&self.walker.hash, self.network(), kind, identity));
            self.named = self.vlans.ids().len();
            self.session = None;
        }
    }

    /// Goes into a PPPoE session.
    pub(super) fn enter_session(&mut self, id: u16) {
        if self.session.is_some() {
            self.enter(Kind::Pppoe, Identity::id(id.into()));
        } else if self.walker.tunnels_in_key {
            self.session = Some(id);
        }
    }

    /// The word of the network here, without the family.
    #[inline]
    fn network(&self) -> u64 {
        let vlans = if self.walker.vlans_in_key { self.vlans.ids().get(self.named..) } else { None };
        match (self.tunnel, network::exact(vlans.unwrap_or_default(), self.session)) {
            (None, exact) => exact,
            (Some(tunnel), 0) => tunnel,
            (Some(tunnel), exact) => {
                network::inside(&self.walker.hash, tunnel, Kind::Link, Identity::id(exact))
            }
        }
    }

    /// Walks an IP header and all that belongs to it.
    #[inline]
    pub(super) fn ip(&mut self, family: Family) -> Result<Packet, DropReason> {
        match family {
            Family::V4 => self.ipv4(),
            Family::V6 => self.ipv6(),
        }
    }

    #[inline]
    fn ipv4(&mut self) -> Result<Packet, DropReason> {
        let ip = self.at;
        let header = self.peek::<Ipv4Header>()?;
        let header_len = header.header_len();
        if header.version_ihl >> 4 != 4 || header_len < size_of::<Ipv4Header>() {
            return Err(DropReason::BadLength);
        }
        let len = self.length(header.total_len.get());
        self.narrow(len)?;
        self.skip(header_len)?;
        let fragment = header.is_fragment().then(|| header.fragment());
        self.packet(Family::V4, ip, (header.protocol, 9), fragment)
    }

    /// What a length field tells. In captures of outgoing packets segmentation offload leaves it at 0: then the frame
    /// says how long it is. What is inside of another packet has been through the sender's stack.
    #[inline]
    fn length(&self, field: u16) -> usize {
        match field {
            0 if self.depth == 0 => self.rest().len(),
            len => len.into(),
        }
    }

    fn ipv6(&mut self) -> Result<Packet, DropReason> {
        let ip = self.at;
        let header = self.take::<Ipv6Header>()?;
        if header.version_class_flow.get() >> 28 != 6 {
            return Err(DropReason::BadLength);
        }
        self.narrow(self.length(header.payload_len.get()))?;
        let mut protocol = (header.next_header, 6);
        for _ in 0..=MAX_EXTENSIONS {
            let at = self.at - ip;
            match self.extension(protocol.0)? {
                Extension::None => return self.packet(Family::V6, ip, protocol, None),
                Extension::Fragment(next, fragment) => {
                    return self.packet(Family::V6, ip, (next, protocol.1), Some(fragment));
                }
                Extension::Walked(next) => protocol = (next, at),
            }
        }
        Err(DropReason::HeaderDepth)
    }

    /// Walks an extension header; stays where it is when `kind` is none.
    fn extension(&mut self, kind: u8) -> Result<Extension, DropReason> {
        if kind == next::FRAGMENT {
            let header = self.take::<FragmentHeader>()?;
            return Ok(if header.is_atomic() {
                Extension::Walked(header.next_header)
            } else {
                Extension::Fragment(header.next_header, header.fragment())
            });
        }
        if extension_len(kind, 0).is_none() {
            return Ok(Extension::None);
        }
        let [next, len] = *self.peek::<[u8; 2]>()?;
        self.skip(extension_len(kind, len).unwrap_or_default())?;
        Ok(Extension::Walked(next))
    }

    /// The packet whose headers end here. `protocol` is what follows, and the place that tells it.
    #[inline]
    fn packet(
        &mut self,
        family: Family,
        ip: usize,
        (protocol, protocol_at): (u8, usize),
        fragment: Option<Fragment>,
    ) -> Result<Packet, DropReason> {
        if self.depth == MAX_DEPTH {
            return Err(DropReason::HeaderDepth);
        }
        self.depth += 1;
        Ok(Packet {
            vlans: self.vlans,
            family,
            protocol,
            ip,
            transport: self.at,
            end: self.end.min(self.frame.len()),
            segment_len: self.end - self.at,
            network: network::with_family(self.network(), family),
            depth: self.depth,
            fragment,
            protocol_at: u16::try_from(protocol_at).unwrap_or(u16::MAX), // eight headers of 2 KiB do not come near
            label: self.label,
        })
    }
}

/// What is at the place of an IPv6 extension header.
enum Extension {
    /// None that is walked over.
    None,
    /// What follows one.
    Walked(u8),
    Fragment(u8, Fragment),
}

/// Verifies the checksums of a TCP packet. What cannot be verified because the capture cut it counts as right.
pub(crate) fn verify(frame: &[u8], packet: &Packet) -> Result<(), DropReason> {
    if !checksum::ip_ok(frame, packet) {
        return Err(DropReason::IpChecksum);
    }
    match checksum::tcp_ok(frame, packet) {
        Some(false) => Err(DropReason::TcpChecksum),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
