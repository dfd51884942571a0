//! The monitor between the two hosts: a [`Conn`], memory for both streams, and a reader of each that reads promptly
//! and knows what it ought to read.

use super::host::{Packet, Time};
use crate::model::repack;
use crate::{Anomaly, Buffer, Conn, Side, Sides, State, Strictness, Verdict};
use ringbuf_core::overlap::Linux;
use ringbuf_core::store::Flat;
use ringbuf_core::window::{Next, Window};
use ringbuf_core::{FragList, Offset, Range, SeqNum, Store};
use std::vec;
use std::vec::Vec;

/// More than any host advertises.
const CAP: u32 = 8192;
/// More than any run has: a refusal for want of room would hide others.
const RANGES: usize = 1024;

/// By the state of the client: how many connections waited for a segment, and how many of them had a short form.
type Shares = [(u64, u64); State::ALL.len()];

/// One stream: memory, and how far it was read.
#[derive(Debug)]
struct Memory {
    frags: FragList<RANGES>,
    store: Flat<Vec<u8>>,
    policy: Linux<RANGES>,
    cursor: Offset,
    /// What was given up, and when the hole that is next was seen first.
    gaps: Vec<Range>,
    hole: Option<(Offset, Time)>,
}

impl Memory {
    fn new() -> Self {
        Memory {
            frags: FragList::new(),
            store: Flat::new(vec![0; CAP as usize]),
            policy: Linux::new(),
            cursor: Offset::ZERO,
            gaps: Vec::new(),
            hole: None,
        }
    }

    fn restart(&mut self) {
        self.frags.clear();
        self.policy = Linux::new();
        (self.cursor, self.hole) = (Offset::ZERO, None);
        self.gaps.clear();
    }
}

/// What the peer of a stream's reader sends.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) iss: SeqNum,
    pub(super) stream: Vec<u8>,
}

/// The monitor. Hosts are named by the plan of the run; the connection's client is the one whose SYN was seen first.
#[derive(Debug)]
pub(super) struct Observer {
    conn: Option<Conn>,
    pub(super) strictness: Strictness,
    /// How long a hole that was acknowledged may last. `None` where none may be.
    patience: Option<Time>,
    /// The host [`Side::Server`] is the client of the connection.
    swapped: bool,
    memory: Sides<Memory>,
    /// By the side that receives it.
    truth: Sides<Truth>,
    pub(super) refused: u32,
    /// The readers let go of what they have read.
    prompt: bool,
    /// Of prompt readers.
    pub(super) packed: Shares,
}

impl Observer {
    pub(super) fn new(strictness: Strictness, patience: Option<Time>, truth: Sides<Truth>) -> Self {
        let memory = Sides::from_fn(|_| Memory::new());
        let prompt = truth.client.iss.0 & 1 == 0;
        let packed = Shares::default();
        Observer {
            conn: None,
            strictness,
            patience,
            swapped: false,
            memory,
            truth,
            refused: 0,
            prompt,
            packed,
        }
    }

    /// A host's name in the connection, and the other way round.
    fn named(&self, host: Side) -> Side {
        if self.swapped { !host } else { host }
    }

    fn conn(&self) -> Option<&Conn> {
        self.conn.as_ref()
    }

    pub(super) fn state(&self, host: Side) -> Option<State> {
        self.conn().map(|c| c.state(self.named(host)))
    }

    /// Follows a packet. `None` before the connection begins.
    pub(super) fn see(&mut self, now: Time, from: Side, packet: &Packet) -> Option<Verdict> {
        let segment = packet.segment();
        if self.conn.is_none() {
            self.begin(from, packet)?;
        }
        self.rest();
        let (side, conn) = (self.named(from), self.conn.as_mut()?);
        let verdict = conn.judge(side, &segment);
        match verdict {
            Verdict::Accept => {
                if let Some(anomaly) = self.accept(side, packet) {
                    self.look_for_gaps(now);
                    return Some(Verdict::Refuse(anomaly));
                }
            }
            Verdict::Refuse(anomaly) => {
                conn.note_refused(side, &segment, anomaly);
                self.refused += 1;
            }
            Verdict::Restart => return Some(verdict), // there is one connection only
        }
        self.look_for_gaps(now);
        Some(verdict)
    }

    /// Between two segments the connection is put away, if it can be.
    fn rest(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        if self.prompt {
            for side in Side::BOTH {
                let Memory { frags, store, cursor, .. } = &mut self.memory[side];
                let _ = conn.release(side, frags, store, *cursor);
            }
        }
        let has_short_form = repack(conn, &Window::new(CAP));
        if self.prompt {
            let (all, packed) = &mut self.packed[conn.state(Side::Client) as usize];
            *all += 1;
            *packed += u64::from(has_short_form);
        }
    }

    fn begin(&mut self, from: Side, packet: &Packet) -> Option<()> {
        let segment = packet.segment();
        if !segment.is_syn() {
            return None;
        }
        let client = if segment.is_ack() { !from } else { from };
        self.swapped = client == Side::Server;
        let window = Window::new(CAP);
        let mut conn =
            if segment.is_ack() { Conn::from_syn_ack(&segment, window) } else { Conn::new(window) };
        conn.set_strictness(self.strictness);
        self.conn = Some(conn);
        Some(())
    }

    /// Returns why the octets are left out, if they are.
    fn accept(&mut self, from: Side, packet: &Packet) -> Option<Anomaly> {
        let conn = self.conn.as_mut()?;
        let segment = packet.segment();
        let sent = conn.sent(from, &segment);
        assert_eq!(sent.syn_data, None, "no SYN carries octets");
        for side in Side::BOTH.into_iter().filter(|s| sent.restarted[*s]) {
            self.memory[side].restart();
        }
        let Memory { frags, store, policy, .. } = &mut self.memory[!from];
        let report = conn.received(!from, &segment, Some(Buffer { frags, store, policy }));
        assert_eq!(report.data.refusal, None, "there is room for what was in the receiver's window");
        self.read(!from);
        let why = [Anomaly::DataAfterFin, Anomaly::OutOfWindow, Anomaly::WindowClosed];
        why.into_iter().find(|anomaly| sent.left_out && sent.odd.has(*anomaly))
    }

    /// Offset 0 of a stream in the true one. Not 0 only where the handshake was not captured.
    pub(super) fn shift(&self, side: Side) -> Option<i32> {
        let base = self.conn()?.stream(side).base()?;
        Some(base.distance(self.truth[self.named(side)].iss + 1))
    }

    /// Takes everything in order, and compares it with what was sent.
    fn read(&mut self, side: Side) {
        let (Some(conn), Some(shift)) = (&self.conn, self.shift(side)) else { return };
        let truth = &self.truth[self.named(side)].stream;
        let memory = &mut self.memory[side];
        let window = conn.stream(side).window();
        loop {
            match window.next_for(&memory.frags, memory.cursor) {
                Next::Data(range) => {
                    let piece = memory.store.piece(range);
                    let at = usize::try_from(memory.cursor.0 as i64 + i64::from(shift)).unwrap();
                    let sent = truth.get(at..at + piece.len());
                    assert_eq!(Some(piece), sent, "octets read at {at} are those that were sent");
                    memory.cursor = memory.cursor.saturating_add(piece.len() as u64);
                }
                Next::Lost(range) => {
                    assert!(memory.gaps.contains(&range), "{range:?} is lost to the reader, but no gap");
                    memory.cursor = range.end;
                }
                Next::Empty => return,
            }
        }
    }

    /// Gives up holes that are older than the patience.
    pub(super) fn look_for_gaps(&mut self, now: Time) {
        for side in Side::BOTH {
            loop {
                let Some(conn) = &mut self.conn else { return };
                let Memory { frags, store, policy, gaps, hole, .. } = &mut self.memory[side];
                let Some(gap) = conn.gap(side, Some(frags)) else { break };
                let Some(patience) = self.patience else {
                    panic!(
                        "{side}: {gap:?} was acknowledged and not seen, though nothing is missing in the capture"
                    )
                };
                if hole.is_none_or(|(at, _)| at != gap.start) {
                    *hole = Some((gap.start, now));
                }
                if hole.is_some_and(|(_, since)| now - since < patience) {
                    break;
                }
                let skipped = conn.skip(side, Some(Buffer { frags, store, policy }));
                assert_eq!(skipped.map(|s| s.0), Some(gap));
                gaps.push(gap);
                self.read(side);
            }
        }
    }

    pub(super) fn gap_count(&self) -> Sides<usize> {
        Sides::from_fn(|host| self.memory[self.named(host)].gaps.len())
    }

    /// The gaps in what `host` receives, as offsets of the true stream.
    pub(super) fn gaps(&self, host: Side) -> impl Iterator<Item = std::ops::Range<usize>> {
        let side = self.named(host);
        let shift = self.shift(side).unwrap_or(0);
        let place = move |o: Offset| usize::try_from(o.0 as i64 + i64::from(shift)).unwrap();
        self.memory[side].gaps.iter().map(move |gap| place(gap.start)..place(gap.end))
    }

    /// How far the stream that `host` receives was read, in the true stream.
    pub(super) fn position(&self, host: Side) -> u32 {
        let side = self.named(host);
        let cursor = self.memory[side].cursor.0 as i64;
        self.shift(side).map_or(0, |shift| u32::try_from(cursor + i64::from(shift)).unwrap())
    }

    /// Whether all octets of a range of the true stream were read or wait behind a hole.
    pub(super) fn holds(&self, host: Side, start: u32, end: u32) -> bool {
        let range = Range::new(start.max(self.position(host)).into(), end.into());
        let frags = &self.memory[self.named(host)].frags;
        range.is_empty() || frags.overlapping(range).iter().any(|r| r.intersection(range) == range)
    }

    /// How far `host` has acknowledged what it receives, the FIN counted, in the true stream.
    pub(super) fn acked(&self, host: Side) -> i64 {
        let side = self.named(host);
        let acked = self.conn().map_or(0, |c| c.stream(side).acked().0 as i64);
        acked + i64::from(self.shift(side).unwrap_or(0))
    }

    /// Whether the FIN for `host` came, in order or not.
    pub(super) fn has_fin(&self, host: Side) -> bool {
        let side = self.named(host);
        self.conn().is_some_and(|c| c.state(side) == State::Closed || c.sides[!side].fin().is_some())
    }

    /// The handshake was guessed, and the SYN/ACK may still come.
    pub(super) fn is_guessing(&self) -> bool {
        self.conn().is_some_and(|c| c.sides.client.stream.guessed)
    }

    /// The handshake was not seen to the end.
    pub(super) fn is_embryonic(&self) -> bool {
        self.conn().is_none_or(Conn::is_embryonic)
    }

    pub(super) fn is_over(&self) -> bool {
        self.conn().is_some_and(Conn::is_over)
    }

    pub(super) fn is_inferred(&self) -> bool {
        Side::BOTH.into_iter().any(|side| self.shift(side).is_some_and(|shift| shift != 0))
    }
}
