//! Calls of the C interface, by script: from the main thread, and inside every callback, in any order, with right and wrong
//! arguments. Whatever is called, `errno` is set when a call fails and left alone when it succeeds, buffers are
//! written only as far as the answer says, and nothing hangs. AddressSanitizer sees the rest.

mod beyond;
mod original;
mod packets;
mod plain;

use libc::c_int;
use mos::abi::{FilterArg, Mctx};
use mos_flow::testing::Exchange;
use mos_flow::{Frame, Instant, Side, Sides};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// What a call leaves `errno` at that succeeds.
const UNTOUCHED: c_int = 12_345;
/// Calls that one callback makes at the most, and all together: many callbacks must not make an endless run.
const IN_A_CALLBACK: usize = 6;
const IN_ALL: usize = 600;
/// Calls of the main thread before packets come, and again after the last one.
const BEFORE: usize = 12;

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

thread_local! {
    /// Octets of the library's that the running callback was lent until it returns.
    static LENT: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

thread_local! {
    /// The event that the running callback or filter was called for.
    static AT_HAND: Cell<u64> = const { Cell::new(0) };
}

/// Octets lent by a call that has just been made.
fn lend(start: *const u8, len: usize) {
    LENT.with_borrow_mut(|lent| lent.push((start.expose_provenance(), len)));
}

/// Reads what was lent.
fn read_lent() {
    LENT.with_borrow_mut(|lent| {
        for (start, len) in lent.drain(..) {
            read_all(ptr::with_exposed_provenance(start), len);
        }
    });
}

fn read_all(start: *const u8, len: usize) {
    // SAFETY: the call that gave them says that they are there.
    let octets = unsafe { std::slice::from_raw_parts(start, len) };
    std::hint::black_box(octets.iter().map(|b| u64::from(*b)).sum::<u64>());
}

fn errno() -> *mut c_int {
    // SAFETY: the C library gives each thread one.
    unsafe { libc::__errno_location() }
}

/// How often each function has succeeded and failed.
static COUNTS: Mutex<BTreeMap<&'static str, [u64; 2]>> = Mutex::new(BTreeMap::new());

/// Makes a call of `path`'s last part and checks what it does to `errno`.
fn make<T: Copy>(path: &'static str, has_failed: impl FnOnce(T) -> bool, f: impl FnOnce() -> T) -> T {
    // SAFETY: the thread's own `errno`.
    unsafe { errno().write(UNTOUCHED) };
    let result = f();
    // SAFETY: as above.
    let after = unsafe { errno().read() };
    let name = path.rsplit("::").next().unwrap_or(path).trim();
    let failed = has_failed(result);
    assert_eq!(failed, after != UNTOUCHED, "{name}: errno {after}");
    assert_ne!(after, libc::EIO, "{name}: a defect stopped at the border");
    COUNTS.lock().unwrap().entry(name).or_default()[usize::from(failed)] += 1;
    result
}

/// Counts something else that has succeeded.
fn count(what: &'static str) {
    COUNTS.lock().unwrap().entry(what).or_default()[0] += 1;
}

/// A call of a function of C, and what of its results is failure. Its pointers are NULL or lead to as much as its other
/// arguments say, in which each use below is careful: that is all that the functions ask for.
macro_rules! call {
    ($failed:expr, $($path:ident)::+ ($($argument:expr),* $(,)?)) => {{
        #[allow(unused_unsafe)]
        // SAFETY: see above.
        $crate::abi::make(stringify!($($path)::+), $failed, || unsafe { mos::$($path)::+($($argument),*) })
    }};
}

/// The same for those that fail with a negative number.
macro_rules! status {
    ($($call:tt)*) => { $crate::abi::call!(|result| result < 0, $($call)*) };
}

/// The same for those whose failure only `errno` tells.
macro_rules! quiet {
    ($($call:tt)*) => { $crate::abi::call!(|_| $crate::abi::has_errno(), $($call)*) };
}
use {call, quiet, status};

fn has_errno() -> bool {
    // SAFETY: the thread's own `errno`.
    unsafe { errno().read() != UNTOUCHED }
}

/// Where a call is made: the context and descriptor that it most likely is about.
type At = (Mctx, c_int);

/// One call of the script.
fn step(at: At) {
    let (mctx, sock, kind) = with(|s| {
        s.calls += 1;
        (s.context(at.0), s.sock(at.1), s.byte())
    });
    match kind {
        0..100 => original::step(mctx, sock, kind),
        100..150 => packets::step(mctx, sock, kind),
        150..220 => beyond::step(mctx, sock, kind),
        220..240 => plain::step(mctx, sock),
        _ => rare(mctx, at),
    }
}

/// Ends of contexts, and new ones.
fn rare(mctx: Mctx, at: At) {
    match with(|s| s.byte()) {
        0..20 => drop(status!(context::mtcp_destroy_context(mctx))),
        20..30 => quiet!(context::mtcp_free_context(mctx)),
        30..60 => create(),
        60..70 => drop(status!(context::mtcp_destroy())),
        // A wait inside a callback is refused; outside it lasts until the capture ends.
        70..80 => quiet!(context::mtcp_app_join(if at.1 < 0 { mctx } else { at.0 })),
        80..90 => drop(status!(context::mtcp_init(ptr::null()))),
        _ => {}
    }
}

fn create() {
    let cpu = with(|s| s.pick(&[0, 1, 0, 2, -1]));
    let mctx = call!(|mctx: Mctx| mctx.is_null(), context::mtcp_create_context(cpu));
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

unsafe extern "C" fn on_event(mctx: Mctx, sock: c_int, _side: c_int, event: u64, _arg: *mut FilterArg) {
    AT_HAND.set(event);
    with(|s| {
        if s.socks.len() < 64 {
            s.socks.push(sock);
        }
    });
    let most = with(|s| usize::from(s.byte()) % IN_A_CALLBACK);
    steps((mctx, sock), most);
    read_lent();
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

/// A capture, and configurations for one core and for two, that lie in no directory.
fn files() -> &'static [CString; 3] {
    static FILES: OnceLock<[CString; 3]> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut capture = Vec::new();
        let mut writer = mos_dpdk::capture::CaptureWriter::new(&mut capture);
        for (i, packet) in traffic().iter().enumerate() {
            writer.write(&Frame::ethernet(Instant(1_000_000 + 1000 * i as u64), packet)).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        let conf = |cores| format!("mos {{\nmax_concurrency = 8\nnetdev {{\na {cores}\n}}\n}}\n");
        [memory_file(&capture), memory_file(conf(1).as_bytes()), memory_file(conf(3).as_bytes())]
    })
}

fn memory_file(octets: &[u8]) -> CString {
    // SAFETY: a name that ends.
    let descriptor = unsafe { libc::memfd_create(c"fuzz".as_ptr(), 0) };
    let path = format!("/proc/self/fd/{descriptor}");
    std::fs::write(&path, octets).unwrap();
    CString::new(path).unwrap()
}

/// Runs a script, one at a time: there is one configuration.
pub fn run(input: &[u8]) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [capture, one, two] = files();
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
    // Contexts that share a capture wait for each other: that is slow.
    let conf = if with(|s| s.byte()) < 5 { two } else { one };
    assert_eq!(status!(context::mtcp_init(conf.as_ptr())), 0);
    create_first();
    let contexts = || with(|s| s.contexts.clone());
    let first = ptr::with_exposed_provenance_mut(contexts()[0]);
    original::watch(first);
    steps((first, -1), BEFORE);
    for mctx in contexts() {
        quiet!(context::mtcp_app_join(ptr::with_exposed_provenance_mut(mctx)));
    }
    steps((first, -1), BEFORE);
    for mctx in contexts() {
        status!(context::mtcp_destroy_context(ptr::with_exposed_provenance_mut(mctx)));
    }
    status!(context::mtcp_destroy());
}

fn create_first() {
    let mctx = call!(|mctx: Mctx| mctx.is_null(), context::mtcp_create_context(0));
    with(|s| s.contexts.push(mctx.expose_provenance()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { sources(&path, out) } else { out.push(path) }
        }
    }

    /// Names of all functions that the library gives to C.
    fn exported() -> BTreeSet<String> {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../mos-capi/src"), &mut files);
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let functions = text.split("#[unsafe(no_mangle)]").skip(1).filter_map(|rest| rest.split_once("fn "));
        let name = |rest: &str| rest.split('(').next().unwrap().to_owned();
        let macros = text.split("absent! {").nth(1).unwrap().split("\n}").next().unwrap();
        let absent =
            macros.split([';', '{']).filter_map(|line| line.split_once('(')).map(|(name, _)| name.trim());
        functions
            .map(|(_, rest)| name(rest))
            .filter(|n| !n.starts_with('$'))
            .chain(absent.map(str::to_owned))
            .collect()
    }

    /// What has no argument that could be right here, or succeeds by failing otherwise.
    const REFUSE: [&str; 3] = ["mtcp_set_debug_string", "mtcp_get_debug_string", "mtcp_core_affinitize"];

    #[test]
    fn every_function_is_called_and_succeeds() {
        let mut word = 1_u32;
        let mut random = || {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (word >> 24) as u8
        };
        for _ in 0..600 {
            let script: Vec<u8> = (0..1200).map(|_| random()).collect();
            run(&script);
        }
        let counts = COUNTS.lock().unwrap();
        for (name, [good, bad]) in counts.iter() {
            println!("{name}: {good} good, {bad} bad");
        }
        let called: BTreeSet<String> = counts.keys().map(|name| (*name).to_owned()).collect();
        let mut all = exported();
        all.extend(["overwrite", "chomp", "insert"].map(str::to_owned));
        assert!(called == all, "{:?}", called.symmetric_difference(&all).collect::<Vec<_>>());
        let never: Vec<_> = counts.iter().filter(|(name, [good, _])| *good == 0 && !refuses(name)).collect();
        assert!(never.is_empty(), "{never:?}");
    }

    fn refuses(name: &str) -> bool {
        plain::ABSENT.contains(&name) || REFUSE.contains(&name)
    }
}
