//! The same packets before readers of every kind: each gets the same octets, wherever they lay.

use super::{config, exchanges, frame};
use crate::config::MAX_RING;
use crate::{
    Config, Context, Engine, Event, Frame, Hook, Instant, Offset, OverlapPolicy, Range, Retention, Side,
    SocketKind,
};
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// How the octets are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// From the ring, after the burst.
    Ring,
    /// After the burst, from what is kept until it is read.
    Unread,
    /// When a segment comes.
    AtOnce,
    /// When a segment comes, as the script says: in part, later, or when so many are there.
    Partly,
    /// When a segment comes, while another monitor reads after the burst.
    Together,
}

/// Octets without a hole, and where they begin: not always behind the one before, because a stream may begin anew.
type Run = (u64, Vec<u8>);

/// What one reader got, by connection and side.
#[derive(Debug, Default)]
struct App {
    /// Octets came after they had been given up: where they are taken depends on what is held around them.
    late: bool,
    /// A stream began anew, or has a gap: who reads late may find less of it, or more.
    uneven: bool,
    got: BTreeMap<(u64, Side), Vec<Run>>,
    script: Vec<u8>,
    at: usize,
}

impl App {
    fn take(&mut self, stream: (u64, Side), range: Range, octets: &[u8]) {
        assert!(octets.is_empty() || octets.len() as u64 == range.len());
        self.note_place(stream, range.start);
        let runs = self.got.entry(stream).or_default();
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() as u64 == range.start.0 => run.extend_from_slice(octets),
            _ if octets.is_empty() => {}
            _ => runs.push((range.start.0, octets.to_vec())),
        }
    }

    /// Reading goes on at a place.
    fn note_place(&mut self, stream: (u64, Side), at: Offset) {
        let last = self.got.get(&stream).and_then(|runs| runs.last());
        self.uneven |= at.0 != last.map_or(0, |(start, run)| start + run.len() as u64);
    }
}

fn read_all(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut m)) = ctx.split() else { return };
    let (Ok(flow), Ok(at)) = (m.flow_number(), m.cursor(side)) else { return };
    app.note_place((flow, side), at);
    let _ = m.read_with(side, |range, octets| app.take((flow, side), range, octets));
}

fn read_partly(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut m)) = ctx.split() else { return };
    let how = app.script.get(app.at).copied().unwrap_or(0);
    app.at += 1;
    let (Ok(flow), Ok(mut at)) = (m.flow_number(), m.cursor(side)) else { return };
    let mut buf = [0; 64];
    match how % 4 {
        0 => read_all(ctx),
        1 => {
            let _ = m.peek_with(side, how.into(), |piece| {
                app.take((flow, side), Range::at(at, piece.len() as u64), piece);
                at = at.saturating_add(piece.len() as u64);
            });
        }
        2 => drop(m.wait_for(side, u64::from(how) * 5)),
        _ => {
            if let Ok(n) = m.ppeek(side, at, &mut buf) {
                let _ = m.skip(side, n as u64);
                app.take((flow, side), Range::at(at, n as u64), &buf[..n]);
            }
        }
    }
}

fn engine(kind: Kind, [setup, crowd, policy]: [u8; 3]) -> Engine<App> {
    let policies: Vec<_> = OverlapPolicy::ALL.into_iter().filter(|p| *p != OverlapPolicy::Last).collect();
    let mut engine = Engine::new(Config {
        max_awake: None,
        max_buffers: 64,
        max_queues: 64,
        max_waits: 64,
        chunks: 2048,
        ring_octets: MAX_RING,
        overlap: policies[usize::from(policy) % policies.len()],
        retention: if kind == Kind::Ring { Retention::Ring } else { Retention::Unread },
        ..config([setup, crowd, 0])
    })
    .unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    let (hook, handler): (_, crate::Handler<App>) = match kind {
        Kind::Ring | Kind::Unread => (Hook::None, read_all),
        Kind::AtOnce | Kind::Together => (Hook::Receiver, read_all),
        Kind::Partly => (Hook::Receiver, read_partly),
    };
    engine.register(socket, Event::NewData, hook, handler, 0).unwrap();
    engine.register(socket, Event::Error, Hook::None, read_all, 0).unwrap();
    engine.register(socket, Event::ConnEnd, Hook::Receiver, read_all, 0).unwrap();
    if kind == Kind::Together {
        let second = engine.open(SocketKind::Stream).unwrap();
        let nothing: crate::Handler<App> = |ctx| {
            let Some(side) = ctx.side() else { return };
            let _ = ctx.monitor().map(|mut m| m.read_with(side, |_, _| ()));
        };
        engine.register(second, Event::NewData, Hook::None, nothing, 0).unwrap();
    }
    engine
}

/// What a reader got of the packets in the script.
fn play(kind: Kind, setup: [u8; 3], script: &[u8], packets: &[u8]) -> App {
    let mut app = App { script: script.to_vec(), ..App::default() };
    let mut engine = engine(kind, setup);
    let (mut exchanges, mut now) = (exchanges(), 0_u64);
    for op in packets.as_chunks::<6>().0 {
        let data = frame(*op, &mut exchanges);
        now += u64::from(op[5]) << (op[0] >> 5);
        engine.process_burst(&mut [Frame::ethernet(Instant(now), &data)], &mut app);
        engine.check();
    }
    engine.shutdown(&mut app);
    assert_eq!(engine.chunks().0, 0, "everything is given back");
    app.late = engine.stats().late_octets > 0;
    app
}

/// Plays the script in `input` to readers of every kind.
///
/// # Panics
/// When one of them gets other octets than the others.
pub fn run(input: &[u8]) {
    let Some((&[setup @ .., split], rest)) = input.split_first_chunk::<4>() else { return };
    let (script, packets) = rest.split_at(rest.len() * usize::from(split) / 1024);
    let [ring, unread] = [Kind::Ring, Kind::Unread].map(|kind| play(kind, setup, script, packets));
    if !ring.late {
        compare(Kind::Unread, &unread, &ring);
    }
    let kinds = [Kind::AtOnce, Kind::Together, Kind::Partly];
    for kind in kinds.into_iter().take(if unread.uneven { 2 } else { 3 }) {
        compare(kind, &play(kind, setup, script, packets), &unread);
    }
}

fn compare(kind: Kind, got: &App, expected: &App) {
    let none = vec![];
    for stream in expected.got.keys().chain(got.got.keys()) {
        let [expected, got] = [expected, got].map(|app| app.got.get(stream).unwrap_or(&none));
        assert!(got == expected, "{kind:?} {stream:?}: {:?} instead of {:?}", places(got), places(expected));
    }
}

/// Where runs begin, and how long they are.
fn places(runs: &[Run]) -> Vec<(u64, usize)> {
    runs.iter().map(|(start, run)| (*start, run.len())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn readers_of_every_kind_get_the_same_octets(script in prop::collection::vec(any::<u8>(), 0..700)) {
            super::run(&script);
        }
    }
}
