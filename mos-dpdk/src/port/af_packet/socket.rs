//! System calls of packet sockets.

use super::super::interface::{LinkWatch, answer, set, take_everything};
use super::queue::{self, Queue};
use super::ring::{BLOCK, Ring};
use super::{Handover, OpenError, Options, Source, Statistics, spread};
use libc::{c_int, c_uint, c_ushort};
use mos_flow::engine::BURST;
use mos_flow::{Frame, LinkType, Verdict};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{set_socket_send_buffer_size_force, socket_error};
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, sendmmsg, socket_with,
};
use std::array;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// `struct virtio_net_hdr`, in front of each frame that is sent, of zeros: nothing is left to the kernel to do.
pub(super) const VNET: usize = 10;
/// Octets that may wait to leave. An arbitrary figure.
const SEND_BUFFER: usize = 4 << 20;
/// Frames of a fixed size, which blocks do not have: any that divides a block will do.
const NOMINAL_FRAME: usize = 2048;

const ETHERNET: c_ushort = 1;
const LOOPBACK: c_ushort = 772;

/// Several sockets that share what comes: how one asks to be the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(c_uint);

/// A packet socket, and what tells that its interface has changed.
#[derive(Debug)]
pub(super) struct Socket {
    packets: OwnedFd,
    watch: LinkWatch,
}

impl Socket {
    /// A socket on the interface, and where its frames are. A closed one lets nothing in until [`Socket::open_filter`].
    pub(super) fn open(
        name: &str,
        options: &Options,
        is_closed: bool,
    ) -> Result<(Socket, Source), OpenError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a protocol it gets nothing until it is bound.
        let packets = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
            .map_err(|e| OpenError::new("packet sockets take the right CAP_NET_RAW, which root has", e))?;
        let index = name_to_index(&packets, name)
            .map_err(|e| OpenError::new(format!("there is no interface {name}"), e))?;
        let watch =
            LinkWatch::beside(&packets).map_err(|e| OpenError::new("the interface cannot be watched", e))?;
        let socket = Socket { packets, watch };
        socket.set(libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as c_int))?;
        socket.set(libc::PACKET_VNET_HDR, &1_i32)?;
        if !options.outgoing {
            socket.set(libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        }
        // A smaller one will do, too.
        let _ = set_socket_send_buffer_size_force(&socket.packets, SEND_BUFFER);
        let source = match options.handover {
            Handover::Blocks { timeout } => Source::Ring(socket.make_ring(options.memory, timeout)?),
            Handover::Frames => {
                socket.set(libc::PACKET_AUXDATA, &1_i32)?;
                queue::prepare(socket.packets.as_fd(), options.memory)
                    .map_err(|e| OpenError::new("a receive queue cannot be had", e))?;
                Source::Queue(Queue::new())
            }
        };
        if is_closed {
            socket.close_filter()?;
        }
        socket.attach(name, index as c_int, options.promiscuous)?;
        Ok((socket, source))
    }

    fn make_ring(&self, octets: usize, timeout: Duration) -> Result<Ring, OpenError> {
        let blocks = (octets / BLOCK).max(2);
        let describe =
            |e| OpenError::new(format!("a receive ring of {} octets cannot be had", blocks * BLOCK), e);
        let count = c_uint::try_from(blocks).map_err(|_| describe(Errno::NOMEM))?;
        let per_block = (BLOCK / NOMINAL_FRAME) as c_uint;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as c_uint,
            tp_block_nr: count,
            tp_frame_size: NOMINAL_FRAME as c_uint,
            tp_frame_nr: count.checked_mul(per_block).ok_or_else(|| describe(Errno::NOMEM))?,
            tp_retire_blk_tov: c_uint::try_from(timeout.as_millis()).unwrap_or(c_uint::MAX).max(1),
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        self.set(libc::PACKET_RX_RING, &request).map_err(|e| describe(errno_of(&e)))?;
        Ring::map(self.packets.as_fd(), blocks)
            .map_err(|e| describe(Errno::from_io_error(&e).unwrap_or(Errno::IO)))
    }

    /// From here on there are frames.
    fn attach(&self, name: &str, index: c_int, is_promiscuous: bool) -> Result<(), OpenError> {
        self.bind_to(index).map_err(|e| OpenError::new(format!("{name} cannot be listened to"), e))?;
        let (_, kind) = self.bound().map_err(|e| OpenError::new(format!("{name} has gone away"), e))?;
        if kind != ETHERNET && kind != LOOPBACK {
            return Err(OpenError::new(format!("{name} is no Ethernet interface"), Errno::OPNOTSUPP));
        }
        if is_promiscuous {
            take_everything(self.packets.as_fd(), index as u32)
                .map_err(|e| OpenError::new(format!("{name} cannot be made to take all frames"), e))?;
        }
        Ok(())
    }

    /// Becomes the next member of `group`, or the first one of a new one.
    pub(super) fn enter(&self, name: &str, group: Option<Group>, outgoing: bool) -> Result<Group, OpenError> {
        let entered = match group {
            Some(group) => self.set(libc::PACKET_FANOUT, &group.0).map(|()| group),
            None => self.found_group(outgoing),
        };
        entered.map_err(|e| {
            let sentence = format!("{name} cannot be shared, for which it must be up before Linux 6.13");
            OpenError::new(sentence, errno_of(&e))
        })
    }

    fn found_group(&self, outgoing: bool) -> Result<Group, OpenError> {
        let mut kind = libc::PACKET_FANOUT_CBPF;
        if !outgoing {
            kind |= libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
        }
        // The kernel finds a number that no other group has.
        self.set(libc::PACKET_FANOUT, &((kind | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16))?;
        self.set_program(libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &mut spread::program(outgoing))?;
        let [group] = self
            .numbers(libc::PACKET_FANOUT)
            .map_err(|e| OpenError::new("the kernel does not tell the group of a packet socket", e))?;
        Ok(Group(kind << 16 | group & 0xffff))
    }

    /// Lets nothing in.
    fn close_filter(&self) -> Result<(), OpenError> {
        let refuse_all = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
        self.set_program(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &mut [refuse_all])
    }

    pub(super) fn open_filter(&self) -> Result<(), OpenError> {
        self.set_at(libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32)
    }

    fn bind_to(&self, index: c_int) -> rustix::io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as c_ushort,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is a local of this length, and the kernel keeps no pointer to it.
        answer(unsafe { libc::bind(self.packets.as_raw_fd(), ptr::from_ref(&address).cast(), len) })
    }

    /// The number of the interface and its kind; no number is below 1.
    fn bound(&self) -> rustix::io::Result<(c_int, c_ushort)> {
        let mut address = libc::sockaddr_ll {
            sll_family: 0,
            sll_protocol: 0,
            sll_ifindex: 0,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let mut len = size_of_val(&address) as libc::socklen_t;
        let place = ptr::from_mut(&mut address).cast();
        // SAFETY: the kernel writes an address of at most this length to a local that has it, and any octets are one.
        answer(unsafe { libc::getsockname(self.packets.as_raw_fd(), place, &mut len) })?;
        Ok((address.sll_ifindex, address.sll_hatype))
    }

    fn set<T: Copy>(&self, option: c_int, value: &T) -> Result<(), OpenError> {
        self.set_at(libc::SOL_PACKET, option, value)
    }

    fn set_at<T: Copy>(&self, level: c_int, option: c_int, value: &T) -> Result<(), OpenError> {
        set(self.packets.as_fd(), level, option, value)
            .map_err(|e| OpenError::new(format!("the kernel refuses option {option} of packet sockets"), e))
    }

    fn set_program(
        &self,
        level: c_int,
        option: c_int,
        code: &mut [libc::sock_filter],
    ) -> Result<(), OpenError> {
        let len = c_ushort::try_from(code.len()).unwrap_or(c_ushort::MAX); // which the kernel refuses
        self.set_at(level, option, &libc::sock_fprog { len, filter: code.as_mut_ptr() })
    }

    /// What the kernel tells of an option of packet sockets.
    fn numbers<const N: usize>(&self, option: c_int) -> rustix::io::Result<[c_uint; N]> {
        let mut numbers = [0; N];
        let mut len = size_of_val(&numbers) as libc::socklen_t;
        let (socket, place) = (self.packets.as_raw_fd(), numbers.as_mut_ptr().cast());
        // SAFETY: the kernel writes at most this many octets to a local that has them, and any octets are numbers.
        answer(unsafe { libc::getsockopt(socket, libc::SOL_PACKET, option, place, &mut len) })?;
        Ok(numbers)
    }

    /// Adds what the kernel has counted since it was last asked.
    pub(super) fn count(&self, statistics: &mut Statistics) -> rustix::io::Result<()> {
        // `struct tpacket_stats_v3`; those that were dropped are among those that came.
        let [came, dropped, _] = self.numbers(libc::PACKET_STATISTICS)?;
        statistics.received += u64::from(came.saturating_sub(dropped));
        statistics.dropped += u64::from(dropped);
        Ok(())
    }

    /// Whether there is an interface, be it up or down. To be asked when there are no frames, for waits to last.
    pub(super) fn has_interface(&self) -> io::Result<bool> {
        self.watch.clear();
        // That it went down, or that the kernel cannot tell how a frame is to be split, which is lost then.
        let _ = socket_error(&self.packets)?;
        Ok(self.bound()?.0 > 0)
    }

    /// Sends the frames whose verdict is to forward, at most a burst. Returns how many were, and how many were not taken.
    pub(super) fn send(&self, frames: &[Frame<'_>]) -> (usize, usize) {
        const PLAIN: &[u8] = &[0; VNET];
        let is_whole = |f: &&Frame<'_>| f.link == LinkType::Ethernet && f.data.len() >= f.wire_len as usize;
        let forwarded = || frames.iter().filter(|f| f.verdict == Verdict::Forward);
        let parts: heapless::Vec<[IoSlice<'_>; 2], BURST> =
            forwarded().filter(is_whole).take(BURST).map(|f| [PLAIN, f.data].map(IoSlice::new)).collect();
        let mut controls: [_; BURST] = array::from_fn(|_| SendAncillaryBuffer::default());
        let mut messages: heapless::Vec<MMsgHdr<'_>, BURST> =
            parts.iter().zip(&mut controls).map(|(parts, control)| MMsgHdr::new(parts, control)).collect();
        let mut sent = 0;
        let mut rest = messages.as_mut_slice();
        while !rest.is_empty() {
            let done = match sendmmsg(&self.packets, rest, SendFlags::DONTWAIT) {
                Ok(n) => {
                    sent += n;
                    n.max(1)
                }
                Err(Errno::INTR) => 0,
                Err(_) => 1,
            };
            rest = rest.get_mut(done..).unwrap_or_default();
        }
        (sent, forwarded().count() - sent)
    }

    /// What frames are received from.
    pub(super) fn packets(&self) -> BorrowedFd<'_> {
        self.packets.as_fd()
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.watch.descriptor()
    }
}

fn errno_of(e: &OpenError) -> Errno {
    Errno::from_io_error(e.io()).unwrap_or(Errno::IO)
}
