//! Which frames of a burst a worker processes: all, its share of what every worker sees, or those that it owns.

use crate::handoff::Handoff;
use crate::port::PortError;
use crate::rss::Splitter;
use mos_flow::{Engine, Frame, Instant};
use std::time::Duration;

/// Sends on what was processed.
pub type Send<'s, A> = &'s mut dyn FnMut(&mut Engine<A>, &[Frame<'_>]) -> Result<(), PortError>;

/// The rule.
#[derive(Debug)]
pub enum Steering<'r> {
    /// All that come in.
    All,
    /// Every worker receives the same frames, and takes its share of them: a capture. Time goes on with all frames, so that workers
    /// come to the same results as one that takes them all.
    Share(Splitter),
    /// Every worker receives other frames, and gives away what is not its own.
    Owner(Box<Handoff<'r>>),
}

impl Steering<'_> {
    /// Processes the frames of a burst that are the worker's, and calls `send` with them. `by_hash` says that the device
    /// deals out by [`crate::rss`].
    ///
    /// # Errors
    /// Those of `send`.
    pub fn process<A>(
        &mut self,
        frames: &mut [Frame<'_>],
        by_hash: bool,
        engine: &mut Engine<A>,
        app: &mut A,
        send: Send<'_, A>,
    ) -> Result<(), PortError> {
        let own = match self {
            Steering::All => frames,
            Steering::Owner(handoff) => {
                let own = handoff.sort(frames, by_hash);
                frames.get_mut(..own).unwrap_or_default()
            }
            Steering::Share(splitter) => return share(splitter, frames, engine, app, send),
        };
        engine.process_burst(own, app);
        send(engine, own)
    }
}

fn share<A>(
    splitter: &mut Splitter,
    frames: &mut [Frame<'_>],
    engine: &mut Engine<A>,
    app: &mut A,
    send: Send<'_, A>,
) -> Result<(), PortError> {
    // Own frames come together at the front, in their order: those before `start` are done, those up to `end` are not.
    let (mut start, mut end) = (0, 0);
    let mut due = engine.next_timeout();
    let mut process = |own: Option<&mut [Frame<'_>]>, now: Instant| {
        let own = own.unwrap_or_default();
        engine.process_burst(own, app);
        let sent = send(engine, own);
        pass_time(engine, app, now);
        sent.map(|()| engine.next_timeout())
    };
    let mut now = Instant(0);
    for at in 0..frames.len() {
        let Some(frame) = frames.get(at) else { break };
        if splitter.takes(frame) {
            frames.swap(end, at);
            end += 1;
            continue;
        }
        now = frame.time;
        if due.is_some_and(|due| due <= now) {
            due = process(frames.get_mut(start..end), now)?;
            start = end;
        }
    }
    process(frames.get_mut(start..end), now).map(|_| ())
}

/// Time goes on for all workers, also by frames that are another one's. What a broken clock is, the engine decides by its
/// own frames.
fn pass_time<A>(engine: &mut Engine<A>, app: &mut A, now: Instant) {
    const STEP: Duration = Duration::from_secs(3600);
    if now > engine.now() && now.since(engine.now()) <= STEP {
        engine.handle_timeout(now, app);
    }
}
