//! One core's loop: receive, process, transmit.

use crate::port::{Port, PortError, Received};
use mos_flow::{Engine, Frame, Verdict};
use std::fmt;

/// An engine between the port it receives from and, perhaps, the port it forwards to.
pub struct Worker<A: 'static, P> {
    /// The engine.
    pub engine: Engine<A>,
    /// The application's state, given to every handler.
    pub app: A,
    rx: P,
    tx: Option<Box<dyn Port + Send>>,
}

impl<A, P: fmt::Debug> fmt::Debug for Worker<A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({:?}, {:?})", self.engine, self.rx)
    }
}

impl<A, P: Port> Worker<A, P> {
    /// A worker that receives from `rx`. Frames go nowhere.
    pub fn new(engine: Engine<A>, app: A, rx: P) -> Self {
        Worker { engine, app, rx, tx: None }
    }

    /// Forwards what no handler drops to `tx`.
    #[must_use]
    pub fn forwarding_to(mut self, tx: Box<dyn Port + Send>) -> Self {
        self.tx = Some(tx);
        self
    }

    /// The port it receives from.
    pub fn rx(&self) -> &P {
        &self.rx
    }

    /// The engine and the application's state.
    pub fn into_parts(self) -> (Engine<A>, A) {
        (self.engine, self.app)
    }

    /// One burst: receives it, processes it, forwards it.
    ///
    /// # Errors
    /// [`PortError`] of either port. Frames received before it were processed.
    pub fn turn(&mut self) -> Result<Received, PortError> {
        let Worker { engine, app, rx, tx } = self;
        let mut sent = Ok(0);
        let received = rx.receive(&mut |frames| {
            engine.process_burst(frames, app);
            if let Some(tx) = tx {
                sent = send_on(engine, frames, tx.as_mut());
            }
        })?;
        sent?;
        Ok(received)
    }

    /// Turns until no more will come, and flushes the port that is forwarded to.
    ///
    /// # Errors
    /// [`PortError`] of either port.
    pub fn run(&mut self) -> Result<(), PortError> {
        let end = loop {
            match self.turn() {
                Ok(Received::End) => break Ok(()),
                Ok(_) => {}
                Err(e) => break Err(e),
            }
        };
        let flushed = self.tx.as_mut().map_or(Ok(()), |tx| tx.flush());
        end.and(flushed)
    }
}

/// Sends what is to go on of a burst that was processed, and what handlers made.
fn send_on<A>(engine: &mut Engine<A>, frames: &[Frame<'_>], tx: &mut dyn Port) -> Result<usize, PortError> {
    let changed = |frame: &Frame<'_>| matches!(frame.verdict, Verdict::Replace(_));
    let mut sent = 0;
    if !frames.iter().any(changed) {
        sent += tx.transmit(frames)?;
    } else {
        for frame in frames {
            for data in engine.output(frame) {
                sent += tx.transmit(&[Frame { data, verdict: Verdict::Forward, ..*frame }])?;
            }
        }
    }
    let time = engine.now();
    while let Some(made) = engine.poll_transmit() {
        sent += tx.transmit(&[Frame { link: made.link, ..Frame::ethernet(time, made.octets) }])?;
    }
    Ok(sent)
}
