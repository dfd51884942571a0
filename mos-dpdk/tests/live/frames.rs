//! Frames from one end of a cable to the other, without anybody else.

use mos_dpdk::port::{Port, Received};
use mos_flow::{Frame, Instant};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use std::process::Command;
use std::time::Duration;

/// How long everything may take that is on its way. An arbitrary figure, a hundred times what it takes.
pub(crate) const SOON: Duration = Duration::from_millis(300);
/// One for experiments (IEEE 802), so that nobody answers.
pub(crate) const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
pub(crate) const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// Frames until none have come for a while.
pub(crate) fn receive(port: &mut impl Port) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut last = std::time::Instant::now();
    while last.elapsed() < SOON {
        let before = mos_dpdk::clock::now();
        let received = port.receive(&mut |burst| {
            assert!(burst.iter().all(|f| f.time >= before && f.wire_len as usize == f.data.len()));
            frames.extend(burst.iter().map(|f| f.data.to_vec()));
        });
        match received.unwrap() {
            Received::Frames(n) if n > 0 => last = std::time::Instant::now(),
            Received::Frames(_) => {}
            Received::Nothing => std::thread::sleep(Duration::from_millis(1)),
            Received::End => break,
        }
    }
    frames
}

pub(crate) fn send(port: &mut impl Port, frames: &[Vec<u8>]) -> usize {
    // What a virtual cable carries waits at the processor that sends it: those from two may change places.
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here).unwrap();
    let frames: Vec<Frame<'_>> = frames.iter().map(|data| Frame::ethernet(Instant(0), data)).collect();
    port.transmit(&frames).unwrap()
}

pub(crate) fn frame(n: usize, len: usize) -> Vec<u8> {
    let mut frame = [&ADDRESSES[..], &ETHERTYPE, &(n as u64).to_be_bytes()].concat();
    frame.resize(len, n as u8);
    frame
}

pub(crate) fn frame_of(data: &[u8]) -> Frame<'_> {
    Frame::ethernet(Instant(0), data)
}

/// Whether the port becomes readable.
pub(crate) fn is_ready(port: &impl Port, most: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let descriptor = port.descriptor().unwrap();
    let timeout = Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
    poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

pub(crate) fn show(name: &str) -> String {
    let output = Command::new("ip").args(["-details", "link", "show", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is shown of an interface.
pub(crate) fn until(name: &str, what: &str) {
    let start = std::time::Instant::now();
    while !show(name).contains(what) {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", show(name));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many have asked an interface to take everything.
pub(crate) fn promiscuity(name: &str) -> String {
    show(name).split_whitespace().skip_while(|word| *word != "promiscuity").nth(1).unwrap().to_owned()
}
