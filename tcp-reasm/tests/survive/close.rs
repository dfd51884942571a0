//! RST, FIN, and what comes behind them.

use crate::talk::*;
use tcp_reasm::{Anomaly, State, Strictness};

const LOSSY_OR_NOT: &[Strictness] = &[Strictness::Linux, Strictness::Lossy];

/// The connection is over: the client closed first.
fn closed(isns: Isns) -> Talk {
    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("OLD")).takes(c("FA", 3, 0)).takes(s("FA", 0, 4)).takes(c("A", 4, 1));
    assert!(t.monitor.conn.is_over());
    t
}

pub(crate) fn case_17_ports_used_again(isns: Isns) {
    let reset = |isns| {
        let mut t = Talk::open(isns);
        t.takes(c("PA", 0, 0).data("OLD"));
        // Never read: there is a hole before them.
        t.takes(c("PA", 4, 0).data("EVIL")).takes(c("PA", 50_004, 0).data("EVIL")).takes(c("R", 3, 0));
        assert_eq!(t.fate(S), Fate::Reset);
        t
    };
    let ways: [&dyn Fn(Isns) -> Talk; 2] = [&closed, &reset];
    for over in ways {
        for at in [0, 50_000, -50_000, 1 << 31] {
            let mut t = over(isns);
            t.restarts(c("S", at - 1, 0).options(&MSS));
            assert_eq!(t.states(), (State::SynSent, State::SynReceived));
            t.takes(s("SA", 99_999, at)).takes(c("A", at, 100_000)).takes(c("PA", at + 4, 100_000).data("!"));
            t.takes(c("PA", at, 100_000).data("NEW?"));
            t.takes(s("PA", 100_000, at + 5).data("REPLY"));
            t.ends(S, "OLDNEW?!", Fate::Open);
            t.ends(C, "REPLY", Fate::Open);
            assert_eq!((t.monitor.connections, t.is_established()), (2, true));
            // Nor are the new octets taken for other copies of the old ones.
            assert_eq!(t.monitor.last.1.data.conflict, None);
        }
    }
    // What belongs to the old connection does not enter the new one.
    let mut t = closed(isns);
    t.restarts(c("S", 1_000_000_000, 0)).takes(s("SA", 99_999, 1_000_000_001));
    assert!(!t.play(c("PA", 4, 1).data("EVIL")).unwrap().is_accept());
    t.takes(c("PA", 1_000_000_001, 100_000).data("NEW"));
    t.ends(S, "OLDNEW", Fate::Open);
}

pub(crate) fn case_19_a_reset_at_another_place(isns: Isns) {
    let pairs = [(c("PA", 0, 0).data("AB"), S), (s("PA", 0, 0).data("AB"), C)];
    for (data, host) in pairs {
        let rst = |seq| Tcp { from: data.from, ..c("R", seq, 0) };
        let rest = |mut t: Talk| {
            assert!(t.is_established());
            t.takes(Tcp { seq: 2, ..data.data("GOOD") });
            t.ends(host, "ABGOOD", Fate::Open);
        };
        // In the window; right of it; left of it, by one and by many.
        for seq in [3, 12, 10_000_000, 1, 0, -1, -100_000, i64::from(u32::MAX >> 1)] {
            let mut t = Talk::open(isns);
            t.takes(data).refuses(rst(seq), Anomaly::RstInexact);
            rest(t);
        }
        let mut t = Talk::open(isns);
        t.takes(data).drops(Tcp { damaged: true, ..rst(2) });
        rest(t);
        // At the place.
        for flags in ["R", "RA"] {
            let mut t = Talk::open(isns);
            t.takes(data).takes(Tcp { flags, ack: 0, ..rst(2) });
            t.refuses(Tcp { seq: 2, ..data.data("EVIL") }, Anomaly::AfterReset);
            assert_eq!(t.states(), (State::Closed, State::Closed));
            t.ends(host, "AB", Fate::Reset);
        }
    }
}

pub(crate) fn case_20_a_reset_with_a_bad_acknowledgement_or_timestamp(isns: Isns) {
    let old = ts(1001_u32.wrapping_sub(100_000), 5000);
    let table = [
        (Talk::open(isns), c("RA", 0, 100_000), Anomaly::RstAckInvalid),
        (Talk::open(isns), c("RA", 0, -(1 << 30)), Anomaly::RstAckInvalid),
        (Talk::open_with_timestamps(isns), c("R", 0, 0).options(&old), Anomaly::RstPaws),
        (Talk::open_with_timestamps(isns), c("RA", 0, 0).options(&old), Anomaly::RstPaws),
    ];
    for (mut t, rst, anomaly) in table {
        t.takes_odd(rst, &[anomaly]);
        assert_eq!(t.states(), (State::Closed, State::Closed));
        t.refuses(c("PA", 0, 0).data("GOOD"), Anomaly::AfterReset);
        t.ends(S, "", Fate::Reset);
    }
}

pub(crate) fn case_21_octets_behind_a_reset(isns: Isns) {
    for strictness in [Strictness::Linux, Strictness::Rfc9293] {
        for (rst, data) in [(c("R", 0, 0), "late"), (s("R", 0, 0), "late"), (s("RA", 0, 0), "late")] {
            for from in [c("PA", 0, 0), s("PA", 0, 0)] {
                let mut t = Talk::open(isns).strict(strictness);
                t.takes(rst);
                // Each one is told, and none of them enters silently or stops the monitor.
                for seq in [0, 4, 8] {
                    t.refuses(Tcp { seq, ..from.data(data) }, Anomaly::AfterReset);
                }
                assert_eq!(t.fate(S), Fate::Reset);
                t.restarts(c("S", 9_999, 0));
            }
        }
    }
    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("GOOD")).takes(s("R", 0, 0));
    t.refuses(c("PA", 4, 0).data("MORE"), Anomaly::AfterReset);
    t.ends(S, "GOOD", Fate::Reset);
}

pub(crate) fn case_21_a_connection_that_goes_on_behind_a_reset(isns: Isns) {
    let mut t = Talk::open(isns).strict(Strictness::Lossy);
    t.takes(c("PA", 0, 0).data("GOOD")).takes(s("A", 0, 4)).takes(s("R", 0, 4));
    // A host that was reset sends nothing but RST; one that was closed acknowledges nothing.
    t.takes_odd(c("PA", 4, 0).data("MORE"), &[Anomaly::AfterReset]);
    assert_eq!(t.states(), (State::Closed, State::Closed), "it may have been on the way");
    t.takes_odd(s("PA", 0, 8).data("REPLY"), &[Anomaly::AfterReset]);
    t.takes_odd(c("A", 8, 5), &[Anomaly::RstDisbelieved]);
    t.ends(S, "GOODMORE", Fate::Open);
    t.ends(C, "REPLY", Fate::Open);
    assert!(t.is_established());
}

pub(crate) fn case_22_a_reset_with_octets(isns: Isns) {
    for flags in ["R", "RA"] {
        let mut t = Talk::open(isns);
        t.takes(c("PA", 0, 0).data("GOOD"));
        t.takes_odd(c(flags, 4, 0).data("reason"), &[Anomaly::RstWithData]);
        t.ends(S, "GOOD", Fate::Reset);
    }
    // One that does not count leaves nothing behind, either.
    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("GOOD")).refuses(c("R", 8, 0).data("EVIL"), Anomaly::RstInexact);
    t.takes(c("PA", 4, 0).data("MORE"));
    t.ends(S, "GOODMORE", Fate::Open);
}

pub(crate) fn case_23_a_reset_behind_unacknowledged_octets(isns: Isns) {
    for &strictness in LOSSY_OR_NOT {
        for rst in [c("R", 4, 0), c("RA", 4, 0), s("R", 0, 0), s("RA", 0, 0), s("RA", 0, 4)] {
            let mut t = Talk::open(isns).strict(strictness);
            t.takes(c("PA", 0, 0).data("GOOD")).takes(rst);
            t.ends(S, "GOOD", Fate::Reset);
            assert!(!t.has_gap(S) && !t.has_gap(C), "{strictness:?}");
            assert_eq!((t.monitor.skip(S), t.monitor.skip(C)), (None, None));
        }
    }
}

pub(crate) fn case_24_a_fin_out_of_order(isns: Isns) {
    let ahead = |isns| {
        let mut t = Talk::open(isns);
        t.takes_odd(c("FA", 4, 0), &[Anomaly::FinAhead]).takes(s("A", 0, 0));
        t.ends(S, "", Fate::Open);
        assert_eq!(t.states().1, State::Established);
        t
    };
    let mut t = ahead(isns);
    t.takes(c("PA", 0, 0).data("GO"));
    t.ends(S, "GO", Fate::Open);
    t.takes(c("PA", 2, 0).data("OD"));
    assert!(t.monitor.last.1.fin);
    t.ends(S, "GOOD", Fate::Eof);
    t.takes(s("A", 0, 5));
    assert_eq!(t.states(), (State::FinWait2, State::CloseWait));

    let mut t = ahead(isns);
    t.takes_odd(c("PA", 0, 0).data("GOODEVIL"), &[Anomaly::FinOverrun]).takes(s("A", 0, 8));
    t.ends(S, "GOODEVIL", Fate::Open);
    assert!(t.is_established());
    t.takes(c("PA", 8, 0).data("MORE")).takes(c("FA", 12, 0));
    t.ends(S, "GOODEVILMORE", Fate::Eof);
}

pub(crate) fn case_25_octets_behind_a_fin(isns: Isns) {
    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("AB")).takes(c("FA", 2, 0));
    t.takes_odd(c("PA", 3, 0).data("EVIL"), &[Anomaly::DataAfterFin]);
    assert!(t.monitor.last.0.left_out);
    t.ends(S, "AB", Fate::Eof);
    assert_eq!(t.states().1, State::CloseWait);

    let mut t = Talk::open(isns);
    t.takes(c("FPA", 0, 0).data("AB")).takes_odd(c("PA", 0, 0).data("ABCD"), &[Anomaly::DataAfterFin]);
    t.ends(S, "AB", Fate::Eof);

    // The other direction goes on.
    let mut t = Talk::open(isns);
    t.takes(c("FPA", 0, 0).data("AB")).takes(s("PA", 0, 3).data("REPLY"));
    t.takes_odd(c("PA", 3, 5).data("EVIL"), &[Anomaly::DataAfterFin]).takes(s("FA", 5, 3));
    t.ends(S, "AB", Fate::Eof);
    t.ends(C, "REPLY", Fate::Eof);
}

pub(crate) fn case_26_a_fin_that_does_not_end_the_stream(isns: Isns) {
    let mut t = Talk::open(isns);
    t.refuses(c("FA", 0, 100_000), Anomaly::AckUnsent).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert!(t.is_established());

    let mut t = Talk::open(isns);
    t.takes_odd(c("FA", 100, 0), &[Anomaly::FinAhead]).takes(s("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert_eq!(t.states().1, State::Established);
    // And right of the window there is none.
    let mut t = Talk::open(isns);
    t.takes(s("A", 0, 0)).refuses(c("FA", 10_000_000, 0), Anomaly::OutOfWindow);
    t.takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert!(t.is_established());
}

pub(crate) fn case_27_octets_that_come_later_than_the_fin(isns: Isns) {
    for &strictness in LOSSY_OR_NOT {
        // The server waits for them.
        let mut t = Talk::open(isns).strict(strictness);
        t.takes(c("PA", 0, 0).data("AB")).takes_odd(c("FA", 6, 0), &[Anomaly::FinAhead]);
        t.takes(s("A", 0, 2));
        t.ends(S, "AB", Fate::Open);
        assert!(!t.monitor.conn.is_over() && !t.has_gap(S));
        t.takes(c("PA", 2, 0).data("CDEF"));
        t.ends(S, "ABCDEF", Fate::Eof);

        // The server has them: its ACK of the FIN came through the capture before them.
        for closes in [false, true] {
            let mut t = Talk::open(isns).strict(strictness);
            t.takes(c("PA", 0, 0).data("AB")).takes_somehow(c("FA", 6, 0)).takes_somehow(s("A", 0, 7));
            assert_eq!(t.states(), (State::FinWait2, State::CloseWait));
            if closes {
                t.takes(s("FA", 0, 7));
                assert_eq!(t.states(), (State::TimeWait, State::LastAck));
            }
            assert!(t.has_gap(S), "that is for the patience of the one above");
            t.ends(S, "AB", Fate::Open);
            t.takes_somehow(c("PA", 2, 0).data("CD")).takes_somehow(c("PA", 4, 0).data("EF"));
            t.ends(S, "ABCDEF", Fate::Eof);
            assert!(!t.has_gap(S));
        }
    }
}

pub(crate) fn case_27_octets_that_come_later_than_the_close(isns: Isns) {
    for &strictness in LOSSY_OR_NOT {
        let mut t = Talk::open(isns).strict(strictness);
        t.takes(c("PA", 0, 0).data("AB")).takes_somehow(c("FA", 6, 0)).takes_somehow(s("FA", 0, 7));
        t.takes(c("A", 7, 1));
        assert_eq!(t.states(), (State::TimeWait, State::Closed));
        let _ = t.play(c("PA", 2, 0).data("CDEF"));
        t.ends(S, "ABCDEF", Fate::Eof);
    }
}

pub(crate) fn case_27_octets_that_come_later_than_time_wait(isns: Isns) {
    for &strictness in LOSSY_OR_NOT {
        let mut t = Talk::open(isns).strict(strictness);
        t.takes(c("PA", 0, 0).data("AB")).takes(s("FA", 0, 2)).takes(c("A", 2, 1));
        t.takes_somehow(c("FA", 6, 1)).takes_somehow(s("A", 1, 7));
        assert_eq!(t.states(), (State::Closed, State::TimeWait));
        t.takes_somehow(c("PA", 2, 1).data("CDEF"));
        t.ends(S, "ABCDEF", Fate::Eof);
    }
}
