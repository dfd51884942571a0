//! Octets without a copy, and readers that skip and wait.

use super::active;
use crate::abi::Mctx;
use crate::app::CApp;
use crate::errno::Errno;
use crate::ffi::{Answer, entry, entry_or, in_callback, one_side, write};
use libc::{c_int, ssize_t};
use mos_flow::{Monitor, Offset, Peek, Range, Side, SocketError};
use std::ptr;

/// See `mos_ext.h`.
///
/// # Safety
/// `data` is NULL or leads to room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_peek_zc(mctx: Mctx, sock: c_int, side: c_int, data: *mut *const u8) -> ssize_t {
    entry_or(-1, || {
        let read = in_callback(mctx, |context| {
            let mut monitor = active(context, sock)?;
            let side = one_side(side)?;
            if data.is_null() {
                return Err(Errno::FAULT);
            }
            let (peek, place) = next_piece(&mut monitor, side)?;
            if matches!(peek, Peek::Data(_)) {
                // SAFETY: the caller's condition.
                unsafe { write(data, place) }?;
            }
            let socket = monitor.id();
            context.app().note_read(socket, side, &peek, 1);
            Ok(peek)
        });
        told(read)
    })
}

/// What a sequential read comes to, in C.
fn told(read: Answer<Peek>) -> Result<ssize_t, (ssize_t, Errno)> {
    match read.map_err(|errno| (-1, errno))? {
        Peek::Data(range) => Ok(signed(range.len())),
        Peek::Empty => Ok(0),
        Peek::Lost(range) => Err((-signed(range.len()), Errno::NODATA)),
    }
}

fn signed(octets: u64) -> ssize_t {
    ssize_t::try_from(octets).unwrap_or(ssize_t::MAX)
}

/// Before the handshake there is nothing new.
fn unless_early(read: Result<Peek, SocketError>) -> Answer<Peek> {
    match read {
        Err(SocketError::NotConnected) => Ok(Peek::Empty),
        other => Ok(other?),
    }
}

/// Reads the next octets that lie in one piece, and tells where.
///
/// The engine's stream memory is one array that stays as it is until the engine goes, after the last callback. Octets
/// are written to it only when a segment is processed, so nothing that a callback can call changes or moves them, even
/// if it gives them up.
fn next_piece(monitor: &mut Monitor<'_, CApp>, side: Side) -> Answer<(Peek, *const u8)> {
    let at = monitor.cursor(side)?;
    let piece = monitor.piece(side, Range { start: at, end: Offset(u64::MAX) }).map_or(0, <[u8]>::len);
    let mut place = ptr::null();
    let read = monitor.peek_with(side, piece.max(1), |octets| place = octets.as_ptr());
    Ok((unless_early(read)?, place))
}

/// See `mos_ext.h`.
///
/// # Safety
/// `data` is NULL or leads to room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_ppeek_zc(
    mctx: Mctx,
    sock: c_int,
    side: c_int,
    off: u64,
    data: *mut *const u8,
) -> ssize_t {
    entry(-1, || {
        in_callback(mctx, |context| {
            let monitor = active(context, sock)?;
            let side = one_side(side)?;
            if data.is_null() {
                return Err(Errno::FAULT);
            }
            let held = monitor.range_at(side, Offset(off))?;
            let piece = monitor.piece(side, held)?;
            if piece.is_empty() {
                return Err(Errno::NODATA);
            }
            // SAFETY: the caller's condition. How long the piece stays: see `next_piece`.
            unsafe { write(data, piece.as_ptr()) }?;
            Ok(signed(piece.len() as u64))
        })
    })
}

/// See `mos_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_skip(mctx: Mctx, sock: c_int, side: c_int, count: u64) -> ssize_t {
    entry_or(-1, || {
        let read = in_callback(mctx, |context| {
            let mut monitor = active(context, sock)?;
            let side = one_side(side)?;
            let peek = match count {
                // As with a buffer without room: nothing is missed.
                0 => unless_early(monitor.ppeek(side, Offset::ZERO, &mut []).map(|_| Peek::Empty)),
                count => unless_early(monitor.skip(side, count)),
            }?;
            let socket = monitor.id();
            context.app().note_read(socket, side, &peek, count);
            Ok(peek)
        });
        told(read)
    })
}

/// See `mos_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_wait_for(mctx: Mctx, sock: c_int, side: c_int, count: u64) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let mut monitor = active(context, sock)?;
            match monitor.wait_for(one_side(side)?, count) {
                Err(SocketError::Full) => Err(Errno::NOMEM),
                Err(SocketError::TooLong) => Err(Errno::MSGSIZE),
                other => Ok(other.map(|()| 0)?),
            }
        })
    })
}
