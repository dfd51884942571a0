//! Functions of the original, but for those about packets.

use super::{Room, call, filter, on_event, quiet, status, with};
use libc::{AF_INET, AF_INET6, c_char, c_int, c_void, socklen_t};
use mos::abi::{FilterArg, Mctx, MonitorFilter, StreamFilters};
use mos::abi::{MOS_HK_RCV, MOS_HK_SND, MOS_NULL, MOS_ON_CONN_END, MOS_ON_CONN_NEW_DATA, MOS_ON_CONN_START};
use mos::abi::{MOS_ON_ERROR, MOS_ON_ORPHAN, MOS_ON_PKT_IN, MOS_ON_REXMIT, MOS_ON_TCP_STATE_CHANGE};
use std::ffi::CString;
use std::ptr;
use std::sync::Mutex;

pub(super) fn step(mctx: Mctx, sock: c_int, kind: u8) {
    match kind % 20 {
        0 => open(mctx),
        1 => drop(status!(socket::mtcp_close(mctx, sock))),
        2 => bind(mctx, sock),
        3..6 => register(mctx, sock),
        6 => define(),
        7 => raise(mctx),
        8..10 => peek(mctx, sock),
        10 => ppeek(mctx, sock),
        11..13 => get_option(mctx, sock),
        13..15 => set_option(mctx, sock),
        15..17 => set_timer(mctx),
        17 => get_peer(mctx, sock),
        18 => user(mctx, sock),
        _ => {
            let side = with(|s| s.pick(&[0, 1, 2, 3]));
            status!(socket::mtcp_cb_stop(mctx, sock, side));
        }
    }
}

fn open(mctx: Mctx) {
    let (domain, kind) = with(|s| (s.pick(&[AF_INET, AF_INET6, AF_INET, 77]), s.pick(&[3, 7, 3, 1, 4, 99])));
    let sock = status!(socket::mtcp_socket(mctx, domain, kind, 0));
    if sock >= 0 {
        with(|s| s.socks.push(sock));
    }
}

/// Sockets of each kind, and callbacks for what the script says: else it would hardly ever come to one.
pub(super) fn watch(mctx: Mctx) {
    const WANTED: [(u64, c_int); 12] = [
        (MOS_ON_PKT_IN, MOS_HK_SND),
        (MOS_ON_PKT_IN, MOS_HK_RCV),
        (MOS_ON_CONN_START, MOS_HK_SND),
        (MOS_ON_CONN_START, MOS_HK_RCV),
        (MOS_ON_CONN_NEW_DATA, MOS_NULL),
        (MOS_ON_ERROR, MOS_NULL),
        (MOS_ON_ORPHAN, MOS_NULL),
        (MOS_ON_REXMIT, MOS_HK_RCV),
        (MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND),
        (MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV),
        (MOS_ON_CONN_END, MOS_HK_SND),
        (MOS_ON_CONN_END, MOS_HK_RCV),
    ];
    let wanted = with(|s| u16::from_le_bytes([s.byte(), s.byte()]));
    for (domain, kind) in [(AF_INET, 3), (AF_INET6, 3), (AF_INET, 7)] {
        let sock = status!(socket::mtcp_socket(mctx, domain, kind, 0));
        if sock < 0 {
            return;
        }
        with(|s| s.socks.push(sock));
        for (_, (event, hook)) in WANTED.iter().enumerate().filter(|(i, _)| wanted >> i & 1 != 0) {
            let hook = if kind == 7 { MOS_NULL } else { *hook };
            quiet!(event::mtcp_register_callback(mctx, sock, *event, hook, Some(on_event)));
        }
    }
}

fn bind(mctx: Mctx, sock: c_int) {
    let expressions = ["", "tcp", "port 80", "not net 10.0.0.0/8", "udp", "((", "ip6", "tcp[13] & 2 != 0"];
    let picked = with(|s| [s.pick(&expressions), s.pick(&expressions)]).map(|e| CString::new(e).unwrap());
    let absent = with(|s| s.byte());
    let member =
        |i: usize| if absent & 1 << i == 0 { picked[i].as_ptr().cast_mut() } else { ptr::null_mut() };
    let filters = MonitorFilter {
        stream: StreamFilters { stream_syn_filter: member(0), stream_orphan_filter: member(1) },
    };
    let pointer = if absent & 4 == 0 { &raw const filters } else { ptr::null() };
    status!(socket::mtcp_bind_monitor_filter(mctx, sock, pointer));
}

fn register(mctx: Mctx, sock: c_int) {
    let (event, hook) =
        with(|s| (s.event(), s.pick(&[1 << 29, 1 << 30, i32::MIN, 1 << 29, 1 << 30, i32::MIN, 5])));
    if with(|s| s.byte()) < 200 {
        status!(event::mtcp_register_callback(mctx, sock, event, hook, Some(on_event)));
    } else {
        status!(event::mtcp_unregister_callback(mctx, sock, event, hook));
    }
}

fn define() {
    let (above, kind, len) = with(|s| (s.event(), s.byte(), usize::from(s.byte() % 40)));
    let mut octets = Room::new(len);
    let arg = FilterArg { arg: octets.pointer(), len };
    let failed = |id: u64| id == 0;
    let id = match kind % 4 {
        0 => allocate(above),
        1 => call!(failed, event::mtcp_define_event(above, Some(filter), ptr::null())),
        2 => call!(failed, event::mtcp_define_event(above, Some(filter), &raw const arg)),
        _ => call!(failed, event::mtcp_define_event(above, None, ptr::null())),
    };
    if id != 0 {
        with(|s| s.events.push(id));
    }
}

/// Events that are raised, below which ones. They are never removed, so that there must be few.
static RAISED: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());
const MAX_RAISED: usize = 100;

fn allocate(above: u64) -> u64 {
    let mut raised = RAISED.lock().unwrap();
    if let Some((_, known)) = raised.iter().rev().find(|(parent, _)| *parent == above) {
        return *known;
    }
    if raised.len() >= MAX_RAISED {
        return 0;
    }
    let id = call!(|id: u64| id == 0, event::mtcp_alloc_event(above));
    if id != 0 {
        raised.push((above, id));
    }
    id
}

/// Most likely one below the event at hand.
fn raise(mctx: Mctx) {
    let (any, odd) = with(|s| (s.event(), s.byte()));
    let child = if odd < 100 { any } else { allocate(super::AT_HAND.get()) };
    status!(event::mtcp_raise_event(mctx, child));
}

fn peek(mctx: Mctx, sock: c_int) {
    let (side, len) = with(|s| (s.side(), usize::from(s.byte()) * 16));
    let mut room = Room::new(len);
    let pointer = room.pointer::<c_char>();
    let n = status!(stream::mtcp_peek(mctx, sock, side, pointer, len));
    assert!(n <= len as isize && room.is_blank_from(n.max(0) as usize));
}

fn ppeek(mctx: Mctx, sock: c_int) {
    let (side, len, off) = with(|s| (s.side(), usize::from(s.byte()) * 4, s.number() as u64));
    let mut room = Room::new(len);
    let pointer = room.pointer::<c_char>();
    let n = status!(stream::mtcp_ppeek(mctx, sock, side, pointer, len, off));
    assert!((-1..=len as isize).contains(&n) && room.is_blank_from(n.max(0) as usize));
}

const LEVELS: [c_int; 6] = [0xfffe, 0xfffe, 0xfffe, 0xfffe, libc::SOL_SOCKET, 99];

fn get_option(mctx: Mctx, sock: c_int) {
    let (level, name, odd) = with(|s| (s.pick(&LEVELS), c_int::from(s.byte() % 20), s.byte()));
    let len = match odd {
        0..60 => with(|s| s.pick(&[0, 1, 3, 4, 5, 16, 17])),
        _ if name == 3 || name == 4 => 16,
        _ => 4,
    };
    let name = if odd < 160 { name } else { name % 7 + 1 };
    // Ranges are counted in elements.
    let octets = if name <= 2 { len as usize * 16 } else { len as usize };
    let (mut room, mut length): (Room, socklen_t) = (Room::new(octets), len);
    let (pointer, length) = (room.pointer::<c_void>(), &raw mut length);
    let result = status!(socket::mtcp_getsockopt(mctx, sock, level, name, pointer, length));
    // SAFETY: a local.
    let after = unsafe { length.read() };
    assert!(if result < 0 { room.is_blank_from(0) && after == len } else { after <= len });
}

fn set_option(mctx: Mctx, sock: c_int) {
    let (level, name, value) = with(|s| (s.pick(&LEVELS), c_int::from(s.byte() % 20), s.int()));
    let value = if with(|s| s.byte()) < 200 { value & 3 } else { value };
    let len = with(|s| s.pick(&[4, 4, 4, 1, 0, 3]));
    let octets = value.to_ne_bytes()[..len as usize].to_vec().into_boxed_slice();
    let pointer = if len == 0 { ptr::null() } else { octets.as_ptr().cast::<c_void>() };
    status!(socket::mtcp_setsockopt(mctx, sock, level, name, pointer, len));
}

fn set_timer(mctx: Mctx) {
    let (id, seconds, micros, kind) = with(|s| (s.int(), s.number(), s.number(), s.byte()));
    let seconds = if kind < 200 { 0 } else { seconds };
    let timeout = libc::timeval { tv_sec: seconds, tv_usec: micros };
    let pointer = if kind == 0 { ptr::null() } else { &raw const timeout };
    let callback: Option<mos::abi::Callback> = if kind == 1 { None } else { Some(on_event) };
    status!(timer::mtcp_settimer(mctx, id, pointer, callback));
}

fn get_peer(mctx: Mctx, sock: c_int) {
    let (side, odd) = with(|s| (s.pick(&[0, 1, 2, 2, 3, -1]), s.byte()));
    let len = match odd {
        0..60 => with(|s| s.pick(&[16, 32, 28, 56, 0, 15, 64])),
        60..100 => 28 << ((side & 2) / 2),
        _ => 16 << ((side & 2) / 2),
    };
    let (mut room, mut length): (Room, socklen_t) = (Room::new(len as usize), len);
    let (pointer, length) = (room.pointer(), &raw mut length);
    let result = status!(socket::mtcp_getpeername(mctx, sock, pointer, length, side));
    assert!(result == 0 || room.is_blank_from(0));
}

fn user(mctx: Mctx, sock: c_int) {
    let word = with(|s| s.number() as usize);
    quiet!(socket::mtcp_set_uctx(mctx, sock, ptr::without_provenance_mut(word)));
    quiet!(socket::mtcp_get_uctx(mctx, sock));
}
