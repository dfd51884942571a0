//! A follower of one connection over the crates below `mos`: any overlap policy, any strictness, and a log of what
//! the applications read, in order.

use crate::packets::Packet;
use ringbuf_core::overlap::Resolve;
use ringbuf_core::store::Flat;
use ringbuf_core::window::{Next, Window};
use ringbuf_core::{FragList, Offset, Overlap, Range, Store};
use tcp_reasm::{Anomaly, Buffer, Conn, Segment, Side, Sides, Strictness, UrgentPolicy, Verdict};

const RANGES: usize = 64;
const CAP: usize = 1 << 20;

/// When acknowledged octets that nobody saw are given up.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Patience {
    /// At once.
    None,
    /// When the other side answers with payload, and at the end.
    Turn,
}

/// What an application read, or could not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) to: Side,
    pub(crate) range: Range,
    /// `None` for a gap.
    pub(crate) data: Option<Vec<u8>>,
}

struct Stream<R> {
    frags: FragList<RANGES>,
    store: Flat<Vec<u8>>,
    policy: R,
    cursor: Offset,
}

pub(crate) struct Follow<R> {
    pub(crate) conn: Conn,
    streams: Sides<Stream<R>>,
    pub(crate) patience: Patience,
    /// Reads only at the end, so that what came can be replaced until then.
    pub(crate) reads_late: bool,
    pub(crate) log: Vec<Piece>,
    /// Packets that their receiver does not take.
    pub(crate) refused: Vec<(usize, Anomaly)>,
    /// Packets with other content than what is held, and where it differs.
    pub(crate) conflicts: Vec<(usize, Range)>,
    /// Packets that brought something that could be read.
    pub(crate) deliveries: Vec<Side>,
    /// What was urgent and taken out: place and octet.
    pub(crate) urgent: Vec<(Offset, Option<u8>)>,
}

impl Follow<Overlap> {
    pub(crate) fn first(strictness: Strictness) -> Self {
        Follow::new(Conn::new(window()), strictness, || Overlap::First)
    }
}

pub(crate) fn window() -> Window {
    Window::new(CAP as u32)
}

impl<R: Resolve> Follow<R> {
    pub(crate) fn new(mut conn: Conn, strictness: Strictness, policy: impl Fn() -> R) -> Self {
        conn.set_strictness(strictness);
        let stream = |_| Stream {
            frags: FragList::new(),
            store: Flat::new(vec![0; CAP]),
            policy: policy(),
            cursor: Offset::ZERO,
        };
        Follow {
            conn,
            streams: Sides::from_fn(stream),
            patience: Patience::None,
            reads_late: false,
            log: Vec::new(),
            refused: Vec::new(),
            conflicts: Vec::new(),
            deliveries: Vec::new(),
            urgent: Vec::new(),
        }
    }

    pub(crate) fn with_urgent(mut self, policy: UrgentPolicy) -> Self {
        for side in Side::BOTH {
            self.conn.set_urgent_policy(side, policy);
        }
        self
    }

    /// Plays all packets, reads to the end, and gives up what is still missing.
    pub(crate) fn over(mut self, packets: &[Packet]) -> Self {
        for packet in packets {
            self.play(packet);
        }
        self.reads_late = false;
        for side in Side::BOTH {
            self.read(side);
            self.skip(side);
        }
        self
    }

    fn play(&mut self, packet: &Packet) {
        let (from, segment) = (packet.from, packet.segment());
        if self.patience == Patience::Turn && segment.payload_len > 1 {
            self.skip(from);
        }
        match self.conn.judge(from, &segment) {
            Verdict::Accept => self.accept(packet, &segment),
            Verdict::Refuse(anomaly) => {
                if anomaly == Anomaly::OldSegment {
                    self.compare(packet, &segment);
                }
                self.conn.note_refused(from, &segment, anomaly);
                self.refused.push((packet.number, anomaly));
            }
            Verdict::Restart => panic!("packet {}: one connection, not two", packet.number),
        }
    }

    fn accept(&mut self, packet: &Packet, segment: &Segment<'_>) {
        let (from, to) = (packet.from, !packet.from);
        let sent = self.conn.sent(from, segment);
        assert!(Side::BOTH.into_iter().all(|side| !sent.restarted[side]) && sent.syn_data != Some(false));
        self.compare(packet, segment);
        let Stream { frags, store, policy, .. } = &mut self.streams[to];
        let report = self.conn.received(to, segment, Some(Buffer { frags, store, policy }));
        if report.data.advanced > 0 {
            self.deliveries.push(to);
        }
        if let Some(urgent) = report.urgent.filter(|urgent| urgent.removed) {
            self.urgent.push((urgent.offset, urgent.octet));
        }
        for side in Side::BOTH {
            if self.patience == Patience::None {
                self.skip(side);
            }
            self.read(side);
        }
    }

    fn compare(&mut self, packet: &Packet, segment: &Segment<'_>) {
        let Stream { frags, store, .. } = &self.streams[!packet.from];
        let arrival = self.conn.arriving(!packet.from, segment, Some((frags, store)));
        self.conflicts.extend(arrival.conflict.map(|c| (packet.number, c.range)));
    }

    /// Goes on behind everything that `side` acknowledged and nobody saw.
    fn skip(&mut self, side: Side) {
        self.read(side);
        loop {
            let Stream { frags, store, policy, .. } = &mut self.streams[side];
            if self.conn.skip(side, Some(Buffer { frags, store, policy })).is_none() {
                return;
            }
            self.read(side);
        }
    }

    fn read(&mut self, side: Side) {
        if self.reads_late || side == Side::Server && self.conn.has_undecided_syn_data() {
            return;
        }
        let stream = &mut self.streams[side];
        let window = self.conn.stream(side).window();
        loop {
            let (range, data) = match window.next_for(&stream.frags, stream.cursor) {
                Next::Data(range) => {
                    let piece = stream.store.piece(range).to_vec();
                    (Range::at(range.start, piece.len() as u64), Some(piece))
                }
                Next::Lost(range) => (range, None),
                Next::Empty => return,
            };
            stream.cursor = range.end;
            match self.log.last_mut() {
                // One piece, however it came.
                Some(last) if joins(last, side, range, data.is_some()) => {
                    last.range.end = range.end;
                    if let (Some(old), Some(new)) = (&mut last.data, data) {
                        old.extend(new);
                    }
                }
                _ => self.log.push(Piece { to: side, range, data }),
            }
        }
    }

    /// What the application of `side` read, without what is missing.
    pub(crate) fn read_by(&self, side: Side) -> Vec<u8> {
        self.log.iter().filter(|p| p.to == side).flat_map(|p| p.data.clone().unwrap_or_default()).collect()
    }

    pub(crate) fn text(&self, side: Side) -> String {
        String::from_utf8(self.read_by(side)).unwrap()
    }

    /// What is missing in the stream of `side`.
    pub(crate) fn gaps(&self, side: Side) -> Vec<Range> {
        self.log.iter().filter(|p| p.to == side && p.data.is_none()).map(|p| p.range).collect()
    }

    /// Length and offset of each run of octets that `side` read.
    pub(crate) fn chunks(&self, side: Side) -> Vec<[u64; 2]> {
        let data = self.log.iter().filter(|p| p.to == side && p.data.is_some());
        data.map(|p| [p.range.len(), p.range.start.0]).collect()
    }
}

fn joins(last: &Piece, side: Side, range: Range, is_data: bool) -> bool {
    last.to == side && last.range.end == range.start && last.data.is_some() == is_data
}
