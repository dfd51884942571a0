mod cases;
mod oracles;

use super::*;
use crate::memory::{Heap, Lent};
use proptest::prelude::*;
use std::format;
use std::io::Write;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// A fragment in blocks or octets: where, how many, more, what it is filled with.
type Piece = (u32, usize, bool, char);

/// The parts of a fragment that a test may change.
struct Owned {
    key: DatagramKey,
    family: Family,
    header: Vec<u8>,
    next_header_at: usize,
    next_header: u8,
    payload: Vec<u8>,
    payload_len: usize,
}

impl Owned {
    fn fragment(&self, offset: u32, more: bool) -> Fragment<'_> {
        Fragment {
            key: self.key,
            family: self.family,
            offset,
            more,
            header: &self.header,
            next_header_at: self.next_header_at,
            next_header: self.next_header,
            payload: &self.payload,
            payload_len: self.payload_len,
        }
    }
}

/// One datagram's fragments at a time, and what came of them.
struct World {
    defrag: Defrag<Heap>,
    family: Family,
    id: u32,
    now: u64,
    ttl: u8,
    ecn: u8,
    protocol: u8,
}

impl World {
    fn new(policy: FragmentPolicy, family: Family) -> World {
        World::with(
            DefragConfig { policy, max_datagrams: 16, chunks: 256, ..DefragConfig::default() },
            family,
        )
    }

    fn with(config: DefragConfig, family: Family) -> World {
        let defrag = Defrag::new(config, DefragArrays::on_heap(&config));
        World { defrag, family, id: 1, now: 1_000_000, ttl: 64, ecn: 0, protocol: 253 }
    }

    /// An IPv4 header, or an IPv6 one that leads to a fragment header.
    fn header(&self) -> Vec<u8> {
        match self.family {
            Family::V4 => {
                let mut h = vec![0x45, self.ecn, 0, 0, 0, 7, 0x20, 0, self.ttl, self.protocol, 0xab, 0xcd];
                h.extend([10, 0, 0, 1, 10, 0, 0, 2]);
                h
            }
            Family::V6 => {
                let mut h = vec![0x60, self.ecn << 4, 0, 0, 0, 0, 44, self.ttl];
                h.extend([7; 32]);
                h
            }
        }
    }

    fn key(&self) -> DatagramKey {
        let protocol = if self.family == Family::V4 { self.protocol } else { 0 };
        DatagramKey { src: [1; 16], dst: [2; 16], id: self.id, protocol, network: 0 }
    }

    /// Gives one fragment; `edit` may change it before.
    fn give(&mut self, piece: Piece, edit: impl FnOnce(&mut Owned)) -> Outcome {
        let (offset, len, more, fill) = piece;
        let mut owned = Owned {
            key: self.key(),
            family: self.family,
            header: self.header(),
            next_header_at: 6,
            next_header: self.protocol,
            payload: vec![fill as u8; len],
            payload_len: len,
        };
        edit(&mut owned);
        let fragment = owned.fragment(offset, more);
        let outcome = self.defrag.add(&fragment, model::hash(&fragment.key), Instant(self.now));
        model::check(&self.defrag);
        outcome
    }

    fn add(&mut self, offset: u32, len: usize, more: bool, fill: char) -> Outcome {
        self.give((offset, len, more, fill), |_| ())
    }

    /// The payload of the last datagram as text.
    fn text(&self) -> String {
        let header_len = if self.family == Family::V4 { 20 } else { 40 };
        String::from_utf8_lossy(self.defrag.datagram().get(header_len..).unwrap_or_default()).into_owned()
    }

    /// All fragments; the datagrams that were complete.
    fn play(&mut self, pieces: &[Piece]) -> Vec<String> {
        let mut out = Vec::new();
        for (offset, len, more, fill) in pieces {
            if self.add(*offset, *len, *more, *fill) == Outcome::Complete {
                out.push(self.text());
            }
        }
        out
    }
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn all_worlds() -> impl Iterator<Item = World> {
    FragmentPolicy::ALL.iter().flat_map(|p| FAMILIES.map(|f| World::new(*p, f)))
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// One letter for each block of 8 octets; `!` for a mixed one.
fn blocks(payload: &str) -> String {
    let letter = |block: &[u8]| if block.iter().all(|o| *o == block[0]) { block[0] as char } else { '!' };
    payload.as_bytes().chunks(8).map(letter).collect()
}

#[test]
fn policies_have_names() {
    for policy in FragmentPolicy::ALL {
        assert_eq!(format!("{policy}").parse(), Ok(*policy));
    }
    assert_eq!("plan9".parse::<FragmentPolicy>(), Err(UnknownPolicy));
    assert!(format!("{UnknownPolicy}").ends_with("solaris windows"));
    assert_eq!(FragmentDrop::Cut.symbol(), "fragment_cut");
    assert_eq!(format!("{}", FragmentDrop::Empty), "It carries no octets.");
}

#[test]
fn headers_that_cannot_be_kept_are_refused() {
    for family in FAMILIES {
        let mut world = World::new(FragmentPolicy::First, family);
        let least = if family == Family::V4 { 20 } else { 40 };
        for (len, outcome) in [
            (least - 1, Outcome::Dropped(FragmentDrop::BadHeader)),
            (257, Outcome::Dropped(FragmentDrop::BadHeader)),
            (256, Outcome::Held),
        ] {
            assert_eq!(world.give((0, 8, true, 'A'), |f| f.header.resize(len, 0)), outcome, "{len}");
        }
        // Options and extension headers are kept.
        assert_eq!(world.add(8, 8, false, 'B'), Outcome::Complete);
        assert_eq!(world.defrag.datagram().len(), 256 + 16);
    }
    let mut world = World::new(FragmentPolicy::First, Family::V6);
    let outside = world.give((0, 8, true, 'A'), |f| f.next_header_at = 40);
    assert_eq!(outside, Outcome::Dropped(FragmentDrop::BadHeader));
}

#[test]
fn the_next_header_is_the_first_fragments() {
    let mut world = World::new(FragmentPolicy::Linux, Family::V6);
    let mut header = world.header();
    header[6] = 0;
    header.extend([44, 0, 1, 4, 0, 0, 0, 0]); // hop-by-hop options before the fragment header
    let edit = |next| move |f: &mut Owned| (f.next_header_at, f.next_header) = (40, next);
    let _ = world.give((8, 8, false, 'B'), |f| {
        f.header.clone_from(&header);
        edit(17)(f);
    });
    let done = world.give((0, 8, true, 'A'), |f| {
        f.header.clone_from(&header);
        edit(253)(f);
    });
    assert_eq!(done, Outcome::Complete);
    let datagram = world.defrag.datagram();
    assert_eq!((datagram[6], datagram[40], datagram[5], datagram.len()), (0, 253, 8 + 16, 64));
}

/// What the kernel made of two fragments' congestion bits; `.` where it dropped the datagram.
#[test]
fn congestion_bits_are_merged_as_in_the_kernel() {
    for (first, row) in ["0...", ".113", ".223", ".333"].iter().enumerate() {
        for (second, merged) in row.chars().enumerate() {
            for family in FAMILIES {
                let mut world = World::new(FragmentPolicy::Linux, family);
                world.ecn = first as u8;
                let _ = world.add(0, 8, true, 'A');
                world.ecn = second as u8;
                let outcome = world.add(8, 8, false, 'B');
                let expected = merged.to_digit(4).ok_or(Outcome::Dropped(FragmentDrop::Ecn));
                let bits = world
                    .defrag
                    .datagram()
                    .get(1)
                    .map(|b| u32::from(if family == Family::V4 { b & 3 } else { b >> 4 & 3 }));
                assert_eq!(bits.ok_or(outcome), expected, "{first} {second} {family:?}");
            }
        }
    }
}

#[test]
fn the_oldest_datagram_makes_room() {
    let config = DefragConfig { max_datagrams: 2, ..DefragConfig::default() };
    let mut world = World::with(config, Family::V4);
    for (id, family) in [(1, Family::V6), (2, Family::V4), (3, Family::V6)] {
        (world.id, world.family) = (id, family);
        assert_eq!(world.add(0, 8, true, 'A'), Outcome::Held);
    }
    assert_eq!((world.defrag.len(), world.defrag.capacity(), world.defrag.stats().evicted), (2, 2, 1));
    (world.id, world.family) = (2, Family::V4);
    assert_eq!(world.play(&[(8, 8, false, 'B')]).len(), 1);
    (world.id, world.family) = (1, Family::V6);
    assert_eq!(world.play(&[(8, 8, false, 'B')]), [""; 0], "its first fragment is gone");
}

#[test]
fn a_datagram_waits_as_long_as_in_linux() {
    let mut world = World::new(FragmentPolicy::Linux, Family::V6);
    let second = |n: u64| Instant(1_000_000 + n * 1_000_000);
    assert_eq!(world.defrag.next_deadline(), None);
    let _ = world.add(0, 8, true, 'A');
    (world.now, world.family) = (second(10).0, Family::V4);
    let _ = world.add(0, 8, true, 'A');
    world.now = second(39).0;
    assert_eq!(world.add(16, 8, true, 'C'), Outcome::Held, "a later fragment gives no more time");
    assert_eq!(world.defrag.next_deadline(), Some(second(40)));
    assert_eq!(world.defrag.expire(Instant(second(40).0 - 1)), 0);
    assert_eq!((world.defrag.expire(second(40)), world.defrag.len()), (1, 1));
    assert_eq!(world.defrag.next_deadline(), Some(second(60)));
    world.now = second(60).0;
    assert_eq!(world.play(&[(0, 8, true, 'A'), (8, 8, false, 'B')]).len(), 1, "the id is free again");
    assert_eq!((world.defrag.len(), world.defrag.stats().timed_out), (0, 2));
}

#[test]
fn fragments_of_a_small_mtu_come_together_in_any_order() {
    // 65,515 octets in fragments of 552.
    let places: Vec<u32> = (0..119).map(|n| n * 552).collect();
    let (even, odd): (Vec<u32>, Vec<u32>) = places.iter().copied().partition(|at| at % 1104 == 0);
    let orders = [places.clone(), places.iter().rev().copied().collect(), [even, odd].concat()];
    for (mut world, order) in all_worlds()
        .flat_map(|w| orders.iter().map(move |o| (World::new(w.defrag.config.policy, w.family), o)))
    {
        let mut done = Outcome::Held;
        for at in order {
            assert_eq!(done, Outcome::Held);
            let len = 552.min(65_515 - at);
            done = world.add(*at, len as usize, at + len < 65_515, 'A');
        }
        assert_eq!(done, Outcome::Complete, "{}", world.defrag.config.policy);
    }
}

#[test]
fn a_datagram_of_too_many_pieces_is_given_up() {
    for mut world in all_worlds() {
        let mut isolated = 0;
        while world.add(16 * isolated, 8, true, 'A') == Outcome::Held {
            isolated += 1;
        }
        assert_eq!(isolated as usize, MAX_RANGES);
        let s = world.defrag.stats();
        assert_eq!((s.dropped[FragmentDrop::TooManyRanges], s.killed, world.defrag.len()), (1, 1, 0));
        // In a row they need no place in the list of ranges, but one each where the policy goes by their boundaries.
        let mut in_a_row = 0;
        while in_a_row < 8000 && world.add(8 * in_a_row, 8, true, 'A') == Outcome::Held {
            in_a_row += 1;
        }
        let unlimited = matches!(
            world.defrag.config.policy,
            FragmentPolicy::First | FragmentPolicy::Last | FragmentPolicy::Linux
        );
        assert_eq!(in_a_row as usize, if unlimited { 8000 } else { MAX_FRAGMENTS });
    }
}

#[test]
fn it_runs_in_lent_memory() {
    fn lend<T, const N: usize>(value: heapless::Vec<T, N>) -> crate::memory::Borrowed<T> {
        crate::memory::Borrowed(std::boxed::Box::leak(std::boxed::Box::new(value)))
    }
    let filled = || lend(heapless::Vec::<u8, 64>::from_slice(&[0; 64]).unwrap());
    let arrays = DefragArrays::<Lent> {
        buckets: lend(heapless::Vec::<_, 1>::from_slice(&[Bucket::EMPTY]).unwrap()),
        datagrams: lend(heapless::Vec::<_, 2>::new()),
        octets: lend(heapless::Vec::<u8, 4096>::from_slice(&[0; 4096]).unwrap()),
        links: lend(heapless::Vec::<u32, 2>::from_slice(&[0; 2]).unwrap()),
        outputs: [filled(), filled(), filled()],
    };
    let mut defrag = Defrag::<Lent>::new(DefragConfig::default(), arrays);
    let key = DatagramKey { src: [1; 16], dst: [2; 16], id: 1, protocol: 17, network: 0 };
    let payload = [b'x'; 48];
    let base = Fragment {
        key,
        family: Family::V4,
        offset: 0,
        more: true,
        header: &[0x45; 20],
        next_header_at: 0,
        next_header: 0,
        payload: &payload[..24],
        payload_len: 24,
    };
    for (len, outcome) in [(20, Outcome::Complete), (21, Outcome::Dropped(FragmentDrop::NoOutput))] {
        assert_eq!(defrag.add(&base, 7, Instant(0)), Outcome::Held);
        let rest = Fragment { offset: 24, more: false, payload: &payload[..len], payload_len: len, ..base };
        assert_eq!(defrag.add(&rest, 7, Instant(0)), outcome, "there is memory for 64 octets");
        model::check(&defrag);
    }
    assert_eq!((defrag.capacity(), defrag.chunks(), defrag.stats().dropped.total()), (2, (0, 2), 1));
}

proptest! {
    /// What a sender makes of a datagram, on its way doubled and out of order.
    #[test]
    fn honest_fragments_make_the_datagram(
        len in 9_usize..20_000,
        sizes in prop::collection::vec(1_usize..300, 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        which in 0..FragmentPolicy::ALL.len(),
        family in 0_usize..2,
    ) {
        let payload: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
        let (mut cuts, mut at) = (vec![], 0);
        for size in sizes.iter().map(|s| s * 8) {
            if at < len {
                cuts.push((at, len.min(at + size)));
                at += size;
            }
        }
        cuts.last_mut().unwrap().1 = len;
        prop_assume!(cuts.len() > 1);
        let (mut order, mut missing) = (order.iter(), cuts.clone());
        let mut world = World::new(FragmentPolicy::ALL[which], FAMILIES[family]);
        while !missing.is_empty() {
            // Any of all, and when the order comes to its end what is missing.
            let cut = order.next().map_or(missing[0], |index| *index.get(&cuts));
            missing.retain(|m| *m != cut);
            let piece = (cut.0 as u32, cut.1 - cut.0, cut.1 < len, ' ');
            let outcome = world.give(piece, |f| f.payload = payload[cut.0..cut.1].to_vec());
            if missing.is_empty() {
                prop_assert_eq!(outcome, Outcome::Complete);
            } else {
                prop_assert!(outcome == Outcome::Held || outcome == Outcome::Dropped(FragmentDrop::Duplicate));
            }
        }
        let header_len = if family == 0 { 20 } else { 40 };
        prop_assert_eq!(&world.defrag.datagram()[header_len..], payload.as_slice());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn whatever_comes_the_model_says_the_same(script in prop::collection::vec(any::<u8>(), 0..1200)) {
        model::run(&script);
    }
}
