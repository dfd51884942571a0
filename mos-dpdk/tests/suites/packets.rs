//! The segments of one connection, taken out of a capture by hand: what the crates below `mos` are fed with.

use pcap_parser::pcap::LegacyPcapSlice;
use pcap_parser::{Linktype, PcapBlockOwned};
use std::fs;
use std::path::Path;
use tcp_reasm::{Segment, Side};

/// A TCP packet over IPv4.
#[derive(Clone)]
pub(crate) struct Packet {
    /// Its number in the capture, from 1.
    pub(crate) number: usize,
    pub(crate) from: Side,
    /// Header and payload, as far as they were captured.
    bytes: Vec<u8>,
    /// How long both are by the IP header.
    len: usize,
}

impl Packet {
    pub(crate) fn segment(&self) -> Segment<'_> {
        Segment::parse(&self.bytes, self.len).unwrap()
    }

    /// The same header with another payload, `ahead` octets further on.
    pub(crate) fn with(&self, ahead: u32, payload: &[u8]) -> Packet {
        let header = self.bytes.len() - self.segment().payload.len();
        let mut bytes = self.bytes[..header].to_vec();
        bytes[4..8].copy_from_slice(&(self.segment().seq + ahead).0.to_be_bytes());
        bytes.extend_from_slice(payload);
        Packet { len: bytes.len(), bytes, ..*self }
    }

    /// The same header without payload, and another acknowledgement.
    pub(crate) fn with_ack(&self, ack: u32) -> Packet {
        let mut packet = self.with(0, &[]);
        packet.bytes[8..12].copy_from_slice(&ack.to_be_bytes());
        packet.bytes[13] = 0x10;
        packet
    }
}

/// All packets between the ports `client` and `server`, whatever VLAN they are in.
pub(crate) fn flow(capture: &Path, client: u16, server: u16) -> Vec<Packet> {
    let file = fs::read(capture).unwrap();
    let header = pcap_parser::pcap::parse_pcap_header(&file).unwrap().1;
    let mut packets = Vec::new();
    for (i, block) in LegacyPcapSlice::from_slice(&file).unwrap().enumerate() {
        let PcapBlockOwned::Legacy(block) = block.unwrap() else { continue };
        let Some((bytes, len)) = tcp(block.data, header.network) else { continue };
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let from = match (port(0), port(2)) {
            ports if ports == (client, server) => Side::Client,
            ports if ports == (server, client) => Side::Server,
            _ => continue,
        };
        packets.push(Packet { number: i + 1, from, bytes: bytes.to_vec(), len });
    }
    assert!(!packets.is_empty(), "{}: nothing between {client} and {server}", capture.display());
    packets
}

/// The TCP part of a frame, and its length by the IP header.
fn tcp(frame: &[u8], link: Linktype) -> Option<(&[u8], usize)> {
    let u16_at = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let mut at = if link == Linktype::LINUX_SLL { 14 } else { 12 };
    while matches!(u16_at(at), 0x8100 | 0x88a8) {
        at += 4;
    }
    let ip = at + 2;
    if u16_at(at) != 0x0800 || frame[ip + 9] != 6 {
        return None;
    }
    let header = usize::from(frame[ip] & 15) * 4;
    let len = usize::from(u16_at(ip + 2)) - header;
    let bytes = &frame[ip + header..];
    Some((&bytes[..len.min(bytes.len())], len))
}
