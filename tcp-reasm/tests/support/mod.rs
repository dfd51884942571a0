//! Two sides and the segments between them, for tests.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses a part

pub(crate) mod monitor;

pub(crate) mod packets;

use ringbuf_core::store::Flat;
use ringbuf_core::window::Window;
use ringbuf_core::{FragList, Offset, Overlap, Range, Store};
use tcp_reasm::options::{Options, Timestamps};
use tcp_reasm::{Anomaly, Buffer, Conn, Flags, PackedConn, Report, Segment, Sent, Side, State, Verdict};

pub(crate) const C: Side = Side::Client;
pub(crate) const S: Side = Side::Server;
pub(crate) const CISS: u32 = u32::MAX - 1;
pub(crate) const SISS: u32 = 1000;

/// A connection with memory for both streams.
pub(crate) struct Link {
    pub(crate) conn: Conn,
    pub(crate) frags: [FragList<8>; 2],
    pub(crate) rings: [Flat<Vec<u8>>; 2],
    pub(crate) last: (Sent, Report),
}

impl Link {
    pub(crate) fn over(conn: Conn) -> Self {
        let ring = || Flat::new(vec![0_u8; 256]);
        let frags = [FragList::new(), FragList::new()];
        Link { conn, frags, rings: [ring(), ring()], last: (Sent::default(), Report::default()) }
    }

    pub(crate) fn new() -> Self {
        Link::over(Conn::new(Window::new(256)))
    }

    pub(crate) fn established() -> Self {
        let mut l = Link::new();
        l.syn().syn_ack().ack(C, 0, 0);
        assert_eq!(l.states(), (State::Established, State::Established));
        l
    }

    pub(crate) fn play(&mut self, from: Side, segment: &Segment<'_>) -> Verdict {
        let _ = repack(&mut self.conn);
        let verdict = self.conn.judge(from, segment);
        match verdict {
            Verdict::Accept => {
                let sent = self.conn.sent(from, segment);
                if sent.syn_data == Some(false) {
                    self.frags[1].clear();
                }
                for side in Side::BOTH.into_iter().filter(|s| sent.restarted[*s]) {
                    self.frags[side as usize].clear();
                }
                let i = (!from) as usize;
                let buffer =
                    Buffer { frags: &mut self.frags[i], store: &mut self.rings[i], policy: Overlap::First };
                self.last = (sent, self.conn.received(!from, segment, Some(buffer)));
            }
            Verdict::Refuse(anomaly) => self.conn.note_refused(from, segment, anomaly),
            Verdict::Restart => {}
        }
        verdict
    }

    /// Plays a segment whose numbers count from the first payload octet of each stream.
    pub(crate) fn send(&mut self, from: Side, seq: i64, ack: i64, flags: Flags, data: &[u8]) -> Verdict {
        let (mine, theirs) = if from == C { (CISS, SISS) } else { (SISS, CISS) };
        let absolute = |iss: u32, n: i64| iss.wrapping_add(1).wrapping_add(n as u32);
        let ack = if flags.has(Flags::ACK) { absolute(theirs, ack) } else { 0 };
        self.play(from, &Segment::build(absolute(mine, seq), ack, flags, data))
    }

    /// Why payload is left out of a segment that is taken; `None` when it is not.
    pub(crate) fn left_out(&mut self, from: Side, seq: i64, data: &[u8]) -> Option<Anomaly> {
        assert!(self.send(from, seq, 0, Flags::ACK, data).is_accept());
        self.last.0.left_out.then(|| self.last.0.odd.iter().next().unwrap())
    }

    pub(crate) fn syn(&mut self) -> &mut Self {
        assert!(self.send(C, -1, 0, Flags::SYN, b"").is_accept());
        self
    }

    pub(crate) fn syn_ack(&mut self) -> &mut Self {
        assert!(self.send(S, -1, 0, Flags::SYN | Flags::ACK, b"").is_accept());
        self
    }

    pub(crate) fn ack(&mut self, from: Side, seq: i64, ack: i64) -> &mut Self {
        assert!(self.send(from, seq, ack, Flags::ACK, b"").is_accept());
        self
    }

    pub(crate) fn data(&mut self, from: Side, seq: i64, ack: i64, data: &str) -> &mut Self {
        assert!(self.send(from, seq, ack, Flags::ACK, data.as_bytes()).is_accept(), "{data}");
        self
    }

    pub(crate) fn fin(&mut self, from: Side, seq: i64, ack: i64) -> &mut Self {
        assert!(self.send(from, seq, ack, Flags::ACK | Flags::FIN, b"").is_accept());
        self
    }

    pub(crate) fn states(&self) -> (State, State) {
        (self.conn.state(C), self.conn.state(S))
    }

    /// The in-order octets that `side` received and that are still held.
    pub(crate) fn text(&self, side: Side) -> String {
        let run = self.conn.stream(side).window().run();
        let ring = &self.rings[side as usize];
        let piece = ring.piece(run);
        let rest = Range { start: Offset(run.start.0 + piece.len() as u64), end: run.end };
        String::from_utf8_lossy(&[piece, ring.piece(rest)].concat()).into_owned()
    }

    pub(crate) fn skip(&mut self, side: Side) -> Option<Range> {
        let i = side as usize;
        let buffer = Buffer { frags: &mut self.frags[i], store: &mut self.rings[i], policy: Overlap::First };
        self.conn.skip(side, Some(buffer)).map(|(gap, _)| gap)
    }
}

/// Puts a connection away in its short form and takes it out again. Returns whether it has one.
pub(crate) fn repack(conn: &mut Conn) -> bool {
    let window = conn.stream(C).window().restarted_at(Offset::ZERO);
    let Some(packed) = PackedConn::pack(conn, &window) else { return false };
    let again = packed.unpack(&window);
    assert_eq!(again, *conn, "what was put away is what is taken out");
    *conn = again;
    true
}

/// Options with timestamps alone.
pub(crate) fn ts(value: u32, echo: u32) -> Options<'static> {
    Options { timestamps: Some(Timestamps { value, echo }), ..Options::default() }
}

/// A segment with options; its numbers count from the first payload octet of each stream.
pub(crate) fn with(
    options: Options<'static>,
    from: Side,
    seq: i64,
    ack: i64,
    flags: Flags,
    data: &'static [u8],
) -> Segment<'static> {
    let (mine, theirs) = if from == C { (CISS, SISS) } else { (SISS, CISS) };
    let absolute = |iss: u32, n: i64| iss.wrapping_add(1).wrapping_add(n as u32);
    let ack = if flags.has(Flags::ACK) { absolute(theirs, ack) } else { 0 };
    Segment { options, ..Segment::build(absolute(mine, seq), ack, flags, data) }
}
