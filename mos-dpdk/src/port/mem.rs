//! Ports in memory: a capture as the source, a list of frames as the sink.

use super::{Capabilities, Port, PortError, Received, Statistics};
use crate::capture::Capture;
use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant, Verdict};

/// Delivers the packets of a capture that was loaded before, and keeps copies of what is sent.
#[derive(Debug)]
pub struct MemPort<'c> {
    capture: &'c Capture,
    next: usize,
    sent: Vec<(Instant, Vec<u8>)>,
}

impl<'c> MemPort<'c> {
    /// A port that delivers `capture`.
    pub fn new(capture: &'c Capture) -> Self {
        MemPort { capture, next: 0, sent: Vec::new() }
    }

    /// What was sent: time and octets.
    pub fn sent(&self) -> &[(Instant, Vec<u8>)] {
        &self.sent
    }
}

impl Port for MemPort<'_> {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let mut burst = heapless::Vec::<Frame<'_>, BURST>::new();
        for frame in self.capture.frames_from(self.next).take(BURST) {
            let _ = burst.push(frame); // at most a burst
        }
        if burst.is_empty() {
            return Ok(Received::End);
        }
        self.next += burst.len();
        deliver(&mut burst);
        Ok(Received::Frames(burst.len()))
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        let before = self.sent.len();
        let forwarded = frames.iter().filter(|f| f.verdict == Verdict::Forward);
        self.sent.extend(forwarded.map(|f| (f.time, f.data.to_vec())));
        Ok(self.sent.len() - before)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::FILE
    }

    fn statistics(&self) -> Statistics {
        let (received, sent) = (self.next as u64, self.sent.len() as u64);
        Statistics { received, sent, ..Statistics::default() }
    }
}
