use super::*;
use crate::rss::tests::{fragment, ipv4};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

const CLIENT: &str = "10.0.0.1";
const SERVER: &str = "10.0.3.2";
const WORKERS: usize = 3;

/// What one frame is: of a connection by its port, whole or one of the two parts of a datagram.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Whole,
    First,
    Last,
}

/// A frame that a worker receives.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: usize,
    kind: Kind,
    port: u16,
}

/// Who owns the connection of a port.
fn owner(port: u16) -> usize {
    let end = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
    rss::queue(rss::hash(end(CLIENT, port), end(SERVER, 53)), WORKERS as u32) as usize
}

fn owner_by_addresses() -> usize {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    rss::queue(rss::hash_of_addresses(ip(CLIENT), ip(SERVER)), WORKERS as u32) as usize
}

/// The octets, with the port as the identification of datagrams.
fn packet(arrival: Arrival) -> Vec<u8> {
    let [high, low] = arrival.port.to_be_bytes();
    match arrival.kind {
        Kind::Whole => ipv4(17, 0, &[high, low, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]),
        Kind::First => fragment(arrival.port, arrival.port, true),
        Kind::Last => fragment(arrival.port, arrival.port, false),
    }
}

fn frame(time: u64, packet: &[u8]) -> Frame<'_> {
    Frame { link: LinkType::RawIp, port: 9, ..Frame::ethernet(Instant(time), packet) }
}

/// One frame for worker `at`. Its time is its number.
fn receive(ends: &mut [Handoff<'_>], at: usize, number: u64, packet: &[u8], seen: &mut Seen) {
    let mut burst = [frame(number, packet)];
    let own = ends[at].sort(&mut burst, false);
    seen[at].extend(burst[..own].iter().map(|f| (f.time.0, f.data.to_vec())));
}

/// What each worker processed: number and octets.
type Seen = [Vec<(u64, Vec<u8>)>; WORKERS];

fn take_all(ends: &mut [Handoff<'_>], seen: &mut Seen) {
    for (end, seen) in ends.iter_mut().zip(seen) {
        while end.take(|frames| {
            assert!(frames.iter().all(|f| (f.link, f.port) == (LinkType::RawIp, 9)));
            seen.extend(frames.iter().map(|f| (f.time.0, f.data.to_vec())));
        }) > 0
        {}
    }
}

/// Fragments of one datagram come to one worker, whole packets anywhere.
fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let kind = prop_oneof![3 => Just(Kind::Whole), 1 => Just(Kind::First), 1 => Just(Kind::Last)];
    let arrival = (0..WORKERS, kind, 1000_u16..1012).prop_map(|(at, kind, port)| {
        let at = if matches!(kind, Kind::Whole) { at } else { usize::from(port) % WORKERS };
        Arrival { at, kind, port }
    });
    proptest::collection::vec(arrival, 1..120)
}

proptest! {
    #[test]
    fn every_frame_is_processed_once_by_the_owner_of_its_connection(
        arrivals in arrivals(), often in 1_usize..40,
    ) {
        let mut matrix = Matrix::new(WORKERS);
        let mut ends = matrix.split();
        let mut seen = Seen::default();
        for (number, arrival) in arrivals.iter().enumerate() {
            receive(&mut ends, arrival.at, number as u64, &packet(*arrival), &mut seen);
            if number % often == 0 {
                take_all(&mut ends, &mut seen);
            }
        }
        // Nothing waits for ever.
        ends.iter_mut().for_each(|end| end.handle_timeout(Instant(0) + PATIENCE * 2));
        take_all(&mut ends, &mut seen);
        let mut all: Vec<u64> = seen.iter().flatten().map(|(number, _)| *number).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..arrivals.len() as u64).collect::<Vec<_>>());
        let mut has_first = HashMap::new();
        for (number, arrival) in arrivals.iter().enumerate() {
            if matches!(arrival.kind, Kind::First) {
                has_first.entry(arrival.port).or_insert(number);
            }
        }
        for (worker, (number, octets)) in seen.iter().enumerate().flat_map(|(w, s)| s.iter().map(move |s| (w, s))) {
            let arrival = arrivals[*number as usize];
            prop_assert_eq!(octets, &packet(arrival));
            let known = !matches!(arrival.kind, Kind::Last) || has_first.contains_key(&arrival.port);
            prop_assert_eq!(worker, if known { owner(arrival.port) } else { owner_by_addresses() });
        }
        // What one worker received for one connection stays in order, but for fragments that waited.
        for (worker, from, port) in (0..WORKERS).flat_map(|w| (0..WORKERS).flat_map(move |f| (1000..1012).map(move |p| (w, f, p)))) {
            let is_of = |number: &u64| {
                let arrival = arrivals[*number as usize];
                matches!(arrival.kind, Kind::Whole) && (arrival.at, arrival.port) == (from, port)
            };
            let numbers: Vec<u64> = seen[worker].iter().map(|(number, _)| *number).filter(is_of).collect();
            prop_assert!(numbers.is_sorted());
        }
        let counted = ends.iter().map(Handoff::counted);
        let (given, taken, lost) = counted.fold((0, 0, 0), |(g, t, l), c| (g + c.given, t + c.taken, l + c.lost));
        prop_assert_eq!((given, lost), (taken, 0));
    }
}

/// A port whose connection is not worker 0's.
fn foreign() -> u16 {
    (1000..).find(|port| owner(*port) == 1).unwrap()
}

#[test]
fn a_ring_that_is_full_loses_whole_frames_and_counts_them() {
    let mut matrix = Matrix::new(WORKERS);
    let mut ends = matrix.split();
    let mut seen = Seen::default();
    let port = foreign();
    let packet = packet(Arrival { at: 0, kind: Kind::Whole, port });
    let words = HEADER + packet.len().div_ceil(WORD);
    let fits = RING / words;
    for number in 0..fits as u64 + 5 {
        receive(&mut ends, 0, number, &packet, &mut seen);
    }
    let counted = ends[0].counted();
    assert_eq!((counted.given, counted.lost), (fits as u64, 5));
    take_all(&mut ends, &mut seen);
    let taken: Vec<u64> = seen[1].iter().map(|(number, _)| *number).collect();
    assert_eq!(taken, (0..fits as u64).collect::<Vec<_>>());
}

#[test]
fn what_the_largest_frame_is_fits() {
    let mut matrix = Matrix::new(WORKERS);
    let mut ends = matrix.split();
    let mut seen = Seen::default();
    let mut large = packet(Arrival { at: 0, kind: Kind::Whole, port: foreign() });
    large.resize((1 << 16) + 18, 7); // behind the packet: padding
    receive(&mut ends, 0, 1, &large, &mut seen);
    take_all(&mut ends, &mut seen);
    assert!(seen[1] == [(1, large)]);
}

#[test]
fn fragments_without_a_first_one_hold_up_nobody_and_take_no_more_memory_than_there_is() {
    let mut matrix = Matrix::new(WORKERS);
    let mut ends = matrix.split();
    let mut seen = Seen::default();
    let at = owner_by_addresses();
    let port = (1000..).find(|port| owner(*port) == at).unwrap();
    let whole = packet(Arrival { at, kind: Kind::Whole, port });
    for round in 0..40 {
        receive(&mut ends, (at + 1) % WORKERS, round, &whole, &mut seen);
        let first = round as u16 * BURST as u16;
        let packets: Vec<_> = (first..).take(BURST).map(|id| fragment(id, id, false)).collect();
        let mut burst: Vec<_> = packets.iter().map(|packet| frame(round, packet)).collect();
        assert_eq!(ends[at].sort(&mut burst, false), 0);
        let mut others = 0;
        ends[at].take(|frames| others += frames.iter().filter(|frame| frame.data == whole).count());
        assert_eq!(others, 1, "round {round}");
        assert!(ends[at].held.len() + ends[at].late.len() <= HELD + BURST, "round {round}");
    }
}

#[test]
fn who_gives_much_does_not_hold_up_others() {
    let mut matrix = Matrix::new(WORKERS);
    let mut ends = matrix.split();
    let mut seen = Seen::default();
    let packet = packet(Arrival { at: 0, kind: Kind::Whole, port: foreign() });
    for number in 0..2 * BURST as u64 {
        receive(&mut ends, 0, number, &packet, &mut seen);
        receive(&mut ends, 2, 1000 + number, &packet, &mut seen);
    }
    let mut numbers = vec![];
    for _ in 0..2 {
        ends[1].take(|frames| numbers.extend(frames.iter().map(|frame| frame.time.0)));
    }
    let of_last = numbers.iter().filter(|number| **number >= 1000).count();
    assert_eq!((numbers.len(), of_last), (2 * BURST, BURST));
}

#[test]
fn what_waits_for_one_that_fails_is_counted_as_lost() {
    let mut matrix = Matrix::new(WORKERS);
    let mut ends = matrix.split();
    let mut seen = Seen::default();
    let packet = packet(Arrival { at: 0, kind: Kind::Whole, port: foreign() });
    (0..100).for_each(|number| receive(&mut ends, 0, number, &packet, &mut seen));
    ends[1].abandon();
    let counted = ends[1].counted();
    assert_eq!((counted.taken, counted.lost), (0, 100));
    receive(&mut ends, 0, 100, &packet, &mut seen);
    assert_eq!((seen[0].len(), ends[0].counted().given), (1, 100), "the others take over");
}

#[test]
fn who_ends_leaves_connections_to_whoever_gets_their_frames() {
    let mut matrix = Matrix::new(WORKERS);
    let mut ends = matrix.split();
    let mut seen = Seen::default();
    let port = foreign();
    let packet = packet(Arrival { at: 0, kind: Kind::Whole, port });
    drop(ends.remove(1));
    let mut burst = [frame(1, &packet)];
    assert_eq!(ends[0].sort(&mut burst, true), 1);
    take_all(&mut ends, &mut seen);
    assert_eq!(seen, Seen::default());
}

#[test]
fn plain_segments_are_believed_to_be_where_they_belong_until_someone_leaves() {
    let mut matrix = Matrix::new(WORKERS);
    let mut ends = matrix.split();
    let [high, low] = foreign().to_be_bytes();
    let segment = [&[high, low, 0, 53][..], &[0; 8], &[0x50, 2, 1, 1, 0, 0, 0, 0]].concat();
    let packet = [&[2; 12][..], &[8, 0], &ipv4(6, 0, &segment)].concat();
    let burst = [Frame::ethernet(Instant(1), &packet)];
    assert!(rss::is_plain(&burst[0]));
    assert_eq!(ends[0].sort(&mut burst.clone(), true), 1);
    assert_eq!(ends[0].sort(&mut burst.clone(), false), 0);
    let mut woken = vec![];
    ends[0].wake_others(|rank| woken.push(rank));
    ends[0].wake_others(|rank| woken.push(rank));
    assert_eq!(woken, [1]);
    ends[2].close();
    assert_eq!(ends[0].sort(&mut burst.clone(), true), 0);
}
