//! Overlap policies that remember segments, against models that keep every octet and every extent.

use super::kernel::Kernel;
use crate::frag::FragList;
use crate::overlap::{BySystem, Linux, Relation, Relations, Resolve};
use crate::seq::{Offset, Range, SeqNum};
use crate::store::{Flat, Store};
use crate::window::Window;
use std::vec;
use std::vec::Vec;

/// Ranges and segments that the streams under test can remember: more than a run has.
const N: usize = 64;
/// Octets of a stream.
const CAP: u32 = 512;

/// A segment: where it begins, and its octets.
pub type Segment = (u64, Vec<u8>);

/// A table of relations, octet by octet and in the order of arrival alone. Nothing may begin at offset 0: only what
/// waits is compared.
#[derive(Clone, Debug)]
pub struct Table {
    relations: Relations,
    waiting: Vec<Range>,
    pub held: Vec<Option<u8>>,
}

impl Table {
    pub fn new(relations: Relations) -> Table {
        Table { relations, waiting: Vec::new(), held: vec![None; CAP as usize] }
    }

    pub fn receive(&mut self, at: u64, octets: &[u8]) {
        let new = Range::at(Offset(at), octets.len() as u64);
        let key = |r: &Range| (r.start, r.end);
        // A neighbour that ends before this one begins hides those before it.
        let hidden = self.waiting.iter().filter(|r| key(r) < key(&new) && r.end <= new.start).map(key).max();
        let compared: Vec<Range> =
            self.waiting.iter().copied().filter(|r| hidden.is_none_or(|h| key(r) > h)).collect();
        for (o, octet) in (at..).zip(octets) {
            let keeps =
                |old: &Range| old.contains(Offset(o)) && !self.relations.replaces(Relation::of(new, *old));
            let place = &mut self.held[o as usize];
            if place.is_none() || !compared.iter().any(keeps) {
                *place = Some(*octet);
            }
        }
        if !self.waiting.contains(&new) {
            self.waiting.push(new);
        }
    }
}

/// A stream under test.
struct Subject<P> {
    window: Window,
    frags: FragList<N>,
    store: Flat<Vec<u8>>,
    policy: P,
    base: SeqNum,
}

impl<P: Resolve> Subject<P> {
    fn new(policy: P, isn: u32) -> Self {
        let store = Flat::new(vec![0; CAP as usize]);
        Subject { window: Window::new(CAP), frags: FragList::new(), store, policy, base: SeqNum(isn) + 1 }
    }

    fn receive(&mut self, at: u64, octets: &[u8]) {
        // As it comes from the wire: by a sequence number.
        let at = Offset(at).seq(self.base).position(self.base, self.window.next());
        let at = Offset(at.try_into().unwrap());
        let done = self.window.write(&mut self.frags, &mut self.store, &mut self.policy, at, octets);
        assert_eq!(done.fresh + done.duplicate, octets.len() as u64, "{done:?}");
        assert!(done.replaced <= done.duplicate, "{done:?}");
    }

    fn octets(&self, range: Range) -> Vec<u8> {
        (range.start.0..range.end.0).map(|o| self.store.piece(Range::new(o, o + 1))[0]).collect()
    }
}

/// Holds a table of relations against its model.
///
/// # Panics
/// When they disagree.
pub fn run_table(relations: Relations, isn: u32, segments: &[Segment]) {
    let (mut subject, mut model) =
        (Subject::new(BySystem::<N>::with_relations(relations), isn), Table::new(relations));
    for (at, octets) in segments {
        subject.receive(at + 1, octets);
        model.receive(at + 1, octets);
        for range in subject.window.ranges(&subject.frags) {
            let expected: Option<Vec<u8>> =
                model.held[range.start.0 as usize..range.end.0 as usize].iter().copied().collect();
            assert_eq!(Some(subject.octets(range)), expected, "{relations:?} {segments:?}");
        }
    }
}

/// Holds the policy of Linux against its model.
///
/// # Panics
/// When they disagree.
pub fn run_linux(isn: u32, segments: &[Segment]) {
    let (mut subject, mut kernel) = (Subject::new(Linux::<N>::new(), isn), Kernel::default());
    for (at, octets) in segments {
        subject.receive(*at, octets);
        kernel.receive(*at, octets);
        let run = subject.window.run();
        assert_eq!(subject.octets(run), kernel.delivered, "{segments:?}");
    }
}

/// Relations from nine bits.
pub fn relations(bits: u16) -> Relations {
    let list: Vec<Relation> =
        (0..).zip(Relation::ALL).filter(|(i, _)| bits >> i & 1 == 1).map(|(_, r)| r).collect();
    Relations::new(&list)
}

/// Reads a policy, an initial sequence number and segments from bytes, and holds the policy against its model.
///
/// # Panics
/// When they disagree.
pub fn run(input: &[u8]) {
    let Some((&[a, b, isn], rest)) = input.split_first_chunk::<3>() else { return };
    let isn = u32::from(isn).wrapping_sub(128);
    let segments: Vec<Segment> =
        (0_u8..).zip(rest.as_chunks::<2>().0.iter().take(N - 2)).map(segment).collect();
    match u16::from_le_bytes([a, b]) {
        bits @ 0..512 => run_table(relations(bits), isn, &segments),
        _ => run_linux(isn, &segments),
    }
}

fn segment((n, &[at, len]): (u8, &[u8; 2])) -> Segment {
    let octets = (0..=len % 64).map(|i| i.wrapping_mul(7) ^ n.wrapping_mul(31)).collect();
    ((at % 160).into(), octets)
}
