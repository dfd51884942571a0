//! Frames that the kernel has built of several, or has left to a network card to split, as those that are on the wire.

use super::block::Offload;
use mos_flow::wire::checksum::Sum;
use mos_flow::wire::ethernet::ethertype;

/// `VIRTIO_NET_HDR_GSO_*`
const TCP4: u8 = 1;
const TCP6: u8 = 4;
const UDP_PARTS: u8 = 5;

const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// Of TCP, the flags that only the last segment has, and the one that only the first has.
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;
/// Tags before the packet. An arbitrary figure.
const MAX_TAGS: usize = 4;

/// Where in an IPv4 header its fields are.
mod ipv4 {
    pub(super) const LENGTH: usize = 2;
    pub(super) const ID: usize = 4;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: usize = 10;
}

/// Where in an IPv6 header its fields are.
mod ipv6 {
    pub(super) const LENGTH: usize = 4;
    pub(super) const NEXT: usize = 6;
    pub(super) const HEADER: usize = 40;
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const DESTINATION: u8 = 60;
}

/// How a frame is split, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    is_v4: bool,
    is_tcp: bool,
    /// Where the headers begin, and what they are in front of.
    ip: usize,
    transport: usize,
    payload: usize,
    /// Octets of payload in each part but the last.
    size: usize,
    offload: Offload,
    /// Parts that are written.
    parts: usize,
}

impl Split {
    /// `None` for a frame that is one, and for one that nothing here can split: in a tunnel, or of another protocol.
    pub(super) fn of(frame: &[u8], offload: Offload) -> Option<Split> {
        let (ip, kind) = skip_tags(frame)?;
        let transport = usize::from(offload.sum_start);
        let is_v4 = kind == ethertype::IPV4;
        let (found, protocol) = if is_v4 { after_v4(frame, ip) } else { after_v6(frame, ip) }?;
        let is_expected = match offload.kind {
            TCP4 => is_v4 && protocol == TCP,
            TCP6 => !is_v4 && protocol == TCP,
            UDP_PARTS => protocol == UDP,
            _ => false,
        };
        if !is_expected || found != transport || !offload.needs_sum || offload.size == 0 {
            return None;
        }
        let header = match protocol {
            TCP => usize::from(frame.get(transport + 12)? >> 4) * 4,
            _ => UDP_HEADER,
        };
        let least = if protocol == TCP { 20 } else { UDP_HEADER };
        let payload = transport + header;
        let holds_sum = usize::from(offload.sum_offset) + 2 <= header;
        let split = Split {
            is_v4,
            is_tcp: protocol == TCP,
            ip,
            transport,
            payload,
            size: offload.size.into(),
            offload,
            parts: 0,
        };
        (header >= least && holds_sum && payload < frame.len()).then_some(split)
    }

    pub(super) fn is_done(&self, frame: &[u8]) -> bool {
        self.next_payload(frame).is_none()
    }

    fn next_payload<'f>(&self, frame: &'f [u8]) -> Option<&'f [u8]> {
        let rest = frame.get(self.payload + self.parts * self.size..).filter(|rest| !rest.is_empty())?;
        rest.get(..self.size.min(rest.len()))
    }

    /// Writes the next part. Returns how many octets it has; `None` when there are no more, or they do not fit.
    pub(super) fn write_next(&mut self, frame: &[u8], out: &mut [u8]) -> Option<usize> {
        let payload = self.next_payload(frame)?;
        let out = out.get_mut(..self.payload + payload.len())?;
        let (headers, body) = out.split_at_mut_checked(self.payload)?;
        headers.copy_from_slice(frame.get(..self.payload)?);
        body.copy_from_slice(payload);
        let is_last = self.payload + self.parts * self.size + payload.len() == frame.len();
        self.fix_ip(out)?;
        self.fix_transport(out, frame.len() - self.transport, is_last)?;
        self.offload.finish_checksum(out)?;
        self.parts += 1;
        Some(out.len())
    }

    fn fix_ip(&self, part: &mut [u8]) -> Option<()> {
        let len = part.len() - self.ip;
        if !self.is_v4 {
            return put(part, self.ip + ipv6::LENGTH, (len - ipv6::HEADER) as u16);
        }
        put(part, self.ip + ipv4::LENGTH, len as u16)?;
        let id = get(part, self.ip + ipv4::ID)?;
        put(part, self.ip + ipv4::ID, id.wrapping_add(self.parts as u16))?;
        put(part, self.ip + ipv4::CHECKSUM, 0)?;
        let header = Offload {
            needs_sum: true,
            sum_start: self.ip as u16,
            sum_offset: ipv4::CHECKSUM as u16,
            ..Offload::default()
        };
        header.finish_checksum(part.get_mut(..self.transport)?)
    }

    /// `whole` is how many octets the transport header and its payload have in the frame that is split.
    fn fix_transport(&self, part: &mut [u8], whole: usize, is_last: bool) -> Option<()> {
        let len = part.len() - self.transport;
        // The sum of the pseudo header has the whole length in it. It is not read anew from the addresses: with a routing
        // header the one that counts is not in the place of the destination.
        let at = self.transport + usize::from(self.offload.sum_offset);
        let whole = (whole as u32).to_be_bytes();
        let [high, low] = [[whole[0], whole[1]], [whole[2], whole[3]]].map(u16::from_be_bytes);
        let sum = Sum::default().word(get(part, at)?).word(!high).word(!low);
        put(part, at, sum.word(len as u16).fold())?;
        if !self.is_tcp {
            return put(part, self.transport + 4, len as u16);
        }
        let seq = part.get_mut(self.transport + 4..)?.first_chunk_mut::<4>()?;
        let done = (self.parts * self.size) as u32;
        *seq = u32::from_be_bytes(*seq).wrapping_add(done).to_be_bytes();
        let flags = part.get_mut(self.transport + 13)?;
        if !is_last {
            *flags &= !FIN_PSH;
        }
        if self.parts > 0 {
            *flags &= !CWR;
        }
        Some(())
    }
}

/// Where the packet begins, behind any VLAN tags, and its EtherType, which is one of IP.
fn skip_tags(frame: &[u8]) -> Option<(usize, u16)> {
    let mut at = 12;
    for _ in 0..=MAX_TAGS {
        match get(frame, at)? {
            kind @ (ethertype::IPV4 | ethertype::IPV6) => return Some((at + 2, kind)),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => at += 4,
            _ => return None,
        }
    }
    None
}

/// Where the header behind an IPv4 header begins, and whose it is.
fn after_v4(frame: &[u8], ip: usize) -> Option<(usize, u8)> {
    let header = usize::from(frame.get(ip)? & 0x0f) * 4;
    (header >= 20).then_some((ip + header, *frame.get(ip + ipv4::PROTOCOL)?))
}

/// As [`after_v4`], behind the headers that may stand between. Jumbograms, whose length is in such a one, are not split.
fn after_v6(frame: &[u8], ip: usize) -> Option<(usize, u8)> {
    let mut next = *frame.get(ip + ipv6::NEXT)?;
    let mut at = ip + ipv6::HEADER;
    if get(frame, ip + ipv6::LENGTH)? == 0 {
        return None;
    }
    while let ipv6::HOP_BY_HOP | ipv6::ROUTING | ipv6::DESTINATION = next {
        next = *frame.get(at)?;
        at += (usize::from(*frame.get(at + 1)?) + 1) * 8;
    }
    Some((at, next))
}

fn get(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

fn put(octets: &mut [u8], at: usize, value: u16) -> Option<()> {
    octets.get_mut(at..)?.first_chunk_mut::<2>().map(|place| *place = value.to_be_bytes())
}

#[cfg(test)]
mod tests;
