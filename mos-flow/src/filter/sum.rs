//! Arithmetic of a filter: steps over a small stack of 32-bit numbers, closed by a comparison.

use super::test::{Protocol, is_later_fragment, load};
use crate::packet::Frame;
use crate::wire::{Family, Packet};
use heapless::Vec;

/// The most numbers that wait for their operator.
pub(super) const MAX_NUMBERS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Constant(u32),
    /// Octets of the frame on the wire.
    Len,
    /// Takes an index, puts the octets there.
    Load {
        protocol: Protocol,
        size: u8,
    },
    Binary(Operator),
    Negate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    And,
    Divide,
    Modulo,
    Multiply,
    Or,
    ShiftLeft,
    ShiftRight,
    Subtract,
    Xor,
}

impl Operator {
    /// `None` for a division by zero.
    pub(super) fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Operator::Add => a.wrapping_add(b),
            Operator::And => a & b,
            Operator::Divide => a.checked_div(b)?,
            Operator::Modulo => a.checked_rem(b)?,
            Operator::Multiply => a.wrapping_mul(b),
            Operator::Or => a | b,
            Operator::ShiftLeft => a.checked_shl(b).unwrap_or(0),
            Operator::ShiftRight => a.checked_shr(b).unwrap_or(0),
            Operator::Subtract => a.wrapping_sub(b),
            Operator::Xor => a ^ b,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    NotEqual,
}

impl Comparison {
    fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Comparison::Equal => a == b,
            Comparison::Greater => a > b,
            Comparison::GreaterEqual => a >= b,
            Comparison::Less => a < b,
            Comparison::LessEqual => a <= b,
            Comparison::NotEqual => a != b,
        }
    }
}

/// The numbers of one comparison.
#[derive(Default)]
pub(super) struct Sums {
    numbers: Vec<u32, MAX_NUMBERS>,
    /// A header is asked for that the packet does not have: the comparison is false, whatever else happens.
    absent: bool,
    /// A load behind the end, or a division by zero: the program ends.
    failed: bool,
}

impl Sums {
    pub(super) fn step(&mut self, step: Step, frame: &Frame<'_>, packet: &Packet) {
        let result = match step {
            Step::Constant(number) => Some(number),
            Step::Len => Some(frame.wire_len),
            Step::Load { protocol, size } => {
                let index = self.take();
                if has_header(protocol, packet) {
                    place(protocol, index, packet).and_then(|at| load(frame, at, size.into()))
                } else {
                    self.absent = true;
                    Some(0)
                }
            }
            Step::Binary(operator) => {
                let b = self.take();
                operator.apply(self.take(), b)
            }
            Step::Negate => Some(self.take().wrapping_neg()),
        };
        self.failed |= result.is_none() || self.numbers.push(result.unwrap_or(0)).is_err();
    }

    /// The outcome of comparing the two numbers that are left.
    pub(super) fn close(&mut self, comparison: Comparison) -> Option<bool> {
        let b = self.take();
        let holds = comparison.holds(self.take(), b);
        let Sums { absent, failed, .. } = core::mem::take(self);
        if absent { Some(false) } else { (!failed).then_some(holds) }
    }

    fn take(&mut self) -> u32 {
        self.numbers.pop().unwrap_or(0)
    }
}

fn has_header(protocol: Protocol, packet: &Packet) -> bool {
    let later = matches!(protocol, Protocol::Over { .. }) && is_later_fragment(packet);
    protocol.holds(packet) && !later
}

/// Where in the frame the octet `index` of a header is. Over IPv4 the sum with the header's length wraps, as in
/// libpcap: a negative index of `tcp` leads into the header before it.
fn place(protocol: Protocol, index: u32, packet: &Packet) -> Option<usize> {
    let header_len = u32::try_from(packet.transport.checked_sub(packet.ip)?).ok()?;
    let (from, index) = match (protocol, packet.family) {
        (Protocol::Link, _) => (0, index),
        (Protocol::Over { .. }, Family::V4) => (packet.ip, header_len.wrapping_add(index)),
        (Protocol::Over { .. }, Family::V6) => (packet.transport, index),
        (Protocol::Ip(_) | Protocol::Absent, _) => (packet.ip, index),
    };
    from.checked_add(usize::try_from(index).ok()?)
}
