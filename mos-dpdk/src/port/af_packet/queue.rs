//! Frames that the kernel has queued, copied to memory of this process in the shape of a block of the ring.

use super::block::{FIRST, Header, MAC, Reader};
use super::socket::VNET;
use libc::{c_int, c_uint};
use mos_flow::engine::BURST;
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Octets for each frame: one that the kernel has built of several has 64 KiB at most, unless it is told otherwise. No more of
/// them are touched than a frame has, and slots do not begin at multiples of 4 KiB, so that small frames stay in the cache.
const SLOT: usize = (1 << 16) + 256;
/// Octets for what is told beside a frame.
const CONTROL: usize = size_of::<libc::cmsghdr>() + size_of::<libc::tpacket_auxdata>();

/// What is told beside a frame, aligned as that must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL.next_multiple_of(8)]);

/// Memory for a burst.
#[derive(Debug)]
pub(super) struct Queue {
    block: Vec<u8>,
    /// The block has frames that were not all delivered.
    is_filled: bool,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { block: vec![0; FIRST + BURST * SLOT], is_filled: false }
    }

    /// The frames that are there, if any.
    pub(super) fn block(&mut self, socket: BorrowedFd<'_>) -> Option<&mut [u8]> {
        if !self.is_filled {
            self.is_filled = self.fill(socket) > 0;
        }
        self.is_filled.then_some(self.block.as_mut_slice())
    }

    pub(super) fn release(&mut self) {
        self.is_filled = false;
    }

    /// Takes frames out of the queue. Returns how many.
    fn fill(&mut self, socket: BorrowedFd<'_>) -> usize {
        let mut controls = [Control([0; _]); BURST];
        let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BURST];
        let slots = self.block.get_mut(FIRST..).unwrap_or_default().chunks_exact_mut(SLOT);
        for (part, slot) in parts.iter_mut().zip(slots) {
            let place = slot.get_mut(MAC - VNET..).unwrap_or_default();
            *part = libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: place.len() };
        }
        // SAFETY: of zeros it is a message with no place for an address, for octets, or for what is told beside them.
        let empty: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut messages = [empty; BURST];
        for (message, (part, control)) in messages.iter_mut().zip(parts.iter_mut().zip(&mut controls)) {
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: there are this many messages, all of which point to one part and to one control each, which are locals; the
        // parts point to slots of the block, which do not overlap, live in `self`, and are borrowed by nobody else meanwhile;
        // each length is that of what is pointed to.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BURST as c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).unwrap_or(0); // nothing, or an error that is told when it is asked for
        for (n, (message, control)) in messages.iter().zip(&controls).take(count).enumerate() {
            let told = Told::parse(&control.0).unwrap_or_default();
            let len = (message.msg_len as usize).saturating_sub(VNET);
            let header = Header {
                len: len as u32,
                wire_len: told.len.max(len as u32),
                status: told.status,
                tci: told.tci.into(),
                tpid: told.tpid,
                next: SLOT as u32,
            };
            let _ = header.write(&mut self.block, FIRST + n * SLOT); // there is a slot for each
        }
        let _ = Reader::announce(&mut self.block, count as u32); // there is more than its beginning
        count
    }
}

/// What is told beside a frame (`struct tpacket_auxdata`).
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    status: u32,
    len: u32,
    tci: u16,
    tpid: u16,
}

impl Told {
    fn parse(control: &[u8]) -> Option<Told> {
        use libc::{cmsghdr, tpacket_auxdata};
        use std::mem::offset_of;
        let word = |at: usize| control.get(at..)?.first_chunk().map(|octets| u32::from_ne_bytes(*octets));
        let half = |at: usize| control.get(at..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets));
        let level = word(offset_of!(cmsghdr, cmsg_level))? as c_int;
        let kind = word(offset_of!(cmsghdr, cmsg_type))? as c_int;
        if (level, kind) != (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
            return None;
        }
        let at = size_of::<cmsghdr>();
        Some(Told {
            status: word(at + offset_of!(tpacket_auxdata, tp_status))?,
            len: word(at + offset_of!(tpacket_auxdata, tp_len))?,
            tci: half(at + offset_of!(tpacket_auxdata, tp_vlan_tci))?,
            tpid: half(at + offset_of!(tpacket_auxdata, tp_vlan_tpid))?,
        })
    }
}

/// Makes a socket ready for a queue of this many octets.
pub(super) fn prepare(socket: BorrowedFd<'_>, octets: usize) -> rustix::io::Result<()> {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
    let octets = octets.min(c_int::MAX as usize / 2);
    match set_socket_recv_buffer_size_force(socket, octets) {
        // Without the right to administer the network, as much as everybody may have.
        Err(Errno::PERM) => set_socket_recv_buffer_size(socket, octets),
        set => set,
    }
}
