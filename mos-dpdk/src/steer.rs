//! Which frames of a burst a worker processes: all, its share of what every worker sees, or those that it owns.

use crate::handoff::Handoff;
use crate::port::PortError;
use crate::rss::Splitter;
use mos_flow::{Engine, Frame};

/// Sends on what was processed.
pub type SendOn<'s, A> = &'s mut dyn FnMut(&mut Engine<A>, &[Frame<'_>]) -> Result<(), PortError>;

/// The rule.
#[derive(Debug)]
pub enum Steering<'r> {
    /// All that come in.
    All,
    /// Every worker receives the same frames, and takes its share of them: a capture. Time goes on with all frames, so that workers
    /// come to the same results as one that takes them all, in as many bursts.
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
        send: SendOn<'_, A>,
    ) -> Result<(), PortError> {
        let own = match self {
            Steering::All => frames,
            Steering::Owner(handoff) => {
                let own = handoff.sort(frames, by_hash);
                frames.get_mut(..own).unwrap_or_default()
            }
            Steering::Share(splitter) => {
                splitter.split(frames);
                frames
            }
        };
        engine.process_burst(own, app);
        send(engine, own)
    }
}
