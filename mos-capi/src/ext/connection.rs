//! Connections: found by their addresses, and described.

use super::write_sized;
use crate::abi::ext::{self, MOS_VLANS, MosConnection, MosStream};
use crate::abi::{MOS_SIDE_CLI, MOS_SIDE_SVR, Mctx};
use crate::app::CApp;
use crate::current::{control, find};
use crate::errno::Errno;
use crate::ffi::{Answer, entry, one_side, read};
use crate::slot::Desk;
use libc::{AF_INET, AF_INET6, c_int, size_t, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};
use mos_flow::{EndReason, Monitor, Offset, Side, SocketError, SocketId, SocketKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

type Watch<'a> = Monitor<'a, CApp>;

/// See `mos_ext.h`.
///
/// # Safety
/// `a` and `b` are NULL or lead to addresses of `alen` and `blen` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_find(
    mctx: Mctx,
    monitor: c_int,
    a: *const sockaddr,
    alen: socklen_t,
    b: *const sockaddr,
    blen: socklen_t,
) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        // SAFETY: the caller's condition.
        let a = unsafe { read_address(a, alen) };
        // SAFETY: the caller's condition.
        let b = unsafe { read_address(b, blen) };
        let found = control(slot, move |desk| {
            let monitor = id_of(desk, monitor)?;
            if desk.control.monitor(monitor)?.kind()? != SocketKind::Stream {
                return Err(Errno::NOTSOCK);
            }
            let (a, b) = (a?, b?);
            if a.is_ipv4() != b.is_ipv4() {
                return Err(Errno::INVAL);
            }
            let sockets: Vec<SocketId> = desk.control.sockets_between(a, b).collect();
            let of_monitor = |socket: &SocketId| {
                desk.control.monitor(*socket).is_ok_and(|m| m.opened_for() == Ok(Some(monitor)))
            };
            sockets.into_iter().find(of_monitor).ok_or(Errno::NOENT)
        })?;
        Ok(found.index().cast_signed())
    })
}

fn id_of(desk: &Desk<'_, '_>, sock: c_int) -> Answer<SocketId> {
    u32::try_from(sock).ok().and_then(|index| desk.control.socket_at(index)).ok_or(Errno::BADF)
}

/// An address of the program.
///
/// # Errors
/// `EFAULT` for NULL, `EINVAL` for a length that is too short, `EAFNOSUPPORT` for another family.
///
/// # Safety
/// `address` is NULL or leads to `len` octets.
unsafe fn read_address(address: *const sockaddr, len: socklen_t) -> Answer<SocketAddr> {
    if address.is_null() {
        return Err(Errno::FAULT);
    }
    let room = len as usize;
    if room < size_of::<libc::sa_family_t>() {
        return Err(Errno::INVAL);
    }
    // SAFETY: the caller's condition; the family comes first, and its octets are there.
    let family = unsafe { read(address.cast::<libc::sa_family_t>()) }?;
    match c_int::from(family) {
        AF_INET if room >= size_of::<sockaddr_in>() => {
            // SAFETY: the caller's condition; it is long enough.
            let v4 = unsafe { read(address.cast::<sockaddr_in>()) }?;
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        AF_INET6 if room >= size_of::<sockaddr_in6>() => {
            // SAFETY: the caller's condition; it is long enough.
            let v6 = unsafe { read(address.cast::<sockaddr_in6>()) }?;
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Ok(SocketAddr::from((ip, u16::from_be(v6.sin6_port))))
        }
        AF_INET | AF_INET6 => Err(Errno::INVAL),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// See `mos_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_family(mctx: Mctx, sock: c_int) -> c_int {
    entry(-1, || {
        control(find(mctx)?, move |desk| {
            let socket = id_of(desk, sock)?;
            match desk.control.monitor(socket)?.address(Side::Client) {
                Ok(client) => Ok(family(client)),
                Err(_) => Ok(if desk.app.is_v6(socket) { AF_INET6 } else { AF_INET }),
            }
        })
    })
}

fn family(address: SocketAddr) -> c_int {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// See `mos_ext.h`.
///
/// # Safety
/// `connection` is NULL or leads to room for `size` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_get_connection(
    mctx: Mctx,
    sock: c_int,
    connection: *mut MosConnection,
    size: size_t,
) -> c_int {
    entry(-1, || {
        let told = control(find(mctx)?, move |desk| {
            let socket = id_of(desk, sock)?;
            connection_of(&desk.control.monitor(socket)?)
        })?;
        // SAFETY: the caller's condition.
        unsafe { write_sized(connection, size, &told) }?;
        Ok(0)
    })
}

fn connection_of(monitor: &Watch<'_>) -> Answer<MosConnection> {
    let mut told = MosConnection {
        number: monitor.flow_number()?,
        last_packet: monitor.last_packet()?.0,
        end: monitor.end_reason()?.map_or(ext::MOS_END_NONE, end_of),
        family: family(monitor.address(Side::Client)?),
        monitor: monitor.opened_for()?.map_or(-1, |id| id.index().cast_signed()),
        ..MosConnection::default()
    };
    for (side, number) in [(Side::Client, MOS_SIDE_CLI), (Side::Server, MOS_SIDE_SVR)] {
        told.state[number as usize] = monitor.state(side)? as c_int;
    }
    let vlans = monitor.vlans()?;
    let ids = vlans.ids().get(..MOS_VLANS.min(vlans.ids().len())).unwrap_or_default();
    told.vlan_count = ids.len() as u16;
    for (place, id) in told.vlan.iter_mut().zip(ids) {
        *place = *id;
    }
    Ok(told)
}

/// Why a connection ended; a reason that has no number yet is like none that the program knows of.
fn end_of(reason: EndReason) -> c_int {
    match reason {
        EndReason::Closed => ext::MOS_END_CLOSED,
        EndReason::Reset => ext::MOS_END_RESET,
        EndReason::TimedOut => ext::MOS_END_TIMED_OUT,
        EndReason::Replaced => ext::MOS_END_REPLACED,
        EndReason::Evicted => ext::MOS_END_EVICTED,
        _ => ext::MOS_END_SHUTDOWN,
    }
}

/// See `mos_ext.h`.
///
/// # Safety
/// `stream` is NULL or leads to room for `size` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_get_stream(
    mctx: Mctx,
    sock: c_int,
    side: c_int,
    stream: *mut MosStream,
    size: size_t,
) -> c_int {
    entry(-1, || {
        let told = control(find(mctx)?, move |desk| {
            let socket = id_of(desk, sock)?;
            let monitor = desk.control.monitor(socket)?;
            if monitor.kind()? != SocketKind::Active {
                return Err(Errno::NOTSOCK);
            }
            stream_of(&monitor, one_side(side)?)
        })?;
        // SAFETY: the caller's condition.
        unsafe { write_sized(stream, size, &told) }?;
        Ok(0)
    })
}

fn stream_of(monitor: &Watch<'_>, side: Side) -> Answer<MosStream> {
    let info = match monitor.stream_info(side) {
        Err(SocketError::NotConnected) => Err(Errno::NODATA),
        other => Ok(other?),
    }?;
    let Offset(read) = monitor.cursor(side)?;
    Ok(MosStream {
        head: info.head.0,
        next: info.next.0,
        top: info.top.0,
        read,
        init_seq: info.base.0,
        ring: monitor.ring_octets(side)?,
        midstream: info.midstream.into(),
        finished: info.finished.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn addresses_are_read_as_far_as_they_are_there() {
        let v4 = sockaddr_in {
            sin_family: AF_INET as libc::sa_family_t,
            sin_port: 80_u16.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([10, 0, 0, 2]) },
            sin_zero: [0; 8],
        };
        let of = |v4: &sockaddr_in, len| {
            // SAFETY: only the 16 octets of the structure are read, since it is for IPv4.
            unsafe { read_address(ptr::from_ref(v4).cast(), len) }
        };
        assert_eq!(of(&v4, 16), Ok("10.0.0.2:80".parse().unwrap()));
        assert_eq!(of(&v4, 100), Ok("10.0.0.2:80".parse().unwrap()));
        assert_eq!([of(&v4, 0), of(&v4, 1), of(&v4, 15)], [Err(Errno::INVAL); 3]);
        let unix = sockaddr_in { sin_family: libc::AF_UNIX as libc::sa_family_t, ..v4 };
        assert_eq!(of(&unix, 16), Err(Errno::AFNOSUPPORT));
        let cut = sockaddr_in { sin_family: AF_INET6 as libc::sa_family_t, ..v4 };
        assert_eq!(of(&cut, 16), Err(Errno::INVAL));
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { read_address(ptr::null(), 16) }, Err(Errno::FAULT));
    }
}
