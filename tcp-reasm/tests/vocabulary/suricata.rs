//! The events of Suricata's stream engine, and its decode events about TCP. Its states are those of the connection:
//! SYN-RECEIVED once the SYN/ACK was seen, and those of closing by the FIN of the server (FIN-WAIT) or of the client
//! (CLOSE-WAIT); where nothing else is said it is the client who sends.

use crate::heard::*;
use crate::kinds::with_options;
use crate::names::{Entry, Tool};
use crate::openings::*;
use crate::support::*;
use ringbuf_core::SeqNum;
use ringbuf_core::window::Refusal;
use tcp_reasm::options::{Options, Signature};
use tcp_reasm::segment::SegmentError;
use tcp_reasm::{Anomaly, Segment, State};

pub(crate) const TOOL: Tool = Tool { name: "suricata", count: 86, told: TOLD, left: LEFT };

const TOLD: &[Entry] = &[
    // The handshake.
    Entry {
        names: &["3whs_ack_in_wrong_dir", "3whs_ack_data_inject"],
        told: &[Told::Kind(Anomaly::BeforeEstablished)],
        exchange: || [&b""[..], b"EVIL"].map(|data| syn_received().says(S, 0, 0, ACK, data)).into(),
    },
    Entry {
        names: &["3whs_async_wrong_seq"],
        told: &[Told::Kind(Anomaly::OutOfWindow), Told::Kind(Anomaly::OldSegment)],
        exchange: || {
            let ahead = syn_sent().says(C, 5, 0, ACK, b"data");
            let old = syn_sent().says(C, -5, 0, ACK, b"");
            vec![syn_sent().says(C, 5, 0, ACK, b""), ahead, old]
        },
    },
    Entry {
        names: &["3whs_right_seq_wrong_ack_evasion", "3whs_wrong_seq_wrong_ack"],
        told: &[Told::Kind(Anomaly::AckUnsent), Told::Kind(Anomaly::AckTooOld)],
        exchange: || {
            let places = [(0, 1), (0, -1), (9, 5000), (9, -5000)];
            places.map(|(seq, ack)| syn_received().says(C, seq, ack, ACK, b"")).into()
        },
    },
    Entry {
        names: &["3whs_synack_in_wrong_direction", "3whs_synack_toserver_on_syn_recv"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || {
            let again = syn_received().says(C, -1, 0, SYN_ACK, b"");
            vec![syn_sent().says(C, -1, 0, SYN_ACK, b""), again, syn_received().says(C, 70, 0, SYN_ACK, b"")]
        },
    },
    Entry {
        names: &["3whs_synack_resend_with_diff_ack", "est_synack_resend_with_diff_ack"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || {
            let established = [-1, 70].map(|ack| Link::established().says(S, -1, ack, SYN_ACK, b""));
            let received = [-1, 70].map(|ack| syn_received().says(S, -1, ack, SYN_ACK, b""));
            received.into_iter().chain(established).collect()
        },
    },
    Entry {
        names: &["3whs_synack_resend_with_diff_seq", "est_synack_resend_with_diff_seq"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || {
            vec![
                syn_received().says(S, 70, 0, SYN_ACK, b""),
                Link::established().says(S, 70, 0, SYN_ACK, b""),
            ]
        },
    },
    Entry {
        names: &["3whs_synack_flood"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || {
            let mut l = syn_received();
            (1..8).map(|seq| l.says(S, seq, 0, SYN_ACK, b"")).collect()
        },
    },
    Entry {
        names: &["3whs_synack_with_wrong_ack"],
        told: &[Told::Kind(Anomaly::AckUnsent)],
        exchange: || [-1, 1, 5000].map(|ack| syn_sent().says(S, -1, ack, SYN_ACK, b"")).into(),
    },
    Entry {
        names: &["3whs_synack_tfo_data_ignored"],
        told: &[Told::SynData(false)],
        exchange: || {
            let mut l = Link::new();
            let cookie = Options::parse(&[34, 6, 1, 2, 3, 4]);
            assert!(l.play(C, &with(cookie, C, -1, 0, SYN, b"GET /")).is_accept());
            vec![l.says(S, -1, 0, SYN_ACK, b"")]
        },
    },
    Entry {
        names: &["3whs_syn_resend_diff_seq_on_syn_recv"],
        told: &[Told::Kind(Anomaly::SynInConnection)],
        exchange: || vec![syn_received().says(C, 70, 0, SYN, b"")],
    },
    Entry {
        names: &["3whs_syn_toclient_on_syn_recv", "est_syn_toclient"],
        told: &[Told::Kind(Anomaly::OldSegment), Told::Kind(Anomaly::SynInConnection)],
        exchange: || {
            let early = [-1, 70].map(|seq| syn_received().says(S, seq, 0, SYN, b""));
            let late = [-1, 70].map(|seq| Link::established().says(S, seq, 0, SYN, b""));
            early.into_iter().chain(late).collect()
        },
    },
    Entry {
        names: &["3whs_syn_flood"],
        told: &[Told::Kind(Anomaly::SynInConnection), Told::Retransmission],
        exchange: || {
            let mut l = syn_sent();
            let options = (1..8).map(|t| with(ts(t, 0), C, -1, 0, SYN, b""));
            let numbers = (1..8).map(|seq| with(Options::default(), C, seq, 0, SYN, b""));
            options.chain(numbers).map(|syn| l.hear(C, &syn)).collect()
        },
    },
    Entry {
        names: &["4whs_synack_with_wrong_ack"],
        told: &[Told::Kind(Anomaly::AckUnsent), Told::Kind(Anomaly::AckTooOld)],
        exchange: || [1, -1].map(|ack| syns_crossed().says(C, -1, ack, SYN_ACK, b"")).into(),
    },
    Entry {
        names: &["4whs_synack_with_wrong_syn"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || vec![syns_crossed().says(C, 70, 0, SYN_ACK, b"")],
    },
    Entry {
        names: &["4whs_wrong_seq"],
        told: &[
            Told::Kind(Anomaly::SeqUnseen),
            Told::Kind(Anomaly::OldSegment),
            Told::Kind(Anomaly::OutOfWindow),
        ],
        exchange: || [5, -5, 70_000].map(|seq| four_way().says(S, seq, 0, ACK, b"")).into(),
    },
    Entry {
        names: &["4whs_invalid_ack"],
        told: &[Told::Kind(Anomaly::AckUnsent)],
        exchange: || vec![four_way().says(S, 0, 70, ACK, b"")],
    },
    // Established.
    Entry {
        names: &["est_packet_out_of_window"],
        told: &[Told::Kind(Anomaly::OutOfWindow)],
        exchange: || [65_536, 90_000].map(|seq| Link::established().says(C, seq, 0, ACK, b"x")).into(),
    },
    Entry {
        names: &[
            "est_pkt_before_last_ack",
            "closewait_pkt_before_last_ack",
            "pkt_spurious_retransmission",
            "reassembly_segment_before_base_seq",
        ],
        told: &[Told::Kind(Anomaly::OldSegment), Told::Retransmission],
        exchange: || {
            let told = |state| server_in(state).0.says(C, 0, 0, ACK, b"hell");
            vec![told(State::Established), told(State::CloseWait)]
        },
    },
    Entry {
        names: &["est_synack_resend"],
        told: &[Told::Kind(Anomaly::OldSegment), Told::Retransmission],
        exchange: || vec![Link::established().says(S, -1, 0, SYN_ACK, b"")],
    },
    Entry {
        names: &["est_synack_toserver"],
        told: &[Told::Kind(Anomaly::OldSegment), Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || [-1, 70].map(|seq| Link::established().says(C, seq, 0, SYN_ACK, b"")).into(),
    },
    Entry {
        names: &["est_syn_resend", "est_syn_resend_diff_seq"],
        told: &[Told::Kind(Anomaly::OldSegment), Told::Kind(Anomaly::SynInConnection)],
        exchange: || [-1, 70].map(|seq| Link::established().says(C, seq, 0, SYN, b"")).into(),
    },
    Entry {
        names: &["est_ack_zwp_data"],
        told: &[Told::Kind(Anomaly::WindowClosed), Told::Gap],
        exchange: || {
            let mut l = stalled();
            vec![l.says(C, 0, 0, ACK, b"x"), l.says(S, 0, 1, ACK, b"")]
        },
    },
    // Closing.
    Entry {
        names: &[
            "est_invalid_ack",
            "fin1_invalid_ack",
            "fin2_invalid_ack",
            "closing_invalid_ack",
            "closewait_invalid_ack",
            "lastack_invalid_ack",
            "fin_invalid_ack",
            "pkt_invalid_ack",
        ],
        told: &[Told::Kind(Anomaly::AckUnsent), Told::Kind(Anomaly::AckTooOld)],
        exchange: || {
            let told = |state, ack, flags| {
                let (mut l, seq, _) = server_in(state);
                l.says(C, seq, ack, flags, b"")
            };
            let of =
                |state| [(70, ACK), (-70, ACK), (70, FIN_ACK)].map(|(ack, flags)| told(state, ack, flags));
            OPEN.into_iter().flat_map(of).collect()
        },
    },
    Entry {
        names: &["timewait_invalid_ack"],
        told: &[Told::Kind(Anomaly::AckUnsent)],
        exchange: || {
            let (mut l, seq, _) = server_in(State::TimeWait);
            vec![l.says(C, seq, 70, ACK, b"")]
        },
    },
    Entry {
        names: &["fin_out_of_window", "fin1_fin_wrong_seq", "fin2_fin_wrong_seq"],
        told: &[
            Told::Kind(Anomaly::OutOfWindow),
            Told::Kind(Anomaly::OldSegment),
            Told::Kind(Anomaly::FinInside),
        ],
        exchange: || {
            let told = |state, seq| {
                let (mut l, next, ack) = server_in(state);
                l.data(C, next, ack, "not acknowledged");
                l.says(C, seq, ack, FIN_ACK, b"")
            };
            let of = |state| [90_000, 1, 9].map(|seq| told(state, seq));
            [State::Established, State::FinWait1, State::FinWait2].into_iter().flat_map(of).collect()
        },
    },
    Entry {
        names: &["fin_syn"],
        told: &[Told::Kind(Anomaly::SynInConnection), Told::Kind(Anomaly::OldSegment)],
        exchange: || [0, -1].map(|seq| Link::established().says(C, seq, 0, SYN | FIN, b"")).into(),
    },
    Entry {
        names: &["fin1_ack_wrong_seq", "fin2_ack_wrong_seq", "closewait_ack_out_of_window"],
        told: &[Told::Kind(Anomaly::OutOfWindow)],
        exchange: || {
            let told = |state| server_in(state).0.says(C, 90_000, 0, ACK, b"");
            [State::FinWait1, State::FinWait2, State::CloseWait].map(told).into()
        },
    },
    Entry {
        names: &["closewait_fin_out_of_window"],
        told: &[Told::Kind(Anomaly::OutOfWindow), Told::Kind(Anomaly::OldSegment)],
        exchange: || {
            let told = |seq| server_in(State::CloseWait).0.says(C, seq, 0, FIN_ACK, b"");
            vec![told(90_000), told(1)]
        },
    },
    Entry {
        names: &["closing_ack_wrong_seq", "lastack_ack_wrong_seq"],
        told: &[
            Told::Kind(Anomaly::SeqUnseen),
            Told::Kind(Anomaly::OldSegment),
            Told::Kind(Anomaly::OutOfWindow),
        ],
        exchange: || {
            let told = |state, seq| server_in(state).0.says(C, seq, 0, ACK, b"");
            let of = |state| [70, 1, 90_000].map(|seq| told(state, seq));
            [State::Closing, State::LastAck].into_iter().flat_map(of).collect()
        },
    },
    Entry {
        names: &["timewait_ack_wrong_seq"],
        told: &[Told::Kind(Anomaly::AfterClose), Told::Kind(Anomaly::OldSegment)],
        exchange: || [70, 3].map(|seq| server_in(State::TimeWait).0.says(C, seq, 1, ACK, b"")).into(),
    },
    Entry {
        names: &["shutdown_syn_resend"],
        told: &[
            Told::Kind(Anomaly::OldSegment),
            Told::Kind(Anomaly::SynInConnection),
            Told::Kind(Anomaly::SynInTimeWait),
            Told::Restart,
        ],
        exchange: || {
            let states = OPEN.into_iter().skip(1).chain([State::TimeWait]);
            let of = |state| [-1, 70].map(|seq| server_in(state).0.says(C, seq, 0, SYN, b""));
            states.flat_map(of).collect()
        },
    },
    Entry {
        names: &["fin_but_no_session", "rst_but_no_session"],
        told: &[Told::Kind(Anomaly::HandshakeExpected)],
        exchange: || [FIN_ACK, RST, RST_ACK].map(|f| Link::new().says(C, 0, 0, f, b"")).into(),
    },
    // In any state.
    Entry {
        names: &["pkt_invalid_timestamp"],
        told: &[
            Told::Kind(Anomaly::TimestampEcho),
            Told::Kind(Anomaly::TimestampUnexpected),
            Told::Kind(Anomaly::Paws),
        ],
        exchange: invalid_timestamps,
    },
    Entry {
        names: &["pkt_broken_ack"],
        told: &[Told::Kind(Anomaly::AckUnflagged), Told::Kind(Anomaly::NoAck)],
        exchange: || {
            let broken =
                |flags, seq| Segment { ack: SeqNum(77), ..with(Options::default(), C, seq, 0, flags, b"") };
            let open =
                [(RST, 0), (NONE, 0)].map(|(flags, seq)| Link::established().hear(C, &broken(flags, seq)));
            open.into_iter().chain([Link::new().hear(C, &broken(SYN, -1))]).collect()
        },
    },
    Entry {
        names: &["pkt_bad_window_update"],
        told: &[Told::Kind(Anomaly::AckUnsent)],
        exchange: || vec![Link::established().hear(C, &with_window(10, C, 70, 70))],
    },
    Entry {
        names: &["pkt_retransmission"],
        told: &[Told::Retransmission, Told::Kind(Anomaly::OldSegment)],
        exchange: || {
            let told = |state| {
                let (mut l, seq, ack) = server_in(state);
                l.data(C, seq, ack, "again");
                let held = l.says(C, seq, ack, ACK, b"again");
                [held, l.says(C, 3, ack, ACK, b"loagain"), l.says(C, 0, ack, ACK, b"hell")]
            };
            [State::FinWait1, State::FinWait2].into_iter().flat_map(told).collect()
        },
    },
    Entry {
        names: &["rst_invalid_ack"],
        told: &[Told::Kind(Anomaly::RstAckInvalid), Told::Kind(Anomaly::AckUnsent)],
        exchange: || {
            let early = syn_sent().says(S, -1, 70, RST_ACK, b"");
            vec![Link::established().says(C, 0, 70, RST_ACK, b""), early]
        },
    },
    Entry {
        names: &["rst_with_data"],
        told: &[Told::Kind(Anomaly::RstWithData)],
        exchange: || vec![Link::established().says(C, 0, 0, RST, b"so long")],
    },
    Entry {
        names: &["suspected_rst_inject"],
        told: &[Told::Kind(Anomaly::AfterReset), Told::Kind(Anomaly::Signed)],
        exchange: suspected_resets,
    },
    // Reassembly.
    Entry {
        names: &["reassembly_seq_gap"],
        told: &[Told::Gap],
        exchange: || {
            let mut l = Link::established();
            l.data(C, 10, 0, "behind");
            vec![l.says(S, 0, 16, ACK, b"")]
        },
    },
    Entry {
        names: &["reassembly_overlap_different_data"],
        told: &[Told::Conflict],
        exchange: || {
            let mut l = Link::established();
            l.data(C, 0, 0, "in order").data(C, 20, 0, "above a hole");
            vec![l.says(C, 0, 0, ACK, b"IN"), l.says(C, 25, 0, ACK, b"A HOLE")]
        },
    },
    Entry {
        names: &["reassembly_insert_limit"],
        told: &[Told::NotStored(Refusal::TooManyRanges)],
        exchange: || {
            let mut l = Link::established();
            for i in 1..=8 {
                l.data(C, i * 10, 0, "region");
            }
            vec![l.says(C, 90, 0, ACK, b"region")]
        },
    },
    // Decoding.
    Entry {
        names: &["tcp.pkt_too_small"],
        told: &[Told::NoSegment(SegmentError::TooShort)],
        exchange: || [0, 12, 19].map(|len| Heard::of_bytes(&header(5)[..len], len)).into(),
    },
    Entry {
        names: &["tcp.hlen_too_small"],
        told: &[Told::NoSegment(SegmentError::DataOffset)],
        exchange: || [6, 15].map(|words| Heard::of_bytes(&header(words), 20)).into(),
    },
    Entry {
        names: &["tcp.invalid_optlen"],
        told: &[Told::NoSegment(SegmentError::DataOffset)],
        exchange: || [0, 4].map(|words| Heard::of_bytes(&header(words), 20)).into(),
    },
    Entry {
        names: &["tcp.opt_invalid_len"],
        told: &[Told::Kind(Anomaly::OptionMalformed), Told::Kind(Anomaly::OptionLength)],
        exchange: || LENGTHS.iter().map(|bytes| with_options(bytes)).collect(),
    },
    Entry {
        names: &["tcp.opt_duplicate"],
        told: &[Told::Kind(Anomaly::OptionRepeated)],
        exchange: || REPEATED.iter().map(|bytes| with_options(bytes)).collect(),
    },
];

const LEFT: &[(&[&str], &str)] = &[
    (&["excessive_retransmissions"], "a count of events: the user counts"),
    (&["wrong_thread"], "threads: whoever spreads the packets"),
    (&["reassembly_no_segment", "reassembly_insert_memcap", "reassembly_depth_reached"], "memory: mos-flow"),
    (&["reassembly_insert_invalid"], "an inconsistency of its own buffers"),
    (&["reassembly_urgent_oob_limit_reached"], "a count: the user counts Report.urgent"),
    (&["tcpv4.checksum", "tcpv6.checksum"], "checksums: mos-flow"),
    (&["ipv4.frag_pkt_too_large", "ipv4.frag_overlap", "ipv4.frag_ignored"], "not TCP"),
    (&["ipv6.frag_pkt_too_large", "ipv6.frag_overlap", "ipv6.frag_ignored"], "not TCP"),
    (&["ipv6.frag_invalid_length"], "not TCP"),
];

/// The states in which the server takes part, but for TIME-WAIT.
const OPEN: [State; 6] =
    [State::Established, State::FinWait1, State::FinWait2, State::Closing, State::CloseWait, State::LastAck];

/// Options whose length cannot be, or is not that of their kind.
const LENGTHS: [&[u8]; 13] = [
    &[3, 0],
    &[3, 1],
    &[2, 40, 5, 180],
    &[3, 4, 7, 0],
    &[2, 3, 5, 1],
    &[4, 3, 0],
    &[8, 9, 0, 0, 0, 1, 0, 0, 0],
    &[5, 9, 0, 0, 0, 1, 0, 0, 0],
    &[34, 3, 0],
    &[34, 7, 0, 0, 0, 0, 0],
    &[254, 5, 0xf9, 0x89, 1],
    &[19, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    &[29, 3, 0],
];

/// Options that come twice.
const REPEATED: [&[u8]; 6] = [
    &[3, 3, 7, 3, 3, 7],
    &[2, 4, 5, 180, 2, 4, 5, 180],
    &[4, 2, 4, 2],
    &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 8, 10, 0, 0, 0, 2, 0, 0, 0, 0],
    &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 5, 10, 0, 0, 0, 3, 0, 0, 0, 4],
    &[34, 6, 1, 2, 3, 4, 34, 6, 1, 2, 3, 4],
];

/// Both ends sent a SYN.
fn syns_crossed() -> Link {
    let mut l = syn_sent();
    assert!(l.send(S, -1, 0, SYN, b"").is_accept());
    l
}

/// The client has answered the SYN of the server; the ACK of the server is due.
fn four_way() -> Link {
    let mut l = syns_crossed();
    assert!(l.send(C, -1, 0, SYN_ACK, b"").is_accept());
    l
}

fn invalid_timestamps() -> Vec<Heard> {
    let timed_syn = || {
        let mut l = Link::new();
        assert!(l.play(C, &with(ts(5000, 0), C, -1, 0, SYN, b"")).is_accept());
        l
    };
    vec![
        timed_syn().hear(S, &with(ts(9000, 100), S, -1, 0, SYN_ACK, b"")),
        timed_syn().hear(S, &with(ts(9000, 100), S, -1, 0, RST_ACK, b"")),
        syn_sent().hear(S, &with(ts(9000, 100), S, -1, 0, SYN_ACK, b"")),
        timed().hear(C, &with(ts(4999, 9000), C, 0, 0, ACK, b"old")),
        timed().hear(C, &with(ts(0, 9000), C, 0, 0, ACK, b"none")),
    ]
}

/// A RST that answers the SYN, and then the server answers, too; a RST with the signature of another protocol.
fn suspected_resets() -> Vec<Heard> {
    let mut early = syn_sent();
    assert!(early.send(S, -1, 0, RST_ACK, b"").is_accept());
    let md5 = Options { signature: Some(Signature::Md5), ..Options::default() };
    let authentication = Options { signature: Some(Signature::Authentication), ..Options::default() };
    let mut open = Link::established();
    assert!(open.play(S, &with(authentication, S, 0, 0, RST, b"")).is_accept());
    vec![
        early.says(S, -1, 0, SYN_ACK, b""),
        Link::established().hear(S, &with(md5, S, 0, 0, RST, b"")),
        open.says(S, 0, 0, ACK, b"still here"),
    ]
}
