//! The process's configuration: what `mtcp_init` read and `mtcp_setconf` changed.

use crate::abi::{MOS_APP, MOS_APP_ARGC, MtcpConf};
use crate::defined::MAX_EVENTS;
use crate::errno::Errno;
use crate::io::{Failure, Plan};
use crate::lock::lock;
use crate::slot::MAX_CORES;
use crate::sync::{Mutex, process_wide};
use crate::text;
use libc::{c_char, c_int};
use mos_dpdk::config::Config;
use mos_flow::engine::Arrays;
use mos_flow::memory::Heap;
use mos_flow::{Config as Limits, Retention, Strictness, Timeouts};
use std::ffi::CString;
use std::path::Path;
use std::ptr;
use std::time::Duration;

/// Streams that a context can be made for. Arbitrary; two gigabytes of tables come before it.
const MAX_CONCURRENCY: c_int = 1 << 25;
/// Stream memory of a context, octets: the least, for holes, and the most. It is touched only when used.
const STREAM_MEMORY: std::ops::RangeInclusive<u64> = 16 << 20..=4 << 30;
pub(crate) const CHUNK: u64 = 2048;
/// Packets that wait to be sent: changed ones of a burst, and made ones. Arbitrary.
const OUTPUT: std::ops::RangeInclusive<usize> = 256..=1024;
/// Octets of such a packet: the longest of IP, and its link header.
const OUTPUT_OCTETS: usize = (1 << 16) + 64;
/// Connections of which octets are changed at once, two kilobytes each. Arbitrary.
const MAX_CHANGED: usize = 1 << 16;
/// How long after a connection's end its last packets are not taken for the middle of a new one. Arbitrary.
const STRAY: Duration = Duration::from_secs(120);
/// Octets for all that is small beside the tables: buffers of files, sockets' names, threads' needs.
const HEADROOM: usize = 8 << 20;

process_wide! {
    static SETTINGS: Mutex<Option<Settings>> = Mutex::new(None);
}
process_wide! {
    /// Command lines that were given out; they stay.
    static WORDS: Mutex<Vec<CString>> = Mutex::new(Vec::new());
}

/// What contexts are made by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    config: Config,
    pub(crate) num_cores: c_int,
    max_concurrency: c_int,
    rcvbuf: c_int,
    sndbuf: c_int,
    /// Milliseconds.
    time_wait: c_int,
    /// Milliseconds; not positive: for ever.
    timeout: c_int,
}

/// Reads the configuration file.
///
/// # Errors
/// The errno of reading it, `EINVAL` when it cannot be understood.
pub(crate) fn load(path: &Path) -> Result<(), Errno> {
    let config = Config::load(path).map_err(|e| {
        text::tell(format_args!("{}: {e}", path.display()));
        Errno::from(&e)
    })?;
    let warnings: Vec<String> = config.warnings.iter().map(|w| format!("{}: {w}", path.display())).collect();
    let settings = Settings::of(config);
    settings.check().map_err(|sentence| {
        text::tell(format_args!("{}: {sentence}", path.display()));
        Errno::INVAL
    })?;
    text::note(warnings.join("\n"));
    *lock(&SETTINGS) = Some(settings);
    Ok(())
}

/// Forgets the configuration. Returns whether there was one.
pub(crate) fn forget() -> bool {
    lock(&SETTINGS).take().is_some()
}

/// The configuration.
///
/// # Errors
/// `EPERM` when there is none.
pub(crate) fn settings() -> Result<Settings, Errno> {
    lock(&SETTINGS).clone().ok_or_else(missing)
}

fn missing() -> Errno {
    text::tell("there is no configuration: mtcp_init() comes first");
    Errno::PERM
}

/// Changes the configuration by what the program gives.
///
/// # Errors
/// `EPERM` when there is none, `EINVAL` when a value is impossible.
pub(crate) fn change(conf: &MtcpConf) -> Result<(), Errno> {
    let mut settings = lock(&SETTINGS);
    let settings = settings.as_mut().ok_or_else(missing)?;
    let changed = Settings {
        num_cores: conf.num_cores,
        max_concurrency: conf.max_concurrency,
        rcvbuf: conf.rcvbuf_size,
        sndbuf: conf.sndbuf_size,
        time_wait: conf.tcp_timewait,
        timeout: conf.tcp_timeout,
        config: settings.config.clone(),
    };
    changed.check().map_err(|sentence| {
        text::tell(sentence);
        Errno::INVAL
    })?;
    *settings = changed;
    Ok(())
}

impl Settings {
    fn of(config: Config) -> Self {
        let int = |n: u32| c_int::try_from(n).unwrap_or(c_int::MAX);
        let millis = |d: Duration| c_int::try_from(d.as_millis()).unwrap_or(c_int::MAX);
        Settings {
            num_cores: int(config.cpu_mask().count_ones()),
            max_concurrency: int(config.mos.max_concurrency),
            rcvbuf: int(config.mos.rmem_size),
            sndbuf: int(config.mos.wmem_size),
            time_wait: millis(config.mos.tcp_tw_interval),
            timeout: config.mos.tcp_timeout.map_or(-1, millis),
            config,
        }
    }

    /// Whether contexts can be made by it; else a sentence.
    fn check(&self) -> Result<(), String> {
        let ranges = [
            ("num_cores", self.num_cores, 1..=MAX_CORES),
            ("max_concurrency", self.max_concurrency, 1..=MAX_CONCURRENCY),
            ("rcvbuf_size (rmem_size)", self.rcvbuf, 1..=c_int::MAX),
            ("sndbuf_size (wmem_size)", self.sndbuf, 1..=c_int::MAX),
            ("tcp_timewait (tcp_tw_interval)", self.time_wait, 0..=c_int::MAX),
        ];
        for (name, value, range) in ranges {
            if !range.contains(&value) {
                return Err(format!("{name} can be {} to {}", range.start(), range.end()));
            }
        }
        self.limits([0; 16]).check().map_err(|e| e.to_string())
    }

    /// What an engine is made by.
    pub(crate) fn limits(&self, hash_seed: [u8; 16]) -> Limits {
        let max_flows = usize::try_from(self.max_concurrency / 2).unwrap_or(0).max(1);
        let ring_octets = self.rcvbuf.unsigned_abs();
        let streams = 2 * max_flows;
        // A ring may begin and end inside of chunks.
        let ring = u64::from(ring_octets).div_ceil(CHUNK).saturating_add(1) * CHUNK;
        let memory = ring.saturating_mul(streams as u64).clamp(*STREAM_MEMORY.start(), *STREAM_MEMORY.end());
        // 4,294,967,295 milliseconds and more are as good as for ever.
        let millis = |n: c_int| u64::try_from(n).ok().filter(|n| *n > 0).map(Duration::from_millis);
        let silence = millis(self.timeout).unwrap_or(Duration::from_secs(1 << 40));
        Limits {
            max_flows,
            max_sockets: streams + 64,
            max_monitors: 64,
            max_timers: 1 << 14,
            max_events: MAX_EVENTS,
            max_steps: 1 << 17,
            max_buffers: streams,
            max_output: streams.clamp(*OUTPUT.start(), *OUTPUT.end()),
            output_octets: OUTPUT_OCTETS,
            max_aliases: max_flows,
            // Changed connections never give way to others, so that there must be some that are not.
            max_changed: max_flows.div_ceil(2).min(MAX_CHANGED),
            chunks: usize::try_from(memory / CHUNK).unwrap_or(usize::MAX),
            ring_octets,
            retention: Retention::Ring,
            timeouts: Timeouts {
                handshake: silence,
                idle: silence,
                time_wait: millis(self.time_wait).unwrap_or(Duration::ZERO),
                ..Limits::default().timeouts
            },
            verify_checksums: std::env::var_os("MOS_CHECKSUM").is_none_or(|v| v != "off"),
            linger: if self.config.mos.midstream { STRAY } else { Duration::ZERO },
            midstream: self.config.mos.midstream,
            strictness: if self.config.mos.lossy { Strictness::Lossy } else { Strictness::Linux },
            hash_seed,
            ..Limits::default()
        }
    }

    /// The input, by the environment or the configuration.
    ///
    /// # Errors
    /// `ENODEV` when none is named, or the way to get packets is not known.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        Plan::of(std::env::var_os("MOS_IO").as_deref(), &self.config)
    }

    /// Whether packets are forwarded.
    pub(crate) fn forwards(&self) -> bool {
        self.config.forwards()
    }

    /// What the program can see of it.
    pub(crate) fn shown(&self) -> MtcpConf {
        let mut conf = MtcpConf {
            num_cores: self.num_cores,
            max_concurrency: self.max_concurrency,
            cpu_mask: self.config.cpu_mask(),
            max_num_buffers: self.max_concurrency,
            rcvbuf_size: self.rcvbuf,
            sndbuf_size: self.sndbuf,
            tcp_timewait: self.time_wait,
            tcp_timeout: self.timeout,
            app_cpu_mask: [0; MOS_APP],
            app_argv: [[ptr::null_mut(); MOS_APP_ARGC]; MOS_APP],
            app_argc: [0; MOS_APP],
            num_app: 0,
        };
        let applications = self.config.applications.iter().take(MOS_APP).enumerate();
        for (i, application) in applications {
            let argv = &mut conf.app_argv[i];
            for (place, word) in argv.iter_mut().zip(&application.run) {
                *place = lasting(word);
            }
            let argc = application.run.len().min(MOS_APP_ARGC);
            conf.app_argc[i] = c_int::try_from(argc).unwrap_or(0);
            conf.app_cpu_mask[i] = application.cpu_mask.unwrap_or(u64::MAX);
            conf.num_app += 1;
        }
        conf
    }
}

/// A copy of `word` that stays for the life of the process; equal words share one.
fn lasting(word: &str) -> *mut c_char {
    let mut words = lock(&WORDS);
    let octets: Vec<u8> = word.bytes().filter(|b| *b != 0).collect();
    let found = words.iter().position(|w| w.as_bytes() == octets);
    let at = found.unwrap_or_else(|| {
        words.push(CString::new(octets).unwrap_or_default());
        words.len() - 1
    });
    // The string lies on the heap and does not move with the list. C sees it as `char *` and must not write to it.
    words.get(at).map_or(ptr::null_mut(), |w| w.as_ptr().cast_mut())
}

/// Whether there is memory for an engine with these limits, and `besides` octets for its thread. Arrays that cannot be
/// reserved would end the process.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn check_memory(limits: &Limits, besides: usize) -> Result<(), Errno> {
    let needed = Arrays::<crate::app::CApp, Heap>::footprint(limits)
        .and_then(|n| n.checked_add(HEADROOM.saturating_add(besides)))
        .unwrap_or(usize::MAX); // more than any memory has
    let mut probe = Vec::<u8>::new();
    probe.try_reserve_exact(needed).map_err(|_| {
        text::tell(format_args!("no memory for {needed} octets: lower max_concurrency or rmem_size"));
        Errno::NOMEM
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::of(Config::parse(text).unwrap())
    }

    #[test]
    fn limits_follow_from_the_file() {
        let s = settings(
            "mos {\nmax_concurrency = 10\nrmem_size = 5000\ntcp_timeout = 7\ntcp_tw_interval = 2\n}",
        );
        let l = s.limits([1; 16]);
        assert_eq!((l.max_flows, l.max_sockets, l.ring_octets), (5, 74, 5000));
        assert_eq!((l.timeouts.idle, l.timeouts.time_wait), (Duration::from_secs(7), Duration::from_secs(2)));
        assert_eq!((l.timeouts.handshake, l.hash_seed), (l.timeouts.idle, [1; 16]));
        assert_eq!((s.check(), l.check()), (Ok(()), Ok(())));
        let forever = settings("mos {\ntcp_timeout = -1\nmax_concurrency = 1\n}").limits([0; 16]);
        assert!(forever.timeouts.idle > Duration::from_secs(1 << 35) && forever.max_flows == 1);
    }

    #[test]
    fn what_is_impossible_is_refused() {
        let good = settings("").shown();
        let bad = |change: fn(&mut MtcpConf)| {
            let mut conf = good;
            change(&mut conf);
            let s = settings("");
            let changed = Settings {
                num_cores: conf.num_cores,
                max_concurrency: conf.max_concurrency,
                rcvbuf: conf.rcvbuf_size,
                sndbuf: conf.sndbuf_size,
                time_wait: conf.tcp_timewait,
                ..s
            };
            changed.check()
        };
        assert_eq!(bad(|_| ()), Ok(()));
        let changes: [fn(&mut MtcpConf); 7] = [
            |c| c.num_cores = 0,
            |c| c.num_cores = 65,
            |c| c.max_concurrency = 0,
            |c| c.max_concurrency = MAX_CONCURRENCY + 1,
            |c| c.rcvbuf_size = 0,
            |c| c.sndbuf_size = -1,
            |c| c.tcp_timewait = -1,
        ];
        for change in changes {
            assert!(bad(change).is_err_and(|said| said.contains(" can be ")));
        }
    }

    #[test]
    fn the_largest_engine_that_is_allowed_has_a_size() {
        let s = Settings { max_concurrency: MAX_CONCURRENCY, ..settings("") };
        assert_eq!(s.check(), Ok(()));
        let octets = Arrays::<crate::app::CApp, Heap>::footprint(&s.limits([0; 16])).unwrap();
        assert!(octets > 8 << 30, "{octets}");
        let small = Settings { max_concurrency: 100, ..settings("") }.limits([0; 16]);
        assert_eq!(check_memory(&small, 0), Ok(()));
    }

    #[test]
    fn command_lines_are_shown_and_shared() {
        let s = settings("application {\nrun = a 'b c' a\ncore_mask = 2\n}\napplication { run = x }");
        let conf = s.shown();
        assert_eq!((conf.num_app, conf.app_argc[0], conf.app_argc[1]), (2, 3, 1));
        assert_eq!((conf.app_cpu_mask[0], conf.app_cpu_mask[1]), (2, u64::MAX));
        assert!(ptr::eq(conf.app_argv[0][0], conf.app_argv[0][2]) && conf.app_argv[0][3].is_null());
        // SAFETY: it points to a string of `WORDS`.
        let word = unsafe { std::ffi::CStr::from_ptr(conf.app_argv[0][1]) };
        assert_eq!(word, c"b c");
    }
}
