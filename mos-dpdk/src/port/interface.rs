//! What ports on interfaces of Linux have in common.

use libc::{c_int, c_ushort};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// Tells that an interface has come, gone or changed, which a socket on one does not tell to who waits for its frames.
#[derive(Debug)]
pub(super) struct LinkWatch {
    links: OwnedFd,
    /// Of both.
    poll: OwnedFd,
}

impl LinkWatch {
    /// Watches, beside the frames of a socket.
    pub(super) fn beside(frames: impl AsFd) -> rustix::io::Result<LinkWatch> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let links = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?; // of routing
        bind(&links, &SocketAddrNetlink::new(0, libc::RTMGRP_LINK as u32))?;
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        for descriptor in [frames.as_fd(), links.as_fd()] {
            epoll::add(&poll, descriptor, EventData::new_u64(0), EventFlags::IN)?;
        }
        Ok(LinkWatch { links, poll })
    }

    /// Takes what was told as read, so that it can be waited for the next. Whoever calls this looks at the interface then.
    pub(super) fn clear(&self) {
        let mut unread = [0; 1];
        while let Ok(_) | Err(Errno::NOBUFS | Errno::INTR) =
            recv(&self.links, &mut unread, RecvFlags::empty())
        {}
    }

    /// Readable when there are frames, or something was told.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

/// Has an interface take frames for other hosts, too, as long as there is this packet socket.
pub(super) fn take_everything(packets: BorrowedFd<'_>, index: u32) -> rustix::io::Result<()> {
    let promiscuous = libc::packet_mreq {
        mr_ifindex: index as c_int,
        mr_type: libc::PACKET_MR_PROMISC as c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(packets, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)
}

/// Sets an option of a socket.
pub(super) fn set<T: Copy>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &T,
) -> rustix::io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads as many octets as the value has, and what it points to, if it is a filter, lives in the caller; it
    // keeps no pointer to either.
    answer(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(value).cast(), len) })
}

/// The result of a system call of libc's.
pub(super) fn answer(result: c_int) -> rustix::io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

/// Why the last system call of libc's failed.
pub(super) fn errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
