//! A port on an interface of Linux, by a packet socket (`AF_PACKET`), with a ring that is shared with the kernel or without.
//!
//! Frames are seen as they are on the wire, which is not how the kernel hands them over: a VLAN tag that was taken out is put
//! back, a checksum that was left to the network card is made, and what was built of several frames, or is yet to become
//! several (GRO, TSO, UDP's GSO), is split again, each part with its own headers and checksums. So what is forwarded fits
//! through any interface of the same MTU, and nobody has to switch an offload off. Tunnels in which a card is to split the
//! inner packets are seen as the kernel has them; such a frame is too large to be forwarded, and is counted as
//! [refused](Statistics::refused).
//!
//! Many frames cost least when the kernel fills [blocks](Handover::Blocks) of a shared ring, where they are lent from. But a
//! block is handed over when it is full or after a time: with little traffic, that time is added to the delay of each frame.
//! Who forwards will rather have [frames](Handover::Frames) as they come, which are copied once.
//!
//! Frames are sent a burst a call (`sendmmsg`). A ring to send from (`PACKET_TX_RING`) would save no copy: what another port
//! has lent has to be written to its slots, as the kernel writes it to a buffer now; and on virtual interfaces neither it nor
//! passing by the queueing discipline (`PACKET_QDISC_BYPASS`) sends more.
//!
//! The machine itself should have no address on an interface that is forwarded from: it would answer, too. An interface that
//! is down is one without traffic; when it is removed, the port has reached its end. With the port goes all that it has asked
//! for: the place in a group, and the promiscuous mode.

mod block;
mod queue;
mod ring;
mod socket;
mod split;
mod spread;

use super::{Capabilities, OpenError, Port, PortError, Received, Spread, Statistics, Timestamps};
use crate::{clock, rss};
use block::{Piece, Place, Reader};
use mos_flow::Frame;
use mos_flow::engine::BURST;
use queue::Queue;
use ring::Ring;
use socket::Socket;
use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Parts of frames that are split, one burst of them: any one part fits.
const SCRATCH: usize = 1 << 17;

/// How an interface is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Frames for other hosts, too.
    pub promiscuous: bool,
    /// What this machine itself sends by the interface, too. A port that is forwarded to would see what it sends.
    pub outgoing: bool,
    /// How the kernel hands frames over.
    pub handover: Handover,
    /// Octets of the ring, in blocks of 128 KiB, of which there are at least two, or of the queue.
    pub memory: usize,
}

/// How the kernel hands frames over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// In blocks that are shared with this process.
    Blocks {
        /// How often the kernel looks for one that has begun to fill, in whole milliseconds, one at least.
        timeout: Duration,
    },
    /// One by one as they come, as copies.
    Frames,
}

impl Default for Options {
    /// To listen: promiscuous, without what the machine sends, in blocks; the memory and the time are arbitrary figures.
    fn default() -> Self {
        Options {
            promiscuous: true,
            outgoing: false,
            handover: Handover::Blocks { timeout: Duration::from_millis(1) },
            memory: 16 << 20,
        }
    }
}

impl Options {
    /// To forward: the same, but frames as they come.
    pub fn inline() -> Self {
        Options { handover: Handover::Frames, ..Options::default() }
    }
}

/// Where frames are that have come.
#[derive(Debug)]
enum Source {
    Ring(Ring),
    Queue(Queue),
}

impl Source {
    /// The next block of frames. It stays the next one until it is released.
    fn block(&mut self, socket: &Socket) -> Option<&mut [u8]> {
        match self {
            Source::Ring(ring) => ring.block(),
            Source::Queue(queue) => queue.block(socket.packets()),
        }
    }

    fn release(&mut self) {
        match self {
            Source::Ring(ring) => ring.release(),
            Source::Queue(queue) => queue.release(),
        }
    }
}

/// An interface.
#[derive(Debug)]
pub struct AfPacket {
    name: String,
    socket: Socket,
    source: Source,
    /// Of the next block, when a part of it was delivered.
    reader: Option<Reader>,
    scratch: Vec<u8>,
    handover: Handover,
    /// It was removed; what had come before may still be delivered.
    removed: bool,
    spread: Spread,
    statistics: Cell<Statistics>,
}

impl AfPacket {
    /// Listens to the interface `name`. It takes the right to raw sockets (`CAP_NET_RAW`) in this network namespace.
    ///
    /// # Errors
    /// [`OpenError`]: without that right, without that interface, for one that is not of Ethernet, or when there is no memory
    /// for the ring.
    pub fn open(name: &str, options: &Options) -> Result<Self, OpenError> {
        let (socket, source) = Socket::open(name, options, false)?;
        Ok(AfPacket::new(name, options, (socket, source), Spread::Alone))
    }

    /// Listens to the interface `name` with a port for each of `workers`, at most [`rss::MAP_ENTRIES`], who share what comes: the
    /// port whose place in the list is the [queue](rss::queue) of a packet's hash gets it. Each has the memory of `options`.
    ///
    /// The places hold as long as all ports do: when one is dropped, the last one takes its place, and there is one less. An
    /// interface that goes down and up again has all of them in their places, but they come back one after the other: what
    /// arrives meanwhile may be another one's.
    ///
    /// # Errors
    /// As of [`AfPacket::open`]; for a number of workers that cannot be had; and where the interface is down, of a Linux before
    /// 6.13.
    pub fn open_all(name: &str, options: &Options, workers: u16) -> Result<Vec<Self>, OpenError> {
        if workers == 1 {
            return Ok(vec![AfPacket::open(name, options)?]);
        }
        if workers == 0 || u32::from(workers) > rss::MAP_ENTRIES {
            let sentence = format!("{name} can be shared by 1 to {} workers", rss::MAP_ENTRIES);
            return Err(OpenError::new(sentence, io::ErrorKind::InvalidInput));
        }
        let mut ports = Vec::with_capacity(workers.into());
        let mut group = None;
        for _ in 0..workers {
            // Nobody sees anything before all are there.
            let (socket, source) = Socket::open(name, options, true)?;
            group = Some(socket.enter(name, group, options.outgoing)?);
            ports.push(AfPacket::new(name, options, (socket, source), Spread::ByHash));
        }
        ports.iter().try_for_each(|port| port.socket.open_filter())?;
        Ok(ports)
    }

    fn new(name: &str, options: &Options, (socket, source): (Socket, Source), spread: Spread) -> Self {
        AfPacket {
            name: name.to_owned(),
            socket,
            source,
            reader: None,
            scratch: vec![0; SCRATCH],
            handover: options.handover,
            removed: false,
            spread,
            statistics: Cell::default(),
        }
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// There are no frames, for now or for ever.
    fn idle(&mut self) -> Result<Received, PortError> {
        if self.removed {
            return Ok(Received::End);
        }
        if self.socket.has_interface()? {
            return Ok(Received::Nothing);
        }
        self.removed = true;
        if let Handover::Blocks { timeout } = self.handover {
            // The last one comes when its time is over, as any: that may be the second time the kernel looks.
            std::thread::sleep(timeout.max(Duration::from_millis(1)).saturating_mul(3));
        }
        let has_more = self.source.block(&self.socket).is_some();
        Ok(if has_more { Received::Frames(0) } else { Received::End })
    }
}

impl Port for AfPacket {
    /// May return `Frames(0)`.
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let Some(block) = self.source.block(&self.socket) else { return self.idle() };
        let reader = self.reader.get_or_insert_with(|| Reader::new(block));
        let mut pieces = heapless::Vec::<Piece, BURST>::new();
        reader.fill(block, &mut self.scratch, &mut pieces);
        let time = clock::now();
        let mut frames: heapless::Vec<Frame<'_>, BURST> = pieces
            .iter()
            .map(|piece| {
                let data = match &piece.place {
                    Place::Block(range) => block.get(range.clone()),
                    Place::Scratch(range) => self.scratch.get(range.clone()),
                };
                Frame { wire_len: piece.wire_len, ..Frame::ethernet(time, data.unwrap_or_default()) }
            })
            .collect();
        if !frames.is_empty() {
            deliver(&mut frames);
        }
        drop(frames);
        if reader.is_done() {
            self.reader = None;
            self.source.release();
        }
        Ok(Received::Frames(pieces.len()))
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        let mut all = 0;
        for frames in frames.chunks(BURST) {
            let (sent, refused) = self.socket.send(frames);
            all += sent;
            let statistics = self.statistics.get_mut();
            statistics.refused += refused as u64;
            statistics.sent += sent as u64;
        }
        Ok(all)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { timestamps: Timestamps::Clock, spread: self.spread, zero_copy: false }
    }

    fn statistics(&self) -> Statistics {
        let mut statistics = self.statistics.get();
        // What the kernel does not tell now, it tells the next time.
        let _ = self.socket.count(&mut statistics);
        self.statistics.set(statistics);
        statistics
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.descriptor())
    }
}
