//! IPv4 packets in fragments (RFC 791, 3.2), for links that are too small for them.

use mos_flow::wire::checksum::Sum;
use mos_flow::wire::ethernet::EthernetHeader;
use mos_flow::wire::ipv4::Ipv4Header;
use zerocopy::FromBytes;

pub(super) const DONT_FRAGMENT: u16 = 0x4000;
const MORE: u16 = 0x2000;
/// Bits in front of the offset.
const FLAGS: u16 = 0xe000;
/// Options: the end of all, one octet of nothing, and the bit of those that every fragment has.
const END: u8 = 0;
const NOTHING: u8 = 1;
const COPIED: u8 = 0x80;

/// Whether a packet may be cut: IPv6 is not cut by routers, and IPv4 only when its sender lets them. What would end
/// beyond the largest datagram cannot be told in its header.
pub(super) fn may_be_cut(packet: &[u8]) -> bool {
    let Ok((header, _)) = Ipv4Header::ref_from_prefix(packet) else { return false };
    let end = header.fragment().offset as usize + packet.len();
    header.version_ihl >> 4 == 4
        && header.flags_offset.get() & DONT_FRAGMENT == 0
        && end <= usize::from(u16::MAX)
}

/// Cuts the packet of a frame, which may be cut, into fragments of at most `mtu` octets, and gives them to `send` one
/// by one in `scratch`.
pub(super) fn cut(frame: &[u8], mtu: u16, scratch: &mut Vec<u8>, send: &mut dyn FnMut(&[u8])) -> Option<()> {
    let (link, packet) = frame.split_at_checked(size_of::<EthernetHeader>())?;
    let (fixed, _) = Ipv4Header::read_from_prefix(packet).ok()?;
    let (header, payload) = packet.split_at_checked(fixed.header_len())?;
    // Offsets count units of 8 octets.
    let most = usize::from(mtu).checked_sub(header.len())? & !7;
    let last = payload.len().checked_sub(1)?.checked_div(most)?;
    let mut offset = fixed.fragment().offset / 8;
    for (n, part) in payload.chunks(most).enumerate() {
        scratch.clear();
        scratch.extend_from_slice(link);
        if n == 0 {
            scratch.extend_from_slice(header);
        } else {
            repeat(header, scratch);
        }
        let header = scratch.get_mut(link.len()..)?;
        let (own, _) = Ipv4Header::mut_from_prefix(header).ok()?;
        let more = if n < last { MORE } else { 0 };
        own.flags_offset = (fixed.flags_offset.get() & FLAGS | more | u16::try_from(offset).ok()?).into();
        seal(header, part.len())?;
        scratch.extend_from_slice(part);
        send(scratch);
        offset += u32::try_from(most / 8).ok()?;
    }
    Some(())
}

/// Writes the header of a fragment that is not the first: with the options that all have.
fn repeat(header: &[u8], into: &mut Vec<u8>) {
    let (fixed, mut options) = header.split_at_checked(size_of::<Ipv4Header>()).unwrap_or_default();
    let start = into.len();
    into.extend_from_slice(fixed);
    while let [kind, rest @ ..] = options {
        let len = match (*kind, rest.first()) {
            (END, _) => break,
            (NOTHING, _) => 1,
            (_, Some(len)) => usize::from(*len),
            (_, None) => break,
        };
        // What has no length that is possible ends the list.
        let Some((option, behind)) = options.split_at_checked(len).filter(|_| len > 0) else { break };
        if kind & COPIED != 0 {
            into.extend_from_slice(option);
        }
        options = behind;
    }
    while !(into.len() - start).is_multiple_of(4) {
        into.push(END);
    }
}

/// Puts lengths and checksum of a header right that stands for itself, before its payload.
pub(super) fn seal(header: &mut [u8], payload: usize) -> Option<()> {
    let words = u8::try_from(header.len() / 4).ok()?;
    let total = u16::try_from(header.len() + payload).ok()?;
    let (fixed, _) = Ipv4Header::mut_from_prefix(header).ok()?;
    fixed.version_ihl = 4 << 4 | words;
    fixed.total_len = total.into();
    fixed.checksum = 0.into();
    let sum = !Sum::default().bytes(header).fold();
    let (fixed, _) = Ipv4Header::mut_from_prefix(header).ok()?;
    fixed.checksum = sum.into();
    Some(())
}
