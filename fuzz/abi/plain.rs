//! Functions about the process, those that need no context, and those that only refuse.

use super::{Room, call, quiet, status, with};
use libc::{c_int, c_void};
use mos::abi::Mctx;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

pub(super) fn step(mctx: Mctx, sock: c_int) {
    match with(|s| s.byte()) % 4 {
        0 => process(mctx),
        1 => end_host(mctx, sock),
        2 => words(),
        _ => hashes(),
    }
}

/// Calls about the process.
fn process(mctx: Mctx) {
    let mut conf = MaybeUninit::uninit();
    if status!(context::mtcp_getconf(conf.as_mut_ptr())) < 0 {
        return;
    }
    // SAFETY: the call has filled it in.
    let mut conf = unsafe { conf.assume_init() };
    let kind = with(|s| s.byte());
    if kind < 50 {
        conf.rcvbuf_size = with(|s| s.int()).min(1 << 16);
        status!(context::mtcp_setconf(&raw const conf));
    }
    quiet!(timer::mtcp_cb_get_ts(mctx));
    // SAFETY: the call says that it is a string.
    let _ = unsafe { CStr::from_ptr(quiet!(context::mos_last_error())) }.count_bytes();
    quiet!(context::mos_abi_version());
    // No core, so that the fuzzer's thread stays where it is.
    status!(context::mtcp_core_affinitize(with(|s| s.pick(&[-1, 1023, 1024, c_int::MAX]))));
    let signal = with(|s| s.pick(&[libc::SIGUSR2, libc::SIGUSR2, 0, -1, 99, libc::SIGKILL]));
    let handler = [libc::SIG_IGN, libc::SIG_DFL, libc::SIG_ERR][usize::from(kind % 3)];
    let failed = |before: *mut c_void| before.addr() == libc::SIG_ERR;
    call!(failed, signal::mtcp_register_signal(signal, ptr::without_provenance_mut(handler)));
}

/// What there is to be refused only.
#[cfg(test)]
pub(super) const ABSENT: [&str; 18] = [
    "mtcp_abort",
    "mtcp_accept",
    "mtcp_bind",
    "mtcp_connect",
    "mtcp_epoll_create",
    "mtcp_epoll_ctl",
    "mtcp_epoll_wait",
    "mtcp_getsockname",
    "mtcp_init_rss",
    "mtcp_ioctl",
    "mtcp_listen",
    "mtcp_pipe",
    "mtcp_read",
    "mtcp_readv",
    "mtcp_recv",
    "mtcp_setsock_nonblock",
    "mtcp_write",
    "mtcp_writev",
];

/// Nothing that their pointers lead to is looked at.
fn end_host(mctx: Mctx, sock: c_int) {
    let (n, wild) = with(|s| (s.int(), s.number() as usize));
    macro_rules! wild {
        () => {
            ptr::without_provenance_mut(wild)
        };
    }
    match with(|s| s.byte()) % 21 {
        0 => drop(status!(endhost::mtcp_bind(mctx, sock, wild!(), 16))),
        1 => drop(status!(endhost::mtcp_listen(mctx, sock, n))),
        2 => drop(status!(endhost::mtcp_accept(mctx, sock, wild!(), wild!()))),
        3 => drop(status!(endhost::mtcp_connect(mctx, sock, wild!(), 16))),
        4 => drop(status!(endhost::mtcp_abort(mctx, sock))),
        5 => drop(status!(endhost::mtcp_getsockname(mctx, sock, wild!(), wild!()))),
        6 => drop(status!(endhost::mtcp_recv(mctx, sock, wild!(), wild, n))),
        7 => drop(status!(endhost::mtcp_read(mctx, sock, wild!(), wild))),
        8 => drop(status!(endhost::mtcp_readv(mctx, sock, wild!(), n))),
        9 => drop(status!(endhost::mtcp_write(mctx, sock, wild!(), wild))),
        10 => drop(status!(endhost::mtcp_writev(mctx, sock, wild!(), n))),
        11 => drop(status!(endhost::mtcp_setsock_nonblock(mctx, sock))),
        12 => drop(status!(endhost::mtcp_ioctl(mctx, sock, n, wild!()))),
        13 => drop(status!(endhost::mtcp_epoll_ctl(mctx, sock, n, n, wild!()))),
        14 => drop(status!(endhost::mtcp_epoll_wait(mctx, sock, wild!(), n, n))),
        15 => drop(status!(endhost::mtcp_init_rss(mctx, 1, n, 2, 3))),
        16 => drop(status!(endhost::mtcp_pipe(mctx, wild!()))),
        17 => drop(status!(endhost::mtcp_epoll_create(mctx, n))),
        18 => drop(status!(endhost::mtcp_get_debug_string(mctx, wild!(), n))),
        19 => drop(status!(endhost::mtcp_set_debug_string(wild!(), wild!()))),
        _ => drop(call!(|n| n == u32::MAX, endhost::mtcp_get_connection_cnt(mctx))),
    }
}

/// A command line of any octets, with nothing behind it.
fn words() {
    let (len, most) = with(|s| (usize::from(s.byte() % 40), c_int::from(s.byte() % 8) - 1));
    let mut line = Room::new(len + 1);
    with(|s| line.0[..len].fill_with(|| s.pick(b"ab \"\'\t\x0b\xff")));
    line.0[len] = 0;
    let mut argv = vec![ptr::null_mut(); most.max(0) as usize].into_boxed_slice();
    let mut count = 77;
    let (words, place) = (argv.as_mut_ptr(), &raw mut count);
    if status!(util::StrToArgs(line.pointer(), place, words, most)) == 0 {
        assert!((0..=most).contains(&count));
        for word in &argv[..count as usize] {
            // SAFETY: the call says that it is a string.
            let _ = unsafe { CStr::from_ptr(*word) }.count_bytes();
        }
    }
    let event = with(|s| s.number() as u32);
    // SAFETY: the call says that it is a string.
    assert!(!unsafe { CStr::from_ptr(quiet!(endhost::EventToString(event))) }.is_empty());
}

fn hashes() {
    let (a, b, p, q, queues) =
        with(|s| (s.number() as u32, s.number() as u32, s.number() as u16, s.number() as u16, s.int()));
    let queue = status!(util::GetRSSCPUCore(a, b, p, q, queues));
    assert!(queue < queues.max(0) && queue == status!(util::GetRSSCPUCore(b, a, q, p, queues)));
    assert_eq!(quiet!(util::GetRSSHash(a, b, p, q)), quiet!(util::GetRSSHash(b, a, q, p)));
    let len = with(|s| usize::from(s.byte()));
    let (mut room, absent) = (Room::new(len), with(|s| s.byte() == 0));
    let input = if absent { ptr::null() } else { room.pointer::<c_void>().cast_const() };
    quiet!(util::XXH32(input, len, a));
    quiet!(util::XXH64(input, len, b.into()));
}
