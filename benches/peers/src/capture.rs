//! Traffic in memory: all frames one after the other, every page of them touched.

use crate::wire::{self, ACK, FIN, RST, SYN, Segment};
use mos_dpdk::capture::CaptureWriter;
use mos_flow::testing::traffic::{Kind, Plan, Traffic, Truth};
use mos_flow::{Frame, Instant, Side};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::slice;

/// Where a frame ends, and when it came, by the one before.
#[derive(Clone, Copy, Debug)]
struct Entry {
    len: u32,
    microseconds: u32,
}

/// Frames with their times, and what is in them.
#[derive(Debug)]
pub(crate) struct Capture {
    octets: Vec<u8>,
    index: Vec<Entry>,
    begin: Instant,
    /// Frames before those that are timed, their octets, and the time of the last one.
    opening: (usize, usize, Instant),
    pub(crate) truth: Truth,
    /// The most connections that are open at once.
    pub(crate) at_once: usize,
}

impl Capture {
    pub(crate) fn new(plan: &Plan) -> Capture {
        let mut traffic = Traffic::new(plan);
        let (mut octets, mut index, mut frame) = (Vec::new(), Vec::new(), Vec::new());
        let mut open = Open { state: vec![0; traffic.truth().flows() as usize], ..Open::default() };
        let (truth, mut begin, mut last) = (traffic.truth(), None, Instant(0));
        let (opening, mut opened) = (opening(plan), None);
        while let Some(time) = traffic.next_into(&mut frame) {
            if index.len() == opening {
                opened = Some((opening, octets.len(), last));
            }
            last = if begin.is_none() { time } else { last };
            begin.get_or_insert(time);
            let microseconds = u32::try_from(time.0.saturating_sub(last.0)).unwrap_or(u32::MAX);
            index.push(Entry { len: frame.len() as u32, microseconds });
            octets.extend_from_slice(&frame);
            last = time;
            if let Some(segment) = wire::parse(&frame) {
                open.on_segment(&truth, &segment);
            }
        }
        let begin = begin.unwrap_or_default();
        let opening = opened.filter(|_| opening > 0).unwrap_or((0, 0, begin));
        Capture { octets, index, begin, opening, truth, at_once: open.most }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn octets(&self) -> usize {
        self.octets.len()
    }

    #[inline]
    pub(crate) fn frames(&self) -> Frames<'_> {
        Frames { octets: &self.octets, index: self.index.iter(), time: self.begin }
    }

    /// How many frames are timed.
    pub(crate) fn timed_len(&self) -> usize {
        self.len() - self.opening.0
    }

    /// The frames that are not timed, and those that are.
    pub(crate) fn parts(&self) -> (Frames<'_>, Frames<'_>) {
        let (frames, octets, time) = self.opening;
        let ((octets, timed_octets), (index, timed)) =
            (self.octets.split_at(octets), self.index.split_at(frames));
        let opening = Frames { octets, index: index.iter(), time: self.begin };
        (opening, Frames { octets: timed_octets, index: timed.iter(), time })
    }

    /// As a file that captures are read from.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut writer = CaptureWriter::new(BufWriter::new(File::create(path)?));
        for (time, data) in self.frames() {
            writer.write(&Frame::ethernet(time, data))?;
        }
        writer.flush()
    }
}

/// How many frames come before those that are timed. The connections of `small` stay open: only what they carry is timed.
fn opening(plan: &Plan) -> usize {
    const HANDSHAKE: usize = 3;
    if plan.kind == Kind::Small { HANDSHAKE * plan.flows as usize } else { 0 }
}

/// The frames of a capture in order.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    octets: &'a [u8],
    index: slice::Iter<'a, Entry>,
    time: Instant,
}

impl<'a> Iterator for Frames<'a> {
    type Item = (Instant, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.index.next()?;
        let (frame, rest) = self.octets.split_at_checked(entry.len as usize)?;
        self.octets = rest;
        self.time = Instant(self.time.0 + u64::from(entry.microseconds));
        Some((self.time, frame))
    }
}

/// Counts connections that are open.
#[derive(Default)]
struct Open {
    /// The FINs of each that were seen.
    state: Vec<u8>,
    now: usize,
    most: usize,
}

impl Open {
    fn on_segment(&mut self, truth: &Truth, segment: &Segment<'_>) {
        const BOTH: u8 = 3;
        if segment.flags & (SYN | ACK) == SYN {
            self.now += 1;
            self.most = self.most.max(self.now);
        }
        if !segment.has(FIN | RST) {
            return;
        }
        let ends = segment.ends();
        let Some((flow, sender)) = truth.sender(ends.client, ends.server) else { return };
        let Some(state) = self.state.get_mut(flow as usize) else { return };
        let before = *state;
        *state |= if segment.has(RST) { BOTH } else { 1 << u8::from(sender == Side::Client) };
        if before != BOTH && *state == BOTH {
            self.now = self.now.saturating_sub(1);
        }
    }
}
