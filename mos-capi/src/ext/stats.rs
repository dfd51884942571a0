//! What a context has seen and done.

use super::write_sized;
use crate::abi::Mctx;
use crate::abi::ext::{self, MosCounter, MosStats};
use crate::app::CApp;
use crate::current::{control, find};
use crate::errno::Errno;
use crate::ffi::{Answer, entry, write};
use libc::{c_char, c_int, c_uint, size_t};
use mos_flow::reason::Severity;
use mos_flow::stats::Group;
use mos_flow::{Control, DropReason, Stats};
use std::ffi::CString;
use std::ptr;
use std::sync::OnceLock;

/// Octets in a chunk of stream memory.
const CHUNK: u64 = crate::conf::CHUNK;

/// See `mos_ext.h`.
///
/// # Safety
/// `stats` is NULL or leads to room for `size` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_get_stats(mctx: Mctx, stats: *mut MosStats, size: size_t) -> c_int {
    entry(-1, || {
        let told = control(find(mctx)?, |desk| Ok(stats_of(desk.control)))?;
        // SAFETY: the caller's condition.
        unsafe { write_sized(stats, size, &told) }?;
        Ok(0)
    })
}

fn stats_of(control: &Control<'_, CApp>) -> MosStats {
    let (used, there) = control.chunks();
    let s = control.stats();
    let mut told = MosStats {
        frames: s.frames,
        octets: s.octets,
        segments: s.segments,
        connections: s.flows,
        connections_ended: s.flows_ended,
        connections_now: control.flow_count() as u64,
        connections_peak: s.flows_peak,
        sockets_now: control.socket_count() as u64,
        evicted_embryonic: s.evicted_embryonic,
        evicted_idle: s.evicted_idle,
        stream_octets: s.stream_octets,
        retransmitted_octets: s.retransmitted_octets,
        refused_octets: s.refused_octets,
        overrun_octets: s.overrun_octets,
        gap_octets: s.gap_octets,
        late_octets: s.late_octets,
        reclaimed_octets: s.reclaimed_octets,
        shed_octets: s.shed_octets,
        zero_windows: s.zero_windows,
        conflicts: s.conflicts,
        keep_alives: s.keep_alives,
        clock_steps_back: s.clock_steps_back,
        clock_jumps: s.clock_jumps,
        memory_used: u64::from(used) * CHUNK,
        memory_size: u64::from(there) * CHUNK,
        refused_segments: s.anomalies.total(),
        odd_segments: s.odd.total(),
        dropped: s.drops.total(),
        ..MosStats::default()
    };
    for (place, reason) in told.drops.iter_mut().zip(DropReason::ALL) {
        *place = s.drops[*reason];
    }
    told
}

/// Names and sentences of all counters, in the order of the engine. They stay for the life of the process.
fn names() -> &'static [(CString, CString)] {
    static NAMES: OnceLock<Vec<(CString, CString)>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let text = |text: &str| CString::new(text).unwrap_or_default();
        Stats::default().counters().map(|c| (text(c.symbol), text(c.sentence))).collect()
    })
}

/// See `mos_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_drop_reason(i: c_uint) -> *const c_char {
    entry(ptr::null(), || {
        // Counters begin with the reasons.
        let known = usize::try_from(i).ok().filter(|i| *i < DropReason::ALL.len());
        known.and_then(|i| names().get(i)).map(|(name, _)| name.as_ptr()).ok_or(Errno::INVAL)
    })
}

/// See `mos_ext.h`.
///
/// # Safety
/// `counter` is NULL or leads to room for a `struct mos_counter`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_get_counter(mctx: Mctx, i: c_uint, counter: *mut MosCounter) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        if counter.is_null() {
            return Err(Errno::FAULT);
        }
        let (place, (name, sentence)) = named(i)?;
        let (count, group, severity) = control(slot, move |desk| {
            let counter = desk.control.stats().counters().nth(place).ok_or(Errno::NOENT)?;
            Ok((counter.count, group_of(counter.group), severity_of(counter.severity)))
        })?;
        let told = MosCounter { count, name: name.as_ptr(), sentence: sentence.as_ptr(), group, severity };
        // SAFETY: the caller's condition.
        unsafe { write(counter, told) }?;
        Ok(0)
    })
}

fn named(i: c_uint) -> Answer<(usize, &'static (CString, CString))> {
    let place = usize::try_from(i).map_err(|_| Errno::NOENT)?;
    names().get(place).map(|named| (place, named)).ok_or(Errno::NOENT)
}

fn group_of(group: Group) -> c_int {
    match group {
        Group::Dropped => ext::MOS_COUNT_DROPPED,
        Group::Fragments => ext::MOS_COUNT_FRAGMENTS,
        Group::Refused => ext::MOS_COUNT_REFUSED,
        Group::Odd => ext::MOS_COUNT_ODD,
        Group::Lost => ext::MOS_COUNT_LOST,
    }
}

fn severity_of(severity: Severity) -> c_int {
    match severity {
        Severity::Info => ext::MOS_SEVERITY_INFO,
        Severity::Warning => ext::MOS_SEVERITY_WARNING,
        Severity::Error => ext::MOS_SEVERITY_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_reasons_are_the_first_counters() {
        for (i, reason) in (0..).zip(DropReason::ALL) {
            // SAFETY: it is not NULL, as there are so many, and a string.
            let name = unsafe { std::ffi::CStr::from_ptr(mos_drop_reason(i)) };
            assert_eq!(name.to_str(), Ok(reason.symbol()));
        }
        assert!(mos_drop_reason(DropReason::ALL.len() as c_uint).is_null());
        assert!(mos_drop_reason(c_uint::MAX).is_null());
    }
}
