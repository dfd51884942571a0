use super::*;
use crate::port::af_packet::ring::BLOCK;
use proptest::prelude::*;

/// A packet as the kernel writes it.
#[derive(Clone, Default)]
struct Written {
    data: Vec<u8>,
    /// Octets that it had; 0 for as many as there are.
    wire_len: u32,
    /// What was taken out of it: its kind, if that is told, and the rest.
    tag: Option<(Option<u16>, u16)>,
    offload: Offload,
}

fn put(block: &mut [u8], at: usize, octets: &[u8]) {
    block[at..at + octets.len()].copy_from_slice(octets);
}

/// A block by the definitions in the kernel's header `if_packet.h`.
fn block(packets: &[Written]) -> Vec<u8> {
    const FIRST: usize = 48;
    const MAC: usize = 92;
    let mut block = vec![0; BLOCK];
    put(&mut block, 8, &1_u32.to_ne_bytes());
    put(&mut block, 12, &(packets.len() as u32).to_ne_bytes());
    put(&mut block, 16, &(FIRST as u32).to_ne_bytes());
    let mut at = FIRST;
    for packet in packets {
        let next = (MAC + packet.data.len()).next_multiple_of(16);
        let len = packet.data.len() as u32;
        let wire_len = if packet.wire_len == 0 { len } else { packet.wire_len };
        let mut status = 1_u32;
        if let Some((tpid, tci)) = packet.tag {
            status |= 1 << 4;
            put(&mut block, at + 32, &u32::from(tci).to_ne_bytes());
            if let Some(tpid) = tpid {
                status |= 1 << 6;
                put(&mut block, at + 36, &tpid.to_ne_bytes());
            }
        }
        for (place, word) in [(0, next as u32), (12, len), (16, wire_len), (20, status)] {
            put(&mut block, at + place, &word.to_ne_bytes());
        }
        put(&mut block, at + 24, &(MAC as u16).to_ne_bytes());
        let offload = packet.offload;
        block[at + MAC - 10] = offload.needs_sum.into();
        block[at + MAC - 9] = offload.kind;
        for (place, half) in [(6, offload.size), (4, offload.sum_start), (2, offload.sum_offset)] {
            put(&mut block, at + MAC - place, &half.to_ne_bytes());
        }
        put(&mut block, at + MAC, &packet.data);
        at += next;
    }
    block
}

/// What is delivered of a block, burst by burst.
fn read(mut block: Vec<u8>, scratch: usize) -> Vec<Vec<(Vec<u8>, u32)>> {
    let mut scratch = vec![0; scratch];
    let mut reader = Reader::new(&block);
    let mut bursts = Vec::new();
    while !reader.is_done() {
        let mut pieces = heapless::Vec::new();
        reader.fill(&mut block, &mut scratch, &mut pieces);
        let octets = |piece: &Piece| match &piece.place {
            Place::Block(range) => (block[range.clone()].to_vec(), piece.wire_len),
            Place::Scratch(range) => (scratch[range.clone()].to_vec(), piece.wire_len),
        };
        bursts.push(pieces.iter().map(octets).collect());
    }
    bursts
}

#[test]
fn a_block_of_this_process_is_as_one_of_the_kernels() {
    let tagged = Written { tag: Some((Some(0x88a8), 7)), wire_len: 99, ..plain((0..60).collect()) };
    let packets = [plain(vec![1; 60]), tagged, of_several(350)];
    let mut own = vec![0; BLOCK];
    let mut at = FIRST;
    for packet in &packets {
        let (len, wire_len) = (packet.data.len() as u32, packet.wire_len.max(packet.data.len() as u32));
        let (tpid, tci) = packet.tag.map_or((0, 0), |(tpid, tci)| (tpid.unwrap(), tci.into()));
        let status = if packet.tag.is_some() { 1 << 4 | 1 << 6 } else { 0 };
        Header { len, wire_len, status, tci, tpid, next: 1024 }.write(&mut own, at).unwrap();
        put(&mut own, at + 92, &packet.data);
        let offload = packet.offload;
        put(&mut own, at + 82, &[offload.needs_sum.into(), offload.kind]);
        for (place, half) in [(86, offload.size), (88, offload.sum_start), (90, offload.sum_offset)] {
            put(&mut own, at + place, &half.to_ne_bytes());
        }
        at += 1024;
    }
    Reader::announce(&mut own, 3).unwrap();
    assert_eq!(read(own, BLOCK), read(block(&packets), BLOCK));
    let header = Header { len: 0, wire_len: 0, status: 0, tci: 0, tpid: 0, next: 0 };
    assert_eq!(header.write(&mut [0; 47], 0), None);
}

fn plain(data: Vec<u8>) -> Written {
    Written { data, ..Written::default() }
}

#[test]
fn frames_are_delivered_in_bursts_and_in_order() {
    let frames: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n; 60 + usize::from(n)]).collect();
    let packets: Vec<Written> = frames.iter().cloned().map(plain).collect();
    let bursts = read(block(&packets), 0);
    assert_eq!(bursts.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32, 32, 4]);
    let whole = frames.iter().map(|frame| (frame.clone(), frame.len() as u32));
    assert!(bursts.concat().into_iter().eq(whole));
    assert!(read(block(&[]), 0).is_empty());
}

#[test]
fn tags_are_put_back_and_what_was_cut_is_told() {
    let data: Vec<u8> = (0..60).collect();
    let tagged = |tpid| Written { tag: Some((tpid, 0x6064)), ..plain(data.clone()) };
    let cut = Written { wire_len: 9000, ..tagged(Some(0x88a8)) };
    let short = Written { data: vec![1; 11], ..tagged(None) };
    let bursts = read(block(&[tagged(None), cut, short]), 0);
    let with = |tag: [u8; 4]| [&data[..12], &tag, &data[12..]].concat();
    let expected = [
        (with([0x81, 0, 0x60, 0x64]), 64),
        (with([0x88, 0xa8, 0x60, 0x64]), 9004),
        (vec![1; 11], 11), // there is no place for it
    ];
    assert_eq!(bursts.concat(), expected);
}

/// From RFC 1071: the words 0001 f203 f4f5 f6f7 sum to ddf2.
#[test]
fn checksums_are_made() {
    const WORDS: [u8; 8] = [0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7];
    let offload = Offload { needs_sum: true, sum_start: 14, sum_offset: 8, ..Offload::default() };
    let data = [&[9; 14][..], &WORDS, &[0, 0]].concat();
    let packet = Written { offload, ..plain(data.clone()) };
    let tagged = Written { tag: Some((None, 1)), ..packet.clone() };
    let cut = Written { wire_len: 25, ..packet.clone() };
    let wild = Written { offload: Offload { sum_start: 500, ..offload }, ..packet.clone() };
    let got: Vec<_> =
        read(block(&[packet, tagged, cut, wild]), 0).concat().into_iter().map(|(f, _)| f).collect();
    let right = [&data[..22], &(!0xddf2_u16).to_be_bytes()].concat();
    let with_tag = [&right[..12], &[0x81, 0, 0, 1], &right[12..]].concat();
    assert_eq!(got, [right, with_tag, data.clone(), data]);
}

#[test]
fn of_udp_no_checksum_is_zero() {
    // The octets sum to ffff, complemented that is 0.
    let data = [&[9; 14][..], &[0; 6], &[0xff, 0xff]].concat();
    let offload = Offload { needs_sum: true, sum_start: 14, sum_offset: 6, ..Offload::default() };
    let got = read(block(&[Written { offload, ..plain(data.clone()) }]), 0).concat();
    assert_eq!(got, [(data, 22)]);
}

/// A frame of UDP over IPv4 with this payload, in parts of 100 octets.
fn of_several(payload: usize) -> Written {
    let mut data = [&[2; 12][..], &[8, 0, 0x45, 0]].concat();
    data.extend((28 + payload as u16).to_be_bytes());
    data.extend([0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2]);
    data.extend((8 + payload as u16).to_be_bytes());
    data.extend([0; 2]);
    data.extend((0..payload).map(|n| (n / 100) as u8));
    let offload = Offload { needs_sum: true, kind: 5, size: 100, sum_start: 34, sum_offset: 6 };
    Written { offload, ..plain(data) }
}

#[test]
fn what_is_built_of_several_is_delivered_as_several() {
    let single = plain(vec![1; 60]);
    let packets = [single.clone(), of_several(350), single.clone(), of_several(10_000), single];
    let got = |scratch| read(block(&packets), scratch);
    let (roomy, narrow) = (got(BLOCK), got(300));
    assert_eq!(roomy.concat(), narrow.concat());
    assert_eq!(roomy.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32, 32, 11]);
    assert!(narrow.iter().all(|burst| burst.iter().filter(|(f, _)| f[0] == 2).count() <= 2));
    let expected: Vec<usize> = [&[60][..], &[142, 142, 142, 92], &[60], &[142; 100], &[60]].concat();
    let got = roomy.concat();
    assert_eq!(got.iter().map(|(frame, _)| frame.len()).collect::<Vec<_>>(), expected);
    assert!(got.iter().all(|(frame, wire_len)| frame.len() as u32 == *wire_len));
    let second = got[6..106].iter().enumerate();
    assert!(
        second.into_iter().all(|(n, (frame, _))| frame[42..].iter().all(|octet| usize::from(*octet) == n))
    );
    // With no room at all for a part there is none, and reading goes on.
    assert_eq!(got.len() - 104, read(block(&packets), 0).concat().len());
    // What was cut is not split.
    let cut = Written { wire_len: 70_000, ..of_several(350) };
    assert_eq!(read(block(&[cut]), BLOCK).concat(), [(of_several(350).data, 70_000)]);
}

proptest! {
    /// Nothing is read or written outside, and it ends.
    #[test]
    fn any_block_is_read(
        spoilt in prop::collection::vec((0..400_usize, any::<u32>()), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut octets = block(&[plain(vec![1; 60]), of_several(350), plain(noise)]);
        for (at, word) in spoilt {
            put(&mut octets, at, &word.to_ne_bytes());
        }
        let total: usize = read(octets, BLOCK).iter().map(Vec::len).sum();
        prop_assert!(total <= BLOCK);
    }

    #[test]
    fn any_octets_are_read(octets in prop::collection::vec(any::<u8>(), 0..4000)) {
        read(octets, 0);
    }
}
