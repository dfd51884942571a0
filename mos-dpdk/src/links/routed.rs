//! The way over a router: what is sent leaves when the port that a burst came in by is free again.

use super::Place;
use crate::port::{Port, PortError};
use crate::route::Router;
use mos_flow::engine::BURST;
use mos_flow::{Engine, Frame, Instant, Transmit, Verdict};
use std::ops::Range;

/// A router, and what it sends.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) router: Router,
    outbox: Outbox,
}

impl Routed {
    pub(super) fn new(router: Router) -> Self {
        Routed { router, outbox: Outbox::default() }
    }

    /// Routes what is to go on of a burst that was processed, as handlers left it.
    pub(super) fn forward<A>(&mut self, engine: &Engine<A>, frames: &[Frame<'_>]) {
        let Routed { router, outbox } = self;
        let mut send = |port, octets: &[u8]| outbox.add(port, octets);
        for frame in frames {
            match frame.verdict {
                Verdict::Drop => {}
                Verdict::Forward => {
                    router.forward(frame.port, frame.data, frame.time, &mut send);
                }
                Verdict::Replace(_) => engine.output(frame).for_each(|octets| {
                    router.forward(frame.port, octets, frame.time, &mut send);
                }),
            }
        }
    }

    /// Routes what a handler made.
    pub(super) fn forward_made(&mut self, made: &Transmit<'_>, time: Instant) {
        let Routed { router, outbox } = self;
        router.forward_made(made.link, made.octets, time, &mut |port, octets| outbox.add(port, octets));
    }

    /// Takes from a frame that another worker routes what it says about neighbours.
    pub(super) fn overhear(&mut self, frame: &Frame<'_>) {
        let Routed { router, outbox } = self;
        router.overhear(frame.port, frame.data, frame.time, &mut |port, octets| outbox.add(port, octets));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Routed { router, outbox } = self;
        if router.next_timeout().is_some_and(|due| due <= now) {
            router.handle_timeout(now, &mut |port, octets| outbox.add(port, octets));
        }
    }

    /// Sends what was routed.
    pub(super) fn flush<P: Port>(&mut self, places: &mut [Place<P>]) -> Result<(), PortError> {
        let Outbox { frames, octets } = &mut self.outbox;
        for run in frames.chunk_by(|a, b| a.0 == b.0) {
            let port = run.first().and_then(|(port, _)| places.get_mut(usize::from(*port)));
            let Some(place) = port else { continue };
            for part in run.chunks(BURST) {
                let data = part.iter().map(|(_, range)| octets.get(range.clone()).unwrap_or_default());
                let burst: heapless::Vec<Frame<'_>, BURST> =
                    data.map(|data| Frame::ethernet(Instant(0), data)).collect();
                place.port.transmit(&burst)?;
            }
        }
        frames.clear();
        octets.clear();
        Ok(())
    }
}

/// Frames that are to be sent, one behind the other. It is emptied after each burst.
#[derive(Debug, Default)]
struct Outbox {
    /// The port, and where the frame is.
    frames: Vec<(u16, Range<usize>)>,
    octets: Vec<u8>,
}

impl Outbox {
    fn add(&mut self, port: u16, octets: &[u8]) {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        self.frames.push((port, start..self.octets.len()));
    }
}
