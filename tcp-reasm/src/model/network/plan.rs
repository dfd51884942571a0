//! What a seed stands for: the hosts, what their applications do, and the network between them.

use super::host::{Close, Host, Plan, Time};
use super::observer::{Observer, Truth};
use super::rng::Rng;
use crate::{Side, Sides, Strictness};
use ringbuf_core::SeqNum;
use std::vec::Vec;

/// Keep-alives with an octet of garbage are sent where the capture lacks nothing only. Where it lacks the last octet of
/// a stream, the garbage is taken for it.
const GARBAGE_FILLS_HOLES: bool = true;

/// How the network treats packets; in percent, and the time to the monitor and from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) lost_before: u32,
    pub(super) lost_after: u32,
    pub(super) uncaptured: u32,
    pub(super) twice: u32,
    pub(super) late_before: u32,
    pub(super) late_after: u32,
    /// How late, at most.
    pub(super) lateness: Time,
    pub(super) distance: Sides<Time>,
}

fn random_time(rng: &mut Rng, most_ms: u32) -> Time {
    Time::from_micros(u64::from(rng.below(most_ms * 1000)))
}

/// Mostly nothing, else up to `most` percent.
fn share(rng: &mut Rng, most: u32) -> u32 {
    if rng.chance(50) { 0 } else { rng.below(most + 1) }
}

pub(super) fn weather(rng: &mut Rng) -> Weather {
    Weather {
        lost_before: share(rng, 30),
        lost_after: share(rng, 30),
        uncaptured: if rng.chance(70) { 0 } else { 1 + rng.below(25) },
        twice: share(rng, 15),
        late_before: share(rng, 30),
        late_after: share(rng, 30),
        lateness: random_time(rng, 300),
        distance: Sides::from_fn(|_| random_time(rng, 60)),
    }
}

fn plan(rng: &mut Rng, side: Side) -> Plan {
    let near_wrap = rng.chance(50);
    let iss = if near_wrap { 0_u32.wrapping_sub(rng.below(3000)) } else { rng.next() as u32 };
    let len = if rng.chance(10) { 0 } else { below_one_of(rng, &[100, 3000]) };
    let salt = side as u64 * 0x1_0000_0001;
    let mut at = random_time(rng, 200);
    let mut writes = Vec::new();
    let mut written = 0;
    for _ in 0..rng.below(3) {
        written += rng.below(len - written + 1);
        writes.push((at, written));
        at += random_time(rng, 800);
    }
    writes.push((at, len));
    let stall_from = random_time(rng, 1000);
    Plan {
        iss: SeqNum(iss),
        stream: (0..len).map(|i| crate::model::octet(salt + u64::from(i))).collect(),
        writes,
        close: close(rng, at),
        stall: (stall_from, stall_from + if rng.chance(70) { Time::ZERO } else { random_time(rng, 4000) }),
        room: 130 + below_one_of(rng, &[300, 6000, 6000]), // not below the largest scale's unit
        mss: 10 + below_one_of(rng, &[200, 1450]),
        whole: rng.chance(40),
        timestamps: rng.chance(60),
        scale: rng.chance(60).then(|| rng.below(8) as u8),
        sack: rng.chance(60),
        delayed_ack: rng.chance(50),
        timeout: Time::from_millis(200) + random_time(rng, 800),
        probe_with_data: rng.chance(30),
        keep_alives: if rng.chance(70) { 0 } else { rng.below(4) },
        garbage: rng.chance(50),
        clock: if rng.chance(20) { 0_u32.wrapping_sub(rng.below(2000)) } else { rng.next() as u32 },
    }
}

/// Two hosts, one or both of which open.
pub(super) fn hosts(rng: &mut Rng, weather: &Weather) -> Sides<Host> {
    let mut hosts = Sides::from_fn(|side| Host::new(plan(rng, side)));
    for side in Side::BOTH {
        hosts[side].plan.garbage &= weather.uncaptured == 0 || !GARBAGE_FILLS_HOLES;
    }
    hosts.client.open(Time::ZERO);
    if rng.chance(10) {
        hosts.server.open(Time::ZERO);
    }
    hosts
}

pub(super) fn observer(rng: &mut Rng, weather: &Weather, hosts: &Sides<Host>) -> Observer {
    let truth = Sides::from_fn(|side: Side| {
        let peer = &hosts[!side].plan;
        Truth { iss: peer.iss, stream: peer.stream.clone() }
    });
    let complete = weather.uncaptured == 0;
    let strict = complete && rng.chance(70);
    let strictness = if strict { Strictness::Linux } else { Strictness::Lossy };
    let patience = (!complete).then(|| random_time(rng, 2000));
    Observer::new(strictness, patience, truth)
}

fn below_one_of(rng: &mut Rng, bounds: &[u32]) -> u32 {
    let bound = rng.pick(bounds);
    rng.below(bound)
}

fn close(rng: &mut Rng, written: Time) -> Close {
    match rng.below(100) {
        0..50 => Close::At(written + random_time(rng, 500)),
        50..80 => Close::AfterPeer,
        80..90 => Close::Never,
        _ => Close::Abort(random_time(rng, 2000)),
    }
}

pub(super) fn random_time_to(rng: &mut Rng, most: Time) -> Time {
    Time::from_micros(u64::from(rng.below(most.as_micros() as u32 + 1)))
}
