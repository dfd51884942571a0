//! How often a connection has its short form: state by state, and in captures of real exchanges.
#![allow(clippy::unwrap_used)] // the captures are as they should be, or the test fails

#[allow(dead_code)] // what was read matters elsewhere
#[path = "support/captures.rs"]
mod captures;

mod support;

use captures::connections;
use ringbuf_core::Offset;
use ringbuf_core::window::Window;
use std::collections::BTreeMap;
use support::*;
use tcp_reasm::{Conn, Flags, NO_BUFFER, Segment, Side, State, Verdict};

const WINDOW: Window = Window::new(256);
const FIN: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);

/// A step of a connection that the monitor keeps no octets of, and the states after it.
type Step = (&'static str, (Side, i64, i64, Flags, &'static [u8]), (State, State));

#[test]
fn a_connection_whose_octets_nobody_holds_has_a_short_form_in_every_state() {
    use State::{
        CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent, TimeWait,
    };
    let syn_ack = Flags::SYN | Flags::ACK;
    let steps: [Step; 12] = [
        ("SYN", (C, -1, 0, Flags::SYN, b""), (SynSent, SynReceived)),
        ("SYN/ACK", (S, -1, 0, syn_ack, b""), (Established, SynReceived)),
        ("ACK", (C, 0, 0, Flags::ACK, b""), (Established, Established)),
        ("data", (C, 0, 0, Flags::ACK, b"abc"), (Established, Established)),
        ("data not yet next", (C, 6, 0, Flags::ACK, b"ghi"), (Established, Established)),
        ("all of it again", (C, 3, 0, Flags::ACK, b"defghi"), (Established, Established)),
        ("ACK of it", (S, 0, 9, Flags::ACK, b""), (Established, Established)),
        ("urgent data", (S, 0, 9, Flags(Flags::ACK.0 | Flags::URG.0), b"!"), (Established, Established)),
        ("FIN", (C, 9, 1, FIN, b""), (FinWait1, CloseWait)),
        ("ACK of the FIN", (S, 1, 10, Flags::ACK, b""), (FinWait2, CloseWait)),
        ("FIN of the server", (S, 1, 10, FIN, b""), (TimeWait, LastAck)),
        ("the last ACK", (C, 10, 2, Flags::ACK, b""), (TimeWait, Closed)),
    ];
    let mut conn = Conn::new(WINDOW);
    assert_eq!((conn.state(C), conn.state(S), repack(&mut conn)), (Closed, Listen, true));
    for (what, (from, seq, ack, flags, data), states) in steps {
        follow(&mut conn, from, &with(ts(1, 0), from, seq, ack, flags, data));
        let found = ((conn.state(C), conn.state(S)), repack(&mut conn));
        println!("{what:<18} {:<12} {:<12} {}", found.0.0, found.0.1, found.1);
        assert_eq!(found, (states, true), "{what}");
    }
}

/// As an engine that keeps no octets follows a segment.
fn follow(conn: &mut Conn, from: Side, segment: &Segment<'_>) {
    match conn.judge(from, segment) {
        Verdict::Accept => {
            let _ = conn.sent(from, segment);
            let _ = conn.received(!from, segment, NO_BUFFER);
        }
        Verdict::Refuse(anomaly) => conn.note_refused(from, segment, anomaly),
        Verdict::Restart => *conn = conn.successor(segment),
    }
}

#[test]
fn octets_that_are_held_have_no_place_in_it() {
    let mut link = Link::established();
    assert!(repack(&mut link.conn));
    link.data(C, 0, 0, "abc");
    assert!(!repack(&mut link.conn), "nobody has read them");
    let (frags, ring) = (&mut link.frags[S as usize], &mut link.rings[S as usize]);
    assert_eq!(link.conn.release(S, frags, ring, Offset(2)), 2);
    assert!(!repack(&mut link.conn), "one is left");
    assert_eq!(link.conn.release(S, frags, ring, Offset(3)), 1);
    assert!(repack(&mut link.conn));
}

#[test]
fn a_syn_that_came_twice_has_a_place_in_it_and_another_one_has_none() {
    let syn = |iss, t| Segment { options: ts(t, 0), ..Segment::build(iss, 0, Flags::SYN, b"") };
    let mut conn = Conn::new(WINDOW);
    follow(&mut conn, C, &syn(CISS, 1000));
    follow(&mut conn, C, &syn(CISS, 2024));
    assert!(repack(&mut conn));
    follow(&mut conn, C, &syn(500, 3000));
    assert!(!repack(&mut conn), "the server may answer either");
    follow(&mut conn, S, &with(ts(1, 2024), S, -1, 0, Flags::SYN | Flags::ACK, b""));
    follow(&mut conn, C, &with(ts(2100, 1), C, 0, 0, Flags::ACK, b""));
    follow(&mut conn, S, &with(ts(2, 2100), S, 0, 0, Flags::ACK, b""));
    assert_eq!((conn.state(C), conn.state(S)), (State::Established, State::Established));
    assert!(repack(&mut conn), "the server has answered the first one, and is heard since");
}

#[test]
fn real_exchanges_have_a_short_form_after_every_segment() {
    let all = connections();
    let mut shares = BTreeMap::<&str, [usize; 2]>::new();
    for connection in &all {
        let mut conn = Conn::new(WINDOW);
        let [count, packed] = shares.entry(connection.name.split(' ').next().unwrap()).or_default();
        for packet in &connection.packets {
            follow(&mut conn, packet.from, &packet.segment());
            *count += 1;
            *packed += usize::from(repack(&mut conn));
        }
    }
    for (file, [count, packed]) in &shares {
        println!("{file:<16} a short form after {packed:>4} of {count:>4} segments");
    }
    assert!(shares.len() > 3 && shares.values().all(|[count, packed]| count == packed && *count > 0));
}
