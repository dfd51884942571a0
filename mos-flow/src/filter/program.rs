//! A compiled filter: tests, sums and connectives in postfix order, run over a stack of bits. Its cost is bounded by
//! its length, and it cannot loop.

use super::parse::Parser;
use super::sum::{Comparison, Step, Sums};
use super::test::Test;
use super::{FilterError, FilterErrorKind};
use crate::packet::Frame;
use crate::wire::{Family, Packet};
use core::str::FromStr;
use heapless::Vec;

/// The most steps of a filter. Half of them can be outcomes that wait for a connective: a word of 64 bits holds them.
const MAX_OPS: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Test(Test),
    Sum(Step),
    Compare(Comparison),
    And,
    Or,
    Not,
}

const _: () = assert!(size_of::<Op>() <= 24, "a filter is 3 KiB");

/// A compiled filter expression. The empty expression matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    ops: Vec<Op, MAX_OPS>,
}

impl Filter {
    /// The filter that matches every packet.
    pub const fn everything() -> Filter {
        Filter { ops: Vec::new() }
    }

    /// The filter that matches what both do.
    ///
    /// # Errors
    /// `TooLong`, at position 0, when the two have too many terms together.
    pub fn and(mut self, other: &Filter) -> Result<Filter, FilterError> {
        if self.ops.is_empty() || other.ops.is_empty() {
            return Ok(if self.ops.is_empty() { other.clone() } else { self });
        }
        let joined = self.ops.extend_from_slice(&other.ops).is_ok() && self.push(Op::And).is_ok();
        if joined { Ok(self) } else { Err(FilterErrorKind::TooLong.at(0)) }
    }

    /// Whether packets of a family, and of a protocol if one is given, can match. No guarantee that some do: tests of
    /// addresses, ports, tags and numbers are taken to come out either way.
    pub fn could_match(&self, family: Family, protocol: Option<u8>) -> bool {
        // For each value on the stack: whether it can be true, whether it can be false. That a load can fail makes
        // neither of them less likely than it is taken to be.
        let (mut yes, mut no) = (1_u64, 0_u64);
        let mut absent = false; // a header that these packets do not have is asked for
        for op in &self.ops {
            (yes, no) = match op {
                Op::Test(test) => known(test.known(family, protocol), yes, no),
                Op::Sum(Step::Load { protocol: of, .. }) => {
                    absent |= of.known(family, protocol) == Some(false);
                    (yes, no)
                }
                Op::Sum(_) => (yes, no),
                Op::Compare(_) => known(core::mem::take(&mut absent).then_some(false), yes, no),
                Op::Not => (yes & !1 | no & 1, no & !1 | yes & 1),
                Op::And => (yes >> 1 & (yes | !1), no >> 1 | no & 1),
                Op::Or => (yes >> 1 | yes & 1, no >> 1 & (no | !1)),
            };
        }
        yes & 1 == 1
    }

    pub(super) fn push(&mut self, op: Op) -> Result<(), ()> {
        self.ops.push(op).map_err(|_| ())
    }

    pub(super) fn ops_mut(&mut self) -> &mut Vec<Op, MAX_OPS> {
        &mut self.ops
    }

    /// Whether the packet in `frame` matches.
    pub fn matches(&self, frame: &Frame<'_>, packet: &Packet) -> bool {
        self.run(frame, packet, false)
    }

    /// Whether a packet the other way would match: source and destination change places. Of the packet that this one
    /// answers nothing else is known, so `len` and octets such as `tcp[13]` are those of the packet at hand.
    pub fn matches_reversed(&self, frame: &Frame<'_>, packet: &Packet) -> bool {
        self.run(frame, packet, true)
    }

    fn run(&self, frame: &Frame<'_>, packet: &Packet, reversed: bool) -> bool {
        let mut outcomes = Outcomes { yes: 1, failed: 0 }; // an empty program leaves "yes"
        let mut sums = Sums::default();
        for op in &self.ops {
            match op {
                Op::Test(test) => outcomes.push(test.holds(frame, packet, reversed)),
                Op::Sum(step) => sums.step(*step, frame, packet),
                Op::Compare(comparison) => outcomes.push(sums.close(*comparison)),
                Op::And => outcomes.and(),
                Op::Or => outcomes.or(),
                Op::Not => outcomes.not(),
            }
        }
        outcomes.yes & 1 == 1
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        Parser::parse(text)
    }
}

/// Pushes whether something can be true and whether it can be false.
fn known(holds: Option<bool>, yes: u64, no: u64) -> (u64, u64) {
    let (can, can_not) = holds.map_or((true, true), |h| (h, !h));
    (yes << 1 | u64::from(can), no << 1 | u64::from(can_not))
}

/// Outcomes that wait for a connective, the last one in the lowest bit. One that failed counts as if the program had
/// ended there, unless what stands to the left of it decided already: every step runs, and yet it is as if those after
/// an `and` or `or` that is decided did not.
struct Outcomes {
    yes: u64,
    /// Never together with `yes`.
    failed: u64,
}

impl Outcomes {
    fn push(&mut self, outcome: Option<bool>) {
        self.yes = self.yes << 1 | u64::from(outcome == Some(true));
        self.failed = self.failed << 1 | u64::from(outcome.is_none());
    }

    fn not(&mut self) {
        self.yes ^= !self.failed & 1;
    }

    fn and(&mut self) {
        let (left, right) = (self.yes >> 1, self.yes);
        self.failed = self.failed >> 1 | left & self.failed & 1;
        self.yes = left & (right | !1);
    }

    fn or(&mut self) {
        let (left, right) = (self.yes >> 1, self.yes & !(self.failed >> 1));
        self.failed = self.failed >> 1 | !left & self.failed & 1;
        self.yes = left | right & 1;
    }
}
