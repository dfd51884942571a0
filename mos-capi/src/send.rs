//! Packets of the program's own: segments, and resets.

use crate::abi::{Mctx, PktInfo};
use crate::app::CApp;
use crate::current::find;
use crate::errno::Errno;
use crate::ffi::{Answer, entry, in_callback, octets, read, socket_in};
use crate::text;
use libc::c_int;
use mos_flow::{
    Context, Flags, Monitor, Outgoing, ResetError, SeqNum, Side, SocketError, SocketId, SocketKind,
};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

/// See `mos_api.h`.
///
/// # Safety
/// `pkt` is NULL or leads to a `struct pkt_info`, whose headers are NULL or lead to headers without options, and whose payload is
/// as long as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_sendpkt(mctx: Mctx, sock: c_int, pkt: *const PktInfo) -> c_int {
    entry(-1, || {
        find(mctx)?;
        if pkt.is_null() {
            return Err(Errno::ACCES);
        }
        in_callback(mctx, |context| {
            // SAFETY: the caller's condition.
            let info = unsafe { read(pkt) }?;
            if info.iph.is_null() || info.tcph.is_null() {
                return Err(Errno::NODATA);
            }
            let socket = socket_in(context, sock)?;
            let monitor = context.monitor_at(socket)?;
            if monitor.kind()? != SocketKind::Active {
                return Ok(0); // as the original has it
            }
            // SAFETY: the caller's condition.
            let (source, destination) = unsafe { ends(&info, monitor.address(Side::Client)?.is_ipv4()) }?;
            let (options, length) = timestamps(&monitor, source);
            let segment = Outgoing {
                source,
                destination,
                seq: SeqNum(info.seq),
                ack: Some(SeqNum(info.ack_seq)),
                flags: Flags::default(),
                window: info.window,
                options: options.get(..length).unwrap_or_default(),
                // SAFETY: the caller's condition.
                payload: unsafe { octets(info.payload, info.payloadlen.into()) }?,
            };
            send(context, socket, &segment)?;
            Ok(0)
        })
    })
}

/// With the headers before IP of the packet in flight, or else of the connection.
fn send(context: &mut Context<'_, CApp>, socket: SocketId, segment: &Outgoing<'_>) -> Answer<()> {
    if context.packet().is_some() {
        return context.send(segment).map_err(|e| told(&e, e.into()));
    }
    context.control().send_on(socket, segment).map_err(|e| told(&e, e.into()))
}

/// Source and destination.
///
/// # Safety
/// `iph` and `tcph` lead to headers, of the family's IP and of TCP.
unsafe fn ends(info: &PktInfo, v4: bool) -> Answer<(SocketAddr, SocketAddr)> {
    // SAFETY: the caller's condition: two ports are what a header begins with.
    let [s0, s1, d0, d1] = unsafe { read(info.tcph.cast::<[u8; 4]>()) }?;
    let (from, to): (IpAddr, IpAddr) = if v4 {
        // SAFETY: the caller's condition: the addresses are its last eight octets.
        let [from, to] = unsafe { read(info.iph.wrapping_add(12).cast::<[[u8; 4]; 2]>()) }?;
        (from.into(), to.into())
    } else {
        // SAFETY: the caller's condition: the addresses are its last 32 octets.
        let [from, to] = unsafe { read(info.iph.wrapping_add(8).cast::<[[u8; 16]; 2]>()) }?;
        (from.into(), to.into())
    };
    let end = |address, port| SocketAddr::new(address, u16::from_be_bytes(port));
    Ok((end(from, [s0, s1]), end(to, [d0, d1])))
}

/// The timestamps option (RFC 7323, 3) of a segment from `source`, between what aligns it; nothing when the connection has none.
fn timestamps(monitor: &Monitor<'_, CApp>, source: SocketAddr) -> ([u8; 12], usize) {
    let mut option = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];
    let from = Side::BOTH.into_iter().find(|side| monitor.address(*side) == Ok(source));
    let stamps = from.and_then(|from| monitor.timestamps(from).ok().flatten());
    let Some(stamps) = stamps else { return (option, 0) };
    option[4..8].copy_from_slice(&stamps.value.to_be_bytes());
    option[8..].copy_from_slice(&stamps.echo.to_be_bytes());
    (option, 12)
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_reset_conn(mctx: Mctx, sock: c_int) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            reset_here(context, socket)?;
            Ok(0)
        })
    })
}

/// Resets the connection of a socket from inside a callback.
///
/// # Errors
/// `ENOTSOCK` for other sockets; those of [`not_reset`].
pub(crate) fn reset_here(context: &mut Context<'_, CApp>, socket: SocketId) -> Answer<()> {
    if context.monitor_at(socket)?.kind()? != SocketKind::Active {
        return Err(Errno::NOTSOCK);
    }
    reset(context, socket).map_err(|e| told(&e, not_reset(e)))
}

/// Why the connection of a socket that is there was not reset.
pub(crate) fn not_reset(error: ResetError) -> Errno {
    match error {
        ResetError::Socket(SocketError::NoSocket) => Errno::NOTCONN,
        _ => error.into(),
    }
}

/// With the link header of the packet in flight, if that is one of the connection.
fn reset(context: &mut Context<'_, CApp>, socket: SocketId) -> Result<(), ResetError> {
    let own = context.socket();
    let number = |context: &mut Context<'_, CApp>, socket| context.monitor_at(socket)?.flow_number();
    match (number(context, socket), number(context, own)) {
        (Ok(a), Ok(b)) if a == b => context.reset(),
        _ => context.control().reset(socket),
    }
}

fn told(error: &dyn Display, errno: Errno) -> Errno {
    text::tell(error);
    errno
}
