//! What stream sockets are told of whole captures, line by line. Each transcript was read against the packets as tshark
//! shows them; what is not plain in one stands at its test.
//!
//! A line is `frame hook side event client/server detail`:
//!
//! - The *frame* is the number of the packet in flight; `7+` is after frame 7, when no packet is: new data is told after
//!   the burst (here of one frame), ends after the last packet. `end` is the end of the capture, where every connection
//!   that is left is told to end (`shutdown`).
//! - The *hook*: `S` after the sender moved, `R` after the receiver, `-` none. The *side*: `c`, `s`, or `-`.
//! - The *states*: `SENT` and `RCVD` are SYN-SENT and SYN-RECEIVED, `EST` ESTABLISHED, `FW1` and `FW2` FIN-WAIT, `CW`
//!   CLOSE-WAIT, `LA` LAST-ACK, `TW` TIME-WAIT. At a sender's hook the receiver has not moved yet.
//! - The *packet*: flags, `@` its place in the stream and `+` its octets, and up to where it acknowledges the other
//!   stream. A FIN takes the place after the last octet. That is tshark's relative number less one.
//!
//! The kinds of lines, each explained once:
//!
//! - `packet_in`: at both hooks, of every segment, also of those that the receiver refuses; then the states stay.
//! - `conn_start`: with the first SYN, client first.
//! - `state_change`: in a plain handshake the client with the SYN and the SYN/ACK, the server with the SYN and the ACK;
//!   then with FINs, their acknowledgements and RSTs.
//! - `new_data`: the octets that can be read now and could not before.
//! - `retransmission`: some of the octets came before, or the SYN or FIN did; `differs in` tells where these are others.
//! - `error`: `gap` for octets that their receiver acknowledged and that were never seen (after a minute, a megabyte, or at
//!   the end); `overrun` for what a slow reader loses; octets `beyond the window`.
//! - `conn_end`: the receiver of the last packet first, the client at the end of the capture; at both hooks, with a
//!   `state_change` when that side was not CLOSED before, as TIME-WAIT is not kept here.
//! - `orphan`: a segment of no connection, with its ports.
//!
//! Long captures are told without bare `packet_in`, with `new_data` of one side in one line (`in` so many); of captures
//! with many connections those that are told alike are one. Those of other projects are not here; where they are missing
//! the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "transcripts/capture.rs"]
mod capture;

#[path = "transcripts/diff.rs"]
mod diff;

#[path = "transcripts/tell.rs"]
mod tell;

use mos_flow::{Config, Strictness};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tell::{Style, config};

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// Compares what is told of a capture with the transcript of its name. What was told instead is left in a file.
fn compare(capture: &Path, config: Config, reads: bool, style: Style) {
    let told = tell::transcript(&capture::frames(capture), config, reads, style);
    let name = capture.with_extension("txt");
    let name = name.file_name().unwrap();
    let expected = std::fs::read_to_string(here("tests/transcripts").join(name)).unwrap_or_default();
    if told != expected {
        let instead = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&instead, &told).unwrap();
        panic!("{}\nall of it: {}", diff::diff(&expected, &told), instead.display());
    }
}

/// A capture of ours, with its checksums.
fn own(name: &str, style: Style) {
    compare(&here("tests/pcaps").join(name), Config { verify_checksums: true, ..config() }, true, style);
}

/// A capture of another project.
fn other(name: &str, style: Style) {
    other_with(name, config(), true, style);
}

fn other_with(name: &str, config: Config, reads: bool, style: Style) {
    let capture = here("../../shared/pcaps").join(name);
    if capture.exists() {
        return compare(&capture, config, reads, style);
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not there", capture.display());
}

#[test]
fn a_download_over_ipv4_that_the_server_closes() {
    own("web4.pcap", Style::Changes);
}

/// 75: the client's FIN acknowledges the server's, which goes from FIN-WAIT-1 to TIME-WAIT in one packet, told once.
#[test]
fn a_download_over_ipv6_that_the_server_closes() {
    own("web6.pcap", Style::Changes);
}

/// Four orders of closing, with and without octets in each direction; of all 60 the applications say that they ended
/// with FINs.
#[test]
fn sixty_short_exchanges_over_ipv4() {
    own("short4.pcap", Style::Shapes);
}

/// The same, with other orders of packets that crossed.
#[test]
fn sixty_short_exchanges_over_ipv6() {
    own("short6.pcap", Style::Shapes);
}

/// 5: the ACK of the handshake was dropped, data completes it. 58, 263, 332: copies that were held back and have an older
/// timestamp than what overtook them; their receiver drops them (PAWS), and it is told that they came before. Octets that
/// fill a hole are sent again, but come for the first time: no `retransmission` (27, 45, 51, …). 318: the server's FIN comes
/// before 3 kilobytes; the client takes it with 331, which fills the hole.
#[test]
fn an_upload_and_a_download_through_a_bad_network() {
    own("lossy.pcap", Style::Changes);
}

/// 8, 10: SYN and SYN/ACK came twice. 178, the server's FIN with its last octets, is older than what overtook it: dropped, so
/// that the server closes with the copy, 182.
#[test]
fn the_same_over_ipv6() {
    own("lossy6.pcap", Style::Changes);
}

/// 9 and later: octets for a client in FIN-WAIT-2 are new data like any.
#[test]
fn a_client_that_closes_its_side_first() {
    own("halfclose.pcap", Style::Changes);
}

/// Connections 2 and 3 are refused: the server, which has answered nothing yet, sends a RST from SYN-RECEIVED. 7: the server
/// aborts after the client's FIN. 8: octets (115) for a server that had closed its socket: as far as a monitor can know it took
/// them, before it answered with a RST without ACK (116).
#[test]
fn ten_ways_to_be_reset() {
    own("reset.pcap", Style::Changes);
}

/// The whole life of two plain connections, packet by packet.
#[test]
fn two_downloads_in_vlans() {
    own("vlan.pcap", Style::Whole);
}

/// 6: all four octets again, and others.
#[test]
fn d01_a_copy_with_other_octets() {
    other("d01-tcp-overlap.pcap", Style::Whole);
}

/// 6: the last three octets, and others.
#[test]
fn d02_a_part_with_other_octets() {
    other("d02-tcp-overlap2.pcap", Style::Whole);
}

/// 2 and 3, a RST and a FIN of an intruder, echo a timestamp that the client never sent: refused, no state changes. 4: the
/// client answers the FIN with a RST, as one in SYN-SENT does, and goes on; a server that had the handshake behind it alone
/// would be back in LISTEN. 5: it was not, here is its SYN/ACK.
#[test]
fn d03_an_intruder_during_the_handshake() {
    other("d03-with_evasion_linux.pcap", Style::Whole);
}

/// 2: the server answers with a SYN of its own, so that the client is in SYN-RECEIVED. 3: the client's SYN/ACK repeats its SYN,
/// and acknowledges the server's, which is ESTABLISHED with it; both are told with the packet, in order.
#[test]
fn d04_a_split_handshake() {
    other("d04-split-handshake-4whs.pcap", Style::Whole);
}

/// 5 and 6 come behind a hole: nothing can be read. It was not acknowledged before the RST: no gap.
#[test]
fn d05_a_reset_with_a_hole() {
    other("d05-input.pcap", Style::Whole);
}

/// 8: octets in a RST are in no stream, and are no new data.
#[test]
fn d06_a_reset_with_octets() {
    other("d06-tcp-rst-with-data.pcap", Style::Whole);
}

/// 5: the urgent octet stays in the stream.
#[test]
fn d07_urgent_octets() {
    other("d07-tcp-urgent1.pcap", Style::Whole);
}

/// 1: octets of a SYN are not there yet. 2: the SYN/ACK acknowledges them, they are new data, although the server is still in
/// SYN-RECEIVED.
#[test]
fn d08_octets_in_the_syn() {
    other("d08-tfo.pcap", Style::Whole);
}

/// 4: a RST with an MD5 signature, for which the server has no key: it changes no state. 9: the client's FIN does not
/// acknowledge the server's, which had passed here: both in CLOSING. 11: the server's octets and its FIN once more, told once.
/// 12: the client resets, at the right place.
#[test]
fn d09_a_signed_reset() {
    other("d09-input.pcap", Style::Whole);
}

/// 2: the SYN again, with a newer timestamp. The two directions are in different VLANs. 51: octets that came before, although
/// tshark takes them for late ones.
#[test]
fn d10_a_repeated_syn() {
    let config = Config { vlans_in_key: false, ..config() };
    other_with("d10-syn_retransmit_with_ts.pcap", config, true, Style::Changes);
}

/// A packet is missing before 191. The hole is acknowledged by 193; what comes behind it is less than a megabyte, in less than a
/// minute, so that it is given up when the capture ends.
#[test]
fn d11_a_packet_that_was_not_captured() {
    other("d11-smb2-peter-minus-p191.pcap", Style::Changes);
}

/// Two losses (519, 539): the copies come for the first time.
#[test]
fn d12_a_long_download_over_ipv6() {
    other("d12-input.pcap", Style::Changes);
}

/// The SYN comes in three fragments: it is told with the last one.
#[test]
fn d13_a_syn_in_fragments() {
    other("d13-frag-ip-tcp-syn.pcap", Style::Whole);
}

/// Four connections through one tunnel.
#[test]
fn d14_connections_in_a_tunnel() {
    other("d14-vxlan.pcap", Style::Changes);
}

/// The capture cut packets: what is missing of one is a hole (of 7, `[1714, 1722)`), and there are other losses. All of them were
/// acknowledged, and are given up one after the other at the end, with what can be read then. Five copies have other octets
/// where they fill what was cut. 8, 10, 12: the server repeats its FIN with each acknowledgement; its place was taken by the
/// client, which is in CLOSE-WAIT. 117: the server acknowledges the client's FIN, which it must have taken, holes or not.
#[test]
fn d15_cut_packets_and_losses() {
    other("d15-reassembly.pcap", Style::Changes);
}

/// 1: the SYN/ACK was captured before the SYN, and is an orphan. 3: the client's ACK tells that there was one.
#[test]
fn d16_the_syn_ack_before_the_syn() {
    other("d16-handshake-reorder.pcap", Style::Whole);
}

/// 6: the FIN comes behind a hole; the client stays ESTABLISHED until 7, where it acknowledges the FIN. The hole is a gap
/// at the end, and nothing behind it is new.
#[test]
fn d17_a_response_that_was_not_captured() {
    other("d17-miss_end_data.pcap", Style::Whole);
}

/// Many packets twice. 82: neither end has the other's FIN when it sends its own, and the acknowledgements are missing.
#[test]
fn d18_pppoe_in_two_vlans() {
    other("d18-pppoe-over-qinq.pcap", Style::Changes);
}

/// 47, 48: the ACK of the second handshake was lost. 39, 667: a FIN with octets: the state first, they are read after.
#[test]
fn d19_two_downloads() {
    other("d19-206_example_a.pcap", Style::Changes);
}

/// Fragments of UDP: stream sockets are told nothing.
#[test]
fn d20_fragments_of_another_protocol() {
    other("d20-fragmented-1.pcap", Style::Whole);
}

/// The same packets three times, in no VLAN, in one, and in two.
#[test]
fn d21_the_same_addresses_in_three_vlans() {
    other("d21-vlan-collisions.pcap", Style::Changes);
}

/// Connections 1, 2, 5, 6: copies and parts of copies; only what is behind them is new. 3: out of order, so nothing was sent
/// again. 4: a hole until the end; the client's FIN is acknowledged (55), the server's is taken when the client acknowledges it
/// (56). 8: the ports of 7 again. 9: its SYN comes last (101), so that all before it are orphans. 10: 105 and 106 acknowledge
/// what was never sent, and are refused.
#[test]
fn d22_copies_parts_holes_and_ports_again() {
    other("d22-tcp-reassembly-synthetic.pcap", Style::Changes);
}

/// Connections 1, 3, 4, 8, 9 (6, 16, 21, 38, 41): an ACK of another number than the server's completes no handshake. 3: the RST
/// after it (17) stands in the right place and ends it. 2: another SYN (11), far from the first, only makes the server repeat
/// itself. 4: a SYN/ACK of the client (20). 5: an ACK far beyond the window (24). 6: the server's octets are taken before its
/// handshake is complete (29). 7: octets complete the handshake (34). 10: the SYN/ACK came first, as an orphan (42), and is
/// inferred. 11: another SYN (46, 47), which nobody answers: not a copy of the first one.
#[test]
fn d23_handshakes_of_all_kinds() {
    other("d23-tcp_handshake_synthetic.pcap", Style::Whole);
}

/// Nobody reads: what the ring (8 KiB) pushes out is new data first, then an overrun, before the packet's octets are in its
/// place. 17: a probe, no retransmission.
#[test]
fn d24_a_reader_that_does_not_read() {
    other_with("d24-one_tcp_stream.pcap", config(), false, Style::Changes);
}

/// Requests and responses in turn. 10: a request twice.
#[test]
fn d25_many_requests_in_one_connection() {
    other("d25-tcp-reassembly.pcap", Style::Changes);
}

/// The beginning of a third connection was not captured.
#[test]
fn d26_connections_that_go_on_behind_the_capture() {
    other("d26-ultrasurf.pcap", Style::Changes);
}

/// Losses before and behind the capture: octets that fill holes are no copies. Most connections are still open at its end.
#[test]
fn d27_thirty_connections_to_a_few_servers() {
    other("d27-weibo.pcap", Style::Shapes);
}

/// Picked up in the middle: both sides are ESTABLISHED at once. 1 to 3 have no octets, and begin nothing. 5, 6, 8, 11: from before
/// the octet with which it was picked up: they count as sent before. The two directions were made anonymous in different ways, so
/// that the server's acknowledgements fit nothing.
#[test]
fn d28_a_connection_without_its_beginning() {
    let linger = Duration::from_secs(120);
    let config = Config { midstream: true, strictness: Strictness::Lossy, linger, ..config() };
    other_with("d28-reasm_segv_anon.pcapng", config, true, Style::Changes);
}

/// Someone counted the padding of short frames as octets of the stream: ACKs have two or six octets that the next segment
/// replaces, hence the many copies that differ, FINs in the wrong place that are never acknowledged, and gaps.
#[test]
fn d29_padding_as_payload() {
    other("d29-heuristic_tcp_ack_payload.pcap", Style::Shapes);
}

/// Connection 2: five gigabytes of which a few packets were captured. 53, 56, 63, …: beyond the window, for no octet in between
/// was seen, and acknowledgements of what was not seen are believed up to the window only. 58, 59, 62: more than 2^31 ahead is
/// before. So the FINs (69, 71) change nothing.
#[test]
fn d30_most_of_a_transfer_was_not_captured() {
    other("d30-bigtransfer.pcap", Style::Changes);
}
