//! The weirds of Zeek that are about TCP, and the events of its TCP analyzers.

use crate::heard::*;
use crate::kinds::with_options;
use crate::names::{Entry, Tool};
use crate::openings::*;
use crate::support::*;
use ringbuf_core::window::Refusal;
use tcp_reasm::options::Options;
use tcp_reasm::segment::SegmentError;
use tcp_reasm::{Anomaly, Flags, Segment, State, Strictness};

pub(crate) const TOOL: Tool = Tool { name: "zeek", count: 107, told: TOLD, left: LEFT };

const TOLD: &[Entry] = &[
    Entry {
        names: &["SYN_seq_jump"],
        told: &[Told::Kind(Anomaly::SynInConnection), Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: syn_seq_jump,
    },
    Entry {
        names: &["SYN_inside_connection"],
        told: &[Told::Kind(Anomaly::OldSegment), Told::Kind(Anomaly::SynInConnection)],
        exchange: || {
            let mut l = server_in(State::Established).0;
            vec![l.says(C, -1, 0, SYN, b""), l.says(C, 70, 0, SYN, b"")]
        },
    },
    Entry {
        names: &["SYN_with_data"],
        told: &[Told::Kind(Anomaly::SynWithData), Told::Kind(Anomaly::SynAckWithData)],
        exchange: || {
            let mut l = Link::new();
            vec![l.says(C, -1, 0, SYN, b"GET /"), l.says(S, -1, 0, SYN_ACK, b"220 hello")]
        },
    },
    Entry {
        names: &["TCP_christmas"],
        told: &[Told::Kind(Anomaly::SynInvalid), Told::Kind(Anomaly::FlagsOdd), Told::Reset],
        exchange: || {
            let inside = Link::established().says(C, 0, 0, SYN | RST, b"");
            vec![Link::new().says(C, -1, 0, SYN | RST, b""), inside]
        },
    },
    Entry {
        names: &["baroque_SYN"],
        told: &[Told::Kind(Anomaly::FlagsOdd)],
        exchange: || vec![Link::new().says(C, -1, 0, SYN | Flags::URG, b"")],
    },
    Entry {
        names: &["connection_originator_SYN_ack"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || vec![Link::new().says(C, -1, 0, SYN_ACK, b"")],
    },
    Entry {
        names: &["bad_SYN_ack"],
        told: &[Told::Kind(Anomaly::AckUnsent)],
        exchange: || [-1, 1, 5000].map(|ack| syn_sent().says(S, -1, ack, SYN_ACK, b"")).into(),
    },
    Entry {
        names: &["simultaneous_open"],
        told: &[Told::Kind(Anomaly::SynCrossed)],
        exchange: || vec![syn_sent().says(S, -1, 0, SYN, b"")],
    },
    Entry {
        names: &["unsolicited_SYN_response"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || vec![Link::new().says(S, -1, 0, SYN_ACK, b"")],
    },
    Entry {
        names: &["repeated_SYN_with_ack"],
        told: &[Told::Kind(Anomaly::SynAckUnexpected)],
        exchange: || vec![syn_sent().says(C, -1, 0, SYN_ACK, b"")],
    },
    Entry {
        names: &["repeated_SYN_reply_wo_ack"],
        told: &[Told::Kind(Anomaly::OldSegment), Told::Kind(Anomaly::SynInConnection)],
        exchange: || [-1, 70].map(|seq| syn_received().says(S, seq, 0, SYN, b"")).into(),
    },
    Entry {
        names: &["inappropriate_FIN"],
        told: &[
            Told::Kind(Anomaly::HandshakeInferred),
            Told::Kind(Anomaly::NoAck),
            Told::Kind(Anomaly::BeforeEstablished),
        ],
        exchange: || {
            let server = syn_received().says(S, 0, 0, FIN_ACK, b"");
            vec![syn_sent().says(C, 0, 0, FIN_ACK, b""), syn_sent().says(C, 0, 0, FIN, b""), server]
        },
    },
    Entry {
        names: &["spontaneous_FIN"],
        told: &[Told::Kind(Anomaly::HandshakeExpected)],
        exchange: || [(C, FIN), (C, FIN_ACK), (S, FIN_ACK)].map(|(from, f)| first(from, f)).into(),
    },
    Entry {
        names: &["spontaneous_RST"],
        told: &[Told::Kind(Anomaly::HandshakeExpected)],
        exchange: || [(C, RST), (C, RST_ACK), (S, RST_ACK)].map(|(from, f)| first(from, f)).into(),
    },
    Entry {
        names: &["data_before_established"],
        told: &[
            Told::Kind(Anomaly::HandshakeInferred),
            Told::Kind(Anomaly::NoAck),
            Told::Kind(Anomaly::BeforeEstablished),
        ],
        exchange: || {
            let server = syn_received().says(S, 0, 0, ACK, b"220 hello");
            vec![syn_sent().says(C, 0, 0, ACK, b"GET"), syn_sent().says(C, 0, 0, NONE, b"GET"), server]
        },
    },
    Entry {
        names: &["SYN_after_partial"],
        told: &[Told::Kind(Anomaly::SynInConnection)],
        exchange: || {
            let mut l = midstream();
            l.data(C, 0, 0, "middle");
            vec![l.says(C, 70, 0, SYN, b"")]
        },
    },
    Entry {
        names: &["SYN_after_close"],
        told: &[
            Told::Kind(Anomaly::OldSegment),
            Told::Kind(Anomaly::SynInConnection),
            Told::Kind(Anomaly::SynInTimeWait),
            Told::Restart,
        ],
        exchange: || {
            let told = |state, seq| server_in(state).0.says(C, seq, 0, SYN, b"");
            let (open, over) = (State::CloseWait, State::TimeWait);
            vec![told(open, -1), told(open, 70), told(over, -1), told(over, 70)]
        },
    },
    Entry {
        names: &["FIN_advanced_last_seq"],
        told: &[
            Told::Kind(Anomaly::DataAfterFin),
            Told::Kind(Anomaly::FinMoved),
            Told::Kind(Anomaly::FinAhead),
        ],
        exchange: || {
            let mut waiting = Link::established();
            waiting.fin(C, 10, 0);
            let taken = server_in(State::CloseWait).0.says(C, 20, 0, FIN_ACK, b"");
            vec![taken, waiting.says(C, 20, 0, FIN_ACK, b"")]
        },
    },
    Entry {
        names: &["SYN_after_reset"],
        told: &[Told::Restart],
        exchange: || vec![reset().says(C, 70, 0, SYN, b"")],
    },
    Entry {
        names: &["FIN_after_reset", "data_after_reset"],
        told: &[Told::Kind(Anomaly::AfterReset)],
        exchange: || vec![reset().says(C, 0, 0, FIN_ACK, b""), reset().says(C, 0, 0, ACK, b"data")],
    },
    Entry {
        names: &["active_connection_reuse", "connection_reused"],
        told: &[Told::Kind(Anomaly::SynInConnection), Told::Restart],
        exchange: || {
            let mut l = lossy();
            vec![l.says(C, 70, 0, SYN, b""), l.says(S, 7000, 71, SYN_ACK, b"")]
        },
    },
    Entry {
        names: &["premature_connection_reuse"],
        told: &[Told::Kind(Anomaly::SynInTimeWait), Told::Restart],
        exchange: || {
            let waiting = |seq| server_in(State::TimeWait).0.says(C, seq, 0, SYN, b"");
            vec![waiting(-70), waiting(70), closed().says(C, -70, 0, SYN, b"")]
        },
    },
    Entry {
        names: &["possible_split_routing"],
        told: &[
            Told::Kind(Anomaly::HandshakeInferred),
            Told::Kind(Anomaly::AckUnsent),
            Told::Kind(Anomaly::AckUnseen),
        ],
        exchange: split_routing,
    },
    Entry {
        names: &["window_recision"],
        told: &[Told::Kind(Anomaly::WindowShrunk)],
        exchange: || {
            let mut l = Link::established();
            l.ack(S, 0, 0).data(C, 0, 0, "hello");
            vec![l.hear(S, &with_window(65_529, S, 0, 5))]
        },
    },
    Entry {
        names: &["TCP_scale_range"],
        told: &[Told::Kind(Anomaly::WindowScaleTooLarge)],
        exchange: || vec![with_options(&[3, 3, 15]), with_options(&[3, 3, 255])],
    },
    Entry {
        names: &["TCP_seq_underflow_or_misorder"],
        told: &[Told::Kind(Anomaly::OldSegment)],
        exchange: || vec![Link::established().says(C, -70, 0, ACK, b"before")],
    },
    Entry {
        names: &["TCP_ack_underflow_or_misorder"],
        told: &[Told::Kind(Anomaly::AckTooOld)],
        exchange: || vec![Link::established().says(C, 0, -70, ACK, b"")],
    },
    Entry {
        names: &["pending_data_when_closed"],
        told: &[Told::Gap],
        exchange: || {
            let mut l = Link::established();
            l.data(C, 10, 0, "held").fin(C, 14, 0).fin(S, 0, 15);
            vec![l.says(C, 15, 1, ACK, b"")]
        },
    },
    Entry {
        names: &["bad_TCP_header_len"],
        told: &[Told::NoSegment(SegmentError::DataOffset)],
        exchange: || [0, 1, 4].map(|words| Heard::of_bytes(&header(words), 20)).into(),
    },
    Entry {
        names: &["truncated_header", "internally_truncated_header"],
        told: &[Told::NoSegment(SegmentError::DataOffset), Told::NoSegment(SegmentError::TooShort)],
        exchange: || {
            let long = Heard::of_bytes(&header(6), 20);
            vec![long, Heard::of_bytes(&header(6), 24), Heard::of_bytes(&header(5)[..13], 20)]
        },
    },
    Entry {
        names: &["truncated_tcp_payload"],
        told: &[Told::Cut],
        exchange: || {
            let whole = with(Options::default(), C, 0, 0, ACK, b"the first octets");
            vec![Link::established().hear(C, &Segment { payload_len: 1460, ..whole })]
        },
    },
    Entry {
        names: &[
            "tcp_option_mss_invalid_len",
            "tcp_option_window_scale_invalid_len",
            "tcp_option_sack_invalid_len",
            "tcp_option_sack_blocks_invalid_len",
            "tcp_option_timestamps_invalid_len",
            "tcp_option_qsresponse_invalid_len",
            "tcp_option_uto_invalid_len",
            "tcp_option_tfo_invalid_len",
        ],
        told: &[Told::Kind(Anomaly::OptionLength)],
        exchange: || LENGTHS.iter().map(|bytes| with_options(bytes)).collect(),
    },
    Entry {
        names: &["tcp_option_ao_invalid_len"],
        told: &[Told::Kind(Anomaly::OptionLength)],
        exchange: || {
            let mut rfc = Link::new();
            rfc.conn.set_strictness(Strictness::Rfc9293);
            let syn = with(Options::parse(&[29, 3, 0]), C, -1, 0, SYN, b"");
            vec![with_options(&[29, 3, 0]), rfc.hear(C, &syn)]
        },
    },
    Entry {
        names: &["above_hole_data_without_any_acks"],
        told: &[Told::OutOfOrder, Told::NotStored(Refusal::BeyondWindow)],
        exchange: || {
            let mut l = holding(16_384);
            [1, 10_000, 16_380].map(|at| l.says(C, at, 0, ACK, b"ahead")).into()
        },
    },
    Entry {
        names: &["rexmit_inconsistency"],
        told: &[Told::Conflict, Told::Retransmission],
        exchange: || {
            let mut l = Link::established();
            l.data(C, 0, 0, "in order").data(C, 20, 0, "above a hole");
            vec![l.says(C, 0, 0, ACK, b"IN"), l.says(C, 25, 0, ACK, b"A HOLE")]
        },
    },
    Entry {
        names: &["content_gap", "tcp_multiple_gap"],
        told: &[Told::Gap],
        exchange: || {
            let mut l = Link::established();
            l.data(C, 10, 0, "behind");
            vec![l.says(S, 0, 16, ACK, b"")]
        },
    },
    Entry {
        names: &["tcp_rexmit", "tcp_multiple_retransmissions"],
        told: &[Told::Retransmission, Told::Kind(Anomaly::OldSegment)],
        exchange: || {
            let mut l = Link::established();
            l.data(C, 0, 0, "hello");
            let again = l.says(C, 0, 0, ACK, b"hello");
            l.ack(S, 0, 5);
            vec![again, l.says(C, 0, 0, ACK, b"hell")]
        },
    },
    Entry {
        names: &["tcp_multiple_zero_windows"],
        told: &[Told::ZeroWindow],
        exchange: || {
            let mut l = stalled();
            [0, 0].map(|window| l.hear(S, &with_window(window, S, 0, 0))).into()
        },
    },
    Entry {
        names: &["tcp_contents"],
        told: &[Told::Advanced],
        exchange: || vec![Link::established().says(C, 0, 0, ACK, b"hello")],
    },
    Entry {
        names: &["new_connection", "connection_attempt"],
        told: &[Told::Started, Told::State(State::SynSent)],
        exchange: || vec![Link::new().says(C, -1, 0, SYN, b"")],
    },
    Entry {
        names: &["connection_established", "connection_first_ACK"],
        told: &[Told::State(State::Established)],
        exchange: || {
            let mut l = syn_sent();
            vec![l.says(S, -1, 0, SYN_ACK, b""), l.says(C, 0, 0, ACK, b"")]
        },
    },
    Entry {
        names: &["connection_partial_close", "connection_EOF"],
        told: &[Told::State(State::CloseWait), Told::EndOfStream],
        exchange: || vec![Link::established().says(C, 0, 0, FIN_ACK, b"")],
    },
    Entry {
        names: &["connection_half_finished"],
        told: &[Told::State(State::FinWait1), Told::Midstream],
        exchange: || {
            let mut l = midstream();
            l.data(C, 0, 0, "alone");
            vec![l.says(C, 5, 0, FIN_ACK, b"")]
        },
    },
    Entry {
        names: &["connection_finished"],
        told: &[Told::Over],
        exchange: || {
            let mut l = Link::established();
            l.fin(C, 0, 0).fin(S, 0, 1);
            vec![l.says(C, 1, 1, ACK, b"")]
        },
    },
    Entry {
        names: &["connection_rejected", "connection_reset"],
        told: &[Told::Reset],
        exchange: || {
            vec![syn_sent().says(S, -1, 0, RST_ACK, b""), Link::established().says(C, 0, 0, RST, b"")]
        },
    },
    Entry {
        names: &["partial_connection"],
        told: &[Told::Midstream],
        exchange: || {
            let mut l = midstream();
            l.data(C, 0, 0, "one side");
            vec![l.says(S, 0, 8, ACK, b"and the other")]
        },
    },
    Entry {
        names: &["RST_with_data"],
        told: &[Told::Kind(Anomaly::RstWithData)],
        exchange: || vec![Link::established().says(C, 0, 0, RST, b"so long")],
    },
];

const LEFT: &[(&[&str], &str)] = &[
    (&["FIN_storm", "RST_storm"], "storm counters: the user counts; each one is told"),
    (&["excessive_data_without_further_acks"], "memory: bounded by the window"),
    (&["connection_timeout"], "time: the user calls Conn::expire"),
    (&["connection_pending"], "what is left at the end of a capture: the user's table"),
    (&["connection_flipped"], "which side is the client: whoever builds the Conn decides"),
    (&["tcp_packet", "tcp_option", "tcp_options"], "every segment: Segment and OptionIter"),
    (&["bad_TCP_checksum", "tcp_multiple_checksum_errors"], "checksums: mos-flow"),
    (&["truncated_IP", "truncated_IP_len", "ip_hdr_len_zero", "invalid_IP_header_size"], NOT_TCP),
    (&["IPv4_min_header_size", "IPv6_min_header_size", "bogus_IP_header_lengths"], NOT_TCP),
    (&["unknown_ip_version", "bad_IP_checksum", "negative_packet_timestamp"], NOT_TCP),
    (&["ipv6_no_next", "routing0_hdr", "multiple_routing_headers", "odd_routing0_len"], NOT_TCP),
    (&["bad_routing2_len", "unknown_routing_type", "truncated_IPv6_option"], NOT_TCP),
    (&["bad_ipv6_dest_opt_len", "multiple_home_addr_opts", "bad_home_addr_len"], NOT_TCP),
    (&["fragment_protocol_inconsistency", "fragment_with_DF", "fragment_size_inconsistency"], NOT_TCP),
    (&["excessively_small_fragment", "excessively_large_fragment", "fragment_overlap"], NOT_TCP),
    (&["fragment_inconsistency", "incompletely_captured_fragment"], NOT_TCP),
    (&["contentline_size_exceeded", "line_terminated_with_single_LF", "NUL_in_line"], APPLICATION),
    (&["line_terminated_with_single_CR", "line_terminated_without_CRLF"], APPLICATION),
];

const NOT_TCP: &str = "not TCP";
const APPLICATION: &str = "application layer";

/// Options of a length that is not that of their kind, in the order of the names.
const LENGTHS: [&[u8]; 10] = [
    &[2, 3, 5, 1],
    &[3, 4, 7, 0],
    &[4, 3, 0],
    &[5, 9, 0, 0, 0, 1, 0, 0, 0],
    &[8, 9, 0, 0, 0, 1, 0, 0, 0],
    &[27, 7, 0, 0, 0, 0, 0],
    &[28, 3, 0],
    &[34, 4, 0, 0],
    &[34, 5, 0, 0, 0],
    &[34, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

/// The first segment between two hosts.
fn first(from: tcp_reasm::Side, flags: Flags) -> Heard {
    Link::new().says(from, 0, 0, flags, b"")
}

fn syn_seq_jump() -> Vec<Heard> {
    vec![
        syn_sent().says(C, 70, 0, SYN, b""),
        syn_received().says(S, 70, 0, SYN_ACK, b""),
        Link::established().says(C, 70, 0, SYN, b""),
        Link::established().says(S, 70, 0, SYN_ACK, b""),
    ]
}

/// Only the client is seen.
fn split_routing() -> Vec<Heard> {
    let mut l = syn_sent();
    let first = l.says(C, 0, 0, ACK, b"GET");
    let then = l.says(C, 3, 9, ACK, b"");
    l.conn.set_strictness(Strictness::Lossy);
    vec![first, then, l.says(C, 3, 9, ACK, b"")]
}
