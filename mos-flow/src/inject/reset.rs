//! Resets that their receivers take.
//!
//! An endpoint takes a RST whose sequence number is exactly the next that it expects (RFC 5961, 3.2); any other one in
//! its window makes it ask again. What it expects is what was seen to reach it, unless that was lost behind the monitor:
//! then it is what it acknowledged. Both are tried. In SYN-SENT it has nothing to expect yet; there the RST must
//! acknowledge the SYN (RFC 9293, 3.10.7.3).

use super::Outgoing;
use core::net::SocketAddr;
use heapless::Vec;
use ringbuf_core::{Offset, SeqNum};
use tcp_reasm::{Conn, Flags, Side, Sides, State};

/// The most segments that a connection is reset with.
pub const MAX_RESETS: usize = 4;

/// The segments that reset both ends of a connection, each with the side that it goes to. A side that has no connection,
/// or none any more, gets none.
///
/// Numbers are those that the receiver of a segment counts by, as everywhere in `conn`.
pub fn resets(conn: &Conn, addresses: &Sides<SocketAddr>) -> Vec<(Side, Outgoing<'static>), MAX_RESETS> {
    let mut all = Vec::new();
    for to in Side::BOTH {
        let reset = |seq: SeqNum, ack: Option<SeqNum>| Outgoing {
            source: addresses[!to],
            destination: addresses[to],
            seq,
            ack,
            flags: Flags::RST,
            window: 0,
            options: &[],
            payload: &[],
        };
        let segments = match conn.state(to) {
            State::Closed | State::Listen | State::TimeWait => [None, None],
            State::SynSent => [acknowledgement_of_syn(conn, to).map(|ack| reset(SeqNum(0), Some(ack))), None],
            _ => expected(conn, to).map(|seq| seq.map(|seq| reset(seq, None))),
        };
        // There is room for two to each side.
        all.extend(segments.into_iter().flatten().map(|segment| (to, segment)));
    }
    all
}

fn acknowledgement_of_syn(conn: &Conn, of: Side) -> Option<SeqNum> {
    conn.stream(!of).base().or_else(|| conn.space(of).snd_nxt())
}

/// What a side may expect next: by what passed on the way to it, and by what it acknowledged.
fn expected(conn: &Conn, side: Side) -> [Option<SeqNum>; 2] {
    let stream = conn.stream(side);
    let Some(base) = stream.base() else {
        // Picked up in the middle, nothing seen on the way to it: it expects what the other side sends next.
        return [conn.space(!side).snd_nxt(), None];
    };
    let fin = u64::from(conn.state(side).has_received_fin());
    let passed = stream.rcv_nxt().max(stream.next().saturating_add(fin));
    let acked = if stream.is_acknowledged() { stream.acked() } else { Offset::ZERO };
    let known = stream.is_acknowledged() || !stream.is_midstream();
    let [first, second] = match conn.state(side) {
        // Linux has no more than a request, which expects what is behind the SYN whatever came since.
        State::SynReceived => [Offset::ZERO, passed],
        _ => [passed, acked],
    };
    [Some(first.seq(base)), (known && first != second).then(|| second.seq(base))]
}

#[cfg(test)]
mod tests;
