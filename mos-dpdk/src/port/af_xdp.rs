//! A port on a queue of an interface of Linux, by an AF_XDP socket.
//!
//! A small program at the interface, which is part of this module, hands each frame to the socket of the queue that it came by,
//! before the kernel's own network has seen it; the kernel and this process share the memory of frames, and rings of their
//! places. Where the driver can, the network card itself reads and writes that memory; where not, the kernel copies each frame
//! once.
//!
//! Against a packet socket ([`af_packet`](super::af_packet)): less work for each frame, and a frame that is forwarded by a
//! [pair](AfXdp::open_pair) is copied by nobody here. But frames are **taken** from the machine, not shown to it. That is what a
//! forwarder wants; who listens beside an application on the same interface takes a packet socket. And frames are as the driver
//! has them. So of what hosts leave to network cards:
//!
//! - *Checksums.* On an interface without hardware behind it (`veth`, `tun`, `virtio_net`) frames come whose sender has left the
//!   TCP or UDP checksum to a network card. Nothing beside the frame tells, but the field has a certain value then. Such are
//!   made, of the innermost packet: see [`PartialChecksums`].
//! - *Frames of several.* In the native mode `veth` makes its peer send frames of the MTU. In the generic mode frames come from it
//!   that are yet to be split: they do not fit, and are counted as [dropped](Statistics::dropped), so that a download gets
//!   nowhere until the peer splits them itself (`ip link set dev PEER gso_max_segs 1`). Network cards put none together when
//!   there is a program.
//! - *Frames that are too large* for their memory ([`Options::frame_size`]) are dropped, and counted, in either mode. An
//!   interface whose MTU allows them is refused.
//! - *VLAN tags* that a card takes out of frames are lost, and nothing tells: `ethtool -K NAME rxvlan off` for a card, `ethtool -K
//!   PEER txvlan off` for the other end of a `veth`. Tags that are in a frame stay there.
//!
//! A port receives from one queue; all queues of an interface are opened together, as what came by another would be missed. With
//! the last port of an interface, or the process, goes all that it has asked for: the program, and the promiscuous mode. An
//! interface that is down is one without traffic; when it is removed, the port has reached its end.

mod options;

// How far the kernel and this process are in a ring, and its memory; whose a frame is, and their memory; system calls; and how
// all of it is put together.
mod cursor;
mod ring;

mod ledger;
mod umem;

mod device;
mod program;
mod socket;

mod setup;

use super::{Capabilities, OpenError, Port, PortError, Received, Spread, Statistics, Timestamps};
use crate::clock;
use ledger::{Chunk, Ledger};
use mos_flow::engine::BURST;
use mos_flow::wire::{self, checksum};
use mos_flow::{Frame, LinkType, Verdict};
use ring::Descriptor;
use rustix::io::Errno;
use setup::Attachment;
use socket::{Rings, Socket};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use umem::Umem;

pub use options::{Mode, Options, PartialChecksums};

/// The sentence for who may not do this.
const RIGHTS: &str = "AF_XDP takes the rights CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF, which root has";
/// Octets of an Ethernet header: less is no frame.
const LEAST: usize = 14;

/// A queue of an interface.
#[derive(Debug)]
pub struct AfXdp {
    queue: u32,
    socket: Socket,
    rings: Rings,
    umem: Arc<Umem>,
    attachment: Arc<Attachment>,
    is_zero_copy: bool,
    /// Another port has the same memory.
    is_paired: bool,
    /// Frames that the kernel may receive into, and that it has received and were not taken yet. At most `quota`, so that the rings
    /// have room for all.
    receiving: u32,
    /// Frames that the kernel has not sent yet. At most `quota`, too, so that each half of the memory is for one way.
    sending: u32,
    quota: u32,
    /// The kernel takes no frames: the interface is down, or was removed.
    is_stuck: bool,
    removed: bool,
    counts: Counts,
}

/// What a port is put together from.
#[derive(Debug)]
struct Parts {
    attachment: Arc<Attachment>,
    queue: u32,
    socket: Socket,
    rings: Rings,
    umem: Arc<Umem>,
    quota: u32,
    is_paired: bool,
}

/// What is counted here.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    received: u64,
    /// Places that the kernel has told of and that cannot be.
    corrupt: u64,
    /// Frames that were put in the ring.
    queued: u64,
    /// Of those, what the device has dropped.
    lost: u64,
    /// Of those, what was not copied.
    passed: u64,
    refused: u64,
}

/// A frame that was received.
#[derive(Debug)]
struct Lent {
    chunk: Chunk,
    /// Where in it the octets are.
    octets: Range<usize>,
}

impl AfXdp {
    /// Takes the frames of the interface `name`: a port for each queue, in their order.
    ///
    /// # Errors
    /// [`OpenError`]: without the rights, or an interface of Ethernet of that name; for one that has another number of queues, on
    /// which there is such a program already, or whose frames are too large; when there is no memory, or no AF_XDP.
    pub fn open(name: &str, options: &Options) -> Result<Vec<AfXdp>, OpenError> {
        setup::open(name, options)
    }

    /// As [`AfXdp::open`], for two interfaces with the same number of queues. Ports of the same queue share their memory: a frame
    /// that one lends and that the other is given to send, unchanged and while it is lent, is not copied.
    ///
    /// # Errors
    /// As [`AfXdp::open`].
    pub fn open_pair(left: &str, right: &str, options: &Options) -> Result<Vec<[AfXdp; 2]>, OpenError> {
        setup::open_pair(left, right, options)
    }

    fn new(parts: Parts) -> AfXdp {
        let Parts { attachment, queue, socket, rings, umem, quota, is_paired } = parts;
        AfXdp {
            queue,
            is_zero_copy: socket.is_zero_copy(),
            socket,
            rings,
            umem,
            attachment,
            is_paired,
            receiving: 0,
            sending: 0,
            quota,
            is_stuck: false,
            removed: false,
            counts: Counts::default(),
        }
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.attachment.device.name
    }

    /// The number of the queue, from 0 on.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// Where the program runs: native or generic.
    pub fn mode(&self) -> Mode {
        self.attachment.mode
    }

    /// Whether the network card itself reads and writes the memory of frames.
    pub fn is_zero_copy(&self) -> bool {
        self.is_zero_copy
    }

    /// Frames that were sent from where another port had received them.
    pub fn passed(&self) -> u64 {
        self.counts.passed
    }

    /// Frames that have come, as many as a burst has.
    fn take_received(&mut self) -> heapless::Vec<Lent, BURST> {
        let mut all = heapless::Vec::new();
        let mut ledger = self.umem.ledger();
        for _ in 0..BURST {
            let Some(descriptor) = self.rings.rx.pop() else { break };
            self.receiving = self.receiving.saturating_sub(1);
            match lend(&self.umem, &mut ledger, descriptor) {
                Some(lent) => drop(all.push(lent)), // there is room for a burst
                None => self.counts.corrupt += 1,
            }
        }
        drop(ledger);
        self.rings.rx.release();
        self.counts.received += all.len() as u64;
        all
    }

    /// Takes frames back that were lent, but for those that are still to be sent, and gives the kernel others to receive into.
    fn refill(&mut self, lent: heapless::Vec<Lent, BURST>) {
        let mut ledger = self.umem.ledger();
        for lent in lent {
            ledger.settle(lent.chunk);
        }
        while self.receiving < self.quota
            && let Some(chunk) = ledger.take()
        {
            let index = ledger.give(chunk);
            if !self.rings.fill.push(self.umem.address_of(index)) {
                ledger.complete(index); // it was not given after all
                break;
            }
            self.receiving += 1;
        }
        drop(ledger);
        self.rings.fill.publish();
        if self.rings.fill.needs_wakeup() {
            self.socket.wake_receiver();
        }
    }

    /// There are no frames, for now or for ever.
    fn idle(&mut self) -> Received {
        if self.removed {
            return Received::End;
        }
        if self.rings.tx.pending() > 0 {
            self.kick();
        }
        self.reap();
        self.refill(heapless::Vec::new());
        if self.socket.has_interface() {
            return Received::Nothing;
        }
        self.removed = true;
        // What came just before it was removed is still to be taken.
        Received::Frames(0)
    }

    /// Notes which frames were sent.
    fn reap(&mut self) {
        let mut ledger = self.umem.ledger();
        for _ in 0..self.sending {
            let Some(address) = self.rings.completion.pop() else { break };
            if self.umem.index_of(address).is_some_and(|index| ledger.complete(index)) {
                self.sending -= 1;
            }
        }
        drop(ledger);
        self.rings.completion.release();
    }

    /// Puts what is to be forwarded of a burst in the ring. Returns how many frames.
    fn queue_burst(&mut self, frames: &[Frame<'_>]) -> u64 {
        self.reap();
        let takes_any = !self.is_stuck && self.queue < self.attachment.queues.send;
        let mut queued = 0;
        let umem = Arc::clone(&self.umem);
        let mut ledger = umem.ledger();
        for frame in frames.iter().filter(|f| f.verdict == Verdict::Forward) {
            if takes_any && self.queue_frame(frame, &umem, &mut ledger).is_some() {
                queued += 1;
            } else {
                self.counts.refused += 1;
            }
        }
        drop(ledger);
        self.rings.tx.publish();
        self.counts.queued += queued;
        queued
    }

    /// Puts a frame in the ring: where it is if that is in the shared memory, else as a copy. `None` when it is none that can be
    /// sent, or there is no room.
    fn queue_frame(&mut self, frame: &Frame<'_>, umem: &Umem, ledger: &mut Ledger) -> Option<()> {
        let (data, is_ethernet) = (frame.data, frame.link == LinkType::Ethernet);
        let is_whole = data.len() >= frame.wire_len as usize && data.len() >= LEAST;
        if !is_ethernet || !is_whole || self.sending >= self.quota || self.rings.tx.room() == 0 {
            return None;
        }
        let lent = umem.place_of(data);
        let lent = lent.filter(|place| umem.index_of(*place).is_some_and(|index| ledger.pass(index)));
        let address = match lent {
            Some(place) => {
                self.counts.passed += 1;
                place
            }
            None => copy(data, umem, ledger)?,
        };
        self.rings.tx.push(Descriptor { address, len: data.len() as u32 });
        self.sending += 1;
        Some(())
    }

    /// Has the kernel send what is in the ring.
    fn kick(&mut self) {
        self.is_stuck = false;
        // Each time it takes one at least, or it is the last time.
        for _ in 0..=self.quota {
            let before = self.rings.tx.pending();
            if before == 0 || !self.rings.tx.needs_wakeup() {
                return;
            }
            let woken = self.socket.wake();
            let is_dropped = !self.is_zero_copy && woken == Err(Errno::BUSY);
            match woken {
                // It says so after one frame, and the others are still to be sent.
                Err(Errno::BUSY) if is_dropped => self.counts.lost += 1,
                Ok(()) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::NOBUFS) => {}
                Err(_) => self.is_stuck = true,
            }
            // Where the driver takes the frames, it does so when it comes to it.
            let goes_on = is_dropped || self.rings.tx.pending() != before;
            if self.is_zero_copy || self.is_stuck || !goes_on {
                return;
            }
        }
    }
}

/// A frame of the shared memory that was received, if the kernel tells of one.
fn lend(umem: &Umem, ledger: &mut Ledger, descriptor: Descriptor) -> Option<Lent> {
    let index = umem.index_of(descriptor.address)?;
    let start = usize::try_from(descriptor.address - umem.address_of(index)).ok()?;
    let end = start.checked_add(descriptor.len as usize).filter(|end| *end <= umem.frame_size() as usize)?;
    Some(Lent { chunk: ledger.arrive(index)?, octets: start..end })
}

/// Copies octets to a free frame. Returns where that is.
fn copy(data: &[u8], umem: &Umem, ledger: &mut Ledger) -> Option<u64> {
    let mut chunk = ledger.take()?;
    let room = umem.octets_mut(&mut chunk).get_mut(..data.len());
    let Some(room) = room else {
        ledger.settle(chunk);
        return None;
    };
    room.copy_from_slice(data);
    Some(umem.address_of(ledger.give(chunk)))
}

/// Makes the checksum that the sender has left out.
fn complete_checksum(frame: &mut [u8]) {
    if let Ok(packet) = wire::parse(LinkType::Ethernet, frame) {
        checksum::complete(frame, &packet);
    }
}

impl Port for AfXdp {
    /// May return `Frames(0)`.
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let mut all = self.take_received();
        if all.is_empty() {
            return Ok(self.idle());
        }
        if self.attachment.completes_checksums {
            for lent in &mut all {
                let octets = self.umem.octets_mut(&mut lent.chunk).get_mut(lent.octets.clone());
                octets.map(complete_checksum);
            }
        }
        let time = clock::now();
        let mut frames: heapless::Vec<Frame<'_>, BURST> = all
            .iter()
            .map(|lent| self.umem.octets(&lent.chunk).get(lent.octets.clone()).unwrap_or_default())
            .map(|data| Frame::ethernet(time, data))
            .collect();
        deliver(&mut frames);
        drop(frames);
        let count = all.len();
        self.refill(all);
        Ok(Received::Frames(count))
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        let mut sent = 0;
        for burst in frames.chunks(BURST) {
            if self.is_stuck {
                self.kick();
            }
            let lost = self.counts.lost;
            let queued = self.queue_burst(burst);
            if queued > 0 {
                self.kick();
            }
            if !self.is_stuck {
                sent += queued.saturating_sub(self.counts.lost - lost);
            }
        }
        Ok(sent as usize)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        self.kick();
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        let is_alone = self.attachment.queues.receive == 1;
        Capabilities {
            timestamps: Timestamps::Clock,
            spread: if is_alone { Spread::Alone } else { Spread::Otherwise },
            zero_copy: self.is_paired,
        }
    }

    fn statistics(&self) -> Statistics {
        let Counts { received, corrupt, queued, lost, refused, .. } = self.counts;
        // Frames that wait in the ring are neither sent nor refused, unless nobody will ever send them.
        let waiting = u64::from(self.rings.tx.peek_pending());
        let refused = refused + lost + if self.removed { waiting } else { 0 };
        let sent = queued.saturating_sub(waiting).saturating_sub(lost);
        Statistics { received, dropped: self.socket.dropped() + corrupt, sent, refused }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.descriptor())
    }
}
