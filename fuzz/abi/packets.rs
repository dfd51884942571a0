//! Packets: looked at, copied, changed, dropped and made.

use super::{Room, quiet, read_all, status, with};
use libc::{c_int, c_void};
use mos::abi::{MOS_CHOMP, MOS_ETH_HDR, MOS_INSERT, MOS_IP_HDR, MOS_OVERWRITE, MOS_SIDE_BOTH, MOS_TCP_HDR};
use mos::abi::{MOS_TCP_PAYLOAD, Mctx, PktInfo};
use std::mem::MaybeUninit;
use std::ptr;

pub(super) fn step(mctx: Mctx, sock: c_int, kind: u8) {
    match kind % 10 {
        0 => {
            let (side, absent) = with(|s| (s.side(), s.byte() == 0));
            get(mctx, sock, side, absent).inspect(look_at);
        }
        1 => clone(mctx, sock),
        2 => set_anything(mctx, sock),
        3..6 => set_something(mctx, sock),
        6 => drop(status!(packet::mtcp_cb_dropcurpkt(mctx))),
        7 => send_segment(mctx, sock),
        8 => send_frame(mctx),
        _ if kind < 110 => drop(status!(send::mtcp_reset_conn(mctx, sock))),
        _ if kind < 120 => drop(status!(ext::packet::mos_reset(mctx, sock))),
        _ => send_segment(mctx, sock),
    }
}

fn get(mctx: Mctx, sock: c_int, side: c_int, absent: bool) -> Option<PktInfo> {
    let mut info = Box::new(MaybeUninit::<PktInfo>::uninit());
    let pointer = if absent { ptr::null_mut() } else { info.as_mut_ptr() };
    let got = status!(packet::mtcp_getlastpkt(mctx, sock, side, pointer)) == 0;
    // SAFETY: the call has filled it in.
    got.then(|| unsafe { info.assume_init_read() })
}

/// Every octet that it promises is there.
fn look_at(info: &PktInfo) {
    for (start, len) in [(info.ethh, info.eth_len), (info.payload, info.payloadlen)] {
        if !start.is_null() {
            read_all(start, len.into());
        }
    }
}

fn clone(mctx: Mctx, sock: c_int) {
    let Some(info) = get(mctx, sock, 0, false) else { return };
    let (mut copy, mut frame) = (MaybeUninit::<PktInfo>::uninit(), Room::new(info.eth_len.into()));
    let (to, from) = (copy.as_mut_ptr(), &raw const info);
    let absent = with(|s| s.byte());
    let place = if absent == 0 { ptr::null_mut() } else { frame.pointer() };
    let from = if absent == 1 { ptr::null() } else { from };
    if quiet_clone(to, place, from) {
        // SAFETY: the call has filled it in.
        look_at(&unsafe { copy.assume_init() });
    }
}

/// Whether it succeeded.
fn quiet_clone(to: *mut PktInfo, frame: *mut u8, from: *const PktInfo) -> bool {
    quiet!(clone::mtcp_clonepkt(to, frame, from));
    !super::has_errno()
}

/// Any arguments.
fn set_anything(mctx: Mctx, sock: c_int) {
    let (offset, len, option) =
        with(|s| (s.number(), u16::from(s.byte()), s.number() as c_int & 0x7f | 1 << (6 + s.byte() % 4)));
    let option = if with(|s| s.byte()) < 230 { option & !0x40 } else { option };
    let mut octets = Room::new(len.into());
    let data = octets.pointer();
    status!(packet::mtcp_setlastpkt(mctx, sock, MOS_SIDE_BOTH, offset, data, len, option));
}

/// A change that fits, of whatever can be changed.
fn set_something(mctx: Mctx, sock: c_int) {
    let Some(info) = get(mctx, sock, 0, false) else { return };
    let (kind, at, wanted, updates) = with(|s| (s.byte(), s.byte(), u16::from(s.byte()), s.byte()));
    let parts = [
        (MOS_ETH_HDR, info.ethh, 14),
        (MOS_IP_HDR, info.iph, 20),
        (MOS_TCP_HDR, info.tcph, 20),
        (MOS_TCP_PAYLOAD, info.payload, info.payloadlen),
    ];
    let at_payload = info.payloadlen > 0 && kind & 1 != 0;
    let (part, start, octets) = parts[if at_payload { 3 } else { usize::from(kind / 2) % 4 }];
    if start.is_null() {
        return;
    }
    let what = if part == MOS_TCP_PAYLOAD {
        [MOS_OVERWRITE, MOS_CHOMP, MOS_INSERT][usize::from(kind / 8) % 3]
    } else {
        MOS_OVERWRITE
    };
    let at = u16::from(at) % (octets + 1);
    let len = if what == MOS_INSERT { wanted } else { wanted % (octets - at + 1) };
    // SAFETY: inside of the part; what is inserted is read from the copy's own octets.
    let old = unsafe { std::slice::from_raw_parts(start.add(at.into()), usize::from(len.min(octets - at))) };
    let mut data: Vec<u8> = old.to_vec();
    data.resize(len.into(), 7);
    // Headers keep what they are; addresses, ports, numbers and payload may change.
    let free = match part {
        MOS_ETH_HDR => 0..12,
        MOS_IP_HDR => 12..20,
        MOS_TCP_HDR => 0..12,
        _ => 0..octets + len,
    };
    if let Some(octet) = data.last_mut().filter(|_| free.contains(&(at + len - 1))) {
        *octet ^= updates;
    }
    let option = part | what | c_int::from(updates & 3) << 4;
    let data = data.as_mut_ptr();
    if status!(packet::mtcp_setlastpkt(mctx, sock, 0, at.into(), data, len, option)) == 0 && len > 0 {
        super::count(
            ["overwrite", "chomp", "insert"]
                [usize::from(kind / 8) % 3 * usize::from(part == MOS_TCP_PAYLOAD)],
        );
    }
}

fn send_segment(mctx: Mctx, sock: c_int) {
    let (absent, len, seq) = with(|s| (s.byte(), u16::from(s.byte()) * 8, s.number() as u32));
    let Some(mut info) = get(mctx, sock, 0, false) else {
        status!(send::mtcp_sendpkt(mctx, sock, ptr::null()));
        return;
    };
    let mut payload = Room::new(len.into());
    info.seq = info.seq.wrapping_add(seq);
    if absent & 1 == 0 {
        (info.payload, info.payloadlen) = (payload.pointer(), len);
    }
    match absent {
        0 => info.iph = ptr::null_mut(),
        1 => info.tcph = ptr::null_mut(),
        2 => info.payload = ptr::null_mut(),
        _ => {}
    }
    status!(send::mtcp_sendpkt(mctx, sock, &raw const info));
}

fn send_frame(mctx: Mctx) {
    let (way, len, bits) = with(|s| (s.int(), usize::from(s.byte()) * 4, s.byte()));
    let way = if bits < 230 { way & 0xff | c_int::from(bits & 3) << 16 } else { way };
    let mut frame = Room::new(len);
    let pointer = frame.pointer::<c_void>().cast_const();
    status!(ext::packet::mos_send(mctx, way, pointer, len));
}
