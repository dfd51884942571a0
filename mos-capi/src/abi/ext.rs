//! Types and values of `mos_ext.h`.

use libc::{c_int, size_t};
use std::mem::offset_of;

/// Places for the counts of reasons in [`MosStats`]; more than there are reasons.
pub const MOS_DROP_REASONS: usize = 32;
/// VLAN ids that [`MosConnection`] has room for.
pub const MOS_VLANS: usize = 3;

/// `struct mos_error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct MosError {
    pub reason: c_int,
    pub has_offset: c_int,
    pub offset: u64,
    pub octets: u64,
}

/// `struct mos_copies`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct MosCopies {
    pub offset: u64,
    pub len: size_t,
    pub held: *const u8,
    pub came: *const u8,
    pub stays: c_int,
    pub unused: c_int,
}

/// `struct mos_stream`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct MosStream {
    pub head: u64,
    pub next: u64,
    pub top: u64,
    pub read: u64,
    pub init_seq: u32,
    pub ring: u32,
    pub midstream: c_int,
    pub finished: c_int,
}

/// `struct mos_connection`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct MosConnection {
    pub number: u64,
    pub last_packet: u64,
    pub state: [c_int; 2],
    pub end: c_int,
    pub family: c_int,
    pub monitor: c_int,
    pub vlan_count: u16,
    pub vlan: [u16; MOS_VLANS],
    pub unused: u32,
}

/// `struct mos_counter`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct MosCounter {
    pub count: u64,
    pub name: *const libc::c_char,
    pub sentence: *const libc::c_char,
    pub group: c_int,
    pub severity: c_int,
}

/// `struct mos_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct MosStats {
    pub frames: u64,
    pub octets: u64,
    pub segments: u64,
    pub connections: u64,
    pub connections_ended: u64,
    pub connections_now: u64,
    pub connections_peak: u64,
    pub sockets_now: u64,
    pub evicted_embryonic: u64,
    pub evicted_idle: u64,
    pub stream_octets: u64,
    pub retransmitted_octets: u64,
    pub refused_octets: u64,
    pub overrun_octets: u64,
    pub gap_octets: u64,
    pub late_octets: u64,
    pub reclaimed_octets: u64,
    pub shed_octets: u64,
    pub zero_windows: u64,
    pub conflicts: u64,
    pub keep_alives: u64,
    pub clock_steps_back: u64,
    pub clock_jumps: u64,
    pub memory_used: u64,
    pub memory_size: u64,
    pub refused_segments: u64,
    pub odd_segments: u64,
    pub dropped: u64,
    pub drops: [u64; MOS_DROP_REASONS],
}

const _: () = {
    assert!(size_of::<MosError>() == 24 && offset_of!(MosError, offset) == 8);
    assert!(size_of::<MosCopies>() == 40 && offset_of!(MosCopies, stays) == 32);
    assert!(size_of::<MosStream>() == 48 && offset_of!(MosStream, init_seq) == 32);
    assert!(size_of::<MosConnection>() == 48 && offset_of!(MosConnection, state) == 16);
    assert!(offset_of!(MosConnection, monitor) == 32 && offset_of!(MosConnection, vlan) == 38);
    assert!(size_of::<MosCounter>() == 32 && offset_of!(MosCounter, group) == 24);
    assert!(offset_of!(MosStats, drops) == 28 * 8 && size_of::<MosStats>() == (28 + MOS_DROP_REASONS) * 8);
    assert!(mos_flow::DropReason::ALL.len() <= MOS_DROP_REASONS);
};

constants! {
    MOS_OVERLAP_FIRST: c_int = 0;
    MOS_OVERLAP_LAST: c_int = 1;
    MOS_OVERLAP_LINUX: c_int = 2;
    MOS_OVERLAP_BSD: c_int = 3;
    MOS_OVERLAP_HPUX10: c_int = 4;
    MOS_OVERLAP_HPUX11: c_int = 5;
    MOS_OVERLAP_IRIX: c_int = 6;
    MOS_OVERLAP_LINUX_CLASSIC: c_int = 7;
    MOS_OVERLAP_MACOS: c_int = 8;
    MOS_OVERLAP_OLD_LINUX: c_int = 9;
    MOS_OVERLAP_SOLARIS: c_int = 10;
    MOS_OVERLAP_VISTA: c_int = 11;
    MOS_OVERLAP_WINDOWS: c_int = 12;
    MOS_OVERLAP_WINDOWS_2003: c_int = 13;

    MOS_ERROR_GAP: c_int = 1;
    MOS_ERROR_OVERRUN: c_int = 2;
    MOS_ERROR_NO_MEMORY: c_int = 3;
    MOS_ERROR_WINDOW: c_int = 4;

    MOS_STAYS_HELD: c_int = 0;
    MOS_STAYS_CAME: c_int = 1;

    MOS_END_NONE: c_int = 0;
    MOS_END_CLOSED: c_int = 1;
    MOS_END_RESET: c_int = 2;
    MOS_END_TIMED_OUT: c_int = 3;
    MOS_END_REPLACED: c_int = 4;
    MOS_END_EVICTED: c_int = 5;
    MOS_END_SHUTDOWN: c_int = 6;

    MOS_WAY_PORT: c_int = 0xffff;
    MOS_WAY_BACK: c_int = 1 << 16;
    MOS_WAY_IP: c_int = 1 << 17;

    MOS_COUNT_DROPPED: c_int = 0;
    MOS_COUNT_FRAGMENTS: c_int = 1;
    MOS_COUNT_REFUSED: c_int = 2;
    MOS_COUNT_ODD: c_int = 3;
    MOS_COUNT_LOST: c_int = 4;

    MOS_SEVERITY_INFO: c_int = 0;
    MOS_SEVERITY_WARNING: c_int = 1;
    MOS_SEVERITY_ERROR: c_int = 2;
}

/// Names of the overlap policies, by their numbers.
pub(crate) const OVERLAP_NAMES: [&str; 14] = [
    "first",
    "last",
    "linux",
    "bsd",
    "hpux10",
    "hpux11",
    "irix",
    "linux-classic",
    "macos",
    "old-linux",
    "solaris",
    "vista",
    "windows",
    "windows2k3",
];

#[cfg(test)]
mod tests {
    use super::*;
    use mos_flow::OverlapPolicy;

    #[test]
    fn every_overlap_policy_has_a_number() {
        let named: Vec<OverlapPolicy> = OVERLAP_NAMES.iter().map(|name| name.parse().unwrap()).collect();
        assert!(OverlapPolicy::ALL.iter().all(|policy| named.contains(policy)));
        assert_eq!(named.len(), OverlapPolicy::ALL.len());
        let at = |number: c_int| OVERLAP_NAMES[number as usize];
        let numbers = [
            MOS_OVERLAP_FIRST,
            MOS_OVERLAP_LAST,
            MOS_OVERLAP_LINUX,
            MOS_OVERLAP_BSD,
            MOS_OVERLAP_LINUX_CLASSIC,
            MOS_OVERLAP_OLD_LINUX,
            MOS_OVERLAP_SOLARIS,
            MOS_OVERLAP_VISTA,
            MOS_OVERLAP_WINDOWS_2003,
        ];
        let names =
            ["first", "last", "linux", "bsd", "linux-classic", "old-linux", "solaris", "vista", "windows2k3"];
        assert_eq!(numbers.map(at), names);
    }
}
