//! What a monitor must survive: forty public weaknesses of monitors and of hosts, each a named test of its own.
//!
//! The table says where a case comes from and what a Linux host (6.18) does; the bodies are in the modules, by topic.
//! Every case is played from each pair of initial sequence numbers in [`talk::ISNS`].
#![allow(clippy::unwrap_used)] // failing is what a test is for

mod support;

#[path = "survive/close.rs"]
mod close;
#[path = "survive/data.rs"]
mod data;
#[path = "survive/handshake.rs"]
mod handshake;
#[path = "survive/numbers.rs"]
mod numbers;
#[path = "survive/partial.rs"]
mod partial;
#[path = "survive/talk.rs"]
mod talk;

use std::collections::BTreeSet;

/// Declares the tests, and the list of them.
macro_rules! cases {
    ($($(#[$meta:meta])+ $number:literal $topic:ident::$name:ident;)+) => {
        $(
            $(#[$meta])+
            #[test]
            fn $name() {
                talk::ISNS.into_iter().for_each($topic::$name);
            }
        )+

        const CASES: &[(u8, &str)] = &[$(($number, stringify!($name))),+];
    };
}

cases! {
    /// CVE-2018-6794: the server sends before the client's ACK is seen. The client takes it: it got the SYN/ACK.
    1 handshake::case_01_data_right_behind_the_syn_ack;
    /// CVE-2019-18625: RST/ACK and FIN/ACK that echo a timestamp which the client never sent. It ignores the RST, and
    /// answers the FIN with a RST; both times it goes on waiting for its SYN/ACK.
    2 handshake::case_02_answers_to_a_syn_with_a_bad_timestamp_echo;
    /// CVE-2019-18792: a FIN without the ACK flag in the place of the next octets. It is dropped.
    3 handshake::case_03_a_fin_without_the_ack_flag;
    /// CVE-2021-35063: a SYN with a number in the acknowledgement field. It is a SYN.
    4 handshake::case_04_a_syn_with_an_acknowledgement_field;
    /// CVE-2021-37592: SYN and FIN at once, then a SYN with another number. The first is dropped.
    5 handshake::case_05_syn_and_fin_at_once;
    /// CVE-2021-45098: segments with an MD5 signature for a host without a key. They are dropped.
    6 handshake::case_06_signed_segments_for_a_host_without_a_key;
    /// CVE-2025-59147: several SYNs between the same ports. A server resets at one in its window, and answers one below
    /// it with an ACK.
    7 handshake::case_07_several_syns;
    /// Suricata #603: several SYN/ACKs. The client keeps the first that it got.
    8 handshake::case_08_several_syn_acks;
    /// Suricata #603: the SYN/ACK that was seen first never reached the client, which acknowledges the second.
    8 handshake::case_08_the_syn_ack_that_the_client_acknowledges;
    /// Suricata #4376, #5856: a repeated SYN has a newer timestamp, and the SYN/ACK echoes one of them. All are good.
    9 handshake::case_09_a_syn_again_with_a_newer_timestamp;
    /// Split handshakes in four and five steps, and simultaneous open: a connection like any other.
    10 handshake::case_10_split_handshakes_and_simultaneous_open;
    /// Reversed roles: the client begins with a SYN/ACK, which a listener resets; its SYN begins the connection.
    11 handshake::case_11_a_syn_ack_from_the_client;
    /// CVE-2021-1224: Fast Open. Octets in the SYN count as far as the SYN/ACK acknowledges them.
    12 handshake::case_12_fast_open_taken_and_not_taken;
    /// Octets in a SYN without Fast Open, and in a SYN/ACK: a host leaves them out.
    13 handshake::case_13_octets_in_syn_and_syn_ack_that_nobody_takes;
    /// SYN with RST is dropped; SYN with PSH, URG, ECE and CWR is a SYN.
    14 handshake::case_14_syn_with_other_flags;
    /// RFC 5961, 4: a SYN inside the connection is answered with an ACK, and no more.
    15 handshake::case_15_a_syn_inside_a_connection;
    /// The last ACK of the handshake is missing: data completes it, out of order or not, and so does a FIN.
    16 handshake::case_16_a_handshake_without_its_last_ack;
    /// Suricata #3844: ports that are used again. What the old connection held is not for the new one.
    17 close::case_17_ports_used_again;
    /// Zeek #335: the capture has the ACK before the octets.
    18 partial::case_18_an_ack_before_the_octets;
    /// Zeek #335: the capture has one direction, that of the client.
    18 partial::case_18_the_direction_of_the_client_alone;
    /// Zeek #335: the capture has one direction, that of the server.
    18 partial::case_18_the_direction_of_the_server_alone;
    /// Zeek #335: the capture begins inside the connection.
    18 partial::case_18_picked_up_in_the_middle;

    /// RFC 5961, 3: a RST resets at the next expected number and nowhere else.
    19 close::case_19_a_reset_at_another_place;
    /// A RST with an acknowledgement of nothing, or an old timestamp, does reset a Linux host.
    20 close::case_20_a_reset_with_a_bad_acknowledgement_or_timestamp;
    /// CVE-2018-14568: octets behind a RST. A Linux host that was reset answers them with a RST; they are suspicious.
    21 close::case_21_octets_behind_a_reset;
    /// CVE-2018-14568: the host that a RST was for never got it, and the connection goes on.
    21 close::case_21_a_connection_that_goes_on_behind_a_reset;
    /// Suricata #6244: octets in a RST never enter a stream.
    22 close::case_22_a_reset_with_octets;
    /// Suricata #7422: a RST behind octets that were not acknowledged. They were delivered, and there is no gap.
    23 close::case_23_a_reset_behind_unacknowledged_octets;
    /// A FIN behind a hole waits for it; one that octets run over is dropped.
    24 close::case_24_a_fin_out_of_order;
    /// Octets behind a FIN that was taken are left out.
    25 close::case_25_octets_behind_a_fin;
    /// A FIN with an acknowledgement of nothing is refused, one far behind a hole waits.
    26 close::case_26_a_fin_that_does_not_end_the_stream;
    /// PcapPlusPlus #513: the FIN is seen while octets before it are missing; what fills the hole is taken.
    27 close::case_27_octets_that_come_later_than_the_fin;
    /// PcapPlusPlus #513: the same when their receiver is in TIME-WAIT by then.
    27 close::case_27_octets_that_come_later_than_time_wait;
    /// PcapPlusPlus #513: the same when their receiver has closed by then.
    27 close::case_27_octets_that_come_later_than_the_close;

    /// Octets that no host takes; others come in their place.
    28 data::case_28_segments_that_no_host_takes;
    /// RFC 5961, 5: an acknowledgement just below the first one. Linux since 6.8 drops it, earlier ones take it.
    29 data::case_29_an_acknowledgement_from_before_the_connection;
    /// RFC 7323, 3.2: no timestamp although agreed on, and one that was not. Linux takes both.
    30 data::case_30_missing_and_unexpected_timestamps;
    /// Other octets in a retransmission. What was in order stays.
    31 data::case_31_a_retransmission_with_other_octets;
    /// A segment that begins before the stream: what lies in the stream is taken.
    32 data::case_32_octets_before_the_stream;
    /// Right of the window: nothing is stored, nor memory asked for.
    33 numbers::case_33_right_of_the_window;
    /// RFC 9293, 3.8.4: keep-alives with an octet of garbage and without.
    34 data::case_34_keep_alives;
    /// CVE-2024-55629: urgent octets are taken out of the stream by a Linux host, and told.
    35 data::case_35_urgent_octets;
    /// CVE-2020-24337, CVE-2020-24341, CVE-2019-12260: options and lengths that cannot be. Linux reads what it can.
    36 data::case_36_options_and_lengths_that_cannot_be;
    /// A SYN with a broken authentication option is dropped: what it offers holds for nothing.
    36 data::case_36_a_refused_syn_offers_nothing;
    /// CVE-2020-24337: every kind and length of an option, at every place, ends.
    36 data::case_36_every_option_ends;
    /// CVE-2019-11477, CVE-2019-11478, CVE-2019-11479: selective acknowledgements of nothing, by the thousand.
    37 numbers::case_37_selective_acknowledgements_of_nothing;
    /// Sequence numbers that wrap while octets are out of order.
    38 numbers::case_38_out_of_order_over_the_wrap;
    /// Streams of more than 4 GiB, without memory.
    38 numbers::case_38_more_than_four_gigabytes_without_a_buffer;
    /// Streams of more than 4 GiB through a small ring.
    38 numbers::case_38_more_than_four_gigabytes_through_a_ring;
    /// CVE-2003-0209: numbers and lengths around 2^31 and 2^32.
    39 numbers::case_39_numbers_at_the_edges;
    /// CVE-2003-0209: a packet of any length that can be told is no segment or one whose numbers hold.
    39 numbers::case_39_lengths_at_the_edges;
    /// CVE-2003-0850: overlapping segments of one text give that text.
    39 numbers::case_39_overlapping_segments;
    /// CVE-2024-55627: far segments in an empty stream cost what they hold.
    40 numbers::case_40_sparse_streams;
    /// CVE-2024-55627: the window slides over gaps of any size.
    40 numbers::case_40_a_window_that_slides_over_gaps;
}

#[test]
fn every_case_is_there() {
    let numbers: BTreeSet<u8> = CASES.iter().map(|(number, _)| *number).collect();
    assert!(numbers.into_iter().eq(1..=40));
    for (number, name) in CASES {
        assert!(name.starts_with(&format!("case_{number:02}_")), "{name} is not number {number}");
    }
}
