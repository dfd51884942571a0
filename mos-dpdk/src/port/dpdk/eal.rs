//! The runtime of DPDK, its environment abstraction layer (EAL): memory, drivers and devices.
//!
//! A thread of its own starts and ends it: DPDK pins the thread that does to a processor, and takes it for one of its cores.

use super::device;
use super::mbuf::{Buffers, Pool, Queue, Shape};
use super::said::Said;
use crate::port::OpenError;
use dpdk_sys as sys;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity};
use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

const HUGEPAGES: &str = "DPDK has not the memory that it is to have: as root, `echo 256 > /proc/sys/vm/nr_hugepages` gives it \
                         hugepages; with the arguments --no-huge and -m MEGABYTES it does without";

/// Whether a runtime was started, be it without success: of what it was told then it keeps a part.
static STARTED: Mutex<bool> = Mutex::new(false);

/// A runtime that was started. It ends, and leaves nothing behind, when it is dropped; ports keep it.
#[derive(Debug)]
pub struct Eal {
    keeper: Option<Keeper>,
    /// What it said at its start, of devices that it could not make.
    complaints: String,
    /// `None` when the user has chosen what is logged.
    pub(super) said: Option<&'static Said>,
    in_use: Mutex<InUse>,
}

/// The thread that keeps the runtime, until the sender is dropped.
#[derive(Debug)]
struct Keeper {
    stop: Sender<Infallible>,
    thread: JoinHandle<()>,
}

/// What devices have.
#[derive(Debug, Default)]
struct InUse {
    /// Those that are open.
    devices: Vec<u16>,
    /// Of each queue that there was, be its device open or not: drivers and other devices may keep buffers for long.
    pools: Vec<(Queue, Pool)>,
}

impl Eal {
    /// Starts the runtime with `args`, as DPDK's programs take them in front of `--`. Without arguments about cores it has
    /// none of its own. Where they do not say that hugepages are to be files, or that other processes are to find it, there
    /// are no files (`--in-memory`). What it logs is kept for error messages, unless the arguments have a `--log-level`.
    ///
    /// # Errors
    /// [`OpenError`]: for arguments that DPDK does not take, or when there are no hugepages and none of the arguments says
    /// that it has to do without; and a second time in a process, whatever became of the first.
    pub fn start<S: AsRef<str>>(args: &[S]) -> Result<Arc<Eal>, OpenError> {
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        if args.iter().any(|arg| asks_for_help(arg)) {
            return Err(refused("DPDK's help is no way to start it: leave out -h", Errno::INVAL));
        }
        let words =
            words(&args).map_err(|_| refused("an argument for DPDK has a NUL in it", Errno::INVAL))?;
        let is_loud = args.iter().any(|arg| arg.starts_with("--log-level"));
        let said = match is_loud {
            true => None,
            false => Some(Said::here().map_err(|e| OpenError::new("DPDK's log has no place", e))?),
        };
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if *started {
            return Err(started_before());
        }
        *started = true;
        let keeper = Keeper::start(words, said)?;
        let complaints = said.map(Said::take).unwrap_or_default();
        Ok(Arc::new(Eal { keeper: Some(keeper), complaints, said, in_use: Mutex::default() }))
    }

    /// Names of all devices that it has, be they in use or not.
    pub fn devices(&self) -> Vec<String> {
        device::numbers().filter_map(device::name_of).collect()
    }

    /// Buffers of all ports that there are and were.
    pub fn buffers(&self) -> Buffers {
        self.in_use().pools.iter().fold(Buffers::default(), |sum, (_, pool)| sum + pool.buffers())
    }

    /// What it said at its start, in parentheses.
    pub(super) fn complaints(&self) -> String {
        in_parentheses(&self.complaints)
    }

    /// What it has said since it was last asked, in parentheses.
    pub(super) fn said(&self) -> String {
        in_parentheses(&self.said.map(Said::take).unwrap_or_default())
    }

    /// Notes that a device is in use. Returns whether it was not.
    pub(super) fn claim(&self, device: u16) -> bool {
        let devices = &mut self.in_use().devices;
        let is_free = !devices.contains(&device);
        if is_free {
            devices.push(device);
        }
        is_free
    }

    pub(super) fn unclaim(&self, device: u16) {
        self.in_use().devices.retain(|other| *other != device);
    }

    /// The pool of this shape that the queue had before, or a new one.
    pub(super) fn pool(&self, queue: Queue, shape: &Shape) -> Result<Pool, OpenError> {
        let pools = &mut self.in_use().pools;
        if let Some((_, pool)) = pools.iter().find(|(of, pool)| *of == queue && pool.shape == *shape) {
            return Ok(*pool);
        }
        let pool = Pool::new(pools.len(), shape).map_err(|e| OpenError::new(HUGEPAGES, e))?;
        pools.push((queue, pool));
        Ok(pool)
    }

    fn in_use(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        if let Some(Keeper { stop, thread }) = self.keeper.take() {
            drop(stop);
            // It does not panic.
            let _ = thread.join();
        }
    }
}

/// Why there is no runtime.
struct Failure {
    errno: c_int,
    said: String,
}

impl Keeper {
    fn start(words: Vec<CString>, said: Option<&'static Said>) -> Result<Keeper, OpenError> {
        let (stop, stopped) = mpsc::channel::<Infallible>();
        let (answer, answered) = mpsc::channel();
        let keep = move || {
            let is_started = start(words, said);
            let is_up = is_started.is_ok();
            let _ = answer.send(is_started); // there is one who waits for it
            if is_up {
                // An error: nobody keeps the sender.
                let _ = stopped.recv();
                end();
            }
        };
        let no_thread = |e| OpenError::new("DPDK cannot have a thread", e);
        let thread = std::thread::Builder::new().name("dpdk".to_owned()).spawn(keep).map_err(no_thread)?;
        match answered.recv() {
            Ok(Ok(())) => Ok(Keeper { stop, thread }),
            Ok(Err(failure)) => Err(failure.into()),
            Err(e) => Err(no_thread(io::Error::other(e))),
        }
    }
}

fn start(words: Vec<CString>, said: Option<&'static Said>) -> Result<(), Failure> {
    if let Some(said) = said {
        said.take();
        // SAFETY: the stream is never closed.
        unsafe { sys::rte_openlog_stream(said.stream()) };
        // SAFETY: it sets a number.
        unsafe { sys::rte_log_set_global_level(sys::RTE_LOG_WARNING) };
    }
    // DPDK sorts the pointers, and may keep them or write to what they point to: it gets octets of its own for ever, once
    // or a few times in a process.
    let mut pointers: Vec<*mut c_char> = words.into_iter().map(CString::into_raw).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(0);
    pointers.push(ptr::null_mut());
    let stream = said.map_or(ptr::null_mut(), Said::stream);
    // SAFETY: there are as many C strings as it is told, and a null pointer behind them; only one thread at a time comes here
    // (`STARTED` is locked). That it does not end the process is what `asks_for_help` is for (a test starts it with bad
    // arguments of all kinds).
    let used = unsafe { sys::mos_dpdk_init(count, pointers.as_mut_ptr(), stream) };
    if used >= 0 {
        return Ok(());
    }
    // SAFETY: it reads a variable of this thread's.
    let errno = unsafe { sys::mos_dpdk_errno() };
    remove(&runtime_dir());
    Err(Failure { errno, said: said.map(Said::take).unwrap_or_default() })
}

/// Ends what this thread started.
fn end() {
    let runtime_dir = runtime_dir();
    device::close_all();
    // SAFETY: nothing of DPDK's is in use: each port keeps the `Eal`, which is gone, and with the ports went their devices.
    // A thread that is registered asks for it before it unregisters.
    unsafe { sys::rte_eal_cleanup() };
    remove(&runtime_dir);
}

/// The folder of files that other processes find the runtime by.
fn runtime_dir() -> PathBuf {
    // SAFETY: it has no conditions.
    let dir = unsafe { sys::rte_eal_get_runtime_dir() };
    if dir.is_null() {
        return PathBuf::new();
    }
    // SAFETY: it is a C string that changes only when DPDK starts, which is over.
    let dir = unsafe { CStr::from_ptr(dir) };
    PathBuf::from(dir.to_string_lossy().as_ref())
}

/// Removes a runtime's folder, unless another process has it, which then has a lock on a file of it.
fn remove(dir: &Path) {
    let is_ours = |file: &File| fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
    // What cannot be removed stays, and is empty or another one's.
    let _ = match OpenOptions::new().read(true).write(true).open(dir.join("config")) {
        Ok(file) if is_ours(&file) => fs::remove_dir_all(dir),
        Ok(_) => Ok(()),
        Err(_) => fs::remove_dir(dir),
    };
}

/// The arguments, with those in front that nothing was said about.
fn words(args: &[&str]) -> Result<Vec<CString>, std::ffi::NulError> {
    let has = |beginnings: &[&str]| {
        args.iter().any(|arg| beginnings.iter().any(|beginning| arg.starts_with(beginning)))
    };
    let mut words = vec![CString::new("mos")?];
    if !has(&["-l", "-c", "--lcores", "-s", "-S", "--main-lcore"]) {
        words.push(CString::new(format!("--lcores=0@({})", processors()))?);
    }
    if !has(&["--no-huge", "--in-memory", "--huge-dir", "--huge-unlink", "--proc-type"]) {
        words.push(CString::new("--in-memory")?);
    }
    for arg in args {
        words.push(CString::new(*arg)?);
    }
    Ok(words)
}

/// Numbers of the processors that this process may use.
fn processors() -> String {
    let set = sched_getaffinity(None).unwrap_or_default();
    let numbers: Vec<String> =
        (0..CpuSet::MAX_CPU).filter(|n| set.is_set(*n)).map(|n| n.to_string()).collect();
    if numbers.is_empty() { "0".to_owned() } else { numbers.join(",") }
}

/// Whether DPDK would print its usage for an argument and exit. There are two options of one letter without a value: `-h` and
/// `-v`; long ones may be shortened.
fn asks_for_help(arg: &str) -> bool {
    match arg.strip_prefix("--") {
        Some(long) => long.len() > 1 && "help".starts_with(long),
        None => arg.strip_prefix('-').is_some_and(|short| short.trim_start_matches('v').starts_with('h')),
    }
}

fn in_parentheses(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn refused(sentence: &str, errno: Errno) -> OpenError {
    OpenError::new(sentence, errno)
}

fn started_before() -> OpenError {
    refused("DPDK was started in this process before, or has failed to, and starts only once", Errno::ALREADY)
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        let errno = Errno::from_raw_os_error(failure.errno);
        let said = in_parentheses(&failure.said);
        match errno {
            Errno::ALREADY => started_before(),
            Errno::INVAL => OpenError::new(format!("DPDK does not start with these arguments{said}"), errno),
            Errno::NODEV => OpenError::new(format!("DPDK knows no such device{said}"), errno),
            Errno::ACCESS | Errno::NOMEM => OpenError::new(format!("{HUGEPAGES}{said}"), errno),
            _ => OpenError::new(
                format!("DPDK cannot be started{said}"),
                io::Error::other(meaning(failure.errno)),
            ),
        }
    }
}

/// What an error number of DPDK's means; it has some of its own.
fn meaning(errno: c_int) -> String {
    // SAFETY: it takes any number, and gives a C string.
    let text = unsafe { sys::rte_strerror(errno) };
    // SAFETY: it is one, of this thread's, and is copied before it can change.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A thread that has a core's number of DPDK's, which gives it a cache of buffers.
struct Registered(Weak<Eal>);

impl Drop for Registered {
    fn drop(&mut self) {
        // Without a runtime there are no numbers.
        if let Some(_eal) = self.0.upgrade() {
            // SAFETY: the runtime is there as long as `_eal`, and this is the thread that was registered.
            unsafe { sys::rte_thread_unregister() };
        }
    }
}

/// Makes the calling thread known to DPDK until its end.
pub(super) fn register(eal: &Arc<Eal>) {
    thread_local! {
        static REGISTERED: RefCell<Option<Registered>> = const { RefCell::new(None) };
    }
    let _ = REGISTERED.try_with(|registered| {
        let mut registered = registered.borrow_mut();
        if registered.is_none() {
            // SAFETY: the runtime is there. Without a number, if there is none left, only the cache is missing.
            unsafe { sys::rte_thread_register() };
            *registered = Some(Registered(Arc::downgrade(eal)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_dpdk_exit_is_found() {
        for arg in ["-h", "--help", "--he", "-vh", "-vvh"] {
            assert!(asks_for_help(arg), "{arg}");
        }
        for arg in ["", "-", "--", "-v", "--huge-unlink", "--h", "-n", "h", "help", "-lh"] {
            assert!(!asks_for_help(arg), "{arg}");
        }
    }

    #[test]
    fn what_was_said_about_cores_and_hugepages_stands() {
        let words = |args: &[&str]| -> Vec<String> {
            words(args).unwrap().into_iter().map(|word| word.into_string().unwrap()).collect()
        };
        let own = format!("--lcores=0@({})", processors());
        assert_eq!(words(&["-n", "4"]), ["mos", &own, "--in-memory", "-n", "4"]);
        assert_eq!(words(&["-l", "1", "--no-huge"]), ["mos", "-l", "1", "--no-huge"]);
        assert_eq!(words(&["--lcores=1", "--huge-unlink"]), ["mos", "--lcores=1", "--huge-unlink"]);
    }
}
