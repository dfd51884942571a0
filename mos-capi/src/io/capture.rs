//! Capture files as the input, and a capture file as the output.

use super::Failure;
use crate::app::CApp;
use crate::current;
use crate::errno::Errno;
use crate::share;
use crate::slot::{self, Slot};
use mos_dpdk::links::{frame_of, send_on};
use mos_dpdk::port::pcap::{PcapSink, PcapSource};
use mos_dpdk::port::{Port, PortError, Received};
use mos_dpdk::rss::Splitter;
use mos_dpdk::steer::Steering;
use mos_flow::{Engine, Frame, Instant};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A context's part of captures.
pub(crate) struct Capture {
    /// Those that are not at their end.
    sources: VecDeque<PcapSource>,
    sink: Option<PcapSink>,
    /// Nothing, before it begins, and for a context that came too late for a part.
    steering: Option<Steering<'static>>,
}

impl Capture {
    /// Opens what is read, then what is written.
    ///
    /// # Errors
    /// As for [`super::Input::open`].
    pub(super) fn open(inputs: &[PathBuf], output: Option<&Path>, cpu: u32) -> Result<Self, Failure> {
        let mut sources = VecDeque::new();
        for path in inputs {
            check_input(path)?;
            sources.push_back(PcapSource::open(path).map_err(|e| (Errno::from(&e), e.to_string()))?);
        }
        if output.is_some() && slot::is_ending(cpu) {
            return Err((
                Errno::BUSY,
                "the output is still written by a context that is being destroyed".to_owned(),
            ));
        }
        let sink = output.map(|output| create(&output_of(output, cpu), inputs)).transpose()?;
        Ok(Capture { sources, sink, steering: None })
    }

    pub(super) fn begin(&mut self, slot: &'static Slot) {
        self.steering = share::take(slot).map(|part| Steering::Share(Splitter::new(part)));
    }

    pub(super) fn turn(&mut self, engine: &mut Engine<CApp>, app: &mut CApp) -> Result<Received, PortError> {
        let Capture { sources, sink, steering } = self;
        let (Some(source), Some(steering)) = (sources.front_mut(), steering) else {
            return Ok(Received::End);
        };
        let mut sent = Ok(());
        let received = source.receive(&mut |frames| {
            if let Some(first) = frames.first() {
                start_clock(engine, app, first.time);
            }
            let mut send = |engine: &mut Engine<CApp>, own: &[Frame<'_>]| match sink {
                Some(sink) => send_on(engine, own, sink),
                None => Ok(()),
            };
            sent = steering.process(frames, false, engine, app, &mut send);
        })?;
        sent?;
        self.send_made(engine)?;
        if received == Received::End {
            self.sources.pop_front();
        }
        Ok(if self.sources.is_empty() { Received::End } else { Received::Frames(0) })
    }

    pub(super) fn send_made(&mut self, engine: &mut Engine<CApp>) -> Result<(), PortError> {
        let time = engine.now();
        while let Some(made) = engine.poll_transmit() {
            if let Some(sink) = &mut self.sink {
                sink.transmit(&[frame_of(&made, time)])?;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), PortError> {
        self.sink.as_mut().map_or(Ok(()), Port::flush)
    }
}

/// Time begins with the first packet: timers set before count from there.
fn start_clock(engine: &mut Engine<CApp>, app: &mut CApp, first: Instant) {
    let Some(waiting) = app.take_waiting() else { return };
    engine.handle_timeout(first, app);
    for (delay, token) in waiting {
        match engine.start_timer(delay, current::on_timer, token) {
            Some(runs) => app.note_started(token, runs),
            None => drop(app.take_timer(token)),
        }
    }
}

/// Each context writes a file of its own: `OUT`, and for the cores from 1 on `OUT.1` and so on.
fn output_of(output: &Path, cpu: u32) -> PathBuf {
    let mut name = OsString::from(output);
    if cpu > 0 {
        name.push(format!(".{cpu}"));
    }
    name.into()
}

fn create(output: &Path, inputs: &[PathBuf]) -> Result<PcapSink, Failure> {
    let place = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    let own = place(output);
    if own.is_some() && inputs.iter().any(|input| place(input) == own) {
        return Err((Errno::INVAL, format!("{}: the output is the input", output.display())));
    }
    check_output(output)?;
    PcapSink::create(output).map_err(|e| (Errno::from(&e), format!("{}: {e}", output.display())))
}

/// Files only: nothing can end a wait for a pipe, and a context must end when it is destroyed.
fn check_input(path: &Path) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(m) if !m.is_file() && !m.is_dir() => {
            Err((Errno::INVAL, format!("{}: packets are read from regular files only", path.display())))
        }
        _ => Ok(()), // opening it tells what else is wrong
    }
}

/// As [`check_input`]; `/dev/null` and the like do not block either.
fn check_output(path: &Path) -> Result<(), Failure> {
    let waits = |kind: fs::FileType| kind.is_fifo() || kind.is_socket();
    match fs::metadata(path) {
        Ok(m) if waits(m.file_type()) => {
            Err((Errno::INVAL, format!("{}: packets are not written to pipes", path.display())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_core_has_an_output_of_its_own() {
        let of = |cpu| output_of(Path::new("dir.d/out.pcap"), cpu);
        assert_eq!(of(0), Path::new("dir.d/out.pcap"));
        assert_eq!(of(3), Path::new("dir.d/out.pcap.3"));
    }
}
