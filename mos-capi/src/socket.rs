//! Sockets: opening and closing them, their filters, options, addresses, and the program's pointer.

use crate::abi::{self, Mctx, MonitorFilter};
use crate::current::{control, find};
use crate::errno::Errno;
use crate::ffi::{Answer, entry, in_callback, one_side, option_value, read, socket_in, string, write};
use crate::slot::Desk;
use crate::{stream, text};
use libc::{AF_INET, AF_INET6, c_int, c_void, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};
use mos_flow::filter::Filter;
use mos_flow::wire::Family;
use mos_flow::{FilterSlot, Monitor, OverlapPolicy, Side, SocketError, SocketId, SocketKind};
use std::net::SocketAddr;
use std::ptr;

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_socket(mctx: Mctx, domain: c_int, kind: c_int, _protocol: c_int) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        if domain != AF_INET && domain != AF_INET6 {
            return Err(Errno::AFNOSUPPORT);
        }
        let kind = match kind {
            abi::MOS_SOCK_MONITOR_STREAM => SocketKind::Stream,
            abi::MOS_SOCK_MONITOR_RAW => SocketKind::Raw,
            libc::SOCK_STREAM | abi::MOS_SOCK_STREAM => return Err(Errno::NOSYS),
            _ => return Err(Errno::INVAL),
        };
        let socket = control(slot, move |desk| open(desk, kind, domain == AF_INET6))?;
        Ok(socket.index().cast_signed())
    })
}

fn open(desk: &mut Desk<'_, '_>, kind: SocketKind, v6: bool) -> Answer<SocketId> {
    let socket = desk.control.open(kind)?;
    desk.app.set_v6(socket, v6);
    for slot in slots(kind) {
        desk.control.bind(socket, *slot, Some(of_family(v6)?))?;
    }
    Ok(socket)
}

/// The filters that a kind of socket has.
fn slots(kind: SocketKind) -> &'static [FilterSlot] {
    match kind {
        SocketKind::Raw => &[FilterSlot::Packet],
        SocketKind::Stream => &[FilterSlot::Syn, FilterSlot::Orphan],
        SocketKind::Active => &[],
    }
}

/// The filter of a socket's family.
fn of_family(v6: bool) -> Answer<Filter> {
    if v6 { "ip6" } else { "ip" }.parse().map_err(|_| Errno::INVAL)
}

/// The socket that a descriptor stands for now.
///
/// # Errors
/// `EBADF`.
pub(crate) fn id_of(desk: &Desk<'_, '_>, sock: c_int) -> Answer<SocketId> {
    u32::try_from(sock).ok().and_then(|index| desk.control.socket_at(index)).ok_or(Errno::BADF)
}

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_close(mctx: Mctx, sock: c_int) -> c_int {
    entry(-1, || {
        control(find(mctx)?, move |desk| {
            let socket = id_of(desk, sock)?;
            let mut monitor = desk.control.monitor(socket)?;
            if monitor.kind()? == SocketKind::Active {
                return Ok(monitor.stop(None)?);
            }
            desk.control.close(socket)?;
            desk.app.set_v6(socket, false);
            Ok(())
        })?;
        Ok(0)
    })
}

/// See `mos_api.h`.
///
/// # Safety
/// `ft` is NULL or leads to a `union monitor_filter` whose members are NULL or strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_bind_monitor_filter(
    mctx: Mctx,
    sock: c_int,
    ft: *const MonitorFilter,
) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        if ft.is_null() {
            return Ok(0);
        }
        let (socket, kind, v6) = control(slot, move |desk| {
            let socket = id_of(desk, sock)?;
            let kind = desk.control.monitor(socket)?.kind()?;
            Ok((socket, kind, desk.app.is_v6(socket)))
        })?;
        if kind == SocketKind::Active {
            return Err(Errno::NOPROTOOPT);
        }
        // SAFETY: the caller's condition.
        let filters = unsafe { read(ft) }?;
        // SAFETY: both members are pointers of C, and the caller filled in the one for this kind of socket; a raw
        // socket's is the first of the two.
        let members = unsafe { filters.stream };
        let members = [members.stream_syn_filter, members.stream_orphan_filter];
        let mut wanted = Vec::new();
        for (slot, member) in slots(kind).iter().zip(members).filter(|(_, m)| !m.is_null()) {
            // SAFETY: the caller's condition.
            let expression = unsafe { string(member) }?;
            wanted.push((*slot, filter(kind, v6, expression)?));
        }
        control(slot, move |desk| {
            for (slot, filter) in wanted {
                desk.control.bind(socket, slot, Some(filter))?;
            }
            Ok(())
        })?;
        Ok(0)
    })
}

/// A filter of a socket: its family, and what the program wants, which must be able to match something there.
fn filter(kind: SocketKind, v6: bool, expression: &str) -> Answer<Filter> {
    let told = |sentence: &dyn std::fmt::Display| {
        text::tell(format_args!("`{expression}`: {sentence}"));
        Errno::INVAL
    };
    let wanted: Filter = expression.parse().map_err(|e| told(&e))?;
    let family = if v6 { Family::V6 } else { Family::V4 };
    if !wanted.could_match(family, None) {
        return Err(told(&"never true for the socket's family"));
    }
    let protocol = (kind == SocketKind::Stream).then_some(libc::IPPROTO_TCP as u8);
    if !wanted.could_match(family, protocol) {
        return Err(told(&"streams are TCP only"));
    }
    of_family(v6)?.and(&wanted).map_err(|e| told(&e))
}

/// See `mtcp_api.h`.
///
/// # Safety
/// `optval` and `optlen` are NULL or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getsockopt(
    mctx: Mctx,
    sock: c_int,
    level: c_int,
    optname: c_int,
    optval: *mut c_void,
    optlen: *mut socklen_t,
) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        if !slot.has_descriptor(sock) {
            return Err(Errno::BADF);
        }
        if level == abi::SOL_SOCKET {
            return Err(control(slot, move |desk| id_of(desk, sock)).map_or_else(|e| e, |_| Errno::NOTSOCK));
        }
        if level != abi::SOL_MONSOCKET {
            return Err(Errno::NOSYS);
        }
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            let monitor = context.monitor_at(socket)?;
            if monitor.kind()? != SocketKind::Active {
                return Err(Errno::NOTSOCK);
            }
            if !(abi::MOS_FRAGINFO_CLIBUF..=abi::MOS_TIMESTAMP).contains(&optname) {
                return Err(Errno::NOSYS);
            }
            // SAFETY: the caller's condition.
            let room = unsafe { read(optlen) }?;
            if optval.is_null() {
                return Err(Errno::FAULT);
            }
            // SAFETY: the caller's condition; `optval` is not NULL.
            let len = unsafe { get_option(&monitor, optname, optval, room) }?;
            // SAFETY: the caller's condition.
            unsafe { write(optlen, len) }?;
            Ok(0)
        })
    })
}

/// Answers one option. Returns the new length.
///
/// # Safety
/// `value` leads to room for `room` octets, for `MOS_FRAGINFO_*` for `room` elements.
unsafe fn get_option(
    monitor: &Monitor<'_, crate::app::CApp>,
    name: c_int,
    value: *mut c_void,
    room: socklen_t,
) -> Answer<socklen_t> {
    // Odd names are about the client, even ones about the server.
    let side = if name % 2 == 1 { Side::Client } else { Side::Server };
    match name {
        abi::MOS_FRAGINFO_CLIBUF | abi::MOS_FRAGINFO_SVRBUF => {
            // SAFETY: the caller's condition.
            unsafe { stream::fragments(monitor, side, value.cast(), room) }
        }
        abi::MOS_INFO_CLIBUF | abi::MOS_INFO_SVRBUF if room as usize != size_of::<abi::TcpBufInfo>() => {
            Err(Errno::INVAL)
        }
        abi::MOS_INFO_CLIBUF | abi::MOS_INFO_SVRBUF => {
            let info = stream::info(monitor, side)?;
            // SAFETY: the caller's condition; there is just enough room.
            unsafe { write(value.cast(), info) }?;
            Ok(room)
        }
        _ if (room as usize) < size_of::<c_int>() => Err(Errno::INVAL),
        abi::MOS_TIMESTAMP => {
            let time = crate::timer::micros(monitor.last_packet()?);
            // SAFETY: the caller's condition; there is room for a `uint32_t`.
            unsafe { write(value.cast(), time) }?;
            Ok(size_of::<u32>() as socklen_t)
        }
        _ => {
            let state = monitor.state(side)? as c_int;
            // SAFETY: the caller's condition; there is room for an `int`.
            unsafe { write(value.cast(), state) }?;
            Ok(size_of::<c_int>() as socklen_t)
        }
    }
}

/// See `mtcp_api.h`.
///
/// # Safety
/// `optval` is NULL or leads to `optlen` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setsockopt(
    mctx: Mctx,
    sock: c_int,
    level: c_int,
    optname: c_int,
    optval: *const c_void,
    optlen: socklen_t,
) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        if level != abi::SOL_MONSOCKET {
            let known = level == abi::SOL_SOCKET;
            control(slot, move |desk| id_of(desk, sock))?;
            return Err(if known { Errno::NOTSOCK } else { Errno::NOSYS });
        }
        // SAFETY: the caller's condition.
        let value = unsafe { option_value(optval, optlen) };
        control(slot, move |desk| {
            let socket = id_of(desk, sock)?;
            let mut monitor = desk.control.monitor(socket)?;
            match optname {
                abi::MOS_CLIBUF => set_buffer(&mut monitor, Side::Client, value?),
                abi::MOS_SVRBUF => set_buffer(&mut monitor, Side::Server, value?),
                abi::MOS_FRAG_CLIBUF => no_buffer(&mut monitor, Side::Client, value?),
                abi::MOS_FRAG_SVRBUF => no_buffer(&mut monitor, Side::Server, value?),
                abi::MOS_STOP_MON => stop(&mut monitor, value?),
                abi::MOS_CLIOVERLAP => set_overlap(&mut monitor, Side::Client, value?),
                abi::MOS_SVROVERLAP => set_overlap(&mut monitor, Side::Server, value?),
                _ => Err(Errno::NOSYS),
            }
        })?;
        Ok(0)
    })
}

type Watch<'a> = Monitor<'a, crate::app::CApp>;

fn set_buffer(monitor: &mut Watch<'_>, side: Side, octets: c_int) -> Answer<()> {
    if monitor.kind()? == SocketKind::Raw {
        return Err(Errno::NOTSOCK);
    }
    let octets = u32::try_from(octets).map_err(|_| Errno::INVAL)?;
    Ok(monitor.resize(side, octets)?)
}

/// What comes early has no buffer of its own: it goes with the other.
fn no_buffer(monitor: &mut Watch<'_>, side: Side, octets: c_int) -> Answer<()> {
    if octets == 0 || monitor.kind()? == SocketKind::Raw {
        return set_buffer(monitor, side, octets);
    }
    Err(Errno::INVAL)
}

fn stop(monitor: &mut Watch<'_>, side: c_int) -> Answer<()> {
    if monitor.kind()? == SocketKind::Raw {
        return Err(Errno::NOTSOCK);
    }
    let side = if side == abi::MOS_SIDE_BOTH { None } else { Some(one_side(side)?) };
    Ok(monitor.stop(side)?)
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_cb_stop(mctx: Mctx, sock: c_int, side: c_int) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            stop(&mut context.monitor_at(socket)?, side)?;
            Ok(0)
        })
    })
}

fn set_overlap(monitor: &mut Watch<'_>, side: Side, policy: c_int) -> Answer<()> {
    if monitor.kind()? == SocketKind::Raw {
        return Err(Errno::NOTSOCK);
    }
    let name = usize::try_from(policy).ok().and_then(|number| abi::ext::OVERLAP_NAMES.get(number));
    let policy: OverlapPolicy = name.and_then(|name| name.parse().ok()).ok_or(Errno::INVAL)?;
    match monitor.set_overlap(side, policy) {
        Err(SocketError::Full) => Err(Errno::NOMEM),
        other => Ok(other?),
    }
}

/// See `mos_api.h`.
///
/// # Safety
/// `addrlen` is NULL or leads to a length, `addr` is NULL or leads to room for as many octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getpeername(
    mctx: Mctx,
    sock: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
    side: c_int,
) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        if !slot.has_descriptor(sock) {
            return Err(Errno::BADF);
        }
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            let monitor = context.monitor_at(socket)?;
            let address = |side| monitor.address(side).map_err(|e| Errno::of(e, Errno::NOTCONN));
            let client = address(Side::Client)?;
            // SAFETY: the caller's condition.
            let room = unsafe { read(addrlen) }?;
            if addr.is_null() {
                return Err(Errno::FAULT);
            }
            let sides = match side {
                abi::MOS_SIDE_CLI => &Side::BOTH[..1],
                abi::MOS_SIDE_SVR => &Side::BOTH[1..],
                abi::MOS_SIDE_BOTH => &Side::BOTH[..],
                _ => return Err(Errno::INVAL),
            };
            let one = if client.is_ipv4() { size_of::<sockaddr_in>() } else { size_of::<sockaddr_in6>() };
            if room as usize != sides.len() * one {
                return Err(Errno::INVAL);
            }
            for (i, side) in sides.iter().enumerate() {
                let address = address(*side)?;
                // SAFETY: the caller's condition: there is room for as many structures of this size.
                unsafe { write_address(addr.wrapping_byte_add(i * one), address) }?;
            }
            Ok(0)
        })
    })
}

/// # Safety
/// `place` leads to room for the structure of the address's family.
unsafe fn write_address(place: *mut sockaddr, address: SocketAddr) -> Answer<()> {
    match address {
        SocketAddr::V4(a) => {
            let address = sockaddr_in {
                sin_family: AF_INET as libc::sa_family_t,
                sin_port: a.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: the caller's condition.
            unsafe { write(place.cast(), address) }
        }
        SocketAddr::V6(a) => {
            let address = sockaddr_in6 {
                sin6_family: AF_INET6 as libc::sa_family_t,
                sin6_port: a.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: the caller's condition.
            unsafe { write(place.cast(), address) }
        }
    }
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_set_uctx(mctx: Mctx, sock: c_int, uctx: *mut c_void) {
    entry((), || {
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            Ok(context.monitor_at(socket)?.set_user(uctx.expose_provenance())?)
        })
    });
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_get_uctx(mctx: Mctx, sock: c_int) -> *mut c_void {
    entry(ptr::null_mut(), || {
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            Ok(ptr::with_exposed_provenance_mut(context.monitor_at(socket)?.user()?))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_can_match_on_their_sockets() {
        let of = |text: &str| filter(SocketKind::Stream, false, text).err();
        let good =
            ["", "tcp", "tcp dst port 80 or 443", "not net 10.0.0.0/8", "ip and (port 80)", "! port 80"];
        let too =
            ["tcp or udp port 53", "not tcp port 80", "not not tcp", "proto tcp", "port http", "tcp[13] = 2"];
        for good in good.iter().chain(&too) {
            assert_eq!(of(good), None, "{good}");
        }
        let bad = [
            "udp",
            "!tcp",
            "not tcp",
            "not (tcp)",
            "ip proto 17",
            "port frob",
            "(",
            "tcp) or (ip",
            "ip6",
            "udp[0] = 1",
        ];
        for bad in bad {
            assert_eq!(of(bad), Some(Errno::INVAL), "{bad}");
        }
        assert!(filter(SocketKind::Raw, true, "udp or icmp6").is_ok());
        assert!(filter(SocketKind::Raw, true, "icmp").is_err());
    }
}
