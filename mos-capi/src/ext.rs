//! What the original does not have: the functions of `mos_ext.h`.

pub mod connection;
pub mod loss;
pub mod octets;
pub mod packet;
pub mod stats;
pub mod timer;

use crate::app::CApp;
use crate::errno::Errno;
use crate::ffi::{Answer, socket_in};
use libc::{c_int, c_void, size_t};
use mos_flow::{Context, Monitor, SocketKind};
use std::ptr;

/// The longest structure that a program can ask for: more than any version of ours has.
const MAX_STRUCTURE: size_t = 1 << 12;

/// The connection that a descriptor stands for.
///
/// # Errors
/// `EBADF`, `ENOTSOCK` for other sockets.
fn active<'x>(context: &'x mut Context<'_, CApp>, sock: c_int) -> Answer<Monitor<'x, CApp>> {
    let socket = socket_in(context, sock)?;
    let monitor = context.monitor_at(socket)?;
    if monitor.kind()? == SocketKind::Active { Ok(monitor) } else { Err(Errno::NOTSOCK) }
}

/// Writes a structure that grows with the versions of this library to a program that knows `size` octets of it: what is
/// more is left out, and what the program's version has beyond it is zero.
///
/// # Errors
/// `EFAULT` for NULL, `EINVAL` for a size that no structure has.
///
/// # Safety
/// `out` is NULL or leads to room for `size` octets.
unsafe fn write_sized<T: Copy>(out: *mut T, size: size_t, value: &T) -> Answer<()> {
    if out.is_null() {
        return Err(Errno::FAULT);
    }
    if size == 0 || size > MAX_STRUCTURE || !size.is_multiple_of(size_of::<u64>()) {
        return Err(Errno::INVAL);
    }
    let known = size.min(size_of::<T>());
    let out: *mut c_void = out.cast();
    // SAFETY: by the caller's condition there is room for `size` octets, and `known` is not more than that, nor than
    // the value has. The two do not overlap: the value is ours.
    unsafe { ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), out.cast(), known) };
    // SAFETY: the same, for the octets behind the first `known`.
    unsafe { ptr::write_bytes(out.cast::<u8>().wrapping_add(known), 0, size - known) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_cut_or_filled_up() {
        let value = [1_u64, 2, 3];
        let written = |size: usize| {
            let mut room = [7_u64; 5];
            // SAFETY: there is room for 40 octets.
            unsafe { write_sized(room.as_mut_ptr().cast(), size, &value) }.map(|()| room)
        };
        assert_eq!(written(8), Ok([1, 7, 7, 7, 7]));
        assert_eq!(written(24), Ok([1, 2, 3, 7, 7]));
        assert_eq!(written(40), Ok([1, 2, 3, 0, 0]));
        for wrong in [0, 4, 25, 1 << 13, usize::MAX] {
            assert_eq!(written(wrong), Err(Errno::INVAL), "{wrong}");
        }
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { write_sized(ptr::null_mut(), 24, &value) }, Err(Errno::FAULT));
    }
}
