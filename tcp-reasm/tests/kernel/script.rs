//! What is going to happen in an exchange, in terms of what is known when it happens.

use std::fmt;
use tcp_reasm::{Flags, Side};

/// One exchange.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The kernel's side.
    pub(crate) kernel: Side,
    /// The kernel's application reads urgent octets in their place.
    pub(crate) inline: bool,
    /// Our first ISN.
    pub(crate) iss: u32,
    /// Our first timestamp.
    pub(crate) clock: u32,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Step {
    /// The kernel's application connects. Always the first step of a client.
    Connect,
    /// The kernel's application sends octets.
    Write(usize),
    /// The kernel's application ends its stream.
    ShutDown,
    /// The kernel's application goes away.
    Close,
    /// The kernel's application does not read until it resumes.
    Pause,
    Resume,
    /// From here on our segments belong to another connection, whose ISN is this much behind the top of the last one.
    Renew(i64),
    /// Our end sends.
    Segment(Draft),
}

/// A segment in terms of what is known when it is sent.
#[derive(Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) flags: Flags,
    pub(crate) seq: (Place, i64),
    pub(crate) ack: (Mark, i64),
    pub(crate) len: usize,
    /// Different copies of the same octets; 0 is the honest one.
    pub(crate) copy: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) stamp: Stamp,
    pub(crate) extras: Vec<Extra>,
}

/// Where a segment begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Isn,
    /// What the kernel expects next.
    Next,
    /// One past everything we sent.
    Top,
    /// The right edge of the kernel's window.
    Edge,
}

/// What a segment acknowledges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Isn,
    /// What we acknowledged before.
    Una,
    /// Everything the kernel sent.
    All,
    /// Nothing: the field is as given.
    Zero,
}

/// The timestamps of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stamp {
    /// As agreed in the handshake.
    Right,
    Missing,
    /// Off our clock by so much, agreed or not.
    Off(i64),
    Zero,
    /// The echo off by so much.
    Echo(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Extra {
    Mss(u16),
    Scale(u8),
    SackPermitted,
    /// Timestamps are offered.
    Stamps,
    /// A signature that nobody can check.
    Md5,
    /// An option of length 0.
    NoLength,
    /// An option longer than the header.
    Overrun,
    /// An unknown option.
    Unknown,
    /// A SACK block, from what is acknowledged.
    Sack(i64, i64),
}

impl Draft {
    pub(crate) fn new(flags: Flags) -> Self {
        Draft {
            flags,
            seq: (Place::Next, 0),
            ack: (Mark::All, 0),
            len: 0,
            copy: 0,
            window: u16::MAX,
            urgent: 0,
            stamp: Stamp::Right,
            extras: Vec::new(),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Connect => write!(f, "connect"),
            Step::Write(n) => write!(f, "write {n}"),
            Step::ShutDown => write!(f, "shut down"),
            Step::Close => write!(f, "close"),
            Step::Pause => write!(f, "pause"),
            Step::Resume => write!(f, "resume"),
            Step::Renew(by) => write!(f, "renew{by:+}"),
            Step::Segment(draft) => draft.fmt(f),
        }
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.flags)?;
        let plain = Draft::new(self.flags);
        let (place, at) = self.seq;
        write!(f, " {place:?}{at:+}")?;
        if self.ack != plain.ack && (self.flags.has(Flags::ACK) || self.ack.0 == Mark::Zero) {
            write!(f, " ack {:?}{:+}", self.ack.0, self.ack.1)?;
        }
        if self.len > 0 {
            write!(f, " len {}", self.len)?;
        }
        if self.copy > 0 {
            write!(f, " copy {}", self.copy)?;
        }
        if self.window != plain.window {
            write!(f, " win {}", self.window)?;
        }
        if self.urgent > 0 {
            write!(f, " urgent {}", self.urgent)?;
        }
        if self.stamp != plain.stamp {
            write!(f, " stamp {:?}", self.stamp)?;
        }
        self.extras.iter().try_for_each(|extra| write!(f, " {extra:?}"))?;
        write!(f, "]")
    }
}
