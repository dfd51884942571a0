//! An ideal sender, a script of what the network and an intruder do, and an oracle: what property tests and fuzz
//! targets hold the reassembler against.
//!
//! [`run`] reads the script from bytes. The client sends a known stream in segments that are cut, delayed, repeated
//! and reordered; the server acknowledges; an intruder throws in segments that no host would take. The oracle is the
//! set of octets that arrived.
#![allow(missing_docs, clippy::panic, clippy::missing_panics_doc, clippy::unwrap_used)]

pub mod hostile;
pub mod network;

use crate::{Buffer, Conn, Flags, PackedConn, Segment, Side, State};
use ringbuf_core::store::Flat;
use ringbuf_core::window::Window;
use ringbuf_core::{FragList, Offset, Overlap, Range, SeqNum, Store};
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

const ISS: SeqNum = SeqNum(0xffff_ff80);
const PEER: SeqNum = SeqNum(7000);
/// Octets of the client's stream.
pub const LEN: u64 = 600;
const FRAGS: usize = 64;

/// The octet at a place of the stream that the client sends.
pub fn octet(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 13) as u8
}

/// Puts a connection away in its short form and takes it out again, as a table of many does between two segments.
/// Returns whether it has one.
fn repack(conn: &mut Conn, window: &Window) -> bool {
    let Some(packed) = PackedConn::pack(conn, window) else { return false };
    let again = packed.unpack(window);
    assert_eq!(again, *conn, "what was put away is what is taken out");
    for side in Side::BOTH {
        let told = (packed.state(side), packed.next(side));
        assert_eq!(told, (conn.state(side), conn.stream(side).next()));
    }
    let told = (packed.is_embryonic(), packed.is_over());
    assert_eq!(told, (conn.is_embryonic(), conn.is_over()));
    *conn = again;
    true
}

/// A connection, the server's ring, and what has truly arrived there.
struct Wire {
    conn: Conn,
    frags: FragList<FRAGS>,
    ring: Flat<Vec<u8>>,
    arrived: BTreeSet<u64>,
}

impl Wire {
    fn connected() -> Self {
        let (frags, ring) = (FragList::new(), Flat::new(vec![0; LEN as usize]));
        let mut wire =
            Wire { conn: Conn::new(Window::new(LEN as u32)), frags, ring, arrived: BTreeSet::new() };
        wire.play(Side::Client, &Segment::build(ISS.0, 0, Flags::SYN, b""));
        wire.play(Side::Server, &Segment::build(PEER.0, (ISS + 1).0, Flags::SYN | Flags::ACK, b""));
        wire.play(Side::Client, &Segment::build((ISS + 1).0, (PEER + 1).0, Flags::ACK, b""));
        assert_eq!(wire.conn.state(Side::Server), State::Established);
        wire
    }

    /// Returns whether the receiver took the segment.
    fn play(&mut self, from: Side, segment: &Segment<'_>) -> bool {
        let _ = repack(&mut self.conn, &Window::new(LEN as u32));
        let before = self.conn;
        if !self.conn.judge(from, segment).is_accept() {
            assert_eq!(self.conn.state(Side::Server), before.state(Side::Server));
            return false;
        }
        let _ = self.conn.sent(from, segment);
        let to_server = from == Side::Client;
        let arrival = self.conn.arriving(!from, segment, to_server.then_some((&self.frags, &self.ring)));
        assert_eq!(arrival.conflict, None, "the client never changes its mind");
        let buffer = to_server.then_some(Buffer {
            frags: &mut self.frags,
            store: &mut self.ring,
            policy: Overlap::First,
        });
        let report = self.conn.received(!from, segment, buffer);
        if report.data.duplicate + report.data.stale > 0 {
            assert!(arrival.retransmission || arrival.keep_alive, "what happened was announced");
        }
        true
    }

    fn send(&mut self, start: u64, len: u64, fin: bool) {
        let start = start.min(LEN);
        let data: Vec<u8> = (start..(start + len).min(LEN)).map(octet).collect();
        let end = start + data.len() as u64;
        let flags = if fin && end == LEN { Flags::ACK | Flags::FIN } else { Flags::ACK };
        let seq = Offset(start).seq(ISS + 1);
        // A host drops without a look what ends below its last acknowledgement.
        let stale = end + u64::from(flags.has(Flags::FIN)) < self.conn.stream(Side::Server).acked().0;
        let keep_alive = start + 1 == self.conn.stream(Side::Server).rcv_nxt().0 && data.len() <= 1;
        let taken = self.play(Side::Client, &Segment::build(seq.0, (PEER + 1).0, flags, &data));
        assert!(taken || stale, "an honest segment at {start} is taken");
        if taken && !keep_alive {
            self.arrived.extend(start..end);
        }
    }

    /// The server acknowledges what it has.
    fn acknowledge(&mut self) {
        let ack = Offset(self.in_order()).seq(ISS + 1);
        let fin = u32::from(self.conn.state(Side::Server).has_received_fin());
        self.play(Side::Server, &Segment::build((PEER + 1).0, (ack + fin).0, Flags::ACK, b""));
    }

    fn intrude(&mut self, kind: u8, value: u32) {
        let (far, own) = (0x4000_0000 | value, Offset(self.in_order()).seq(ISS + 1));
        let (seq, ack, flags) = match kind % 6 {
            0 => (own + far, PEER + 1, Flags::ACK),
            1 => (own + far, PEER + 1, Flags::RST),
            2 => (own, PEER + 1 + far, Flags::ACK),
            3 => (own, PEER + 1, Flags::PSH),
            4 => (own + 7, SeqNum(0), Flags::SYN),
            _ => (own - 9, SeqNum(0), Flags::RST),
        };
        let taken = self.play(Side::Client, &Segment::build(seq.0, ack.0, flags, b"EVIL"));
        assert!(!taken, "an intruder of kind {kind} is refused");
    }

    fn in_order(&self) -> u64 {
        (0..=LEN).find(|o| !self.arrived.contains(o)).unwrap_or(LEN)
    }

    fn check(&self) {
        let stream = self.conn.stream(Side::Server);
        assert_eq!(stream.next().0, self.in_order(), "in-order octets");
        for mut range in stream.window().ranges(&self.frags) {
            while !range.is_empty() {
                let piece = self.ring.piece(range);
                for (i, byte) in piece.iter().enumerate() {
                    let at = range.start.0 + i as u64;
                    assert!(self.arrived.contains(&at) && *byte == octet(at), "octet {at}");
                }
                range = Range { start: range.start.saturating_add(piece.len() as u64), end: range.end };
            }
        }
    }
}

/// Plays the script in `input`.
///
/// # Panics
/// When the reassembler and the oracle disagree.
pub fn run(input: &[u8]) {
    let mut wire = Wire::connected();
    for &[op, a, b, c] in input.as_chunks::<4>().0 {
        let value = u32::from_le_bytes([a, b, c, 0]);
        match op % 8 {
            0 => wire.acknowledge(),
            1 => wire.intrude(a, value),
            2 => wire.send(u64::from(u16::from_le_bytes([a, b])) % (LEN + 1), c.into(), true),
            3 => wire.send(wire.in_order().saturating_sub(a.into()), c.into(), true),
            4 => wire.send(wire.in_order() + u64::from(a), c.into(), true),
            _ => wire.send(wire.in_order(), (a % 64).into(), true),
        }
        wire.check();
    }
    while wire.in_order() < LEN {
        wire.send(wire.in_order(), 250, true);
    }
    wire.send(LEN, 0, true);
    wire.check();
    assert!(wire.conn.is_finished(Side::Server) && wire.conn.state(Side::Server) == State::CloseWait);
}

#[cfg(test)]
mod tests {
    use super::run;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn any_order_gives_the_stream_and_no_intruder_a_byte(script in prop::collection::vec(any::<u8>(), 0..400)) {
            run(&script);
        }
    }
}
