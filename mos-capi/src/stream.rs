//! Octets: reading on, reading anywhere, and where streams stand.

use crate::abi::{Mctx, TcpBufInfo, TcpRingFragment};
use crate::app::CApp;
use crate::errno::Errno;
use crate::ffi::{Answer, Sink, entry, entry_or, in_callback, one_side, socket_in, write};
use libc::{c_char, c_int, size_t, socklen_t, ssize_t};
use mos_flow::{Monitor, Offset, Peek, Range, Side, SocketError, SocketKind};

/// More ranges than a stream holds.
const MAX_RANGES: usize = 64;

/// See `mos_api.h`.
///
/// # Safety
/// `buf` is NULL or leads to room for `len` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_peek(
    mctx: Mctx,
    sock: c_int,
    side: c_int,
    buf: *mut c_char,
    len: size_t,
) -> ssize_t {
    entry_or(-1, || {
        let read = in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            let mut monitor = context.monitor_at(socket)?;
            if monitor.kind()? != SocketKind::Active {
                return Err(Errno::NOTSOCK);
            }
            let side = one_side(side)?;
            // SAFETY: the caller's condition.
            let sink = unsafe { Sink::new(buf, len) }?;
            let read = match peek(&mut monitor, side, sink) {
                // Before the handshake there is nothing new.
                Err(SocketError::NotConnected) => Peek::Empty,
                other => other?,
            };
            context.app().note_read(socket, side, &read, len as u64);
            Ok(read)
        });
        match read.map_err(|errno| (-1, errno))? {
            Peek::Data(range) => Ok(signed(range.len())),
            Peek::Empty => Ok(0),
            Peek::Lost(range) => Err((-signed(range.len()), Errno::NODATA)),
        }
    })
}

fn peek(monitor: &mut Monitor<'_, CApp>, side: Side, mut sink: Sink) -> Result<Peek, SocketError> {
    match sink.room() {
        // Whoever has no room for octets has not missed any.
        0 => monitor.ppeek(side, Offset::ZERO, &mut []).map(|_| Peek::Empty),
        room => monitor.peek_with(side, room, |piece| sink.put(piece)),
    }
}

/// See `mos_api.h`.
///
/// # Safety
/// `buf` is NULL or leads to room for `count` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_ppeek(
    mctx: Mctx,
    sock: c_int,
    side: c_int,
    buf: *mut c_char,
    count: size_t,
    off: u64,
) -> ssize_t {
    entry(-1, || {
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            let monitor = context.monitor_at(socket)?;
            if monitor.kind()? != SocketKind::Active {
                return Err(Errno::SOCKTNOSUPPORT);
            }
            let side = one_side(side)?;
            // SAFETY: the caller's condition.
            let sink = unsafe { Sink::new(buf, count) }?;
            Ok(signed(ppeek(&monitor, side, sink, Offset(off))?))
        })
    })
}

fn ppeek(monitor: &Monitor<'_, CApp>, side: Side, mut sink: Sink, off: Offset) -> Result<u64, SocketError> {
    if sink.room() == 0 {
        return monitor.ppeek(side, off, &mut []).map(|n| n as u64);
    }
    let held = monitor.range_at(side, off)?;
    let mut rest = held.intersection(Range::at(off, sink.room() as u64));
    let wanted = rest.len();
    while !rest.is_empty() {
        let piece = monitor.piece(side, rest)?;
        if piece.is_empty() {
            break;
        }
        sink.put(piece);
        rest.start = rest.start.saturating_add(piece.len() as u64);
    }
    Ok(wanted - rest.len())
}

fn signed(octets: u64) -> ssize_t {
    ssize_t::try_from(octets).unwrap_or(ssize_t::MAX)
}

/// What a question about a stream is refused with.
fn refused(error: SocketError) -> Errno {
    match error {
        SocketError::NotConnected => Errno::NODATA,
        other => other.into(),
    }
}

/// Fills in the ranges that are held, up to `room` of them. Returns how many.
///
/// # Errors
/// `EINVAL` when there is no room, or the stream is not kept; `ENODATA` when it holds nothing.
///
/// # Safety
/// `out` leads to room for as many elements.
pub(crate) unsafe fn fragments(
    monitor: &Monitor<'_, CApp>,
    side: Side,
    out: *mut TcpRingFragment,
    room: socklen_t,
) -> Answer<socklen_t> {
    if room == 0 {
        return Err(Errno::INVAL);
    }
    let mut ranges = [Range::default(); MAX_RANGES];
    let n = monitor.fragments(side, &mut ranges).map_err(refused)?;
    let room = room as usize;
    let held = ranges.iter().take(n).map(|range| TcpRingFragment {
        offset: range.start.0,
        len: u32::try_from(range.len()).unwrap_or(u32::MAX),
    });
    let end = std::iter::once(TcpRingFragment::default());
    for (i, fragment) in held.chain(end).take(room).enumerate() {
        // SAFETY: the caller's condition, for `i < room`.
        unsafe { write(out.wrapping_add(i), fragment) }?;
    }
    Ok(n.min(room) as socklen_t)
}

/// Where a stream stands, in sequence numbers.
///
/// # Errors
/// `EINVAL` when the stream is not kept, `ENODATA` before its first octet.
pub(crate) fn info(monitor: &Monitor<'_, CApp>, side: Side) -> Answer<TcpBufInfo> {
    let info = monitor.stream_info(side).map_err(refused)?;
    if info.top == Offset::ZERO {
        return Err(Errno::NODATA);
    }
    let seq = |offset: Offset| offset.seq(info.base).0;
    Ok(TcpBufInfo {
        tcpbi_init_seq: info.base.0,
        tcpbi_last_byte_read: seq(monitor.cursor(side)?),
        tcpbi_next_byte_expected: seq(info.next),
        tcpbi_last_byte_received: seq(info.top),
    })
}
