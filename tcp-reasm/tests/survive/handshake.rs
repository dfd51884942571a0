//! Handshakes, and what is meant to be taken for one.

use crate::talk::*;
use tcp_reasm::{Anomaly, State, Strictness, Verdict};

pub(crate) fn case_01_data_right_behind_the_syn_ack(isns: Isns) {
    let mut t = Talk::syn_ack(isns);
    t.takes_somehow(s("PA", 0, 0).data("GOOD"));
    assert_eq!(t.states().0, State::Established);
    t.ends(C, "GOOD", Fate::Open);
    t.takes(c("A", 0, 0)).takes(c("A", 0, 4));
    assert!(t.is_established());
    t.takes(s("PA", 4, 0).data("MORE")).takes(c("PA", 0, 8).data("ASK"));
    t.ends(C, "GOODMORE", Fate::Open);
    t.ends(S, "ASK", Fate::Open);

    // All that the server has to say, and its end.
    let mut t = Talk::syn_ack(isns);
    t.takes_somehow(s("FPA", 0, 0).data("GOOD"));
    t.ends(C, "GOOD", Fate::Eof);
    assert_eq!(t.states().0, State::CloseWait);
}

pub(crate) fn case_02_answers_to_a_syn_with_a_bad_timestamp_echo(isns: Isns) {
    let syn = |isns| {
        let mut t = Talk::new(isns);
        t.takes(c("S", -1, 0).options(&ts(1000, 0)));
        t
    };
    let rest = |mut t: Talk| {
        assert_eq!(t.states().0, State::SynSent);
        t.takes(s("SA", -1, 0).options(&ts(1, 1000))).takes(c("A", 0, 0).options(&ts(1001, 1)));
        assert!(t.is_established());
        t.takes(s("PA", 0, 0).data("GOOD").options(&ts(2, 1000)));
        t.ends(C, "GOOD", Fate::Open);
    };
    let mut t = syn(isns);
    t.refuses(s("RA", -1, 0).options(&ts(1, 12345)), Anomaly::TimestampEcho);
    rest(t);
    let mut t = syn(isns);
    t.refuses(s("FA", -1, 0).options(&ts(1, 12345)), Anomaly::TimestampEcho);
    let _ = t.play(c("R", 0, 0)); // the client's answer, from what was acknowledged on
    rest(t);

    // Resets of other kinds that a client in SYN-SENT does not take.
    for (rst, anomaly) in [(s("RA", -1, 5), Anomaly::AckUnsent), (s("R", -1, 0), Anomaly::NoAck)] {
        let mut t = Talk::syn(isns);
        t.refuses(rst, anomaly);
        t.takes(s("SA", -1, 0)).takes(c("A", 0, 0)).takes(s("PA", 0, 0).data("GOOD"));
        t.ends(C, "GOOD", Fate::Open);
    }
    // One that it takes.
    let mut t = Talk::syn(isns);
    t.takes(s("RA", -1, 0));
    assert_eq!(t.states(), (State::Closed, State::Closed));
    t.refuses(s("SA", -1, 0), Anomaly::AfterReset);
    assert_eq!(t.fate(C), Fate::Reset);
}

pub(crate) fn case_03_a_fin_without_the_ack_flag(isns: Isns) {
    let raw_ack = Some(isns.server.wrapping_add(1));
    let mut t = Talk::open(isns);
    t.refuses(Tcp { raw_ack, ..c("F", 0, 0) }, Anomaly::NoAck).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert!(t.is_established());
    t.refuses(Tcp { raw_ack, ..c("FP", 4, 0).data("EVIL") }, Anomaly::NoAck);
    t.takes(c("PA", 4, 0).data("MORE")).takes(c("FA", 8, 0));
    t.ends(S, "GOODMORE", Fate::Eof);
}

pub(crate) fn case_04_a_syn_with_an_acknowledgement_field(isns: Isns) {
    for ack in [0xdead_beef, 1, isns.server.wrapping_add(1)] {
        let mut t = Talk::new(isns);
        let odd: &[Anomaly] = if ack == 0 { &[] } else { &[Anomaly::AckUnflagged] };
        t.takes_odd(Tcp { raw_ack: Some(ack), ..c("S", -1, 0).options(&MSS) }, odd);
        assert!(t.monitor.last.0.started && t.monitor.last.1.started);
        assert_eq!(t.states(), (State::SynSent, State::SynReceived));
        t.takes(s("SA", -1, 0)).takes(c("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
        t.ends(S, "GOOD", Fate::Open);
    }
}

pub(crate) fn case_05_syn_and_fin_at_once(isns: Isns) {
    let mut t = Talk::new(isns);
    t.refuses(c("SF", -1, 0).options(&MSS), Anomaly::SynInvalid);
    assert_eq!(t.states(), (State::Closed, State::Listen));
    t.refuses(c("A", 0, 0), Anomaly::HandshakeExpected);
    t.refuses(c("PA", 0, 0).data("EVIL"), Anomaly::HandshakeExpected);
    t.ends(S, "", Fate::Open);
    // A SYN with another number is the beginning.
    t.takes(c("S", 49_999, 0)).takes(s("SA", -1, 50_000)).takes(c("A", 50_000, 0));
    assert!(t.is_established());
    t.takes(c("PA", 50_000, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);

    // Nor does it restart or close a connection, in any state.
    for from in [Talk::syn, Talk::syn_ack] {
        let mut t = from(isns);
        t.refuses(c("SF", -1, 0), Anomaly::SynInvalid);
        let _ = t.play(s("SA", -1, 0)); // the server's answer
        t.takes(c("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
        t.ends(S, "GOOD", Fate::Open);
    }
    let refusals = [Anomaly::SynInvalid, Anomaly::SynInConnection, Anomaly::OldSegment];
    for seq in [-1, 0, 10, 49_999] {
        let mut t = Talk::open(isns);
        t.refuses_for(c("SF", seq, 0), &refusals).takes(c("PA", 0, 0).data("GOOD"));
        t.ends(S, "GOOD", Fate::Open);
    }
    // Behind the end no host answers it with a SYN/ACK, though Linux lets go of a TIME-WAIT for one that is newer.
    for seq in [-1, 1, 49_999] {
        let mut t = Talk::open(isns);
        t.takes(c("FA", 0, 0)).takes(s("FA", 0, 1)).takes(c("A", 1, 1));
        for syn_fin in [c("SF", seq, 0), s("SF", seq, 0)] {
            assert!(matches!(t.play(syn_fin), Some(Verdict::Refuse(_))));
            assert!(t.monitor.conn.is_over());
        }
        let mut t = Talk::open(isns);
        t.takes(c("R", 0, 0)).refuses_for(c("SF", seq, 0), &[Anomaly::SynInvalid, Anomaly::AfterReset]);
        assert_eq!(t.monitor.connections, 1);
    }
}

pub(crate) fn case_06_signed_segments_for_a_host_without_a_key(isns: Isns) {
    for evil in [c("R", 0, 0), c("RA", 0, 0), c("FA", 0, 0), c("PA", 0, 0).data("EVIL"), c("A", 0, 0)] {
        let mut t = Talk::open(isns);
        t.refuses(evil.options(&MD5), Anomaly::Signed).takes(c("PA", 0, 0).data("GOOD"));
        t.ends(S, "GOOD", Fate::Open);
    }
    let mut t = Talk::syn(isns);
    t.refuses(s("RA", -1, 0).options(&MD5), Anomaly::Signed);
    t.takes(s("SA", -1, 0)).takes(c("A", 0, 0)).takes(s("PA", 0, 0).data("GOOD"));
    t.ends(C, "GOOD", Fate::Open);
}

pub(crate) fn case_07_several_syns(isns: Isns) {
    // The second lies in the window of the first: the server resets, and has no connection any more.
    for answers_seen in [true, false] {
        let mut t = Talk::syn_ack(isns);
        assert!(!t.play(c("S", 999, 0).options(&MSS)).unwrap().is_accept());
        if answers_seen {
            let _ = t.play(Tcp { raw_seq: Some(0), ..s("RA", 0, 1000) });
        }
        assert!(!t.play(c("A", 0, 0)).unwrap().is_accept());
        if answers_seen {
            let _ = t.play(s("R", 0, 0));
        }
        assert!(!t.play(c("PA", 0, 0).data("GOOD")).unwrap().is_accept());
        assert!(!t.states().1.is_synchronized());
        assert_eq!(t.monitor.text(S), "");
    }
    // It lies below: the server acknowledges the first again, which goes on.
    let mut t = Talk::syn_ack(isns);
    t.refuses(c("S", -1001, 0).options(&MSS), Anomaly::SynInConnection);
    t.takes_odd(s("A", 0, 0), &[Anomaly::BeforeEstablished]);
    t.takes(c("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert!(t.is_established());

    // Before any answer it can be either: the answered one is the connection.
    for (other, answered) in [(1000, 0), (1000, 1000), (-1000, 0), (-1000, -1000), (100_000_000, 100_000_000)]
    {
        let mut t = Talk::syn(isns);
        assert!(!t.play(c("S", other - 1, 0)).unwrap().is_accept());
        let odd = [Anomaly::SynOther];
        t.takes_odd(s("SA", -1, answered), if answered == 0 { &[] } else { &odd });
        t.takes(c("A", answered, 0)).takes(c("PA", answered, 0).data("GOOD"));
        assert!(t.is_established(), "{other} {answered}");
        t.takes(s("PA", 0, answered + 4).data("REPLY"));
        t.ends(S, "GOOD", Fate::Open);
        t.ends(C, "REPLY", Fate::Open);
    }
}

pub(crate) fn case_08_several_syn_acks(isns: Isns) {
    let mut t = Talk::open(isns);
    t.refuses(s("SA", 999, 0).options(&MSS), Anomaly::SynAckUnexpected).takes(c("A", 0, 0));
    t.takes(s("PA", 0, 0).data("ONE1")).takes(c("A", 0, 4)).takes(s("PA", 1000, 0).data("TWO2"));
    t.takes(c("A", 0, 4));
    t.ends(C, "ONE1", Fate::Open);
    assert!(t.is_established());
    // The second before the client's ACK was seen.
    let mut t = Talk::syn_ack(isns);
    t.refuses(s("SA", 999, 0).options(&MSS), Anomaly::SynAckUnexpected);
    t.takes(c("A", 0, 0)).takes(s("PA", 0, 0).data("ONE1"));
    t.ends(C, "ONE1", Fate::Open);
}

pub(crate) fn case_08_the_syn_ack_that_the_client_acknowledges(isns: Isns) {
    let mut t = Talk::syn_ack(isns);
    let _ = t.play(s("SA", 999, 0).options(&MSS));
    let _ = t.play(c("A", 0, 1000));
    let _ = t.play(s("PA", 1000, 0).data("TWO2"));
    let _ = t.play(c("PA", 0, 1004).data("ASK"));
    t.ends(C, "TWO2", Fate::Open);
    t.ends(S, "ASK", Fate::Open);
    assert!(t.is_established());
}

pub(crate) fn case_09_a_syn_again_with_a_newer_timestamp(isns: Isns) {
    let syns = |values: &[u32]| {
        let mut t = Talk::new(isns);
        for value in values {
            t.takes(c("S", -1, 0).options(&ts(*value, 0)));
        }
        t
    };
    let values: [&[u32]; 3] = [&[1000, 2000, 4000], &[1000, 64_000, 128_000], &[u32::MAX - 500, 500, 2500]];
    for values in values {
        for echo in values {
            let mut t = syns(values);
            t.takes(s("SA", -1, 0).options(&ts(7, *echo))).takes(c("A", 0, 0).options(&ts(200_000, 7)));
            assert!(t.is_established(), "{values:?} {echo}");
            t.takes(c("PA", 0, 0).data("GOOD").options(&ts(200_001, 7)));
            t.ends(S, "GOOD", Fate::Open);
        }
    }
    for echo in [999, 4001, 900] {
        let mut t = syns(&[1000, 2000, 4000]);
        t.refuses(s("SA", -1, 0).options(&ts(7, echo)), Anomaly::TimestampEcho);
        t.takes(s("SA", -1, 0).options(&ts(7, 2000)));
    }
}

pub(crate) fn case_10_split_handshakes_and_simultaneous_open(isns: Isns) {
    let four = |t: &mut Talk| {
        t.takes_odd(s("S", -1, 0).options(&MSS), &[Anomaly::SynCrossed]).takes(c("SA", -1, 0).options(&MSS));
        t.takes(s("A", 0, 0));
    };
    let five = |t: &mut Talk| {
        t.refuses(s("A", -1, 0), Anomaly::HandshakeExpected);
        four(t);
    };
    let simultaneous = |t: &mut Talk| {
        t.takes_odd(s("S", -1, 0).options(&MSS), &[Anomaly::SynCrossed]).takes(c("SA", -1, 0).options(&MSS));
        t.takes(s("SA", -1, 0).options(&MSS)).takes(c("A", 0, 0));
    };
    let ways: [&dyn Fn(&mut Talk); 3] = [&four, &five, &simultaneous];
    for way in ways {
        let mut t = Talk::syn(isns);
        way(&mut t);
        assert!(t.is_established());
        t.takes(s("PA", 0, 0).data("GOOD")).takes(c("PA", 0, 4).data("ASK"));
        t.ends(C, "GOOD", Fate::Open); // the client is who sent the first SYN
        t.ends(S, "ASK", Fate::Open);
        t.takes(s("FA", 4, 3)).takes(c("FA", 3, 5)).takes(s("A", 5, 4));
        t.ends(C, "GOOD", Fate::Eof);
        t.ends(S, "ASK", Fate::Eof);
        assert_eq!(t.states(), (State::Closed, State::TimeWait));
    }
}

pub(crate) fn case_11_a_syn_ack_from_the_client(isns: Isns) {
    let mut t = Talk::new(isns);
    t.refuses(Tcp { raw_ack: Some(12345), ..c("SA", -1, 0).options(&MSS) }, Anomaly::SynAckUnexpected);
    t.refuses(Tcp { raw_seq: Some(12345), ..s("R", 0, 0) }, Anomaly::HandshakeExpected);
    t.takes(c("S", -1, 0).options(&MSS));
    assert!(t.monitor.last.0.started && t.monitor.last.1.started);
    t.takes(s("SA", -1, 0)).takes(c("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert!(t.is_established());
}

pub(crate) fn case_12_fast_open_taken_and_not_taken(isns: Isns) {
    let cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let syn = |t: &mut Talk| {
        t.takes_odd(c("S", -1, 0).data("GET ").options(&cookie), &[Anomaly::SynWithData]);
        assert_eq!(t.monitor.text(S), "", "nobody knows yet");
    };
    for (acked, rest, text) in [(4, "/", "GET /"), (0, "PUT /", "PUT /"), (2, "M /", "GEM /")] {
        let mut t = Talk::new(isns);
        syn(&mut t);
        t.takes(s("SA", -1, acked).options(&MSS));
        assert_eq!(t.monitor.last.0.syn_data, Some(acked > 0));
        t.takes(c("A", acked, 0)).takes(c("PA", acked, 0).data(rest));
        t.ends(S, text, Fate::Open);
        assert!(t.is_established());
    }
    // Sent again although it was taken, with other octets: those in order stay.
    let mut t = Talk::new(isns);
    syn(&mut t);
    t.takes(s("SA", -1, 4)).takes(c("PA", 0, 0).data("EVIL/"));
    t.ends(S, "GET /", Fate::Open);
    // The SYN again without octets, as a client does that gives Fast Open up.
    for (acked, rest, text) in [(0, "PUT /", "PUT /"), (4, "/", "GET /")] {
        let mut t = Talk::new(isns);
        syn(&mut t);
        t.takes(c("S", -1, 0)).takes(s("SA", -1, acked)).takes(c("PA", acked, 0).data(rest));
        t.ends(S, text, Fate::Open);
    }
}

pub(crate) fn case_13_octets_in_syn_and_syn_ack_that_nobody_takes(isns: Isns) {
    let mut t = Talk::new(isns);
    t.takes_odd(c("S", -1, 0).data("EVIL").options(&MSS), &[Anomaly::SynWithData]);
    t.takes(s("SA", -1, 0)).takes(c("A", 0, 0));
    t.ends(S, "", Fate::Open);
    t.takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert_eq!(t.monitor.last.1.data.conflict, None, "what never counted is no other copy");

    for flags in ["SA", "SAF"] {
        let mut t = Talk::syn(isns);
        t.takes_odd(s(flags, -1, 0).data("EVIL").options(&MSS), &[Anomaly::SynAckWithData]);
        t.ends(C, "", Fate::Open);
        t.takes(c("A", 0, 0)).takes(s("PA", 0, 0).data("GOOD"));
        t.ends(C, "GOOD", Fate::Open);
        assert!(t.is_established());
    }
    let mut t = Talk::syn(isns);
    t.takes_odd(s("SAF", -1, 0), &[Anomaly::SynAckWithData]);
    t.takes(c("A", 0, 0)).takes(s("PA", 0, 0).data("GOOD"));
    t.ends(C, "GOOD", Fate::Open);
    // A client that goes by the letter of RFC 9293 takes them, and acknowledges them.
    let mut t = Talk::syn(isns).strict(Strictness::Rfc9293);
    t.takes_odd(s("SA", -1, 0).data("DATA"), &[Anomaly::SynAckWithData]).takes(c("A", 0, 4));
    t.takes(s("PA", 4, 0).data("MORE"));
    t.ends(C, "DATAMORE", Fate::Open);
}

pub(crate) fn case_14_syn_with_other_flags(isns: Isns) {
    let mut t = Talk::new(isns);
    t.refuses(c("SR", -1, 0).options(&MSS), Anomaly::SynInvalid);
    t.refuses(c("A", 0, 0), Anomaly::HandshakeExpected);
    t.refuses(c("PA", 0, 0).data("GOOD"), Anomaly::HandshakeExpected);
    assert_eq!((t.states(), t.monitor.text(S).as_str()), ((State::Closed, State::Listen), ""));

    let mut t = Talk::new(isns);
    t.takes_odd(c("SPUEC", -1, 0).options(&MSS).urgent(1), &[Anomaly::FlagsOdd]);
    t.takes(s("SAE", -1, 0)).takes(c("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert!(t.is_established() && t.urgent.is_empty());
    // The ECN flags alone are what hosts send that know ECN (RFC 3168, 6.1.1).
    Talk::new(isns).takes(c("SEC", -1, 0)).takes(s("SAE", -1, 0)).takes(c("PAEC", 0, 0).data("GOOD"));
}

pub(crate) fn case_15_a_syn_inside_a_connection(isns: Isns) {
    let table = [
        (c("S", 10, 0), Anomaly::SynInConnection),
        (c("S", 0, 0), Anomaly::SynInConnection),
        (c("S", 1_000_000_000, 0), Anomaly::SynInConnection),
        (c("S", -1, 0), Anomaly::OldSegment),
        (c("SA", 10, 0), Anomaly::SynAckUnexpected),
        (s("S", 10, 0), Anomaly::SynInConnection),
        (s("SA", 10, 0), Anomaly::SynAckUnexpected),
        (s("SA", -1, 0), Anomaly::OldSegment),
    ];
    for (syn, anomaly) in table {
        let mut t = Talk::open(isns);
        t.refuses(syn.options(&MSS), anomaly).refuses(syn.data("EVIL"), anomaly);
        t.takes(if syn.from == C { s("A", 0, 0) } else { c("A", 0, 0) }); // the answer
        t.takes(c("PA", 0, 0).data("GOOD")).takes(s("PA", 0, 4).data("REPLY"));
        t.refuses(syn.options(&MSS), anomaly);
        t.takes(c("PA", 4, 5).data("MORE"));
        t.ends(S, "GOODMORE", Fate::Open);
        t.ends(C, "REPLY", Fate::Open);
    }
}

pub(crate) fn case_16_a_handshake_without_its_last_ack(isns: Isns) {
    let mut t = Talk::syn_ack(isns);
    t.takes(c("PA", 0, 0).data("GOOD"));
    assert!(t.is_established());
    t.ends(S, "GOOD", Fate::Open);

    let mut t = Talk::syn_ack(isns);
    t.takes(c("PA", 4, 0).data("DATA"));
    assert!(t.is_established());
    t.ends(S, "", Fate::Open);
    t.takes(s("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOODDATA", Fate::Open);

    let mut t = Talk::syn_ack(isns);
    t.refuses(c("A", 0, 7), Anomaly::AckUnsent).refuses(s("R", 7, 0), Anomaly::RstInexact);
    t.takes(c("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);

    let mut t = Talk::syn_ack(isns);
    t.takes(c("FA", 0, 0)).takes(s("A", 0, 1));
    assert_eq!(t.states(), (State::FinWait2, State::CloseWait));
    t.takes_odd(c("PA", 1, 0).data("EVIL"), &[Anomaly::DataAfterFin]);
    t.ends(S, "", Fate::Eof);

    // A RST at another place leaves the request, one at the right place ends it.
    let mut t = Talk::syn_ack(isns);
    t.refuses(c("R", 5, 0), Anomaly::RstInexact).takes(c("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    let mut t = Talk::syn_ack(isns);
    t.takes(c("R", 0, 0));
    assert!(!t.play(c("A", 0, 0)).unwrap().is_accept());
    assert!(!t.play(c("PA", 0, 0).data("EVIL")).unwrap().is_accept());
    assert_eq!((t.states().1.is_synchronized(), t.monitor.text(S).as_str()), (false, ""));
}
