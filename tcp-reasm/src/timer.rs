//! Deadlines as values. No clock is read here: the caller says what time it is, in a type of its own, and is told when
//! to look again.
//!
//! ```
//! use core::time::Duration;
//! use ringbuf_core::Window;
//! use tcp_reasm::{Conn, Flags, Segment, Side, Timeouts, Timer, Timers, NO_BUFFER};
//!
//! let mut conn = Conn::new(Window::new(0)); // states alone, no octets
//! let mut timers = Timers::new(Duration::from_secs(100)); // time as a duration since whenever
//! let syn = Segment::build(0, 0, Flags::SYN, b"");
//! let _ = conn.sent(Side::Client, &syn);
//! let _ = conn.received(Side::Server, &syn, NO_BUFFER);
//! timers.on_segment(Duration::from_secs(100));
//!
//! let timeouts = Timeouts { handshake: Duration::from_secs(30), ..Timeouts::default() };
//! assert_eq!(timers.next(&conn, &timeouts), Some((Timer::Handshake, Duration::from_secs(130))));
//! ```

use crate::conn::Conn;
use crate::side::{Side, Sides};
use crate::state::State;
use core::ops::Add;
use core::time::Duration;
use ringbuf_core::{Offset, Range};

/// When octets that were acknowledged but never seen are given up: with the first of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// This many octets behind the hole wait for it.
    pub octets: u32,
    /// The hole has been acknowledged for this long.
    pub time: Duration,
}

/// How long things may take. They are added to the caller's time: for "never" take years, not [`Duration::MAX`], with
/// which most types of time overflow and panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A handshake, from its first segment on.
    pub handshake: Duration,
    /// Silence of a connection.
    pub idle: Duration,
    /// TIME-WAIT: two maximum segment lifetimes (RFC 9293, 3.4.2).
    pub time_wait: Duration,
    /// The wait for octets that the capture may yet bring.
    pub patience: Patience,
}

impl Default for Timeouts {
    /// A handshake of 30 seconds, 5 minutes of silence, TIME-WAIT of 60 seconds as in Linux, and patience for 64 KiB or 2
    /// seconds. All but the third are arbitrary.
    fn default() -> Self {
        Timeouts {
            handshake: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            time_wait: Duration::from_secs(60),
            patience: Patience { octets: 64 << 10, time: Duration::from_secs(2) },
        }
    }
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timer {
    /// The handshake takes too long: [`Conn::expire`].
    Handshake,
    /// Nothing was heard for too long: [`Conn::expire`].
    Idle,
    /// TIME-WAIT is over: [`Conn::expire`].
    TimeWait,
    /// The hole in the stream that this side receives is to be given up: [`Conn::skip`].
    Gap(Side),
}

/// When what happened on a connection, in the caller's time `T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers<T> {
    began: T,
    last: T,
    /// Where each side's stream has an acknowledged hole, and since when.
    holes: Sides<Option<(Offset, T)>>,
}

impl<T: Copy + Ord + Add<Duration, Output = T>> Timers<T> {
    /// For a connection whose first segment comes now.
    pub fn new(now: T) -> Self {
        Timers { began: now, last: now, holes: Sides { client: None, server: None } }
    }

    /// When the first segment came.
    pub fn began(&self) -> T {
        self.began
    }

    /// When the last segment came.
    pub fn last(&self) -> T {
        self.last
    }

    /// A segment came, taken or not.
    pub fn on_segment(&mut self, now: T) {
        self.last = now;
    }

    /// The handshake begins again: its time counts from now.
    pub fn begin_again(&mut self, now: T) {
        self.began = now;
    }

    /// When the connection as a whole is to be given up; `None` when both sides are CLOSED, so that nothing is left to
    /// wait for.
    pub fn end(&self, conn: &Conn, timeouts: &Timeouts) -> Option<(Timer, T)> {
        let is = |state| Side::BOTH.into_iter().any(|side| conn.state(side) == state);
        if conn.is_over() {
            return is(State::TimeWait).then(|| (Timer::TimeWait, self.last + timeouts.time_wait));
        }
        Some(if conn.is_embryonic() {
            (Timer::Handshake, self.began + timeouts.handshake)
        } else {
            (Timer::Idle, self.last + timeouts.idle)
        })
    }

    /// The first deadline of all.
    pub fn next(&self, conn: &Conn, timeouts: &Timeouts) -> Option<(Timer, T)> {
        let gap = |side: Side| {
            self.holes[side].map(|(_, since)| (Timer::Gap(side), since + timeouts.patience.time))
        };
        let all = [gap(Side::Client), gap(Side::Server), self.end(conn, timeouts)];
        all.into_iter().flatten().min_by_key(|(_, at)| *at)
    }

    /// Takes the acknowledged hole of a stream ([`Conn::gap`]), behind which `waiting` octets are held, and tells whether
    /// to give it up now. A hole that gets smaller is being filled: the time counts anew.
    pub fn is_patience_over(
        &mut self,
        side: Side,
        hole: Option<Range>,
        waiting: u64,
        patience: &Patience,
        now: T,
    ) -> bool {
        let known = self.holes[side].filter(|(start, _)| hole.is_some_and(|hole| hole.start == *start));
        self.holes[side] = hole.map(|hole| known.unwrap_or((hole.start, now)));
        let too_many = waiting > patience.octets.into();
        self.holes[side].is_some_and(|(_, since)| too_many || now >= since + patience.time)
    }

    /// Whether any stream is known to have a hole.
    pub fn has_holes(&self) -> bool {
        self.holes.client.is_some() || self.holes.server.is_some()
    }

    /// Since when the stream that `side` receives has its hole; `None` when it is not known to have one.
    pub fn hole_since(&self, side: Side) -> Option<T> {
        self.holes[side].map(|(_, since)| since)
    }

    /// The stream that `side` receives has no hole any more.
    pub fn forget_hole(&mut self, side: Side) {
        self.holes[side] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, NO_BUFFER, Segment};
    use ringbuf_core::Window;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn play(conn: &mut Conn, from: Side, seq: u32, ack: u32, flags: Flags) {
        let segment = Segment::build(seq, ack, flags, b"");
        assert!(conn.judge(from, &segment).is_accept(), "{from} {seq} {ack} {flags}");
        let _ = conn.sent(from, &segment);
        let _ = conn.received(!from, &segment, NO_BUFFER);
    }

    #[test]
    fn the_deadline_follows_the_state() {
        use Side::{Client, Server};
        let (mut conn, timeouts) = (Conn::new(Window::new(0)), Timeouts::default());
        let mut timers = Timers::new(s(10));
        play(&mut conn, Client, 0, 0, Flags::SYN);
        timers.on_segment(s(12));
        assert_eq!(timers.next(&conn, &timeouts), Some((Timer::Handshake, s(40))), "from the first segment");
        play(&mut conn, Server, 0, 1, Flags::SYN | Flags::ACK);
        play(&mut conn, Client, 1, 1, Flags::ACK);
        timers.on_segment(s(13));
        assert_eq!(timers.next(&conn, &timeouts), Some((Timer::Idle, s(313))));
        play(&mut conn, Client, 1, 1, Flags::FIN | Flags::ACK);
        play(&mut conn, Server, 1, 2, Flags::FIN | Flags::ACK);
        play(&mut conn, Client, 2, 2, Flags::ACK);
        timers.on_segment(s(14));
        assert_eq!(timers.next(&conn, &timeouts), Some((Timer::TimeWait, s(74))));
        let _ = conn.expire();
        assert_eq!(timers.next(&conn, &timeouts), None);
    }

    #[test]
    fn a_hole_is_waited_for_as_long_as_nothing_fills_it() {
        let (conn, timeouts) = (Conn::midstream(Window::new(0)), Timeouts::default());
        let mut timers = Timers::new(s(0));
        let mut over = |hole, waiting, now| {
            let over = timers.is_patience_over(Side::Server, hole, waiting, &timeouts.patience, s(now));
            (over, timers.next(&conn, &timeouts).unwrap())
        };
        let (hole, smaller) = (Some(Range::new(5, 10)), Some(Range::new(7, 10)));
        assert_eq!(over(hole, 1, 1), (false, (Timer::Gap(Side::Server), s(3))));
        assert_eq!(over(smaller, 1, 2), (false, (Timer::Gap(Side::Server), s(4))));
        assert!(over(smaller, 1, 4).0);
        assert!(over(smaller, 70_000, 2).0, "too much waits behind it");
        assert_eq!(over(None, 0, 5), (false, (Timer::Idle, s(300))));
    }
}
