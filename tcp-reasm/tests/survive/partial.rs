//! Captures that lack a part: one direction, the beginning, or the order.

use crate::support::monitor::Monitor;
use crate::talk::*;
use ringbuf_core::Range;
use ringbuf_core::window::Window;
use tcp_reasm::{Anomaly, Conn, Segment, State, Strictness};

pub(crate) fn case_18_an_ack_before_the_octets(isns: Isns) {
    for strictness in [Strictness::Linux, Strictness::Lossy] {
        let mut t = Talk::open(isns).strict(strictness);
        // The ACK of octets that the capture brings only now, and of more of them than one segment.
        if strictness == Strictness::Lossy {
            t.takes_odd(s("A", 0, 4), &[Anomaly::AckUnseen]).takes_odd(s("A", 0, 8), &[Anomaly::AckUnseen]);
        } else {
            t.refuses(s("A", 0, 4), Anomaly::AckUnsent).refuses(s("A", 0, 8), Anomaly::AckUnsent);
        }
        t.ends(S, "", Fate::Open);
        t.takes(c("PA", 0, 0).data("GOOD")).takes(c("PA", 4, 0).data("MORE"));
        t.ends(S, "GOODMORE", Fate::Open);
        assert!(!t.has_gap(S));
        assert_eq!(t.monitor.skip(S), None);
        t.takes(s("A", 0, 8)).takes(c("FA", 8, 0));
        t.ends(S, "GOODMORE", Fate::Eof);
    }
    // The server's answer before the request; then the last octets of a connection behind the ACK of its FIN.
    let mut t = Talk::open(isns).strict(Strictness::Lossy);
    t.takes_odd(s("PA", 0, 4).data("REPLY"), &[Anomaly::AckUnseen]).takes(c("PA", 0, 0).data("GOOD"));
    t.takes_odd(s("A", 5, 9), &[Anomaly::AckUnseen]).takes(c("FPA", 4, 5).data("MORE"));
    t.ends(S, "GOODMORE", Fate::Eof);
    t.ends(C, "REPLY", Fate::Open);
    assert_eq!(t.states().1, State::CloseWait);

    // They never come: then it is a gap, and the rest is delivered.
    let mut t = Talk::open(isns).strict(Strictness::Lossy);
    t.takes_odd(s("A", 0, 4), &[Anomaly::AckUnseen]).takes(c("PA", 4, 0).data("MORE"));
    assert!(t.has_gap(S) && t.monitor.text(S).is_empty());
    assert_eq!(t.monitor.skip(S), Some(Range::new(0, 4)));
    assert_eq!((t.monitor.text(S).as_str(), t.has_gap(S)), ("MORE", false));
}

pub(crate) fn case_18_the_direction_of_the_client_alone(isns: Isns) {
    for strictness in [Strictness::Linux, Strictness::Lossy] {
        let mut t = Talk::syn(isns).strict(strictness);
        t.takes_somehow(c("A", 0, 0)).takes(c("PA", 0, 0).data("GET ")).takes(c("PA", 4, 0).data("/"));
        // What the server says is not seen, and the client acknowledges it.
        let said = if strictness == Strictness::Lossy { 60_000 } else { 0 };
        t.takes_somehow(c("A", 5, said / 2)).takes_somehow(c("A", 5, said));
        t.takes_somehow(c("PA", 5, said).data("PUT")).takes_somehow(c("PA", 12, said).data("last"));
        t.ends(S, "GET /PUT", Fate::Open);
        assert!(!t.has_gap(S), "whether it is one only what waits behind it tells");
        assert_eq!(t.monitor.skip(S), Some(Range::new(8, 12)));
        t.takes_somehow(c("FA", 16, said));
        assert_eq!((t.monitor.text(S).as_str(), t.fate(S)), ("GET /PUTlast", Fate::Eof), "{strictness:?}");

        // Without the SYN/ACK and without an ACK of its own.
        let mut t = Talk::syn(isns).strict(strictness);
        t.takes_somehow(c("FPA", 0, 0).data("GOOD"));
        t.ends(S, "GOOD", Fate::Eof);
    }
}

pub(crate) fn case_18_the_direction_of_the_server_alone(isns: Isns) {
    for strictness in [Strictness::Linux, Strictness::Lossy] {
        let mut t = Talk::new(isns).strict(strictness);
        let first = s("SA", -1, 0).options(&MSS);
        t.refuses(first, Anomaly::SynAckUnexpected); // by a monitor that wants to see the SYN
        let bytes = first.bytes(isns);
        let segment = Segment::parse(&bytes, bytes.len()).unwrap();
        t.monitor = Monitor::new(1 << 17);
        t.monitor.conn = Conn::from_syn_ack(&segment, Window::new(1 << 17));
        let mut t = t.strict(strictness);
        let said = if strictness == Strictness::Lossy { 40_000 } else { 0 };
        t.takes(first).takes_somehow(s("A", 0, said / 4)).takes_somehow(s("PA", 0, said / 2).data("HTTP"));
        t.takes_somehow(s("PA", 4, said).data("/1.1")).takes_somehow(s("PA", 4, said).data("/1.1"));
        t.ends(C, "HTTP/1.1", Fate::Open);
        assert_eq!(t.states().0, State::Established);
        if strictness == Strictness::Lossy {
            assert_eq!(t.states().1, State::Established, "it sends: its handshake is complete");
        }
        t.takes_somehow(s("PA", 12, said).data("lost before")).takes_somehow(s("FA", 23, said));
        t.ends(C, "HTTP/1.1", Fate::Open);
        assert_eq!(t.monitor.skip(C), Some(Range::new(8, 12)));
        assert_eq!((t.monitor.text(C).as_str(), t.fate(C)), ("HTTP/1.1lost before", Fate::Eof));
    }
}

pub(crate) fn case_18_picked_up_in_the_middle(isns: Isns) {
    for strictness in [Strictness::Linux, Strictness::Lossy] {
        let pick_up = |isns| {
            let mut t = Talk::new(isns);
            t.monitor.conn = Conn::midstream(Window::new(1 << 17));
            t.strict(strictness)
        };
        // An ACK first, then octets of both sides.
        let mut t = pick_up(isns);
        t.takes_somehow(s("A", 777, 500)).takes_somehow(c("PA", 500, 777).data("GOOD"));
        t.takes_somehow(s("PA", 777, 504).data("REPLY")).takes_somehow(c("PA", 504, 782).data("MORE"));
        t.ends(S, "GOODMORE", Fate::Open);
        t.ends(C, "REPLY", Fate::Open);
        assert!(t.monitor.conn.stream(S).is_midstream() && !t.has_gap(S) && !t.has_gap(C));
        t.takes_somehow(c("FA", 508, 782)).takes_somehow(s("FA", 782, 509)).takes_somehow(c("A", 509, 783));
        t.ends(S, "GOODMORE", Fate::Eof);
        t.ends(C, "REPLY", Fate::Eof);
        assert!(t.monitor.conn.is_over());

        // The ACK of the first octets before they are seen is no gap.
        let mut t = pick_up(isns);
        t.takes_somehow(c("PA", 500, 777).data("GOOD"));
        let _ = t.play(s("A", 777, 508));
        t.ends(S, "GOOD", Fate::Open);
        t.takes_somehow(c("PA", 504, 777).data("MORE"));
        t.ends(S, "GOODMORE", Fate::Open);
        assert!(!t.has_gap(S));

        // One direction alone, out of order, then what lies before the first octet that was seen.
        let mut t = pick_up(isns);
        t.takes_somehow(c("PA", 500, 777).data("GOOD")).takes_somehow(c("PA", 508, 777).data("LAST"));
        t.takes_somehow(c("PA", 504, 777).data("MORE")).takes_somehow(c("PA", 480, 777).data("OLD"));
        t.ends(S, "GOODMORELAST", Fate::Open);
        // A RST at the place ends it, one elsewhere does not.
        t.refuses(c("R", 100, 0), Anomaly::RstInexact).takes_somehow(c("R", 512, 0));
        t.ends(S, "GOODMORELAST", Fate::Reset);
    }
}
