//! The cases that a monitor has to survive, by number.

use super::*;
use tcp_reasm::{Side, Sides};

/// CVE-2024-32867, and the sequences that came with it.
#[test]
fn case_41_overlaps_leave_no_hole_and_lengths_are_not_summed() {
    let play = |policy, pieces: &[Piece]| World::new(policy, Family::V4).play(pieces);
    let jeremy = [(0, 24, true, 'A'), (40, 48, true, 'B'), (24, 48, true, 'C'), (88, 14, false, 'D')];
    assert_eq!(blocks(&play(FragmentPolicy::OldLinux, &jeremy)[0]), "AAACCCCCCBBDD");
    let after_the_last = [(24, 16, false, 'A'), (8, 16, true, 'B'), (16, 16, true, 'C'), (0, 8, true, 'D')];
    assert_eq!(blocks(&play(FragmentPolicy::Bsd, &after_the_last)[0]), "DBBCA");
    let start = [(8, 24, false, 'E'), (0, 24, true, 'M')];
    assert_eq!(blocks(&play(FragmentPolicy::Bsd, &start)[0]), "MMME");
    for mut world in all_worlds() {
        // As many octets as the datagram has, but some of them twice.
        let summed = [(0, 8, true, 'A'), (0, 8, true, 'A'), (16, 8, false, 'C')];
        assert_eq!(world.play(&summed), [""; 0]);
        assert_eq!(world.play(&[(8, 8, true, 'B')]), ["AAAAAAAABBBBBBBBCCCCCCCC"]);
        let missing = [(0, 16, true, 'A'), (40, 8, false, 'C'), (24, 24, true, 'B')];
        assert_eq!(world.play(&missing), [""; 0]);
    }
}

/// CVE-2024-37151.
#[test]
fn case_42_an_identification_can_be_used_again() {
    for mut world in all_worlds() {
        assert_eq!(world.play(&[(0, 8, true, 'A'), (8, 3, false, 'B')]), ["AAAAAAAABBB"]);
        assert_eq!(world.play(&[(8, 2, false, 'D'), (0, 8, true, 'C')]), ["CCCCCCCCDD"]);
        assert_eq!(world.play(&[(0, 8, true, 'E')]), [""; 0]);
        world.now += 60_000_000;
        assert_eq!(world.play(&[(8, 1, false, 'F'), (0, 8, true, 'G')]), ["GGGGGGGGF"]);
        let s = world.defrag.stats();
        assert_eq!((s.opened, s.completed, s.timed_out), (4, 3, 1));
    }
}

/// CVE-2024-45796.
#[test]
fn case_43_a_fragment_without_octets_is_no_node() {
    for mut world in all_worlds() {
        let linux = world.defrag.config.policy == FragmentPolicy::Linux;
        for more in [true, false] {
            assert_eq!(world.add(8, 0, more, 'Z'), Outcome::Dropped(FragmentDrop::Empty));
        }
        assert_eq!((world.defrag.stats().opened, world.defrag.len()), (0, 0));
        assert_eq!(world.add(0, 8, true, 'A'), Outcome::Held);
        assert_eq!(world.add(8, 0, true, 'Z'), Outcome::Dropped(FragmentDrop::Empty));
        // As seen on the kernel, it ends the datagram.
        assert_eq!(world.play(&[(8, 1, false, 'B')]).len(), usize::from(!linux));
    }
    let mut v4 = World::new(FragmentPolicy::First, Family::V4);
    assert_eq!(v4.add(8, 7, true, 'A'), Outcome::Dropped(FragmentDrop::Empty), "cut to a multiple of 8");
}

/// CVE-2008-1804.
#[test]
fn case_44_the_header_is_that_of_the_first_octet() {
    for mut world in all_worlds() {
        let ttl_at = if world.family == Family::V4 { 8 } else { 7 };
        (world.ttl, world.protocol) = (9, 253);
        let _ = world.add(8, 8, false, 'B');
        world.ttl = 77;
        assert_eq!(world.add(0, 8, true, 'A'), Outcome::Complete);
        assert_eq!(world.defrag.datagram()[ttl_at], 77);
    }
    // The header comes with the octet that is kept.
    for (policy, ttl) in [(FragmentPolicy::First, 1), (FragmentPolicy::Last, 2)] {
        let mut world = World::new(policy, Family::V4);
        for ttl in [1, 2] {
            world.ttl = ttl;
            let _ = world.add(0, 8, true, 'A');
        }
        world.ttl = 3;
        assert_eq!(world.add(8, 8, false, 'B'), Outcome::Complete);
        assert_eq!(world.defrag.datagram()[8], ttl);
    }
}

#[test]
fn case_45_families_protocols_and_networks_are_apart() {
    type Edit = fn(&mut Owned);
    let edits: [Edit; 6] = [
        |f| f.family = Family::V6,
        |f| f.key.network = 1,
        |f| f.key.protocol = 1,
        |f| f.key.id = 2,
        |f| f.key.src = [9; 16],
        |f| f.key.dst = [9; 16],
    ];
    for edit in edits {
        let mut world = World::new(FragmentPolicy::Linux, Family::V4);
        let mut words = Vec::new();
        let first = world.give((0, 8, true, 'A'), |f| words.push(f.fragment(0, true).words()));
        assert_eq!(first, Outcome::Held);
        let other = world.give((8, 8, false, 'X'), |f| {
            f.header.resize(40, 0); // enough for both families
            edit(f);
            words.push(f.fragment(0, true).words());
        });
        assert_ne!(words[0], words[1], "nor do they have the same hash");
        assert_eq!((other, world.defrag.len()), (Outcome::Held, 2));
        assert_eq!(world.play(&[(8, 8, false, 'B')]), ["AAAAAAAABBBBBBBB"]);
    }
}

#[test]
fn case_46_nested_datagrams_have_memory_of_their_own() {
    let mut world = World::new(FragmentPolicy::Linux, Family::V6);
    let whole = |world: &mut World, name| {
        let _ = world.add(0, 8, true, name);
        world.add(8, 8, false, name)
    };
    let mut taken = Vec::new();
    for name in ['A', 'B', 'C'] {
        assert_eq!(whole(&mut world, name), Outcome::Complete);
        taken.extend(world.defrag.take_output());
        assert!(world.defrag.datagram().is_empty() && world.defrag.take_output().is_none());
    }
    assert_eq!(whole(&mut world, 'D'), Outcome::Dropped(FragmentDrop::NoOutput));
    assert_eq!((world.defrag.len(), world.defrag.stats().killed), (0, 1), "it is gone and counted");
    for (output, name) in taken.iter().zip([b'A', b'B', b'C']) {
        assert_eq!((output.len(), &output[40..]), (56, &[name; 16][..]), "untouched");
    }
    world.defrag.put_back(taken.pop().unwrap());
    assert_eq!(whole(&mut world, 'E'), Outcome::Complete);
    // One that nobody took gives its memory to the next.
    assert_eq!(whole(&mut world, 'F'), Outcome::Complete);
    assert_eq!(world.text(), "FFFFFFFFFFFFFFFF");
}

/// A TCP packet in fragments of `size` octets, the last one first when `reversed`.
fn tcp_in_fragments(client: &str, server: &str, size: usize, reversed: bool) {
    use crate::testing::Exchange;
    use crate::wire::{LinkType, parse, verify};
    let mut exchange = Exchange::new(client.parse().unwrap(), server.parse().unwrap(), Sides::default());
    let frame = exchange.data(Side::Client, b"hello, fragments");
    let family = if client.starts_with('[') { Family::V6 } else { Family::V4 };
    let (header, payload) = frame[14..].split_at(if family == Family::V4 { 20 } else { 40 });
    let mut header = header.to_vec();
    if family == Family::V4 {
        (header[6], header[7]) = (0x60, 3); // a fragment that must not be fragmented
    } else {
        header[6] = 44;
    }
    let mut world = World::new(FragmentPolicy::Last, family);
    let mut offsets: Vec<usize> = (0..payload.len()).step_by(size).collect();
    if reversed {
        offsets.reverse();
    }
    let mut last = Outcome::Held;
    for at in offsets {
        assert_eq!(last, Outcome::Held);
        let end = payload.len().min(at + size);
        last = world.give((at as u32, end - at, end < payload.len(), ' '), |f| {
            (f.header, f.payload, f.next_header) = (header.clone(), payload[at..end].to_vec(), 6);
            f.key.protocol = if family == Family::V4 { 6 } else { 0 };
        });
    }
    assert_eq!(last, Outcome::Complete);
    let datagram = world.defrag.datagram();
    let packet = parse(LinkType::RawIp, datagram).unwrap();
    assert_eq!((packet.protocol, verify(datagram, &packet)), (6, Ok(())), "both checksums are right");
    assert_eq!(packet.segment_bytes(datagram), payload);
    assert_eq!(world.defrag.stats().tiny, u64::from(size < 20));
}

#[test]
fn case_47_a_tcp_header_can_be_split() {
    for size in [8, 16, 24, 32] {
        for reversed in [false, true] {
            tcp_in_fragments("10.0.0.1:1000", "10.0.0.2:80", size, reversed);
            tcp_in_fragments("[2001:db8::1]:1000", "[2001:db8::2]:80", size, reversed);
        }
    }
}

/// RFC 7112, and what the kernel was seen to do.
#[test]
fn case_47_linux_wants_the_headers_in_a_first_ipv6_fragment() {
    for (protocol, enough) in [(6, 24), (17, 8), (58, 8), (253, 8)] {
        for (len, family) in [8, 16, 24].into_iter().flat_map(|len| FAMILIES.map(|f| (len, f))) {
            let mut world = World::new(FragmentPolicy::Linux, family);
            world.protocol = protocol;
            let refused = family == Family::V6 && len < enough;
            let expected = if refused { Outcome::Dropped(FragmentDrop::HeaderChain) } else { Outcome::Held };
            assert_eq!(world.add(0, len, true, 'A'), expected, "{protocol} {len} {family:?}");
            assert_eq!(world.defrag.stats().tiny, u64::from(protocol == 6 && len < 20));
        }
    }
}

/// How long the first fragment must be for the headers in it; 0 where any length will do. Of a first fragment Linux
/// reads as much as is there, and refuses it only when it then knows what is missing.
#[test]
fn case_47_headers_of_extensions_are_among_them() {
    // What follows the fragment header, octets, and the least length of those that are multiples of 8.
    let cases: [(u8, &[u8], usize); 16] = [
        (60, &[6, 0, 1, 4, 0, 0, 0, 0], 32),
        (60, &[17, 0, 1, 4, 0, 0, 0, 0], 16),
        (60, &[58, 0, 1, 4, 0, 0, 0, 0], 16),
        (60, &[253, 0, 1, 4, 0, 0, 0, 0], 16),
        (0, &[6, 1, 1, 12], 40),
        (43, &[17, 2, 4, 0], 32),
        (51, &[6, 4, 0, 0], 48), // in words: 24 octets, and 20 of TCP
        (135, &[6, 3, 0, 0], 8),
        (60, &[59, 9], 0),
        (60, &[60, 9], 0), // a second one, of which not even the length is there
        (60, &[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0], 40),
        (44, &[6, 0, 0, 1, 0, 0, 0, 9], 32),
        (44, &[6, 0, 0, 9, 0, 0, 0, 9], 0), // not the first one inside
        (44, &[6, 0, 1, 0, 0, 0, 0, 9], 0),
        (44, &[44, 0, 0, 1, 0, 0, 0, 9, 17, 0, 0, 0], 24),
        (59, &[], 0),
    ];
    for (next, headers, least) in cases {
        for len in (8..=56).step_by(8) {
            let mut world = World::new(FragmentPolicy::Linux, Family::V6);
            world.protocol = next;
            let outcome = world.give((0, len, true, 'A'), |f| {
                let known = headers.len().min(len);
                f.payload[..known].copy_from_slice(&headers[..known]);
            });
            // Where the second header is not there, nobody knows what is missing.
            let refused = (headers.len()..least).contains(&len);
            let expected = if refused { Outcome::Dropped(FragmentDrop::HeaderChain) } else { Outcome::Held };
            assert_eq!(outcome, expected, "{next} {headers:?} in {len}");
        }
    }
}

#[test]
fn case_47_ping_of_death() {
    let far: [Piece; 3] = [(0, 65_000, true, 'A'), (65_000, 520, true, 'B'), (65_520, 100, false, 'C')];
    for mut world in all_worlds() {
        assert_eq!(world.play(&far), [""; 0], "larger than a packet");
        let s = world.defrag.stats();
        assert_eq!(s.dropped[FragmentDrop::TooLarge], 1);
        assert_eq!(s.killed, u64::from(world.family == Family::V4), "that was the whole of it");
    }
    // An end beyond the largest packet takes an IPv4 datagram along, and is nothing to an IPv6 one.
    let probe: [Piece; 5] = [
        (0, 65_000, true, 'A'),
        (65_000, 800, false, 'B'),
        (65_000, 16, false, 'C'),
        (0, 65_000, true, 'D'),
        (65_000, 16, false, 'E'),
    ];
    for (family, completed_by) in [(Family::V4, vec![3]), (Family::V6, vec![2, 4])] {
        let mut world = World::new(FragmentPolicy::Linux, family);
        let completes = |i: &usize| world.play(&probe[*i..=*i]).len() == 1;
        assert_eq!((0..5).filter(completes).collect::<Vec<_>>(), completed_by, "{family:?}");
    }
    // The kernel holds a datagram that is too large until its time is up, or something else ends it.
    let mut world = World::new(FragmentPolicy::Linux, Family::V4);
    assert_eq!(world.add(65_000, 800, true, 'A'), Outcome::Dropped(FragmentDrop::TooLarge));
    assert_eq!((world.defrag.len(), world.defrag.chunks().0), (1, 0), "without octets");
    assert_eq!(world.add(0, 16, true, 'B'), Outcome::Dropped(FragmentDrop::TooLarge));
    assert_eq!(world.add(16, 8, false, 'C'), Outcome::Dropped(FragmentDrop::BadEnd));
    assert_eq!(world.play(&[(0, 16, true, 'D'), (16, 8, false, 'E')]).len(), 1);
}

#[test]
fn case_47_the_largest_datagrams() {
    for (family, last) in [(Family::V4, 515), (Family::V6, 535)] {
        for policy in FragmentPolicy::ALL {
            let mut world = World::new(*policy, family);
            let out = world.play(&[(0, 65_000, true, 'A'), (65_000, last, false, 'B')]);
            assert_eq!(out.len(), 1, "{policy} {family:?}");
            assert_eq!(world.defrag.datagram().len(), if family == Family::V4 { 65_535 } else { OUTPUT_LEN });
            let out = world.play(&[(0, 65_000, true, 'A'), (65_000, last + 1, false, 'B')]);
            assert_eq!(out, [""; 0], "{policy} {family:?}");
        }
    }
}

#[test]
fn case_47_teardrop_and_odd_lengths() {
    for mut world in all_worlds() {
        // The second fragment lies inside of the first, and ends it.
        assert_eq!(world.play(&[(0, 40, true, 'A'), (24, 4, false, 'B')]), [""; 0]);
        world.id += 1;
        let v6 = world.family == Family::V6;
        let odd = world.add(0, 13, true, 'A');
        assert_eq!(odd, if v6 { Outcome::Dropped(FragmentDrop::BadLength) } else { Outcome::Held });
        let out = world.play(&[(8, 5, false, 'B')]);
        assert_eq!(out, ["AAAAAAAABBBBB"][..usize::from(!v6)]);
    }
}

/// RFC 6946: an atomic fragment is a datagram, whatever waits under its identification.
#[test]
fn case_47_atomic_fragments_are_apart() {
    for mut world in all_worlds().filter(|w| w.family == Family::V6) {
        assert_eq!(world.add(8, 8, false, 'B'), Outcome::Held);
        assert_eq!(world.add(0, 3, false, 'Z'), Outcome::Complete);
        assert_eq!(world.text(), "ZZZ");
        assert_eq!((world.defrag.datagram()[6], &world.defrag.datagram()[4..6]), (253, &[0, 3][..]));
        assert_eq!(world.play(&[(0, 8, true, 'A')]), ["AAAAAAAABBBBBBBB"]);
    }
}

/// CVE-2018-5391, CVE-2018-6923: fragments that never make a datagram. `MOS_FRAGMENTS` sets how many.
#[test]
fn case_48_fragments_that_never_complete_cost_a_fixed_amount() {
    let wanted = std::env::var("MOS_FRAGMENTS").ok().and_then(|n| n.parse().ok());
    let count: u32 = wanted.unwrap_or(100_000);
    let config = DefragConfig { max_datagrams: 256, chunks: 300, ..DefragConfig::default() };
    let mut defrag = Defrag::<Heap>::new(config, DefragArrays::on_heap(&config));
    let (header, payload) = ([0x45; 20], [7; 1480]);
    let mut outcomes = [0_u64; 3];
    let mut tenths = vec![];
    for n in 0..count {
        if n % (count / 10).max(1) == 0 {
            tenths.push(std::time::Instant::now());
        }
        // New datagrams, one of many pieces with holes between them, and large ones: each exhausts another limit.
        let (id, offset, len) = match n % 3 {
            0 => (n, 8, 8),
            1 => (u32::MAX - n / 3000, 16 * (n / 3 % 4000), 8),
            _ => (n, 1480, 1480),
        };
        let key = DatagramKey { src: [1; 16], dst: [2; 16], id, protocol: 17, network: 0 };
        let (family, payload) = (Family::V4, &payload[..len]);
        let fragment = Fragment {
            key,
            family,
            offset,
            more: true,
            header: &header,
            next_header_at: 0,
            next_header: 0,
            payload,
            payload_len: len,
        };
        let hash = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        outcomes[match defrag.add(&fragment, hash, Instant(n.into())) {
            Outcome::Held => 0,
            Outcome::Complete => 1,
            Outcome::Dropped(_) => 2,
        }] += 1;
        assert!(defrag.len() <= 256 && defrag.chunks().0 <= 300);
        if n % 4096 == 0 {
            model::check(&defrag);
        }
    }
    model::check(&defrag);
    let s = defrag.stats();
    assert_eq!((s.held, s.complete, s.dropped.total()), (outcomes[0], outcomes[1], outcomes[2]));
    assert_eq!((s.fragments, s.complete), (count.into(), 0));
    assert!(s.evicted > u64::from(count) / 2 && s.dropped[FragmentDrop::TooManyRanges] > 0, "{s:?}");
    say(&format!("{count} fragments: {} evicted, {} killed, {} wait", s.evicted, s.killed, defrag.len()));
    let cost: Vec<u128> =
        tenths.windows(2).map(|w| (w[1] - w[0]).as_nanos() * 10 / u128::from(count)).collect();
    say(&format!("nanoseconds a fragment, by tenths: {cost:?}"));
}

/// CVE-2010-0751.
#[test]
fn case_49_memory_is_never_taken_from_the_datagram_at_work() {
    for policy in FragmentPolicy::ALL {
        let config = DefragConfig { policy: *policy, max_datagrams: 4, chunks: 4, ..DefragConfig::default() };
        let mut world = World::with(config, Family::V4);
        for id in 1..=4 {
            world.id = id;
            assert_eq!(world.add(0, 1480, true, 'A'), Outcome::Held);
        }
        // The oldest one needs more: the next ones go.
        world.id = 1;
        assert_eq!(world.add(1480, 4000, true, 'B'), Outcome::Held);
        assert_eq!((world.defrag.len(), world.defrag.stats().evicted), (2, 2));
        assert_eq!(world.add(5480, 8, false, 'C'), Outcome::Complete);
        assert_eq!(world.defrag.datagram().len(), 20 + 5488);
        // More than there is for anybody costs the one that wants it, and all the others.
        world.id = 5;
        assert_eq!(world.add(0, 1480, true, 'A'), Outcome::Held);
        assert_eq!(world.add(1480, 9000, true, 'B'), Outcome::Dropped(FragmentDrop::NoRoom));
        assert_eq!((world.defrag.len(), world.defrag.chunks()), (0, (0, 4)));
        let s = world.defrag.stats();
        assert_eq!((s.evicted, s.killed), (3, 1));
    }
    // Without any place, too.
    let mut none = World::with(DefragConfig { max_datagrams: 0, ..DefragConfig::default() }, Family::V4);
    assert_eq!(none.add(0, 8, true, 'A'), Outcome::Dropped(FragmentDrop::NoRoom));
}

#[test]
fn case_50_what_the_capture_cut_is_not_stored_and_padding_is_no_payload() {
    for mut world in all_worlds() {
        let cut = world.give((0, 15, true, 'A'), |f| f.payload_len = 16);
        assert_eq!((cut, world.defrag.len()), (Outcome::Dropped(FragmentDrop::Cut), 0));
        let padded = world.give((8, 46, false, 'B'), |f| f.payload_len = 3);
        assert_eq!(padded, Outcome::Held);
        assert_eq!(world.play(&[(0, 8, true, 'A')]), ["AAAAAAAABBB"]);
    }
}

#[test]
fn case_59_a_clock_that_goes_back_moves_no_deadline() {
    let mut world = World::new(FragmentPolicy::First, Family::V4);
    world.now = 1 << 50;
    let _ = world.add(0, 8, true, 'A');
    for back in [1 << 49, 0] {
        assert_eq!(world.defrag.expire(Instant(back)), 0);
        assert_eq!(world.defrag.next_deadline(), Some(Instant(back + 30_000_000)));
    }
    assert_eq!(world.defrag.expire(Instant(29_999_999)), 0);
    assert_eq!(world.defrag.expire(Instant(30_000_000)), 1);
    world.now = u64::MAX;
    let _ = world.add(0, 8, true, 'A');
    assert_eq!(world.defrag.expire(Instant(u64::MAX)), 0, "as late as can be told");
    world.now = 5;
    assert_eq!(world.play(&[(8, 8, false, 'B')]).len(), 1);
}
