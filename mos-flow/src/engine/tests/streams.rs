//! What readers ask of streams: which copy is kept, how much, from where on, and when they are told.

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
