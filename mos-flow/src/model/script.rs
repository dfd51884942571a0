//! Callbacks and packets together: on each event the script may do what a handler can do, while hosts talk, lose, repeat,
//! reset, and use their ports again.
//!
//! Each octet of a stream is told by its sequence number, so that whatever is read can be judged where it is read. A *gentle*
//! script keeps to what takes nothing from anybody; then what is lost to a reader was lost by the capture, and a
//! connection that closes was read to its end.

mod acts;

mod traffic;

use crate::defrag::DefragConfig;
use crate::{
    Config, Engine, Event, Frame, Hook, Instant, Patience, Retention, Sides, SocketKind, Timeouts, Verdict,
};
use acts::{App, act};
use core::time::Duration;
use std::vec::Vec;
use traffic::{Hosts, STEP};

/// Ample for the connections of the script, so that in gentle ones nothing gives way.
fn config(setup: u8) -> Config {
    Config {
        max_flows: 16,
        max_sockets: 128,
        max_monitors: 4,
        max_timers: 4,
        max_buffers: 64,
        chunks: 1024,
        ring_octets: if setup & 2 == 0 { 1000 } else { 8192 },
        retention: if setup & 4 == 0 { Retention::Ring } else { Retention::Unread },
        timeouts: Timeouts {
            patience: Patience { octets: 5000, time: Duration::from_millis(200) },
            handshake: Duration::from_secs(1),
            idle: Duration::from_secs(3),
            time_wait: Duration::from_millis(if setup & 8 == 0 { 0 } else { 700 }),
        },
        fragments: Some(DefragConfig { max_datagrams: 8, chunks: 64, ..DefragConfig::default() }),
        at_ease: if setup & 16 == 0 { 0 } else { 16 },
        hash_seed: [7; 16], // what is found is found again
        ..Config::default()
    }
}

/// Plays the script in `input`.
///
/// # Panics
/// When something that must hold does not.
pub fn run(input: &[u8]) {
    let Some((&[setup, crowd, split], rest)) = input.split_first_chunk::<3>() else { return };
    let (acts, steps) = rest.split_at(rest.len() * usize::from(split) / 512);
    let gentle = setup & 1 == 0;
    // Rough scripts are short of everything half of the time.
    let scarce = !gentle && crowd & 1 != 0;
    let mut engine =
        Engine::new(if scarce { super::config([setup, crowd, crowd]) } else { config(setup) }).unwrap();
    let mut app = App::new(acts, gentle);
    for kind in [SocketKind::Stream, SocketKind::Raw, SocketKind::Stream] {
        let socket = engine.open(kind).unwrap();
        app.sockets.push(socket);
        for event in Event::ALL {
            for hook in Hook::ALL.into_iter().filter(|hook| is_told(event, *hook)) {
                engine.register(socket, event, hook, act, 0).unwrap();
            }
        }
    }
    let (mut hosts, mut now) = (Hosts::new(gentle), 1_000_000);
    for burst in steps.chunks(STEP * (1 + usize::from(crowd >> 1 & 7))) {
        let mut frames = Vec::new();
        for step in burst.as_chunks::<STEP>().0 {
            now += hosts.step(*step, &mut app.sent, &mut frames);
        }
        play(&mut engine, &mut app, &frames, &mut now);
    }
    finish(engine, app, now);
}

/// Events at all their hooks, but new data once a burst only: at the receiver's hook it is told of each segment, which is another
/// test's.
pub(crate) fn is_told(event: Event, hook: Hook) -> bool {
    event.is_allowed_at(hook) && (event, hook) != (Event::NewData, Hook::Receiver)
}

/// One burst: frames a microsecond apart, then the time that has passed.
fn play(engine: &mut Engine<App>, app: &mut App, frames: &[Vec<u8>], now: &mut u64) {
    let timed = frames.iter().map(|data| {
        *now += 1;
        Frame::ethernet(Instant(*now), data)
    });
    let mut burst: Vec<_> = timed.collect();
    engine.process_burst(&mut burst, app);
    engine.check();
    for frame in &burst {
        let dropped = app.dropped.contains(&frame.time);
        assert_eq!(frame.verdict == Verdict::Drop, dropped, "handlers decide");
    }
    app.dropped.clear();
    app.check_ended(engine);
}

/// In silence every connection ends by itself; what is open then is what was opened by hand.
fn finish(mut engine: Engine<App>, mut app: App, now: u64) {
    for n in 1..=8 {
        engine.handle_timeout(Instant(now + n * 1_000_000), &mut app);
        engine.check();
    }
    app.check_ended(&mut engine);
    assert_eq!((engine.flow_count(), engine.chunks().0), (0, 0), "everything is given back");
    assert!(engine.socket_count() <= 4, "only monitors are left");
    engine.shutdown(&mut app);
    engine.check();
}

/// A value for each side.
fn both<T>(mut f: impl FnMut() -> T) -> Sides<T> {
    Sides::from_fn(|_| f())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(800))]
        #[test]
        fn whatever_handlers_do_while_hosts_talk_what_is_read_is_right(
            script in prop::collection::vec(any::<u8>(), 0..900)
        ) {
            super::run(&script);
        }
    }
}
