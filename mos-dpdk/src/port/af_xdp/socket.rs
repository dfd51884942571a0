//! System calls of AF_XDP sockets.

use super::super::interface::LinkWatch;
use super::OpenError;
use super::ring::{Consumer, Producer, RawDescriptor};
use super::umem::Umem;
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_send_buffer_size_force, set_xdp_rx_ring_size, set_xdp_tx_ring_size,
    set_xdp_umem_completion_ring_size, set_xdp_umem_fill_ring_size, set_xdp_umem_reg, socket_error,
    xdp_mmap_offsets, xdp_options, xdp_statistics,
};
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, SocketAddrXdpWithSharedUmem, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
    XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpOptionsFlags, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

/// Octets that may wait to leave. An arbitrary figure.
const SEND_BUFFER: usize = 16 << 20;

/// The rings of a socket.
#[derive(Debug)]
pub(super) struct Rings {
    /// Frames for the kernel to receive into.
    pub(super) fill: Producer<AtomicU64>,
    /// Frames that were sent.
    pub(super) completion: Consumer<AtomicU64>,
    pub(super) rx: Consumer<RawDescriptor>,
    pub(super) tx: Producer<RawDescriptor>,
}

/// A socket, and what tells that its interface has changed.
#[derive(Debug)]
pub(super) struct Socket {
    frames: OwnedFd,
    watch: LinkWatch,
}

/// What a socket is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding<'a> {
    pub(super) interface: u32,
    pub(super) queue: u32,
    pub(super) zero_copy: bool,
    /// The socket that was given the same memory.
    pub(super) shared: Option<&'a Socket>,
}

impl Socket {
    /// A socket that is to use this memory, with rings of `size` entries, a power of two.
    pub(super) fn new(umem: &Umem, size: u32, shared: bool) -> Result<(Socket, Rings), OpenError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let frames = socket_with(AddressFamily::XDP, SocketType::RAW, flags, None).map_err(|e| match e {
            Errno::AFNOSUPPORT => OpenError::new("this kernel has no AF_XDP: it takes CONFIG_XDP_SOCKETS", e),
            _ => OpenError::new(super::RIGHTS, e),
        })?;
        if !shared {
            register(&frames, umem).map_err(|e| memory_refused(umem, e))?;
        }
        let rings = map_rings(&frames, size)
            .map_err(|e| OpenError::new(format!("rings of {size} frames cannot be had"), e))?;
        // A smaller one will do, too.
        let _ = set_socket_send_buffer_size_force(&frames, SEND_BUFFER);
        let watch =
            LinkWatch::beside(&frames).map_err(|e| OpenError::new("the interface cannot be watched", e))?;
        Ok((Socket { frames, watch }, rings))
    }

    /// From here on it sends, and receives if a program sends it frames.
    pub(super) fn bind(&self, to: Binding<'_>) -> rustix::io::Result<()> {
        let address = |flags| SocketAddrXdp::new(flags, to.interface, to.queue);
        if let Some(owner) = to.shared {
            let addr = address(SocketAddrXdpFlags::XDP_SHARED_UMEM);
            let shared_umem_fd = owner.frames.as_fd();
            return bind(&self.frames, &SocketAddrXdpWithSharedUmem { addr, shared_umem_fd });
        }
        let copy = if to.zero_copy { SocketAddrXdpFlags::empty() } else { SocketAddrXdpFlags::XDP_COPY };
        bind(&self.frames, &address(SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP | copy))
    }

    /// Whether its driver reads and writes frames where they are.
    pub(super) fn is_zero_copy(&self) -> bool {
        xdp_options(&self.frames).is_ok_and(|options| options.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
    }

    /// Has the kernel look for frames to send.
    pub(super) fn wake(&self) -> rustix::io::Result<()> {
        send(&self.frames, &[], SendFlags::DONTWAIT).map(|_| ())
    }

    /// Has the kernel look for frames to receive into.
    pub(super) fn wake_receiver(&self) {
        let _ = recv(&self.frames, &mut [0_u8; 0], RecvFlags::DONTWAIT); // it is told again as long as it does not hear
    }

    /// Whether its interface is there, be it up or down. To be asked when there are no frames, for waits to last.
    pub(super) fn has_interface(&self) -> bool {
        self.watch.clear();
        // It is told once.
        !matches!(socket_error(&self.frames), Ok(Err(Errno::NETDOWN)))
    }

    /// Frames that were for it, but that it had no room for.
    pub(super) fn dropped(&self) -> u64 {
        // That the ring of frames to receive into was empty is counted with what was dropped for it; where the driver writes to
        // those frames, it is how often it looked, not how many were lost.
        xdp_statistics(&self.frames)
            .map_or(0, |counted| counted.rx_dropped + counted.rx_ring_full.unwrap_or(0))
    }

    pub(super) fn as_frames(&self) -> BorrowedFd<'_> {
        self.frames.as_fd()
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.watch.descriptor()
    }
}

fn register(socket: &OwnedFd, umem: &Umem) -> rustix::io::Result<()> {
    let memory = XdpUmemReg {
        addr: umem.address(),
        len: umem.len() as u64,
        chunk_size: umem.frame_size(),
        headroom: 0,
        flags: XdpUmemRegFlags::empty(),
        tx_metadata_len: 0,
    };
    set_xdp_umem_reg(socket, memory)
}

fn map_rings(socket: &OwnedFd, size: u32) -> rustix::io::Result<Rings> {
    set_xdp_umem_fill_ring_size(socket, size)?;
    set_xdp_umem_completion_ring_size(socket, size)?;
    set_xdp_rx_ring_size(socket, size)?;
    set_xdp_tx_ring_size(socket, size)?;
    let at = xdp_mmap_offsets(socket)?;
    let socket = socket.as_fd();
    Ok(Rings {
        fill: Producer::map(socket, XDP_UMEM_PGOFF_FILL_RING, size, &at.fr)?,
        completion: Consumer::map(socket, XDP_UMEM_PGOFF_COMPLETION_RING, size, &at.cr)?,
        rx: Consumer::map(socket, XDP_PGOFF_RX_RING, size, &at.rx)?,
        tx: Producer::map(socket, XDP_PGOFF_TX_RING, size, &at.tx)?,
    })
}

fn memory_refused(umem: &Umem, e: Errno) -> OpenError {
    let octets = umem.len();
    OpenError::new(
        format!("{octets} octets of memory cannot be locked: fewer frames, or a higher limit (ulimit -l)"),
        e,
    )
}
