//! Time as an argument: the engine reads no clock.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time: microseconds since an origin that the caller chooses (the epoch for captures).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// Time from `earlier` to `self`; zero when `earlier` is not earlier.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Forward steps of frames up to here are believed; a larger one is a jump. An hour, an arbitrary figure.
const LONGEST_STEP_US: u64 = 3_600_000_000;
/// Backward steps up to here are waited out; a larger one is a jump. Ten seconds, an arbitrary figure.
const LONGEST_STEP_BACK_US: u64 = 10_000_000;

/// A clock that is told the time, and whose running time neither goes back nor leaps.
///
/// Time-outs are kept in running time. When the time told jumps (a broken timestamp, a capture of another day), running
/// time goes on from where it was: nothing expires by it and nothing becomes immortal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    shown: Instant,
    running: Instant,
    /// A frame has told the time.
    started: bool,
    /// What was shown before the last jump: the time that a caller waits for may still be that one.
    before_jump: Option<Instant>,
}

/// The longest wait that is believed: a century. Who says more only wants everything to end, and running time has a long way
/// to go from there.
const LONGEST_WAIT: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What a clock made of the time it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    Forward,
    StepBack,
    Jump,
}

impl Clock {
    /// The time as it was told, not earlier than before unless it jumped.
    pub(crate) fn shown(&self) -> Instant {
        self.shown
    }

    /// The time that time-outs go by.
    pub(crate) fn running(&self) -> Instant {
        self.running
    }

    /// A point in running time as it is shown.
    pub(crate) fn show(&self, running: Instant) -> Instant {
        let past = micros(self.running.since(running));
        Instant(self.shown.0.saturating_sub(past)) + running.since(self.running)
    }

    /// Takes the time of a frame.
    pub(crate) fn advance(&mut self, told: Instant) -> Tick {
        let (ahead, behind) = (told.0.saturating_sub(self.shown.0), self.shown.0.saturating_sub(told.0));
        if !core::mem::replace(&mut self.started, true) && self.shown == Instant::default() {
            // Where time begins, however late that is, running time does not: it has a long way to go from there.
            self.shown = told;
            return Tick::Forward;
        }
        if (1..=LONGEST_STEP_BACK_US).contains(&behind) {
            return Tick::StepBack;
        }
        if ahead > LONGEST_STEP_US || behind > 0 {
            self.before_jump = Some(core::mem::replace(&mut self.shown, told));
            return Tick::Jump;
        }
        self.before_jump = None;
        self.step_to(told);
        Tick::Forward
    }

    /// Takes the time of a caller who waited for it: any step forward is believed. When a frame has just told a time far
    /// away, that was wrong if the caller's goes on from the time before.
    pub(crate) fn pass_to(&mut self, told: Instant) {
        let ahead = |from: Instant| micros(told.since(from));
        if let Some(before) = self.before_jump.take()
            && told >= before
            && ahead(before) <= LONGEST_STEP_US
            && (told < self.shown || ahead(self.shown) > LONGEST_STEP_US)
        {
            self.shown = before;
        }
        self.step_to(told);
    }

    fn step_to(&mut self, told: Instant) {
        self.running = self.running + told.since(self.shown).min(LONGEST_WAIT);
        self.shown = self.shown.max(told);
    }
}

/// Microseconds of a duration, at most what 64 bits hold.
pub(crate) fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Instant;
    /// The later point in time, at most the largest one.
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(micros(d)))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Instant {
    /// Seconds with six decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_takes_steps_and_passes_over_jumps() {
        let mut c = Clock::default();
        let year = 31_536_000_000_000;
        let told = [
            (50 * year, Tick::Forward, 0),
            (50 * year + 7, Tick::Forward, 7),
            (50 * year + 2, Tick::StepBack, 0),
            (50 * year + 9, Tick::Forward, 2),
            (51 * year, Tick::Jump, 0),
            (51 * year + LONGEST_STEP_US, Tick::Forward, LONGEST_STEP_US),
            (49 * year, Tick::Jump, 0),
            (49 * year + 1, Tick::Forward, 1),
            (u64::MAX, Tick::Jump, 0),
        ];
        for (time, tick, moved) in told {
            let before = c.running();
            assert_eq!(
                (c.advance(Instant(time)), c.running().since(before)),
                (tick, Duration::from_micros(moved))
            );
            assert_eq!(c.shown().0, if tick == Tick::StepBack { 50 * year + 7 } else { time });
        }
        assert_eq!(c.show(c.running() + Duration::from_secs(1)), Instant(u64::MAX));
        let (mut c, before) =
            (Clock { shown: Instant(5), running: Instant(3), started: true, before_jump: None }, Instant(3));
        c.pass_to(Instant(4));
        assert_eq!((c.shown(), c.running()), (Instant(5), before));
        c.pass_to(Instant(5 + year));
        assert_eq!((c.shown(), c.running().since(before)), (Instant(5 + year), Duration::from_micros(year)));
    }

    #[test]
    fn arithmetic_stops_at_the_edges() {
        assert_eq!(Instant(5).since(Instant(9)), Duration::ZERO);
        assert_eq!(Instant(1) + Duration::MAX, Instant(u64::MAX));
        assert_eq!(std::format!("{}", Instant(12_000_034)), "12.000034");
    }
}
