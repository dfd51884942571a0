//! Where the octets of a stream are on either side of a handler that makes segments longer or shorter.
//!
//! A handler inserts octets, or removes some; from there on the receiver counts differently from the sender. A
//! [`ShiftMap`] is kept for each direction that was changed: what the sender says about its octets is translated to the
//! *receiver's* positions on the way there, and what the receiver acknowledges to the *sender's* on the way back.
//!
//! ```text
//!   sender     a b c d e f g h i j            positions 0 .. 10
//!                  ╱   ╲  ╲      ╲            "XYZ" inserted at 2, "ef" removed at 4
//!   receiver   a b X Y Z c d g h i j          positions 0 .. 11
//! ```
//!
//! Octets that a handler inserts are *carried* by one octet of the sender: whatever was lost, the sender repeats that
//! one until the inserted ones are acknowledged as well. So each octet of the sender stands for a range of the
//! receiver's octets, which may be empty, and those ranges follow each other without a hole.
//!
//! Nobody acknowledges octets that were removed. They count as acknowledged with what precedes them; when nothing is left
//! of a segment, the caller has to answer it with the last acknowledgement of the receiver, for the receiver will not.
//!
//! A right edge of a window is translated as an acknowledgement: then the sender does not send more than fits.
//!
//! Positions are signed offsets from the first octet of the stream; the SYN is at -1, the FIN behind the last octet.
//!
//! # Invariants
//! 1. Changes are in the order of their places and of their carriers, and do not overlap.
//! 2. No change touches what was forwarded before it, and none is carried by it: the receiver never sees an octet at two
//!    places.
//! 3. A change that the receiver has acknowledged is only counted, unless one behind it is carried by its octets. From [`ShiftMap::floor`] on octets are where they
//!    were; what is below is acknowledged, and a segment that reaches there is to be cut: nobody knows any more which of
//!    its octets were removed.

mod sack;

pub use sack::translate_sack;

use core::fmt;
use core::ops::Range;
use heapless::Vec;

/// The most changes of a direction that wait to be acknowledged. Arbitrary.
pub const MAX_CHANGES: usize = 32;

/// The most changes of one segment: for more, octets between two of them have to be taken for new ones. Arbitrary.
pub const MAX_PER_SEGMENT: usize = 8;
/// The most octets that changes are merged over. Arbitrary.
const MAX_MERGED: u16 = 1 << 14;

/// Which octet of the sender carries octets that were inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The one at the place of the change: the first that was removed, or the one behind the place.
    Following,
    /// The one before the end of the change: the last that was removed, or the one before the place.
    Preceding,
}

/// Octets removed from a stream, or inserted into it, or both at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The place, in the sender's positions.
    pub at: i64,
    /// Octets of the sender removed from there on.
    pub removed: u16,
    /// Octets inserted there.
    pub inserted: u16,
    /// What carries those.
    pub anchor: Anchor,
}

impl Change {
    /// One past the last octet removed.
    fn end(&self) -> i64 {
        self.at.saturating_add(self.removed.into())
    }

    /// The octet that carries what was inserted.
    fn carrier(&self) -> i64 {
        match self.anchor {
            Anchor::Following => self.at,
            Anchor::Preceding => self.end().saturating_sub(1),
        }
    }

    fn growth(&self) -> i64 {
        i64::from(self.inserted) - i64::from(self.removed)
    }

    /// Where inserted octets are at the receiver, when the changes before made the stream longer by `shift`.
    fn reach(&self, shift: i64) -> Range<i64> {
        let start = self.at.saturating_add(shift);
        start..start.saturating_add(self.inserted.into())
    }
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShiftError {
    /// The octets at that place, or those that would carry the change, were forwarded before.
    AlreadySent,
    /// [`MAX_CHANGES`] wait to be acknowledged, and are too far from each other to become fewer.
    Full,
    /// It lies before, or in, a change that was made.
    OutOfOrder,
}

impl fmt::Display for ShiftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ShiftError::AlreadySent => "octets at that place were forwarded before",
            ShiftError::Full => "too many changes wait to be acknowledged",
            ShiftError::OutOfOrder => "changes are made in the order of their places",
        })
    }
}

impl core::error::Error for ShiftError {}

/// A part of what the receiver gets for a range of the sender's octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Octets of the sender, by the sender's positions.
    Kept(Range<i64>),
    /// Octets that were inserted, by the receiver's positions.
    Inserted(Range<i64>),
}

/// The map between the sender's positions in a stream and the receiver's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftMap {
    /// How much longer the changes made the stream that were forgotten.
    shift: i64,
    /// Where the last of those ends, in the sender's positions.
    floor: i64,
    changes: Vec<Change, MAX_CHANGES>,
    /// One past the highest octet that was forwarded, in the sender's positions.
    forwarded: i64,
    /// What the receiver acknowledged, in its own positions.
    acknowledged: i64,
    /// What the receiver got is not what the sender sent.
    changed: bool,
}

impl ShiftMap {
    /// A map without a change, of a stream that was forwarded up to a position.
    pub const fn new(forwarded: i64) -> Self {
        ShiftMap {
            shift: 0,
            floor: i64::MIN,
            changes: Vec::new(),
            forwarded,
            acknowledged: i64::MIN,
            changed: false,
        }
    }

    /// Whether the receiver got something else than the sender sent: octets were changed in number, or in what they are.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Octets were changed, but not their number.
    pub fn on_overwritten(&mut self) {
        self.changed = true;
    }

    /// Whether positions are the same on both sides.
    pub fn is_identity(&self) -> bool {
        self.shift == 0 && self.changes.is_empty()
    }

    /// One past the highest octet that was forwarded, in the sender's positions. Changes can be made from there on.
    pub fn forwarded(&self) -> i64 {
        self.forwarded
    }

    /// The sender's position from which on octets are where they were. Everything below is acknowledged.
    pub fn floor(&self) -> i64 {
        self.floor
    }

    /// How many changes wait to be acknowledged.
    pub fn pending(&self) -> usize {
        self.changes.len()
    }

    /// How many changes of one segment can be noted.
    pub fn room(&self) -> usize {
        let mergeable = (0..self.changes.len()).filter(|at| self.merged(*at).is_some()).count();
        (MAX_CHANGES - self.changes.len() + mergeable / 2).min(MAX_PER_SEGMENT)
    }

    /// One change in the place of the one at `at` and its neighbour, which takes the octets between them, and the one that
    /// carries the second, for new ones. It is carried by its last octet: then nothing that the sender was told to be
    /// acknowledged is taken back. `None` when it would be too large.
    fn merged(&self, at: usize) -> Option<Change> {
        let (first, second) = (self.changes.get(at)?, self.changes.get(at + 1)?);
        let end = second.end().max(second.carrier().saturating_add(1));
        let free = self.changes.get(at + 2).is_none_or(|next| next.at >= end && next.carrier() >= end);
        let kept = second.at.saturating_sub(first.end()).saturating_add(end.saturating_sub(second.end()));
        let removed = u16::try_from(end.saturating_sub(first.at)).ok()?;
        let inserted = u16::try_from(kept + i64::from(first.inserted) + i64::from(second.inserted)).ok()?;
        let merged = Change { at: first.at, removed, inserted, anchor: Anchor::Preceding };
        let small = removed.max(inserted) <= MAX_MERGED;
        (free && end <= self.forwarded && removed > 0 && small).then_some(merged)
    }

    /// Makes room for one more change. Returns whether there is.
    fn make_room(&mut self) -> bool {
        if !self.changes.is_full() {
            return true;
        }
        let all = (0..self.changes.len()).filter_map(|at| Some((at, self.merged(at)?)));
        let Some((at, merged)) = all.min_by_key(|(_, merged)| merged.removed) else { return false };
        self.changes.remove(at + 1);
        if let Some(change) = self.changes.get_mut(at) {
            *change = merged;
        }
        true
    }

    /// Notes a change in a segment that is not forwarded yet. Its carrier must be in that segment. When there are as many as
    /// are followed one by one, two that lie near each other become one.
    ///
    /// # Errors
    /// [`ShiftError`]; then nothing is noted.
    pub fn change(&mut self, change: Change) -> Result<(), ShiftError> {
        if change.removed == 0 && change.inserted == 0 {
            return Ok(());
        }
        if change.at.min(change.carrier()) < self.forwarded {
            return Err(ShiftError::AlreadySent);
        }
        let ordered = |last: &Change| last.end() <= change.at && last.carrier() <= change.carrier();
        if !self.changes.last().is_none_or(ordered) {
            return Err(ShiftError::OutOfOrder);
        }
        if !self.make_room() {
            return Err(ShiftError::Full);
        }
        self.changes.push(change).map_err(|_| ShiftError::Full)?;
        self.changed = true;
        Ok(())
    }

    /// The segment with the latest changes was forwarded; `end` is one past its last octet, FIN counted.
    pub fn on_forwarded(&mut self, end: i64) {
        self.forwarded = self.forwarded.max(end);
        self.forget();
    }

    /// The segment with the latest changes is not forwarded: they are forgotten.
    pub fn abandon(&mut self) {
        let forwarded = self.forwarded;
        self.changes.retain(|change| change.carrier() < forwarded);
    }

    /// The receiver acknowledged everything below a position of its own.
    pub fn on_acknowledged(&mut self, position: i64) {
        self.acknowledged = self.acknowledged.max(position);
        self.forget();
    }

    /// Forgets changes that are forwarded and acknowledged, and whose octets carry nothing that is not.
    fn forget(&mut self) {
        let (mut shift, mut forgotten) = (self.shift, 0);
        for (at, change) in self.changes.iter().enumerate() {
            if change.reach(shift).end > self.acknowledged || change.carrier() >= self.forwarded {
                break;
            }
            shift = shift.saturating_add(change.growth());
            // The next one may be carried by an octet that this one removed, or that carries this one, too.
            if self.changes.get(at + 1).is_none_or(|next| next.carrier() >= change.end()) {
                (self.shift, self.floor, forgotten) = (shift, change.end(), at + 1);
            }
        }
        for _ in 0..forgotten {
            self.changes.remove(0);
        }
    }

    /// What the receiver gets for octets of the sender: the range of its positions. Octets that were inserted are in it
    /// when their carrier is in the range, those that were removed are not.
    pub fn to_receiver(&self, sent: Range<i64>) -> Range<i64> {
        self.place(sent.start)..self.place(sent.end)
    }

    /// As [`ShiftMap::to_receiver`], piece by piece.
    pub fn pieces(&self, sent: Range<i64>) -> Pieces<'_> {
        Pieces { changes: &self.changes, shift: self.shift, at: sent.start, sent }
    }

    /// The highest position of the sender that an acknowledgement of everything below `position` acknowledges. An octet
    /// that carries others is acknowledged with the last of them; removed ones with what precedes them.
    pub fn ack_to_sender(&self, position: i64) -> i64 {
        let mut shift = self.shift;
        for change in &self.changes {
            let reach = change.reach(shift);
            if position < reach.start {
                break;
            }
            if position < reach.end {
                return change.carrier();
            }
            shift = shift.saturating_add(change.growth());
        }
        position.saturating_sub(shift)
    }

    /// The octets of the sender whose every octet at the receiver lies in a block that was acknowledged selectively.
    /// `None` when there are none.
    pub fn sack_to_sender(&self, block: Range<i64>) -> Option<Range<i64>> {
        if block.is_empty() {
            return None;
        }
        let sent = self.first_from(block.start)..self.ack_to_sender(block.end);
        (sent.start < sent.end).then_some(sent)
    }

    /// The first octet of the sender that stands for nothing below a position of the receiver.
    fn first_from(&self, position: i64) -> i64 {
        let mut shift = self.shift;
        for change in &self.changes {
            let reach = change.reach(shift);
            if position <= reach.start {
                break;
            }
            if position <= reach.end {
                return change.carrier().saturating_add(1);
            }
            shift = shift.saturating_add(change.growth());
        }
        position.saturating_sub(shift)
    }

    /// The receiver's position behind all that octets below `position` stand for.
    fn place(&self, position: i64) -> i64 {
        let mut place = position.saturating_add(self.shift);
        for change in &self.changes {
            if change.carrier() < position {
                place = place.saturating_add(change.inserted.into());
            }
            let removed = position.saturating_sub(change.at).clamp(0, change.removed.into());
            place = place.saturating_sub(removed);
        }
        place
    }
}

/// The pieces of [`ShiftMap::pieces`], in the order of the receiver.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    changes: &'a [Change],
    /// How much longer the changes before made the stream.
    shift: i64,
    /// The next octet of the sender.
    at: i64,
    sent: Range<i64>,
}

impl Pieces<'_> {
    fn kept(&mut self, end: i64) -> Option<Piece> {
        let kept = self.at..end.min(self.sent.end);
        (kept.start < kept.end).then(|| {
            self.at = kept.end;
            Piece::Kept(kept)
        })
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while let Some((change, rest)) = self.changes.split_first() {
            if let Some(kept) = self.kept(change.at) {
                return Some(kept);
            }
            let reach = change.reach(self.shift);
            self.shift = self.shift.saturating_add(change.growth());
            (self.changes, self.at) = (rest, self.at.max(change.end()));
            if change.inserted > 0 && self.sent.contains(&change.carrier()) {
                return Some(Piece::Inserted(reach));
            }
        }
        self.kept(self.sent.end)
    }
}

#[cfg(test)]
mod tests;
