//! The five functions that compiled Rust code may call even without a library, as C defines them. On this target they
//! are left to libc. String instructions, because a loop in their place could be compiled to a call of itself.

use core::arch::asm;

/// Copies octets forwards.
///
/// # Safety
/// `n` octets can be read at `from` and written at `to`, and nothing is written before it is read: the areas are
/// apart, or `to` is below `from`.
// SAFETY: without libc nobody else defines the name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction flag is clear between instructions of Rust.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") n => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// Copies octets between areas that may overlap.
///
/// # Safety
/// `n` octets can be read at `from` and written at `to`.
// SAFETY: without libc nobody else defines the name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= n {
        // SAFETY: `to` is below `from`, or at least `n` octets above it.
        return unsafe { memcpy(to, from, n) };
    }
    // Here n > 0, and the last octets have to go first.
    // SAFETY: the caller's promise for the octets n - 1 down to 0; the direction flag is cleared again.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rcx") n => _,
            inout("rdi") to.wrapping_add(n - 1) => _,
            inout("rsi") from.wrapping_add(n - 1) => _,
            options(nostack),
        );
    }
    to
}

/// Fills octets with the low eight bits of `value`.
///
/// # Safety
/// `n` octets can be written at `to`.
// SAFETY: without libc nobody else defines the name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction flag is clear between instructions of Rust.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") n => _,
            inout("rdi") to => _,
            in("eax") value,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// Compares octets: below, equal to or above zero as `a` is below, equal to or above `b`.
///
/// # Safety
/// `n` octets can be read at `a` and at `b`.
// SAFETY: without libc nobody else defines the name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    let (above, below): (u8, u8);
    // SAFETY: the caller's promise; the direction flag is clear between instructions of Rust. The first comparison
    // makes "equal" of no octets at all.
    unsafe {
        asm!(
            "cmp eax, eax",
            "repe cmpsb",
            "seta al",
            "setb dl",
            inout("rcx") n => _,
            inout("rsi") a => _,
            inout("rdi") b => _,
            out("al") above,
            out("dl") below,
            options(nostack, readonly),
        );
    }
    i32::from(above) - i32::from(below)
}

/// Compares octets: zero when they are equal.
///
/// # Safety
/// `n` octets can be read at `a` and at `b`.
// SAFETY: without libc nobody else defines the name.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same promise.
    unsafe { memcmp(a, b, n) }
}
