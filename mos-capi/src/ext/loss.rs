//! Octets that were lost, and octets that came twice and differ.

use super::active;
use crate::abi::ext::{self, MosCopies, MosError};
use crate::abi::{Mctx, TcpRingFragment};
use crate::app::CApp;
use crate::errno::Errno;
use crate::ffi::{Answer, entry, in_callback, one_side, write};
use libc::c_int;
use mos_flow::{Context, Offset, Range, Trouble};

/// See `mos_ext.h`.
///
/// # Safety
/// `gap` is NULL or leads to room for a `struct tcp_ring_fragment`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_gap(mctx: Mctx, sock: c_int, side: c_int, gap: *mut TcpRingFragment) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let (Trouble::Gap(range) | Trouble::Overrun(range)) = trouble(context, sock, side)? else {
                return Err(Errno::NODATA);
            };
            let len = u32::try_from(range.len()).unwrap_or(u32::MAX);
            // SAFETY: the caller's condition.
            unsafe { write(gap, TcpRingFragment { offset: range.start.0, len }) }?;
            Ok(0)
        })
    })
}

/// See `mos_ext.h`.
///
/// # Safety
/// `error` is NULL or leads to room for a `struct mos_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_get_error(mctx: Mctx, sock: c_int, side: c_int, error: *mut MosError) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let told = described(trouble(context, sock, side)?)?;
            // SAFETY: the caller's condition.
            unsafe { write(error, told) }?;
            Ok(0)
        })
    })
}

/// What the running callback was told to be wrong, with that side of that socket.
fn trouble(context: &mut Context<'_, CApp>, sock: c_int, side: c_int) -> Answer<Trouble> {
    let socket = active(context, sock)?.id();
    let side = one_side(side)?;
    let here = socket == context.socket() && Some(side) == context.side();
    context.trouble().filter(|_| here).ok_or(Errno::NODATA)
}

fn described(trouble: Trouble) -> Answer<MosError> {
    let ranged =
        |reason, range: Range| MosError { reason, has_offset: 1, offset: range.start.0, octets: range.len() };
    let counted = |reason, octets| MosError { reason, has_offset: 0, offset: 0, octets };
    Ok(match trouble {
        Trouble::Gap(range) => ranged(ext::MOS_ERROR_GAP, range),
        Trouble::Overrun(range) => ranged(ext::MOS_ERROR_OVERRUN, range),
        Trouble::NoMemory { octets } => counted(ext::MOS_ERROR_NO_MEMORY, octets),
        Trouble::Window { octets } => counted(ext::MOS_ERROR_WINDOW, octets),
        _ => return Err(Errno::NODATA), // none that there is
    })
}

/// See `mos_ext.h`.
///
/// # Safety
/// `conflict` is NULL or leads to room for a `struct mos_copies`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_conflict(mctx: Mctx, sock: c_int, from: u64, conflict: *mut MosCopies) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let socket = active(context, sock)?.id();
            if conflict.is_null() {
                return Err(Errno::FAULT);
            }
            let here = socket == context.socket();
            let clash = context.clash(Offset(from)).filter(|_| here).ok_or(Errno::NODATA)?;
            let told = MosCopies {
                offset: clash.range.start.0,
                len: clash.held.len(),
                held: clash.held.as_ptr(),
                came: clash.came.as_ptr(),
                stays: if clash.stays { ext::MOS_STAYS_HELD } else { ext::MOS_STAYS_CAME },
                unused: 0,
            };
            // The held octets stay where they are as `octets::next_piece` says; those that came lie in the packet, or in
            // the copy of it that callbacks before the receiver made, and that callbacks from here on do not touch.
            // SAFETY: the caller's condition.
            unsafe { write(conflict, told) }?;
            Ok(0)
        })
    })
}
