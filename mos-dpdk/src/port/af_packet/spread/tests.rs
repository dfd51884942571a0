use super::*;
use crate::rss::hash_of_frame;
use mos_flow::{Frame, Instant};
use proptest::prelude::*;

/// A frame as a program sees it.
#[derive(Clone, Copy, Debug)]
struct Seen<'a> {
    data: &'a [u8],
    protocol: u16,
    is_outgoing: bool,
}

impl Seen<'_> {
    fn load(&self, size: u32, at: u32) -> Option<u32> {
        match (at as i32).wrapping_sub(libc::SKF_AD_OFF) {
            libc::SKF_AD_PROTOCOL => return Some(self.protocol.into()),
            libc::SKF_AD_PKTTYPE => return Some(if self.is_outgoing { OUTGOING } else { 0 }),
            _ => {}
        }
        let len = match size {
            libc::BPF_W => 4,
            libc::BPF_H => 2,
            libc::BPF_B => 1,
            _ => panic!("no size: {size}"),
        };
        let octets = self.data.get(at as usize..)?.get(..len)?;
        Some(octets.iter().fold(0, |word, octet| word << 8 | u32::from(*octet)))
    }
}

/// Runs a program by the definition of classic BPF: a load from outside of the frame ends it with 0.
fn run(program: &[Instruction], seen: Seen<'_>) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        let code = u32::from(code);
        at += 1;
        let operand = if code & libc::BPF_X != 0 { x } else { k };
        match code & 0x07 {
            libc::BPF_LD => {
                let loaded = match code & 0xe0 {
                    libc::BPF_ABS => seen.load(code & 0x18, k),
                    libc::BPF_IND => seen.load(code & 0x18, x + k),
                    libc::BPF_IMM => Some(k),
                    mode => panic!("no mode: {mode}"),
                };
                let Some(loaded) = loaded else { return 0 };
                a = loaded;
            }
            libc::BPF_LDX => {
                assert_eq!(code & 0xe0, libc::BPF_MSH);
                let Some(octet) = seen.load(libc::BPF_B, k) else { return 0 };
                x = (octet & 15) * 4;
            }
            libc::BPF_ALU => match code & 0xf0 {
                libc::BPF_RSH => a >>= operand,
                libc::BPF_AND => a &= operand,
                libc::BPF_XOR => a ^= operand,
                operation => panic!("no operation: {operation}"),
            },
            libc::BPF_JMP => {
                let is_true = match code & 0xf0 {
                    libc::BPF_JA => {
                        at += k as usize;
                        continue;
                    }
                    libc::BPF_JEQ => a == operand,
                    libc::BPF_JSET => a & operand != 0,
                    comparison => panic!("no comparison: {comparison}"),
                };
                at += usize::from(if is_true { jt } else { jf });
            }
            libc::BPF_RET => return if code & 0x18 == libc::BPF_A { a } else { k },
            _ => x = a,
        }
    }
}

/// What both programs return for a frame that comes, and the larger one for one that goes.
fn entries(frame: &[u8]) -> [u32; 3] {
    let kind = |at| frame.get(at..at + 2).map_or(0, |kind| u16::from_be_bytes([kind[0], kind[1]]));
    // The kernel knows two of the three kinds of tags.
    let is_tagged = matches!(kind(12), ethertype::VLAN | ethertype::QINQ);
    let at = if is_tagged { 18 } else { 14 };
    let data = frame.get(at..).unwrap_or_default();
    let coming = Seen { data, protocol: kind(at - 2), is_outgoing: false };
    let going = Seen { data: frame, protocol: 0, is_outgoing: true };
    let both = program(true);
    [run(&program(false), coming), run(&both, coming), run(&both, going)]
}

fn tags() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![ethertype::VLAN, ethertype::QINQ, ethertype::QINQ_OLD]);
    let tag = (kind, any::<[u8; 2]>()).prop_map(|(kind, tci)| [kind.to_be_bytes(), tci].concat());
    prop::collection::vec(tag, 0..=VlanStack::MAX).prop_map(|tags| tags.concat())
}

/// TCP, UDP, ICMP, and what nobody uses.
fn protocols() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![6, 6, 17, 17, 1, 58, 253])
}

fn v4() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let fragment = prop_oneof![3 => prop::sample::select(vec![0, 0x4000, 0x8000]), 1 => any::<u16>()];
    let options = prop::collection::vec(any::<[u8; 4]>(), 0..=10);
    let segment = prop::collection::vec(any::<u8>(), 4..30);
    let parts = (fragment, protocols(), any::<[u8; 8]>(), options, segment);
    parts.prop_map(|(fragment, protocol, addresses, options, segment)| {
        let header = 20 + 4 * options.len();
        let mut packet = vec![0x40 | (header / 4) as u8, 0];
        packet.extend(((header + segment.len()) as u16).to_be_bytes());
        packet.extend([0, 7]);
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0]);
        packet.extend([&addresses[..], options.as_flattened(), &segment].concat());
        (ethertype::IPV4, packet)
    })
}

fn v6() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let segment = prop::collection::vec(any::<u8>(), 4..30);
    // A fragment header whose reserved octets are set, so that it is none of a whole datagram.
    let fragment = any::<(u16, [u8; 4])>().prop_map(|(at, id)| [&(at | 8).to_be_bytes()[..], &id].concat());
    let parts = (protocols(), any::<[u8; 32]>(), prop::option::weighted(0.3, fragment), segment);
    parts.prop_map(|(protocol, addresses, fragment, segment)| {
        let (next, extension) = match fragment {
            Some(fragment) => (44, [&[protocol, 0][..], &fragment].concat()),
            None => (protocol, Vec::new()),
        };
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(((extension.len() + segment.len()) as u16).to_be_bytes());
        packet.extend([next, 64]);
        packet.extend([&addresses[..], &extension, &segment].concat());
        (ethertype::IPV6, packet)
    })
}

fn framed(tags: &[u8], kind: u16, packet: &[u8]) -> Vec<u8> {
    [&[2; 12], tags, &kind.to_be_bytes(), packet].concat()
}

proptest! {
    #[test]
    fn the_program_returns_the_hash(tags in tags(), (kind, packet) in prop_oneof![v4(), v6()]) {
        let frame = framed(&tags, kind, &packet);
        let hash = hash_of_frame(&Frame::ethernet(Instant(0), &frame)).expect("a packet");
        prop_assert_eq!(entries(&frame), [hash % rss::MAP_ENTRIES; 3]);
    }

    /// Whatever comes, the program ends, and with an entry of the map.
    #[test]
    fn octets_have_an_entry(
        tags in tags(),
        kind in prop_oneof![any::<u16>(), prop::sample::select(vec![ethertype::IPV4, ethertype::IPV6, ethertype::VLAN])],
        octets in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let frame = framed(&tags, kind, &octets);
        prop_assert!(entries(&frame).iter().all(|entry| *entry < rss::MAP_ENTRIES));
        let leads_on = [ethertype::IPV4, ethertype::IPV6, ethertype::VLAN, ethertype::QINQ, ethertype::QINQ_OLD];
        if !leads_on.contains(&kind) {
            prop_assert_eq!(entries(&frame), [0; 3]);
        }
    }

    #[test]
    fn what_is_cut_is_number_0s((kind, packet) in prop_oneof![v4(), v6()], len in any::<prop::sample::Index>()) {
        let addresses_end = if kind == ethertype::IPV4 { 20 } else { 40 };
        let frame = framed(&[], kind, &packet[..len.index(addresses_end)]);
        prop_assert_eq!(entries(&frame), [0; 3]);
    }
}

#[test]
fn extension_headers_leave_the_addresses() {
    let (source, destination) = ([1; 16], [2; 16]);
    let hop_by_hop = [6, 0, 1, 4, 0, 0, 0, 0];
    let head = [0x60, 0, 0, 0, 0, 12, 0, 64];
    let packet = [&head[..], &source, &destination, &hop_by_hop, &[1, 2, 3, 4]].concat();
    let hash = rss::hash_of_addresses(source.into(), destination.into());
    assert_eq!(entries(&framed(&[], ethertype::IPV6, &packet)), [hash % rss::MAP_ENTRIES; 3]);
}

/// The kernel takes 4096 instructions (`BPF_MAXINSNS`), and jumps within the program.
#[test]
fn the_kernel_takes_it() {
    for code in [program(false), program(true)] {
        assert!(code.len() <= 4096, "{}", code.len());
        for (at, Instruction { code: kind, jt, jf, k }) in code.iter().enumerate() {
            let kind = u32::from(*kind);
            let furthest = match (kind & 0x07 == libc::BPF_JMP, kind & 0xf0 == libc::BPF_JA) {
                (true, true) => *k as usize,
                (true, false) => usize::from(*jt.max(jf)),
                _ => 0,
            };
            assert!(at + 1 + furthest < code.len() || kind & 0x07 == libc::BPF_RET, "{at}");
        }
    }
}
