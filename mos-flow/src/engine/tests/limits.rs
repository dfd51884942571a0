//! Memory and time: what happens at their ends.

use super::*;

#[test]
fn early_octets_do_not_push_out_unread_ones() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    let a = x.data(Side::Client, &[b'a'; 4000]);
    let far = x.seq(Side::Client).wrapping_add(60_000);
    let far = x.segment_at(Side::Client, far, x.seq(Side::Server), Flags::ACK, &[b'f'; 100]);
    w.send(&[a, far]);
    assert_eq!((w.log.streams.server.len(), w.take()), (4000, vec![]));
}

#[test]
fn every_lost_octet_is_counted_once() {
    let losses = |event, handler: Handler<Log>| {
        let mut w = World::new(small());
        w.on(event, Hook::None, handler);
        let mut x = exchange();
        w.send(&x.handshake());
        for _ in 0..10 {
            let frame = x.data(Side::Client, &[1; 1000]);
            w.send(&[frame]);
        }
        (w.take().len(), w.engine.stats().overrun_octets)
    };
    assert_eq!(losses(Event::NewData, |_| {}), (0, 10_000 - 4096));
    assert_eq!(losses(Event::Error, note), (6, 10_000 - 4096));
    assert_eq!(losses(Event::Error, read), (0, 0));
    assert_eq!(losses(Event::Orphan, |_| {}), (0, 0), "nobody reads, nothing is lost");
    assert_eq!(losses(Event::NewData, |c| c.monitor().unwrap().stop(Some(Side::Server)).unwrap()), (0, 0));
}

#[test]
fn only_the_reader_that_is_behind_loses() {
    let mut w = World::new(Config { retention: Retention::Unread, ..small() });
    w.on(Event::NewData, Hook::None, read);
    let slow = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.register(slow, Event::ConnEnd, Hook::Receiver, read, 0).unwrap();
    w.engine.register(slow, Event::Error, Hook::None, note, 0).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    for _ in 0..3 {
        let frame = x.data(Side::Client, &[b'x'; 1000]);
        w.send(&[frame]);
    }
    assert_eq!(w.log.streams.server.len(), 3000);
    w.engine.shutdown(&mut w.log);
    assert_eq!((w.log.streams.server.len(), w.take()), (6000, vec![]), "kept for the slow reader");
}

#[test]
fn a_full_list_of_ranges_gives_up_a_hole_only_for_what_has_no_place() {
    let patience = Patience { octets: 1 << 20, time: Duration::from_secs(60) };
    let mut w = World::new(Config { timeouts: Timeouts { patience, ..small().timeouts }, ..small() });
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    let hole = x.data(Side::Client, b"hole");
    for _ in 0..crate::buffers::MAX_RANGES {
        let range = x.data(Side::Client, b"xy");
        let _missing = x.data(Side::Client, b"..");
        w.send(&[range]);
    }
    let ack = x.segment_at(Side::Server, x.seq(Side::Server), 3, Flags::ACK, b"");
    let mut full = w.log.lines.clone();
    // The octets of the hole itself need no place of their own.
    w.send(&[ack.clone(), hole]);
    full.extend(w.take());
    assert_eq!((full, text(&w.log.streams.server)), (vec![], "holexy".into()));
    // Ranges with no place: as long as nothing is acknowledged they are refused, then they drive the first hole out.
    let more: Vec<_> = (0..3).map(|_| (x.data(Side::Client, b"xy"), x.data(Side::Client, b".."))).collect();
    w.send(&[more[0].0.clone(), more[1].0.clone()]);
    assert_eq!(w.take(), ["error none server ESTABLISHED/ESTABLISHED NoMemory { octets: 2 }"]);
    let ack = x.segment_at(Side::Server, x.seq(Side::Server), 9, Flags::ACK, b"");
    w.send(&[ack, more[2].0.clone()]);
    let lines = w.take();
    assert!(lines.len() == 2 && lines[0].ends_with("Gap([6, 8))") && lines[1] == "lost [6, 8)", "{lines:?}");
    assert_eq!(text(&w.log.streams.server), "holexyxy");
}

#[test]
fn streams_with_octets_apart_are_limited_on_their_own() {
    let mut w = World::new(Config { max_ranges: Some(1), ..small() });
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    let mut exchanges = [other(1), other(2)];
    for x in &mut exchanges {
        w.send(&x.handshake());
    }
    let [holes, early] =
        [b"hole", b"more"].map(|text| exchanges.each_mut().map(|x| x.data(Side::Client, text)));
    w.send(&early);
    assert_eq!(w.take(), ["error none server ESTABLISHED/ESTABLISHED NoMemory { octets: 4 }"]);
    w.send(&holes);
    assert_eq!(text(&w.log.streams.server), "holemorehole");
    // The record is free again.
    let _hole = exchanges[0].data(Side::Client, b"hole");
    w.send(&[exchanges[0].data(Side::Client, b"more"), early[1].clone()]);
    assert_eq!((w.take(), text(&w.log.streams.server)), (vec![], "holemoreholemore".into()));
}

#[test]
fn what_finds_no_place_before_a_gap_goes_with_it_and_is_told() {
    let run_to_gap = |max_ranges| {
        let mut w = World::new(Config { max_ranges, strictness: crate::Strictness::Lossy, ..small() });
        w.on(Event::Error, Hook::None, note);
        let mut x = exchange();
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, b"slow")]);
        let _hole = x.data(Side::Client, b"hole");
        w.send(&[x.ack(Side::Server)]);
        w.wait(Duration::from_secs(60));
        (w.take(), w.engine.stats().overrun_octets)
    };
    let gap = "error none server ESTABLISHED/ESTABLISHED Gap([4, 8))".to_string();
    let overrun = "error none server ESTABLISHED/ESTABLISHED Overrun([0, 4))".to_string();
    assert_eq!(run_to_gap(None), (vec![gap.clone()], 0));
    assert_eq!(run_to_gap(Some(0)), (vec![overrun, gap], 4));
}

#[test]
fn without_a_place_for_ranges_an_acknowledged_hole_is_given_up_for_what_comes_behind_it() {
    let strictness = crate::Strictness::Lossy;
    let mut w = World::new(Config { max_ranges: Some(0), strictness, ..small() });
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"slow")]);
    let _hole = x.data(Side::Client, b"hole");
    w.send(&[x.ack(Side::Server)]);
    assert!(w.take().is_empty());
    w.send(&[x.data(Side::Client, b"more")]);
    let gap = "error none server ESTABLISHED/ESTABLISHED Gap([4, 8))";
    assert_eq!(
        (w.take(), text(&w.log.streams.server)),
        (vec![gap.into(), "lost [4, 8)".into()], "slowmore".into())
    );
}

#[test]
fn patience_is_exact_and_belongs_to_one_hole() {
    let patience = Patience { octets: 1000, time: Duration::from_secs(2) };
    let gaps = |octets: usize, wait: u64| {
        let mut w = World::new(Config { timeouts: Timeouts { patience, ..small().timeouts }, ..small() });
        let mut x = exchange();
        w.send(&x.handshake());
        let _hole = x.data(Side::Client, b"hole");
        let frame = x.data(Side::Client, &vec![b'z'; octets]);
        w.send(&[frame, x.ack(Side::Server)]);
        w.wait(Duration::from_micros(wait));
        w.engine.stats().gap_octets
    };
    let tick = crate::timer::TICK_US;
    assert_eq!([gaps(1000, 0), gaps(1001, 0)], [0, 4]);
    assert_eq!([gaps(1, 2_000_000 - 1), gaps(1, 2_000_000 + tick)], [0, 4]);
    // The second hole is younger than the first was.
    let mut w = World::new(Config { timeouts: Timeouts { patience, ..small().timeouts }, ..small() });
    w.on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    let [one, two, _, four] = [b"one", b"two", b"thr", b"fou"].map(|d| x.data(Side::Client, d));
    let ack =
        x.segment_at(Side::Server, x.seq(Side::Server), x.seq(Side::Client).wrapping_sub(9), Flags::ACK, b"");
    w.send(&[two, ack]);
    w.wait(Duration::from_millis(1900));
    w.send(&[four, x.ack(Side::Server), one]);
    w.wait(Duration::from_millis(1900));
    assert!(w.take().is_empty());
    w.wait(Duration::from_millis(200));
    assert_eq!(w.take().len(), 1);
}

#[test]
fn short_memory_takes_what_was_read_from_whoever_holds_it() {
    let mut w = World::new(Config { chunks: 8, ..small() });
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    for port in 1..=12 {
        let mut x = other(port);
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, &[1; 1000])]);
    }
    assert_eq!((w.take(), w.log.streams.server.len()), (vec![], 12_000));
    assert!(w.engine.stats().reclaimed_octets >= 4000, "{:?}", w.engine.stats());
    // The same with too few records instead of chunks.
    let mut w = World::new(Config { max_buffers: 2, ..small() });
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    for port in 1..=12 {
        let mut x = other(port);
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, &[1; 1000])]);
    }
    assert_eq!((w.take(), w.log.streams.server.len()), (vec![], 12_000));
}

#[test]
fn short_memory_leaves_unread_octets_alone() {
    let mut w = World::new(Config { chunks: 4, ..small() });
    w.on(Event::ConnEnd, Hook::Receiver, read).on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"first "), x.data(Side::Client, b"second")]);
    w.engine.shutdown(&mut w.log);
    assert_eq!((text(&w.log.streams.server), w.take()), ("first second".into(), vec![]));
    assert_eq!((w.engine.stats().overrun_octets, w.engine.stats().reclaimed_octets), (0, 0));
}

#[test]
fn octets_of_a_syn_count_once_the_server_takes_them() {
    for (taken, stream) in [(false, "GOODMORE"), (true, "EVILGOODMORE")] {
        let mut w = World::new(small());
        w.on(Event::PacketIn, Hook::Receiver, read).on(Event::NewData, Hook::None, read);
        let mut x = exchange();
        let isn = x.seq(Side::Client);
        let syn = if taken {
            x.segment(Side::Client, Flags::SYN, b"EVIL")
        } else {
            let _ = x.segment(Side::Client, Flags::SYN, b"");
            x.segment_at(Side::Client, isn, 0, Flags::SYN, b"EVIL")
        };
        w.send(&[syn]);
        assert_eq!((w.engine.stats().stream_octets, w.log.streams.server.len()), (0, 0));
        let rest = [x.segment(Side::Server, Flags::SYN | Flags::ACK, b""), x.ack(Side::Client)];
        w.send(&rest);
        w.send(&[x.data(Side::Client, b"GOODMORE")]);
        assert_eq!(text(&w.log.streams.server), stream);
        assert_eq!(w.engine.stats().stream_octets, stream.len() as u64);
    }
}

#[test]
fn a_guessed_handshake_that_was_wrong_leaves_nothing_behind() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    let [syn, syn_ack, ack] = x.handshake();
    // The ACK of an intruder, with octets, before the SYN/ACK.
    let forged = x.segment_at(Side::Client, x.seq(Side::Client), 77, Flags::ACK, b"EVIL");
    w.send(&[syn, forged]);
    assert_eq!(text(&w.log.streams.server), "EVIL");
    w.log.streams.server.clear();
    w.send(&[syn_ack, ack]);
    w.send(&[x.data(Side::Client, b"GOOD"), x.data(Side::Server, b"reply")]);
    assert_eq!((text(&w.log.streams.server), text(&w.log.streams.client)), ("GOOD".into(), "reply".into()));
}

#[test]
fn refused_duplicates_are_retransmissions_and_no_anomalies() {
    let mut w = World::new(small());
    w.on(Event::Retransmission, Hook::Receiver, note);
    let mut x = exchange();
    let [syn, syn_ack, ack] = x.handshake();
    w.send(&[syn, syn_ack.clone(), ack]);
    let seq = x.seq(Side::Client);
    let frames = [x.data(Side::Client, b"good"), x.data(Side::Client, b"more"), x.ack(Side::Server)];
    w.send(&frames);
    let again = x.segment_at(Side::Client, seq, x.seq(Side::Server), Flags::ACK, b"evil");
    let probe =
        x.segment_at(Side::Client, x.seq(Side::Client).wrapping_sub(1), x.seq(Side::Server), Flags::ACK, b"");
    w.send(&[again, probe, syn_ack]);
    let s = *w.engine.stats();
    assert_eq!((w.take().len(), s.events[Event::Retransmission]), (2, 2));
    assert_eq!((s.retransmitted_octets, s.conflicts, s.keep_alives, s.anomalies.total()), (4, 1, 1, 0));
}

#[test]
fn the_applications_timers_are_limited_and_cost_connections_none() {
    let mut w = World::new(Config { max_flows: 4, max_timers: 1, ..small() });
    assert!(w.engine.start_timer(Duration::from_secs(100), note, 0).is_some());
    assert!(w.engine.start_timer(Duration::from_secs(100), note, 0).is_none());
    for port in 1..=4 {
        w.send(&other(port).handshake());
    }
    assert_eq!(w.engine.flow_count(), 4);
    // Connections that come to nothing leave no timer behind.
    let mut w = World::new(Config { max_flows: 4, max_timers: 1, max_sockets: 1, ..small() });
    for port in 1..=10 {
        w.send(&other(port).handshake());
    }
    assert_eq!((w.engine.flow_count(), w.engine.next_timeout()), (0, None));
    assert!(w.engine.start_timer(Duration::from_secs(1), note, 0).is_some());
}

#[test]
fn a_timer_that_starts_itself_again_fires_once_a_tick() {
    fn again(ctx: &mut Context<'_, Log>) {
        note(ctx);
        ctx.control().start_timer(Duration::ZERO, again, 0);
    }
    let mut w = World::new(small());
    w.engine.start_timer(Duration::ZERO, again, 0);
    for tick in 1..=10 {
        w.engine.handle_timeout(Instant(crate::timer::TICK_US * tick), &mut w.log);
    }
    assert_eq!(w.take().len(), 10);
    w.engine.handle_timeout(Instant(u64::MAX), &mut w.log);
    assert!(w.take().len() < 100, "not once for each tick that nobody waited for");
}

#[test]
fn a_wild_timestamp_ends_nothing_and_stops_no_clock() {
    let mut w = World::new(Config {
        timeouts: Timeouts { idle: Duration::from_secs(10), ..small().timeouts },
        ..small()
    });
    let [syn, syn_ack, ack] = exchange().handshake();
    w.send(&[syn]);
    for wild in [1 << 60, 1 << 50, u64::MAX, 1] {
        w.engine.process_burst(&mut [Frame::ethernet(Instant(wild), &[])], &mut w.log);
    }
    w.send(&[syn_ack, ack]);
    assert_eq!(w.engine.flow_count(), 1);
    assert!(w.engine.stats().clock_jumps >= 3);
    w.wait(Duration::from_secs(11));
    assert_eq!(w.engine.flow_count(), 0);
}

#[test]
fn waiting_for_the_next_time_out_reaches_every_one() {
    for (idle, left) in [(Duration::from_secs(86_400), 0), (Duration::MAX, 1)] {
        let mut w = World::new(Config { timeouts: Timeouts { idle, ..small().timeouts }, ..small() });
        w.send(&exchange().handshake());
        for _ in 0..100 {
            let Some(next) = w.engine.next_timeout() else { break };
            w.engine.handle_timeout(next, &mut w.log);
        }
        assert_eq!(w.engine.flow_count(), left);
    }
}

#[test]
fn the_idle_time_out_can_be_shorter_than_that_of_the_handshake() {
    let (handshake, idle) = (Duration::from_secs(30), Duration::from_secs(10));
    let mut w = World::new(Config { timeouts: Timeouts { handshake, idle, ..small().timeouts }, ..small() });
    let [syn, syn_ack, ack] = exchange().handshake();
    w.send(&[syn]);
    w.wait(Duration::from_secs(15));
    assert_eq!(w.engine.flow_count(), 1, "a handshake may take longer");
    w.send(&[syn_ack, ack]);
    w.wait(Duration::from_millis(9900));
    assert_eq!(w.engine.flow_count(), 1);
    w.wait(Duration::from_millis(200));
    assert_eq!(w.engine.flow_count(), 0);
}

#[test]
fn a_handshake_has_its_time_from_the_first_segment_on() {
    let mut w = World::new(Config {
        timeouts: Timeouts { handshake: Duration::from_secs(5), ..small().timeouts },
        ..small()
    });
    let [syn, ..] = exchange().handshake();
    w.send(core::slice::from_ref(&syn));
    w.wait(Duration::from_secs(4));
    w.send(&[syn]);
    w.wait(Duration::from_secs(2));
    assert_eq!(w.engine.stats().flows_ended, 1);
}

#[test]
fn remembered_connections_make_room() {
    let linger = Duration::from_secs(30);
    let mut w = World::new(Config { max_flows: 2, linger, midstream: true, ..small() });
    for port in 1..=4 {
        let mut x = other(port);
        w.send(&x.handshake());
        w.send(&x.close(Side::Client));
    }
    let s = w.engine.stats();
    assert_eq!((s.flows, s.flows_ended, w.engine.flow_count(), s.drops[DropReason::TableFull]), (4, 4, 0, 0));
}

#[test]
fn streams_that_hold_octets_behind_holes_give_way_to_what_is_in_order() {
    let mut w = World::new(Config { chunks: 16, ..small() });
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    // More than there is memory for, each with a chunk behind a hole that nobody fills.
    for port in 1..=20 {
        let mut x = other(port);
        w.send(&x.handshake());
        let _hole = x.data(Side::Client, b"?");
        w.send(&[x.data(Side::Client, &[9; 100])]);
    }
    let mut told = w.take();
    assert!(told.iter().all(|l| l.ends_with("NoMemory { octets: 100 }")), "{told:?}");
    let mut good = exchange();
    w.send(&good.handshake());
    for _ in 0..30 {
        let frame = good.data(Side::Client, &[7; 1000]);
        w.send(&[frame]);
    }
    assert_eq!(w.log.streams.server.len(), 30_000, "in order and read");
    let stats = *w.engine.stats();
    assert!(stats.shed_octets > 0 && stats.shed_octets.is_multiple_of(100), "{stats:?}");
    told.extend(w.take());
    assert_eq!(told.len() as u64, stats.shed_octets / 100, "each loss is told");
    assert_eq!(stats.overrun_octets, 0);
}

#[test]
fn readers_that_do_not_read_do_not_keep_memory_from_others() {
    let mut w = World::new(Config { chunks: 10, ..small() });
    w.on(Event::NewData, Hook::None, |_| {}).on(Event::Error, Hook::None, note);
    let reader = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.bind(reader, FilterSlot::Syn, Some("src port 1000".parse().unwrap())).unwrap();
    w.engine.register(reader, Event::NewData, Hook::None, read, 0).unwrap();
    for port in 1..=4 {
        let mut x = other(port);
        w.send(&x.handshake());
        w.send(&[
            x.data(Side::Client, &[9; 1400]),
            x.data(Side::Client, &[9; 1400]),
            x.data(Side::Client, &[9; 1200]),
        ]);
    }
    w.take();
    let mut good = other(1000);
    w.send(&good.handshake());
    for _ in 0..3 {
        w.send(&[good.data(Side::Client, &[7; 1400])]);
    }
    assert_eq!(w.log.streams.server.len(), 3 * 1400);
    let lines = w.take();
    assert!(lines.iter().any(|l| l.contains("Overrun([0, 4000))")), "{lines:?}");
    assert_eq!(w.engine.stats().shed_octets % 4000, 0);
}

#[test]
fn one_stream_takes_no_more_than_its_part_of_the_memory() {
    let mut w = World::new(Config { stream_octets: 4 * 2048, ..small() });
    w.on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    for n in 1..=20_u32 {
        let seq = x.seq(Side::Client).wrapping_add(n * 3000);
        w.send(&[x.segment_at(Side::Client, seq, x.seq(Side::Server), Flags::ACK, b"early")]);
    }
    let held = w.engine.chunks().0;
    assert!(held <= 4 + 1, "four chunks and a table of them: {held}");
    assert_eq!((w.engine.stats().refused_octets, w.take().len()), (16 * 5, 16));
}

#[test]
fn octets_of_syns_do_not_keep_memory_from_others() {
    let mut w = World::new(Config { chunks: 16, ..small() });
    w.on(Event::NewData, Hook::None, read);
    let mut good = exchange();
    w.send(&good.handshake());
    for port in 100..116 {
        w.send(&[other(port).segment(Side::Client, Flags::SYN, b"x")]);
    }
    w.send(&[good.data(Side::Client, b"hello")]);
    assert_eq!(text(&w.log.streams.server), "hello");
    assert!(w.engine.stats().shed_octets > 0);
}

#[test]
fn records_of_streams_are_shared_like_chunks() {
    let mut w = World::new(Config { max_buffers: 4, ..small() });
    w.on(Event::NewData, Hook::None, read);
    for port in 1..=4 {
        let mut x = other(port);
        w.send(&x.handshake());
        let _hole = x.data(Side::Client, b"?");
        w.send(&[x.data(Side::Client, b"early")]);
    }
    let mut good = exchange();
    w.send(&good.handshake());
    w.send(&[good.data(Side::Client, b"hello")]);
    assert_eq!((text(&w.log.streams.server), w.engine.stats().shed_octets), ("hello".into(), 5));
}

#[test]
fn a_long_segment_takes_as_much_as_it_needs_from_what_was_read() {
    let mut w = World::new(Config { chunks: 32, ring_octets: 16_384, ..small() });
    w.on(Event::NewData, Hook::None, read);
    for port in 1..=7 {
        let mut x = other(port);
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, &[1; 8000])]);
    }
    let mut x = other(8);
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, &[2; 12_000])]);
    assert_eq!((w.log.streams.server.len(), w.engine.stats().refused_octets), (7 * 8000 + 12_000, 0));
}

#[test]
fn a_wild_timestamp_before_the_present_is_told_ends_nothing() {
    let mut w = World::new(small());
    let now = 1_700_000_000_000_000;
    w.clock = now;
    let mut x = exchange();
    w.send(&x.handshake());
    w.engine.process_burst(&mut [Frame::ethernet(Instant(1), &[])], &mut w.log);
    w.wait(Duration::from_secs(1));
    assert_eq!((w.engine.flow_count(), w.engine.stats().clock_jumps), (1, 1));
    w.send(&[x.data(Side::Client, b"on")]);
    w.wait(Duration::from_secs(301));
    assert_eq!(w.engine.flow_count(), 0, "and time goes on");
}

#[test]
fn at_the_end_of_time_nobody_waits_for_what_does_not_come() {
    let mut w = World::new(small());
    w.send(&exchange().handshake());
    w.engine.handle_timeout(Instant(u64::MAX), &mut w.log);
    assert_eq!((w.engine.flow_count(), w.engine.next_timeout()), (0, None));
    w.engine.process_burst(&mut [Frame::ethernet(Instant(u64::MAX), &other(1).handshake()[0])], &mut w.log);
    assert_eq!((w.engine.flow_count(), w.engine.next_timeout()), (1, None));
    // Time begins anew.
    w.clock = 1_000_000;
    w.send(&[]);
    w.engine.process_burst(&mut [Frame::ethernet(Instant(w.clock), &[])], &mut w.log);
    w.wait(Duration::from_secs(31));
    assert_eq!(w.engine.flow_count(), 0);
}

#[test]
fn what_ended_is_remembered_from_its_end_on() {
    let timeouts = Timeouts { idle: Duration::from_secs(300), ..small().timeouts };
    let config = Config { linger: Duration::from_secs(100), midstream: true, timeouts, ..small() };
    let mut w = World::new(config);
    let mut x = exchange();
    w.send(&x.handshake());
    w.wait(Duration::from_secs(301));
    assert_eq!(w.engine.flow_count(), 0);
    w.wait(Duration::from_secs(98));
    w.send(&[x.data(Side::Client, b"stray")]);
    assert_eq!(w.engine.flow_count(), 0, "it is known");
    w.wait(Duration::from_secs(3));
    w.send(&[x.data(Side::Client, b"again")]);
    assert_eq!(w.engine.flow_count(), 1, "it is forgotten");
}
