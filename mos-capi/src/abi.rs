//! Types and values of the headers. Their layout is checked on both sides: here, and in `tests/c/layout.c`.

use libc::{c_char, c_int, c_void, sockaddr_in, sockaddr_in6};
use std::mem::{align_of, offset_of, size_of};
use std::sync::atomic::AtomicI32;

/// `struct mtcp_context`. C may write to it; nobody here reads it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct MtcpContext {
    /// The core.
    pub cpu: AtomicI32,
}

/// `mctx_t`.
pub type Mctx = *mut MtcpContext;
/// `event_t`.
pub type EventId = u64;
/// `callback_t`.
pub type Callback = unsafe extern "C" fn(Mctx, c_int, c_int, EventId, *mut FilterArg);
/// `filter_t`.
pub type Filter = unsafe extern "C" fn(Mctx, c_int, c_int, EventId, *mut FilterArg) -> bool;

/// `struct filter_arg`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FilterArg {
    /// Octets of the event.
    pub arg: *mut c_void,
    /// How many.
    pub len: usize,
}

/// Application blocks that [`MtcpConf`] shows.
pub const MOS_APP: usize = 20;
/// Words of a command line that [`MtcpConf`] shows.
pub const MOS_APP_ARGC: usize = 20;

/// `struct mtcp_conf`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct MtcpConf {
    pub num_cores: c_int,
    pub max_concurrency: c_int,
    pub cpu_mask: u64,
    pub max_num_buffers: c_int,
    pub rcvbuf_size: c_int,
    pub sndbuf_size: c_int,
    pub tcp_timewait: c_int,
    pub tcp_timeout: c_int,
    pub app_cpu_mask: [u64; MOS_APP],
    pub app_argv: [[*mut c_char; MOS_APP_ARGC]; MOS_APP],
    pub app_argc: [c_int; MOS_APP],
    pub num_app: c_int,
}

/// `union monitor_filter`.
#[derive(Clone, Copy)]
#[repr(C)]
pub union MonitorFilter {
    /// Of a raw socket.
    pub raw_pkt_filter: *mut c_char,
    /// Of a stream socket.
    pub stream: StreamFilters,
}

impl std::fmt::Debug for MonitorFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MonitorFilter")
    }
}

/// The nameless structure in `union monitor_filter`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StreamFilters {
    /// Of first SYNs.
    pub stream_syn_filter: *mut c_char,
    /// Of orphans.
    pub stream_orphan_filter: *mut c_char,
}

/// `struct tcp_ring_fragment`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TcpRingFragment {
    /// Of its first octet.
    pub offset: u64,
    /// Octets.
    pub len: u32,
}

/// `struct tcp_buf_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct TcpBufInfo {
    pub tcpbi_init_seq: u32,
    pub tcpbi_last_byte_read: u32,
    pub tcpbi_next_byte_expected: u32,
    pub tcpbi_last_byte_received: u32,
}

/// `struct pkt_info`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs)] // the header explains them
pub struct PktInfo {
    pub cur_ts: u32,
    pub in_ifidx: i8,
    pub eth_len: u16,
    pub ip_len: u16,
    pub offset: u64,
    pub payloadlen: u16,
    pub seq: u32,
    pub ack_seq: u32,
    pub window: u16,
    pub ethh: *mut u8,
    pub iph: *mut u8,
    pub tcph: *mut u8,
    pub payload: *mut u8,
}

/// `struct mtcp_epoll_event`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MtcpEpollEvent {
    /// Bits of `enum epoll_event_type`.
    pub events: u64,
    /// `union mtcp_epoll_data`: the program's own.
    pub data: u64,
}

const _: () = {
    assert!(size_of::<MtcpContext>() == 4 && offset_of!(MtcpContext, cpu) == 0);
    assert!(size_of::<FilterArg>() == 16);
    assert!(size_of::<MtcpConf>() == 3488 && align_of::<MtcpConf>() == 8);
    assert!(offset_of!(MtcpConf, cpu_mask) == 8 && offset_of!(MtcpConf, tcp_timeout) == 32);
    assert!(offset_of!(MtcpConf, app_cpu_mask) == 40 && offset_of!(MtcpConf, app_argv) == 200);
    assert!(offset_of!(MtcpConf, app_argc) == 3400 && offset_of!(MtcpConf, num_app) == 3480);
    assert!(size_of::<MonitorFilter>() == 16 && size_of::<TcpRingFragment>() == 16);
    assert!(size_of::<TcpBufInfo>() == 16 && offset_of!(TcpRingFragment, len) == 8);
    assert!(size_of::<PktInfo>() == 72 && offset_of!(PktInfo, in_ifidx) == 4);
    assert!(offset_of!(PktInfo, eth_len) == 6 && offset_of!(PktInfo, ip_len) == 8);
    assert!(offset_of!(PktInfo, offset) == 16 && offset_of!(PktInfo, payloadlen) == 24);
    assert!(offset_of!(PktInfo, seq) == 28 && offset_of!(PktInfo, ack_seq) == 32);
    assert!(offset_of!(PktInfo, window) == 36 && offset_of!(PktInfo, ethh) == 40);
    assert!(offset_of!(PktInfo, iph) == 48 && offset_of!(PktInfo, tcph) == 56);
    assert!(offset_of!(PktInfo, payload) == 64);
    assert!(size_of::<MtcpEpollEvent>() == 16);
    assert!(size_of::<sockaddr_in>() == 16 && size_of::<sockaddr_in6>() == 28);
    assert!(size_of::<Option<Callback>>() == size_of::<*mut c_void>());
};

macro_rules! constants {
    ($($name:ident: $type:ty = $value:expr;)+) => {
        $(#[allow(missing_docs)] pub const $name: $type = $value;)+

        /// Names and values, for the check against the headers.
        pub const CONSTANTS: &[(&str, i64)] = &[$((stringify!($name), $name as i64)),+];
    };
}

pub mod ext;

constants! {
    MOS_ABI_VERSION: u32 = 2;

    MOS_SIDE_CLI: c_int = 0;
    MOS_SIDE_SVR: c_int = 1;
    MOS_SIDE_BOTH: c_int = 2;

    MOS_SOCK_MONITOR_STREAM: c_int = 3;
    MOS_SOCK_STREAM: c_int = 4;
    MOS_SOCK_MONITOR_RAW: c_int = 7;

    MOS_NULL: c_int = 1 << 29;
    MOS_HK_RCV: c_int = 1 << 30;
    MOS_HK_SND: c_int = c_int::MIN;

    MOS_NULL_EVENT: EventId = 0;
    MOS_ON_PKT_IN: EventId = 1;
    MOS_ON_PKT_OUT: EventId = 1 << 1;
    MOS_ON_CONN_START: EventId = 1 << 2;
    MOS_ON_CONN_SETUP: EventId = 1 << 3;
    MOS_ON_CONN_NEW_DATA: EventId = 1 << 4;
    MOS_ON_ERROR: EventId = 1 << 5;
    MOS_ON_TIMEOUT: EventId = 1 << 6;
    MOS_ON_TCP_STATE_CHANGE: EventId = 1 << 7;
    MOS_ON_ORPHAN: EventId = 1 << 8;
    MOS_ON_REXMIT: EventId = 1 << 9;
    MOS_ON_CONN_END: EventId = 1 << 10;
    MOS_ON_DEBUG_MESSAGE: EventId = 1 << 11;

    SOL_SOCKET: c_int = libc::SOL_SOCKET;
    SOL_MONSOCKET: c_int = 0xfffe;
    MOS_FRAGINFO_CLIBUF: c_int = 1;
    MOS_FRAGINFO_SVRBUF: c_int = 2;
    MOS_INFO_CLIBUF: c_int = 3;
    MOS_INFO_SVRBUF: c_int = 4;
    MOS_TCP_STATE_CLI: c_int = 5;
    MOS_TCP_STATE_SVR: c_int = 6;
    MOS_TIMESTAMP: c_int = 7;
    MOS_CLIBUF: c_int = 9;
    MOS_SVRBUF: c_int = 10;
    MOS_STOP_MON: c_int = 12;
    MOS_FRAG_CLIBUF: c_int = 13;
    MOS_FRAG_SVRBUF: c_int = 14;
    MOS_CLIOVERLAP: c_int = 15;
    MOS_SVROVERLAP: c_int = 16;

    MOS_OVERLAP_POLICY_FIRST: c_int = 0;
    MOS_OVERLAP_POLICY_LAST: c_int = 1;

    MOS_ETH_HDR: c_int = 1;
    MOS_IP_HDR: c_int = 1 << 1;
    MOS_TCP_HDR: c_int = 1 << 2;
    MOS_TCP_PAYLOAD: c_int = 1 << 3;
    MOS_UPDATE_IP_CHKSUM: c_int = 1 << 4;
    MOS_UPDATE_TCP_CHKSUM: c_int = 1 << 5;
    MOS_DROP: c_int = 1 << 6;
    MOS_OVERWRITE: c_int = 1 << 7;
    MOS_CHOMP: c_int = 1 << 8;
    MOS_INSERT: c_int = 1 << 9;

    MOS_EPOLLONESHOT: c_int = 1 << 30;
    MOS_EPOLLET: c_int = c_int::MIN;

    TCP_CLOSED: c_int = mos_flow::State::Closed as c_int;
    TCP_LISTEN: c_int = mos_flow::State::Listen as c_int;
    TCP_SYN_SENT: c_int = mos_flow::State::SynSent as c_int;
    TCP_SYN_RCVD: c_int = mos_flow::State::SynReceived as c_int;
    TCP_ESTABLISHED: c_int = mos_flow::State::Established as c_int;
    TCP_FIN_WAIT_1: c_int = mos_flow::State::FinWait1 as c_int;
    TCP_FIN_WAIT_2: c_int = mos_flow::State::FinWait2 as c_int;
    TCP_CLOSE_WAIT: c_int = mos_flow::State::CloseWait as c_int;
    TCP_CLOSING: c_int = mos_flow::State::Closing as c_int;
    TCP_LAST_ACK: c_int = mos_flow::State::LastAck as c_int;
    TCP_TIME_WAIT: c_int = mos_flow::State::TimeWait as c_int;
}

/// Whether a number is that of one built-in event.
pub(crate) fn is_built_in(number: EventId) -> bool {
    number.is_power_of_two() && number <= MOS_ON_DEBUG_MESSAGE
}

/// The built-in event with a number; `None` for others, and for those that are never raised.
pub(crate) fn raised_event(number: EventId) -> Option<mos_flow::Event> {
    mos_flow::Event::ALL.into_iter().find(|event| event_id(*event) == number)
}

/// The number of a built-in event.
pub(crate) fn event_id(event: mos_flow::Event) -> EventId {
    use mos_flow::Event;
    match event {
        Event::PacketIn => MOS_ON_PKT_IN,
        Event::ConnStart => MOS_ON_CONN_START,
        Event::NewData => MOS_ON_CONN_NEW_DATA,
        Event::Error => MOS_ON_ERROR,
        Event::StateChange => MOS_ON_TCP_STATE_CHANGE,
        Event::Orphan => MOS_ON_ORPHAN,
        Event::Retransmission => MOS_ON_REXMIT,
        Event::ConnEnd => MOS_ON_CONN_END,
    }
}
