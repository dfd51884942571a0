//! End-host sockets and event queues. Their functions exist, so that programs that name them link, and refuse with
//! `ENOSYS`. What is about connections in general works.

use crate::abi::{self, Mctx, MtcpEpollEvent};
use crate::current::{control, find};
use crate::errno::Errno;
use crate::ffi::{Answer, entry};
use crate::socket::id_of;
use libc::{c_char, c_int, c_void, in_addr_t, iovec, size_t, sockaddr, socklen_t, ssize_t};

/// Functions that refuse, by name, types of the arguments behind those that are checked, and result. Nothing that the
/// arguments point to is looked at.
macro_rules! absent {
    (sockets { $($socket:ident($($type:ty),*) -> $result:ty;)+ }
     contexts { $($context:ident($($other:ty),*) -> $answer:ty;)+ }) => {
        $(
            /// See the header.
            #[unsafe(no_mangle)]
            pub extern "C" fn $socket(mctx: Mctx, sock: c_int, $(_: $type),*) -> $result {
                entry(-1, || of_socket(mctx, sock))
            }
        )+
        $(
            /// See the header.
            #[unsafe(no_mangle)]
            pub extern "C" fn $context(mctx: Mctx, $(_: $other),*) -> $answer {
                entry(-1, || of_context(mctx))
            }
        )+
    };
}

absent! {
    sockets {
        mtcp_bind(*const sockaddr, socklen_t) -> c_int;
        mtcp_listen(c_int) -> c_int;
        mtcp_accept(*mut sockaddr, *mut socklen_t) -> c_int;
        mtcp_connect(*const sockaddr, socklen_t) -> c_int;
        mtcp_abort() -> c_int;
        mtcp_getsockname(*mut sockaddr, *mut socklen_t) -> c_int;
        mtcp_recv(*mut c_char, size_t, c_int) -> ssize_t;
        mtcp_read(*mut c_char, size_t) -> ssize_t;
        mtcp_readv(*const iovec, c_int) -> ssize_t;
        mtcp_write(*const c_char, size_t) -> ssize_t;
        mtcp_writev(*const iovec, c_int) -> ssize_t;
        mtcp_setsock_nonblock() -> c_int;
        mtcp_ioctl(c_int, *mut c_void) -> c_int;
        mtcp_epoll_ctl(c_int, c_int, *mut MtcpEpollEvent) -> c_int;
        mtcp_epoll_wait(*mut MtcpEpollEvent, c_int, c_int) -> c_int;
    }
    contexts {
        mtcp_init_rss(in_addr_t, c_int, in_addr_t, in_addr_t) -> c_int;
        mtcp_pipe(*mut c_int) -> c_int;
        mtcp_epoll_create(c_int) -> c_int;
        mtcp_get_debug_string(*mut c_char, c_int) -> c_int;
    }
}

fn of_context<T>(mctx: Mctx) -> Answer<T> {
    find(mctx)?;
    Err(Errno::NOSYS)
}

fn of_socket<T>(mctx: Mctx, sock: c_int) -> Answer<T> {
    control(find(mctx)?, move |desk| id_of(desk, sock).map(|_| ()))?;
    Err(Errno::NOSYS)
}

/// See `mos_api.h`. In C it takes any number of arguments more. Those named are passed in the same places all the same, and
/// the others concern nobody but the caller, who puts them there and takes them away.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_set_debug_string(_manager: *mut c_void, _format: *const c_char) -> c_int {
    entry(-1, || Err(Errno::NOSYS))
}

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_get_connection_cnt(mctx: Mctx) -> u32 {
    entry(u32::MAX, || {
        control(find(mctx)?, |desk| {
            let stats = desk.control.stats();
            Ok(u32::try_from(stats.flows.saturating_sub(stats.flows_ended)).unwrap_or(u32::MAX))
        })
    })
}

/// See `mtcp_epoll.h`. The string is not for writing, whatever its type.
#[allow(non_snake_case)]
#[unsafe(no_mangle)]
pub extern "C" fn EventToString(event: u32) -> *mut c_char {
    const NAMES: [&std::ffi::CStr; 12] = [
        c"NONE", c"IN", c"PRI", c"OUT", c"RDNORM", c"RDBAND", c"WRNORM", c"WRBAND", c"MSG", c"ERR", c"HUP",
        c"RDHUP",
    ];
    let name = match event.cast_signed() {
        abi::MOS_EPOLLONESHOT => c"ONESHOT",
        abi::MOS_EPOLLET => c"ET",
        _ if event.is_power_of_two() => {
            NAMES.get(event.trailing_zeros() as usize).copied().unwrap_or(c"UNKNOWN")
        }
        _ => c"UNKNOWN",
    };
    name.as_ptr().cast_mut()
}
