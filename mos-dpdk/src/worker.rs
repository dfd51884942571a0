//! One core's loop: receive, process, transmit.

use crate::port::{Port, PortError, Received};
use mos_flow::{Engine, Frame, Instant, Transmit, Verdict};
use std::fmt;
use std::slice;

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

    /// Forwards what no handler drops to `tx`, changed as handlers changed it, and what they made.
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
        let mut sent = Ok(());
        let received = rx.receive(&mut |frames| {
            engine.process_burst(frames, app);
            if let Some(tx) = tx {
                sent = send_on(engine, frames, tx.as_mut()).and_then(|_| send_made(engine, tx.as_mut()));
            }
        })?;
        sent?;
        Ok(received)
    }

    /// Turns until no more will come, and flushes the port that is forwarded to. Connections that are open then are not ended: for
    /// that, [`Engine::shutdown`] what [`Worker::into_parts`] gives.
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

/// Sends what handlers made, by the one port that there is.
///
/// # Errors
/// [`PortError`] of the port; what waits behind the failing packet still waits.
pub fn send_made<A>(engine: &mut Engine<A>, tx: &mut (impl Port + ?Sized)) -> Result<(), PortError> {
    let time = engine.now();
    while let Some(made) = engine.poll_transmit() {
        tx.transmit(&[frame_of(&made, time)])?;
    }
    Ok(())
}

/// What a handler made, as a frame.
pub fn frame_of<'a>(made: &Transmit<'a>, time: Instant) -> Frame<'a> {
    Frame { link: made.link, ..Frame::ethernet(time, made.octets) }
}
