//! Whole exchanges, segment by segment: the states of both sides after each, the octets at the end.
#![allow(clippy::unwrap_used)] // failing is what a test is for

mod support;

use ringbuf_core::Range;
use ringbuf_core::window::Window;
use support::*;
use tcp_reasm::options::{Options, Signature};
use tcp_reasm::{Anomaly, Conn, Flags, Segment, State, Strictness, Verdict};

#[test]
fn three_way_handshake_and_orderly_close() {
    use State::*;
    let mut l = Link::new();
    assert_eq!(l.states(), (Closed, Listen));
    l.syn();
    assert_eq!((l.states(), l.last.0.started, l.last.1.started), ((SynSent, SynReceived), true, true));
    l.syn_ack();
    assert_eq!(l.states(), (Established, SynReceived));
    l.ack(C, 0, 0);
    assert_eq!(l.states(), (Established, Established));
    l.data(C, 0, 0, "request").data(S, 0, 7, "response").fin(S, 8, 7);
    assert_eq!(l.states(), (CloseWait, FinWait1));
    l.ack(C, 7, 9);
    assert_eq!(l.states(), (CloseWait, FinWait2));
    l.fin(C, 7, 9);
    assert_eq!(l.states(), (LastAck, TimeWait));
    l.ack(S, 9, 8);
    assert_eq!(l.states(), (Closed, TimeWait));
    assert!(l.conn.is_over());
    assert_eq!((l.text(S).as_str(), l.text(C).as_str()), ("request", "response"));
}

#[test]
fn simultaneous_open_and_split_handshake_establish_both() {
    let mut l = Link::new();
    l.syn();
    assert!(l.send(S, -1, 0, Flags::SYN, b"").is_accept());
    assert_eq!(l.states(), (State::SynReceived, State::SynReceived));
    assert!(l.send(C, -1, 0, Flags::SYN | Flags::ACK, b"").is_accept());
    assert!(l.send(S, 0, 0, Flags::ACK, b"").is_accept());
    assert_eq!(l.states(), (State::Established, State::Established));
    l.data(C, 0, 0, "GOOD");
    assert_eq!(l.text(S), "GOOD");
}

#[test]
fn simultaneous_close_and_half_close() {
    use State::*;
    let mut l = Link::established();
    l.fin(C, 0, 0);
    assert_eq!(l.states(), (FinWait1, CloseWait));
    l.ack(S, 0, 1).data(S, 0, 1, "still talking").ack(C, 1, 13).fin(S, 13, 1);
    assert_eq!((l.states(), l.text(C).as_str()), ((TimeWait, LastAck), "still talking"));

    // Both FINs on the way at once: each end hears the other's before the ACK of its own.
    let mut l = Link::established();
    l.fin(C, 0, 0);
    assert_eq!(l.states(), (FinWait1, CloseWait));
    l.fin(S, 0, 0);
    assert_eq!(l.states(), (Closing, Closing));
    l.ack(S, 1, 1).ack(C, 1, 1);
    assert_eq!(l.states(), (TimeWait, TimeWait));
}

#[test]
fn only_an_exact_reset_resets() {
    let refused = [(C, 10), (C, 10_000_000), (C, -1), (S, 3)];
    for (from, seq) in refused {
        let mut l = Link::established();
        assert_eq!(
            l.send(from, seq, 0, Flags::RST, b""),
            Verdict::Refuse(Anomaly::RstInexact),
            "{from} {seq}"
        );
        assert_eq!(l.states(), (State::Established, State::Established));
    }
    let mut l = Link::established();
    l.data(C, 0, 0, "GOOD");
    assert!(l.send(C, 4, 0, Flags::RST, b"payload of a reset").is_accept());
    assert_eq!((l.states(), l.text(S).as_str()), ((State::Closed, State::Closed), "GOOD"));
    assert_eq!(l.send(C, 4, 0, Flags::ACK, b"late"), Verdict::Refuse(Anomaly::AfterReset));
}

#[test]
fn a_refused_connection_is_closed_on_both_sides() {
    let mut l = Link::new();
    l.syn();
    assert_eq!(l.send(S, -1, 9, Flags::RST | Flags::ACK, b""), Verdict::Refuse(Anomaly::AckUnsent));
    assert!(l.send(S, -1, 0, Flags::RST | Flags::ACK, b"").is_accept());
    assert_eq!(l.states(), (State::Closed, State::Closed));
}

#[test]
fn what_no_host_takes_changes_nothing() {
    let cases: &[(i64, i64, Flags, Anomaly)] = &[
        (0, 0, Flags(0), Anomaly::NoAck),
        (0, 0, Flags::FIN, Anomaly::NoAck),
        (0, 100_000, Flags::ACK, Anomaly::AckUnsent),
        (0, -(1 << 30), Flags::ACK, Anomaly::AckTooOld),
        (0, -1, Flags::ACK, Anomaly::AckTooOld),
        (100_000_000, 0, Flags::ACK, Anomaly::OutOfWindow),
        (10, 0, Flags::SYN, Anomaly::SynInConnection),
        (-1, 0, Flags::SYN, Anomaly::OldSegment),
        (0, 100_000, Flags(0x11), Anomaly::AckUnsent),
    ];
    for &(seq, ack, flags, anomaly) in cases {
        let mut l = Link::established();
        assert_eq!(l.send(C, seq, ack, flags, b"EVIL"), Verdict::Refuse(anomaly), "{seq} {ack} {flags}");
        l.data(C, 0, 0, "GOOD");
        assert_eq!((l.states(), l.text(S).as_str()), ((State::Established, State::Established), "GOOD"));
    }
    for flags in [Flags::SYN | Flags::FIN, Flags::SYN | Flags::RST] {
        assert_eq!(Link::new().send(C, -1, 0, flags, b""), Verdict::Refuse(Anomaly::SynInvalid));
    }
}

#[test]
fn old_timestamps_and_signatures_are_refused() {
    let mut l = Link::new();
    let (c, s) = (CISS.wrapping_add(1), SISS + 1);
    let and = |seg: Segment<'static>, options| Segment { options, ..seg };
    assert!(l.play(C, &and(Segment::build(CISS, 0, Flags::SYN, b""), ts(5000, 0))).is_accept());
    let rst = and(Segment::build(s, c, Flags::RST | Flags::ACK, b""), ts(100, 100));
    assert_eq!(l.play(S, &rst), Verdict::Refuse(Anomaly::TimestampEcho));
    assert!(
        l.play(S, &and(Segment::build(SISS, c, Flags::SYN | Flags::ACK, b""), ts(9000, 5000))).is_accept()
    );
    assert!(l.play(C, &and(Segment::build(c, s, Flags::ACK, b""), ts(5001, 9000))).is_accept());
    assert_eq!(l.conn.timestamps(C), ts(5001, 9000).timestamps, "what each would send next");
    assert_eq!(l.conn.timestamps(S), ts(9000, 5001).timestamps);
    assert_eq!(Link::established().conn.timestamps(C), None);
    let old = and(Segment::build(c, s, Flags::ACK, b"EVIL"), ts(4000, 9000));
    assert_eq!(l.play(C, &old), Verdict::Refuse(Anomaly::Paws));
    let signed = Segment::build(c, s, Flags::RST, b"");
    let signed =
        Segment { options: Options { signature: Some(Signature::Md5), ..Options::default() }, ..signed };
    assert_eq!(l.play(C, &signed), Verdict::Refuse(Anomaly::Signed));
    assert!(l.send(C, 0, 0, Flags::ACK, b"GOOD").is_accept(), "a missing timestamp is taken");
    assert_eq!(l.text(S), "GOOD");
}

#[test]
fn a_fin_ahead_of_a_hole_waits_and_moves_with_what_runs_over_it() {
    let mut l = Link::established();
    l.fin(C, 4, 0);
    assert_eq!(l.conn.state(S), State::Established);
    l.data(C, 0, 0, "GOOD");
    assert_eq!((l.conn.state(S), l.last.1.fin), (State::CloseWait, true));
    assert_eq!(l.left_out(C, 5, b"more"), Some(Anomaly::DataAfterFin));

    let mut l = Link::established();
    l.fin(C, 4, 0).data(C, 0, 0, "GOODEVIL");
    assert_eq!((l.conn.state(S), l.text(S).as_str()), (State::Established, "GOODEVIL"));
}

#[test]
fn octets_in_a_syn_count_when_they_are_acknowledged() {
    for (acked, rest, expected) in [(3, "def", "abcdef"), (2, "Cdef", "abCdef"), (0, "ABCdef", "ABCdef")] {
        let mut l = Link::new();
        assert!(l.send(C, -1, 0, Flags::SYN, b"abc").is_accept());
        assert_eq!(l.last.1.data.advanced, 0, "nothing is told before the server decides");
        assert!(l.send(S, -1, acked, Flags::SYN | Flags::ACK, b"").is_accept());
        assert_eq!(l.last.0.syn_data, Some(acked > 0));
        l.ack(C, acked, 0).data(C, acked, 0, rest);
        assert_eq!(l.text(S), expected);
    }
}

#[test]
fn handshake_segments_that_were_not_captured_are_inferred() {
    // No SYN/ACK: the client's ACK tells the server's ISN.
    let mut l = Link::new();
    l.syn().ack(C, 0, 0);
    assert_eq!(l.states(), (State::Established, State::Established));
    l.data(S, 0, 0, "hello");
    assert_eq!(l.text(C), "hello");

    // No final ACK: data completes the handshake, also out of order.
    let mut l = Link::new();
    l.syn().syn_ack().data(C, 4, 0, "DATA").data(C, 0, 0, "GOOD");
    assert_eq!((l.conn.state(S), l.text(S).as_str()), (State::Established, "GOODDATA"));

    // The SYN/ACK first, the SYN after it.
    let syn_ack = Segment::build(SISS, CISS.wrapping_add(1), Flags::SYN | Flags::ACK, b"");
    let mut l = Link::over(Conn::from_syn_ack(&syn_ack, Window::new(256)));
    l.syn_ack();
    assert_eq!(l.states(), (State::Established, State::SynReceived));
    l.syn().ack(C, 0, 0).data(C, 0, 0, "GET");
    assert_eq!((l.states(), l.text(S).as_str()), ((State::Established, State::Established), "GET"));
    assert!(!l.conn.stream(S).is_midstream() && !l.conn.stream(C).is_midstream());
}

#[test]
fn of_several_syns_the_answered_one_counts() {
    let mut l = Link::new();
    l.syn();
    assert_eq!(l.send(C, 999, 0, Flags::SYN, b""), Verdict::Refuse(Anomaly::SynInConnection));
    assert!(l.send(S, -1, 1000, Flags::SYN | Flags::ACK, b"").is_accept());
    assert!(l.send(C, 1000, 0, Flags::ACK, b"GOOD").is_accept());
    assert_eq!(l.text(S), "GOOD");

    let mut l = Link::new();
    l.syn();
    assert!(!l.send(C, -1001, 0, Flags::SYN, b"").is_accept());
    l.syn_ack().ack(C, 0, 0).data(C, 0, 0, "GOOD");
    assert_eq!(l.text(S), "GOOD");
}

#[test]
fn port_reuse_is_a_new_connection() {
    let mut l = Link::established();
    l.fin(C, 0, 0).fin(S, 0, 1).ack(C, 1, 1);
    assert!(l.conn.is_over());
    assert_eq!(l.send(C, 5000, 0, Flags::SYN, b""), Verdict::Restart);
    assert_eq!(l.send(C, -1, 0, Flags::SYN, b""), Verdict::Restart, "a listener takes any number");

    // A server in TIME-WAIT takes what is newer.
    let mut l = Link::established();
    l.fin(S, 0, 0).fin(C, 0, 1).ack(S, 1, 1);
    assert_eq!(l.states(), (State::Closed, State::TimeWait));
    assert_eq!(l.send(C, -1, 0, Flags::SYN, b""), Verdict::Refuse(Anomaly::SynInTimeWait));
    assert_eq!(l.send(C, 1, 0, Flags::SYN, b""), Verdict::Refuse(Anomaly::SynInTimeWait));
    assert_eq!(l.send(C, 2, 0, Flags::SYN, b""), Verdict::Restart);

    // The old connection's end was not captured; the server answers the new SYN.
    let mut l = Link::established();
    l.conn.set_strictness(Strictness::Lossy);
    assert_eq!(l.send(C, 5000, 0, Flags::SYN, b""), Verdict::Refuse(Anomaly::SynInConnection));
    assert_eq!(l.send(S, 7000, 5001, Flags::SYN | Flags::ACK, b""), Verdict::Restart);
}

#[test]
fn acknowledged_octets_that_were_never_seen_are_a_gap() {
    let mut l = Link::established();
    l.data(C, 0, 0, "before").data(C, 10, 0, "after");
    assert_eq!(l.conn.gap(S, Some(&l.frags[1])), None);
    l.ack(S, 0, 15);
    assert_eq!(l.conn.gap(S, Some(&l.frags[1])), Some(Range::new(6, 10)));
    l.fin(C, 20, 0).ack(S, 0, 21);
    assert_eq!(l.conn.state(S), State::CloseWait, "the server acknowledged the FIN");
    assert_eq!(l.skip(S), Some(Range::new(6, 10)));
    assert_eq!(l.text(S), "after");
    assert_eq!(l.skip(S), Some(Range::new(15, 20)));
    assert_eq!(l.skip(S), None);
    assert!(l.conn.is_finished(S));
}

#[test]
fn a_stream_picked_up_in_the_middle_begins_at_its_first_payload() {
    let mut l = Link::over(Conn::midstream(Window::new(256)));
    l.ack(S, 500, 77).data(C, 100, 500, "first").data(C, 90, 500, "older").data(C, 105, 500, " then");
    assert!(l.conn.stream(S).is_midstream());
    assert_eq!((l.text(S).as_str(), l.states()), ("first then", (State::Established, State::Established)));
}

#[test]
fn probes_and_repeats_are_told_apart() {
    let mut l = Link::established();
    l.data(C, 0, 0, "GOOD");
    let base = CISS.wrapping_add(1);
    let arriving = |l: &Link, seq: u32, flags, data: &'static [u8]| {
        let segment = Segment::build(base.wrapping_add(seq), SISS + 1, flags, data);
        l.conn.arriving(S, &segment, Some((&l.frags[1], &l.rings[1])))
    };
    for garbage in [&b"X"[..], b""] {
        let a = arriving(&l, 3, Flags::ACK, garbage);
        assert!(a.keep_alive && !a.retransmission && a.conflict.is_none());
        l.data(C, 3, 0, std::str::from_utf8(garbage).unwrap());
    }
    let same = arriving(&l, 0, Flags::ACK, b"GOOD");
    assert!(same.retransmission && same.conflict.is_none());
    let evil = arriving(&l, 0, Flags::ACK, b"GOoDMORE");
    assert_eq!((evil.retransmission, evil.conflict.map(|c| c.range)), (true, Some(Range::new(2, 3))));
    l.data(C, 0, 0, "EVILMORE");
    assert_eq!(l.text(S), "GOODMORE");
    l.fin(C, 8, 0);
    assert!(arriving(&l, 8, Flags::ACK | Flags::FIN, b"").retransmission);
}

#[test]
fn stacks_differ_where_they_are_said_to() {
    use Strictness::{Linux, LinuxBefore68, Lossy, Rfc9293};
    let with_sack = Options { sack_permitted: true, ..Options::default() };
    let early = |l: &mut Link| {
        let _ = l.data(C, 10, 0, "early");
    };
    // A RST at the right edge of what came early, with SACK; one just below RCV.NXT after a FIN; an ACK from before the
    // first one; payload of a SYN/ACK; a SYN below the last number in TIME-WAIT; a timestamp one tick back.
    for (strictness, expected) in [
        (Linux, [true, true, false, false, false, true]),
        (LinuxBefore68, [true, true, true, false, false, true]),
        (Rfc9293, [false, false, true, true, true, false]),
        (Lossy, [true, true, true, false, false, true]),
    ] {
        let strict = |mut l: Link| {
            l.conn.set_strictness(strictness);
            l
        };
        let mut l = strict(Link::new());
        assert!(l.play(C, &with(with_sack, C, -1, 0, Flags::SYN, b"")).is_accept());
        assert!(l.play(S, &with(with_sack, S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
        l.ack(C, 0, 0);
        early(&mut l);
        let at_edge = l.send(C, 15, 0, Flags::RST, b"").is_accept();

        let mut l = strict(Link::established());
        l.fin(C, 0, 0).ack(S, 0, 1);
        let below_fin = l.send(C, 0, 0, Flags::RST, b"").is_accept();

        let old_ack = strict(Link::established()).send(C, 0, -1, Flags::ACK, b"data").is_accept();

        let mut l = strict(Link::new());
        l.syn();
        assert!(l.send(S, -1, 0, Flags::SYN | Flags::ACK, b"hello").is_accept());
        let syn_ack_data = l.text(C) == "hello";

        let mut l = strict(Link::established());
        l.fin(S, 0, 0).fin(C, 0, 1).ack(S, 1, 1);
        let old_syn = l.send(C, -1000, 0, Flags::SYN, b"") == Verdict::Restart;

        let mut l = strict(Link::new());
        assert!(l.play(C, &with(ts(5000, 0), C, -1, 0, Flags::SYN, b"")).is_accept());
        assert!(l.play(S, &with(ts(9000, 5000), S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
        assert!(l.play(C, &with(ts(5001, 9000), C, 0, 0, Flags::ACK, b"")).is_accept());
        assert!(l.play(S, &with(ts(9001, 5001), S, 0, 0, Flags::ACK, b"")).is_accept());
        let one_tick_back = l.play(C, &with(ts(5000, 9000), C, 0, 0, Flags::ACK, b"data")).is_accept();

        let got = [at_edge, below_fin, old_ack, syn_ack_data, old_syn, one_tick_back];
        assert_eq!(got, expected, "{strictness:?}");
    }
}
