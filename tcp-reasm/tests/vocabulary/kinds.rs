//! One exchange for each kind of anomaly; the last segment is the one in question.

use crate::heard::*;
use crate::openings::*;
use crate::support::*;
use tcp_reasm::options::{Options, Signature};
use tcp_reasm::{Anomaly, Flags, Segment, State, UrgentPolicy, Verdict};

type Exchange = fn() -> Heard;

/// The kind, what cannot but be told along with it, and the exchange.
pub(crate) const ALL: &[(Anomaly, &[Anomaly], Exchange)] = &[
    (Anomaly::AckTooOld, &[], || Link::established().says(C, 0, -1, ACK, b"EVIL")),
    (Anomaly::AckUnsent, &[], || Link::established().says(C, 0, 1, ACK, b"EVIL")),
    (Anomaly::AfterClose, &[], || closed().says(C, 1, 1, ACK, b"late")),
    (Anomaly::AfterReset, &[], || reset().says(C, 0, 0, ACK, b"late")),
    (Anomaly::HandshakeExpected, &[], || Link::new().says(C, 0, 0, ACK, b"")),
    (Anomaly::NoAck, &[], || Link::established().says(C, 0, 0, NONE, b"EVIL")),
    (Anomaly::OldSegment, &[], old_segment),
    (Anomaly::OutOfWindow, &[], || Link::established().says(C, 65_536, 0, ACK, b"EVIL")),
    (Anomaly::Paws, &[], || timed().hear(C, &with(ts(4000, 9000), C, 0, 0, ACK, b"EVIL"))),
    (Anomaly::RstInexact, &[], || Link::established().says(C, 10, 0, RST, b"")),
    (Anomaly::SignatureBroken, &[], || {
        with_options(&[19, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    }),
    (Anomaly::Signed, &[], || Link::established().hear(C, &with(signed(), C, 0, 0, RST, b""))),
    (Anomaly::SynAckUnexpected, &[], || Link::established().says(S, 70, 0, SYN_ACK, b"")),
    (Anomaly::SynInConnection, &[], || Link::established().says(C, 70, 0, SYN, b"")),
    (Anomaly::SynInTimeWait, &[], || server_in(State::TimeWait).0.says(C, -1, 0, SYN, b"")),
    (Anomaly::SynInvalid, &[], || Link::new().says(C, -1, 0, SYN | FIN, b"")),
    (Anomaly::TimestampEcho, &[], timestamp_echo),
    (Anomaly::Unsigned, &[], || agreed(signed(), signed()).says(C, 0, 0, RST, b"")),
    (Anomaly::UrgentDropped, &[], urgent_dropped),
    (Anomaly::WindowClosed, &[], || stalled().says(C, 0, 0, ACK, b"x")),
    (Anomaly::AckUnflagged, &[], ack_unflagged),
    (Anomaly::AckUnseen, &[], || lossy().says(S, 0, 5, ACK, b"")),
    (Anomaly::BeforeEstablished, &[], before_established),
    (Anomaly::DataAfterFin, &[], data_after_fin),
    (Anomaly::FinAhead, &[], || Link::established().says(C, 10, 0, FIN_ACK, b"")),
    (Anomaly::FinInside, &[], fin_inside),
    (Anomaly::FinMoved, &[Anomaly::FinAhead], fin_moved),
    (Anomaly::FinOverrun, &[], fin_overrun),
    (Anomaly::FlagsOdd, &[], || Link::new().says(C, -1, 0, SYN | Flags::URG, b"")),
    (Anomaly::HandshakeInferred, &[], handshake_inferred),
    (Anomaly::OptionLength, &[], || with_options(&[2, 3, 5, 1])),
    (Anomaly::OptionMalformed, &[], || with_options(&[3, 0])),
    (Anomaly::OptionRepeated, &[], || with_options(&[2, 4, 5, 180, 2, 4, 5, 100])),
    (Anomaly::ReservedBits, &[], || Link::established().says(C, 0, 0, ACK | Flags(0x200), b"")),
    (Anomaly::RstAckInvalid, &[], || Link::established().says(C, 0, 70, RST_ACK, b"")),
    (Anomaly::RstWithData, &[], || Link::established().says(C, 0, 0, RST, b"so long")),
    (Anomaly::RstDisbelieved, &[], rst_disbelieved),
    (Anomaly::RstPaws, &[], || timed().hear(C, &with(ts(4000, 9000), C, 0, 0, RST_ACK, b""))),
    (Anomaly::SackInvalid, &[], sack_invalid),
    (Anomaly::SeqUnseen, &[], || Link::established().says(C, 5, 0, ACK, b"")),
    (Anomaly::SynAckWithData, &[], syn_ack_with_data),
    (Anomaly::SynCrossed, &[], syn_crossed),
    (Anomaly::SynWithData, &[], || Link::new().says(C, -1, 0, SYN, b"GET /")),
    (Anomaly::SynAckOther, &[], syn_ack_other),
    (Anomaly::SynOther, &[], syn_other),
    (Anomaly::TimestampMissing, &[], || timed().says(C, 0, 0, ACK, b"GOOD")),
    (Anomaly::TimestampUnexpected, &[], || {
        Link::established().hear(C, &with(ts(1, 1), C, 0, 0, ACK, b"GOOD"))
    }),
    (Anomaly::UrgentMoved, &[], urgent_moved),
    (Anomaly::UrgentUnflagged, &[], urgent_unflagged),
    (Anomaly::WindowScaleTooLarge, &[], || with_options(&[3, 3, 15])),
    (Anomaly::WindowOverrun, &[], || narrow(3).says(C, 0, 0, ACK, b"more")),
    (Anomaly::WindowShrunk, &[], window_shrunk),
];

/// A life of a connection that no host would find anything wrong with: loss, repetition, probes, a full window.
pub(crate) fn ordinary() -> Vec<Heard> {
    let clock = |t, from, seq, ack, flags, data| {
        with(ts(t, if from == C { 9000 } else { 5001 }), from, seq, ack, flags, data)
    };
    let room = |window, segment| Segment { window, ..segment };
    let sack = Options { timestamps: ts(9001, 5002).timestamps, ..Options::parse(BLOCK) };
    let mut l = Link::new();
    [
        (C, with(ts(5000, 0), C, -1, 0, SYN, b"")),
        (S, room(25, with(ts(9000, 5000), S, -1, 0, SYN_ACK, b""))),
        (C, clock(5001, C, 0, 0, ACK, b"")),
        (C, clock(5002, C, 0, 0, ACK, b"hello")),
        (C, clock(5003, C, 10, 0, ACK, b"ahead")),
        (S, room(20, with(sack, S, 0, 5, ACK, b""))),
        (C, clock(5004, C, 5, 0, ACK | Flags::PSH, b"again")),
        (C, clock(5005, C, 5, 0, ACK, b"againahead")),
        (S, room(10, clock(9005, S, 0, 15, ACK, b""))),
        (C, clock(5006, C, 14, 0, ACK, b"?")),
        (C, clock(5007, C, 15, 0, ACK, b"0123456789")),
        (S, room(0, clock(9006, S, 0, 25, ACK, b""))),
        (C, clock(5008, C, 24, 0, ACK, b"?")),
        (S, clock(9007, S, 0, 25, ACK, b"answer")),
        (C, clock(5009, C, 25, 6, FIN_ACK, b"")),
        (S, clock(9008, S, 6, 26, FIN_ACK, b"bye")),
        (C, clock(5010, C, 26, 10, ACK, b"")),
    ]
    .iter()
    .map(|(from, segment)| l.hear(*from, segment))
    .collect()
}

/// The octets at 10, of which the server holds five.
const BLOCK: &[u8] = &[5, 10, 0, 0, 0, 9, 0, 0, 0, 14];

/// Two SYNs with a timestamp or without; the second one is answered, with a timestamp.
pub(crate) fn answer_with_timestamp(first: Option<u32>, second: Option<u32>) -> Heard {
    let options = |t: Option<u32>| t.map_or(Options::default(), |t| ts(t, 0));
    let mut l = Link::new();
    assert!(l.play(C, &with(options(first), C, -1, 0, SYN, b"")).is_accept());
    assert!(!l.play(C, &with(options(second), C, 999, 0, SYN, b"")).is_accept());
    l.hear(S, &with(ts(9000, second.unwrap_or(0)), S, -1, 1000, SYN_ACK, b""))
}

/// A SYN with these options.
pub(crate) fn with_options(bytes: &'static [u8]) -> Heard {
    Link::new().hear(C, &with(Options::parse(bytes), C, -1, 0, SYN, b""))
}

fn signed() -> Options<'static> {
    Options { signature: Some(Signature::Md5), ..Options::default() }
}

fn urgent(pointer: u16, flags: Flags, seq: i64, data: &'static [u8]) -> Segment<'static> {
    Segment { urgent: pointer, ..with(Options::default(), C, seq, 0, flags, data) }
}

fn old_segment() -> Heard {
    let mut l = Link::established();
    l.data(C, 0, 0, "hello").ack(S, 0, 5);
    l.says(C, 0, 0, ACK, b"HELL")
}

fn timestamp_echo() -> Heard {
    let mut l = Link::new();
    assert!(l.play(C, &with(ts(5000, 0), C, -1, 0, SYN, b"")).is_accept());
    l.hear(S, &with(ts(9000, 100), S, -1, 0, SYN_ACK, b""))
}

fn urgent_dropped() -> Heard {
    let mut l = Link::established();
    l.conn.set_urgent_policy(S, UrgentPolicy::Drop);
    l.hear(C, &urgent(1, ACK | Flags::URG, 0, b"!"))
}

fn ack_unflagged() -> Heard {
    let rst = Segment { ack: ringbuf_core::SeqNum(77), ..with(Options::default(), C, 0, 0, RST, b"") };
    Link::established().hear(C, &rst)
}

fn before_established() -> Heard {
    let mut l = Link::new();
    l.syn().syn_ack();
    l.says(S, 0, 0, ACK, b"220 hello")
}

fn data_after_fin() -> Heard {
    let mut l = Link::established();
    l.fin(C, 0, 0);
    l.says(C, 1, 0, ACK, b"more")
}

fn fin_inside() -> Heard {
    let mut l = Link::established();
    l.data(C, 0, 0, "hello");
    l.says(C, 2, 0, FIN_ACK, b"")
}

fn fin_moved() -> Heard {
    let mut l = Link::established();
    l.fin(C, 20, 0);
    l.says(C, 10, 0, FIN_ACK, b"")
}

fn fin_overrun() -> Heard {
    let mut l = Link::established();
    l.fin(C, 4, 0);
    l.says(C, 0, 0, ACK, b"GOODMORE")
}

fn handshake_inferred() -> Heard {
    let mut l = Link::new();
    l.syn();
    l.says(C, 0, 0, ACK, b"")
}

fn sack_invalid() -> Heard {
    // The server has heard 5 octets and claims to hold the 100 behind them.
    let mut l = Link::established();
    l.data(C, 0, 0, "hello");
    let block = &[5, 10, 0, 0, 0, 4, 0, 0, 0, 104];
    l.hear(S, &with(Options::parse(block), S, 0, 0, ACK, b""))
}

fn syn_ack_with_data() -> Heard {
    let mut l = Link::new();
    l.syn();
    l.says(S, -1, 0, SYN_ACK, b"220 hello")
}

fn syn_crossed() -> Heard {
    let mut l = Link::new();
    l.syn();
    l.says(S, -1, 0, SYN, b"")
}

fn syn_other() -> Heard {
    let mut l = Link::new();
    l.syn();
    assert!(!l.send(C, 999, 0, SYN, b"").is_accept());
    l.says(S, -1, 1000, SYN_ACK, b"")
}

fn urgent_moved() -> Heard {
    let mut l = Link::established();
    assert!(l.play(C, &urgent(20, ACK | Flags::URG, 0, b"")).is_accept());
    l.hear(C, &urgent(30, ACK | Flags::URG, 0, b""))
}

fn urgent_unflagged() -> Heard {
    Link::established().hear(C, &urgent(3, ACK, 0, b"hello"))
}

fn window_shrunk() -> Heard {
    let mut l = Link::established();
    l.ack(S, 0, 0);
    l.hear(S, &with_window(1000, S, 0, 0))
}

fn rst_disbelieved() -> Heard {
    let mut l = lossy();
    l.ack(S, 0, 0);
    assert!(l.send(S, 0, 0, RST, b"").is_accept());
    assert!(l.send(S, 0, 0, ACK, b"still here").is_accept());
    l.says(C, 0, 10, ACK, b"")
}

fn syn_ack_other() -> Heard {
    let mut l = Link::new();
    l.syn().syn_ack();
    assert_eq!(l.send(S, 69, 0, SYN_ACK, b""), Verdict::Refuse(Anomaly::SynAckUnexpected));
    l.says(C, 0, 70, ACK, b"")
}
