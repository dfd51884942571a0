//! Calls of the C interface, by script: from the main thread, and inside every callback, in any order, with right and wrong
//! arguments. Whatever is called, `errno` is set when a call fails and left alone when it succeeds, buffers are
//! written only as far as the answer says, and nothing hangs. AddressSanitizer sees the rest.

use libc::{AF_INET, AF_INET6, c_char, c_int, c_void, socklen_t};
use mos::abi::{FilterArg, MOS_SIDE_BOTH, Mctx, MonitorFilter, PktInfo, StreamFilters};
use mos::{context, event, packet, socket, stream, timer};
use mos_flow::testing::Exchange;
use mos_flow::{Frame, Instant, Side, Sides};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, OnceLock};

/// What a call leaves `errno` at that succeeds.
const UNTOUCHED: c_int = 12_345;
/// Calls that one callback makes at the most, and all together: many callbacks must not make an endless run.
const IN_A_CALLBACK: usize = 6;
const IN_ALL: usize = 600;

/// The script and what came of it so far. It is never locked during a call.
struct State {
    script: Vec<u8>,
    at: usize,
    calls: usize,
    contexts: Vec<usize>,
    socks: Vec<c_int>,
    events: Vec<u64>,
}

static STATE: Mutex<State> = Mutex::new(State {
    script: Vec::new(),
    at: 0,
    calls: 0,
    contexts: Vec::new(),
    socks: Vec::new(),
    events: Vec::new(),
});

fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    f(&mut STATE.lock().unwrap())
}

impl State {
    fn byte(&mut self) -> u8 {
        let byte = self.script.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn is_over(&self) -> bool {
        self.at >= self.script.len() || self.calls >= IN_ALL
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// A number that is small, a limit, or any.
    fn number(&mut self) -> i64 {
        match self.byte() {
            b @ 0..200 => i64::from(b),
            200..220 => -i64::from(self.byte()),
            220..230 => i64::from(i32::MAX),
            230..240 => i64::from(i32::MIN),
            240..245 => i64::MAX,
            245..250 => i64::MIN,
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn int(&mut self) -> c_int {
        self.number() as c_int
    }

    /// Mostly the context at hand.
    fn context(&mut self, own: Mctx) -> Mctx {
        match self.byte() {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(self.number() as usize),
            2 => own.wrapping_byte_add(4),
            3..8 if !self.contexts.is_empty() => {
                let contexts = self.contexts.clone();
                ptr::with_exposed_provenance_mut(self.pick(&contexts))
            }
            _ => own,
        }
    }

    /// Mostly a descriptor that was there once.
    fn sock(&mut self, own: c_int) -> c_int {
        match self.byte() {
            0..8 => self.int(),
            8..80 if !self.socks.is_empty() => {
                let socks = self.socks.clone();
                self.pick(&socks)
            }
            _ => own,
        }
    }

    fn event(&mut self) -> u64 {
        match self.byte() {
            b @ 0..150 => 1 << (b % 12),
            150..240 if !self.events.is_empty() => {
                let events = self.events.clone();
                self.pick(&events)
            }
            _ => self.number() as u64,
        }
    }

    fn side(&mut self) -> c_int {
        if self.byte() < 240 { self.pick(&[0, 1]) } else { self.int() }
    }
}

/// A buffer with nothing behind its end, of which it is known what was written.
struct Room(Box<[u8]>);

const BLANK: u8 = 0xa5;

impl Room {
    fn new(len: usize) -> Room {
        Room(vec![BLANK; len].into_boxed_slice())
    }

    fn pointer<T>(&mut self) -> *mut T {
        if self.0.is_empty() { ptr::null_mut() } else { self.0.as_mut_ptr().cast() }
    }

    fn is_blank_from(&self, at: usize) -> bool {
        self.0[at..].iter().all(|b| *b == BLANK)
    }
}

fn errno() -> *mut c_int {
    // SAFETY: the C library gives each thread one.
    unsafe { libc::__errno_location() }
}

/// Makes a call and checks what it does to `errno`.
fn call<T: Copy>(has_failed: impl FnOnce(T) -> bool, f: impl FnOnce() -> T) -> T {
    // SAFETY: the thread's own `errno`.
    unsafe { errno().write(UNTOUCHED) };
    let result = f();
    // SAFETY: as above.
    let after = unsafe { errno().read() };
    assert_eq!(has_failed(result), after != UNTOUCHED, "errno {after}");
    assert_ne!(after, libc::EIO, "a defect stopped at the border");
    result
}

fn status(f: impl FnOnce() -> c_int) -> c_int {
    call(|result| result < 0, f)
}

/// Where a call is made: the context and descriptor that it most likely is about.
type At = (Mctx, c_int);

/// One call of the script. Pointers are NULL or lead to as much as the call's other arguments say.
fn step(at: At) {
    let (mctx, sock, kind) = with(|s| {
        s.calls += 1;
        (s.context(at.0), s.sock(at.1), s.byte())
    });
    match kind % 24 {
        0 => open(mctx),
        1 => drop(status(|| socket::mtcp_close(mctx, sock))),
        2 => bind(mctx, sock),
        3 | 4 => register(mctx, sock),
        5 => define(),
        6 => {
            let child = with(|s| s.event());
            status(|| event::mtcp_raise_event(mctx, child));
        }
        7..10 => peek(mctx, sock),
        10..12 => ppeek(mctx, sock),
        12 | 13 => get_option(mctx, sock),
        14 | 15 => set_option(mctx, sock),
        16 => get_packet(mctx, sock),
        17 | 18 => set_packet(mctx, sock),
        19 => set_timer(mctx),
        20 => get_peer(mctx, sock),
        21 => user(mctx, sock),
        22 => process(mctx),
        _ => rare(mctx, at),
    }
}

fn open(mctx: Mctx) {
    let (domain, kind) = with(|s| (s.pick(&[AF_INET, AF_INET6, AF_INET, 77]), s.pick(&[3, 7, 3, 1, 4, 99])));
    let sock = status(|| socket::mtcp_socket(mctx, domain, kind, 0));
    if sock >= 0 {
        with(|s| s.socks.push(sock));
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
    // SAFETY: NULL or a union whose members are NULL or strings.
    status(|| unsafe { socket::mtcp_bind_monitor_filter(mctx, sock, pointer) });
}

fn register(mctx: Mctx, sock: c_int) {
    let (event, hook) =
        with(|s| (s.event(), s.pick(&[1 << 29, 1 << 30, i32::MIN, 1 << 29, 1 << 30, i32::MIN, 5])));
    if with(|s| s.byte()) < 200 {
        status(|| event::mtcp_register_callback(mctx, sock, event, hook, Some(on_event)));
    } else {
        status(|| event::mtcp_unregister_callback(mctx, sock, event, hook));
    }
}

fn define() {
    let (above, kind, len) = with(|s| (s.event(), s.byte(), usize::from(s.byte() % 40)));
    let mut octets = Room::new(len);
    let arg = FilterArg { arg: octets.pointer(), len };
    let failed = |id: u64| id == 0;
    let id = match kind % 4 {
        0 => call(failed, || event::mtcp_alloc_event(above)),
        // SAFETY: NULL is allowed.
        1 => call(failed, || unsafe { event::mtcp_define_event(above, Some(filter), ptr::null()) }),
        // SAFETY: as many octets as it says.
        2 => call(failed, || unsafe { event::mtcp_define_event(above, Some(filter), &raw const arg) }),
        // SAFETY: NULL is allowed.
        _ => call(failed, || unsafe { event::mtcp_define_event(above, None, ptr::null()) }),
    };
    if id != 0 {
        with(|s| s.events.push(id));
    }
}

fn peek(mctx: Mctx, sock: c_int) {
    let (side, len) = with(|s| (s.side(), usize::from(s.byte()) * 16));
    let mut room = Room::new(len);
    let pointer = room.pointer::<c_char>();
    // SAFETY: as much room as it says.
    let n = call(|n| n < 0, || unsafe { stream::mtcp_peek(mctx, sock, side, pointer, len) });
    assert!(n <= len as isize && room.is_blank_from(n.max(0) as usize));
}

fn ppeek(mctx: Mctx, sock: c_int) {
    let (side, len, off) = with(|s| (s.side(), usize::from(s.byte()) * 4, s.number() as u64));
    let mut room = Room::new(len);
    let pointer = room.pointer::<c_char>();
    // SAFETY: as much room as it says.
    let n = call(|n| n < 0, || unsafe { stream::mtcp_ppeek(mctx, sock, side, pointer, len, off) });
    assert!((-1..=len as isize).contains(&n) && room.is_blank_from(n.max(0) as usize));
}

const LEVELS: [c_int; 6] = [0xfffe, 0xfffe, 0xfffe, 0xfffe, libc::SOL_SOCKET, 99];

fn get_option(mctx: Mctx, sock: c_int) {
    let (level, name, len) =
        with(|s| (s.pick(&LEVELS), c_int::from(s.byte() % 20), s.pick(&[0, 1, 3, 4, 5, 16, 17])));
    // Ranges are counted in elements.
    let octets = if name <= 2 { len as usize * 16 } else { len as usize };
    let (mut room, mut length): (Room, socklen_t) = (Room::new(octets), len);
    let (pointer, length) = (room.pointer::<c_void>(), &raw mut length);
    // SAFETY: as much room as it says.
    let result = status(|| unsafe { socket::mtcp_getsockopt(mctx, sock, level, name, pointer, length) });
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
    // SAFETY: as many octets as it says.
    status(|| unsafe { socket::mtcp_setsockopt(mctx, sock, level, name, pointer, len) });
}

fn get_packet(mctx: Mctx, sock: c_int) {
    let (side, absent) = with(|s| (s.side(), s.byte() == 0));
    let mut info = Box::new(MaybeUninit::<PktInfo>::uninit());
    let pointer = if absent { ptr::null_mut() } else { info.as_mut_ptr() };
    // SAFETY: NULL or room for one.
    if status(|| unsafe { packet::mtcp_getlastpkt(mctx, sock, side, pointer) }) == 0 {
        // SAFETY: the call has filled it in.
        let info = unsafe { info.assume_init_read() };
        // Every octet that it promises is there.
        for (start, len) in [(info.ethh, info.eth_len), (info.payload, info.payloadlen)] {
            if !start.is_null() {
                // SAFETY: so says the header.
                let octets = unsafe { std::slice::from_raw_parts(start, len.into()) };
                std::hint::black_box(octets.iter().map(|b| u64::from(*b)).sum::<u64>());
            }
        }
    }
}

fn set_packet(mctx: Mctx, sock: c_int) {
    let (offset, len, option) =
        with(|s| (s.number(), u16::from(s.byte()), s.number() as c_int & 0x7f | 1 << (6 + s.byte() % 4)));
    let option = if with(|s| s.byte()) < 230 { option & !0x40 } else { option };
    let mut octets = Room::new(len.into());
    packet_call(mctx, sock, offset, octets.pointer(), len, option);
}

fn packet_call(mctx: Mctx, sock: c_int, offset: i64, data: *mut u8, len: u16, option: c_int) {
    #[allow(unused_unsafe)] // it becomes unsafe when it reads `data`
    // SAFETY: as many octets as it says.
    status(|| unsafe { packet::mtcp_setlastpkt(mctx, sock, MOS_SIDE_BOTH, offset, data, len, option) });
}

fn set_timer(mctx: Mctx) {
    let (id, seconds, micros, kind) = with(|s| (s.int(), s.number(), s.number(), s.byte()));
    let seconds = if kind < 200 { 0 } else { seconds };
    let timeout = libc::timeval { tv_sec: seconds, tv_usec: micros };
    let pointer = if kind == 0 { ptr::null() } else { &raw const timeout };
    let callback: Option<mos::abi::Callback> = if kind == 1 { None } else { Some(on_event) };
    // SAFETY: NULL or a structure.
    status(|| unsafe { timer::mtcp_settimer(mctx, id, pointer, callback) });
}

fn get_peer(mctx: Mctx, sock: c_int) {
    let (side, len) = with(|s| (s.pick(&[0, 1, 2, 3, -1]), s.pick(&[16, 32, 28, 56, 0, 15, 64])));
    let (mut room, mut length): (Room, socklen_t) = (Room::new(len as usize), len);
    let (pointer, length) = (room.pointer(), &raw mut length);
    // SAFETY: as much room as it says.
    let result = status(|| unsafe { socket::mtcp_getpeername(mctx, sock, pointer, length, side) });
    assert!(result == 0 || room.is_blank_from(0));
}

fn user(mctx: Mctx, sock: c_int) {
    let word = with(|s| s.number() as usize);
    socket::mtcp_set_uctx(mctx, sock, ptr::without_provenance_mut(word));
    socket::mtcp_get_uctx(mctx, sock);
}

/// Calls about the process.
fn process(mctx: Mctx) {
    let mut conf = MaybeUninit::uninit();
    // SAFETY: room for one.
    if status(|| unsafe { context::mtcp_getconf(conf.as_mut_ptr()) }) < 0 {
        return;
    }
    // SAFETY: the call has filled it in.
    let mut conf = unsafe { conf.assume_init() };
    let kind = with(|s| s.byte());
    if kind < 50 {
        conf.rcvbuf_size = with(|s| s.int()).min(1 << 16);
        // SAFETY: a structure.
        status(|| unsafe { context::mtcp_setconf(&raw const conf) });
    }
    timer::mtcp_cb_get_ts(mctx);
    context::mos_last_error();
}

/// Ends of contexts, and new ones.
fn rare(mctx: Mctx, at: At) {
    match with(|s| s.byte()) {
        0..30 => drop(status(|| context::mtcp_destroy_context(mctx))),
        30..60 => create(),
        60..70 => drop(status(|| context::mtcp_destroy())),
        // A wait inside a callback is refused; outside it lasts until the capture ends.
        70..80 => context::mtcp_app_join(if at.1 < 0 { mctx } else { at.0 }),
        // SAFETY: NULL is allowed.
        80..90 => drop(status(|| unsafe { context::mtcp_init(ptr::null()) })),
        _ => {}
    }
}

fn create() {
    let cpu = with(|s| s.pick(&[0, 1, 0, 2, -1]));
    let mctx = call(|mctx: Mctx| mctx.is_null(), || context::mtcp_create_context(cpu));
    if !mctx.is_null() {
        with(|s| s.contexts.push(mctx.expose_provenance()));
    }
}

/// A few calls, as long as the script lasts.
fn steps(at: At, most: usize) {
    for _ in 0..most {
        if with(|s| s.is_over()) {
            return;
        }
        step(at);
    }
}

unsafe extern "C" fn on_event(mctx: Mctx, sock: c_int, _side: c_int, _event: u64, _arg: *mut FilterArg) {
    with(|s| {
        if s.socks.len() < 64 {
            s.socks.push(sock);
        }
    });
    let most = with(|s| usize::from(s.byte()) % IN_A_CALLBACK);
    steps((mctx, sock), most);
}

unsafe extern "C" fn filter(mctx: Mctx, sock: c_int, side: c_int, event: u64, arg: *mut FilterArg) -> bool {
    // SAFETY: a callback like any other.
    unsafe { on_event(mctx, sock, side, event, arg) };
    with(|s| s.byte() < 180)
}

/// Connections of all kinds: data in order, early, again and changed, a reset, an end, IPv6, a packet of none.
fn traffic() -> Vec<Vec<u8>> {
    use Side::{Client, Server};
    use tcp_reasm::Flags;
    let mut packets = Vec::new();
    for (client, server) in
        [("10.0.0.1:1000", "10.0.0.2:80"), ("10.0.0.1:1001", "10.0.0.2:81"), ("[fd00::1]:7", "[fd00::2]:80")]
    {
        let isn = Sides { client: u32::MAX - 20, server: 7 };
        let mut x = Exchange::new(client.parse().unwrap(), server.parse().unwrap(), isn);
        packets.extend(x.handshake());
        packets.push(x.data(Client, &[b'x'; 60]));
        let (seq, ack) = (x.seq(Client), x.seq(Server));
        packets.push(x.segment_at(Client, seq.wrapping_add(30), ack, Flags::ACK, &[b'y'; 30]));
        packets.push(x.segment_at(Client, seq.wrapping_sub(10), ack, Flags::ACK, &[b'z'; 60]));
        let answer: Vec<u8> = (0..1400).map(|i| i as u8).collect();
        for _ in 0..8 {
            packets.push(x.data(Server, &answer));
        }
        let last = if client.starts_with('[') {
            vec![x.segment(Server, Flags::RST, &[])]
        } else {
            x.close(Client).to_vec()
        };
        packets.extend(last);
        packets.push(x.segment_at(Server, 1, 1, Flags::ACK, b"nobody's"));
    }
    packets
}

/// A capture and a configuration that lie in no directory.
fn files() -> &'static [CString; 2] {
    static FILES: OnceLock<[CString; 2]> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut capture = Vec::new();
        let mut writer = mos_dpdk::capture::CaptureWriter::new(&mut capture);
        for (i, packet) in traffic().iter().enumerate() {
            writer.write(&Frame::ethernet(Instant(1_000_000 + 1000 * i as u64), packet)).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        let conf = "mos {\nmax_concurrency = 8\nnetdev {\na 1\nb 2\n}\n}\n";
        [memory_file(&capture), memory_file(conf.as_bytes())]
    })
}

fn memory_file(octets: &[u8]) -> CString {
    // SAFETY: a name that ends.
    let descriptor = unsafe { libc::memfd_create(c"fuzz".as_ptr(), 0) };
    let path = format!("/proc/self/fd/{descriptor}");
    std::fs::write(&path, octets).unwrap();
    CString::new(path).unwrap()
}

/// Runs a script.
pub fn run(input: &[u8]) {
    let [capture, conf] = files();
    // SAFETY: the only threads that read the environment are stacks, and none lives.
    unsafe { std::env::set_var("MOS_IO", format!("pcap:{},/dev/null", capture.to_str().unwrap())) };
    with(|s| {
        *s = State {
            script: input.to_vec(),
            at: 0,
            calls: 0,
            contexts: vec![],
            socks: vec![],
            events: vec![],
        };
    });
    // SAFETY: a string.
    assert_eq!(status(|| unsafe { context::mtcp_init(conf.as_ptr()) }), 0);
    create_first();
    let contexts = || with(|s| s.contexts.clone());
    let first = ptr::with_exposed_provenance_mut(contexts()[0]);
    open(first);
    steps((first, -1), 40);
    for mctx in contexts() {
        context::mtcp_app_join(ptr::with_exposed_provenance_mut(mctx));
    }
    steps((first, -1), 40);
    for mctx in contexts() {
        context::mtcp_destroy_context(ptr::with_exposed_provenance_mut(mctx));
    }
    context::mtcp_destroy();
}

fn create_first() {
    let mctx = call(|mctx: Mctx| mctx.is_null(), || context::mtcp_create_context(0));
    with(|s| s.contexts.push(mctx.expose_provenance()));
}
