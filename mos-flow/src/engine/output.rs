//! What an engine has for its forwarder: frames, packets that handlers made, and connections that need not be shown to it any more.

use super::Engine;
use crate::flow::Mark;
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::outbox::{Output, Transmit};
use crate::packet::{Frame, Verdict};
use crate::slab::Id;
use core::net::SocketAddr;
use tcp_reasm::Sides;

/// Connections that were stopped and that nobody has asked for. An arbitrary figure.
const UNWATCHED: usize = 32;

/// The newest connections that were stopped.
pub(super) type Unwatched = heapless::Deque<Sides<SocketAddr>, UNWATCHED>;

impl<A, M: Memory> Engine<A, M> {
    /// What is to be sent for a frame of the last call of [`Engine::process_burst`]: nothing when it was dropped, its own octets, or what they were
    /// replaced by; more than one frame when it grew too long.
    pub fn output<'a>(&'a self, frame: &Frame<'a>) -> Output<'a, M> {
        let (own, replacement) = match frame.verdict {
            Verdict::Forward => (Some(frame.data), None),
            Verdict::Drop => (None, None),
            Verdict::Replace(id) => (None, Some(self.outbox.replacement(id))),
        };
        Output { own, replacement }
    }

    /// The next packet that handlers made, to be sent after the frames of the burst. `None` when there is none left. Packets that
    /// nobody takes wait, also over the next burst, and take the room of others.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.take()
    }

    /// The next connection whose last socket was stopped ([`Monitor::stop`](crate::Monitor::stop)): a device may keep its packets to itself. Only
    /// connections outside of VLANs and tunnels are told of, of those that nobody asks for the newest.
    pub fn poll_unwatched(&mut self) -> Option<Sides<SocketAddr>> {
        self.unwatched.pop_front()
    }

    /// Remembers a connection that is about to be forgotten as nobody watches it.
    pub(super) fn note_unwatched(&mut self, id: Id) {
        let Some(flow) = self.flows.get(id) else { return };
        let client_is_low = flow.is(Mark::ClientIsLow);
        let ends =
            Sides { client: flow.key.endpoint(client_is_low), server: flow.key.endpoint(!client_is_low) };
        if FlowKey::between(ends.client, ends.server) != Some(flow.key) {
            return;
        }
        if self.unwatched.is_full() {
            let _oldest = self.unwatched.pop_front();
        }
        let _ = self.unwatched.push_back(ends); // there is room
    }
}
