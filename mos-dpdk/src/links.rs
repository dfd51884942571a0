//! The ports of one worker, and the ways between them: cables, or a router.
//!
//! Frames that come in by a port leave by another one as handlers left them, and what handlers made follows after the burst. In
//! the engine a port has the number of its place.

use crate::clock;
use crate::handoff::Handoff;
use crate::port::{Port, PortError, Received, Spread, Statistics, Timestamps};
use crate::route::{self, Router};
use crate::steer::Steering;
use mos_flow::{Engine, Frame, Instant, Transmit, Verdict, Way};
use std::fmt;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::slice;

mod routed;

use routed::Routed;

/// Where frames go that no handler drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Nowhere: ports are only listened to, and what handlers make is forgotten.
    Nowhere,
    /// The first port and the second are the ends of a cable, and so are the third and the fourth, and so on.
    Pairs,
    /// All to the second port, which receives nothing: a file is written of what is read from the first one.
    Record,
}

impl Forwarding {
    /// By which port frames leave that came in by another.
    fn along(self, port: usize) -> Option<usize> {
        match self {
            Forwarding::Nowhere => None,
            Forwarding::Pairs => Some(port ^ 1),
            Forwarding::Record => Some(1),
        }
    }

    /// By which port a packet leaves that was made.
    fn exit(self, way: Way) -> Option<usize> {
        match (self, way) {
            (Forwarding::Nowhere, _) => None,
            (Forwarding::Pairs, Way::Back(port)) => Some(port.into()),
            (_, Way::Along(port) | Way::Back(port)) => self.along(port.into()),
        }
    }
}

/// A port, and whether it has reached its end.
struct Place<P> {
    port: P,
    is_over: bool,
}

/// Ports and the ways between them.
pub struct Links<P = Box<dyn Port + Send>> {
    places: Vec<Place<P>>,
    ways: Ways,
}

/// Where frames go.
#[derive(Debug)]
enum Ways {
    Fixed(Forwarding),
    Routed(Box<Routed>),
}

impl Ways {
    /// By which port frames leave that came in by another, if that is all that is to know.
    fn along(&self, port: usize) -> Option<usize> {
        match self {
            Ways::Fixed(forwarding) => forwarding.along(port),
            Ways::Routed(_) => None,
        }
    }
}

impl<P> fmt::Debug for Links<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links({} ports, {:?})", self.places.len(), self.ways)
    }
}

impl<P: Port> Links<P> {
    /// Ports, and where frames go that come in by them.
    pub fn new(ports: impl IntoIterator<Item = P>, forwarding: Forwarding) -> Self {
        let places = ports.into_iter().map(|port| Place { port, is_over: false }).collect();
        Links { places, ways: Ways::Fixed(forwarding) }
    }

    /// A port that is listened to.
    pub fn listen(port: P) -> Self {
        Links::new([port], Forwarding::Nowhere)
    }

    /// Two ports with the worker between them.
    pub fn between(left: P, right: P) -> Self {
        Links::new([left, right], Forwarding::Pairs)
    }

    /// Ports with a router between them; they have the numbers of its interfaces.
    pub fn routed(ports: impl IntoIterator<Item = P>, router: Router) -> Self {
        let Links { places, .. } = Links::new(ports, Forwarding::Nowhere);
        Links { places, ways: Ways::Routed(Box::new(Routed::new(router))) }
    }

    /// The router between the ports, if there is one.
    pub fn router(&self) -> Option<&Router> {
        match &self.ways {
            Ways::Fixed(_) => None,
            Ways::Routed(routed) => Some(&routed.router),
        }
    }

    /// The same links by other ports, made of these: adaptors.
    pub fn map<Q: Port>(self, mut f: impl FnMut(P) -> Q) -> Links<Q> {
        let places = self.places.into_iter();
        let places = places.map(|Place { port, is_over }| Place { port: f(port), is_over }).collect();
        Links { places, ways: self.ways }
    }

    /// The ports themselves, by their numbers.
    pub fn into_ports(self) -> impl Iterator<Item = P> {
        self.places.into_iter().map(|place| place.port)
    }

    /// The ports, by their numbers.
    pub fn ports(&self) -> impl Iterator<Item = &P> {
        self.places.iter().map(|place| &place.port)
    }

    /// What became of each port's frames.
    pub fn statistics(&self) -> impl Iterator<Item = Statistics> {
        self.ports().map(Port::statistics)
    }

    /// Whether no port has any more.
    pub fn is_over(&self) -> bool {
        self.places.iter().all(|place| place.is_over)
    }

    /// Whether time goes on without frames, by [`crate::clock`].
    pub fn are_live(&self) -> bool {
        self.ports().any(|port| port.capabilities().timestamps == Timestamps::Clock)
    }

    /// One burst of each port, processed and sent on. [`Received::End`] when none has any more.
    ///
    /// # Errors
    /// [`PortError`] of a port. Frames received before it were processed.
    pub fn turn<A>(
        &mut self,
        engine: &mut Engine<A>,
        app: &mut A,
        steering: &mut Steering<'_>,
    ) -> Result<Received, PortError> {
        let mut frames = 0;
        if let (Ways::Routed(_), Steering::Owner(handoff)) = (&self.ways, &mut *steering) {
            handoff.share(route::is_about_neighbours);
        }
        for number in 0..self.places.len() {
            frames += self.pass(number, engine, app, steering)?;
            self.send_made(engine)?;
            // For each burst of a port: of what other workers receive meanwhile, that much is for this one.
            if let Steering::Owner(handoff) = steering {
                frames += self.take_handed(engine, app, handoff)?;
            }
        }
        self.ignore_unwatched(engine);
        if let Ways::Routed(routed) = &mut self.ways {
            routed.handle_timeout(clock::now());
            routed.flush(&mut self.places)?;
        }
        Ok(match frames {
            0 if self.is_over() => Received::End,
            0 => Received::Nothing,
            n => Received::Frames(n),
        })
    }

    /// One burst of one port. Returns how many frames it was.
    fn pass<A>(
        &mut self,
        number: usize,
        engine: &mut Engine<A>,
        app: &mut A,
        steering: &mut Steering<'_>,
    ) -> Result<usize, PortError> {
        let Links { places, ways } = self;
        let exit = ways.along(number);
        let (place, mut tx) = match exit.map(|exit| places.get_disjoint_mut([number, exit])) {
            Some(Ok([place, exit])) => (place, Some(&mut exit.port)),
            _ => match places.get_mut(number) {
                Some(place) => (place, None),
                None => return Ok(0),
            },
        };
        if place.is_over {
            return Ok(0);
        }
        let by_hash = place.port.capabilities().spread == Spread::ByHash;
        let mut sent = Ok(());
        let received = place.port.receive(&mut |frames| {
            for frame in frames.iter_mut() {
                frame.port = u16::try_from(number).unwrap_or(u16::MAX);
            }
            let mut send = |engine: &mut Engine<A>, own: &[Frame<'_>]| match (&mut tx, &mut *ways) {
                (Some(tx), _) => send_on(engine, own, *tx),
                (None, Ways::Routed(routed)) => {
                    routed.forward(engine, own);
                    Ok(())
                }
                (None, Ways::Fixed(_)) => Ok(()),
            };
            if sent.is_ok() {
                sent = steering.process(frames, by_hash, engine, app, &mut send);
            }
        })?;
        sent?;
        if received == Received::End {
            place.is_over = true; // it would never let a wait last
        }
        if let Ways::Routed(routed) = ways {
            routed.flush(places)?;
        }
        Ok(if let Received::Frames(n) = received { n } else { 0 })
    }

    /// Asks devices that are only listened to for no more of connections that nobody watches. Where they cannot, their packets are
    /// orphans.
    fn ignore_unwatched<A>(&mut self, engine: &mut Engine<A>) {
        let is_heard_only = matches!(self.ways, Ways::Fixed(Forwarding::Nowhere));
        while let Some(ends) = engine.poll_unwatched() {
            for place in self.places.iter_mut().filter(|_| is_heard_only) {
                let _ = place.port.ignore((ends.client, ends.server)); // in software then
            }
        }
    }

    /// A burst of what other workers gave, and one of what was held here. Returns how many frames that was.
    pub(crate) fn take_handed<A>(
        &mut self,
        engine: &mut Engine<A>,
        app: &mut A,
        handoff: &mut Handoff<'_>,
    ) -> Result<usize, PortError> {
        let mut sent = Ok(());
        let frames = handoff.take(|taken| {
            // They have waited while time went on here.
            let now = self.are_live().then(clock::now);
            taken.iter_mut().for_each(|frame| frame.time = now.unwrap_or(frame.time));
            let own = self.overhear(taken);
            let own = taken.get_mut(..own).unwrap_or_default();
            engine.process_burst(own, app);
            if sent.is_ok() {
                sent = self.send_all(engine, own);
            }
        });
        sent?;
        if frames > 0 {
            self.send_made(engine)?;
        }
        Ok(frames)
    }

    /// Brings the frames of a burst of others that are to be processed to its front, and tells the router of those that are
    /// only to be heard. Returns how many are to be processed.
    fn overhear(&mut self, frames: &mut [Frame<'_>]) -> usize {
        let Ways::Routed(routed) = &mut self.ways else { return frames.len() };
        let mut own = 0;
        for at in 0..frames.len() {
            match frames.get(at) {
                Some(frame) if route::is_about_neighbours(frame.data) => routed.overhear(frame),
                _ => {
                    frames.swap(own, at);
                    own += 1;
                }
            }
        }
        own
    }

    /// Sends on frames that came in by any ports.
    fn send_all<A>(&mut self, engine: &Engine<A>, frames: &[Frame<'_>]) -> Result<(), PortError> {
        if let Ways::Routed(routed) = &mut self.ways {
            routed.forward(engine, frames);
            return routed.flush(&mut self.places);
        }
        for frames in frames.chunk_by(|a, b| a.port == b.port) {
            let port = frames.first().map_or(0, |frame| frame.port);
            let exit = self.ways.along(port.into());
            if let Some(place) = exit.and_then(|exit| self.places.get_mut(exit)) {
                send_on(engine, frames, &mut place.port)?;
            }
        }
        Ok(())
    }

    /// Sends what handlers made, or forgets it where nothing is sent.
    ///
    /// # Errors
    /// [`PortError`] of a port; what waits behind the failing packet still waits.
    pub fn send_made<A>(&mut self, engine: &mut Engine<A>) -> Result<(), PortError> {
        let time = engine.now();
        while let Some(made) = engine.poll_transmit() {
            match &mut self.ways {
                Ways::Routed(routed) => {
                    routed.forward_made(&made, time);
                    routed.flush(&mut self.places)?;
                }
                Ways::Fixed(forwarding) => {
                    let exit = forwarding.exit(made.way);
                    if let Some(place) = exit.and_then(|exit| self.places.get_mut(exit)) {
                        place.port.transmit(&[frame_of(&made, time)])?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends what is still held back.
    ///
    /// # Errors
    /// [`PortError`] of a port.
    pub fn flush(&mut self) -> Result<(), PortError> {
        self.places.iter_mut().try_for_each(|place| place.port.flush())
    }

    /// Whether a live port has nothing that becomes readable when frames come.
    #[cfg(unix)]
    pub fn must_be_polled(&self) -> bool {
        let is_live = |port: &P| port.capabilities().timestamps == Timestamps::Clock;
        let mut open = self.places.iter().filter(|place| !place.is_over).map(|place| &place.port);
        open.any(|port| is_live(port) && port.descriptor().is_none())
    }

    /// What becomes readable when frames come.
    #[cfg(unix)]
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.places.iter().filter(|place| !place.is_over).filter_map(|place| place.port.descriptor())
    }
}

/// Sends what is to go on of a burst that was processed, as handlers left it.
///
/// # Errors
/// [`PortError`] of the port; frames before the failing one were sent.
pub fn send_on<A>(
    engine: &Engine<A>,
    frames: &[Frame<'_>],
    tx: &mut (impl Port + ?Sized),
) -> Result<(), PortError> {
    if !frames.iter().any(is_replaced) {
        return tx.transmit(frames).map(|_| ());
    }
    for frame in frames {
        if !is_replaced(frame) {
            tx.transmit(slice::from_ref(frame))?;
            continue;
        }
        let whole = Frame::ethernet(frame.time, frame.data);
        let cut = frame.wire_len.saturating_sub(whole.wire_len);
        for data in engine.output(frame) {
            let out = Frame { link: frame.link, port: frame.port, ..Frame::ethernet(frame.time, data) };
            tx.transmit(&[Frame { wire_len: out.wire_len.saturating_add(cut), ..out }])?;
        }
    }
    Ok(())
}

fn is_replaced(frame: &Frame<'_>) -> bool {
    matches!(frame.verdict, Verdict::Replace(_))
}

/// What a handler made, as a frame.
pub fn frame_of<'a>(made: &Transmit<'a>, time: Instant) -> Frame<'a> {
    Frame { link: made.link, ..Frame::ethernet(time, made.octets) }
}
