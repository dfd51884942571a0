//! A bad network on purpose: an adaptor that loses, duplicates and reorders the frames that a port receives, by a seed.

use super::{Capabilities, Port, PortError, Received, Statistics};
use crate::clock;
use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant};
use std::fmt;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::str::FromStr;
use std::time::Duration;

/// A frame that is reordered is overtaken by up to this many. An arbitrary figure, beyond the three that TCP forgives.
const FARTHEST: u32 = 6;
/// How long it is held back when nothing overtakes it. An arbitrary figure.
const LONGEST_HOLD: Duration = Duration::from_millis(10);
const MILLION: u32 = 1_000_000;

/// How bad the network is: of a million frames, how many are affected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Frames that do not arrive.
    pub loss: u32,
    /// Frames that arrive twice.
    pub duplicate: u32,
    /// Frames that are overtaken by others.
    pub reorder: u32,
}

/// Why a text is no [`Impairment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoImpairment;

impl fmt::Display for NoImpairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected loss=PERCENT%,duplicate=PERCENT%,reorder=PERCENT% or some of these")
    }
}

impl std::error::Error for NoImpairment {}

impl FromStr for Impairment {
    type Err = NoImpairment;

    /// For instance `loss=2%,reorder=0.5%`; what is not named does not happen.
    fn from_str(text: &str) -> Result<Self, NoImpairment> {
        let mut impairment = Impairment::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or(NoImpairment)?;
            let place = match name.trim() {
                "loss" => &mut impairment.loss,
                "duplicate" => &mut impairment.duplicate,
                "reorder" => &mut impairment.reorder,
                _ => return Err(NoImpairment),
            };
            let percent = value.trim().strip_suffix('%').ok_or(NoImpairment)?;
            let percent: f64 = percent.parse().map_err(|_| NoImpairment)?;
            if !(0.0..=100.0).contains(&percent) {
                return Err(NoImpairment);
            }
            *place = (percent * f64::from(MILLION / 100)).round() as u32;
        }
        Ok(impairment)
    }
}

/// What became of the frames of an [`Impaired`] port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Frames that were lost.
    pub lost: u64,
    /// Frames that were delivered twice.
    pub duplicated: u64,
    /// Copies of frames that were held back.
    pub reordered: u64,
}

/// A port that receives over a bad network. What is sent by it is not affected.
#[derive(Debug)]
pub struct Impaired<P> {
    inner: P,
    network: Network,
}

impl<P> Impaired<P> {
    /// Makes the way to `inner` bad. The same seed affects the same frames.
    pub fn new(inner: P, impairment: Impairment, seed: u64) -> Self {
        let network =
            Network { impairment, random: Random(seed), held: Vec::new(), affected: Affected::default() };
        Impaired { inner, network }
    }

    /// The port.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    /// What became of its frames so far.
    pub fn affected(&self) -> Affected {
        self.network.affected
    }
}

/// The way to the port.
#[derive(Debug)]
struct Network {
    impairment: Impairment,
    random: Random,
    held: Vec<Held>,
    affected: Affected,
}

/// A frame that waits to be overtaken.
#[derive(Debug)]
struct Held {
    octets: Vec<u8>,
    /// The frame without its octets.
    meta: Frame<'static>,
    /// Frames that are still to overtake it.
    ahead: u32,
    until: Instant,
}

/// What arrives next.
enum Arrival {
    /// A frame of the burst.
    Now(usize),
    /// One that was held back, and when it arrives.
    Late(Held, Instant),
}

impl Network {
    /// What arrives of a burst, and in which order.
    fn carry(&mut self, frames: &[Frame<'_>]) -> Vec<Arrival> {
        let mut arrivals = Vec::with_capacity(frames.len());
        for (i, frame) in frames.iter().enumerate() {
            self.release(frame.time, &mut arrivals);
            if self.random.chance(self.impairment.loss) {
                self.affected.lost += 1;
                continue;
            }
            let twice = self.random.chance(self.impairment.duplicate);
            self.affected.duplicated += u64::from(twice);
            for _ in 0..1 + u32::from(twice) {
                if self.random.chance(self.impairment.reorder) {
                    self.hold(frame);
                } else {
                    arrivals.push(Arrival::Now(i));
                    self.overtake();
                }
            }
        }
        arrivals
    }

    fn hold(&mut self, frame: &Frame<'_>) {
        self.affected.reordered += 1;
        self.held.push(Held {
            octets: frame.data.to_vec(),
            meta: Frame { data: &[], ..*frame },
            ahead: 1 + self.random.below(FARTHEST),
            until: frame.time + LONGEST_HOLD,
        });
    }

    fn overtake(&mut self) {
        for held in &mut self.held {
            held.ahead = held.ahead.saturating_sub(1);
        }
    }

    /// Lets go what was overtaken enough, or has waited long enough at `now`.
    fn release(&mut self, now: Instant, arrivals: &mut Vec<Arrival>) {
        let due = self.held.extract_if(.., |held| held.ahead == 0 || held.until <= now);
        arrivals.extend(due.map(|held| {
            let time = now.min(held.until);
            Arrival::Late(held, time)
        }));
    }
}

/// Chance that a seed repeats (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    fn below(&mut self, n: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u32
    }

    /// Whether something happens that does so in `n` of a million cases.
    fn chance(&mut self, n: u32) -> bool {
        self.below(MILLION) < n
    }
}

/// Delivers what arrives. Returns how many frames that were.
fn hand_over(arrivals: &[Arrival], frames: &[Frame<'_>], deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> usize {
    for arrivals in arrivals.chunks(BURST) {
        let mut burst: heapless::Vec<Frame<'_>, BURST> = arrivals
            .iter()
            .filter_map(|arrival| match arrival {
                Arrival::Now(i) => frames.get(*i).copied(),
                Arrival::Late(held, time) => Some(Frame { data: &held.octets, time: *time, ..held.meta }),
            })
            .collect();
        deliver(&mut burst);
    }
    arrivals.len()
}

impl<P: Port> Port for Impaired<P> {
    /// As the port itself; of frames that were received none may be left, then it returns `Frames(0)`.
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let network = &mut self.network;
        let mut delivered = 0;
        let received = self.inner.receive(&mut |frames| {
            delivered += hand_over(&network.carry(frames), frames, deliver);
        })?;
        let now = match received {
            Received::Frames(_) => return Ok(Received::Frames(delivered)),
            Received::Nothing => clock::now(),
            Received::End => Instant(u64::MAX),
        };
        let mut arrivals = Vec::new();
        network.release(now, &mut arrivals);
        Ok(match hand_over(&arrivals, &[], deliver) {
            0 => received,
            n => Received::Frames(n),
        })
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        self.inner.transmit(frames)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        self.inner.flush()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { zero_copy: false, ..self.inner.capabilities() }
    }

    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }

    fn ignore(&mut self, ends: (SocketAddr, SocketAddr)) -> bool {
        self.inner.ignore(ends)
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Capture, CaptureReader, CaptureWriter};
    use crate::port::mem::MemPort;

    const FRAMES: u32 = 10_000;

    /// A capture of numbered frames, ten microseconds apart.
    fn numbered() -> Capture {
        let mut file = Vec::new();
        let mut writer = CaptureWriter::new(&mut file);
        for n in 0..FRAMES {
            let octets = n.to_be_bytes();
            writer.write(&Frame::ethernet(Instant(u64::from(n) * 10), &octets)).unwrap();
        }
        let mut reader = CaptureReader::new(String::new(), &file[..]).unwrap();
        let mut capture = Capture::default();
        while reader.read_burst(&mut |frames| capture.extend(frames)).unwrap() > 0 {}
        capture
    }

    /// The numbers of the frames as they arrive, and what became of those that do not.
    fn arrivals(impairment: &str, seed: u64) -> (Vec<u32>, Affected) {
        let capture = numbered();
        let mut port = Impaired::new(MemPort::new(&capture), impairment.parse().unwrap(), seed);
        let (mut numbers, mut time) = (Vec::new(), Instant(0));
        loop {
            let before = numbers.len();
            let received = port.receive(&mut |frames| {
                assert!((1..=BURST).contains(&frames.len()));
                for frame in frames.iter() {
                    numbers.push(u32::from_be_bytes(frame.data.try_into().unwrap()));
                    assert!(frame.time + LONGEST_HOLD >= time, "nothing is held for longer");
                    time = time.max(frame.time);
                }
            });
            match received.unwrap() {
                Received::Frames(n) => assert_eq!(n, numbers.len() - before),
                Received::Nothing => panic!("a capture has an end"),
                Received::End => return (numbers, port.affected()),
            }
        }
    }

    #[test]
    fn a_good_network_changes_nothing_and_the_worst_lets_nothing_through() {
        let all: Vec<u32> = (0..FRAMES).collect();
        assert_eq!(arrivals("loss=0%,reorder=0%", 1), (all, Affected::default()));
        let lost = Affected { lost: FRAMES.into(), ..Affected::default() };
        assert_eq!(arrivals("loss=100%,duplicate=50%,reorder=50%", 1), (vec![], lost));
    }

    #[test]
    fn frames_are_lost_and_duplicated_as_often_as_asked() {
        let (numbers, affected) = arrivals("loss=2%", 7);
        assert!(numbers.is_sorted() && numbers.len() as u64 + affected.lost == FRAMES.into());
        assert!((150..=250).contains(&affected.lost), "{affected:?}");
        let (numbers, affected) = arrivals("duplicate=1%", 7);
        let twice = numbers.windows(2).filter(|w| w[0] == w[1]).count() as u64;
        assert!(numbers.is_sorted() && twice == affected.duplicated);
        assert!(numbers.len() as u64 == u64::from(FRAMES) + twice && (60..=140).contains(&twice), "{twice}");
    }

    #[test]
    fn frames_that_are_reordered_are_overtaken_by_a_few_and_all_arrive() {
        let (mut numbers, affected) = arrivals("reorder=3%", 9);
        assert!((220..=380).contains(&affected.reordered), "{affected:?}");
        let overtaken = |at: usize| numbers[..at].iter().filter(|n| **n > numbers[at]).count();
        let moved: Vec<usize> = (0..numbers.len()).map(overtaken).filter(|n| *n > 0).collect();
        assert!(moved.len() as u64 >= affected.reordered - 1, "{} of {affected:?}", moved.len());
        // One that is held itself while others are let go may see some more.
        assert!(moved.iter().all(|n| *n <= FARTHEST as usize + 2), "{moved:?}");
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..FRAMES));
    }

    #[test]
    fn a_seed_repeats_what_happens() {
        let all = "loss=2%,reorder=3%,duplicate=1%";
        assert_eq!(arrivals(all, 3), arrivals(all, 3));
        assert_ne!(arrivals(all, 3), arrivals(all, 4));
    }

    #[test]
    fn percentages_are_read() {
        let parsed = "loss=2%, reorder=0.5%".parse();
        assert_eq!(parsed, Ok(Impairment { loss: 20_000, duplicate: 0, reorder: 5_000 }));
        for text in ["", "loss", "loss=2", "loss=101%", "loss=-1%", "loss=NaN%", "delay=2%", "loss=2%,"] {
            assert_eq!(text.parse::<Impairment>(), Err(NoImpairment), "{text}");
        }
    }
}
