//! Fragments from a script of bytes, against a model that keeps each octet in a map. Shared by property tests and the
//! fuzz target.
#![allow(missing_docs, clippy::panic, clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::memory::Heap;
use ringbuf_core::overlap::Relation;
use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

type Span = (u64, u64);

/// What the model expects of a fragment: nothing yet, a datagram, or a reason.
pub type Expected = Result<Option<Vec<u8>>, FragmentDrop>;

/// A datagram, octet by octet.
#[derive(Clone, Debug)]
struct Waiting {
    key: DatagramKey,
    family: Family,
    born: u64,
    octets: BTreeMap<u64, u8>,
    /// Extents of the fragments that brought something, and for each the kernel's run that it is part of.
    came: Vec<(Span, usize)>,
    end: Option<u64>,
    header: Vec<u8>,
    ecn: BTreeSet<u8>,
}

impl Waiting {
    fn top(&self) -> u64 {
        self.octets.last_key_value().map_or(0, |(o, _)| o + 1)
    }

    /// Pieces with holes between them.
    fn pieces(&self) -> usize {
        self.octets.keys().filter(|o| !self.octets.contains_key(&(*o + 1))).count()
    }

    fn has_all(&self) -> bool {
        self.end.is_some_and(|end| (0..end).all(|o| self.octets.contains_key(&o)))
    }

    /// The run that a fragment becomes part of.
    fn run(&self, new: Span) -> Result<usize, FragmentDrop> {
        let next = self.came.iter().map(|(_, run)| run + 1).max().unwrap_or(0);
        if let Some((_, last)) = self.came.iter().find(|(span, _)| span.1 == self.top() && span.1 == new.0) {
            return Ok(*last);
        }
        if !(new.0..new.1).any(|o| self.octets.contains_key(&o)) {
            return if next == MAX_FRAGMENTS { Err(FragmentDrop::TooManyRanges) } else { Ok(next) };
        }
        let within = |run: usize| {
            let members = || self.came.iter().filter(|(_, r)| *r == run).map(|(span, _)| *span);
            members().map(|s| s.0).min() <= Some(new.0) && members().map(|s| s.1).max() >= Some(new.1)
        };
        Err(if (0..next).any(within) { FragmentDrop::Duplicate } else { FragmentDrop::Overlap })
    }

    /// Whether the octet `o` of a new fragment is taken.
    fn takes(&self, policy: FragmentPolicy, new: Span, o: u64) -> bool {
        let range = |s: Span| Range::new(s.0, s.1);
        match policy.relations() {
            _ if !self.octets.contains_key(&o) => true,
            Some(relations) => self
                .came
                .iter()
                .filter(|(old, _)| (old.0..old.1).contains(&o))
                .all(|(old, _)| relations.replaces(Relation::of(range(new), range(*old)))),
            None => false,
        }
    }
}

/// All that waits, in the order in which it was opened.
#[derive(Clone, Debug)]
pub struct Model {
    pub config: DefragConfig,
    waiting: Vec<Waiting>,
    /// Buffers that can take a datagram.
    pub outputs: usize,
    running: u64,
    told: u64,
}

impl Model {
    pub fn new(config: DefragConfig) -> Self {
        Model { config, waiting: Vec::new(), outputs: OUTPUTS, running: 0, told: 0 }
    }

    fn wait(&self, family: Family) -> u64 {
        let time = if family == Family::V4 { self.config.timeout_v4 } else { self.config.timeout_v6 };
        time.as_micros() as u64
    }

    pub fn expire(&mut self, now: u64) -> usize {
        self.running += now.saturating_sub(self.told);
        self.told = now;
        let before = self.waiting.len();
        let (running, waits) = (self.running, [Family::V4, Family::V6].map(|f| (f, self.wait(f))));
        let wait = |family| waits.iter().find(|(f, _)| *f == family).unwrap().1;
        self.waiting.retain(|w| w.born + wait(w.family) > running);
        before - self.waiting.len()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let first = self.waiting.iter().map(|w| w.born + self.wait(w.family)).min()?;
        Some(Instant(self.told + first - self.running))
    }

    /// Takes a fragment.
    pub fn add(&mut self, f: &Fragment<'_>, now: u64) -> Expected {
        self.expire(now);
        let linux = self.config.policy == FragmentPolicy::Linux;
        let new = span(f, linux)?;
        if f.offset == 0 && !f.more {
            let whole = datagram(f.family, header(f), &f.payload[..f.payload_len], false)?;
            return if self.outputs == 0 { Err(FragmentDrop::NoOutput) } else { Ok(Some(whole)) };
        }
        let found = self.waiting.iter().position(|w| w.key == f.key && w.family == f.family);
        if new.0 >= new.1 {
            found.filter(|_| linux).map(|at| self.waiting.remove(at));
            return Err(FragmentDrop::Empty);
        }
        let at = found.unwrap_or_else(|| self.open(f));
        let result = self.enter(at, f, new);
        let over = match result {
            Ok(()) => self.waiting[at].has_all(),
            Err(FragmentDrop::BadEnd) => linux,
            Err(FragmentDrop::Duplicate) => !linux && self.waiting[at].has_all(),
            Err(reason) => matches!(reason, FragmentDrop::Overlap | FragmentDrop::TooManyRanges),
        };
        match result {
            Err(FragmentDrop::Duplicate) | Ok(()) if over => {
                let done = self.waiting.remove(at);
                self.finish(&done)
            }
            Err(reason) if over => {
                self.waiting.remove(at);
                Err(reason)
            }
            Ok(()) if self.waiting[at].top() > 65_535 => Err(FragmentDrop::TooLarge),
            Err(FragmentDrop::Duplicate) if !linux && self.waiting[at].top() > 65_535 => {
                Err(FragmentDrop::TooLarge)
            }
            result => result.map(|()| None),
        }
    }

    fn open(&mut self, f: &Fragment<'_>) -> usize {
        if self.waiting.len() == self.config.max_datagrams {
            self.waiting.remove(0);
        }
        self.waiting.push(Waiting {
            key: f.key,
            family: f.family,
            born: self.running,
            octets: BTreeMap::new(),
            came: Vec::new(),
            end: None,
            header: Vec::new(),
            ecn: BTreeSet::new(),
        });
        self.waiting.len() - 1
    }

    fn enter(&mut self, at: usize, f: &Fragment<'_>, new: Span) -> Result<(), FragmentDrop> {
        let policy = self.config.policy;
        let w = &mut self.waiting[at];
        let beyond = w.end.is_some_and(|end| new.1 > end);
        if beyond || !f.more && (w.top() > new.1 || w.end.is_some_and(|end| end != new.1)) {
            return Err(FragmentDrop::BadEnd);
        }
        if !f.more {
            w.end = Some(new.1);
        }
        let run = if policy == FragmentPolicy::Linux { w.run(new)? } else { 0 };
        let taken: Vec<u64> = (new.0..new.1).filter(|o| w.takes(policy, new, *o)).collect();
        if taken.is_empty() {
            return Err(FragmentDrop::Duplicate);
        }
        if taken[0] == 0 {
            w.header = header(f);
        }
        w.octets.extend(taken.iter().map(|o| (*o, f.payload[(o - new.0) as usize])));
        w.came.retain(|(span, _)| *span != new);
        w.came.push((new, run));
        w.ecn.insert(congestion(f));
        let by_extents =
            !matches!(policy, FragmentPolicy::First | FragmentPolicy::Last | FragmentPolicy::Linux);
        if w.pieces() > MAX_RANGES || by_extents && w.came.len() > MAX_FRAGMENTS {
            return Err(FragmentDrop::TooManyRanges);
        }
        Ok(())
    }

    fn finish(&self, done: &Waiting) -> Expected {
        let payload: Vec<u8> = done.octets.values().copied().collect();
        let all_capable = !done.ecn.contains(&0);
        let experienced = all_capable && done.ecn.contains(&3);
        let whole = datagram(done.family, done.header.clone(), &payload, experienced)?;
        if self.config.policy == FragmentPolicy::Linux && !all_capable && done.ecn.len() > 1 {
            return Err(FragmentDrop::Ecn);
        }
        if self.outputs == 0 { Err(FragmentDrop::NoOutput) } else { Ok(Some(whole)) }
    }
}

/// Where a fragment lies, if it can be used at all.
fn span(f: &Fragment<'_>, linux: bool) -> Result<Span, FragmentDrop> {
    let (v6, least) = (f.family == Family::V6, if f.family == Family::V6 { 40 } else { 20 });
    let end = u64::from(f.offset) + f.payload_len as u64;
    if f.header.len() < least || f.header.len() > 256 || v6 && f.next_header_at >= f.header.len() {
        Err(FragmentDrop::BadHeader)
    } else if f.payload.len() < f.payload_len {
        Err(FragmentDrop::Cut)
    } else if v6 && linux && f.offset == 0 && f.more && lacks_headers(f.next_header, f.payload) {
        Err(FragmentDrop::HeaderChain)
    } else if v6 && end > 65_535 {
        Err(FragmentDrop::TooLarge)
    } else if v6 && f.more && !end.is_multiple_of(8) {
        Err(FragmentDrop::BadLength)
    } else {
        Ok((f.offset.into(), if f.more { end / 8 * 8 } else { end }))
    }
}

/// Whether the header of a transport is not there to the end; as for Linux, what cannot be told is not lacking.
fn lacks_headers(kind: u8, rest: &[u8]) -> bool {
    let behind = |len: usize| rest.get(len..).unwrap_or_default();
    match (kind, rest) {
        (6, _) => rest.len() < 20,
        (17 | 58, _) => rest.len() < 8,
        (44, [next, _, 0, 0..=7, ..]) => lacks_headers(*next, behind(8)),
        (0 | 43 | 60, [next, len, ..]) => lacks_headers(*next, behind(8 + 8 * usize::from(*len))),
        (51, [next, len, ..]) => lacks_headers(*next, behind(8 + 4 * usize::from(*len))),
        (0 | 43 | 44 | 51 | 59 | 60, _) => false,
        _ => rest.is_empty(),
    }
}

fn header(f: &Fragment<'_>) -> Vec<u8> {
    let mut header = f.header.to_vec();
    if f.family == Family::V6 {
        header[f.next_header_at] = f.next_header;
    }
    header
}

fn congestion(f: &Fragment<'_>) -> u8 {
    if f.family == Family::V4 { f.header[1] & 3 } else { f.header[1] >> 4 & 3 }
}

/// The whole packet.
fn datagram(
    family: Family,
    mut header: Vec<u8>,
    payload: &[u8],
    experienced: bool,
) -> Result<Vec<u8>, FragmentDrop> {
    let (whole, v6) = (header.len() + payload.len(), family == Family::V6);
    let length = u16::try_from(if v6 { whole - 40 } else { whole }).map_err(|_| FragmentDrop::TooLarge)?;
    if v6 {
        header[4..6].copy_from_slice(&length.to_be_bytes());
        header[1] |= if experienced { 0x30 } else { 0 };
    } else {
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[6..8].fill(0);
        header[1] |= if experienced { 3 } else { 0 };
        header[10..12].fill(0);
        let mut sum: u32 = header.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        header[10..12].copy_from_slice(&(!sum as u16).to_be_bytes());
    }
    header.extend_from_slice(payload);
    Ok(header)
}

/// A hash that is none: most keys of a script collide.
pub fn hash(key: &DatagramKey) -> u64 {
    u64::from(key.id & 1) << 40 | 7
}

/// Asserts the module's invariants and the sums of the counters.
pub fn check<M: Memory>(defrag: &Defrag<M>) {
    let mut queued = 0;
    let mut chunks = 0;
    for family in [Family::V4, Family::V6] {
        let (mut at, mut before) = (defrag.queues[family as usize].oldest(), None);
        while let Some(d) = defrag.datagrams.get(at) {
            assert!(d.family == family && before < Some(d.number), "invariant 1: order");
            let in_table = defrag.table.find(d.hash, |index| index == at.index());
            assert_eq!(in_table, Some(at.index()), "invariant 1: table");
            d.check(&defrag.pool);
            (queued, chunks, before, at) = (queued + 1, chunks + d.chunks.chunks(), Some(d.number), d.newer);
        }
    }
    assert_eq!(queued, defrag.len(), "invariant 1: queues");
    let (used, capacity) = defrag.chunks();
    assert!(chunks <= used && used <= capacity && defrag.len() <= defrag.capacity());
    assert!(queued > 0 || used == 0, "invariant 2");
    let s = defrag.stats();
    assert_eq!(s.fragments, s.held + s.complete + s.dropped.total(), "{s:?}");
    assert_eq!(s.opened, s.completed + s.killed + s.evicted + s.timed_out + queued as u64, "{s:?}");
}

/// What is true of a fragment from the script, before its slices.
struct Draft {
    family: Family,
    id: u32,
    offset: u32,
    more: bool,
    header: Vec<u8>,
    next_header: u8,
    payload: Vec<u8>,
    payload_len: usize,
}

impl Draft {
    fn new(op: [u8; 6], number: u8) -> Draft {
        let [what, which, place, len, how, ecn] = op;
        let family = if which & 1 == 0 { Family::V4 } else { Family::V6 };
        let near = what & 8 == 0;
        let far = if what % 16 == 11 { 65_280 } else { 0 };
        // Near each other, so that some datagrams come to their end.
        let offset = far + u32::from(place % if near { 4 } else { 32 }) * 8;
        let len =
            if how & 6 == 0 { usize::from(len % 64) } else { usize::from(len % 4 + u8::from(near)) * 8 };
        let congestion = if ecn > 200 { ecn & 3 } else { 2 };
        let header = match family {
            Family::V4 => {
                let mut h = vec![0; if how & 8 == 0 { 20 } else { 24 }];
                (h[0], h[1], h[8]) = (0x40 | (h.len() / 4) as u8, congestion, number);
                h.truncate(if how == 255 { 19 } else { 24 });
                h
            }
            Family::V6 => {
                let mut h = vec![0; if how & 8 == 0 { 40 } else { 48 }];
                (h[0], h[1], h[7]) = (0x60, congestion << 4, number);
                h
            }
        };
        let mut payload: Vec<u8> =
            (0..len).map(|i| (i as u8).wrapping_mul(7) ^ number.wrapping_mul(31)).collect();
        let kinds = [6, 17, 253, 253, 60, 44, 51, 59];
        let extended = how & 16 != 0;
        for header in payload.chunks_exact_mut(8).take(if extended { 3 } else { 0 }) {
            // The header of an extension of 8 octets, or of a few more.
            header.copy_from_slice(&[
                kinds[usize::from(header[7] & 7)],
                header[6] & 1,
                0,
                header[5] & 9,
                0,
                0,
                0,
                0,
            ]);
        }
        Draft {
            family,
            id: u32::from(if near { which >> 7 } else { which >> 1 & 3 }),
            offset,
            more: place % 8 < 3,
            header,
            next_header: kinds[usize::from(ecn & 3) + if extended { 4 } else { 0 }],
            payload,
            payload_len: len + usize::from(ecn == 199),
        }
    }

    fn fragment(&self) -> Fragment<'_> {
        let protocol = if self.family == Family::V4 { 6 } else { 0 };
        Fragment {
            key: DatagramKey { src: [1; 16], dst: [2; 16], id: self.id, protocol, network: 0 },
            family: self.family,
            offset: self.offset,
            more: self.more,
            header: &self.header,
            next_header_at: if self.header.len() == 48 { 40 } else { 6 },
            next_header: self.next_header,
            payload: &self.payload,
            payload_len: self.payload_len,
        }
    }
}

fn config(setup: u8, tight: bool) -> DefragConfig {
    DefragConfig {
        policy: FragmentPolicy::ALL[usize::from(setup) % FragmentPolicy::ALL.len()],
        max_datagrams: usize::from(setup >> 3 & 7) + 1,
        chunks: if tight { usize::from(setup >> 5) } else { 64 },
        ..DefragConfig::default()
    }
}

/// Runs a script against the model; with little memory, where the model knows too little, for the invariants alone.
///
/// # Panics
/// When they disagree.
pub fn run(input: &[u8]) {
    let Some((&[setup, memory], ops)) = input.split_first_chunk::<2>() else { return };
    let tight = memory & 7 == 0;
    let config = config(setup, tight);
    let mut defrag = Defrag::<Heap>::new(config, DefragArrays::on_heap(&config));
    let mut model = Model::new(config);
    let mut taken = Vec::new();
    let mut now = 1_000_000_u64;
    for (number, &op) in (0_u8..=255).cycle().zip(ops.as_chunks::<6>().0) {
        match op[0] % 16 {
            12 => now += u64::from(op[1]) * 40_000,
            13 => now = now.saturating_sub(u64::from(op[1]) * 200_000),
            14 => taken.extend(defrag.take_output()),
            15 => taken.pop().into_iter().for_each(|output| defrag.put_back(output)),
            _ => {
                let draft = Draft::new(op, number);
                let fragment = draft.fragment();
                model.outputs = OUTPUTS - taken.len();
                let outcome = defrag.add(&fragment, hash(&fragment.key), Instant(now));
                if !tight {
                    compare(&defrag, outcome, &model.add(&fragment, now));
                }
            }
        }
        if !tight && op[0] % 16 == 12 {
            assert_eq!(defrag.expire(Instant(now)), model.expire(now));
        }
        if !tight && op[0] % 16 != 13 {
            assert_eq!(defrag.len(), model.waiting.len());
            assert!(op[0] % 16 > 13 || defrag.next_deadline() == model.next_deadline());
        }
        check(&defrag);
    }
    defrag.expire(Instant(now.saturating_add(1 << 40)));
    assert_eq!((defrag.len(), defrag.chunks().0), (0, 0));
    check(&defrag);
}

fn compare<M: Memory>(defrag: &Defrag<M>, outcome: Outcome, expected: &Expected) {
    match expected {
        Ok(Some(whole)) => {
            assert_eq!(outcome, Outcome::Complete);
            assert_eq!(defrag.datagram(), whole.as_slice());
        }
        Ok(None) => assert_eq!(outcome, Outcome::Held),
        Err(reason) => assert_eq!(outcome, Outcome::Dropped(*reason)),
    }
    assert!(outcome == Outcome::Complete || defrag.datagram().is_empty());
}
