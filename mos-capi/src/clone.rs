//! `mtcp_clonepkt`: packets that outlive their callback.

use crate::abi::PktInfo;
use crate::errno::Errno;
use crate::ffi::{Answer, entry, read, write};
use std::ptr;

/// See `mos_api.h`.
///
/// # Safety
/// Each pointer is NULL, or `from` leads to what `mtcp_getlastpkt` wrote, whose packet is still there, `frame` to room for its
/// `eth_len` octets, and `to` to room for a `struct pkt_info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_clonepkt(to: *mut PktInfo, frame: *mut u8, from: *const PktInfo) {
    entry((), || {
        if to.is_null() || frame.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: the caller's condition.
        let info = unsafe { read(from) }?;
        let (start, octets) = extent(&info)?;
        // SAFETY: the caller's condition: `octets` from `start` on belong to the packet, and are not more than `eth_len`.
        unsafe { ptr::copy(start, frame, octets) };
        // SAFETY: the caller's condition.
        unsafe { write(to, moved(info, start, frame)) }
    });
}

/// Where a packet begins, and how many octets it has: those from the IP header on when its link is not Ethernet.
fn extent(info: &PktInfo) -> Answer<(*mut u8, usize)> {
    if !info.ethh.is_null() {
        return Ok((info.ethh, info.eth_len.into()));
    }
    if info.iph.is_null() || info.payload.is_null() {
        return Err(Errno::INVAL);
    }
    let headers = info.payload.addr().checked_sub(info.iph.addr()).ok_or(Errno::INVAL)?;
    let octets = headers.saturating_add(info.payloadlen.into());
    if octets > info.eth_len.into() { Err(Errno::INVAL) } else { Ok((info.iph, octets)) }
}

/// The same packet at another place.
fn moved(info: PktInfo, start: *mut u8, frame: *mut u8) -> PktInfo {
    let at = |place: *mut u8| {
        let distance = place.addr().wrapping_sub(start.addr());
        if place.is_null() { place } else { frame.wrapping_add(distance) }
    };
    PktInfo { ethh: at(info.ethh), iph: at(info.iph), tcph: at(info.tcph), payload: at(info.payload), ..info }
}
