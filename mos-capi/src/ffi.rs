//! The border: every entry from C passes [`entry`], and what pointers point to is read and written here.

use crate::abi::Mctx;
use crate::app::CApp;
use crate::current;
use crate::errno::Errno;
use crate::text;
use libc::{c_char, c_int, c_void, socklen_t};
use mos_flow::{Context, Side, SocketId};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;
use std::slice;

/// What a call comes to.
pub(crate) type Answer<T> = Result<T, Errno>;

/// Runs the body of an entry. On failure `errno` is set and `failed` returned, and the last sentence is that of this
/// failure, if the body told one; on success `errno` is as it was. A panic, which would be a
/// defect of this library, stops here and becomes `EIO`.
pub(crate) fn entry<T: Copy>(failed: T, body: impl FnOnce() -> Answer<T>) -> T {
    entry_or(failed, || body().map_err(|errno| (failed, errno)))
}

/// As [`entry`], with a result for each failure.
pub(crate) fn entry_or<T>(panicked: T, body: impl FnOnce() -> Result<T, (T, Errno)>) -> T {
    let before = Errno::get();
    // The state that a panic may leave half changed is the engine's, which says so itself by its own checks.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => {
            before.set();
            value
        }
        Ok(Err((value, errno))) => {
            text::settle();
            errno.set();
            value
        }
        Err(_) => {
            text::settle();
            Errno::IO.set();
            panicked
        }
    }
}

/// Does something that only a callback may do.
///
/// # Errors
/// `EACCES` for a bad handle, `EPERM` outside of callbacks of that context; those of `f`.
pub(crate) fn in_callback<R>(
    mctx: Mctx,
    f: impl for<'x, 'y> FnOnce(&'x mut Context<'y, CApp>) -> Answer<R>,
) -> Answer<R> {
    current::with(current::find(mctx)?, f).unwrap_or(Err(Errno::PERM))
}

/// The socket that a descriptor stands for now.
///
/// # Errors
/// `EBADF`.
pub(crate) fn socket_in(context: &mut Context<'_, CApp>, sock: c_int) -> Answer<SocketId> {
    let index = u32::try_from(sock).map_err(|_| Errno::BADF)?;
    context.control().socket_at(index).ok_or(Errno::BADF)
}

/// The one side that a call is about.
///
/// # Errors
/// `EINVAL`, also for both.
pub(crate) fn one_side(side: c_int) -> Answer<Side> {
    match side {
        crate::abi::MOS_SIDE_CLI => Ok(Side::Client),
        crate::abi::MOS_SIDE_SVR => Ok(Side::Server),
        _ => Err(Errno::INVAL),
    }
}

/// A string of the program.
///
/// # Errors
/// `EFAULT` for NULL, `EINVAL` when it is not UTF-8.
///
/// # Safety
/// `pointer` is NULL or leads to octets that end with a 0 and do not change during `'a`.
pub(crate) unsafe fn string<'a>(pointer: *const c_char) -> Answer<&'a str> {
    if pointer.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's condition; it is not NULL.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Errno::INVAL)
}

/// A file's name.
///
/// # Errors
/// `EFAULT` for NULL.
///
/// # Safety
/// As for [`string`].
pub(crate) unsafe fn path<'a>(pointer: *const c_char) -> Answer<&'a Path> {
    if pointer.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's condition; it is not NULL.
    let name = unsafe { CStr::from_ptr(pointer) };
    Ok(Path::new(OsStr::from_bytes(name.to_bytes())))
}

/// A value of the program, at any address.
///
/// # Errors
/// `EFAULT` for NULL.
///
/// # Safety
/// `pointer` is NULL or leads to a `T`.
pub(crate) unsafe fn read<T: Copy>(pointer: *const T) -> Answer<T> {
    if pointer.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's condition; it is not NULL, and alignment does not matter.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Writes a value to the program, at any address.
///
/// # Errors
/// `EFAULT` for NULL.
///
/// # Safety
/// `pointer` is NULL or leads to room for a `T`.
pub(crate) unsafe fn write<T>(pointer: *mut T, value: T) -> Answer<()> {
    if pointer.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's condition; it is not NULL, and alignment does not matter.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}

/// Octets of the program.
///
/// # Errors
/// `EFAULT` for NULL, unless there are none at all; `EINVAL` for more than any memory has.
///
/// # Safety
/// `pointer` is NULL or leads to `len` octets that do not change during `'a`.
pub(crate) unsafe fn octets<'a>(pointer: *const u8, len: usize) -> Answer<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(Errno::FAULT);
    }
    isize::try_from(len).map_err(|_| Errno::INVAL)?;
    // SAFETY: the caller's condition; it is not NULL, octets have no alignment, and there are not too many for a slice.
    Ok(unsafe { slice::from_raw_parts(pointer, len) })
}

/// The value of an option that is an `int`, or for a length of 1 an octet.
///
/// # Errors
/// `EFAULT` for NULL, `EINVAL` when it is too short for one.
///
/// # Safety
/// `pointer` is NULL or leads to `len` octets.
pub(crate) unsafe fn option_value(pointer: *const c_void, len: socklen_t) -> Answer<c_int> {
    match len as usize {
        // SAFETY: the caller's condition, for one octet.
        1 => unsafe { read::<u8>(pointer.cast()) }.map(c_int::from),
        // SAFETY: the caller's condition, for at least an `int`.
        4.. => unsafe { read::<c_int>(pointer.cast()) },
        _ if pointer.is_null() => Err(Errno::FAULT),
        _ => Err(Errno::INVAL),
    }
}

/// A buffer of the program that is filled from its start. It is never read, so it may be uninitialised.
#[derive(Debug)]
pub(crate) struct Sink {
    next: *mut u8,
    room: usize,
}

impl Sink {
    /// # Errors
    /// `EFAULT` for NULL, unless there is no room at all.
    ///
    /// # Safety
    /// `pointer` is NULL or leads to room for `room` octets, which nothing else touches while this lives.
    pub(crate) unsafe fn new(pointer: *mut c_char, room: usize) -> Answer<Sink> {
        if pointer.is_null() && room > 0 {
            return Err(Errno::FAULT);
        }
        Ok(Sink { next: pointer.cast(), room })
    }

    /// How much more fits.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Puts `octets` behind those that are there, as far as they fit.
    pub(crate) fn put(&mut self, octets: &[u8]) {
        let n = octets.len().min(self.room);
        // SAFETY: by the condition of `new` the next `room` octets are ours to write, and n is not more. `octets` is
        // memory of the engine, so the two do not overlap. (n is 0 when the pointer is NULL.)
        unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), self.next, n) };
        self.next = self.next.wrapping_add(n);
        self.room -= n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_changes_only_on_failure_and_a_panic_stops_at_the_border() {
        Errno::BUSY.set();
        let harmless = || {
            Errno::FAULT.set(); // by a system call whose failure did not matter
            Ok(5)
        };
        assert_eq!(entry(-1, harmless), 5);
        assert_eq!(Errno::get(), Errno::BUSY);
        assert_eq!(entry(-1, || Err(Errno::NODATA)), -1);
        assert_eq!(Errno::get(), Errno::NODATA);
        assert_eq!(entry_or(-1, || Err((-7, Errno::INVAL))), -7);
        assert_eq!(Errno::get(), Errno::INVAL);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        assert_eq!(entry(-1, || panic!("a defect")), -1);
        std::panic::set_hook(hook);
        assert_eq!(Errno::get(), Errno::IO);
    }

    #[test]
    fn nothing_but_a_side_is_a_side() {
        assert_eq!((one_side(0), one_side(1)), (Ok(Side::Client), Ok(Side::Server)));
        for wrong in [-1, 2, 3, c_int::MIN, c_int::MAX] {
            assert_eq!(one_side(wrong), Err(Errno::INVAL));
        }
    }

    #[test]
    fn a_sink_is_filled_and_never_beyond() {
        let mut room = [0_u8; 6];
        // SAFETY: 5 of the 6 octets of `room`.
        let mut sink = unsafe { Sink::new(room.as_mut_ptr().cast(), 5) }.unwrap();
        sink.put(b"abc");
        sink.put(b"defg");
        assert_eq!((sink.room(), &room), (0, b"abcde\0"));
        // SAFETY: NULL is allowed.
        let nothing = unsafe { Sink::new(ptr::null_mut(), 0) };
        nothing.unwrap().put(b"x");
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { Sink::new(ptr::null_mut(), 1) }.unwrap_err(), Errno::FAULT);
    }

    #[test]
    fn options_are_ints_or_octets() {
        let value = 0x0102_0304_i32.to_ne_bytes();
        let place = value.as_ptr().cast::<c_void>();
        // SAFETY: `value` has 4 octets; longer ones are not read.
        let of = |len| unsafe { option_value(place, len) };
        assert_eq!([of(0), of(2), of(3)], [Err(Errno::INVAL); 3]);
        assert_eq!((of(1), of(4), of(8)), (Ok(value[0].into()), Ok(0x0102_0304), Ok(0x0102_0304)));
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { option_value(ptr::null(), 4) }, Err(Errno::FAULT));
    }
}
