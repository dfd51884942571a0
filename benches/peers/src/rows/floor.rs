//! Floors: the least that is done with every packet. They keep no states, order nothing, and check nothing but lengths.

use super::{Input, Purpose, Row, Subject};
use crate::capture::Frames;
use crate::wire::{self, Key};
use hashbrown::HashMap;
use mos_dpdk::port::pcap::PcapSource;
use mos_dpdk::port::{Port, Received};
use std::hint::black_box;
use std::path::Path;

pub(super) const ROWS: [Row; 5] = [
    Row::floor("parse", "headers read", |_, _| Ok(Box::new(Floor::<false, false>::new()))),
    Row::floor("parse-copy", "and the payload copied to a buffer in the cache", |_, _| {
        Ok(Box::new(Floor::<false, true>::new()))
    }),
    Row {
        scales: true,
        ..Row::floor("lookup", "headers read, and the connection found in hashbrown's map", |_, _| {
            Ok(Box::new(Floor::<true, false>::new()))
        })
    },
    Row::floor("lookup-copy", "and the payload copied to a buffer in the cache", |_, _| {
        Ok(Box::new(Floor::<true, true>::new()))
    }),
    Row {
        from_file: true,
        ..Row::floor("file", "the capture read from a file by this stack, nothing else", file)
    },
];

/// Where payloads go: as large as what a first-level cache may have, and a jumbo frame.
const BUFFER: usize = (32 << 10) + JUMBO;
const JUMBO: usize = 64 << 10;

struct Floor<const LOOKUP: bool, const COPY: bool> {
    /// Octets of each connection.
    flows: HashMap<Key, u64>,
    buffer: Vec<u8>,
}

impl<const LOOKUP: bool, const COPY: bool> Floor<LOOKUP, COPY> {
    fn new() -> Self {
        Floor { flows: HashMap::new(), buffer: vec![0; BUFFER] }
    }
}

impl<const LOOKUP: bool, const COPY: bool> Subject for Floor<LOOKUP, COPY> {
    fn begin(&mut self) -> Result<(), String> {
        self.flows.clear();
        Ok(())
    }

    fn run(&mut self, frames: Frames<'static>) {
        let (mut octets, mut numbers, mut at) = (0, 0_u32, 0);
        for (_, frame) in frames {
            let Some(segment) = wire::parse(frame) else { continue };
            let len = segment.payload.len();
            if LOOKUP {
                *self.flows.entry(segment.key()).or_default() += len as u64;
            } else {
                numbers = numbers.wrapping_add(segment.seq).wrapping_add(segment.key().1);
            }
            if COPY && let Some(place) = self.buffer.get_mut(at..at + len) {
                place.copy_from_slice(segment.payload);
                at = (at + len) % (BUFFER - JUMBO);
            }
            octets += len as u64;
        }
        black_box((octets, numbers, &self.buffer));
    }
}

struct Reading {
    path: &'static Path,
    source: Option<PcapSource>,
}

fn file(input: Input, _: Purpose) -> Result<Box<dyn Subject>, String> {
    let (path, _) = input.files.ok_or("the capture is in no file")?;
    Ok(Box::new(Reading { path, source: None }))
}

impl Subject for Reading {
    fn begin(&mut self) -> Result<(), String> {
        self.source = Some(PcapSource::open(self.path).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn run(&mut self, _: Frames<'static>) {
        if let Some(source) = &mut self.source {
            while matches!(source.receive(&mut |frames| _ = black_box(frames)), Ok(Received::Frames(_))) {}
        }
    }
}
