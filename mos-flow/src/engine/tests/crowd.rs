//! More connections than there is room for, and connections at rest.

use super::*;
use crate::evict::Never;
use crate::{EmbryonicThenIdle, EndReason};

/// Why the connections of a socket ended, and between which ports.
fn note_end(ctx: &mut Context<'_, Log>) {
    let side = ctx.side();
    let Ok((log, monitor)) = ctx.split() else { return };
    if side == Some(Side::Client) {
        let port = monitor.address(Side::Client).unwrap().port();
        log.lines.push(format!("{port} {:?}", monitor.end_reason().unwrap().unwrap()));
    }
}

#[test]
fn a_flood_of_syns_takes_the_oldest_handshakes_and_leaves_the_established() {
    let mut w = World::new(Config { max_flows: 8, max_embryonic: Some(3), ..small() });
    w.on(Event::ConnEnd, Hook::Receiver, note_end).on(Event::NewData, Hook::None, read);
    let mut good = other(1);
    w.send(&good.handshake());
    for port in 100..110 {
        let [syn, ..] = other(port).handshake();
        w.send(&[syn]);
    }
    let expected: Vec<_> = (100..107).map(|port| format!("{port} {:?}", EndReason::Evicted)).collect();
    assert_eq!(w.take(), expected, "the oldest first");
    let stats = *w.engine.stats();
    assert_eq!((stats.evicted_embryonic, stats.evicted_idle, w.engine.flow_count()), (7, 0, 4));
    w.send(&[good.data(Side::Client, b"still here")]);
    assert_eq!(text(&w.log.streams.server), "still here");
    // Half of the table when nothing is said; a handshake that is completed in time is no longer one.
    let mut w = World::new(Config { max_flows: 8, ..small() });
    for port in 1..=8 {
        w.send(&other(port).handshake());
    }
    assert_eq!((w.engine.flow_count(), w.engine.stats().evicted_embryonic), (8, 0));
}

#[test]
fn in_a_full_table_the_longest_silence_gives_way() {
    let config = Config { max_flows: 4, max_embryonic: Some(4), ..small() };
    let full = |config: Config| {
        let mut w = World::new(config);
        w.on(Event::ConnEnd, Hook::Receiver, note_end);
        for port in 1..=4 {
            w.send(&other(port).handshake());
            w.wait(Duration::from_secs(15));
        }
        w.send(&other(5).handshake());
        (w.take(), w.engine.stats().drops[DropReason::TableFull])
    };
    assert_eq!(full(config.clone()), (vec!["1 Evicted".into()], 0));
    let strict = EmbryonicThenIdle { idle: Duration::from_secs(61) };
    let strict: &'static EmbryonicThenIdle = Box::leak(Box::new(strict));
    assert_eq!(full(Config { eviction: strict, ..config.clone() }), (vec![], 1));
    assert_eq!(full(Config { eviction: &Never, ..config }), (vec![], 1));
}

#[test]
fn what_is_remembered_gives_way_first() {
    let linger = Duration::from_secs(100);
    let mut w = World::new(Config { max_flows: 3, linger, midstream: true, ..small() });
    for port in 1..=3 {
        let mut x = other(port);
        w.send(&x.handshake());
        if port == 2 {
            w.send(&x.close(Side::Client));
        }
    }
    assert_eq!(w.engine.flow_count(), 2);
    w.send(&other(4).handshake());
    assert_eq!((w.engine.flow_count(), w.engine.stats().evicted_embryonic), (3, 0));
}

/// Connections that take turns, packet by packet.
fn turns(config: Config) -> (Log, crate::Stats, usize) {
    let mut w = World::new(Config { retention: crate::Retention::Unread, ..config });
    w.on_everything(w.socket);
    w.on(Event::NewData, Hook::None, read);
    let mut all: Vec<_> = (1..=20).map(other).collect();
    let handshakes: Vec<_> = all.iter_mut().map(Exchange::handshake).collect();
    for step in 0..3 {
        handshakes.iter().for_each(|handshake| drop(w.send(&handshake[step..=step])));
    }
    for round in 0..6_u8 {
        for (n, x) in all.iter_mut().enumerate() {
            let side = if (usize::from(round) + n) % 3 == 0 { Side::Server } else { Side::Client };
            let lost = (n + usize::from(round) == 7).then(|| x.data(side, b"lost"));
            let frame = x.data(side, &[round; 50]);
            w.send(&[frame, x.ack(!side)]);
            w.send(&lost.into_iter().collect::<Vec<_>>());
        }
    }
    let awake = w.engine.awake_count();
    for x in &mut all {
        w.send(&x.close(Side::Server));
    }
    (w.log, *w.engine.stats(), awake)
}

#[test]
fn a_connection_at_rest_is_the_same_when_it_wakes() {
    let awake = turns(small());
    // With so few live records, all that can rest do so after each burst; some wait for what is lost.
    let resting = turns(Config { max_awake: Some(14), ..small() });
    assert_eq!(awake.1.stream_octets, 20 * 6 * 50 + 6 * 4, "six connections have a segment out of order");
    let first = awake.0.lines.iter().zip(&resting.0.lines).enumerate().find(|(_, (a, b))| a != b);
    assert_eq!((first, awake.0.lines.len()), (None, resting.0.lines.len()));
    assert!(awake.0.streams == resting.0.streams, "the same octets");
    assert_eq!(awake.1, resting.1);
    assert_eq!((awake.2, resting.2), (20, 7), "awake before the end");
}

#[test]
fn without_a_live_record_a_segment_is_counted_and_shown_as_an_orphan() {
    let mut w = World::new(Config { max_awake: Some(1), ..small() });
    w.on(Event::Orphan, Hook::None, note);
    let (mut a, mut b) = (other(1), other(2));
    w.send(&a.handshake());
    w.send(&[a.data(Side::Client, b"held")]);
    w.send(&b.handshake());
    assert_eq!(w.engine.flow_count(), 1, "a handshake needs one");
    assert_eq!(w.engine.stats().drops[DropReason::TableFull], 1);
    assert_eq!(w.take().len(), 3);
}
