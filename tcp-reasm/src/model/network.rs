//! Two hosts, a network that loses, delays, repeats and reorders what they send, and the monitor in the middle of it,
//! in virtual time. Everything follows from a seed.
//!
//! ```text
//!    host ──► lost? twice? late? ──► monitor ──► lost? twice? late? ──► host
//!                                       ▲ not captured?
//! ```
//!
//! After each segment that reaches a host, the monitor must know all that the host knows: it saw everything before. At
//! the end it must have read what the applications wrote, and believe of both hosts what is true. Where the capture
//! lacks packets it may miss octets, but says which.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)] // streams are short

mod host;
mod observer;
mod plan;
mod rng;

use crate::{Anomaly, Side, Sides, State, Verdict};
use host::{Host, Packet, Plan, Time};
use observer::Observer;
use plan::{Weather, random_time_to};
use rng::Rng;
use std::collections::BTreeMap;
use std::format;
use std::println;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// From here on the network is perfect, so that each run comes to its end.
const CALM: Time = Time::from_secs(20);
/// Steps of a run that goes round in circles.
const ENDLESS: u32 = 50_000;

/// Where the monitor does not do justice to honest hosts, because it judges by what passed it and a host by what it got:
/// the verdict, and the case. A run in which one matters ends there, and is counted.
const KNOWN: [(Verdict, &str); 8] = [
    (
        Verdict::Refuse(Anomaly::AckTooOld),
        "an acknowledgement that passed here is lost or late behind: SND.UNA of the peer is lower",
    ),
    (
        Verdict::Refuse(Anomaly::AfterReset),
        "a RST that overtook octets before the monitor, but not behind it",
    ),
    (
        Verdict::Refuse(Anomaly::WindowClosed),
        "an octet that probes a closed window; the ACK that opened it was lost before the monitor",
    ),
    (
        Verdict::Refuse(Anomaly::OutOfWindow),
        "an ACK behind a FIN that took a number beyond a full window: Linux drops it, other hosts take it",
    ),
    (
        Verdict::Refuse(Anomaly::Paws),
        "a retransmission moved TS.Recent here, and not at the peer: it is lost, late, or all acknowledged there",
    ),
    (
        Verdict::Refuse(Anomaly::RstInexact),
        "octets that passed here and are lost or late behind, or the other way round: RCV.NXT of the peer differs",
    ),
    (
        Verdict::Refuse(Anomaly::SynAckUnexpected),
        "both opened at once, and a SYN/ACK overtook the SYN before it: Linux drops that for its timestamp",
    ),
    (
        Verdict::Refuse(Anomaly::TimestampEcho),
        "the timestamp of an ACK that a server in SYN-RECEIVED sent is echoed: Linux wants that of a SYN/ACK",
    ),
];

/// Besides, where the capture lacks packets: more was acknowledged, or sent, than the last window that was captured and
/// one more allowed.
const KNOWN_IN_GAPPED: [Verdict; 2] =
    [Verdict::Refuse(Anomaly::AckUnsent), Verdict::Refuse(Anomaly::OutOfWindow)];

/// Where the SYN/ACK was not captured, the monitor guesses it from the ACK. A second SYN/ACK then makes it forget the
/// server's FIN, or, when the guess was wrong, what both sides have received.
const SYN_ACK_AFTER_GUESS_FORGETS: bool = false;

/// What happened in a run, or in many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Packets that passed the monitor.
    pub seen: u64,
    /// Packets that it refused.
    pub refused: u64,
    /// Packets that were not captured.
    pub uncaptured: u64,
    /// Octets that hosts received.
    pub octets: u64,
    /// Octets in reported gaps.
    pub gap_octets: u64,
    /// Runs without loss in the capture.
    pub complete: u64,
    /// Runs that a RST ended.
    pub resets: u64,
    /// Runs in which both hosts opened.
    pub simultaneous: u64,
    /// Runs in which both streams ended with a FIN.
    pub closed: u64,
    /// Runs whose handshake the monitor had to guess.
    pub inferred: u64,
    /// By the state of the client: how many connections waited for a segment, and how many of them had a short form. Runs
    /// whose readers let go of what they have read.
    pub packed: [(u64, u64); State::ALL.len()],
    /// Runs that ended early, by what was refused: see `KNOWN`.
    pub known: [u64; KNOWN.len()],
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: &Tally) {
        self.seen += other.seen;
        self.refused += other.refused;
        self.uncaptured += other.uncaptured;
        self.octets += other.octets;
        self.gap_octets += other.gap_octets;
        self.complete += other.complete;
        self.resets += other.resets;
        self.simultaneous += other.simultaneous;
        self.closed += other.closed;
        self.inferred += other.inferred;
        for (all, one) in self.packed.iter_mut().zip(other.packed) {
            *all = (all.0 + one.0, all.1 + one.1);
        }
        self.known.iter_mut().zip(other.known).for_each(|(all, one)| *all += one);
    }
}

enum Event {
    /// A packet reaches the monitor.
    Passing(Side, Rc<Packet>),
    /// A packet reaches the host that it is for.
    Arriving(Side, Rc<Packet>, Option<Verdict>),
}

struct Run {
    rng: Rng,
    now: Time,
    serial: u64,
    weather: Weather,
    hosts: Sides<Host>,
    observer: Observer,
    events: BTreeMap<(Time, u64), Event>,
    tally: Tally,
    trace: bool,
    /// A RST was sent.
    reset: bool,
    /// The monitor did not see everything that the hosts sent in the order in which they sent it.
    disturbed: bool,
    /// A RST passed the monitor, and one was refused for its place.
    reset_passed: bool,
    inexact: bool,
    /// See [`SYN_ACK_AFTER_GUESS_FORGETS`].
    forgets: bool,
    /// Octets, and FIN, that passed the monitor, by the host that they are for.
    passed: Sides<Vec<bool>>,
}

/// Plays the connection that `seed` stands for.
///
/// # Panics
/// When the monitor believes something that is not so.
pub fn run(seed: u64) -> Tally {
    Run::new(seed, false).play()
}

/// As [`run`], and prints what happens.
///
/// # Panics
/// As [`run`].
pub fn explain(seed: u64) -> Tally {
    Run::new(seed, true).play()
}

impl Run {
    fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng(seed);
        let weather = plan::weather(&mut rng);
        let hosts = plan::hosts(&mut rng, &weather);
        let simultaneous = Side::BOTH.into_iter().all(|side| hosts[side].state == State::SynSent);
        let observer = plan::observer(&mut rng, &weather, &hosts);
        let passed = Sides::from_fn(|side: Side| vec![false; hosts[!side].plan.stream.len() + 1]);
        let complete = weather.uncaptured == 0;
        let mut run = Run {
            rng,
            now: Time::ZERO,
            serial: 0,
            weather,
            hosts,
            observer,
            events: BTreeMap::new(),
            tally: Tally { complete: complete.into(), simultaneous: simultaneous.into(), ..Tally::default() },
            trace,
            reset: false,
            disturbed: false,
            reset_passed: false,
            inexact: false,
            forgets: false,
            passed,
        };
        if trace {
            println!("{weather:?} {:?}", run.observer.strictness);
            for side in Side::BOTH {
                println!("{side}: {:?}", Plan { stream: Vec::new(), ..run.hosts[side].plan.clone() });
            }
        }
        run.dispatch();
        run
    }

    fn play(mut self) -> Tally {
        for _ in 0..ENDLESS {
            self.tally.packed = self.observer.packed;
            if self.tally.known != [0; KNOWN.len()] {
                return self.tally;
            }
            if !self.step() && !self.wake_half_open() {
                self.finish();
                return self.tally;
            }
        }
        panic!("the run does not end");
    }

    /// The next thing that happens. Returns whether there is one.
    fn step(&mut self) -> bool {
        let timer = |side: Side| self.hosts[side].deadline().map(|at| (at, side));
        let timer = Side::BOTH.into_iter().filter_map(timer).min();
        let event = self.events.first_key_value().map(|(&key, _)| key);
        match (timer, event) {
            (None, None) => return false,
            (Some((at, side)), event) if event.is_none_or(|e| at < e.0) => {
                self.now = self.now.max(at);
                self.hosts[side].wake(self.now, &mut self.rng);
            }
            (_, Some(key)) => {
                self.now = self.now.max(key.0);
                match self.events.remove(&key) {
                    Some(Event::Passing(from, packet)) => self.pass(from, packet),
                    Some(Event::Arriving(to, packet, verdict)) => self.arrive(to, &packet, verdict),
                    None => {}
                }
            }
            (Some(_), None) => {}
        }
        self.dispatch();
        true
    }

    /// When a RST was lost and its receiver has nothing to say, it is asked. Returns whether there is such a host.
    fn wake_half_open(&mut self) -> bool {
        let open = |side: &Side| is_open(self.hosts[*side].state);
        let Some(side) = Side::BOTH.into_iter().find(open) else { return false };
        if self.hosts[!side].state != State::Closed {
            return false;
        }
        self.hosts[side].keep_alive(self.now);
        self.dispatch();
        true
    }

    /// Sends on its way what the hosts sent.
    fn dispatch(&mut self) {
        for side in Side::BOTH {
            for packet in std::mem::take(&mut self.hosts[side].out) {
                self.reset |= packet.segment().is_rst();
                self.trace("sent", side, &packet, None);
                self.send(side, Rc::new(packet));
            }
        }
    }

    fn stormy(&mut self, percent: u32) -> bool {
        self.now < CALM && self.rng.chance(percent)
    }

    fn send(&mut self, from: Side, packet: Rc<Packet>) {
        let copies = if self.stormy(self.weather.twice) { 2 } else { 1 };
        for _ in 0..copies {
            if self.stormy(self.weather.lost_before) {
                self.disturbed = true;
                self.trace("  lost before", from, &packet, None);
                continue;
            }
            let mut at = self.now + self.weather.distance[from];
            if self.stormy(self.weather.late_before) {
                self.disturbed = true;
                at += random_time_to(&mut self.rng, self.weather.lateness);
            }
            self.schedule(at, Event::Passing(from, Rc::clone(&packet)));
        }
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    fn pass(&mut self, from: Side, packet: Rc<Packet>) {
        let mut verdict = None;
        if self.stormy(self.weather.uncaptured) {
            self.tally.uncaptured += 1;
            self.trace("  not captured", from, &packet, None);
        } else {
            self.tally.seen += 1;
            self.reset_passed |= packet.segment().is_rst();
            let gaps = self.observer.gap_count();
            if self.observer.is_guessing() && packet.segment().is_syn() && SYN_ACK_AFTER_GUESS_FORGETS {
                self.forgets = true;
                self.passed = Sides::from_fn(|side| vec![false; self.passed[side].len()]);
            }
            verdict = self.observer.see(self.now, from, &packet);
            self.tally.refused += u64::from(matches!(verdict, Some(Verdict::Refuse(_))));
            self.trace("  seen", from, &packet, verdict);
            self.note_verdict(from, &packet, verdict);
            self.check_gaps(gaps);
        }
        let copies = if self.stormy(self.weather.twice) { 2 } else { 1 };
        for _ in 0..copies {
            if self.stormy(self.weather.lost_after) {
                self.trace("  lost after", from, &packet, None);
                continue;
            }
            let mut at = self.now + self.weather.distance[!from];
            if self.stormy(self.weather.late_after) {
                at += random_time_to(&mut self.rng, self.weather.lateness);
            }
            self.schedule(at, Event::Arriving(!from, Rc::clone(&packet), verdict));
        }
    }

    /// Octets that were refused for a known reason are as good as not captured; those of a complete capture are compared
    /// when they arrive. So are those that come in a handshake of which segments are missing.
    fn note_verdict(&mut self, from: Side, packet: &Packet, verdict: Option<Verdict>) {
        let known = verdict.and_then(known);
        if verdict == Some(Verdict::Restart) {
            self.end_early(known);
        }
        self.inexact |= verdict == Some(Verdict::Refuse(Anomaly::RstInexact));
        if known.is_none()
            && !verdict.is_some_and(|v| KNOWN_IN_GAPPED.contains(&v))
            && !self.observer.is_embryonic()
        {
            self.note_passed(from, packet);
        }
    }

    fn end_early(&mut self, known: Option<usize>) {
        known.into_iter().for_each(|i| self.tally.known[i] = 1);
    }

    fn note_passed(&mut self, from: Side, packet: &Packet) {
        let at = packet.seq.distance(self.hosts[from].plan.iss + 1);
        let segment = packet.segment();
        let probe = segment.seq_len() == 1 && i64::from(at) + 1 == self.observer.acked(!from);
        if probe {
            return; // its octet may be anything
        }
        let len = packet.payload.len() + usize::from(segment.is_fin() && !self.forgets);
        for place in (at..).take(len) {
            let slot = usize::try_from(place).ok().and_then(|p| self.passed[!from].get_mut(p));
            slot.into_iter().for_each(|slot| *slot = true);
        }
    }

    fn arrive(&mut self, to: Side, packet: &Packet, verdict: Option<Verdict>) {
        if self.hosts[to].state == State::Closed {
            return self.hosts[to].receive(self.now, packet, &mut self.rng);
        }
        let before = (self.hosts[to].state, self.hosts[to].rcv_nxt, self.hosts[to].una);
        self.trace("    arrives", !to, packet, verdict);
        self.hosts[to].receive(self.now, packet, &mut self.rng);
        let host = &self.hosts[to];
        if self.trace && host.state != before.0 {
            println!("                {to} is in {}", host.state);
        }
        let effect = before != (host.state, host.rcv_nxt, host.una) || packet.segment().seq_len() > 0;
        if self.weather.uncaptured > 0 || !effect {
            return;
        }
        if let Err(lack) = self.compare(to, packet) {
            let known = verdict.and_then(known);
            assert!(known.is_some(), "the monitor lacks what {to} has: {lack}, {verdict:?}");
            self.end_early(known);
        }
    }

    /// The monitor saw what this host received, so it knows at least as much.
    fn compare(&self, to: Side, packet: &Packet) -> Result<(), String> {
        let (host, monitor) = (&self.hosts[to], &self.observer);
        let seen = monitor.state(to).unwrap_or(State::Closed);
        if !knows(seen, host.state) {
            return Err(format!("{}, it is held to be in {seen}", host.state));
        }
        if monitor.position(to) < host.in_order() {
            return Err(format!("{} octets instead of {}", host.in_order(), monitor.position(to)));
        }
        let at = packet.seq.distance(self.hosts[!to].plan.iss + 1);
        for place in (at..).take(packet.payload.len()).filter_map(|place| u32::try_from(place).ok()) {
            let held = host.received.get(place as usize).is_some_and(Option::is_some);
            if held && !monitor.holds(to, place, place + 1) {
                return Err(format!("octet {place}"));
            }
        }
        if host.has_fin() && !monitor.has_fin(to) {
            return Err("the FIN".into());
        }
        let una = i64::from(host.una) - 1;
        if monitor.acked(!to) < una {
            return Err(format!("an acknowledgement of {una}"));
        }
        Ok(())
    }

    /// Nothing that was captured is reported missing. (A FIN that was not captured passes for an octet: nothing tells
    /// what it is that was acknowledged.)
    fn check_gaps(&self, known: Sides<usize>) {
        for side in Side::BOTH {
            for gap in self.observer.gaps(side).skip(known[side]) {
                let passed = self.passed[side].get(gap.clone());
                assert!(
                    passed.is_some_and(|p| !p.contains(&true)),
                    "{gap:?} is no gap in what {side} receives"
                );
            }
        }
    }

    fn finish(&mut self) {
        let gaps = self.observer.gap_count();
        self.observer.look_for_gaps(self.now + Time::from_secs(60));
        self.check_gaps(gaps);
        for side in Side::BOTH {
            let host = &self.hosts[side];
            self.tally.octets += u64::from(host.in_order());
            self.tally.gap_octets += self.observer.gaps(side).map(|gap| gap.len() as u64).sum::<u64>();
            let sent = &self.hosts[!side].plan.stream;
            let got: Vec<u8> =
                host.received.iter().take(host.in_order() as usize).map(|o| o.unwrap()).collect();
            assert_eq!(got, sent[..got.len()], "the simulation itself is right");
        }
        self.tally.resets += u64::from(self.reset);
        self.tally.inferred += u64::from(self.observer.is_inferred());
        let fin =
            |side: Side| self.hosts[side].state.has_received_fin() || self.hosts[side].state == State::Closed;
        self.tally.closed += u64::from(!self.reset && fin(Side::Client) && fin(Side::Server));
        // Both gave up, and no RST passed, or none that was taken.
        let over = |side: Side| self.hosts[side].state == State::Closed;
        let unseen = self.reset && over(Side::Client) && over(Side::Server) && !self.observer.is_over();
        if unseen && self.inexact {
            self.end_early(known(Verdict::Refuse(Anomaly::RstInexact)));
        } else if unseen && !self.reset_passed {
            assert!(self.disturbed || self.weather.uncaptured > 0, "a RST passes unless it is lost");
        } else if self.weather.uncaptured == 0 {
            Side::BOTH.into_iter().for_each(|side| self.check_end(side));
        }
    }

    /// The monitor believes what is true.
    fn check_end(&self, side: Side) {
        let host = &self.hosts[side];
        let (read, got) = (self.observer.position(side), host.in_order());
        let seen = self.observer.state(side);
        if self.reset {
            assert!(read >= got, "{side} got {got} octets, the monitor {read}");
        } else {
            assert_eq!(read, got, "octets that {side} got");
        }
        let over = |state: State| matches!(state, State::Closed | State::TimeWait);
        let alike = (self.disturbed || self.reset) && seen.is_some_and(over) && over(host.state);
        assert!(alike || seen == Some(host.state), "{side} is in {}, and held to be in {seen:?}", host.state);
    }

    fn trace(&self, what: &str, from: Side, packet: &Packet, verdict: Option<Verdict>) {
        if !self.trace {
            return;
        }
        let (mine, theirs) = (self.hosts[from].plan.iss + 1, self.hosts[!from].plan.iss + 1);
        let ack = if packet.segment().is_ack() { packet.ack.distance(theirs) } else { 0 };
        println!(
            "{:>10} {what} {from} {} {}+{} ack {ack} win {} ts {:?} {verdict:?}",
            self.now.as_micros(),
            packet.flags,
            packet.seq.distance(mine),
            packet.payload.len(),
            packet.window,
            packet.options.timestamps.map(|t| t.value),
        );
    }
}

/// The place in [`KNOWN`] of a verdict.
fn known(verdict: Verdict) -> Option<usize> {
    KNOWN.iter().position(|known| known.0 == verdict)
}

fn is_open(state: State) -> bool {
    !matches!(state, State::Closed | State::Listen | State::TimeWait)
}

/// Whether a monitor that holds a host to be in `seen` knows everything that brought it into `actual`: handshake,
/// peer's FIN, acknowledgement of its own.
fn knows(seen: State, actual: State) -> bool {
    let facts = |state: State| {
        let over = state == State::Closed;
        let fin_acked = matches!(state, State::FinWait2 | State::TimeWait);
        [over || state.is_synchronized(), over || state.has_received_fin(), over || fin_acked]
    };
    let over = |state: State| matches!(state, State::Closed | State::TimeWait);
    over(seen) || facts(seen).into_iter().zip(facts(actual)).all(|(seen, actual)| seen || !actual)
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, State, Tally, explain, run};
    use std::panic::catch_unwind;
    use std::string::String;
    use std::{env, println};

    /// So many that the debug build takes about a second; `TCP_REASM_RUNS` asks for more, from the seed
    /// `TCP_REASM_SEED` on.
    const RUNS: u64 = 2000;

    #[test]
    fn a_monitor_in_the_middle_believes_what_is_true() {
        let number = |name| env::var(name).ok().and_then(|n: String| n.parse::<u64>().ok());
        let (first, runs) = (number("TCP_REASM_SEED").unwrap_or(0), number("TCP_REASM_RUNS").unwrap_or(RUNS));
        let mut all = Tally::default();
        for seed in first..first + runs {
            if let Ok(tally) = catch_unwind(|| run(seed)) {
                all.add(&tally);
            } else {
                println!("again, in words:");
                let _ = catch_unwind(|| explain(seed));
                panic!("TCP_REASM_SEED={seed} TCP_REASM_RUNS=1 fails");
            }
        }
        println!("{runs} runs: {all:#?}");
        for (state, (count, packed)) in State::ALL.into_iter().zip(all.packed) {
            println!("client in {state}: {packed} of {count} have a short form");
        }
        if runs >= RUNS {
            check_tally(runs, &all);
        }
    }

    /// The runs were worth it: everything that can happen did, and few ended early.
    fn check_tally(runs: u64, all: &Tally) {
        let share = |count: u64, percent: u64| assert!(count * 100 >= runs * percent, "{all:#?}");
        share(all.complete, 60);
        share(all.closed, 30);
        share(all.resets, 20);
        share(all.simultaneous, 5);
        assert!(all.octets > 500 * runs && all.seen > 50 * runs, "{all:#?}");
        assert!(all.refused > runs && all.uncaptured > runs && all.gap_octets > runs, "{all:#?}");
        for (count, (verdict, case)) in all.known.iter().zip(KNOWN) {
            println!("{count} ended early by {verdict:?}: {case}");
        }
        let (count, packed) = all.packed.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert!(count > 20 * runs && packed * 2 > count, "{packed} of {count} have a short form");
        assert!(all.known.iter().sum::<u64>() * 50 < runs, "a known case is a rare one");
    }
}
