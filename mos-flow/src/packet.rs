//! The packet in flight: what the engine is given, and what a handler sees of it.

use crate::slab::Id;
use crate::time::Instant;
use crate::wire::{LinkType, Packet};
use tcp_reasm::Segment;

/// What is to become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[must_use]
pub enum Verdict {
    /// It goes on its way.
    #[default]
    Forward,
    /// A handler dropped it, or the engine had to ([`DropReason::OutputFull`](crate::DropReason::OutputFull),
    /// [`DropReason::EditLost`](crate::DropReason::EditLost)).
    Drop,
    /// It goes on as the engine has changed it: [`Engine::output`](crate::Engine::output) has it.
    Replace(Id),
}

impl Verdict {
    /// Whether it, or what became of it, goes on its way.
    pub fn is_forward(self) -> bool {
        self != Verdict::Drop
    }
}

/// One frame of a burst.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The captured octets, from the link header on.
    pub data: &'a [u8],
    /// Octets on the wire; more than `data` when the capture cut the frame.
    pub wire_len: u32,
    /// When it was received.
    pub time: Instant,
    /// How to read its first header.
    pub link: LinkType,
    /// Number of the port it came in by.
    pub port: u16,
    /// What is to become of it; set by the engine. One that comes with a verdict to drop is not the engine's: only its time is taken.
    pub verdict: Verdict,
}

impl<'a> Frame<'a> {
    /// An Ethernet frame, captured whole, at port 0.
    pub fn ethernet(time: Instant, data: &'a [u8]) -> Self {
        let wire_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        Frame { data, wire_len, time, link: LinkType::Ethernet, port: 0, verdict: Verdict::Forward }
    }
}

/// The current packet as a handler sees it, with what was changed so far. It cannot outlive the handler's call.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// Where its headers are.
    pub packet: Packet,
    /// The TCP segment; `None` for raw sockets on other protocols.
    pub segment: Option<Segment<'a>>,
}

/// The current packet on its way through the engine, as it came into this part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketRef<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) packet: &'a Packet,
    pub(crate) segment: Option<&'a Segment<'a>>,
}

impl<'a> PacketRef<'a> {
    pub(crate) fn view(self) -> PacketView<'a> {
        PacketView { frame: *self.frame, packet: *self.packet, segment: self.segment.copied() }
    }
}
