//! Ports on devices of DPDK, which go past the kernel: network cards, and virtual devices in their place.
//!
//! DPDK is [started](Eal::start) once in a process, and a device then [opened](Dpdk::open) with as many queues as there are
//! workers: each has a port of its own. A card has to be bound to a driver that leaves it to DPDK
//! (`dpdk-devbind.py --bind=vfio-pci ADDRESS`), and there should be hugepages (`echo 256 > /proc/sys/vm/nr_hugepages`).
//!
//! Neither is needed to try it: `--no-huge -m 512 --no-pci` does without, and a virtual device is made with `--vdev`:
//!
//! - `net_pcap0,rx_pcap=IN,tx_pcap=OUT` reads and writes capture files. It gives no more frames when the file is at its
//!   end, and never says so; a frame is as long as what was captured of it.
//! - `net_af_packet0,iface=NAME,qpairs=2`, `net_tap0` are interfaces of Linux. Unlike [`af_packet`](super::af_packet) they
//!   give what the kernel has: checksums that it has left to a card, and frames that are yet to be split. `ethtool -K NAME
//!   tx off gso off` at the sender helps. What the kernel drops there DPDK does not count.
//! - `net_ring0` gives back what was sent; `net_memif0` leads to another process; `net_null0` gives zeros.
//!
//! Frames are lent from the device's own buffers. One that is sent on as it came, while it is lent and by the same thread, is
//! sent from where it is, be it by another device; all others are copied once. In which queue a connection is depends on the
//! device: see [`Capabilities::spread`].

mod device;
mod eal;
mod flow;
mod hashing;
mod mbuf;
mod said;

pub use eal::Eal;
pub use mbuf::Buffers;

use super::{Capabilities, OpenError, Port, PortError, Received, Spread, Statistics, Timestamps};
use crate::clock;
use device::Device;
use dpdk_sys as sys;
use flow::Ignored;
use mbuf::{Mbufs, Means, Pool};
use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant, LinkType, Verdict};
use std::net::SocketAddr;
use std::sync::Arc;

/// Room for a frame that is in several parts: any one fits.
const LARGEST: usize = 1 << 16;
/// Frames of a wire have at least the two addresses and a type.
const SHORTEST: usize = 14;
/// How often there is nothing before the device is asked whether it is still there. An arbitrary figure.
const IDLE: u32 = 1 << 16;

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Queues for receiving, and as many for sending: each is a port.
    pub queues: u16,
    /// Frames for other hosts, too.
    pub promiscuous: bool,
    /// The largest packet, without the link header. Larger frames are received if the device lets them through, and
    /// [refused](Statistics::refused) when they are sent.
    pub mtu: u16,
    /// Frames that the device holds for each queue, in each direction; what it can do is near that.
    pub descriptors: u16,
    /// Buffers of each queue; more, if that is not enough for all descriptors.
    pub buffers: u32,
}

impl Default for Options {
    /// One queue, promiscuous, for ordinary Ethernet; the other figures are arbitrary.
    fn default() -> Self {
        Options { queues: 1, promiscuous: true, mtu: 1500, descriptors: 1024, buffers: 8192 }
    }
}

/// What a device has taken of [`rss`](crate::rss), and says so when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// The key, for addresses and ports of TCP and UDP.
    pub key: bool,
    /// The map from hashes to queues.
    pub map: bool,
    /// It tells the hash of each frame.
    pub tells: bool,
}

/// How frames have passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// Received in several parts, and put together.
    pub joined: u64,
    /// Sent from the buffer that they were received in.
    pub by_reference: u64,
    /// Copied to be sent.
    pub copied: u64,
}

/// A queue of a device.
#[derive(Debug)]
pub struct Dpdk {
    // Its rules go before the device does.
    ignored: Ignored,
    device: Arc<Device>,
    queue: u16,
    pool: Pool,
    clock: sys::mos_dpdk_clock,
    /// Places for frames that are in several parts, a burst of them. Memory that is not written to is not used.
    scratch: Vec<u8>,
    /// How often there was nothing.
    idle: u32,
    statistics: Statistics,
    handling: Handling,
}

impl Dpdk {
    /// Opens the device of this name, for instance `0000:01:00.0` or `net_pcap0`, or of this number: a port for each queue.
    /// It can be opened again when all of them are dropped.
    ///
    /// # Errors
    /// [`OpenError`]: without such a device, for one that is in use, has fewer queues, or refuses what the options say, or
    /// when there is no memory for the buffers.
    pub fn open(eal: &Arc<Eal>, device: &str, options: &Options) -> Result<Vec<Dpdk>, OpenError> {
        let device = Arc::new(Device::open(eal, device, options)?);
        // SAFETY: it reads what is registered.
        let clock = unsafe { sys::mos_dpdk_find_clock() };
        let port = |queue| {
            Some(Dpdk {
                ignored: Ignored::default(),
                device: device.clone(),
                queue,
                pool: device.pool(queue)?,
                clock,
                scratch: vec![0; BURST * LARGEST],
                idle: 0,
                statistics: Statistics::default(),
                handling: Handling::default(),
            })
        };
        Ok((0..options.queues).filter_map(port).collect())
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// What of [`rss`](crate::rss) the device has taken; `None` when there is one queue. With all of it connections are
    /// [where that says](super::Spread::ByHash).
    pub fn hashing(&self) -> Option<Hashing> {
        self.device.hashing()
    }

    /// How frames have passed.
    pub fn handling(&self) -> Handling {
        self.handling
    }

    /// There are no frames, for now or for ever.
    fn idle(&mut self) -> Received {
        self.idle = self.idle.wrapping_add(1);
        let is_due = self.idle.is_multiple_of(IDLE);
        if is_due {
            self.ignored.expire(clock::now()); // all that comes may be what is ignored
        }
        let is_over = is_due && self.device.is_removed();
        if is_over { Received::End } else { Received::Nothing }
    }

    /// What is to be sent of a burst, and how many cannot be.
    fn prepare(&mut self, frames: &[Frame<'_>]) -> (Mbufs, usize) {
        let mut mbufs = Mbufs::default();
        let mut refused = 0;
        let lengths = SHORTEST..=self.device.largest();
        for frame in frames.iter().filter(|f| f.verdict == Verdict::Forward) {
            let is_whole = frame.link == LinkType::Ethernet && frame.data.len() >= frame.wire_len as usize;
            let fits = is_whole && lengths.contains(&frame.data.len());
            match fits.then(|| mbufs.add(frame.data, self.pool)).flatten() {
                Some(Means::Reference) => self.handling.by_reference += 1,
                Some(Means::Copy) => self.handling.copied += 1,
                None => refused += 1,
            }
        }
        (mbufs, refused)
    }
}

impl Port for Dpdk {
    /// May return `Frames(0)`.
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        eal::register(self.device.eal());
        // SAFETY: `Device` has started it and stops it when its last port is gone; the queue is this port's alone, which is
        // borrowed mutably.
        let mut mbufs = unsafe { Mbufs::receive(self.device.queue(self.queue)) };
        if mbufs.is_empty() {
            return Ok(self.idle());
        }
        let views = mbufs.look(self.clock);
        let now = clock::now();
        self.ignored.expire(now);
        let mut frames = heapless::Vec::<Frame<'_>, BURST>::new();
        for ((at, view), place) in views.iter().enumerate().zip(self.scratch.chunks_mut(LARGEST)) {
            let Some(data) = mbufs.octets(at, view, place) else {
                self.statistics.dropped += 1;
                continue;
            };
            self.handling.joined += u64::from(view.data.is_null());
            let time = if view.timed && self.device.is_file() { Instant(view.time) } else { now };
            let _ = frames.push(Frame::ethernet(time, data)); // a burst at the most
        }
        let count = frames.len();
        self.statistics.received += count as u64;
        let lending = mbuf::lend(&mbufs, &views);
        if count > 0 {
            deliver(&mut frames);
        }
        drop(lending);
        Ok(Received::Frames(count))
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        eal::register(self.device.eal());
        let mut all = 0;
        for frames in frames.chunks(BURST) {
            let (mbufs, refused) = self.prepare(frames);
            let prepared = mbufs.len();
            // SAFETY: as in `receive`.
            let sent = unsafe { mbufs.send(self.device.queue(self.queue)) };
            all += sent;
            self.statistics.sent += sent as u64;
            self.statistics.refused += (refused + prepared - sent) as u64;
        }
        Ok(all)
    }

    fn capabilities(&self) -> Capabilities {
        let spread = match self.device.hashing() {
            None => Spread::Alone,
            Some(Hashing { key: true, map: true, tells: true }) => Spread::ByHash,
            Some(_) => Spread::Otherwise,
        };
        let timestamps = if self.device.is_file() { Timestamps::File } else { Timestamps::Clock };
        Capabilities { timestamps, spread, zero_copy: true }
    }

    /// What the device has counted itself is with the first queue's. Frames that it took and then did not send are refused.
    fn statistics(&self) -> Statistics {
        let mut statistics = self.statistics;
        if self.queue == 0 {
            let losses = self.device.losses();
            statistics.dropped += losses.dropped;
            statistics.refused += losses.refused;
            statistics.sent = statistics.sent.saturating_sub(losses.refused);
        }
        statistics
    }

    fn ignore(&mut self, ends: (SocketAddr, SocketAddr)) -> bool {
        self.ignored.add(self.device.number(), ends, clock::now())
    }
}
