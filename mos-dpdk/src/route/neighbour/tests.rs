use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn key(n: u8) -> Key {
    (0, Ipv4Addr::new(10, 0, 0, n).into())
}

fn hardware(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}

fn take_all(neighbours: &mut Neighbours, key: Key) -> Vec<Vec<u8>> {
    let mut octets = Vec::new();
    std::iter::from_fn(|| neighbours.take(key, &mut octets).then(|| octets.clone())).collect()
}

#[test]
fn three_packets_wait_for_each_and_the_oldest_gives_way() {
    let mut neighbours = Neighbours::new(4, 100);
    assert_eq!(neighbours.resolve(key(1), Instant(0)), Known::No { ask: true });
    (0..5).for_each(|n| neighbours.hold(key(1), &[n]));
    assert_eq!(neighbours.packets(), (3, 2));
    assert_eq!(take_all(&mut neighbours, key(1)), [[2], [3], [4]]);
    assert_eq!(neighbours.packets(), (0, 2));
    neighbours.check();
}

#[test]
fn when_all_slots_are_taken_the_oldest_packet_of_all_gives_way() {
    let mut neighbours = Neighbours::new(8, 4);
    for n in 0..6 {
        neighbours.resolve(key(n), Instant(0));
        neighbours.hold(key(n), &[n]);
        neighbours.check();
    }
    assert_eq!(neighbours.packets(), (4, 2));
    let kept: Vec<_> = (0..6).flat_map(|n| take_all(&mut neighbours, key(n))).collect();
    assert_eq!(kept, [[2], [3], [4], [5]]);
}

#[test]
fn neighbours_in_use_stay_and_strangers_give_way() {
    let mut neighbours = Neighbours::new(8, 4);
    for n in 0..4 {
        neighbours.question(key(n), hardware(n));
    }
    // A scan of a network far larger than the cache, while four neighbours talk.
    for n in 4..=255 {
        for used in 0..4 {
            assert!(matches!(neighbours.resolve(key(used), Instant(0)), Known::Yes { .. }), "{used} {n}");
        }
        neighbours.resolve(key(n), Instant(0));
        neighbours.hold(key(n), &[n]);
        neighbours.check();
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// The address of a packet, which waits if it has to.
    Resolve(u8),
    Answer(u8, Option<u8>),
    Question(u8, u8),
    Hearsay(u8, u8),
    Take(u8),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0_u8..6).prop_map(Op::Resolve),
        2 => (0_u8..6, prop::option::of(1_u8..3)).prop_map(|(n, h)| Op::Answer(n, h)),
        1 => (0_u8..6, 1_u8..3).prop_map(|(n, h)| Op::Question(n, h)),
        1 => (0_u8..6, 1_u8..3).prop_map(|(n, h)| Op::Hearsay(n, h)),
        1 => (0_u8..6).prop_map(Op::Take),
        2 => (0_u64..40_000_000).prop_map(Op::Pass),
    ]
}

proptest! {
    /// Whatever happens: limits hold, a hardware address changes only by an answer or question, and nobody is asked
    /// twice in a second.
    #[test]
    fn the_cache_keeps_its_invariants(
        ops in prop::collection::vec(op(), 0..80), entries in 1_usize..5, slots in 1_usize..5,
    ) {
        let mut neighbours = Neighbours::new(entries, slots);
        let mut now = Instant(0);
        let mut asked: HashMap<Key, Instant> = HashMap::new();
        let ask = |asked: &mut HashMap<Key, Instant>, key: Key, now: Instant| {
            let last = asked.insert(key, now);
            prop_assert!(last.is_none_or(|last| now.since(last) >= RETRANSMIT), "{:?}", key);
            Ok(())
        };
        for op in ops {
            let before: Vec<_> = (0..6).map(|n| neighbours.hardware(key(n))).collect();
            let mut told = None;
            match op {
                Op::Resolve(n) => {
                    let found = neighbours.resolve(key(n), now);
                    if matches!(found, Known::No { .. }) {
                        neighbours.hold(key(n), &[n]);
                    }
                    if matches!(found, Known::Yes { ask: true, .. } | Known::No { ask: true }) {
                        ask(&mut asked, key(n), now)?;
                    }
                }
                Op::Answer(n, h) => told = neighbours.answer(key(n), h.map(hardware), now).then_some(n),
                Op::Question(n, h) => {
                    told = Some(n);
                    neighbours.question(key(n), hardware(h));
                    prop_assert!(before[usize::from(n)].is_none_or(|old| neighbours.hardware(key(n)) == Some(old)));
                }
                Op::Hearsay(n, h) => neighbours.hearsay(key(n), hardware(h)),
                Op::Take(n) => drop(take_all(&mut neighbours, key(n))),
                Op::Pass(time) => {
                    now = now + Duration::from_micros(time);
                    for index in 0..neighbours.begin_timeouts(now) {
                        match neighbours.due(index, now) {
                            Some(Due::Ask { key, .. }) => ask(&mut asked, key, now)?,
                            Some(Due::Failed { key }) => neighbours.remove(key),
                            None => {}
                        }
                    }
                    prop_assert!(neighbours.next_timeout().is_none_or(|next| next > now));
                }
            }
            neighbours.check();
            // A neighbour that was forgotten in between is new.
            asked.retain(|key, _| neighbours.places.contains_key(key));
            prop_assert!(neighbours.places.len() <= entries && neighbours.packets().0 <= slots as u64);
            for n in (0..6).filter(|n| told != Some(*n)) {
                let after = neighbours.hardware(key(n));
                prop_assert!(after.is_none() || after == before[usize::from(n)], "{n}");
            }
        }
    }
}
