//! Capture files by DPDK's driver for them, against the port that reads them itself.

use super::{alone, end, open, receive, say, start};
use mos_dpdk::capture::{Capture, CaptureWriter};
use mos_dpdk::port::dpdk::Handling;
use mos_dpdk::port::pcap::PcapSource;
use mos_dpdk::port::{Port, Received, Spread, Timestamps};
use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Side, SocketKind, Stats};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mos-flow/tests/pcaps");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut captures: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "pcap")).collect();
    captures.sort();
    captures
}

/// What was seen: octets of streams with their side, all events with their times.
#[derive(Default)]
struct Seen {
    hash: DefaultHasher,
    octets: usize,
}

fn on_data(ctx: &mut Context<'_, Seen>) {
    let side = ctx.side().unwrap();
    let (seen, mut monitor) = ctx.split().unwrap();
    seen.hash.write_u8((side == Side::Server).into());
    monitor
        .read_with(side, |_, data| {
            seen.hash.write(data);
            seen.octets += data.len();
        })
        .unwrap();
}

fn on_event(ctx: &mut Context<'_, Seen>) {
    let time = ctx.now();
    ctx.app().hash.write_u64(time.0);
}

/// All that an engine makes of a port's frames, of which there are so many.
fn follow(port: &mut dyn Port, frames: usize) -> (Stats, u64, usize) {
    let mut engine = Engine::new(Config::default()).unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    engine.register(socket, Event::ConnStart, Hook::Sender, on_event, 0).unwrap();
    engine.register(socket, Event::ConnEnd, Hook::Sender, on_event, 0).unwrap();
    engine.register(socket, Event::NewData, Hook::None, on_data, 0).unwrap();
    let mut seen = Seen::default();
    let mut left = frames;
    while left > 0 {
        let received = port.receive(&mut |frames| engine.process_burst(frames, &mut seen)).unwrap();
        let Received::Frames(n @ 1..) = received else { panic!("{received:?} and {left} frames left") };
        left -= n;
    }
    (*engine.stats(), seen.hash.finish(), seen.octets)
}

#[test]
fn captures_are_followed_as_from_files() {
    alone("files::captures_are_followed_as_from_files", || {
        let captures = captures();
        let device = |(n, path): (usize, &PathBuf)| format!("net_pcap{n},rx_pcap={}", path.display());
        let devices: Vec<String> = captures.iter().enumerate().map(device).collect();
        let eal = start(&devices.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(eal.devices(), (0..captures.len()).map(|n| format!("net_pcap{n}")).collect::<Vec<_>>());
        let mut all = 0;
        for (n, path) in captures.iter().enumerate() {
            let name = path.file_name().unwrap().to_string_lossy();
            let frames = Capture::load(path).unwrap().0.len();
            let expected = follow(&mut PcapSource::open(path).unwrap(), frames);
            let mut port = open(&eal, &format!("net_pcap{n}"));
            let capabilities = port.capabilities();
            assert_eq!((capabilities.timestamps, capabilities.spread), (Timestamps::File, Spread::Alone));
            assert_eq!(follow(&mut port, frames), expected, "{name}");
            assert_eq!(port.receive(&mut |_| panic!("it is at its end")).unwrap(), Received::Nothing);
            let statistics = port.statistics();
            assert_eq!((statistics.received, statistics.dropped), (frames as u64, 0), "{name}");
            assert!(expected.2 > 0 && expected.0.flows > 0, "{name}: {expected:?}");
            all += frames;
        }
        say(&format!(
            "dpdk: {all} frames of {} captures, statistics, octets and times the same",
            captures.len()
        ));
        end(eal);
    });
}

/// A capture of frames of these lengths.
fn capture(path: &Path, lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut writer = CaptureWriter::new(File::create(path).unwrap());
    let frame = |len: &usize| (0..*len).map(|n| (n % 251) as u8).collect::<Vec<u8>>();
    let frames: Vec<Vec<u8>> = lengths.iter().map(frame).collect();
    for frame in &frames {
        writer.write(&Frame::ethernet(Instant(1_000_000), frame)).unwrap();
    }
    writer.flush().unwrap();
    frames
}

#[test]
fn frames_in_several_parts_are_put_together() {
    alone("files::frames_in_several_parts_are_put_together", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.pcap");
        let large = capture(&path, &[60, 1514, 9000, 2048, 2049, 64_000, 60]);
        let eal = start(&[&format!("net_pcap0,rx_pcap={}", path.display()), "net_ring0"]);
        let (mut port, mut ring) = (open(&eal, "net_pcap0"), open(&eal, "net_ring0"));
        let mut sent = 0;
        let mut joined = Vec::new();
        port.receive(&mut |frames| {
            joined.extend(frames.iter().map(|f| f.data.to_vec()));
            sent = ring.transmit(frames).unwrap();
        })
        .unwrap();
        assert!(joined == large);
        assert_eq!(port.handling(), Handling { joined: 3, ..Handling::default() });
        // What is larger than the MTU does not go.
        assert_eq!((sent, ring.statistics().refused), (3, 4));
        assert_eq!(receive(&mut ring, 3), [&large[0], &large[1], &large[6]].map(Clone::clone));
        drop((port, ring));
        end(eal);
    });
}

#[test]
fn a_file_is_written_as_the_other_was() {
    alone("files::a_file_is_written_as_the_other_was", || {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (captures().remove(0), folder.path().join("out.pcap"));
        let eal = start(&[&format!("net_pcap0,rx_pcap={},tx_pcap={}", from.display(), to.display())]);
        let mut port = open(&eal, "net_pcap0");
        let frames: Vec<Vec<u8>> =
            Capture::load(&from).unwrap().0.frames_from(0).map(|f| f.data.to_vec()).collect();
        assert!(receive(&mut port, frames.len()) == frames);
        assert_eq!(super::send(&mut port, &frames), frames.len());
        assert_eq!(port.handling().copied, frames.len() as u64);
        let statistics = port.statistics();
        assert_eq!((statistics.sent, statistics.refused), (frames.len() as u64, 0));
        drop(port);
        let written = Capture::load(&to).unwrap().0;
        assert!(written.frames_from(0).map(|f| f.data).eq(frames.iter().map(Vec::as_slice)));
        end(eal);
    });
}
