//! The pcapng format: sections in either byte order, any number of interfaces, their own clocks.

use super::{MAX_RECORD, Parsed, Record, link_type};
use mos_flow::{Instant, LinkType};
use pcap_parser::{Block, parse_block_be, parse_block_le};

const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type and length.
const BLOCK_HEADER: usize = 8;
/// The packet block that the enhanced one replaced.
const OBSOLETE_PACKET: u32 = 2;

/// Whether this is how a pcapng file begins.
pub(super) fn is_ng(bytes: &[u8]) -> bool {
    bytes.starts_with(&SECTION_HEADER)
}

#[derive(Debug)]
struct Interface {
    link: LinkType,
    /// Units of its clock in a second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
    /// The most octets captured of a packet; 0 is no limit.
    snap_len: u32,
}

#[derive(Debug, Default)]
pub(super) struct Ng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// The time of the last packet, for packets without one.
    last: Instant,
}

impl Ng {
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Parsed {
        if bytes.len() < BLOCK_HEADER + 4 {
            return Parsed::Need(BLOCK_HEADER + 4);
        }
        if is_ng(bytes) {
            match bytes.get(BLOCK_HEADER..).and_then(|b| b.first_chunk()).map(|m| u32::from_be_bytes(*m)) {
                Some(BYTE_ORDER_MAGIC) => self.big_endian = true,
                Some(m) if m.swap_bytes() == BYTE_ORDER_MAGIC => self.big_endian = false,
                _ => return Parsed::Bad("a section header without byte order"),
            }
        }
        let len = self.block_len(bytes);
        if !(BLOCK_HEADER + 4..=MAX_RECORD).contains(&len) {
            return Parsed::Bad("a block of impossible length");
        }
        if bytes.len() < len {
            return Parsed::Need(len);
        }
        let parse = if self.big_endian { parse_block_be } else { parse_block_le };
        match parse(bytes) {
            Ok((rest, block)) => self.on_block(bytes, &block, bytes.len() - rest.len()),
            Err(_) => Parsed::Bad("not a block"),
        }
    }

    fn block_len(&self, bytes: &[u8]) -> usize {
        let len = bytes.get(4..8).and_then(|b| b.first_chunk()).copied().unwrap_or_default();
        (if self.big_endian { u32::from_be_bytes(len) } else { u32::from_le_bytes(len) }) as usize
    }

    fn on_block(&mut self, bytes: &[u8], block: &Block<'_>, len: usize) -> Parsed {
        match block {
            Block::SectionHeader(_) => self.interfaces.clear(),
            Block::InterfaceDescription(i) => self.interfaces.push(Interface {
                link: link_type(u16::try_from(i.linktype.0).unwrap_or(u16::MAX)),
                resolution: resolution(i.if_tsresol),
                offset: i.ts_offset(),
                snap_len: i.snaplen,
            }),
            Block::EnhancedPacket(p) => {
                let Some(interface) = self.interfaces.get(p.if_id as usize) else {
                    return Parsed::Bad("a packet of an interface that was not described");
                };
                self.last = interface.time(u64::from(p.ts_high) << 32 | u64::from(p.ts_low));
                let Some(data) = p.data.get(..p.caplen as usize) else {
                    return Parsed::Bad("a packet longer than its block");
                };
                return self.packet(bytes, data, interface.link, p.origlen, len);
            }
            Block::SimplePacket(p) => {
                let Some(interface) = self.interfaces.first() else {
                    return Parsed::Bad("a packet of an interface that was not described");
                };
                let limit = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
                let captured = p.origlen.min(limit) as usize;
                let data = p.data.get(..captured).unwrap_or(p.data); // the rest is padding
                return self.packet(bytes, data, interface.link, p.origlen, len);
            }
            Block::Unknown(b) if b.block_type == OBSOLETE_PACKET => {
                return Parsed::Bad("a packet in an obsolete kind of block");
            }
            _ => {}
        }
        Parsed::Skip(len)
    }

    fn packet(&self, bytes: &[u8], data: &[u8], link: LinkType, origlen: u32, len: usize) -> Parsed {
        // `data` is part of `bytes`; its place is what is wanted.
        let start = data.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
        let wire_len = origlen.max(u32::try_from(data.len()).unwrap_or(u32::MAX));
        let record = Record { data: start..start + data.len(), wire_len, time: self.last, link };
        Parsed::Packet(record, len)
    }
}

/// Units in a second by the `if_tsresol` option: a negative power of ten, or of two when the highest bit is set.
/// Powers beyond 64 bits count as the default, microseconds.
fn resolution(option: u8) -> u64 {
    let power = u32::from(option & 0x7f);
    let units = if option & 0x80 == 0 { 10_u64.checked_pow(power) } else { 2_u64.checked_pow(power) };
    units.unwrap_or(1_000_000)
}

impl Interface {
    /// Microseconds of a time in the interface's own units.
    fn time(&self, ticks: u64) -> Instant {
        let micros = u128::from(ticks) * 1_000_000 / u128::from(self.resolution);
        let micros =
            i128::try_from(micros).unwrap_or(i128::MAX).saturating_add(i128::from(self.offset) * 1_000_000);
        Instant(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
    }
}
