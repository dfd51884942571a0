//! Any segments whatever, on one connection: what holds for all of them. For property tests and fuzz targets.
//!
//! [`run`] reads from bytes which settings a connection has, and segments for it: each is near something that matters
//! (what is expected, acknowledged, advertised, held) or raw bytes off the wire. After each these rules are checked:
//!
//! 1. A refused segment changes neither stream, and no state but that of a server with no more than a request.
//! 2. Octets in order stay what they were, and stay in order until the stream begins anew.
//! 3. The same segment again brings no octet.
//! 4. What was announced before storing is what happened.
//! 5. What is put into the short form comes out of it as it was.

use super::repack;
use crate::options::{OptionFaults, Options, Signature, Timestamps};
use crate::{
    Arrival, Buffer, Conn, Flags, Report, Segment, Side, Sides, State, Strictness, UrgentPolicy, Verdict,
};
use ringbuf_core::overlap::Linux;
use ringbuf_core::store::Flat;
use ringbuf_core::window::Window;
use ringbuf_core::{FragList, Offset, Overlap, Range, SeqNum, Store};
use std::vec;
use std::vec::Vec;

const CAP: u32 = 96;
const RANGES: usize = 6;
/// Offsets up to here are remembered octet by octet.
const REMEMBERED: u64 = 1 << 16;
const PAYLOAD: &[u8; 48] = b"the quick brown fox jumps over the lazy dog and ";

/// The rest of the input, octet by octet; zeros at its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }
}

/// One stream and what was in order in it so far.
#[derive(Clone)]
struct Stream {
    frags: FragList<RANGES>,
    store: Flat<Vec<u8>>,
    linux: Linux<RANGES>,
    /// `None`: as Linux does.
    overlap: Option<Overlap>,
    seen: Vec<u8>,
    /// Places in `seen` of which nothing is known: gaps, and octets that were taken out.
    unknown: Vec<bool>,
}

impl Stream {
    fn new(overlap: Option<Overlap>) -> Self {
        let store = Flat::new(vec![0; CAP as usize]);
        Stream { frags: FragList::new(), store, linux: Linux::new(), overlap, seen: vec![], unknown: vec![] }
    }

    fn restart(&mut self) {
        *self = Stream::new(self.overlap);
    }

    fn receive(&mut self, conn: &mut Conn, to: Side, segment: &Segment<'_>) -> Report {
        let Stream { frags, store, linux, overlap, .. } = self;
        match *overlap {
            Some(policy) => conn.received(to, segment, Some(Buffer { frags, store, policy })),
            None => conn.received(to, segment, Some(Buffer { frags, store, policy: linux })),
        }
    }
}

struct World {
    conn: Conn,
    window: Window,
    /// The readers take everything in order at once, and it is let go.
    prompt: bool,
    streams: Sides<Stream>,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let setup = input.byte();
        let midstream = setup & 1 != 0;
        let window = if midstream { Window::new(CAP) } else { Window::with_ahead(CAP, 64) };
        let mut conn = if midstream { Conn::midstream(window) } else { Conn::new(window) };
        let strictness =
            [Strictness::Linux, Strictness::LinuxBefore68, Strictness::Rfc9293, Strictness::Lossy];
        conn.set_strictness(strictness[usize::from(setup >> 1 & 3)]);
        let urgent =
            [UrgentPolicy::OutOfBand, UrgentPolicy::Inline, UrgentPolicy::OutOfBand, UrgentPolicy::Drop];
        for side in Side::BOTH {
            conn.set_urgent_policy(side, urgent[usize::from(setup >> 3 & 3)]);
        }
        let overlap = [Some(Overlap::First), Some(Overlap::Last), None, None][usize::from(setup >> 5 & 3)];
        let prompt = setup & 128 != 0;
        World { conn, window, prompt, streams: Sides::from_fn(|_| Stream::new(overlap)) }
    }

    /// A segment near something that matters.
    fn draft(&self, from: Side, input: &mut Input<'_>, stamp: u32) -> Segment<'static> {
        let (kind, place, len) = (input.byte(), input.byte(), input.byte() % 46);
        let (mine, theirs) = (self.conn.space(from), self.conn.space(!from));
        let into = theirs.stream();
        let at = match place % 8 {
            0 => Offset::ZERO,
            1 => into.acked(),
            2 => into.edge().unwrap_or(Offset::ZERO),
            3 => into.window().head(&self.streams[!from].frags),
            _ => into.next(),
        };
        let drift = i32::from(input.byte().cast_signed()) >> (place >> 4 & 7);
        let base = into.base().unwrap_or(SeqNum(0xffff_fff0));
        let seq = at.seq(base).0.wrapping_add(drift.cast_unsigned());
        let sent = theirs.snd_nxt().unwrap_or_default();
        let ack = match input.byte() % 8 {
            0 => mine.stream().acked().seq(mine.stream().base().unwrap_or_default()),
            1 => sent + 1,
            2 => sent - u32::from(kind),
            _ => sent,
        };
        let payload = &PAYLOAD[usize::from(place % 3)..][..usize::from(len)];
        let mut segment = Segment::build(seq, ack.0, FLAGS[usize::from(kind) % FLAGS.len()], payload);
        segment.window = if kind & 64 == 0 { 64 } else { u16::from(place) };
        segment.urgent = u16::from(kind >> 3);
        segment.options = options(input.byte(), stamp);
        segment
    }

    fn play(&mut self, from: Side, segment: &Segment<'_>) {
        let before = self.conn;
        match self.conn.judge(from, segment) {
            Verdict::Accept => {
                self.accept(from, segment);
                self.repeat(from, segment);
            }
            Verdict::Refuse(anomaly) => {
                self.conn.note_refused(from, segment, anomaly);
                self.check_unchanged(&before);
            }
            Verdict::Restart => {
                self.conn = self.conn.successor(segment);
                self.streams.client.restart();
                self.streams.server.restart();
            }
        }
        for side in Side::BOTH {
            self.conn.stream(side).window().check(&self.streams[side].frags);
        }
        self.rest();
    }

    /// Rule 5.
    fn rest(&mut self) {
        for side in Side::BOTH {
            let undecided = side == Side::Server && self.conn.has_undecided_syn_data();
            if self.prompt && !undecided {
                let Stream { frags, store, .. } = &mut self.streams[side];
                let next = self.conn.stream(side).next();
                let _ = self.conn.release(side, frags, store, next);
            }
        }
        let _ = repack(&mut self.conn, &self.window);
    }

    /// Rule 1.
    fn check_unchanged(&self, before: &Conn) {
        for side in Side::BOTH {
            let (was, is) = (before.state(side), self.conn.state(side));
            assert!(is == was || (was, is) == (State::SynReceived, State::Listen), "rule 1: {was} {is}");
            assert_eq!(self.conn.stream(side).window(), before.stream(side).window(), "rule 1");
        }
    }

    fn accept(&mut self, from: Side, segment: &Segment<'_>) {
        let sent = self.conn.sent(from, segment);
        if sent.syn_data == Some(false) {
            self.streams.server.restart();
        }
        for side in Side::BOTH.into_iter().filter(|side| sent.restarted[*side]) {
            self.streams[side].restart();
        }
        let (to, stream) = (!from, &self.streams[!from]);
        let arrival = self.conn.arriving(to, segment, Some((&stream.frags, &stream.store)));
        let report = self.streams[to].receive(&mut self.conn, to, segment);
        check_announced(&arrival, &report);
        assert_eq!(report.in_order.len(), report.data.advanced, "what is in order is told");
        self.check_order(to, &report);
    }

    /// Rule 3, on a copy.
    fn repeat(&self, from: Side, segment: &Segment<'_>) {
        let (mut conn, mut stream) = (self.conn, self.streams[!from].clone());
        let next = conn.stream(!from).next();
        if segment.is_syn() || !conn.judge(from, segment).is_accept() {
            return;
        }
        let sent = conn.sent(from, segment);
        if sent.restarted == Sides::default() && sent.syn_data.is_none() {
            let report = stream.receive(&mut conn, !from, segment);
            assert_eq!(conn.stream(!from).next(), next, "rule 3: {report:?}");
        }
    }

    /// Rule 2.
    #[allow(clippy::cast_possible_truncation)] // what is remembered is short
    fn check_order(&mut self, to: Side, report: &Report) {
        let (next, run) = (self.conn.stream(to).next().0, self.conn.stream(to).window().run());
        let undecided = self.conn.has_undecided_syn_data() && to == Side::Server;
        if undecided || next > REMEMBERED {
            return;
        }
        let Stream { store, seen, unknown, overlap, .. } = &mut self.streams[to];
        assert!(next >= seen.len() as u64, "rule 2: what was in order stays so");
        seen.resize(next as usize, 0);
        unknown.resize(next as usize, true);
        for (i, octet) in (run.start.0 as usize..).zip(store.pieces(run).flatten().copied()) {
            let may_change = *overlap == Some(Overlap::Last) || unknown[i];
            assert!(may_change || seen[i] == octet, "rule 2: octet {i}");
            (seen[i], unknown[i]) = (octet, false);
        }
        if let Some(urgent) = report.urgent.filter(|urgent| urgent.removed) {
            unknown[urgent.offset.0 as usize] = true;
        }
    }

    fn skip(&mut self, side: Side) {
        let before = self.conn.stream(side).next();
        let Stream { frags, store, linux, .. } = &mut self.streams[side];
        let gap = self.conn.gap(side, Some(frags));
        let skipped = self.conn.skip(side, Some(Buffer { frags, store, policy: linux }));
        assert_eq!(skipped.map(|(range, _)| range), gap, "what was shown is skipped");
        assert!(gap.is_none_or(|gap| gap.start == before && self.conn.stream(side).next() >= gap.end));
    }
}

/// Rule 4.
fn check_announced(arrival: &Arrival, report: &Report) {
    let told = arrival.keep_alive || arrival.retransmission;
    assert!(report.data.duplicate == 0 || told, "rule 4: {arrival:?} {report:?}");
    assert!(report.data.conflict.is_none() || arrival.conflict.is_some() || arrival.keep_alive, "rule 4");
    let moved = arrival.out_of_order && report.data.advanced > 0;
    assert!(!moved || report.data.overrun > 0, "rule 4: {arrival:?} {report:?}");
}

const FLAGS: [Flags; 16] = [
    Flags::ACK,
    Flags(0x18),
    Flags(0x18),
    Flags::ACK,
    Flags::SYN,
    Flags(0x12),
    Flags(0x11),
    Flags(0x19),
    Flags::RST,
    Flags(0x14),
    Flags(0x30),
    Flags(0x38),
    Flags(0),
    Flags(0x01),
    Flags(0x03),
    Flags(0xfff),
];

fn options(kind: u8, stamp: u32) -> Options<'static> {
    let drift = u32::from(kind & 7).wrapping_sub(3);
    let timestamps = (kind & 8 != 0).then_some(Timestamps { value: stamp.wrapping_add(drift), echo: stamp });
    Options {
        timestamps,
        window_scale: (kind & 16 != 0).then_some(kind & 3),
        sack_permitted: kind & 32 != 0,
        signature: (kind & 0xc0 == 0xc0).then_some(Signature::Md5),
        faults: if kind & 0xf8 == 0x40 { OptionFaults::SIGNATURE } else { OptionFaults::default() },
        ..Options::default()
    }
}

/// Plays what is in `input`.
///
/// # Panics
/// When one of the rules is broken.
pub fn run(input: &[u8]) {
    let input = &mut Input(input);
    let mut world = World::new(input);
    let mut stamp = 1000;
    while !input.0.is_empty() {
        let op = input.byte();
        let from = if op & 1 == 0 { Side::Client } else { Side::Server };
        match op >> 1 & 15 {
            0 => world.skip(from),
            1 => {
                let bytes: Vec<u8> = (0..20 + usize::from(op >> 5) * 6).map(|_| input.byte()).collect();
                if let Ok(segment) = Segment::parse(&bytes, bytes.len()) {
                    world.play(from, &segment);
                }
            }
            2 => stamp = input.word(),
            _ => {
                let segment = world.draft(from, input, stamp);
                world.play(from, &segment);
                stamp = stamp.wrapping_add(1);
            }
        }
    }
    for side in Side::BOTH {
        let held = world.conn.stream(side).window().ranges(&world.streams[side].frags);
        assert!(held.map(Range::len).sum::<u64>() <= CAP.into(), "memory is bounded");
    }
}

#[cfg(test)]
mod tests {
    use super::run;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn whatever_comes_the_rules_hold(input in prop::collection::vec(any::<u8>(), 0..600)) {
            run(&input);
        }
    }
}
