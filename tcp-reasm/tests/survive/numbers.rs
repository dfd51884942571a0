//! Sequence numbers that wrap, streams of any length, and what memory they cost.

use crate::support::{self, Link};
use crate::talk::*;
use ringbuf_core::chunk::{ChunkMap, ChunkPool, Chunked};
use ringbuf_core::store::Flat;
use ringbuf_core::window::{Absent, Window};
use ringbuf_core::{FragList, Offset, Overlap, Range, SeqNum, Store};
use tcp_reasm::options::Options;
use tcp_reasm::{Anomaly, Buffer, Conn, Flags, NO_BUFFER, Report, Segment, State, Verdict};

const GIB: u64 = 1 << 30;

/// A client that sends to a server whose octets lie in a pool of chunks, or nowhere. Both scale their windows by 14.
struct Sender {
    conn: Conn,
    isns: Isns,
    frags: FragList<128>,
    pool: ChunkPool<Vec<u8>, Vec<u32>>,
    map: ChunkMap,
    /// Octets are kept.
    keeps: bool,
}

impl Sender {
    fn new(isns: Isns, cap: u32, keeps: bool) -> Self {
        let (pool, map) = (ChunkPool::with_chunks(if keeps { 600 } else { 0 }), ChunkMap::new());
        let mut s =
            Sender { conn: Conn::new(Window::new(cap)), isns, frags: FragList::new(), pool, map, keeps };
        let offer = Options { window_scale: Some(14), ..Options::default() };
        for (side, flags) in [(C, Flags::SYN), (S, Flags::SYN | Flags::ACK)] {
            let syn = Segment { options: offer, ..Segment::build(isns[side], s.first(!side), flags, b"") };
            assert_eq!(s.play(side, &syn).0, Verdict::Accept);
        }
        s.acks(C, 0);
        s.acks(S, 0);
        assert_eq!((s.conn.state(C), s.conn.state(S)), (State::Established, State::Established));
        s
    }

    /// Sequence number of the first octet that `side` sends.
    fn first(&self, side: tcp_reasm::Side) -> u32 {
        self.isns[side].wrapping_add(1)
    }

    fn play(&mut self, from: tcp_reasm::Side, segment: &Segment<'_>) -> (Verdict, Report) {
        let verdict = self.conn.judge(from, segment);
        if !verdict.is_accept() {
            return (verdict, Report::default());
        }
        let _ = self.conn.sent(from, segment);
        if from == S || !self.keeps {
            return (verdict, self.conn.received(!from, segment, NO_BUFFER));
        }
        let mut store = Chunked { pool: &mut self.pool, map: &mut self.map };
        let buffer = Buffer { frags: &mut self.frags, store: &mut store, policy: Overlap::First };
        (verdict, self.conn.received(S, segment, Some(buffer)))
    }

    /// `side` has everything below `offset`.
    fn acks(&mut self, side: tcp_reasm::Side, offset: u64) {
        let seq = self.conn.space(side).snd_nxt().unwrap();
        let ack = Offset(offset).seq(SeqNum(self.first(!side)));
        let (verdict, _) = self.play(side, &Segment::build(seq.0, ack.0, Flags::ACK, b""));
        assert_eq!(verdict, Verdict::Accept, "{side} {offset}");
    }

    /// The client sends `data` at `offset`; of `len` octets the capture may have fewer.
    fn sends_cut(&mut self, offset: u64, data: &[u8], len: u32) -> (Verdict, Report) {
        let seq = Offset(offset).seq(SeqNum(self.first(C)));
        let segment = Segment::build(seq.0, self.first(S), Flags::ACK, data);
        self.play(C, &Segment { payload_len: len, ..segment })
    }

    fn sends(&mut self, offset: u64, data: &[u8]) -> (Verdict, Report) {
        self.sends_cut(offset, data, u32::try_from(data.len()).unwrap())
    }

    /// Goes on behind what the server acknowledged.
    fn skip(&mut self) -> Option<Range> {
        let mut store = Chunked { pool: &mut self.pool, map: &mut self.map };
        let buffer = Buffer { frags: &mut self.frags, store: &mut store, policy: Overlap::First };
        self.conn.skip(S, Some(buffer)).map(|(gap, _)| gap)
    }

    /// The server's application has read everything in order.
    fn reads(&mut self) -> u64 {
        let mut store = Chunked { pool: &mut self.pool, map: &mut self.map };
        let next = self.conn.stream(S).next();
        self.conn.release(S, &mut self.frags, &mut store, next)
    }

    fn piece(&self, range: Range) -> &[u8] {
        self.map.piece(&self.pool, range)
    }

    fn next(&self) -> u64 {
        self.conn.stream(S).next().0
    }
}

pub(crate) fn case_33_right_of_the_window(isns: Isns) {
    let mut t = Talk::open(isns);
    t.takes(s("A", 0, 0)).refuses(c("PA", 100_000_000, 0).data("EVIL"), Anomaly::OutOfWindow);
    t.takes(s("A", 0, 0)).takes(c("PA", 0, 0).data("GOOD"));
    t.ends(S, "GOOD", Fate::Open);
    assert!(!t.monitor.conn.stream(S).holds_early());

    // Right of the widest window there can be (1 GiB), to the farthest place: nothing is stored.
    let mut sender = Sender::new(isns, 1 << 20, true);
    for at in [GIB, GIB + 1, 2 * GIB - 1] {
        let (verdict, _) = sender.sends(at, b"EVIL");
        assert!(!verdict.is_accept() || sender.conn.stream(S).edge() >= Some(Offset(at)), "{at}");
        assert_eq!((sender.pool.used(), sender.frags.as_slice()), (0, &[][..]));
    }
    // In the server's window, but there is no memory so far ahead: it is told, and costs nothing.
    for at in [1 << 20, 1 << 25, 1 << 29] {
        let (verdict, report) = sender.sends(at, b"FAR");
        assert_eq!((verdict, report.data.refused, report.data.fresh), (Verdict::Accept, 3, 0));
        assert_eq!((sender.pool.used(), sender.frags.as_slice()), (0, &[][..]));
    }
    let (_, report) = sender.sends(0, b"GOOD");
    assert_eq!((report.data.advanced, sender.piece(Range::new(0, 4))), (4, &b"GOOD"[..]));
    assert_eq!(sender.pool.used(), 1);
}

pub(crate) fn case_37_selective_acknowledgements_of_nothing(isns: Isns) {
    let block = |left: u32, right: u32| {
        let place = |n: u32| isns.server.wrapping_add(1).wrapping_add(n).to_be_bytes();
        [place(left), place(right)].concat()
    };
    let option = |blocks: &[Vec<u8>]| {
        let mut option = vec![5, u8::try_from(2 + 8 * blocks.len()).unwrap()];
        option.extend(blocks.concat());
        option
    };
    // The server has sent 12 octets, and the client waits for those from 4 to 8.
    let mut t = Talk::open(isns);
    t.takes(s("PA", 0, 0).data("GOOD")).takes(s("PA", 8, 0).data("LAST"));
    t.takes(c("A", 0, 4).options(&option(&[block(8, 12)])));
    t.takes(c("A", 0, 4).options(&option(&[block(0, 4), block(8, 12)]))); // RFC 2883: what came twice
    let bad = [
        block(1000, 2000),
        block(12, 13),
        block(8, 13),
        block(12, 8),
        block(8, 8),
        block(0x7fff_ffff, 0x10),
        block(0x10, 0x7fff_ffff),
        block(0u32.wrapping_sub(5), 0u32.wrapping_sub(9)),
    ];
    for bad in &bad {
        t.takes_odd(c("A", 0, 4).options(&option(std::slice::from_ref(bad))), &[Anomaly::SackInvalid]);
        t.takes_odd(c("A", 0, 4).options(&option(&[block(8, 12), bad.clone()])), &[Anomaly::SackInvalid]);
    }
    for i in 0..3000_u32 {
        let blocks = [0, 1, 2, 3].map(|j| block(100 + i.wrapping_mul(0x9e37_79b1) % 0x7fff_0000 + j, j));
        t.takes_odd(c("A", 0, 4).options(&option(&blocks)), &[Anomaly::SackInvalid]);
    }
    assert!(t.is_established() && !t.has_gap(C) && !t.has_gap(S));
    t.takes(s("PA", 4, 0).data("MORE")).takes(c("PA", 0, 12).data("ASK"));
    t.ends(C, "GOODMORELAST", Fate::Open);
    t.ends(S, "ASK", Fate::Open);
    // Not one of a length that blocks can have.
    for len in [2, 3, 9, 11, 17] {
        let odd = [&[5, len][..], &vec![7; usize::from(len) - 2]].concat();
        t.takes_odd(c("A", 3, 12).options(&odd), &[Anomaly::OptionLength]);
    }
}

pub(crate) fn case_38_out_of_order_over_the_wrap(isns: Isns) {
    for client in (0..20).map(|i| u32::MAX - i).chain([isns.client]) {
        let mut t = Talk::open(Isns { client, ..isns });
        t.takes(c("PA", 8, 0).data("IJKLMNOP")).takes(c("PA", 4, 0).data("EFGH"));
        t.ends(S, "", Fate::Open);
        t.takes(c("PA", 0, 0).data("ABCD")).takes(s("A", 0, 16)).takes(c("FA", 16, 0));
        t.ends(S, "ABCDEFGHIJKLMNOP", Fate::Eof);
    }
}

pub(crate) fn case_38_more_than_four_gigabytes_without_a_buffer(isns: Isns) {
    let mut sender = Sender::new(isns, 1 << 16, false);
    let (mut at, step) = (0, 300_000_007);
    while at < 20 * GIB {
        // The second part overtakes the first; then the first again.
        let (verdict, report) = sender.sends_cut(at + 5000, b"", step - 5000);
        assert_eq!((verdict, report.data.advanced, sender.next()), (Verdict::Accept, 0, at));
        assert_eq!(sender.sends_cut(at, b"", 5000).1.data.advanced, 5000);
        assert_eq!(sender.sends_cut(at + 5000, b"", step - 5000).1.data.advanced, u64::from(step) - 5000);
        at += u64::from(step);
        assert_eq!(sender.next(), at);
        sender.acks(S, at);
        assert_eq!(sender.conn.stream(S).acked(), Offset(at));
        assert_eq!(sender.conn.stream(S).edge(), Some(Offset(at + (65_535 << 14))));
        assert_eq!(sender.sends_cut(at - 100, b"", 50).0, Verdict::Refuse(Anomaly::OldSegment));
        assert_eq!(sender.conn.gap::<0>(S, None), None);
    }
    let (verdict, _) = sender.sends(at + 2 * GIB - 1, b"EVIL");
    assert_eq!(verdict, Verdict::Refuse(Anomaly::OutOfWindow));
    // A gap of a GiB is one, and is told as one.
    sender.conn.set_strictness(tcp_reasm::Strictness::Lossy);
    sender.acks(S, at + GIB / 2);
    assert_eq!(sender.conn.gap::<0>(S, None), Some(Range::new(at, at + GIB / 2)));
    let seq = Offset(at + GIB / 2).seq(SeqNum(sender.first(C)));
    let fin = Segment::build(seq.0, sender.first(S), Flags::FIN | Flags::ACK, b"");
    assert_eq!(sender.conn.skip(S, NO_BUFFER).map(|(gap, _)| gap), Some(Range::new(at, at + GIB / 2)));
    assert_eq!(sender.play(C, &fin).0, Verdict::Accept);
    assert!(sender.conn.is_finished(S));
}

pub(crate) fn case_38_more_than_four_gigabytes_through_a_ring(isns: Isns) {
    const CAP: u32 = 1 << 16;
    const PERIOD: u64 = 251;
    /// A segment of most of the ring; they come in pairs, the second first.
    const LEN: u64 = 30_000;
    if isns != ISNS[1] {
        return; // once is enough: it takes its time, and any number is met on the way
    }
    let pattern: Vec<u8> = (0..LEN + PERIOD).map(|i| u8::try_from(i % PERIOD).unwrap()).collect();
    let text = |at: u64| &pattern[usize::try_from(at % PERIOD).unwrap()..][..usize::try_from(LEN).unwrap()];
    let mut conn = Sender::new(isns, CAP, false).conn;
    let (mut frags, mut ring) = (FragList::<8>::new(), Flat::new(vec![0_u8; CAP as usize]));
    let (base, ack) = (SeqNum(isns.client.wrapping_add(1)), isns.server.wrapping_add(1));
    let mut at = 0;
    while at < 4 * GIB + 4 * LEN {
        for place in [at + LEN, at] {
            let segment = Segment::build(Offset(place).seq(base).0, ack, Flags::ACK, text(place));
            assert_eq!(conn.judge(C, &segment), Verdict::Accept);
            let _ = conn.sent(C, &segment);
            let buffer = Buffer { frags: &mut frags, store: &mut ring, policy: Overlap::First };
            assert_eq!(conn.received(S, &segment, Some(buffer)).data.fresh, LEN);
        }
        at += 2 * LEN;
        let acks = Segment::build(ack, Offset(at).seq(base).0, Flags::ACK, b"");
        assert_eq!(conn.judge(S, &acks), Verdict::Accept);
        let _ = conn.sent(S, &acks);
        let _ = conn.received(C, &acks, NO_BUFFER);
        assert_eq!(conn.stream(S).next(), Offset(at));
        let mut rest = text(at - LEN);
        for piece in ring.pieces(Range::new(at - LEN, at)) {
            let (same, behind) = rest.split_at(piece.len());
            assert!(piece == same, "{at}");
            rest = behind;
        }
        assert!(rest.is_empty(), "{at}");
    }
    // Offsets of 64 bits: what was at the same place modulo 2^32 is gone, and said to be.
    let window = conn.stream(S).window();
    assert_eq!(window.lookup(&frags, Offset(at - 1)), Ok(Range::new(at - 1, at)));
    let head = window.head(&frags);
    assert!(head.0 + u64::from(CAP) >= at && head.0 > 4 * GIB);
    assert_eq!(window.lookup(&frags, Offset(at - 1 - 4 * GIB)), Err(Absent::Overrun { head }));
    assert_eq!(window.lookup(&frags, Offset(at - 1 + 4 * GIB)), Err(Absent::Beyond));
}

const EDGES: [u32; 15] = [
    0,
    1,
    2,
    255,
    256,
    257,
    65_535,
    0x7fff_fffe,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_ff00,
    0xffff_fffd,
    0xffff_fffe,
    0xffff_ffff,
];

pub(crate) fn case_39_numbers_at_the_edges(_: Isns) {
    const LENGTHS: [u32; 8] = [0, 1, 4, 255, 257, 0x7fff_ffff, 0x8000_0000, u32::MAX - 20];
    const FLAGS: [u16; 7] = [0x10, 0x11, 0x02, 0x12, 0x04, 0x14, 0x31];
    let begin: [fn() -> Link; 5] = [
        Link::new,
        || {
            let mut l = Link::new();
            l.syn();
            l
        },
        || {
            let mut l = Link::new();
            l.syn().syn_ack();
            l
        },
        Link::established,
        || {
            let mut l = Link::established();
            l.data(C, 10, 0, "early").ack(S, 0, 0).fin(C, 20, 0);
            l
        },
    ];
    let payload = [b'E'; 300];
    for begin in begin {
        for (i, seq) in EDGES.iter().enumerate() {
            for len in LENGTHS {
                for flags in FLAGS {
                    let ack = EDGES[(i * 7 + len as usize % 11) % EDGES.len()];
                    for ack in [ack, 0] {
                        let base = support::CISS.wrapping_add(1);
                        let captured = &payload[..payload.len().min(len as usize)];
                        let flags = Flags(flags);
                        let ack = support::SISS.wrapping_add(1).wrapping_add(ack);
                        let evil = Segment::build(base.wrapping_add(*seq), ack, flags, captured);
                        assert_bounded(begin(), &Segment { payload_len: len, urgent: 65_535, ..evil });
                    }
                }
            }
        }
    }
}

/// Whatever it does, it stays within the memory, and when it is refused it does nothing.
fn assert_bounded(mut link: Link, evil: &Segment<'_>) {
    let (before, edge) = (link.states(), link.conn.stream(S).edge());
    let arrival = link.conn.arriving(S, evil, Some((&link.frags[1], &link.rings[1])));
    assert!(arrival.offset.unsigned_abs() <= 1 << 33);
    let verdict = link.play(C, evil);
    let window = link.conn.stream(S).window();
    window.check(&link.frags[1]);
    assert!(window.top(&link.frags[1]).since(window.head(&link.frags[1])) <= 256);
    assert!(link.conn.stream(S).next().0 <= 300, "no more than was captured");
    if let Verdict::Refuse(_) = verdict {
        assert!(link.states() == before || before.1 == State::SynReceived);
        assert_eq!(link.conn.stream(S).edge(), edge);
        assert_eq!(link.conn.stream(S).next(), Offset(0));
        if before == (State::Established, State::Established) {
            link.data(C, 0, 0, "GOOD");
            assert_eq!(link.text(S), "GOOD");
        }
    }
    assert!(link.conn.gap(S, Some(&link.frags[1])).is_none_or(|gap| gap.len() < 1 << 32));
}

pub(crate) fn case_39_lengths_at_the_edges(isns: Isns) {
    for flags in ["A", "FA", "S", "SF", "SA", "SAF", "R"] {
        let bytes = c(flags, 0, 0).bytes(isns);
        for len in (0..=25)
            .flat_map(|i| [(u32::MAX as usize - 3).saturating_add(i), usize::MAX - i, (1 << 31) + 12 + i])
        {
            // No packet is so long; who says so gets an error, or a segment whose numbers hold.
            let Ok(segment) = Segment::parse(&bytes, len) else { continue };
            assert_eq!(segment.payload_len as usize + 20, len);
            let octets = u64::from(segment.payload_len) + u64::from(segment.is_syn());
            assert_eq!(u64::from(segment.seq_len()), octets + u64::from(segment.is_fin()));
            assert!(segment.payload.is_empty());
        }
    }
}

pub(crate) fn case_39_overlapping_segments(isns: Isns) {
    let text: String = (0..240).map(|i| char::from(b'!' + i % 90)).collect();
    let mut state = u64::from(isns.client) << 1 | 1;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..60 {
        let mut t = Talk::open(isns);
        for _ in 0..60 {
            let (a, b) = (random(text.len()), random(text.len()));
            let (start, end) = (a.min(b), a.max(b) + 1);
            t.takes(c("PA", i64::try_from(start).unwrap(), 0).data(&text[start..end]));
            assert_eq!(t.monitor.last.1.data.conflict, None);
            assert!(text.starts_with(&t.monitor.text(S)));
        }
        t.takes(c("PA", 0, 0).data(&text[..120])).takes(c("PA", 120, 0).data(&text[120..]));
        t.ends(S, &text, Fate::Open);
    }
}

pub(crate) fn case_40_sparse_streams(isns: Isns) {
    // A chunk each, and at most one table for each of two levels.
    let mut sender = Sender::new(isns, 1 << 30, true);
    let mut held = 0;
    for i in 1..=100_u64 {
        let (verdict, report) = sender.sends(i * 10_000_000, b"x");
        assert_eq!((verdict, report.data.fresh, report.data.refusal), (Verdict::Accept, 1, None), "{i}");
        held += 1;
        assert_eq!((sender.map.chunks(), sender.frags.total()), (held, u64::from(held)));
        assert!(sender.pool.used() <= 3 * held, "{} chunks for {held} octets", sender.pool.used());
    }
    let (_, report) = sender.sends(0, b"GOOD");
    assert_eq!((report.data.advanced, sender.piece(Range::new(0, 4))), (4, &b"GOOD"[..]));
    for i in 1..=100_u64 {
        assert_eq!(sender.piece(Range::at(Offset(i * 10_000_000), 1)), b"x");
    }
    // The server has them all: gap by gap the stream goes on, and what was read is given back.
    sender.acks(S, 1_000_000_001);
    for i in 1..=100_u64 {
        let start = if i == 1 { 4 } else { (i - 1) * 10_000_000 + 1 };
        assert_eq!(sender.skip(), Some(Range::new(start, i * 10_000_000)));
        assert_eq!(sender.next(), i * 10_000_000 + 1);
        let _ = sender.reads();
        assert!(sender.map.chunks() <= 101 - u32::try_from(i).unwrap());
    }
    assert_eq!(sender.skip(), None);
    assert!(sender.pool.used() <= 3);
    Chunked { pool: &mut sender.pool, map: &mut sender.map }.clear();
    assert_eq!(sender.pool.used(), 0);
}

pub(crate) fn case_40_a_window_that_slides_over_gaps(isns: Isns) {
    let mut sender = Sender::new(isns, 1 << 30, true);
    let mut at = 0;
    for i in 0..200_u64 {
        // One far ahead; or two; or one that the window does not reach from what is held.
        let far = at + [64 << 20, 1 << 20, 1_000_000_000, 4096, 2047][usize::try_from(i % 5).unwrap()];
        assert_eq!(sender.sends(far, b"ahead").1.data.fresh, 5);
        assert_eq!(sender.sends(at, b"now").1.data.advanced, 3);
        assert_eq!(sender.piece(Range::at(Offset(at), 3)), b"now");
        sender.acks(S, far + 5);
        assert_eq!(sender.skip(), Some(Range::new(at + 3, far)));
        assert_eq!((sender.next(), sender.piece(Range::at(Offset(far), 5))), (far + 5, &b"ahead"[..]));
        // Two octets of the gap come late: they cost their chunk.
        let (verdict, report) = sender.sends(far - 100, b"la");
        assert!(verdict == Verdict::Accept || report.data.fresh == 0);
        assert!(sender.pool.used() <= 4 * 3, "{} chunks for 10 octets", sender.pool.used());
        if i % 2 == 0 {
            let _ = sender.reads();
            assert!(sender.pool.used() <= 3);
        } else {
            // Nobody reads: what the window leaves behind is given back all the same.
            assert!(sender.pool.used() <= 4 * 3);
        }
        at = far + 5;
    }
    assert!(at > 8 * GIB);
}
