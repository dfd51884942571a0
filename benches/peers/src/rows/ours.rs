//! This stack: both ends' states in all rows, and rings and readers as they say.

use super::{Input, Purpose, Row, Subject};
use crate::capture::Frames;
use crate::sink::{Checking, Counting, Sink};
use mos_flow::engine::BURST;
use mos_flow::{
    Config, Context, Engine, Event, Frame, Hook, Instant, Monitor, Peek, Retention, Side, Sides, SocketError,
    SocketKind, Strictness,
};
use std::net::SocketAddr;

pub(super) const ROWS: [Row; 6] = [
    Row {
        reads: false,
        scales: true,
        ..Row::ours("flows", "states of both ends", |input, purpose| make(input, purpose, Reader::Flows))
    },
    Row {
        reads: false,
        ..Row::ours("streams", "and both streams kept in rings", |input, purpose| {
            make(input, purpose, Reader::Streams)
        })
    },
    Row::ours("copy", "and a monitor that copies every octet out of the ring", |input, purpose| {
        make(input, purpose, Reader::Copy)
    }),
    Row::ours("slice", "or is lent every octet where it lies in the ring", |input, purpose| {
        make(input, purpose, Reader::Slice)
    }),
    Row::ours("slice-sums", "and checksums are verified", |input, purpose| {
        make(input, purpose, Reader::SliceSums)
    }),
    Row::ours("unread", "lent in the packet, and only kept until read", |input, purpose| {
        make(input, purpose, Reader::Unread)
    }),
];

/// Octets of a ring: what comes in order at once when a hole among 32 full segments is filled, and a burst.
const RING: u32 = 64 << 10;
/// The most stream memory, chunks of 2 KiB. It is touched only when used.
const CHUNKS: usize = 1 << 19;
const CHUNKS_A_STREAM: usize = 36;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Flows,
    Streams,
    Copy,
    Slice,
    SliceSums,
    Unread,
}

struct App {
    buffer: Box<[u8]>,
}

struct Ours {
    engine: Engine<App>,
    app: App,
    /// How far the clock is moved on, so that time never goes back between runs.
    shift: u64,
}

fn make(input: Input, purpose: Purpose, reader: Reader) -> Result<Box<dyn Subject>, String> {
    let mut engine = Engine::new(config(input, reader)).map_err(|e| e.to_string())?;
    let listen = match purpose {
        Purpose::Count => listen::<Counting>,
        Purpose::Check => listen::<Checking>,
    };
    listen(&mut engine, reader).map_err(|e| e.to_string())?;
    let app = App { buffer: vec![0; RING as usize].into() };
    Ok(Box::new(Ours { engine, app, shift: 0 }))
}

fn config(input: Input, reader: Reader) -> Config {
    let max_flows = input.connections();
    let streams = if reader == Reader::Flows { 16 } else { 2 * max_flows };
    Config {
        max_flows,
        max_embryonic: Some(max_flows),
        max_sockets: max_flows + 16,
        max_buffers: streams,
        chunks: (streams * CHUNKS_A_STREAM).min(CHUNKS),
        ring_octets: RING,
        retention: if reader == Reader::Unread { Retention::Unread } else { Retention::Ring },
        // Some segments were never captured.
        strictness: Strictness::Lossy,
        verify_checksums: reader == Reader::SliceSums,
        hash_seed: [7; 16],
        ..Config::default()
    }
}

fn listen<S: Sink>(engine: &mut Engine<App>, reader: Reader) -> Result<(), SocketError> {
    let socket = engine.open(SocketKind::Stream)?;
    match reader {
        Reader::Flows => {
            for side in Side::BOTH {
                engine.monitor(socket)?.disable_buffer(side)?;
            }
            Ok(())
        }
        Reader::Streams => Ok(()),
        Reader::Copy => engine.register(socket, Event::NewData, Hook::None, copy::<S>, 0),
        Reader::Slice | Reader::SliceSums => {
            engine.register(socket, Event::NewData, Hook::None, lend::<S>, 0)
        }
        Reader::Unread => engine.register(socket, Event::NewData, Hook::Receiver, lend::<S>, 0),
    }
}

fn ends<S: Sink>(monitor: &Monitor<'_, App>) -> Option<Sides<SocketAddr>> {
    if !S::CHECKS {
        return None;
    }
    let (client, server) = (monitor.address(Side::Client).ok()?, monitor.address(Side::Server).ok()?);
    Some(Sides { client, server })
}

fn copy<S: Sink>(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut monitor)) = ctx.split() else { return };
    let ends = ends::<S>(&monitor);
    loop {
        match monitor.peek(side, &mut app.buffer) {
            Ok(Peek::Data(range)) => {
                S::data(|| ends, side, app.buffer.get(..range.len() as usize).unwrap_or_default());
            }
            Ok(Peek::Lost(range)) => S::lost(|| ends, side, range.len()),
            _ => return,
        }
    }
}

fn lend<S: Sink>(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((_, mut monitor)) = ctx.split() else { return };
    let ends = ends::<S>(&monitor);
    let _ = monitor.read_with(side, |range, octets| {
        if octets.is_empty() {
            S::lost(|| ends, side, range.len());
        } else {
            S::data(|| ends, side, octets);
        }
    });
}

impl Subject for Ours {
    fn run(&mut self, mut frames: Frames<'static>) {
        let mut burst = [Frame::ethernet(Instant(0), &[]); BURST];
        loop {
            let mut n = 0;
            for place in &mut burst {
                let Some((time, data)) = frames.next() else { break };
                *place = Frame::ethernet(Instant(time.0 + self.shift), data);
                n += 1;
            }
            if n == 0 {
                return;
            }
            self.engine.process_burst(&mut burst[..n], &mut self.app);
        }
    }

    fn finish(&mut self) {
        self.engine.shutdown(&mut self.app);
        self.shift = self.engine.now().0 + 3_600_000_000;
    }
}
