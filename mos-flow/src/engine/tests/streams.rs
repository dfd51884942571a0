//! What readers ask of streams: which copy is kept, how much, from where on, and when they are told.

mod lent;
mod wait;

use super::*;
use crate::OverlapPolicy;
use ringbuf_core::overlap::System;

/// An active socket of the only connection.
fn active(w: &World) -> SocketId {
    let sockets = (0..).map_while(|n| w.engine.socket_at(n));
    let mut active =
        sockets.filter(|id| w.engine.sockets.get(*id).is_ok_and(|s| s.kind == SocketKind::Active));
    active.next().unwrap()
}

/// A segment of the client, `at` octets behind where it stands.
fn ahead(x: &Exchange, at: u32, payload: &[u8]) -> Vec<u8> {
    let (seq, ack) = (x.seq(Side::Client).wrapping_add(at), x.seq(Side::Server));
    x.segment_at(Side::Client, seq, ack, Flags::ACK, payload)
}

#[test]
fn every_policy_can_be_chosen_on_a_monitor_and_on_a_connection_at_any_time() {
    // What the tables say of a segment that lies around a waiting one, and of one that begins in it and ends behind it.
    let cases = [
        (OverlapPolicy::First, "BAAAAB", "AAAABB"),
        (OverlapPolicy::Last, "BBBBBB", "AABBBB"),
        (OverlapPolicy::Linux, "BBBBBB", "AAAABB"),
        (OverlapPolicy::System(System::Bsd), "BBBBBB", "AAAABB"),
        (OverlapPolicy::System(System::Solaris), "BBBBBB", "AABBBB"),
        (OverlapPolicy::System(System::Vista), "BAAAAB", "AAAABB"),
    ];
    for (policy, around, behind) in cases {
        for when in 0..4 {
            for (at, expected) in [(3, around), (6, behind)] {
                let octets = policy_at_work(policy, when, at);
                assert_eq!(octets, expected, "{policy}, set at {when}, a segment at {at}");
            }
        }
    }
}

/// What is read from where the first `A` or `B` is, when `AAAA` waits at 4 and `B` comes at `at`.
fn policy_at_work(policy: OverlapPolicy, when: u32, at: u32) -> String {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    if when == 0 {
        w.engine.monitor(w.socket).unwrap().set_overlap(Side::Server, policy).unwrap();
    }
    let mut x = exchange();
    let [syn, syn_ack, ack] = x.handshake();
    w.send(&[syn]);
    let set = |w: &mut World, n: u32| {
        if n == when {
            let socket = active(w);
            w.engine.monitor(socket).unwrap().set_overlap(Side::Server, policy).unwrap();
        }
    };
    set(&mut w, 1);
    w.send(&[syn_ack, ack]);
    set(&mut w, 2);
    w.send(&[ahead(&x, 4, b"AAAA")]);
    set(&mut w, 3);
    let octets = if at == 3 { &b"BBBBBB"[..] } else { b"BBBB" };
    w.send(&[ahead(&x, at, octets)]);
    assert_eq!(w.engine.buffers.queues(), usize::from(policy.has_queue()), "{policy}: segments wait");
    w.send(&[ahead(&x, 0, if at == 3 { b"..." } else { b"...." })]);
    assert_eq!(w.engine.buffers.queues(), 0, "nothing waits any more");
    text(&w.log.streams.server).trim_start_matches('.').to_string()
}

#[test]
fn without_memory_for_boundaries_what_comes_early_is_refused_and_a_change_of_policy_too() {
    let linux = OverlapPolicy::Linux;
    let mut w = World::new(Config { max_queues: 0, overlap: linux, ..small() });
    w.on(Event::Error, Hook::None, note).on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[ahead(&x, 4, b"early")]);
    assert_eq!(w.take(), ["error none server ESTABLISHED/ESTABLISHED NoMemory { octets: 5 }"]);
    w.send(&[x.data(Side::Client, b"0123early")]);
    assert_eq!(text(&w.log.streams.server), "0123early");
    // Without early octets any policy will do.
    let socket = active(&w);
    w.engine.monitor(socket).unwrap().set_overlap(Side::Server, Overlap::First).unwrap();
    w.send(&[ahead(&x, 4, b"early")]);
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.set_overlap(Side::Server, linux), Err(SocketError::Full));
    assert_eq!(m.set_overlap(Side::Client, linux), Ok(()));
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    let mut m = w.engine.monitor(raw).unwrap();
    assert_eq!(m.set_overlap(Side::Server, linux), Err(SocketError::WrongKind));
}

#[test]
fn octets_can_be_passed_over_without_a_look_at_them() {
    let mut w = World::new(small());
    let mut x = exchange();
    w.send(&x.handshake());
    let socket = active(&w);
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.skip(Side::Server, 5), Ok(Peek::Empty), "before the first octet");
    w.send(&[x.data(Side::Client, b"0123456789"), ahead(&x, 3, b"early")]);
    let mut buf = [0; 4];
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.skip(Side::Server, 0), Ok(Peek::Data(Range::new(0, 0))));
    assert_eq!(m.skip(Side::Server, 3), Ok(Peek::Data(Range::new(0, 3))));
    assert_eq!(m.peek(Side::Server, &mut buf), Ok(Peek::Data(Range::new(3, 7))));
    assert_eq!(&buf, b"3456");
    assert_eq!(m.skip(Side::Server, u64::MAX), Ok(Peek::Data(Range::new(7, 10))), "not over the hole");
    assert_eq!(m.skip(Side::Server, 1), Ok(Peek::Empty));
    assert_eq!(m.ppeek(Side::Server, Offset(0), &mut buf), Ok(4), "they are still there");
    // What was lost is told first.
    w.send(&[ahead(&x, 0, b"abc"), ahead(&x, 8, &[b'x'; 4096])]);
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.skip(Side::Server, 1), Ok(Peek::Lost(Range::new(10, 18))));
    assert_eq!(m.skip(Side::Server, 1), Ok(Peek::Data(Range::new(18, 19))));
}

#[test]
fn passing_over_is_refused_where_nothing_can_be_read() {
    let mut w = World::new(small());
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    for socket in [raw, w.socket] {
        let skipped = w.engine.monitor(socket).unwrap().skip(Side::Server, 1);
        assert_eq!(skipped, Err(SocketError::WrongKind));
    }
    let mut x = exchange();
    let [syn, ..] = x.handshake();
    w.send(&[syn]);
    let socket = active(&w);
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.skip(Side::Client, 1), Err(SocketError::NotConnected));
    m.disable_buffer(Side::Server).unwrap();
    assert_eq!(m.skip(Side::Server, 1), Err(SocketError::Disabled));
    w.engine.shutdown(&mut w.log);
    assert_eq!(w.engine.monitor(socket).err(), Some(SocketError::NoSocket));
}

/// Says that a warning came, and asks for a larger ring.
fn enlarge(ctx: &mut Context<'_, Log>) {
    note(ctx);
    ctx.monitor().unwrap().resize(Side::Server, 16_384).unwrap();
}

#[test]
fn rings_have_round_sizes_and_the_largest_that_a_socket_asks_for_counts() {
    let mut w = World::new(small());
    let second = w.engine.open(SocketKind::Stream).unwrap();
    let mut m = w.engine.monitor(second).unwrap();
    assert_eq!(m.ring_octets(Side::Server), Ok(4096), "what the configuration says");
    let most = 16 << 20;
    for (asked, is) in [(1, 1024), (1024, 1024), (1025, 2048), (most - 1, most), (most, most)] {
        m.resize(Side::Server, asked).unwrap();
        assert_eq!(m.ring_octets(Side::Server), Ok(is));
    }
    assert_eq!(m.resize(Side::Server, most + 1), Err(SocketError::TooLong));
    assert_eq!(m.ring_octets(Side::Server), Ok(most), "nothing was changed");
    m.resize(Side::Server, 0).unwrap();
    assert_eq!(m.ring_octets(Side::Server), Err(SocketError::Disabled));
    m.resize(Side::Server, 6000).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    let socket = active(&w);
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.ring_octets(Side::Server), Ok(8192), "of the other socket");
    assert_eq!(m.ring_octets(Side::Client), Ok(4096));
    m.resize(Side::Server, 20_000).unwrap();
    m.resize(Side::Client, 1000).unwrap();
    assert_eq!(m.ring_octets(Side::Server), Ok(32_768));
    assert_eq!(m.ring_octets(Side::Client), Ok(4096), "the other socket asks for more");
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    let mut m = w.engine.monitor(raw).unwrap();
    let refused = (m.resize(Side::Server, 1), m.ring_octets(Side::Server).map(drop));
    assert_eq!(refused, (Err(SocketError::WrongKind), Err(SocketError::WrongKind)));
}

#[test]
fn a_ring_grows_at_once_also_while_its_reader_is_warned() {
    let mut w = World::new(small());
    w.on(Event::Error, Hook::None, enlarge);
    let mut x = exchange();
    w.send(&x.handshake());
    let frames: Vec<_> = (0..17).map(|_| x.data(Side::Client, &[b'x'; 1000])).collect();
    w.send(&frames);
    let overruns = ["Overrun([0, 904))", "Overrun([0, 616))"];
    for (line, overrun) in w.take().iter().zip(overruns) {
        assert!(line.ends_with(overrun), "{line}");
    }
    assert_eq!(w.engine.stats().overrun_octets, 616, "only the second one lost something");
    let socket = active(&w);
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.skip(Side::Server, 1), Ok(Peek::Lost(Range::new(0, 616))));
    assert_eq!(m.skip(Side::Server, 99_999), Ok(Peek::Data(Range::new(616, 17_000))));
}

#[test]
fn a_ring_that_shrinks_gives_up_the_oldest_octets_and_warns_who_has_not_read_them() {
    let warned = |handler: Handler<Log>| {
        let mut w = World::new(small());
        w.on(Event::Error, Hook::None, handler);
        let mut x = exchange();
        w.send(&x.handshake());
        let frames: Vec<_> = (0..4).map(|_| x.data(Side::Client, &[b'x'; 1000])).collect();
        w.send(&frames);
        let socket = active(&w);
        let mut m = w.engine.monitor(socket).unwrap();
        m.resize(Side::Server, 1500).unwrap();
        assert_eq!(m.stream_info(Side::Server).unwrap().head, Offset(0), "not before somebody can be warned");
        w.send(&[x.ack(Side::Server)]);
        let mut m = w.engine.monitor(socket).unwrap();
        assert_eq!(m.stream_info(Side::Server).unwrap().head, Offset(1952));
        (m.skip(Side::Server, 9999), w.engine.stats().overrun_octets, w.take(), w.log.streams.server.len())
    };
    let lines = vec!["error none server ESTABLISHED/ESTABLISHED Overrun([0, 1952))".to_string()];
    assert_eq!(warned(note), (Ok(Peek::Lost(Range::new(0, 1952))), 1952, lines, 0));
    assert_eq!(warned(read), (Ok(Peek::Empty), 0, vec![], 4000));
}

#[test]
fn octets_are_kept_again_from_the_next_one_in_order_on() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"heard ")]);
    let socket = active(&w);
    w.engine.monitor(socket).unwrap().resize(Side::Server, 0).unwrap();
    w.send(&[x.data(Side::Client, b"not heard ")]);
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.peek(Side::Server, &mut [0; 9]), Err(SocketError::Disabled));
    m.resize(Side::Server, 1).unwrap();
    w.send(&[x.data(Side::Client, b"again")]);
    assert_eq!(text(&w.log.streams.server), "heard again");
    assert_eq!(w.take(), ["lost [6, 16)"]);
}

#[test]
fn a_stream_has_no_larger_ring_than_its_part_of_the_memory() {
    let mut w = World::new(Config { stream_octets: 128 << 10, ..small() });
    w.on(Event::Error, Hook::None, note);
    w.engine.monitor(w.socket).unwrap().resize(Side::Server, 16 << 20).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    for _ in 0..10 {
        let frames: Vec<_> = (0..30).map(|_| x.data(Side::Client, &[b'x'; 1400])).collect();
        w.send(&frames);
        w.send(&[x.ack(Side::Server)]);
    }
    let socket = active(&w);
    let ring = w.engine.monitor(socket).unwrap().ring_octets(Side::Server).unwrap();
    assert!((32 << 10..128 << 10).contains(&ring), "{ring}");
    assert!(w.engine.chunks().0 <= 64, "{:?}", w.engine.chunks());
    let lines = w.take();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("Overrun")), "{lines:?}");
    let mut m = w.engine.monitor(socket).unwrap();
    let lost = 420_000 - u64::from(ring);
    assert_eq!(m.skip(Side::Server, 1), Ok(Peek::Lost(Range::new(0, lost))));
}

#[test]
fn rings_may_change_within_every_event_and_each_octet_is_read_or_told_lost() {
    fn change(ctx: &mut Context<'_, Log>) {
        let n = ctx.app().lines.len();
        ctx.app().lines.push(String::new());
        for side in Side::BOTH {
            let octets = [1 << 20, 1, 5000, 16 << 20][n % 4];
            ctx.monitor().unwrap().resize(side, octets).unwrap();
        }
    }
    let mut w = World::new(Config { max_awake: Some(2), ..small() });
    w.on_everything(w.socket);
    for event in Event::ALL {
        for hook in Hook::ALL.into_iter().filter(|hook| event.is_allowed_at(*hook)) {
            w.engine.register(w.socket, event, hook, change, 0).unwrap();
        }
    }
    let reader = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.register(reader, Event::ConnEnd, Hook::Receiver, read, 0).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    for n in 0..30 {
        let lost = if n % 7 == 3 { x.data(Side::Client, b"unseen").len() as u32 } else { 0 };
        let frames = [
            ahead(&x, 3000, &[b'e'; 50]),
            x.data(Side::Client, &[b'x'; 1300]),
            ahead(&x, 0_u32.wrapping_sub(1300 + lost % 2), &[b'y'; 700]),
            x.data(Side::Server, &[b'z'; 900]),
        ];
        w.send(&frames);
    }
    w.log.lines.clear();
    w.send(&x.close(Side::Client));
    assert_eq!((w.engine.flow_count(), w.engine.chunks().0), (0, 0));
    let lost: u64 = w.log.lines.iter().filter_map(|line| line.strip_prefix("lost [")).map(lost_octets).sum();
    assert_eq!(lost + w.log.streams.server.len() as u64, 30 * 1300 + 4 * 6);
}

/// The length of a range as it is printed, without its first sign.
fn lost_octets(range: &str) -> u64 {
    let mut ends = range.trim_end_matches(')').split(", ").map(|end| end.parse::<u64>().unwrap());
    let (start, end) = (ends.next().unwrap(), ends.next().unwrap());
    end - start
}
