//! What a malicious end, or somebody between the ends, tries to make a monitor believe what no host believes: to blind
//! it, or to put octets of his own into the stream. Each test is one trick, and what a host does with it.

mod support;

use ringbuf_core::Offset;
use ringbuf_core::store::Flat;
use ringbuf_core::window::Window;
use support::*;
use tcp_reasm::options::{Options, Signature};
use tcp_reasm::{Anomaly, Conn, Flags, Segment, State, Strictness, UrgentPolicy, Verdict};

const INEXACT: Verdict = Verdict::Refuse(Anomaly::RstInexact);

/// Both SYNs carried timestamps.
fn established_with_timestamps() -> Link {
    let mut l = Link::new();
    assert!(l.play(C, &with(ts(5000, 0), C, -1, 0, Flags::SYN, b"")).is_accept());
    assert!(l.play(S, &with(ts(9000, 5000), S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
    assert!(l.play(C, &with(ts(5001, 9000), C, 0, 0, Flags::ACK, b"")).is_accept());
    l
}

/// Both SYNs permitted selective acknowledgements, or not.
fn established_with_sack(sack_permitted: bool) -> Link {
    let o = Options { sack_permitted, ..Options::default() };
    let mut l = Link::new();
    assert!(l.play(C, &with(o, C, -1, 0, Flags::SYN, b"")).is_accept());
    assert!(l.play(S, &with(o, S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
    l.ack(C, 0, 0);
    l
}

#[test]
fn a_reset_at_the_edge_of_what_came_early_counts_only_with_sack() {
    let mut l = established_with_sack(false);
    l.data(C, 10, 0, "ahead");
    assert_eq!(l.send(C, 15, 0, Flags::RST, b""), INEXACT);
    let mut l = established_with_sack(true);
    l.data(C, 10, 0, "ahead");
    assert_eq!(l.send(C, 14, 0, Flags::RST, b""), INEXACT);
    assert!(l.send(C, 15, 0, Flags::RST, b"").is_accept());
}

#[test]
fn a_fin_moves_the_place_of_a_reset_only_when_it_was_taken() {
    let mut l = Link::established();
    l.fin(C, 100, 0); // waits behind a hole
    assert_eq!(l.send(C, 1, 0, Flags::RST, b""), INEXACT);
    for acknowledged in [false, true] {
        let mut l = Link::established();
        l.fin(C, 0, 0);
        if acknowledged {
            l.ack(S, 0, 1);
        }
        assert_eq!(l.send(C, 2, 0, Flags::RST, b""), INEXACT);
        assert_eq!(l.send(C, -1, 0, Flags::RST, b""), INEXACT);
        let mut at_fin = Link::established();
        at_fin.fin(C, 0, 0);
        assert!(at_fin.send(C, 0, 0, Flags::RST, b"").is_accept(), "Linux takes one at the FIN, too");
        assert!(l.send(C, 1, 0, Flags::RST, b"").is_accept());
    }
}

#[test]
fn an_old_segment_changes_neither_clock_nor_state() {
    let mut l = established_with_timestamps();
    assert!(l.play(C, &with(ts(5002, 9000), C, 0, 0, Flags::ACK, b"hello")).is_accept());
    assert!(l.play(S, &with(ts(9001, 5002), S, 0, 5, Flags::ACK, b"")).is_accept());
    let poison = with(ts(5002 + (1 << 30), 9001), C, 0, 0, Flags::ACK, b"h");
    assert_eq!(l.play(C, &poison), Verdict::Refuse(Anomaly::OldSegment));
    assert!(l.play(C, &with(ts(5003, 9001), C, 5, 0, Flags::ACK, b"GOOD")).is_accept());
    assert_eq!(l.text(S), "helloGOOD");

    let mut l = Link::established();
    l.data(C, 0, 0, "hello").ack(S, 0, 5);
    assert_eq!(l.send(C, 1, 0, Flags::FIN | Flags::ACK, b""), Verdict::Refuse(Anomaly::OldSegment));
    assert_eq!(l.states(), (State::Established, State::Established));
}

#[test]
fn timestamps_count_from_the_handshake_on() {
    let mut l = Link::new();
    assert!(l.play(C, &with(ts(5000, 0), C, -1, 0, Flags::SYN, b"")).is_accept());
    assert!(l.play(S, &with(ts(9000, 5000), S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
    let evil = with(ts(4000, 9000), C, 0, 0, Flags::ACK, b"EVIL");
    assert_eq!(l.play(C, &evil), Verdict::Refuse(Anomaly::Paws));
    assert!(l.play(C, &with(ts(5001, 9000), C, 0, 0, Flags::ACK, b"GOOD")).is_accept());
    assert_eq!(l.text(S), "GOOD");
}

#[test]
fn a_timestamp_may_lag_by_one_tick_and_no_more() {
    for (value, taken) in [(5001, true), (5000, true), (4999, false)] {
        let mut l = established_with_timestamps();
        let verdict = l.play(C, &with(ts(value, 9000), C, 0, 0, Flags::ACK, b"data"));
        assert_eq!(verdict.is_accept(), taken, "{value}: the last one was 5001");
    }
    // RFC 7323, 4.3: a segment beyond what was acknowledged does not set the clock.
    let mut l = established_with_timestamps();
    l.ack(S, 0, 0);
    assert!(l.play(C, &with(ts(6000, 9000), C, 10, 0, Flags::ACK, b"early")).is_accept());
    assert!(l.play(C, &with(ts(5002, 9000), C, 0, 0, Flags::ACK, b"0123456789")).is_accept());
    assert_eq!(l.text(S), "0123456789early");
}

#[test]
fn a_syn_again_is_answered_and_no_more() {
    let mut l = established_with_timestamps();
    let again = with(Options::default(), C, -1, 0, Flags::SYN | Flags::ACK, b"EVIL");
    assert_eq!(l.play(C, &again), Verdict::Refuse(Anomaly::OldSegment));
    let old = with(ts(4000, 9000), C, 0, 0, Flags::ACK, b"EVIL");
    assert_eq!(
        l.play(C, &old),
        Verdict::Refuse(Anomaly::Paws),
        "the copy without options switched nothing off"
    );
    assert!(l.play(C, &with(ts(5002, 9000), C, 0, 0, Flags::ACK, b"GOOD")).is_accept());
    assert_eq!(l.text(S), "GOOD");
}

#[test]
fn a_reset_handshake_leaves_nothing_to_the_next_one() {
    let mut l = Link::new();
    assert!(l.send(C, -10_001, 0, Flags::SYN, b"").is_accept());
    assert!(l.send(C, -10_000, 0, Flags::RST, b"").is_accept());
    assert_eq!(l.states(), (State::SynSent, State::Listen));
    l.syn().syn_ack().ack(C, 0, 0).data(C, 0, 0, "GOOD");
    assert_eq!((l.text(S).as_str(), l.conn.stream(S).position(ringbuf_core::SeqNum(CISS))), ("GOOD", -1));
}

#[test]
fn an_ack_before_the_syn_ack_is_a_guess_that_the_syn_ack_corrects() {
    let mut l = Link::new();
    l.syn();
    assert!(l.send(C, 0, 123_456_789, Flags::ACK, b"EVIL").is_accept());
    assert!(l.send(S, -1, 0, Flags::SYN | Flags::ACK, b"").is_accept());
    assert_eq!(l.states(), (State::Established, State::SynReceived));
    assert!(l.send(C, 0, 0, Flags::ACK, b"GOOD").is_accept());
    assert!(l.send(S, 0, 4, Flags::ACK, b"REPLY").is_accept());
    assert_eq!((l.text(S).as_str(), l.text(C).as_str()), ("GOOD", "REPLY"));
    // The capture may just have the two in the wrong order: then everything stays.
    let mut l = Link::new();
    l.syn().ack(C, 0, 0).data(C, 0, 0, "GET ").syn_ack().data(C, 4, 0, "/");
    assert_eq!(l.text(S), "GET /");
}

#[test]
fn acknowledgements_in_the_handshake_must_be_exact() {
    for (ack, anomaly) in [(-1, Anomaly::AckTooOld), (1, Anomaly::AckUnsent)] {
        let mut l = Link::new();
        l.syn().syn_ack();
        assert_eq!(l.send(C, 0, ack, Flags::ACK, b"EVIL"), Verdict::Refuse(anomaly));
        assert_eq!(l.conn.state(S), State::SynReceived);
    }
}

#[test]
fn a_refused_syn_is_forgotten_once_the_server_goes_on() {
    let forged = |l: &mut Link| l.send(S, 777_777, 5001, Flags::SYN | Flags::ACK, b"");
    let lossy = || {
        let mut l = Link::established();
        l.conn.set_strictness(Strictness::Lossy);
        l
    };
    let mut l = lossy();
    assert!(!l.send(C, 5000, 0, Flags::SYN, b"").is_accept());
    assert_eq!(forged(&mut l), Verdict::Restart, "the server answers at once: it had forgotten");
    let mut l = Link::established();
    assert!(!l.send(C, 5000, 0, Flags::SYN, b"").is_accept());
    assert_ne!(forged(&mut l), Verdict::Restart, "a server in view forgets nothing");
    let mut l = lossy();
    assert!(!l.send(C, 5000, 0, Flags::SYN, b"").is_accept());
    l.data(C, 0, 0, "one").data(S, 0, 3, "and on");
    assert_ne!(forged(&mut l), Verdict::Restart);
}

#[test]
fn octets_of_a_syn_give_way_when_they_come_again_although_the_syn_ack_was_not_captured() {
    let mut l = Link::new();
    assert!(l.send(C, -1, 0, Flags::SYN, b"EVIL").is_accept());
    l.ack(C, 0, 0).data(C, 0, 0, "GOOD");
    assert_eq!(l.text(S), "GOOD");
    let mut l = Link::new();
    assert!(l.send(C, -1, 0, Flags::SYN, b"GOOD").is_accept());
    l.ack(C, 4, 0).data(C, 4, 0, "MORE");
    assert_eq!(l.text(S), "GOODMORE");
}

#[test]
fn an_urgent_octet_of_a_syn_that_is_not_acknowledged_leaves_no_trace() {
    for policy in [UrgentPolicy::Inline, UrgentPolicy::OutOfBand] {
        let mut l = Link::new();
        l.conn.set_urgent_policy(S, policy);
        let syn = with(Options::default(), C, -1, 0, Flags::SYN | Flags::URG, b"EVIL");
        assert!(l.play(C, &Segment { urgent: 2, ..syn }).is_accept());
        l.syn_ack().data(C, 0, 0, "GOOD");
        assert_eq!((l.text(S).as_str(), l.conn.stream(S).next()), ("GOOD", Offset(4)), "{policy:?}");
    }
}

#[test]
fn a_reset_is_held_against_what_little_is_known_of_a_connection() {
    let mut l = Link::over(Conn::midstream(Window::new(256)));
    l.conn.set_strictness(Strictness::Lossy);
    l.ack(C, 500, 0); // no payload yet, but a place
    assert_eq!(l.send(C, 7777, 0, Flags::RST, b""), INEXACT);
    assert!(l.send(C, 500, 0, Flags::RST, b"").is_accept());
    assert!(l.conn.was_reset());
}

#[test]
fn what_is_sent_at_a_handshake_with_an_old_acknowledgement_was_not_sent() {
    let mut l = Link::new();
    l.syn().syn_ack();
    assert_eq!(l.send(C, 40, -5, Flags::ACK, b"EVIL"), Verdict::Refuse(Anomaly::AckTooOld));
    l.ack(C, 0, 0).data(C, 0, 0, "GOOD");
    assert_eq!(l.send(S, 0, 44, Flags::ACK, b""), Verdict::Refuse(Anomaly::AckUnsent));
}

/// A SYN that nobody sent, and its answer.
fn forged_handshake(l: &mut Link) -> Verdict {
    assert!(!l.send(C, 777_777, 0, Flags::SYN, b"").is_accept());
    l.send(S, 888_888, 777_778, Flags::SYN | Flags::ACK, b"")
}

#[test]
fn a_forged_handshake_ends_no_connection_that_is_alive() {
    let mut l = Link::established();
    l.fin(C, 0, 0).ack(S, 0, 1);
    assert_eq!(l.states(), (State::FinWait2, State::CloseWait));
    assert!(!forged_handshake(&mut l).is_accept());
    l.data(S, 0, 1, "GOOD");
    assert_eq!(l.text(C), "GOOD");
    let mut l = Link::new();
    l.syn().syn_ack();
    assert_eq!(forged_handshake(&mut l), Verdict::Refuse(Anomaly::SynAckUnexpected));
    l.ack(C, 0, 0).data(C, 0, 0, "GOOD");
    assert_eq!(l.text(S), "GOOD");
}

#[test]
fn the_true_answer_counts_although_a_forged_one_answers_a_forged_syn_before() {
    let mut l = Link::new();
    l.syn();
    assert!(forged_handshake(&mut l).is_accept(), "which SYN is forged cannot be told");
    assert_eq!(l.send(S, -1, 0, Flags::SYN | Flags::ACK, b""), Verdict::Restart);
}

#[test]
fn a_guessed_handshake_is_certain_once_the_server_is_heard() {
    let mut l = Link::new();
    l.syn().ack(C, 0, 0).data(C, 0, 0, "GET").data(S, 0, 3, "answer");
    assert!(!l.send(S, 888_888, 3, Flags::SYN | Flags::ACK, b"").is_accept());
    l.data(C, 3, 6, " on");
    assert_eq!((l.text(S).as_str(), l.text(C).as_str()), ("GET on", "answer"));
}

#[test]
fn a_refused_segment_moves_no_place_of_a_reset() {
    let mut l = Link::new();
    let sack = Options { sack_permitted: true, ..Options::default() };
    assert!(l.play(C, &with(sack, C, -1, 0, Flags::SYN, b"")).is_accept());
    assert!(l.play(S, &with(sack, S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
    l.ack(C, 0, 0).data(C, 0, 0, "aaaa").ack(S, 0, 4).data(C, 10, 0, "bbbb");
    assert_eq!(l.send(C, 20_000, -1_000_000, Flags::ACK, b"x"), Verdict::Refuse(Anomaly::AckTooOld));
    assert_eq!(l.send(C, 20_001, 0, Flags::RST, b""), INEXACT);
}

#[test]
fn an_octet_that_was_acknowledged_before_it_came_is_no_keep_alive() {
    let mut l = Link::established();
    l.conn.set_strictness(Strictness::Lossy);
    l.ack(S, 0, 1).data(C, 0, 0, "a").data(C, 1, 0, "b");
    assert_eq!(l.text(S), "ab");
}

#[test]
fn a_stream_picked_up_in_the_middle_begins_where_its_receiver_says() {
    let mut l = Link::over(Conn::midstream(Window::new(256)));
    l.data(S, 0, 500, "download").data(S, 8, 500, "more");
    assert_eq!(l.send(C, 2_000_000_000, 0, Flags::ACK, b"EVIL"), Verdict::Refuse(Anomaly::OutOfWindow));
    assert_eq!(l.send(C, 2_000_000_000, 0, Flags::RST, b""), INEXACT);
    l.data(C, 500, 12, "GOOD");
    assert_eq!(l.text(S), "GOOD");
}

#[test]
fn options_that_no_parser_makes_are_cut_to_what_can_be() {
    let mut l = Link::new();
    let wide = Options { window_scale: Some(u8::MAX), ..Options::default() };
    assert!(l.play(C, &with(wide, C, -1, 0, Flags::SYN, b"")).is_accept());
    assert!(l.play(S, &with(wide, S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
    l.ack(C, 0, 0);
    assert_eq!(l.states(), (State::Established, State::Established));
}

#[test]
fn the_right_edge_of_the_window_is_exact() {
    let wide = || {
        let mut l = Link::over(Conn::new(Window::new(1 << 20)));
        l.rings = [Flat::new(vec![0; 1 << 20]), Flat::new(vec![0; 1 << 20])];
        l.syn().syn_ack().ack(C, 0, 0).ack(S, 0, 0); // windows of 65,535 without scale
        l
    };
    assert_eq!(wide().left_out(C, 65_534, b"x"), None);
    assert_eq!(wide().left_out(C, 65_535, b"x"), Some(Anomaly::OutOfWindow));
    assert_eq!(wide().send(C, 65_536, 0, Flags::ACK, b"x"), Verdict::Refuse(Anomaly::OutOfWindow));
    assert!(wide().send(C, 65_535, 0, Flags::ACK, b"").is_accept(), "no octet lies beyond");
    // A capture that may lack the ACK which moved the edge gives a window more.
    for (at, taken) in [(131_069, true), (131_070, false)] {
        let mut l = wide();
        l.conn.set_strictness(Strictness::Lossy);
        assert_eq!(l.left_out(C, at, b"x").is_none(), taken, "{at}");
    }
}

#[test]
fn windows_are_scaled_when_both_syns_say_so() {
    let scale = |shift: Option<u8>| Options { window_scale: shift, ..Options::default() };
    for (client, server, edge) in
        [(7, Some(3), 65_535_u64 << 3), (7, None, 65_535), (0, Some(14), 65_535 << 14)]
    {
        let mut l = Link::new();
        assert!(l.play(C, &with(scale(Some(client)), C, -1, 0, Flags::SYN, b"")).is_accept());
        let syn_ack = with(scale(server), S, -1, 0, Flags::SYN | Flags::ACK, b"");
        assert!(l.play(S, &syn_ack).is_accept());
        assert_eq!(l.conn.stream(S).edge().map(|e| e.0), Some(65_535), "a SYN's window is never scaled");
        l.ack(C, 0, 0).ack(S, 0, 0);
        assert_eq!(l.conn.stream(S).edge().map(|e| e.0), Some(edge), "{client} {server:?}");
    }
    // Of several SYNs the offers are those of the answered one.
    let mut l = Link::new();
    l.syn();
    assert!(!l.play(C, &with(scale(Some(7)), C, 999, 0, Flags::SYN, b"")).is_accept());
    assert!(l.play(S, &with(scale(Some(7)), S, -1, 1000, Flags::SYN | Flags::ACK, b"")).is_accept());
    assert!(l.send(C, 1000, 0, Flags::ACK, b"").is_accept());
    assert_eq!(l.conn.stream(C).edge().map(|e| e.0), Some(65_535 << 7));
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_carries_nothing_in() {
    for ahead in [1, 1000, 60_000] {
        let mut l = Link::established();
        l.data(C, 0, 0, "GOOD").ack(S, 0, 4);
        assert_eq!(l.send(C, 4, ahead, Flags::ACK, b"EVIL"), Verdict::Refuse(Anomaly::AckUnsent));
        assert_eq!(l.send(S, 0, 4 + ahead, Flags::ACK, b""), Verdict::Refuse(Anomaly::AckUnsent));
        assert_eq!(l.conn.gap(S, Some(&l.frags[1])), None, "nor makes a hole to skip");
        l.conn.set_strictness(Strictness::Lossy);
        assert!(l.send(C, 4, ahead, Flags::ACK, b"MORE").is_accept(), "the capture may lack what was sent");
    }
}

#[test]
fn hosts_with_a_key_take_signed_segments_and_no_others() {
    let signed = Options { signature: Some(Signature::Md5), ..Options::default() };
    let mut l = Link::new();
    assert!(l.play(C, &with(signed, C, -1, 0, Flags::SYN, b"")).is_accept());
    assert!(l.play(S, &with(signed, S, -1, 0, Flags::SYN | Flags::ACK, b"")).is_accept());
    assert!(l.play(C, &with(signed, C, 0, 0, Flags::ACK, b"GOOD")).is_accept());
    assert_eq!(l.send(C, 4, 0, Flags::RST, b""), Verdict::Refuse(Anomaly::Unsigned));
    assert_eq!((l.text(S).as_str(), l.states()), ("GOOD", (State::Established, State::Established)));
    // One that only one side signs is not for the other.
    let mut l = Link::established();
    let evil = with(signed, C, 0, 0, Flags::ACK, b"EVIL");
    assert_eq!(l.play(C, &evil), Verdict::Refuse(Anomaly::Signed));
}

#[test]
fn nothing_follows_a_fin_not_even_one_octet() {
    let mut l = Link::established();
    l.data(C, 0, 0, "ab").fin(C, 2, 0);
    assert_eq!(l.left_out(C, 2, b"x"), Some(Anomaly::DataAfterFin));
    assert_eq!(l.left_out(C, 1, b"b"), None);
    assert_eq!((l.text(S).as_str(), l.conn.state(S)), ("ab", State::CloseWait));
    assert_eq!(l.left_out(C, 1, b"bxy"), Some(Anomaly::DataAfterFin));
    assert_eq!((l.text(S).as_str(), l.conn.state(S)), ("ab", State::Closed), "Linux resets");
}

#[test]
fn skipped_gaps_do_not_crowd_out_what_comes_next() {
    // As many gaps as the list has places, and more.
    let mut l = Link::established();
    for i in 0..12 {
        l.data(C, i * 10 + 5, 0, "abcde").ack(S, 0, i * 10 + 10);
        assert!(l.skip(S).is_some());
    }
    for at in [122, 124, 126] {
        l.data(C, at, 0, "x");
        assert_eq!(l.last.1.data.refusal, None, "what waits is worth more than what was passed");
    }
}
