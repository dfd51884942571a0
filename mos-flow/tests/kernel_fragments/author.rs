//! Writes sequences: datagrams in fragments, honest ones and others, drawn at random.

use crate::script::{FRAGMENT, Piece, Sequence};
use mos_flow::wire::Family;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const NO_NEXT: u8 = 59;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
/// For experiments (RFC 3692).
const EXPERIMENT: u8 = 253;

/// Protocols that somebody listens to.
pub(crate) const HEARD_V4: [u8; 3] = [TCP, UDP, EXPERIMENT];
pub(crate) const HEARD_V6: [u8; 7] = [TCP, UDP, ROUTING, AUTHENTICATION, NO_NEXT, DESTINATION, EXPERIMENT];
/// Protocols about which the kernel complains, for it does not know them and nobody listens.
pub(crate) const UNHEARD_V6: [u8; 2] = [MOBILITY, 254];

/// Where a fragment begins, how many octets it has, and whether others follow.
type Place = (u32, usize, bool);

/// SplitMix64: good enough, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    fn octet(&mut self) -> u8 {
        self.next() as u8
    }

    fn percent(&mut self, p: u32) -> bool {
        self.below(100) < p
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u32) as usize].clone()
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

impl Sequence {
    /// The sequence of a seed. Most of its datagrams are of `family`.
    pub(crate) fn new(seed: u64, family: Family) -> Sequence {
        let mut random = Random(seed << 1 | family as u64);
        let mut datagrams = Vec::new();
        let id = random.next() as u32;
        let count = random.pick(&[1, 1, 1, 2, 2, 3, 4]);
        for _ in 0..count {
            let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
            let family = if random.percent(85) { family } else { other };
            // Of several that wait at a time, some differ in nothing but the protocol, or not even in that.
            let id = if random.percent(50) { id } else { random.next() as u32 };
            datagrams.push(random.datagram(family, id));
        }
        Sequence { seed, pieces: random.interleave(datagrams) }
    }
}

impl Random {
    /// The fragments of a datagram, or of several under the same identification, one after the other.
    fn datagram(&mut self, family: Family, id: u32) -> Vec<Piece> {
        let next = self.protocol(family);
        let congestion = self.pick(&[0, 0, 0, 1, 2, 2, 3]);
        let mixed = self.below(100);
        let places = self.places();
        let mut pieces = Vec::new();
        for (offset, len, more) in places {
            let bits = match mixed {
                0..8 => self.octet() & 3,
                8..20 => self.pick(&[1, 2, 2, 3]),
                _ => congestion,
            };
            let odd_options = if self.percent(90) { 0 } else { self.below(10) as usize + 1 };
            let next = if family == Family::V4 || self.percent(95) { next } else { self.protocol(family) };
            let piece = Piece {
                family,
                id: if family == Family::V4 { id & 0xffff } else { id },
                next,
                offset,
                more,
                head: Vec::new(),
                len,
                ttl: self.octet().max(1),
                tos: self.octet() & 0xfc | bits,
                options: if family == Family::V4 { 4 * odd_options } else { 8 * odd_options.min(3) },
                dont_fragment: self.percent(3),
                fill: self.next() | 1,
            };
            pieces.push(self.with_head(piece));
        }
        pieces
    }

    fn protocol(&mut self, family: Family) -> u8 {
        let usual = self.below(100);
        match family {
            Family::V4 if usual < 60 => EXPERIMENT,
            Family::V4 => self.pick(&HEARD_V4),
            Family::V6 if usual < 40 => EXPERIMENT,
            Family::V6 if usual < 50 => self.pick(&UNHEARD_V6),
            Family::V6 if usual < 55 => FRAGMENT,
            Family::V6 => self.pick(&HEARD_V6),
        }
    }

    /// What a first IPv6 fragment begins with: headers of extensions, as far as they fit.
    fn with_head(&mut self, piece: Piece) -> Piece {
        if piece.family == Family::V4 || piece.offset > 0 {
            return piece;
        }
        // Nothing tells a datagram that came whole from one of fragments where the kernel only complains.
        let complains = piece.next == FRAGMENT || UNHEARD_V6.contains(&piece.next);
        let outermost = if complains && !piece.more { EXPERIMENT } else { piece.next };
        let (mut next, mut head) = (outermost, Vec::new());
        while [0, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION].contains(&next) && head.len() < 64 {
            let inner = self.pick(&[0, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION, MOBILITY, NO_NEXT]);
            // Nobody complains about what may be an ICMPv6 error.
            let transport = self.pick(&[TCP, TCP, UDP, ICMPV6, EXPERIMENT]);
            let transport = if complains && transport == ICMPV6 { UDP } else { transport };
            let inner = if self.percent(30) { inner } else { transport };
            head.extend(self.extension(next, inner));
            next = inner;
        }
        Piece { next: outermost, head, ..piece }
    }

    /// The header of an extension, one at which the kernel stops once it has the datagram.
    fn extension(&mut self, kind: u8, inner: u8) -> Vec<u8> {
        let len = self.pick(&[0, 0, 0, 1, 2, 3]);
        let (second, octets) = match kind {
            FRAGMENT => (0, 8),
            AUTHENTICATION => (len, (usize::from(len) + 2) * 4),
            _ => (len, (usize::from(len) + 1) * 8),
        };
        let rest = match kind {
            FRAGMENT => self.pick(&[[0, 0], [0, 0], [0, 1], [0, 6], [0, 8], [1, 0]]),
            ROUTING => [250, 1],                // of an unknown kind, and not at its end
            DESTINATION => [0x5e, 8 * len + 4], // an unknown option, to be discarded without a word
            _ => [0, 0],
        };
        let mut header = vec![inner, second, rest[0], rest[1]];
        header.resize(octets, 0);
        header
    }

    fn places(&mut self) -> Vec<Place> {
        let mut places = match self.below(100) {
            0..3 => self.largest(),
            3..10 => self.large(),
            10..55 => self.dense(),
            _ => self.small(),
        };
        // What is whole, and yet comes like a fragment, is the exception.
        let whole = self.percent(10);
        places.retain(|(offset, _, more)| whole || *offset > 0 || *more);
        places.truncate(40);
        places
    }

    /// A few blocks, some of them twice, and what does not fit them.
    fn small(&mut self) -> Vec<Place> {
        let total = 8 * (1 + self.below(8)) as usize + self.pick(&[0, 0, 0, 5]);
        let count = self.below(6);
        let mut places = self.cut(total, count);
        let honest = places.clone();
        for _ in 0..self.pick(&[0, 0, 1, 1, 2, 3, 4]) {
            let place = self.stray(&honest, total);
            places.push(place);
        }
        if self.percent(85) {
            self.shuffle(&mut places);
        }
        if self.percent(40) {
            places.extend(honest);
        }
        places
    }

    /// A datagram of `total` octets, cut at so many places.
    fn cut(&mut self, total: usize, count: u32) -> Vec<Place> {
        let blocks = total.div_ceil(8);
        let mut cuts: Vec<usize> = (0..count).map(|_| 8 * self.below(blocks as u32) as usize).collect();
        cuts.extend([0, total]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|cut| (cut[0] as u32, cut[1] - cut[0], cut[1] < total)).collect()
    }

    fn stray(&mut self, honest: &[Place], total: usize) -> Place {
        let blocks = 8 * self.below(8);
        match self.below(12) {
            0..5 => self.pick(honest),
            5..8 => (blocks, 8 * self.below(6) as usize, self.percent(80)),
            8 => (blocks, self.below(40) as usize, self.percent(50)),
            // Another end.
            9 => (blocks, total.saturating_sub(blocks as usize) + self.pick(&[0, 1, 8]), false),
            _ => {
                let far = self.pick(&[65_000, 65_512, 65_520, 65_528]);
                (far, self.pick(&[7, 8, 16, 24]), self.percent(50))
            }
        }
    }

    /// All within a few blocks.
    fn dense(&mut self) -> Vec<Place> {
        let top = 3 + self.below(5);
        let mut places = Vec::new();
        for _ in 0..3 + self.below(14) {
            let start = self.below(top);
            let end = if self.percent(50) { start + 1 } else { start + 1 + self.below(top - start) };
            let last = end == top && self.percent(90);
            let cut_off = if last && top == 5 { 3 } else { 0 };
            places.push((8 * start, 8 * (end - start) as usize - cut_off, !last));
        }
        places
    }

    /// What a sender makes of some kilobytes, and the way of it: doublets, losses, another order.
    fn large(&mut self) -> Vec<Place> {
        let total = 100 + self.below(9000) as usize;
        let count = 1 + self.below(12);
        let mut places = self.cut(total, count);
        if self.percent(50) {
            self.shuffle(&mut places);
        }
        for _ in 0..self.below(3) {
            let again = self.pick(&places);
            let at = self.below(places.len() as u32) as usize;
            places.insert(at, again);
        }
        if self.percent(10) {
            places.pop();
        }
        places
    }

    /// As large as a datagram can be, or larger.
    fn largest(&mut self) -> Vec<Place> {
        let ends = [8, 475, 476, 507, 511, 515, 516, 520, 527, 528, 535, 536, 800];
        let mut places = vec![(0, 65_000, true)];
        for _ in 0..1 + self.below(3) {
            places.push((65_000, self.pick(&ends), self.percent(15)));
        }
        if self.percent(50) {
            self.shuffle(&mut places);
        }
        if self.percent(40) {
            places.extend([(65_000, 16, false), (0, 65_000, true)]);
        }
        places
    }

    /// Merges the fragments of datagrams, each in its own order.
    fn interleave(&mut self, datagrams: Vec<Vec<Piece>>) -> Vec<Piece> {
        let mut queues: Vec<_> = datagrams.into_iter().map(Vec::into_iter).collect();
        let mut pieces = Vec::new();
        while !queues.is_empty() {
            let at = self.below(queues.len() as u32) as usize;
            match queues[at].next() {
                Some(piece) => pieces.push(piece),
                None => drop(queues.remove(at)),
            }
        }
        pieces
    }
}
