//! The stack thread of a context: it owns the engine, reads the input, and does what other threads ask for.

use crate::app::CApp;
use crate::conf::{self, Files, Settings};
use crate::current;
use crate::errno::Errno;
use crate::slot::{Desk, Phase, Slot};
use crate::text;
use mos_dpdk::port::pcap::{PcapSink, PcapSource};
use mos_dpdk::port::{Port, PortError, Received};
use mos_dpdk::worker::{send_made, send_on};
use mos_flow::{Engine, Frame};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A program that does not join is done with setting up when it was silent for this long.
const SETTLED: Duration = Duration::from_millis(200);
/// Stacks of threads. C programs are used to 8 MiB; a limit above 1 GiB is meant for the main thread alone.
const STACKS: RangeInclusive<usize> = 8 << 20..=1 << 30;
/// Commands that are done before packets have their turn again. Arbitrary.
const COMMANDS: usize = 64;

/// What belongs to a context's thread.
pub(crate) struct Stack {
    slot: &'static Slot,
    engine: Engine<CApp>,
    app: CApp,
    /// `None` for the contexts that get no packets.
    input: Option<PcapSource>,
    output: Option<PcapSink>,
    /// Descriptors are below this.
    descriptors: u32,
}

impl Stack {
    /// A stack for core `cpu`.
    ///
    /// # Errors
    /// Those of `mtcp_create_context`.
    pub(crate) fn new(settings: &Settings, cpu: u32, slot: &'static Slot) -> Result<Self, Errno> {
        let files = settings.files()?;
        let seed = mos_dpdk::random_seed().map_err(|e| Errno::from(&e))?;
        let limits = settings.limits(seed);
        conf::check_memory(&limits, stack_size())?;
        let descriptors = u32::try_from(limits.max_sockets).map_err(|_| Errno::INVAL)?;
        let engine = Engine::new(limits).map_err(|e| Errno::from(&e))?;
        let (input, output) = if cpu == 0 { open(&files).map_err(told)? } else { (None, None) };
        Ok(Stack { slot, engine, app: CApp::new(slot.visible()), input, output, descriptors })
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// That of the operating system.
    pub(crate) fn start(self) -> Result<(), Errno> {
        let Stack { slot, descriptors, .. } = self;
        let thread = thread::Builder::new().name("mos-stack".to_owned()).stack_size(stack_size());
        thread.spawn(move || self.run()).map_err(|e| told((Errno::from(&e), format!("no thread: {e}"))))?;
        slot.go_live(descriptors);
        Ok(())
    }

    fn run(mut self) {
        let slot = self.slot;
        current::adopt(slot);
        if catch_unwind(AssertUnwindSafe(|| self.live())).is_err() {
            // A defect of this library. The engine is not touched again.
            slot.close_mailbox();
            slot.end(Some("the stack has failed".to_owned()));
            wait_while(slot, || !slot.is_stopping());
        }
        // Nothing of the program runs from here on; only now a lock may be waited for.
        slot.become_quiet();
        slot.close_mailbox();
        drop(self);
        slot.release();
    }

    /// Until the context is destroyed.
    fn live(&mut self) {
        self.set_up();
        if !self.slot.is_stopping() {
            let read = self.read();
            let flushed = self.output.as_mut().map_or(Ok(()), Port::flush);
            if !self.slot.is_stopping() {
                self.slot.end(read.and(flushed).err().map(|e| e.to_string()));
            }
        }
        while !self.slot.is_stopping() {
            let ticket = self.slot.bell.ticket();
            if !self.run_commands() && !self.slot.is_stopping() {
                self.slot.bell.wait(ticket, None);
            }
        }
    }

    /// Until the program is ready for packets.
    fn set_up(&mut self) {
        let mut settled = Instant::now() + SETTLED;
        loop {
            let ticket = self.slot.bell.ticket();
            if self.slot.is_halted() || self.slot.is_joined() {
                return;
            }
            if self.slot.phase() == Phase::Starting {
                self.slot.bell.wait(ticket, None);
            } else if self.run_commands() {
                settled = Instant::now() + SETTLED;
            } else if self.app.is_set_up() {
                match settled.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => self.slot.bell.wait(ticket, Some(left)),
                    _ => return,
                }
            } else {
                self.slot.bell.wait(ticket, None);
            }
        }
    }

    /// Until the input ends.
    fn read(&mut self) -> Result<(), PortError> {
        while !self.slot.is_halted() {
            self.run_commands();
            if self.turn()? == Received::End {
                break;
            }
        }
        Ok(())
    }

    /// One burst.
    fn turn(&mut self) -> Result<Received, PortError> {
        let Stack { engine, app, input, output, .. } = self;
        let Some(input) = input else { return Ok(Received::End) };
        let mut sent = Ok(());
        let received = input.receive(&mut |frames| {
            if let Some(first) = frames.first() {
                start_clock(engine, app, first);
            }
            engine.process_burst(frames, app);
            if let Some(output) = output {
                sent = send_on(engine, frames, output);
            }
        })?;
        sent?;
        self.send_made()?;
        Ok(received)
    }

    /// Sends what callbacks made, or forgets it where nothing is sent.
    fn send_made(&mut self) -> Result<(), PortError> {
        if let Some(output) = &mut self.output {
            return send_made(&mut self.engine, output);
        }
        while self.engine.poll_transmit().is_some() {}
        Ok(())
    }

    /// Does what other threads asked for. Returns whether there was anything.
    fn run_commands(&mut self) -> bool {
        let mut any = false;
        for command in std::iter::from_fn(|| self.slot.next_command()).take(COMMANDS) {
            let mut control = self.engine.control();
            command(Some(Desk { app: &mut self.app, control: &mut control }));
            any = true;
        }
        any
    }
}

/// Octets of stack that callbacks have: as much as the main thread, within reason.
fn stack_size() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it points to a local.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } == 0;
    let wanted = usize::try_from(limit.rlim_cur).ok().filter(|n| known && STACKS.contains(n));
    wanted.unwrap_or(*STACKS.start())
}

type Opened = (Option<PcapSource>, Option<PcapSink>);

/// Opens what is read, then what is written.
fn open(files: &Files) -> Result<Opened, (Errno, String)> {
    let Files { input, output } = files;
    check_input(input)?;
    let source = PcapSource::open(input).map_err(|e| (Errno::from(&e), e.to_string()))?;
    let Some(output) = output else { return Ok((Some(source), None)) };
    let place = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    if place(output).is_some_and(|o| Some(o) == place(input)) {
        return Err((Errno::INVAL, format!("{}: the output is the input", output.display())));
    }
    check_output(output)?;
    let sink =
        PcapSink::create(output).map_err(|e| (Errno::from(&e), format!("{}: {e}", output.display())))?;
    Ok((Some(source), Some(sink)))
}

/// Files only: nothing can end a wait for a pipe, and a context must end when it is destroyed.
fn check_input(path: &Path) -> Result<(), (Errno, String)> {
    match fs::metadata(path) {
        Ok(m) if !m.is_file() && !m.is_dir() => {
            Err((Errno::INVAL, format!("{}: packets are read from regular files only", path.display())))
        }
        _ => Ok(()), // opening it tells what else is wrong
    }
}

/// As [`check_input`]; `/dev/null` and the like do not block either.
fn check_output(path: &Path) -> Result<(), (Errno, String)> {
    let waits = |kind: fs::FileType| kind.is_fifo() || kind.is_socket();
    match fs::metadata(path) {
        Ok(m) if waits(m.file_type()) => {
            Err((Errno::INVAL, format!("{}: packets are not written to pipes", path.display())))
        }
        _ => Ok(()),
    }
}

/// Time begins with the first packet: timers set before count from there.
fn start_clock(engine: &mut Engine<CApp>, app: &mut CApp, first: &Frame<'_>) {
    let Some(waiting) = app.take_waiting() else { return };
    engine.handle_timeout(first.time, app);
    for (delay, token) in waiting {
        if engine.start_timer(delay, current::on_timer, token).is_none() {
            app.take_timer(token);
        }
    }
}

fn wait_while(slot: &Slot, condition: impl Fn() -> bool) {
    loop {
        let ticket = slot.bell.ticket();
        if !condition() {
            return;
        }
        slot.bell.wait(ticket, None);
    }
}

/// Keeps the sentence of a failure.
fn told((errno, sentence): (Errno, String)) -> Errno {
    text::tell(sentence);
    errno
}
