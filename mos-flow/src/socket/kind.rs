//! Which monitor an active socket belongs to: a small number, in the octet that tells what kind a socket is.
//!
//! # Invariants
//! 1. A monitor and the active sockets opened for it have one number, which nobody else has.
//! 2. A number is free when neither its monitor nor an active socket is left.

use super::SocketKind;
use crate::config::MAX_MONITORS;
use core::num::NonZeroU8;

/// What kind a socket is, and for an active one the number of its monitor plus one. Never 0, so that a free slot needs no octet
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(NonZeroU8);

impl Kind {
    pub(super) const RAW: Kind = Kind(NonZeroU8::MAX);
    pub(super) const STREAM: Kind = Kind(NonZeroU8::MIN.saturating_add(NUMBERS as u8));

    /// An active socket.
    pub(super) fn active(monitor: Number) -> Kind {
        Kind(NonZeroU8::MIN.saturating_add(monitor.0))
    }

    /// The kind alone.
    pub(crate) fn get(self) -> SocketKind {
        match self {
            Kind::RAW => SocketKind::Raw,
            Kind::STREAM => SocketKind::Stream,
            Kind(_) => SocketKind::Active,
        }
    }

    /// The number of an active socket's monitor.
    pub(super) fn monitor(self) -> Option<Number> {
        (self.get() == SocketKind::Active).then_some(Number(self.0.get() - 1))
    }
}

impl PartialEq<SocketKind> for Kind {
    fn eq(&self, other: &SocketKind) -> bool {
        self.get() == *other
    }
}

/// The number of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u8);

/// Numbers there are. Those of monitors that were closed stay taken while connections that they watched live.
const NUMBERS: usize = 253;
const _: () = assert!(NUMBERS > 2 * MAX_MONITORS && Kind::STREAM.0.get() < Kind::RAW.0.get());

/// How many sockets have each number, monitors and active ones.
#[derive(Debug)]
pub(super) struct Numbers([u32; NUMBERS]);

impl Numbers {
    pub(super) const fn new() -> Self {
        Numbers([0; NUMBERS])
    }

    /// A number for a new monitor.
    pub(super) fn take(&mut self) -> Option<Number> {
        let free = self.0.iter().position(|count| *count == 0)?;
        let number = Number(u8::try_from(free).ok()?);
        self.join(number);
        Some(number)
    }

    /// One more socket has the number.
    pub(super) fn join(&mut self, number: Number) {
        if let Some(count) = self.0.get_mut(usize::from(number.0)) {
            *count += 1;
        }
    }

    /// One of the sockets that had the number is closed.
    pub(super) fn leave(&mut self, number: Number) {
        if let Some(count) = self.0.get_mut(usize::from(number.0)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Sockets that have a number.
    #[cfg(any(test, feature = "_model"))]
    pub(super) fn total(&self) -> usize {
        self.0.iter().map(|count| *count as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_again_when_its_last_socket_is_gone() {
        let mut numbers = Numbers::new();
        let all: std::vec::Vec<_> = core::iter::from_fn(|| numbers.take()).collect();
        assert_eq!(all.len(), NUMBERS);
        assert!(all.iter().all(|n| Kind::active(*n).monitor() == Some(*n)));
        assert!(all.iter().all(|n| Kind::active(*n) == SocketKind::Active));
        numbers.join(all[7]);
        numbers.leave(all[7]);
        assert_eq!(numbers.take(), None, "one of two is left");
        numbers.leave(all[7]);
        assert_eq!((numbers.take(), numbers.total()), (Some(all[7]), NUMBERS));
        assert!(Kind::RAW == SocketKind::Raw && Kind::STREAM == SocketKind::Stream);
        assert_eq!([Kind::RAW.monitor(), Kind::STREAM.monitor()], [None, None]);
    }
}
