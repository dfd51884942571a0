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
    let drops = w.engine.stats().drops;
    assert_eq!(
        (drops[DropReason::AwakeFull], drops[DropReason::Orphan]),
        (1, 2),
        "the SYN, and what it began"
    );
    assert_eq!(w.take().len(), 3);
}

#[test]
fn a_syn_and_an_ack_without_an_answer_are_no_more_than_a_handshake() {
    let mut w = World::new(Config { max_flows: 8, max_embryonic: Some(3), ..small() });
    for port in 100..120 {
        let mut x = other(port);
        let syn = x.segment(Side::Client, Flags::SYN, b"");
        let ack = x.segment_at(Side::Client, x.seq(Side::Client), 12_345, Flags::ACK, b"");
        w.send(&[syn, ack]);
    }
    assert_eq!((w.engine.flow_count(), w.engine.stats().evicted_embryonic), (3, 17));
    // With the answer of the server they are: its packets are all that is missing.
    let mut w = World::new(Config { max_flows: 8, max_embryonic: Some(3), ..small() });
    for port in 100..108 {
        w.send(&other(port).handshake());
    }
    assert_eq!((w.engine.flow_count(), w.engine.stats().evicted_embryonic), (8, 0));
}

#[test]
fn handshakes_keep_their_place_whatever_comes() {
    let mut w = World::new(Config { max_embryonic: Some(3), ..small() });
    w.on(Event::ConnEnd, Hook::Receiver, note_end);
    for port in 1..=10 {
        // The server speaks before the client has answered, and something of it is missing.
        let mut x = other(port);
        let [syn, syn_ack, _] = x.handshake();
        let _missing = x.data(Side::Server, b"220 ");
        let early = x.data(Side::Server, b"ready");
        w.send(&[syn, syn_ack, early]);
    }
    let evicted: Vec<_> = (1..=7).map(|port| format!("{port} Evicted")).collect();
    assert_eq!((w.take(), w.engine.flow_count()), (evicted, 3));
    w.wait(Duration::from_secs(31));
    assert_eq!(w.engine.flow_count(), 0, "30 seconds from the beginning, not from the hole");
}

#[test]
fn time_wait_goes_on_at_rest() {
    let timeouts = Timeouts { time_wait: Duration::from_secs(60), ..small().timeouts };
    let config = Config { max_awake: Some(40), timeouts, retention: crate::Retention::Unread, ..small() };
    let mut w = World::new(config);
    w.on(Event::ConnEnd, Hook::Receiver, note_end);
    let mut all: Vec<_> = (1..=25).map(other).collect();
    all.iter_mut().for_each(|x| drop(w.send(&x.handshake())));
    w.send(&all[24].close(Side::Client));
    w.wait(Duration::from_secs(59));
    assert_eq!(w.engine.flow_count(), 25);
    w.wait(Duration::from_secs(2));
    assert_eq!((w.engine.flow_count(), w.take()), (24, vec!["25 Closed".into()]));
}

#[test]
fn live_records_are_there_for_those_that_need_them() {
    let config = || Config { retention: crate::Retention::Unread, max_awake: Some(10), ..small() };
    let start = |w: &mut World| {
        w.on(Event::NewData, Hook::None, read);
        let mut all: Vec<_> = (1..=20).map(other).collect();
        for x in &mut all {
            w.send(&x.handshake());
            w.send(&[x.data(Side::Client, b"data"), x.ack(Side::Server)]);
        }
        all
    };
    // Probes of one octet that came before leave nothing behind.
    let mut w = World::new(config());
    let mut all = start(&mut w);
    for x in &mut all {
        let before = x.seq(Side::Client).wrapping_sub(1);
        w.send(&[x.segment_at(Side::Client, before, x.seq(Side::Server), Flags::ACK, b"\0")]);
    }
    assert_eq!((w.engine.stats().drops.total(), w.engine.stats().keep_alives), (0, 20));
    // One burst of packets of connections that rest, more than there are live records.
    let burst: Vec<_> = all.iter_mut().map(|x| x.ack(Side::Server)).collect();
    w.send(&burst);
    assert_eq!(w.engine.stats().drops.total(), 0);
    // Streams whose octets are no longer kept, and connections that are only remembered.
    let mut w = World::new(Config { linger: Duration::from_secs(100), ..config() });
    let mut all = start(&mut w);
    fn disable(ctx: &mut Context<'_, Log>) {
        ctx.monitor().unwrap().disable_buffer(Side::Server).unwrap();
    }
    w.on(Event::PacketIn, Hook::Sender, disable);
    for port in 30..45 {
        let mut x = other(port);
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, b"not kept")]);
        all.push(x);
    }
    all.iter_mut().for_each(|x| drop(w.send(&x.close(Side::Client))));
    w.send(&other(50).handshake());
    assert_eq!((w.engine.stats().drops.total(), w.engine.flow_count()), (0, 1));
}

#[test]
fn nothing_gives_way_in_vain() {
    let mut w = World::new(Config { max_flows: 64, max_awake: Some(2), ..small() });
    w.on(Event::NewData, Hook::None, |_| {});
    let mut all: Vec<_> = (1..=20).map(other).collect();
    all.iter_mut().for_each(|x| drop(w.send(&x.handshake())));
    w.wait(Duration::from_secs(31));
    for x in &mut all[..2] {
        w.send(&[x.data(Side::Client, b"held")]);
    }
    for port in 100..105 {
        w.send(&[other(port).segment(Side::Client, Flags::SYN, b"")]);
    }
    let stats = w.engine.stats();
    assert_eq!((stats.evicted_idle, stats.drops[DropReason::AwakeFull]), (0, 5));
    // Two monitors need two sockets: those of two connections that one monitor watches.
    let mut w = World::new(Config { max_sockets: 6, ..small() });
    for port in 1..=4 {
        w.send(&other(port).handshake());
    }
    w.engine.open(SocketKind::Stream).unwrap();
    w.wait(Duration::from_secs(31));
    w.send(&other(9).handshake());
    assert_eq!((w.engine.stats().evicted_idle, w.engine.flow_count()), (2, 3));
}

#[test]
fn a_monitor_that_is_closed_while_connections_give_way_watches_no_more() {
    fn close(ctx: &mut Context<'_, Log>) {
        let monitor = ctx.token() as u32;
        if let Some(monitor) = ctx.control().socket_at(monitor) {
            ctx.control().close(monitor).unwrap();
        }
    }
    let mut w = World::new(Config { max_flows: 1, ..small() });
    w.engine.register(w.socket, Event::ConnEnd, Hook::Receiver, close, w.socket.index() as usize).unwrap();
    w.send(&[other(1).handshake()[0].clone()]);
    w.send(&[other(2).handshake()[0].clone()]);
    assert_eq!((w.engine.flow_count(), w.engine.socket_count()), (0, 0));
}

#[test]
fn connections_that_nobody_watches_are_forgotten_also_when_all_records_are_in_use() {
    fn stop_all(ctx: &mut Context<'_, Log>) {
        for index in 0..40 {
            if let Some(socket) = ctx.control().socket_at(index)
                && let Ok(mut monitor) = ctx.monitor_at(socket)
                && monitor.kind() == Ok(SocketKind::Active)
            {
                monitor.stop(None).unwrap();
            }
        }
    }
    let mut w = World::new(Config { max_awake: Some(3), ..small() });
    for port in 1..=20 {
        w.send(&other(port).handshake());
    }
    w.engine.start_timer(Duration::from_secs(1), stop_all, 0).unwrap();
    w.wait(Duration::from_secs(2));
    w.wait(Duration::from_secs(1));
    assert_eq!((w.engine.flow_count(), w.engine.socket_count()), (0, 1));
}
