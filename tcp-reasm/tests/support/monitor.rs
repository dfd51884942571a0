//! A monitor of one connection, built as a user of this crate alone builds one: it follows both sides, and reads what
//! is in order as soon as it is, like an application that reads promptly.

use ringbuf_core::overlap::Linux;
use ringbuf_core::store::Flat;
use ringbuf_core::window::{Next, Window};
use ringbuf_core::{FragList, Offset, Range, Store};
use tcp_reasm::{Buffer, Conn, Report, Segment, Sent, Side, Sides, Urgent, UrgentPolicy, Verdict};

/// Enough for a whole window of small pieces in any order.
const RANGES: usize = 4096;

/// One stream: where its octets wait, and what its application has read.
pub(crate) struct Stream {
    frags: Box<FragList<RANGES>>,
    store: Flat<Vec<u8>>,
    policy: Box<Linux<RANGES>>,
    cursor: Offset,
    pub(crate) read: Vec<u8>,
    /// Taken out of the stream.
    pub(crate) urgent: Vec<Urgent>,
    /// Given up for the reader.
    pub(crate) lost: Vec<Range>,
}

impl Stream {
    fn new(cap: usize) -> Self {
        Stream {
            frags: Box::default(),
            store: Flat::new(vec![0; cap]),
            policy: Box::default(),
            cursor: Offset::ZERO,
            read: Vec::new(),
            urgent: Vec::new(),
            lost: Vec::new(),
        }
    }

    fn restart(&mut self) {
        self.frags.clear();
        *self.policy = Linux::new();
        self.cursor = Offset::ZERO;
        self.urgent.clear();
    }
}

/// A connection and the memory of both streams, with what Linux does to overlaps and to urgent octets.
pub(crate) struct Monitor {
    pub(crate) conn: Conn,
    pub(crate) streams: Sides<Stream>,
    /// What the last accepted segment did.
    pub(crate) last: (Sent, Report),
    /// Connections between the same ports that began anew, this one included.
    pub(crate) connections: usize,
}

impl Monitor {
    pub(crate) fn new(cap: u32) -> Self {
        let streams = Sides::from_fn(|_| Stream::new(cap as usize));
        let mut conn = Conn::new(Window::new(cap));
        for side in Side::BOTH {
            conn.set_urgent_policy(side, UrgentPolicy::OutOfBand);
        }
        Monitor { conn, streams, last: (Sent::default(), Report::default()), connections: 1 }
    }

    pub(crate) fn play(&mut self, from: Side, segment: &Segment<'_>) -> Verdict {
        let _ = super::repack(&mut self.conn);
        let verdict = self.conn.judge(from, segment);
        match verdict {
            Verdict::Accept => self.accept(from, segment),
            Verdict::Refuse(anomaly) => self.conn.note_refused(from, segment, anomaly),
            Verdict::Restart => {
                self.restart(from, segment);
                self.accept(from, segment);
            }
        }
        verdict
    }

    /// The ports are used again; what the applications read of the old connection stays in `read`.
    fn restart(&mut self, from: Side, segment: &Segment<'_>) {
        assert_eq!(segment.opens(), from == Side::Client, "a monitor of known direction");
        self.conn = self.conn.successor(segment);
        self.connections += 1;
        for side in Side::BOTH {
            self.streams[side].restart();
        }
    }

    fn accept(&mut self, from: Side, segment: &Segment<'_>) {
        let sent = self.conn.sent(from, segment);
        if sent.syn_data == Some(false) {
            self.streams.server.restart();
        }
        for side in Side::BOTH.into_iter().filter(|s| sent.restarted[*s]) {
            self.streams[side].restart();
        }
        let Stream { frags, store, policy, .. } = &mut self.streams[!from];
        let report =
            self.conn.received(!from, segment, Some(Buffer { frags, store, policy: policy.as_mut() }));
        self.last = (sent, report);
        if let Some(urgent) = report.urgent.filter(|urgent| urgent.removed) {
            self.streams[!from].urgent.push(urgent);
        }
        for side in Side::BOTH {
            self.read(side);
        }
    }

    /// Takes everything that is in order.
    fn read(&mut self, side: Side) {
        if side == Side::Server && self.conn.has_undecided_syn_data() {
            return;
        }
        let stream = &mut self.streams[side];
        let window = self.conn.stream(side).window();
        loop {
            match window.next_for(&stream.frags, stream.cursor) {
                Next::Data(range) => {
                    let piece = stream.store.piece(range);
                    stream.read.extend_from_slice(piece);
                    stream.cursor = stream.cursor.saturating_add(piece.len() as u64);
                }
                Next::Lost(range) => {
                    let urgent = stream.urgent.iter().any(|u| range == Range::at(u.offset, 1));
                    if !urgent {
                        stream.lost.push(range);
                    }
                    stream.cursor = range.end;
                }
                Next::Empty => return,
            }
        }
    }

    /// Gives up what `side` acknowledged and nobody saw.
    pub(crate) fn skip(&mut self, side: Side) -> Option<Range> {
        let Stream { frags, store, policy, .. } = &mut self.streams[side];
        let (gap, _) = self.conn.skip(side, Some(Buffer { frags, store, policy: policy.as_mut() }))?;
        self.read(side);
        Some(gap)
    }

    /// What the application of `side` has read, as text.
    pub(crate) fn text(&self, side: Side) -> String {
        self.streams[side].read.iter().map(|&byte| char::from(byte)).collect()
    }
}
