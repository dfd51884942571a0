//! Which octets are taken, and what is read of the header around them.

use crate::support::{Link, with};
use crate::talk::*;
use ringbuf_core::Range;
use tcp_reasm::options::{OptionIter, Options};
use tcp_reasm::{Anomaly, Flags, Segment, State, Strictness, UrgentPolicy};

pub(crate) fn case_28_segments_that_no_host_takes(isns: Isns) {
    let raw_ack = Some(isns.server.wrapping_add(1));
    let evil = |flags| c(flags, 0, 0).data("EVIL");
    let old = ts(1001_u32.wrapping_sub(100_000), 5000);
    let table = [
        (evil("P"), Anomaly::NoAck),
        (Tcp { raw_ack, ..evil("P") }, Anomaly::NoAck),
        (evil(""), Anomaly::NoAck),
        (evil("FU"), Anomaly::NoAck),
        (Tcp { ack: 100_000, ..evil("PA") }, Anomaly::AckUnsent),
        (Tcp { ack: 1, ..evil("PA") }, Anomaly::AckUnsent),
        (Tcp { ack: -(1 << 30), ..evil("PA") }, Anomaly::AckTooOld),
        (evil("PA").options(&old), Anomaly::Paws),
        (evil("PA").options(&MD5), Anomaly::Signed),
    ];
    for (evil, anomaly) in table {
        let timestamps = anomaly == Anomaly::Paws;
        let mut t = if timestamps { Talk::open_with_timestamps(isns) } else { Talk::open(isns) };
        t.refuses(evil, anomaly);
        t.ends(S, "", Fate::Open);
        let now = ts(1002, 5000);
        t.takes(c("PA", 0, 0).data("GOOD").options(if timestamps { &now } else { &[] }));
        t.ends(S, "GOOD", Fate::Open);
        assert!(t.is_established());
        let report = t.monitor.last.1.data;
        assert_eq!((report.fresh, report.conflict), (4, None), "what was refused left no other copy");
    }
    let mut t = Talk::open(isns);
    t.drops(Tcp { damaged: true, ..evil("PA") }).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    // To a client, too.
    let mut t = Talk::open(isns);
    t.refuses(s("P", 0, 0).data("EVIL"), Anomaly::NoAck);
    t.refuses(s("PA", 0, 100_000).data("EVIL"), Anomaly::AckUnsent).takes(s("PA", 0, 0).data("GOOD"));
    t.ends(C, "GOOD", Fate::Open);
}

pub(crate) fn case_29_an_acknowledgement_from_before_the_connection(isns: Isns) {
    let mut t = Talk::open(isns);
    t.refuses(c("PA", 0, -1).data("OLD1"), Anomaly::AckTooOld).takes(s("A", 0, 0));
    t.takes(c("PA", 4, 0).data("MORE"));
    t.ends(S, "", Fate::Open);
    t.takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOODMORE", Fate::Open);

    for strictness in [Strictness::LinuxBefore68, Strictness::Rfc9293, Strictness::Lossy] {
        let mut t = Talk::open(isns).strict(strictness);
        t.takes(c("PA", 0, -1).data("OLD1")).takes(c("PA", 4, 0).data("MORE"));
        t.ends(S, "OLD1MORE", Fate::Open);
        // RFC 5961, 5.2: by as much as the widest window, and no more.
        t.takes(c("PA", 8, -64_240).data("IN"))
            .refuses(c("PA", 10, -66_000).data("EVIL"), Anomaly::AckTooOld);
        t.ends(S, "OLD1MOREIN", Fate::Open);
    }
}

pub(crate) fn case_30_missing_and_unexpected_timestamps(isns: Isns) {
    let mut t = Talk::open_with_timestamps(isns);
    t.takes_odd(c("PA", 0, 0).data("NOTS"), &[Anomaly::TimestampMissing]);
    t.takes(c("PA", 4, 0).data("GOOD").options(&ts(1002, 5000)));
    t.ends(S, "NOTSGOOD", Fate::Open);
    // Without one the clock stays where it was.
    t.refuses(c("PA", 8, 0).data("EVIL").options(&ts(900, 5000)), Anomaly::Paws);

    let mut t = Talk::open(isns);
    t.takes_odd(c("PA", 0, 0).data("XXXX").options(&ts(5, 5)), &[Anomaly::TimestampUnexpected]);
    t.takes(c("PA", 4, 0).data("GOOD"));
    t.takes_odd(c("PA", 8, 0).data("MORE").options(&ts(1, 5)), &[Anomaly::TimestampUnexpected]);
    t.ends(S, "XXXXGOODMORE", Fate::Open);
}

pub(crate) fn case_31_a_retransmission_with_other_octets(isns: Isns) {
    let conflict = |t: &Talk| t.monitor.last.1.data.conflict.map(|c| c.range);
    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("GOOD")).takes(s("A", 0, 4)).takes(c("PA", 0, 0).data("EVIL"));
    assert_eq!((t.arrival.retransmission, conflict(&t)), (true, Some(Range::new(0, 4))));
    t.takes(c("PA", 4, 0).data("MORE"));
    assert_eq!(conflict(&t), None);
    t.ends(S, "GOODMORE", Fate::Open);

    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("GOOD")).takes(c("PA", 0, 0).data("EVILMORE"));
    assert_eq!((conflict(&t), t.monitor.last.1.data.fresh), (Some(Range::new(0, 4)), 4));
    t.ends(S, "GOODMORE", Fate::Open);

    let mut t = Talk::open(isns);
    t.takes(c("PA", 4, 0).data("EVIL")).takes(c("PA", 4, 0).data("GOOD"));
    assert_eq!(conflict(&t), Some(Range::new(4, 8)));
    t.takes(c("PA", 0, 0).data("HEAD"));
    t.ends(S, "HEADEVIL", Fate::Open);

    // The same octets are no conflict, and of others just those that differ are one.
    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("GOOD")).takes(c("PA", 0, 0).data("GOOD"));
    assert_eq!((conflict(&t), t.monitor.last.1.data.duplicate), (None, 4));
    t.takes(c("PA", 0, 0).data("GoOD"));
    assert_eq!(conflict(&t), Some(Range::new(1, 2)));
    t.ends(S, "GOOD", Fate::Open);
}

pub(crate) fn case_32_octets_before_the_stream(isns: Isns) {
    let mut t = Talk::open(isns);
    t.takes(c("PA", -4, 0).data("XXXXGOO"));
    assert_eq!((t.monitor.last.1.data.stale, t.monitor.last.1.data.fresh), (4, 3));
    t.takes(c("PA", 3, 0).data("D"));
    t.ends(S, "GOOD", Fate::Open);
    // From the number of the SYN on; and nothing but what lies before.
    let mut t = Talk::open(isns);
    t.takes(c("PA", -1, 0).data("XGOOD"));
    t.ends(S, "GOOD", Fate::Open);
    let _ = t.play(c("PA", -4, 0).data("XXXX"));
    let _ = t.play(c("PA", -100_000, 0).data("XXXX"));
    t.takes(c("PA", 4, 0).data("MORE"));
    t.ends(S, "GOODMORE", Fate::Open);
}

pub(crate) fn case_34_keep_alives(isns: Isns) {
    let mut t = Talk::open(isns);
    t.takes(c("PA", 0, 0).data("GOOD")).takes(s("A", 0, 4));
    for data in ["X", "", "D"] {
        for _ in 0..300 {
            let probe = c("A", 3, 0).data(data);
            if data.is_empty() {
                t.refuses(probe, Anomaly::OldSegment); // it ends below what was acknowledged
            } else {
                t.takes(probe);
            }
            assert!(t.arrival.keep_alive && !t.arrival.retransmission);
            t.takes(s("A", 0, 4));
        }
    }
    t.takes(c("PA", 4, 0).data("MORE"));
    assert!(!t.arrival.keep_alive);
    t.ends(S, "GOODMORE", Fate::Open);
    // Before any octet the number below is that of the SYN.
    let mut t = Talk::open(isns);
    t.takes(c("A", -1, 0).data("X"));
    assert!(t.arrival.keep_alive);
    t.takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);

    // What is told with the octets held at hand: a probe is no other copy, a repeated octet of the middle is.
    let mut l = Link::established();
    l.data(C, 0, 0, "GOOD").ack(S, 0, 4);
    let arriving = |l: &Link, seq: i64, data| {
        let segment = with(Options::default(), C, seq, 0, Flags::ACK, data);
        l.conn.arriving(S, &segment, Some((&l.frags[1], &l.rings[1])))
    };
    for garbage in [&b"X"[..], b"D", b""] {
        let told = arriving(&l, 3, garbage);
        assert!(told.keep_alive && told.conflict.is_none() && !told.retransmission);
    }
    for (seq, data, conflict) in [
        (2, &b"XX"[..], Some((2, 4))),
        (2, b"X", Some((2, 3))),
        (0, b"GOXD", Some((2, 3))),
        (0, b"GOOD", None),
    ] {
        let told = arriving(&l, seq, data);
        assert!(told.retransmission && !told.keep_alive);
        assert_eq!(told.conflict.map(|c| (c.range.start.0, c.range.end.0)), conflict, "{seq} {data:?}");
    }
}

/// What of urgent octets: segments, what a Linux application reads that does not ask for them, and their places.
struct UrgentCase {
    segments: &'static [(i64, &'static str, u16, bool)],
    out_of_band: &'static str,
    places: &'static [(u64, u8)],
    inline: &'static str,
    /// What is read when flagged segments are dropped.
    dropped: &'static str,
}

const URGENT: &[UrgentCase] = &[
    UrgentCase {
        segments: &[(0, "ABCDE", 3, true)],
        out_of_band: "ABDE",
        places: &[(2, b'C')],
        inline: "ABCDE",
        dropped: "",
    },
    UrgentCase {
        segments: &[(0, "ABCDE", 0, true)],
        out_of_band: "BCDE",
        places: &[(0, b'A')],
        inline: "ABCDE",
        dropped: "",
    },
    UrgentCase {
        segments: &[(0, "ABCDE", 7, true), (5, "FGHIJ", 0, false)],
        out_of_band: "ABCDEFHIJ",
        places: &[(6, b'G')],
        inline: "ABCDEFGHIJ",
        dropped: "",
    },
    UrgentCase {
        segments: &[(0, "ABCDE", 3, false)],
        out_of_band: "ABCDE",
        places: &[],
        inline: "ABCDE",
        dropped: "ABCDE",
    },
    UrgentCase {
        segments: &[(0, "ABC", 1, true), (3, "DEF", 1, true)],
        out_of_band: "BCEF",
        places: &[(0, b'A'), (3, b'D')],
        inline: "ABCDEF",
        dropped: "",
    },
    UrgentCase {
        segments: &[(0, "ABCDE", 5, true)],
        out_of_band: "ABCD",
        places: &[(4, b'E')],
        inline: "ABCDE",
        dropped: "",
    },
];

pub(crate) fn case_35_urgent_octets(isns: Isns) {
    for case in URGENT {
        let play = |policy: UrgentPolicy| {
            let mut t = Talk::open(isns);
            t.monitor.conn.set_urgent_policy(S, policy);
            for &(seq, data, urgent, flag) in case.segments {
                let segment = c(if flag { "PAU" } else { "PA" }, seq, 0).data(data).urgent(urgent);
                if flag && policy == UrgentPolicy::Drop {
                    t.refuses(segment, Anomaly::UrgentDropped);
                } else {
                    let unflagged = urgent != 0 && !flag;
                    t.takes_odd(segment, if unflagged { &[Anomaly::UrgentUnflagged] } else { &[] });
                }
            }
            t
        };
        let places = |t: &Talk| t.urgent.iter().map(|u| (u.offset.0, u.octet.unwrap())).collect::<Vec<_>>();
        let t = play(UrgentPolicy::OutOfBand);
        t.ends(S, case.out_of_band, Fate::Open);
        assert_eq!(places(&t), case.places);
        assert!(t.urgent.iter().all(|u| u.removed), "each leaves a hole of one octet");

        let t = play(UrgentPolicy::Inline);
        t.ends(S, case.inline, Fate::Open);
        assert_eq!(places(&t), case.places);
        assert!(t.urgent.iter().all(|u| !u.removed));

        let mut t = play(UrgentPolicy::Drop);
        t.ends(S, case.dropped, Fate::Open);
        assert!(t.urgent.is_empty());
        // What a box drops comes again without the flag, or the connection does not go on.
        for &(seq, data, ..) in case.segments {
            t.takes(c("PA", seq, 0).data(data));
        }
        t.ends(S, case.inline, Fate::Open);
    }
    // The pointer of a later segment before the octet of the first has come: that one is ordinary.
    let mut t = Talk::open(isns);
    t.takes(c("PAU", 0, 0).data("AB").urgent(4));
    t.takes_odd(c("PAU", 2, 0).data("C").urgent(3), &[Anomaly::UrgentMoved]).takes(c("PA", 3, 0).data("DEF"));
    t.ends(S, "ABCDF", Fate::Open);
}

pub(crate) fn case_36_options_and_lengths_that_cannot_be(isns: Isns) {
    let twice = [ts(1, 1), ts(2, 2)].concat();
    let table: &[(&[u8], &[Anomaly])] = &[
        (&[8, 0, 1, 1], &[Anomaly::OptionMalformed]),
        (&[8, 1, 1, 1], &[Anomaly::OptionMalformed]),
        (&[8, 40, 1, 1], &[Anomaly::OptionMalformed]),
        (&[1, 1, 1, 8], &[Anomaly::OptionMalformed]),
        (&[254, 255, 1, 1], &[Anomaly::OptionMalformed]),
        (&[8, 4, 1, 1], &[Anomaly::OptionLength]),
        (&[5, 6, 0, 0, 0, 1, 1, 1], &[Anomaly::OptionLength]),
        (&[2, 4, 5, 0xb4, 2, 4, 0, 1], &[Anomaly::OptionRepeated]),
        (&[99, 2, 99, 2], &[]),
        (&[0, 8, 0, 255], &[]),
        (&twice, &[Anomaly::OptionRepeated, Anomaly::TimestampUnexpected]),
    ];
    for (options, odd) in table {
        let mut t = Talk::open(isns);
        t.takes_odd(c("PA", 0, 0).data("GOOD").options(options), odd).takes(c("PA", 4, 0).data("MORE"));
        t.ends(S, "GOODMORE", Fate::Open);
    }
    // A data offset that no packet has.
    for words in [0, 1, 4, 6, 7, 15] {
        let mut t = Talk::open(isns);
        let evil = Tcp { words: Some(words), ..c("PA", 0, 0).data(if words == 6 { "EVI" } else { "EVIL" }) };
        t.drops(evil).takes(c("PA", 0, 0).data("GOOD"));
        t.ends(S, "GOOD", Fate::Open);
        t.drops(Tcp { words: Some(words), ..c("R", 4, 0) });
        assert!(t.is_established());
    }
    // Reserved bits, each and all.
    for reserved in [2, 4, 8, 14] {
        let mut t = Talk::open(isns);
        t.takes_odd(Tcp { reserved, ..c("PA", 0, 0).data("GOOD") }, &[Anomaly::ReservedBits]);
        t.ends(S, "GOOD", Fate::Open);
    }
    // A window scale above 14 is 14 (RFC 7323, 2.3).
    for shift in [15, 16, 31, 255] {
        let mut t = Talk::new(isns);
        t.takes_odd(c("S", -1, 0).options(&[1, 3, 3, shift]), &[Anomaly::WindowScaleTooLarge]);
        t.takes(s("SA", -1, 0).options(&[1, 3, 3, 7])).takes(Tcp { window: 3, ..c("A", 0, 0) });
        assert_eq!(t.monitor.conn.stream(C).edge().map(|edge| edge.0), Some(65_535)); // of the SYN, not scaled
        t.takes(Tcp { window: 10, ..c("PA", 0, 0).data("GOOD") });
        assert_eq!(t.monitor.conn.stream(C).edge().map(|edge| edge.0), Some(10 << 14));
        t.ends(S, "GOOD", Fate::Open);
    }
    // An authentication option too short for what it must hold, with an urgent pointer behind it (CVE-2019-12260).
    for len in 0..4 {
        let mut t = Talk::new(isns);
        let _ = t.play(c("SU", -1, 0).options(&[29, len, 0, 0]).urgent(1));
        let _ = t.play(c("S", -1, 0));
        t.takes_somehow(s("SA", -1, 0)).takes(c("A", 0, 0));
        let _ = t.play(c("PAU", 4, 0).data("EVIL").options(&[29, len, 1, 1]).urgent(u16::MAX));
        t.takes_somehow(c("PA", 0, 0).data("GOOD"));
        assert!(t.monitor.text(S).starts_with("GOOD") && t.states().1 == State::Established);
    }
}

pub(crate) fn case_36_a_refused_syn_offers_nothing(isns: Isns) {
    let good = [&[3, 3, 2][..], &ts(1000, 0)].concat();
    let broken = [&[19, 4, 0, 0, 3, 3, 14][..], &ts(7, 0), &[1; 7]].concat();
    let old = [&[3, 3, 14][..], &ts(900, 0)].concat();
    for (before, evil, anomaly) in [
        (true, &broken, Anomaly::SignatureBroken),
        (false, &broken, Anomaly::SignatureBroken),
        (true, &old, Anomaly::Paws),
    ] {
        let mut t = Talk::new(isns);
        if before {
            t.takes(c("S", -1, 0).options(&good));
        }
        t.refuses(c("S", -1, 0).options(evil), anomaly);
        if !before {
            t.takes(c("S", -1, 0).options(&good));
        }
        t.takes_somehow(s("SA", -1, 0).options(&[&[3, 3, 7][..], &ts(5000, 1000)].concat()));
        let told = t.told.clone();
        let ack = Tcp { window: 50_000, ..c("A", 0, 0) };
        t.takes(ack.options(&ts(1001, 5000)));
        let edge = t.monitor.conn.stream(C).edge().map(|edge| edge.0);
        assert_eq!(edge, Some(50_000 << 2), "the scale is that of the SYN that was taken");
        assert_eq!(told, [], "no other SYN is answered than the first");
    }
}

pub(crate) fn case_36_every_option_ends(isns: Isns) {
    let header = c("PA", 0, 0).bytes(isns);
    for kind in 0..=u8::MAX {
        for len in 0..=u8::MAX {
            for at in [0, 1, 19, 37, 38, 39] {
                let mut options = [1_u8; 40];
                options[at] = kind;
                options.get_mut(at + 1).into_iter().for_each(|place| *place = len);
                assert!(OptionIter::new(&options).count() <= options.len());
            }
            let mut bytes = [&header[..], &[kind, len].repeat(20), b"GOOD"].concat();
            bytes[12] = 15 << 4;
            let segment = Segment::parse(&bytes, bytes.len()).unwrap();
            assert_eq!((segment.payload, segment.payload_len), (&b"GOOD"[..], 4), "{kind} {len}");
        }
    }
    // No prefix of a packet is read beyond, whatever length the layer below tells.
    let whole = c("PA", 0, 0).data("GOOD").options(&ts(1, 2)).bytes(isns);
    for captured in 0..=whole.len() {
        for wire_len in [0, 19, 20, 31, 32, captured, whole.len(), 65_535] {
            if let Ok(segment) = Segment::parse(&whole[..captured], wire_len) {
                assert!(segment.payload.len() + 32 <= captured.min(wire_len));
                assert_eq!(segment.payload_len as usize + 32, wire_len);
            }
        }
    }
}
