//! Captures as a monitor above this crate takes them: IPv4 packets by port, and of each the segment, when the host it
//! is for would find one in it.

use super::{C, S};
use etherparse::{Ethernet2Slice, Ipv4Slice, TcpSlice, ether_type, ip_number};
use pcap_parser::PcapBlockOwned;
use pcap_parser::pcap::LegacyPcapSlice;
use tcp_reasm::{Segment, Side};

/// A TCP packet of a flow.
pub(crate) struct Packet {
    pub(crate) from: Side,
    /// Its TCP part, which need not be sound.
    bytes: Vec<u8>,
    /// A host drops it unread: a checksum is wrong or a header does not fit.
    damaged: bool,
}

impl Packet {
    /// What the host takes it for.
    pub(crate) fn segment(&self) -> Option<Segment<'_>> {
        Segment::parse(&self.bytes, self.bytes.len()).ok().filter(|_| !self.damaged)
    }
}

/// All TCP packets between port `client` and port `server`, in the order of the capture.
pub(crate) fn flow(capture: &[u8], client: u16, server: u16) -> Vec<Packet> {
    let blocks = LegacyPcapSlice::from_slice(capture).unwrap().map(Result::unwrap);
    blocks.filter_map(|block| packet(&block, client, server)).collect()
}

fn packet(block: &PcapBlockOwned<'_>, client: u16, server: u16) -> Option<Packet> {
    let PcapBlockOwned::Legacy(block) = block else { return None };
    assert_eq!(block.caplen, block.origlen, "the capture cuts packets");
    let frame = Ethernet2Slice::from_slice_without_fcs(block.data).unwrap();
    if frame.ether_type() != ether_type::IPV4 {
        return None;
    }
    let ip = Ipv4Slice::from_slice(frame.payload().payload).unwrap();
    if ip.header().protocol() != ip_number::TCP {
        return None;
    }
    let bytes = ip.payload().payload;
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let from = match (port(0), port(2)) {
        ports if ports == (client, server) => C,
        ports if ports == (server, client) => S,
        _ => return None,
    };
    Some(Packet { from, bytes: bytes.to_vec(), damaged: is_damaged(&ip) })
}

fn is_damaged(ip: &Ipv4Slice<'_>) -> bool {
    let header = ip.header().to_header();
    let Ok(tcp) = TcpSlice::from_slice(ip.payload().payload) else { return true };
    let sum = tcp.calc_checksum_ipv4(header.source, header.destination).unwrap();
    header.calc_header_checksum() != header.header_checksum || sum != tcp.checksum()
}
