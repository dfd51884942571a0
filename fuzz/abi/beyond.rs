//! Functions that the original does not have, but for those about packets.

use super::{Room, call, lend, on_event, read_all, status, with};
use libc::{AF_INET, AF_INET6, c_int, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};
use mos::abi::ext::{MosCopies, MosError};
use mos::abi::{Callback, Mctx, TcpRingFragment};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

pub(super) fn step(mctx: Mctx, sock: c_int, kind: u8) {
    match kind % 14 {
        0 => peek(mctx, sock),
        1 => ppeek(mctx, sock),
        2 => {
            let (side, count) = with(|s| (s.side(), s.number() as u64));
            status!(ext::octets::mos_skip(mctx, sock, side, count));
        }
        3 => {
            let (side, count) = with(|s| (s.side(), s.number() as u64));
            status!(ext::octets::mos_wait_for(mctx, sock, side, count));
        }
        4 => sized(|out, size| {
            let side = with(|s| s.side());
            status!(ext::connection::mos_get_stream(mctx, sock, side, out.cast(), size))
        }),
        5 => sized(|out, size| status!(ext::connection::mos_get_connection(mctx, sock, out.cast(), size))),
        6 => sized(|out, size| status!(ext::stats::mos_get_stats(mctx, out.cast(), size))),
        7 => error(mctx, sock),
        8 => gap(mctx, sock),
        9 => conflict(mctx, sock),
        10 => find(mctx, sock),
        11 => drop(status!(ext::connection::mos_family(mctx, sock))),
        12 => cancel(mctx),
        _ => counters(mctx),
    }
}

/// Octets are there now and until the callback returns.
fn given(n: isize, data: *const u8) {
    if n > 0 {
        read_all(data, n as usize);
        lend(data, n as usize);
    } else {
        assert!(data.is_null());
    }
}

fn peek(mctx: Mctx, sock: c_int) {
    let (side, absent) = with(|s| (s.side(), s.byte() == 0));
    let mut data = ptr::null();
    let pointer = if absent { ptr::null_mut() } else { &raw mut data };
    let n = status!(ext::octets::mos_peek_zc(mctx, sock, side, pointer));
    given(n, data);
}

fn ppeek(mctx: Mctx, sock: c_int) {
    let (side, off, absent) = with(|s| (s.side(), s.number() as u64, s.byte() == 0));
    let mut data = ptr::null();
    let pointer = if absent { ptr::null_mut() } else { &raw mut data };
    let n = status!(ext::octets::mos_ppeek_zc(mctx, sock, side, off, pointer));
    given(n, data);
}

/// A structure that is as long as it says, or any number.
fn sized(f: impl FnOnce(*mut u64, usize) -> c_int) {
    let size = with(|s| s.pick(&[8_usize, 40, 48, 56, 64, 600, 0, 7, 4104]));
    let mut room = Room::new(size);
    let result = f(room.pointer(), size);
    assert!(result == 0 || room.is_blank_from(0));
}

fn error(mctx: Mctx, sock: c_int) {
    let (side, absent) = with(|s| (s.side(), s.byte() == 0));
    let mut error = MaybeUninit::<MosError>::uninit();
    let pointer = if absent { ptr::null_mut() } else { error.as_mut_ptr() };
    if status!(ext::loss::mos_get_error(mctx, sock, side, pointer)) == 0 {
        // SAFETY: the call has filled it in.
        assert!((1..5).contains(&unsafe { error.assume_init() }.reason));
    }
}

fn gap(mctx: Mctx, sock: c_int) {
    let (side, absent) = with(|s| (s.side(), s.byte() == 0));
    let mut gap = MaybeUninit::<TcpRingFragment>::uninit();
    let pointer = if absent { ptr::null_mut() } else { gap.as_mut_ptr() };
    if status!(ext::loss::mos_gap(mctx, sock, side, pointer)) == 0 {
        // SAFETY: the call has filled it in.
        assert!(unsafe { gap.assume_init() }.len > 0);
    }
}

fn conflict(mctx: Mctx, sock: c_int) {
    let (from, odd) = with(|s| (s.number() as u64, s.byte()));
    let (from, absent) = (if odd < 200 { 0 } else { from }, odd == 0);
    let mut copies = MaybeUninit::<MosCopies>::uninit();
    let pointer = if absent { ptr::null_mut() } else { copies.as_mut_ptr() };
    if status!(ext::loss::mos_conflict(mctx, sock, from, pointer)) == 0 {
        // SAFETY: the call has filled it in.
        let copies = unsafe { copies.assume_init() };
        assert!(copies.len > 0 && copies.offset >= from);
        for octets in [copies.held, copies.came] {
            given(copies.len as isize, octets);
        }
    }
}

/// An address of the traffic, most likely.
fn address(v6: bool, octet: u8, port: u16) -> (Room, socklen_t) {
    let mut room = Room::new(if v6 { size_of::<sockaddr_in6>() } else { size_of::<sockaddr_in>() });
    let octets = &mut room.0;
    octets[..2].copy_from_slice(&(if v6 { AF_INET6 } else { AF_INET } as u16).to_ne_bytes());
    octets[2..4].copy_from_slice(&port.to_be_bytes());
    if v6 {
        octets[8..24].copy_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, octet]);
    } else {
        octets[4..8].copy_from_slice(&[10, 0, 0, octet]);
    }
    let len = room.0.len() as socklen_t;
    (room, len)
}

fn find(mctx: Mctx, sock: c_int) {
    let (v6, which, odd) = with(|s| (s.byte() % 3 == 0, s.byte() % 3, s.byte()));
    // Those that `watch` has opened come first.
    let watching = with(|s| s.socks.get(usize::from(v6)).copied());
    let sock = if odd < 200 { watching.unwrap_or(sock) } else { sock };
    let (client, server) = [(1000, 80), (1001, 81), (7, 80)][usize::from(if v6 { 2 } else { which % 2 })];
    let ((mut a, alen), (mut b, blen)) = (address(v6, 1, client), address(v6 != (odd == 0), 2, server));
    let (a, b): (*mut sockaddr, *mut sockaddr) = (a.pointer(), b.pointer());
    let alen = if odd == 1 { alen - 1 } else { alen };
    let b = if odd == 2 { ptr::null_mut() } else { b };
    status!(ext::connection::mos_find(mctx, sock, a, alen, b, blen));
}

fn cancel(mctx: Mctx) {
    let (id, any) = with(|s| (s.int(), s.byte() < 100));
    let callback: Option<Callback> = if any { None } else { Some(on_event) };
    status!(ext::timer::mos_cancel_timer(mctx, id, callback));
}

fn counters(mctx: Mctx) {
    let i = with(|s| s.number() as u32);
    let name = call!(|name: *const libc::c_char| name.is_null(), ext::stats::mos_drop_reason(i));
    if !name.is_null() {
        // SAFETY: the call says that it is a string.
        assert!(!unsafe { CStr::from_ptr(name) }.is_empty());
    }
    let mut counter = MaybeUninit::<mos::abi::ext::MosCounter>::uninit();
    if status!(ext::stats::mos_get_counter(mctx, i, counter.as_mut_ptr())) == 0 {
        // SAFETY: the call has filled it in.
        let counter = unsafe { counter.assume_init() };
        for text in [counter.name, counter.sentence] {
            // SAFETY: the call says that it is a string.
            assert!(!unsafe { CStr::from_ptr(text) }.is_empty());
        }
    }
    // Before the first packet it is 0 and no failure.
    super::quiet!(ext::timer::mos_now(mctx));
}
