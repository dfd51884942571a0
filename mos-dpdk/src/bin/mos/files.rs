//! Captures as one port: one after the other, from disk or from memory.

use crate::common::{Failure, bar};
use indicatif::ProgressBar;
use mos_dpdk::capture::{Capture, CaptureError};
use mos_dpdk::port::mem::MemPort;
use mos_dpdk::port::pcap::PcapSource;
use mos_dpdk::port::{Capabilities, Port, PortError, Received, Statistics};
use mos_flow::Frame;
use std::path::{Path, PathBuf};

/// Captures that were read as a whole, and what was wrong with them.
pub(crate) fn load(paths: &[PathBuf]) -> Result<(Vec<Capture>, Vec<CaptureError>), Failure> {
    let mut captures = Vec::new();
    let mut damages = Vec::new();
    for path in paths {
        let (capture, damage) = Capture::load(path).map_err(|e| Failure::unusable(&e))?;
        captures.push(capture);
        damages.extend(damage);
    }
    Ok((captures, damages))
}

/// One of the captures.
#[derive(Debug)]
enum Source<'c> {
    /// Its turn has not come.
    Closed(&'c Path),
    Open(PcapSource),
    Memory(MemPort<'c>),
    /// It was read to its end.
    Over,
}

/// Several captures. What is wrong with one ends that one only.
#[derive(Debug)]
pub(crate) struct Files<'c> {
    sources: Vec<Source<'c>>,
    at: usize,
    received: u64,
    /// What was wrong.
    pub(crate) damages: Vec<CaptureError>,
    /// Octets of captures before this one.
    before: u64,
    progress: ProgressBar,
}

impl<'c> Files<'c> {
    /// From disk; each is opened once to see whether it can be.
    pub(crate) fn on_disk(paths: &'c [PathBuf]) -> Result<Self, Failure> {
        for path in paths {
            PcapSource::open(path).map_err(|e| Failure::unusable(&e))?;
        }
        Ok(Files::new(paths.iter().map(|path| Source::Closed(path)).collect()))
    }

    /// From memory.
    pub(crate) fn in_memory(captures: &'c [Capture]) -> Self {
        Files::new(captures.iter().map(|capture| Source::Memory(MemPort::new(capture))).collect())
    }

    fn new(sources: Vec<Source<'c>>) -> Self {
        let progress = ProgressBar::hidden();
        Files { sources, at: 0, received: 0, damages: Vec::new(), before: 0, progress }
    }

    /// Shows on a terminal how much was read of large files.
    pub(crate) fn show_progress(&mut self) {
        let len = |source: &Source<'_>| match source {
            Source::Closed(path) => path.metadata().map_or(0, |m| m.len()),
            _ => 0,
        };
        self.progress = bar(self.sources.iter().map(len).sum());
    }

    fn tell_progress(&mut self) {
        match self.sources.get(self.at) {
            Some(Source::Open(file)) => self.progress.set_position(self.before + file.position()),
            Some(_) => {}
            None => self.progress.finish_and_clear(),
        }
    }
}

impl Source<'_> {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        if let Source::Closed(path) = self {
            *self = Source::Open(PcapSource::open(path)?);
        }
        match self {
            Source::Open(file) => file.receive(deliver),
            Source::Memory(port) => port.receive(deliver),
            Source::Closed(_) | Source::Over => Ok(Received::End),
        }
    }
}

impl Port for Files<'_> {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        while let Some(source) = self.sources.get_mut(self.at) {
            match source.receive(deliver) {
                Ok(Received::End) => {}
                Ok(received) => {
                    if let Received::Frames(n) = received {
                        self.received += n as u64;
                    }
                    self.tell_progress();
                    return Ok(received);
                }
                Err(PortError::Capture(e)) => self.damages.push(e),
                Err(e) => return Err(e),
            }
            if let Source::Open(file) = std::mem::replace(source, Source::Over) {
                self.before += file.position();
            }
            self.at += 1;
        }
        self.tell_progress();
        Ok(Received::End)
    }

    fn transmit(&mut self, _frames: &[Frame<'_>]) -> Result<usize, PortError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::FILE
    }

    fn statistics(&self) -> Statistics {
        Statistics { received: self.received, ..Statistics::default() }
    }
}
