//! Prefetch: ask for a cache line before it is needed.
//!
//! One of the few rooms with `unsafe`: the instruction has no effect on memory and cannot fault, and nothing safe
//! expresses it.
#![allow(unsafe_code)]

/// Asks the processor to load the cache line that holds `value`, if it has such an instruction.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    prefetch_address(core::ptr::from_ref(value).cast());
}

#[inline(always)]
fn prefetch_address(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: PREFETCHT0 is a hint that never faults and reads nothing into the program, whatever the address. SSE,
    // which it belongs to, is part of every x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for every cache line that `value` lies in.
#[inline(always)]
pub fn prefetch_all<T>(value: &T) {
    let (start, len) = (core::ptr::from_ref(value).cast::<u8>(), size_of::<T>());
    for line in 0..len.div_ceil(64) {
        prefetch_address(start.wrapping_add(64 * line));
    }
    // What begins inside of a line may end in one more.
    prefetch_address(start.wrapping_add(len.saturating_sub(1)));
}

#[cfg(test)]
mod tests {
    #[test]
    fn prefetching_changes_nothing() {
        let lines = [7_u8; 200];
        super::prefetch(&lines);
        super::prefetch_all(&lines);
        assert_eq!(lines, [7; 200]);
    }
}
