//! A sender, a handler that changes its segments, and a receiver, with channels in between that lose, repeat and reorder:
//! from a script of bytes. The map is compared with the octets themselves.

use crate::shift::{Anchor, Change, MAX_CHANGES, Piece, ShiftError, ShiftMap};
use std::ops::Range;
use std::vec;
use std::vec::Vec;

/// Position of the first octet, the SYN. The last one is the FIN.
const FIRST: i64 = -1;
/// Octets of the shortest stream.
const FEWEST: usize = 20;
/// Rounds after which a sender without losses must be done.
const ROUNDS: usize = 6;

/// One octet of the sender and what stands for it at the receiver. Each octet has a number of its own.
#[derive(Clone, Debug)]
struct Cell {
    before: Vec<u32>,
    own: Option<u32>,
    after: Vec<u32>,
}

impl Cell {
    fn unchanged(index: usize) -> Self {
        Cell { before: Vec::new(), own: Some(index as u32), after: Vec::new() }
    }
}

/// The sender's stream and the receiver's.
#[derive(Debug)]
struct Truth(Vec<Cell>);

impl Truth {
    fn edited(&self) -> Vec<u32> {
        self.0.iter().flat_map(|c| c.before.iter().chain(&c.own).chain(&c.after)).copied().collect()
    }

    /// Where at the receiver what stands for each octet begins, and the end.
    fn places(&self) -> Vec<i64> {
        let mut places = vec![FIRST];
        for cell in &self.0 {
            let len = cell.before.len() + cell.own.iter().len() + cell.after.len();
            places.push(places[places.len() - 1] + len as i64);
        }
        places
    }
}

/// The highest position below which the receiver needs no more, by the places of octets.
fn highest(places: &[i64], position: i64) -> i64 {
    places.iter().rposition(|place| *place <= position).map_or(FIRST, |s| s as i64 + FIRST)
}

fn index(position: i64) -> usize {
    usize::try_from(position - FIRST).expect("a position of the stream")
}

#[derive(Clone, Debug, Default)]
struct Ack {
    position: i64,
    blocks: Vec<Range<i64>>,
}

#[derive(Debug)]
struct Sender {
    una: i64,
    nxt: i64,
    end: i64,
    sacked: Vec<bool>,
}

impl Sender {
    fn handle(&mut self, ack: &Ack) {
        assert!(ack.position <= self.nxt, "nothing is acknowledged that was not sent");
        self.una = self.una.max(ack.position);
        for block in &ack.blocks {
            assert!(block.end <= self.nxt, "nor selectively");
            let known = block.start.max(FIRST)..block.end;
            known.for_each(|s| self.sacked[index(s)] = true);
        }
    }

    /// The next octets that wait to be acknowledged, from a position on.
    fn unsacked(&self, from: i64, most: i64) -> Range<i64> {
        let waits = |s: &i64| !self.sacked[index(*s)];
        let start = (from.max(self.una)..self.nxt).find(waits).unwrap_or(self.nxt);
        let end = (start..self.nxt.min(start + most)).find(|s| !waits(s));
        start..end.unwrap_or(self.nxt.min(start + most))
    }
}

/// What came in order, and what did not.
#[derive(Debug, Default)]
struct Receiver {
    held: Vec<Option<u32>>,
}

impl Receiver {
    fn handle(&mut self, start: i64, octets: &[u32]) {
        let nxt = self.nxt();
        for (at, octet) in (start..).zip(octets).filter(|(at, _)| *at >= nxt) {
            let at = index(at);
            self.held.resize(self.held.len().max(at + 1), None);
            let held = self.held[at].get_or_insert(*octet);
            assert_eq!(held, octet, "an octet that comes again is the same");
        }
    }

    fn nxt(&self) -> i64 {
        let first = self.held.iter().position(Option::is_none);
        FIRST + first.unwrap_or(self.held.len()) as i64
    }

    fn ack(&self) -> Ack {
        let mut blocks: Vec<Range<i64>> = Vec::new();
        for at in (self.nxt()..).take(self.held.len()).filter(|at| self.holds(*at)) {
            match blocks.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ => blocks.push(at..at + 1),
            }
        }
        blocks.truncate(3);
        Ack { position: self.nxt(), blocks }
    }

    fn holds(&self, at: i64) -> bool {
        self.held.get(index(at)).is_some_and(Option::is_some)
    }
}

#[derive(Debug)]
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
}

/// The handler between both, and what it knows.
#[derive(Debug)]
struct Middle {
    map: ShiftMap,
    truth: Truth,
    forwarded: i64,
    /// The highest acknowledgement that the receiver sent past it.
    acked: i64,
    /// End and carrier of the last change in the segment at hand.
    last: Option<(i64, i64)>,
    /// Changes that wait to be acknowledged, with their carriers.
    changes: Vec<(Change, i64)>,
    inserted: u32,
}

/// One past the last octet that was removed.
fn end(change: &Change) -> i64 {
    change.at + i64::from(change.removed)
}

impl Middle {
    /// Of two changes that can become one, those with the fewest octets: the number of the first one, and the octets.
    fn nearest(&self) -> Option<(usize, Range<i64>)> {
        let pairs = self.changes.windows(2).enumerate().filter_map(|(n, pair)| {
            let octets = pair[0].0.at..end(&pair[1].0).max(pair[1].1 + 1);
            let behind = |(next, carrier): &(Change, i64)| next.at >= octets.end && *carrier >= octets.end;
            let free = self.changes.get(n + 2).is_none_or(behind) && octets.end <= self.forwarded;
            (free && !octets.is_empty()).then_some((n, octets))
        });
        pairs.min_by_key(|(_, octets)| octets.end - octets.start)
    }

    /// Two changes become one: what the receiver got for all octets is carried by the last one.
    fn merge(&mut self, n: usize, octets: Range<i64>) {
        let ((first, carrier), (second, _)) = (self.changes[n], self.changes.remove(n + 1));
        let mut all = Vec::new();
        if carrier < first.at {
            let after = &mut self.truth.0[index(carrier)].after;
            all.extend(after.split_off(after.len() - usize::from(first.inserted)));
        }
        let own = |change: &Change| {
            let here = change.at == first.at && change.anchor == Anchor::Following;
            if here { usize::from(change.inserted) } else { 0 }
        };
        for at in octets.clone() {
            let cell = &mut self.truth.0[index(at)];
            // What changes before these put there stays.
            let stays = if at == first.at { cell.before.len() - own(&first) - own(&second) } else { 0 };
            all.extend(cell.before.drain(stays..).chain(cell.own.take()).chain(cell.after.drain(..)));
        }
        let (removed, inserted) = ((octets.end - octets.start) as u16, all.len() as u16);
        let merged = Change { at: first.at, removed, inserted, anchor: Anchor::Preceding };
        self.truth.0[index(octets.end - 1)].after = all;
        self.changes[n] = (merged, octets.end - 1);
    }

    /// A segment of the sender: what goes to the receiver, unless it is dropped.
    fn segment(&mut self, sent: Range<i64>, script: &mut Script<'_>) -> Option<(i64, Vec<u32>)> {
        let fresh = sent.start.max(self.forwarded)..sent.end;
        let edits = script.next();
        self.last = None;
        for _ in 0..edits & 3 {
            self.edit(&fresh, [script.next(), script.next()]);
        }
        if edits >> 5 == 7 {
            self.map.abandon();
            self.changes.retain(|(_, carrier)| *carrier < self.forwarded);
            for at in fresh.map(index) {
                self.truth.0[at] = Cell::unchanged(at);
            }
            return None;
        }
        self.forwarded = self.forwarded.max(sent.end);
        self.map.on_forwarded(sent.end);
        assert_eq!(self.map.forwarded(), self.forwarded);
        Some(self.translate(&sent))
    }

    fn edit(&mut self, fresh: &Range<i64>, [place, size]: [u8; 2]) {
        let len = fresh.end - fresh.start;
        let change = Change {
            at: fresh.start - 2 + i64::from(place >> 1) % (len.max(0) + 3),
            removed: u16::from(size & 3),
            inserted: u16::from(size >> 2 & 7),
            anchor: if place & 1 == 0 { Anchor::Following } else { Anchor::Preceding },
        };
        let end = end(&change);
        let carrier = if change.anchor == Anchor::Following { change.at } else { end - 1 };
        let fin = self.truth.0.len() as i64 + FIRST - 1;
        // What the caller sees to: changes are in the segment, neither SYN nor FIN is removed, nothing is behind the FIN.
        let lowest = change.at.min(carrier);
        let outside = lowest < fresh.start && lowest >= self.forwarded || end.max(carrier + 1) > fresh.end;
        let after_fin = change.anchor == Anchor::Preceding && carrier == fin;
        if outside || lowest < 0 || end > fin || after_fin {
            return;
        }
        self.changes.drain(..self.changes.len() - self.map.pending());
        let merged = self.nearest().filter(|_| self.changes.len() == MAX_CHANGES);
        let expected = if change.removed == 0 && change.inserted == 0 {
            Ok(())
        } else if change.at < self.forwarded || carrier < self.forwarded {
            Err(ShiftError::AlreadySent)
        } else if self.last.is_some_and(|(end, last)| change.at < end || carrier < last) {
            Err(ShiftError::OutOfOrder)
        } else if self.changes.len() == MAX_CHANGES && merged.is_none() {
            Err(ShiftError::Full)
        } else {
            self.last = Some((end, carrier));
            Ok(())
        };
        assert_eq!(self.map.change(change), expected, "{change:?}");
        if expected.is_ok() && change.removed + change.inserted > 0 {
            if let Some((n, octets)) = merged {
                self.merge(n, octets);
            }
            self.changes.push((change, carrier));
            self.apply(change, carrier);
        }
    }

    fn apply(&mut self, change: Change, carrier: i64) {
        for at in (change.at..).take(change.removed.into()) {
            self.truth.0[index(at)].own = None;
        }
        let cell = &mut self.truth.0[index(carrier)];
        let inserted = if change.anchor == Anchor::Following { &mut cell.before } else { &mut cell.after };
        for _ in 0..change.inserted {
            self.inserted += 1;
            inserted.push(u32::MAX - self.inserted);
        }
    }

    /// What the receiver gets for octets of the sender.
    fn translate(&self, sent: &Range<i64>) -> (i64, Vec<u32>) {
        let (edited, places) = (self.truth.edited(), self.truth.places());
        assert!(self.map.floor() <= highest(&places, self.acked), "what is cut was acknowledged");
        let sent = sent.start.max(self.map.floor()).min(sent.end)..sent.end;
        let received = self.map.to_receiver(sent.clone());
        for (position, place) in [(sent.start, received.start), (sent.end, received.end)] {
            if position > highest(&places, self.acked) {
                assert_eq!(place, places[index(position)]);
            } else {
                assert!(place <= self.acked, "what was acknowledged stays below");
            }
        }
        let mut octets = Vec::new();
        for piece in self.map.pieces(sent.clone()) {
            match piece {
                Piece::Kept(kept) => octets.extend(kept.map(|at| index(at) as u32)),
                Piece::Inserted(inserted) => {
                    assert_eq!(inserted.start, received.start + octets.len() as i64);
                    octets.extend(inserted.map(|at| edited[index(at)]));
                }
            }
        }
        assert_eq!(octets.len() as i64, received.end - received.start);
        for (at, octet) in (received.start..).zip(&octets) {
            assert_eq!(*octet, edited[index(at)], "at {at}");
        }
        (received.start, octets)
    }

    /// An acknowledgement of the receiver: what goes to the sender.
    fn acknowledgement(&mut self, ack: &Ack) -> Ack {
        let position = self.map.ack_to_sender(ack.position);
        let blocks: Vec<_> = ack.blocks.iter().filter_map(|b| self.map.sack_to_sender(b.clone())).collect();
        let (old, places) = (ack.position < self.acked, self.truth.places());
        self.acked = self.acked.max(ack.position);
        let told = highest(&places, self.acked);
        if old {
            assert!(position <= told);
        } else {
            assert_eq!(position, told, "{ack:?}");
        }
        for (octet, place) in (FIRST..).zip(places.windows(2)).filter(|(octet, _)| *octet >= told) {
            let claimed = blocks.iter().any(|b| b.contains(&octet));
            let held = ack.blocks.iter().any(|b| b.start <= place[0] && place[1] <= b.end);
            assert_eq!(claimed, held, "octet {octet} of {blocks:?} for {ack:?}");
        }
        self.map.on_acknowledged(ack.position);
        assert_eq!(self.map.ack_to_sender(self.acked), told, "the same when changes are forgotten");
        Ack { position, blocks }
    }
}

#[derive(Debug)]
struct World {
    sender: Sender,
    middle: Middle,
    receiver: Receiver,
    /// On the way to the handler, and from there.
    sent: Vec<Range<i64>>,
    forwarded: Vec<(i64, Vec<u32>)>,
    acks: Vec<Ack>,
    translated: Vec<Ack>,
}

impl World {
    fn new(cells: usize) -> Self {
        let end = cells as i64 + FIRST;
        World {
            sender: Sender { una: FIRST, nxt: FIRST, end, sacked: vec![false; cells] },
            middle: Middle {
                map: ShiftMap::new(FIRST),
                truth: Truth((0..cells).map(Cell::unchanged).collect()),
                forwarded: FIRST,
                acked: FIRST,
                last: None,
                changes: Vec::new(),
                inserted: 0,
            },
            receiver: Receiver::default(),
            sent: Vec::new(),
            forwarded: Vec::new(),
            acks: Vec::new(),
            translated: Vec::new(),
        }
    }

    fn step(&mut self, what: u8, how: u8, script: &mut Script<'_>) {
        let lost = what >> 5 == 7;
        match what % 8 {
            0 | 1 => self.send(1 + i64::from(how) % 12),
            2 => self.repeat(how),
            3 | 4 => {
                if let Some(sent) = take(&mut self.sent, how).filter(|_| !lost) {
                    self.pass(sent, script);
                }
            }
            5 => {
                if let Some(segment) = take(&mut self.forwarded, how).filter(|_| !lost) {
                    self.receive(&segment);
                }
            }
            6 => {
                if let Some(ack) = take(&mut self.acks, how).filter(|_| !lost) {
                    self.translated.push(self.middle.acknowledgement(&ack));
                }
            }
            _ => {
                if let Some(ack) = take(&mut self.translated, how).filter(|_| !lost) {
                    self.sender.handle(&ack);
                }
            }
        }
    }

    fn send(&mut self, len: i64) {
        let sent = self.sender.nxt..self.sender.end.min(self.sender.nxt + len);
        self.sender.nxt = sent.end;
        self.sent.extend(Some(sent).filter(|s| !s.is_empty()));
    }

    /// Cut anew; perhaps from octets on that were acknowledged.
    fn repeat(&mut self, how: u8) {
        let from = self.sender.una + i64::from(how & 7);
        let mut sent = self.sender.unsacked(from, 1 + i64::from(how >> 3 & 7));
        if how & 64 != 0 {
            sent.start = FIRST.max(sent.start - i64::from(how & 7));
        }
        self.sent.extend(Some(sent).filter(|s| !s.is_empty()));
    }

    fn pass(&mut self, sent: Range<i64>, script: &mut Script<'_>) {
        let Some(segment) = self.middle.segment(sent, script) else { return };
        if segment.1.is_empty() {
            // The receiver will say nothing.
            let position = self.middle.map.ack_to_sender(self.middle.acked);
            self.translated.push(Ack { position, blocks: Vec::new() });
        }
        self.forwarded.push(segment);
    }

    fn receive(&mut self, (start, octets): &(i64, Vec<u32>)) {
        self.receiver.handle(*start, octets);
        self.acks.extend((!octets.is_empty()).then(|| self.receiver.ack()));
    }

    /// Nothing is lost or changed any more.
    fn settle(&mut self) {
        self.send(self.sender.end - self.sender.nxt);
        for _ in 0..ROUNDS {
            let mut from = self.sender.una;
            while from < self.sender.nxt {
                let sent = self.sender.unsacked(from, 7);
                from = sent.end.max(from + 1);
                self.sent.extend(Some(sent).filter(|s| !s.is_empty()));
            }
            for sent in core::mem::take(&mut self.sent) {
                self.pass(sent, &mut Script(&[]));
            }
            for segment in core::mem::take(&mut self.forwarded) {
                self.receive(&segment);
            }
            for ack in core::mem::take(&mut self.acks) {
                self.translated.push(self.middle.acknowledgement(&ack));
            }
            for ack in core::mem::take(&mut self.translated) {
                self.sender.handle(&ack);
            }
        }
    }
}

/// Takes one of what is on the way; it may come once more.
fn take<T: Clone>(lane: &mut Vec<T>, which: u8) -> Option<T> {
    let at = usize::from(which & 15) % lane.len().max(1);
    if which >> 6 == 3 { lane.get(at).cloned() } else { (at < lane.len()).then(|| lane.remove(at)) }
}

/// Plays the script in `input`.
///
/// # Panics
/// When the map is not what the octets say, the receiver gets others, or the sender waits forever.
pub fn run(input: &[u8]) {
    let Some((cells, script)) = input.split_first() else { return };
    let mut world = World::new(FEWEST + usize::from(*cells >> 1));
    let mut script = Script(script);
    while !script.0.is_empty() {
        let (what, how) = (script.next(), script.next());
        world.step(what, how, &mut script);
    }
    world.settle();
    assert_eq!(world.sender.una, world.sender.end, "the sender has everything acknowledged");
    let stream: Vec<u32> = world.receiver.held.iter().flatten().copied().collect();
    assert_eq!(stream, world.middle.truth.edited(), "the receiver has the changed stream");
}
