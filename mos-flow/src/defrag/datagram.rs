//! One datagram that is not complete yet.
//!
//! Its octets lie in chunks, the payload from [`HEADROOM`] on and the header right before it, so that the whole
//! datagram is one range.
//!
//! # Invariants
//! 1. Unless it is `oversize`, every octet of `ranges` is in the chunks, and the header when octet 0 is.
//! 2. Nothing of `ranges` lies above `end`.

use super::policy::Extents;
use super::{DatagramKey, Fragment, FragmentDrop, FragmentPolicy};
use crate::slab::Id;
use crate::wire::Family;
use crate::wire::ipv6::Ipv6Header;
use ringbuf_core::chunk::{ChunkMap, ChunkPool, Chunked};
use ringbuf_core::{FragList, Offset, Range, Store};

/// Pieces of a datagram with holes between them that are held.
pub const MAX_RANGES: usize = 64;

/// Octets before the payload, for the header. An arbitrary limit: IPv4 has at most 60, and of IPv6 only what routers on
/// the way read is repeated with each fragment. The first fragment of an Ethernet frame fits a chunk with it.
pub(super) const HEADROOM: usize = 256;

/// The most octets that an IP length can say.
pub(super) const MAX_PAYLOAD: u64 = 65_535;

/// A datagram of which fragments are held.
#[derive(Debug)]
pub struct Datagram {
    pub(super) key: DatagramKey,
    pub(super) family: Family,
    pub(super) hash: u64,
    /// When its first fragment came, in running time.
    pub(super) born: u64,
    /// How many were opened before it.
    pub(super) number: u64,
    /// The neighbours in the queue of its family.
    pub(super) older: Id,
    pub(super) newer: Id,
    pub(super) chunks: ChunkMap,
    ranges: FragList<MAX_RANGES>,
    extents: Extents,
    /// Where the payload ends, once a last fragment said so.
    end: Option<Offset>,
    header_len: u16,
    /// Congestion bits (RFC 3168) of the fragments: one bit for each of the four values.
    ecn: u8,
    /// It has octets beyond the largest packet. It is followed without storing anything: as long as it waits, what
    /// comes under its key does not begin a new one.
    oversize: bool,
}

const _: () = assert!(size_of::<Datagram>() <= 3328, "most of it is lists of ranges");

impl Datagram {
    pub(super) fn new(fragment: &Fragment<'_>, hash: u64, born: u64, number: u64) -> Self {
        Datagram {
            key: fragment.key,
            family: fragment.family,
            hash,
            born,
            number,
            older: Id::NONE,
            newer: Id::NONE,
            chunks: ChunkMap::new(),
            ranges: FragList::new(),
            extents: Extents::default(),
            end: None,
            header_len: 0,
            ecn: 0,
            oversize: false,
        }
    }

    pub(super) fn is_of(&self, fragment: &Fragment<'_>) -> bool {
        self.family == fragment.family && self.key == fragment.key
    }

    /// Whether a fragment's place is one that it can have. What it says of the end is believed from then on.
    pub(super) fn admit(
        &mut self,
        policy: FragmentPolicy,
        range: Range,
        more: bool,
    ) -> Result<(), FragmentDrop> {
        let top = self.ranges.last().map_or(Offset::ZERO, |r| r.end);
        let fits = match (more, self.end) {
            (true, end) => end.is_none_or(|end| range.end <= end),
            (false, None) => top <= range.end,
            (false, Some(end)) => range.end == end,
        };
        if !fits {
            return Err(FragmentDrop::BadEnd);
        }
        if !more {
            // As in Linux, also when the fragment then turns out to bring nothing.
            self.end = Some(range.end);
        }
        if policy == FragmentPolicy::Linux { self.extents.join(range) } else { Ok(()) }
    }

    /// The range that the store must have for a fragment; `None` when the datagram is too large for anything.
    pub(super) fn room_for(&mut self, fragment: &Fragment<'_>, range: Range) -> Option<Range> {
        self.oversize |= range.end.0 > MAX_PAYLOAD;
        let header = if range.start == Offset::ZERO { fragment.header.len() } else { 0 };
        let place = in_store(range);
        let place = Range { start: Offset(place.start.0.saturating_sub(header as u64)), end: place.end };
        (!self.oversize).then_some(place)
    }

    /// Enters a fragment, and stores the octets of it that the policy takes. Returns whether there were any.
    pub(super) fn enter<B, L>(
        &mut self,
        pool: &mut ChunkPool<B, L>,
        policy: FragmentPolicy,
        fragment: &Fragment<'_>,
        range: Range,
    ) -> Result<bool, FragmentDrop>
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
        L: AsRef<[u32]> + AsMut<[u32]>,
    {
        let mut store = Chunked { pool, map: &mut self.chunks };
        let mut taken = None;
        let take = |part: Range| {
            taken = taken.or(Some(part.start));
            put(&mut store, fragment, range, part);
        };
        if let Some(relations) = policy.table() {
            between(range, self.extents.kept(relations, range), take);
        } else if policy == FragmentPolicy::First {
            let held = self.ranges.overlapping(range).iter();
            between(range, held.map(|held| held.intersection(range)), take);
        } else {
            between(range, [].into_iter(), take);
        }
        let Some(first) = taken else { return Ok(false) };
        if first == Offset::ZERO {
            put_header(&mut store, fragment);
            self.header_len = u16::try_from(fragment.header.len()).unwrap_or(0); // at most HEADROOM
        }
        if policy.table().is_some() {
            self.extents.remember(range)?;
        }
        self.ranges.insert(range).map_err(|_| FragmentDrop::TooManyRanges)?;
        self.ecn |= 1 << fragment.congestion_bits();
        self.extents.check(policy);
        Ok(true)
    }

    /// Whether every octet up to the end is there. By ranges: a sum of lengths would count octets that came twice for
    /// others that never came.
    pub(super) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.ranges.as_slice() == [Range { start: Offset::ZERO, end }])
    }

    /// Asserts the invariants.
    #[cfg(any(test, feature = "_model"))]
    pub(super) fn check<B, L>(&self, pool: &ChunkPool<B, L>)
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
        L: AsRef<[u32]> + AsMut<[u32]>,
    {
        for held in self.ranges.as_slice().iter().filter(|_| !self.oversize) {
            let mut place = in_store(*held);
            if held.start == Offset::ZERO {
                place.start = Offset((HEADROOM - self.header_len()) as u64);
            }
            while !place.is_empty() {
                let piece = self.chunks.piece(pool, place).len();
                assert!(piece > 0, "invariant 1");
                place.start = place.start.saturating_add(piece as u64);
            }
        }
        assert!(!self.oversize || self.chunks.chunks() == 0, "invariant 1");
        let top = self.ranges.last().map_or(Offset::ZERO, |r| r.end);
        assert!(self.end.is_none_or(|end| top <= end), "invariant 2");
    }

    pub(super) fn header_len(&self) -> usize {
        self.header_len.into()
    }

    /// Where header and payload of the complete datagram lie in the store.
    pub(super) fn whole(&self) -> Result<Range, FragmentDrop> {
        let end = self.end.unwrap_or_default().0;
        if end + counted(self.family, self.header_len()) > MAX_PAYLOAD {
            return Err(FragmentDrop::TooLarge);
        }
        let payload = in_store(Range::new(0, end));
        Ok(Range { start: Offset((HEADROOM - self.header_len().min(HEADROOM)) as u64), end: payload.end })
    }

    /// What the header's congestion bits gain: "congestion experienced" when a fragment says so (RFC 3168, 5.3). Linux
    /// drops a datagram of which only some fragments are of a transport that knows ECN.
    pub(super) fn ecn(&self, policy: FragmentPolicy) -> Result<u8, FragmentDrop> {
        let (not_capable, capable, experienced) =
            (self.ecn & 1 != 0, self.ecn & 0b0110 != 0, self.ecn & 0b1000 != 0);
        match (not_capable, capable || experienced) {
            (true, true) if policy == FragmentPolicy::Linux => Err(FragmentDrop::Ecn),
            (false, true) if experienced => Ok(0b11),
            _ => Ok(0),
        }
    }
}

/// Octets of a header that an IP length counts: with IPv6 only what is behind the fixed part.
pub(super) fn counted(family: Family, header_len: usize) -> u64 {
    match family {
        Family::V4 => header_len as u64,
        Family::V6 => header_len.saturating_sub(size_of::<Ipv6Header>()) as u64,
    }
}

/// Hands the parts of `range` to `take` that are not in `kept`, which comes in ascending order of starts.
fn between(range: Range, kept: impl Iterator<Item = Range>, mut take: impl FnMut(Range)) {
    let (mut from, end) = (range.start, Range { start: range.end, end: range.end });
    for kept in kept.chain([end]) {
        let part = Range { start: from, end: kept.start };
        if !part.is_empty() {
            take(part);
        }
        from = from.max(kept.end);
    }
}

fn put_header(store: &mut impl Store, fragment: &Fragment<'_>) {
    let start = HEADROOM.saturating_sub(fragment.header.len()) as u64;
    store.put(Offset(start), fragment.header);
    if fragment.family == Family::V6 {
        // The fragment header goes, so what led to it leads to what was behind it (RFC 8200, 4.5).
        store.put(Offset(start + fragment.next_header_at as u64), &[fragment.next_header]);
    }
}

/// Where octets of the payload lie.
fn in_store(range: Range) -> Range {
    let room = HEADROOM as u64;
    Range { start: range.start.saturating_add(room), end: range.end.saturating_add(room) }
}

/// Stores the octets of `part` of a fragment whose extent is `range`.
fn put(store: &mut impl Store, fragment: &Fragment<'_>, range: Range, part: Range) {
    let from = usize::try_from(part.start.since(range.start)).unwrap_or(usize::MAX);
    let octets = usize::try_from(part.len()).ok().and_then(|len| fragment.payload.get(from..)?.get(..len));
    store.put(in_store(part).start, octets.unwrap_or_default());
}
