//! The way between the hosts of all connections, with the place where it is listened to: what is captured there arrives.

use super::super::frame::Segment;
use super::super::truth::Truth;
use super::super::{Kind, Numbers};
use alloc::collections::VecDeque;

/// Places that a segment may be late.
const PLACES: u32 = 32;
/// Places until a segment comes again that was lost. Fewer would be before its sender knows (RFC 6675, 2: three segments
/// behind it).
const UNTIL_AGAIN: u32 = 4;

/// What becomes of a new segment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It arrives.
    Intact,
    /// It arrives so many places late.
    Late(u32),
    /// It does not arrive, and is sent again so many places later.
    Lost(u32),
    /// It arrives, but is not captured.
    Missed,
    /// It arrives, and so does a retransmission that covers the half of it, and the half of the one before.
    Overlapped,
    /// It arrives twice.
    Twice,
}

#[derive(Debug)]
pub(super) struct Way {
    pub(super) truth: Truth,
    pub(super) numbers: Numbers,
    /// Octets that were not captured.
    pub(super) lost: u64,
    /// Segments that were not asked for yet.
    captured: VecDeque<Segment>,
}

impl Way {
    pub(super) fn new(truth: Truth) -> Way {
        Way { truth, numbers: Numbers::new(truth.seed()), lost: 0, captured: VecDeque::new() }
    }

    pub(super) fn capture(&mut self, segment: Segment) {
        self.captured.push_back(segment);
    }

    /// What was captured next.
    pub(super) fn captured(&mut self) -> Option<Segment> {
        self.captured.pop_front()
    }

    /// Draws a fate. There is no overlap unless the segment before is `intact`: else that would be captured where it is not.
    pub(super) fn fate(&mut self, intact: bool) -> Fate {
        let kind = self.truth.plan().kind;
        if kind == Kind::Bulk {
            return Fate::Intact;
        }
        match self.numbers.below(1000) {
            0..50 => Fate::Late(1 + self.numbers.below(PLACES)),
            50..60 => Fate::Twice,
            60..70 => Fate::Lost(UNTIL_AGAIN + self.numbers.below(PLACES - UNTIL_AGAIN)),
            70..80 if intact => Fate::Overlapped,
            80..85 if kind == Kind::Messy => Fate::Missed,
            _ => Fate::Intact,
        }
    }
}
