//! Frames of capture files.

use mos_flow::LinkType;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use std::fs::File;
use std::path::Path;

/// One frame.
pub(crate) struct Captured {
    /// Microseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) link: LinkType,
    pub(crate) wire_len: u32,
    pub(crate) data: Vec<u8>,
}

/// All frames of a file, pcap or pcapng.
pub(crate) fn frames(path: &Path) -> Vec<Captured> {
    let mut reader = create_reader(1 << 20, File::open(path).unwrap()).unwrap();
    let (mut links, mut nanoseconds, mut frames) = (Vec::new(), false, Vec::new());
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        nanoseconds = header.is_nanosecond_precision();
                        links.push(link_type(header.network.0));
                    }
                    PcapBlockOwned::Legacy(p) => {
                        let fraction = if nanoseconds { p.ts_usec / 1000 } else { p.ts_usec };
                        let time = u64::from(p.ts_sec) * 1_000_000 + u64::from(fraction);
                        frames.push(Captured {
                            time,
                            link: links[0],
                            wire_len: p.origlen,
                            data: p.data.to_vec(),
                        });
                    }
                    PcapBlockOwned::NG(Block::InterfaceDescription(i)) => {
                        assert_eq!((i.if_tsresol, i.ts_offset()), (6, 0), "a clock of microseconds");
                        links.push(link_type(i.linktype.0));
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(p)) => {
                        let time = u64::from(p.ts_high) << 32 | u64::from(p.ts_low);
                        let (link, data) = (links[p.if_id as usize], p.data[..p.caplen as usize].to_vec());
                        frames.push(Captured { time, link, wire_len: p.origlen, data });
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(PcapError::Eof) => return frames,
            Err(e) => panic!("{}: {e}", path.display()),
        }
    }
}

fn link_type(number: i32) -> LinkType {
    match number {
        1 => LinkType::Ethernet,
        113 => LinkType::LinuxSll,
        228 => LinkType::Ipv4,
        other => panic!("link type {other}"),
    }
}
