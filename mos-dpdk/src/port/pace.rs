//! An adaptor that delivers the packets of a file not as fast as they can be read, but in time.

use super::{Capabilities, Port, PortError, Received, Statistics};
use crate::capture::Capture;
use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant};
use std::thread;
use std::time::Duration;

/// The longest sleep at once: how soon a stop is noticed. An arbitrary figure.
const LONGEST_SLEEP: Duration = Duration::from_millis(5);
/// A longer gap between two packets is a jump of their clock, and not waited for. The engine draws the line there, too.
const LONGEST_GAP: Duration = Duration::from_secs(3600);

/// When packets are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As far apart as their times are.
    Times,
    /// So many a second.
    Rate(u32),
}

/// A port whose packets come in time. What is sent by it is not delayed.
#[derive(Debug)]
pub struct Paced<P> {
    inner: P,
    pace: Pace,
    /// A burst that the port delivered, and how many of it went on.
    burst: Capture,
    next: usize,
    schedule: Option<Schedule>,
}

/// The packet before.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    /// When it was to be delivered.
    due: std::time::Instant,
    /// What its own time was.
    time: Instant,
}

impl Schedule {
    fn next(self, time: Instant, pace: Pace) -> Schedule {
        let gap = match pace {
            Pace::Times => Some(time.since(self.time)).filter(|gap| *gap <= LONGEST_GAP).unwrap_or_default(),
            Pace::Rate(rate) => Duration::from_secs(1) / rate.max(1),
        };
        // A step back is made good by the steps forward that follow it.
        let time = if pace == Pace::Times && is_step_back(self.time, time) { self.time } else { time };
        Schedule { due: self.due + gap, time }
    }
}

fn is_step_back(before: Instant, time: Instant) -> bool {
    before.since(time) > Duration::ZERO && before.since(time) <= LONGEST_GAP
}

impl<P> Paced<P> {
    /// A port over `inner`.
    pub fn new(inner: P, pace: Pace) -> Self {
        Paced { inner, pace, burst: Capture::default(), next: 0, schedule: None }
    }

    /// The port.
    pub fn into_inner(self) -> P {
        self.inner
    }
}

impl<P: Port> Port for Paced<P> {
    /// Sleeps a little when no packet is due.
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let Paced { inner, pace, burst, next, schedule } = self;
        if *next == burst.len() {
            burst.clear();
            *next = 0;
            match inner.receive(&mut |frames| burst.extend(frames))? {
                Received::Frames(_) => {}
                other => return Ok(other),
            }
        }
        let now = std::time::Instant::now();
        let mut due = heapless::Vec::<Frame<'_>, BURST>::new();
        let mut wait = Duration::ZERO;
        for frame in burst.frames_from(*next) {
            let begin = Schedule { due: now, time: frame.time };
            let this = schedule.map_or(begin, |before| before.next(frame.time, *pace));
            wait = this.due.saturating_duration_since(now);
            if !wait.is_zero() || due.push(frame).is_err() {
                break;
            }
            *schedule = Some(this);
        }
        if due.is_empty() {
            thread::sleep(wait.min(LONGEST_SLEEP));
            return Ok(Received::Nothing);
        }
        *next += due.len();
        deliver(&mut due);
        Ok(Received::Frames(due.len()))
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        self.inner.transmit(frames)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        self.inner.flush()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::mem::MemPort;

    /// Times of packets in microseconds, and when they came, in whole milliseconds from the start.
    fn run(times: &[u64], pace: Pace) -> Vec<(u64, u128)> {
        let mut capture = Capture::default();
        times.iter().for_each(|time| capture.extend(&[Frame::ethernet(Instant(*time), &[0; 60])]));
        let mut port = Paced::new(MemPort::new(&capture), pace);
        let (mut came, start) = (Vec::new(), std::time::Instant::now());
        loop {
            let received = port.receive(&mut |frames| {
                came.extend(frames.iter().map(|frame| (frame.time.0, start.elapsed().as_millis())));
            });
            if received.unwrap() == Received::End {
                return came;
            }
        }
    }

    #[test]
    fn packets_come_in_order_and_not_before_their_time() {
        let hour = 3_600_000_000;
        // Two in one instant, one a little late, one that jumps ahead and one that jumps back.
        let times =
            [7_000, 7_000, 27_000, 26_000, 37_000, 38_000 + 2 * hour, 48_000 + 2 * hour, 5_000, 9_000];
        let least = [0, 0, 20, 20, 30, 30, 40, 40, 44];
        let came = run(&times, Pace::Times);
        assert_eq!(came.iter().map(|(time, _)| *time).collect::<Vec<_>>(), times);
        for ((time, at), least) in came.iter().zip(least) {
            assert!(*at >= least, "{time} came after {at} ms, expected {least}: {came:?}");
        }
        assert!(came.last().unwrap().1 < 3_600_000);
    }

    #[test]
    fn a_rate_is_not_exceeded() {
        let came = run(&[0; 100], Pace::Rate(2000));
        assert_eq!(came.len(), 100);
        for (n, (_, at)) in came.iter().enumerate() {
            assert!(*at >= n as u128 / 2, "number {n} came after {at} ms");
        }
    }
}
