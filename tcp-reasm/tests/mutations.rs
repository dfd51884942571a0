//! Tricks that make a monitor and a host read different things: the TCP modes of fragrouter and the directives of
//! fragroute, played on real exchanges. Each one leaves what a Linux host delivers as it was, so the monitor, which keeps
//! overlaps as Linux does, must rebuild what the applications read.
//!
//! What a directive does it does to the segments with octets (or a FIN) that one host sent between two packets of the
//! other one, so that nothing is acknowledged before it passes.
#![allow(clippy::unwrap_used, clippy::panic)] // failing is what a test is for

#[path = "support/captures.rs"]
mod captures;
mod support;
#[path = "support/tricks.rs"]
mod tricks;

use captures::{Connection, Packet, connections};
use std::collections::HashSet;
use support::monitor::Monitor;
use tcp_reasm::{Side, State};
use tricks::Trick::{self, *};
use tricks::{Chaff, Favor, Part, Rng, Sent};

/// What a monitor made of an exchange.
#[derive(PartialEq)]
struct Outcome {
    read: [Vec<u8>; 2],
    states: [State; 2],
}

fn play<'a>(packets: impl IntoIterator<Item = &'a Packet>) -> Outcome {
    let mut monitor = Monitor::new(1 << 20);
    for packet in packets {
        if monitor.play(packet.from, &packet.segment()).is_accept() {
            assert_eq!(monitor.last.1.data.refusal, None, "there is room");
        }
    }
    let streams = Side::BOTH.map(|side| &monitor.streams[side]);
    assert!(streams.iter().all(|s| s.lost.is_empty()), "nothing is lost");
    Outcome { read: streams.map(|s| s.read.clone()), states: Side::BOTH.map(|side| monitor.conn.state(side)) }
}

/// What a row of tricks did to all connections.
#[derive(Default)]
struct Count {
    /// Connections that changed, each as often as there are seeds.
    connections: usize,
    /// Of them, by trick: those in which it changed what the tricks before it left.
    by_trick: Vec<usize>,
    /// Segments that were not in the exchange as it was captured.
    new: usize,
    /// Segments handed to the monitor.
    played: usize,
    /// Segments that do not reach a host's TCP: a wrong checksum, a short life.
    withheld: usize,
}

impl Count {
    fn add(&mut self, original: &[Packet], sent: &[Sent]) {
        let key =
            |p: &Packet| (p.from, p.seq, p.flags, p.payload.clone(), p.options.timestamps.map(|t| t.value));
        let known: HashSet<_> = original.iter().map(key).collect();
        self.connections += usize::from(!sent.iter().map(|s| &s.packet).eq(original));
        self.new += sent.iter().filter(|s| !known.contains(&key(&s.packet))).count();
        self.withheld += sent.iter().filter(|s| !s.arrives).count();
        self.played += sent.iter().filter(|s| s.arrives).count();
    }

    fn mutate(&mut self, connection: &Connection, tricks: &[Trick], seed: u64) -> Vec<Sent> {
        let mut rng = Rng(seed);
        let mut sent = Sent::genuine(&connection.packets);
        self.by_trick.resize(tricks.len(), 0);
        for (trick, changed) in tricks.iter().zip(&mut self.by_trick) {
            let played = trick.play(sent.clone(), &mut rng);
            *changed += usize::from(played != sent);
            sent = played;
        }
        self.add(&connection.packets, &sent);
        sent
    }
}

/// Seeds of each row; `TCP_REASM_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("TCP_REASM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Plays the tricks on every connection, and returns what they did.
fn survive(all: &[(Connection, Outcome)], name: &str, tricks: &[Trick]) -> Count {
    let mut count = Count::default();
    for (i, (connection, honest)) in all.iter().enumerate() {
        for seed in 0..seeds() {
            let sent = count.mutate(connection, tricks, seed << 32 | i as u64);
            let outcome = play(sent.iter().filter(|s| s.arrives).map(|s| &s.packet));
            let context = format!("{name}: {}, seed {seed}", connection.name);
            for side in Side::BOTH {
                let (got, expected) = (&outcome.read[side as usize], &honest.read[side as usize]);
                let differs = got.iter().zip(expected).position(|(a, b)| a != b);
                let (read, of) = (got.len(), expected.len());
                assert!(
                    got == expected,
                    "{context}: {side} read {read} of {of}, other ones from {differs:?} on"
                );
            }
            assert_eq!(outcome.states, honest.states, "{context}");
        }
    }
    count
}

/// All connections, and what the monitor makes of them unchanged, which is what the applications read.
fn honest() -> Vec<(Connection, Outcome)> {
    let judge = |connection: Connection| {
        let outcome = play(&connection.packets);
        Side::BOTH.into_iter().for_each(|side| connection.check(side, &outcome.read[side as usize]));
        (connection, outcome)
    };
    let all: Vec<_> = connections().into_iter().map(judge).collect();
    assert_eq!(all.len(), 137, "connections in the captures");
    all
}

/// Plays a table of tricks. Each row must change as many connections as its number says, for each seed, and each of its
/// tricks some.
fn run(table: &[(&str, usize, &[Trick])]) {
    let all = honest();
    for (name, least, tricks) in table {
        let count = survive(&all, name, tricks);
        let Count { connections, by_trick, new, played, withheld } = count;
        println!(
            "{name:<68} {connections:>4} connections {by_trick:?}, {played:>7} segments, {new:>7} new, {withheld:>6} withheld"
        );
        let seeds = seeds() as usize;
        assert!(connections >= least * seeds, "{name}: {connections} connections were changed");
        assert!(by_trick.iter().all(|changed| *changed >= ROW * seeds), "{name}: {by_trick:?}");
    }
}

/// Connections with a segment of more than one octet, of which nearly all are cut.
const CUT: usize = 100;
/// Connections with a segment with an octet.
const FULL: usize = 110;
/// Connections in which one host sends several segments in a row.
const ROW: usize = 10;

#[test]
fn modes_of_fragrouter() {
    run(&[
        ("T1 bad FIN and RST, then octets", CUT, &[BadEnds, Seg(1, Favor::None)]),
        ("T3 octets, the last but one twice", CUT, &[Seg(1, Favor::None), PenultimateTwice]),
        ("T4 octets, the last but one overwritten", CUT, &[Seg(1, Favor::None), PenultimateNull]),
        ("T5 pairs, each over a null octet", CUT, &[ForwardOverPairs]),
        ("T7 octets among null segments far away", CUT, &[Seg(1, Favor::None), Chaff(Chaff::Seq)]),
        ("T8 octets, one out of order", CUT, &[Seg(1, Favor::None), OneEarly]),
        ("T9 octets in any order", CUT, &[Shuffled(1)]),
        ("C2 octets among SYNs", CUT, &[Seg(1, Favor::None), Chaff(Chaff::Syn)]),
        ("C3 null octets before the handshake", 130, &[NullBeforeHandshake]),
        ("R1 reset, and again with other numbers", 130, &[ResetBefore]),
        ("I2 octets among ones with bad checksums", CUT, &[Seg(1, Favor::None), Chaff(Chaff::Cksum)]),
        ("I3 octets among ones without ACK", CUT, &[Seg(1, Favor::None), Chaff(Chaff::NoAck)]),
    ]);
}

#[test]
fn directives_of_fragroute() {
    run(&[
        ("tcp_seg 1", CUT, &[Seg(1, Favor::None)]),
        ("tcp_seg 24", CUT, &[Seg(24, Favor::None)]),
        ("tcp_seg 64 old", CUT, &[Seg(64, Favor::Old)]),
        ("tcp_seg 64 new", CUT, &[Seg(64, Favor::New)]),
        ("tcp_chaff null", FULL, &[Chaff(Chaff::Null)]),
        ("tcp_chaff paws", FULL, &[Chaff(Chaff::Paws)]),
        ("tcp_chaff rexmit", FULL, &[Chaff(Chaff::Rexmit)]),
        ("tcp_chaff seq", FULL, &[Chaff(Chaff::Seq)]),
        ("tcp_chaff syn", FULL, &[Chaff(Chaff::Syn)]),
        ("tcp_chaff cksum", FULL, &[Chaff(Chaff::Cksum)]),
        ("tcp_chaff ttl", FULL, &[Chaff(Chaff::Ttl)]),
        ("order random", ROW, &[OrderRandom]),
        ("order reverse", ROW, &[OrderReverse]),
        ("dup first", FULL, &[Dup(Part::First)]),
        ("dup last", FULL, &[Dup(Part::Last)]),
        ("dup random", FULL, &[Dup(Part::Random)]),
        ("delay first", ROW, &[Delay(Part::First)]),
        ("delay last", ROW, &[Delay(Part::Last)]),
        ("delay random", ROW, &[Delay(Part::Random)]),
    ]);
}

#[test]
fn chains_of_directives() {
    let seg = Seg(100, Favor::None);
    run(&[
        ("tcp_seg 100; order random", CUT, &[seg, OrderRandom]),
        ("tcp_seg 100; order reverse", CUT, &[seg, OrderReverse]),
        ("tcp_seg 100; dup random; order random", CUT, &[seg, Dup(Part::Random), OrderRandom]),
        ("tcp_seg 100; order random; tcp_chaff rexmit", CUT, &[seg, OrderRandom, Chaff(Chaff::Rexmit)]),
        ("tcp_seg 100; tcp_chaff null; order random", CUT, &[seg, Chaff(Chaff::Null), OrderRandom]),
        ("tcp_seg 100; tcp_chaff paws; order random", CUT, &[seg, Chaff(Chaff::Paws), OrderRandom]),
        ("tcp_seg 100; tcp_chaff seq; order reverse", CUT, &[seg, Chaff(Chaff::Seq), OrderReverse]),
        ("tcp_seg 100; tcp_chaff syn; order random", CUT, &[seg, Chaff(Chaff::Syn), OrderRandom]),
        ("tcp_seg 64 old; delay first", CUT, &[Seg(64, Favor::Old), Delay(Part::First)]),
        ("tcp_seg 64 old; dup random", CUT, &[Seg(64, Favor::Old), Dup(Part::Random)]),
        ("tcp_seg 64 new; tcp_chaff rexmit", CUT, &[Seg(64, Favor::New), Chaff(Chaff::Rexmit)]),
        ("tcp_seg 64 new; tcp_chaff null", CUT, &[Seg(64, Favor::New), Chaff(Chaff::Null)]),
        (
            "dup first; tcp_seg 100; tcp_chaff paws; delay random; order random",
            CUT,
            &[Dup(Part::First), Seg(100, Favor::None), Chaff(Chaff::Paws), Delay(Part::Random), OrderRandom],
        ),
    ]);
}

/// What a host takes for good must show, or the tables above would show nothing.
#[test]
fn a_trick_that_a_host_falls_for_changes_what_is_read() {
    let all = honest();
    for (name, trick) in [
        ("a forged segment that comes first", Trick::Chaff(Chaff::Forged)),
        ("forged ends, handed on", Trick::GoodEnds),
    ] {
        let mut changed = 0;
        for (connection, honest) in &all {
            let sent = Count::default().mutate(connection, &[trick], 7);
            changed += usize::from(play(sent.iter().map(|s| &s.packet)) != *honest);
        }
        println!("{name}: {changed} connections read otherwise");
        assert!(changed > FULL, "{name}: {changed}");
    }
}
