//! Packets allocate nothing: after the tables are warm, whole captures pass through an engine without one call to
//! the allocator, with every event listened to and every byte read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Peek, SocketKind};

#[path = "support/counting.rs"]
mod counting;

use counting::allocations;

fn read(ctx: &mut Context<'_, u64>) {
    let Some(side) = ctx.side() else { return };
    let mut buf = [0; 512];
    let Ok((octets, mut monitor)) = ctx.split() else { return };
    while let Ok(Peek::Data(range)) = monitor.peek(side, &mut buf) {
        *octets += range.len();
    }
}

fn nothing(_: &mut Context<'_, u64>) {}

/// A capture's packets: time in microseconds, octets.
fn packets(name: &str) -> Vec<(u64, Vec<u8>)> {
    let path = format!("{}/tests/pcaps/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(path).unwrap();
    let mut at = 24;
    let mut out = Vec::new();
    while at < file.len() {
        let field = |i: usize| u32::from_le_bytes(file[at + i..at + i + 4].try_into().unwrap());
        let len = field(8) as usize;
        out.push((
            u64::from(field(0)) * 1_000_000 + u64::from(field(4)),
            file[at + 16..at + 16 + len].to_vec(),
        ));
        at += 16 + len;
    }
    out
}

#[test]
fn packets_allocate_nothing_after_warm_up() {
    let mut engine = Engine::<u64>::new(Config::default()).unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    for event in Event::ALL {
        for hook in Hook::ALL.into_iter().filter(|h| event.is_allowed_at(*h)) {
            let handler = if event == Event::NewData { read } else { nothing };
            engine.register(socket, event, hook, handler, 0).unwrap();
        }
    }
    let captures = ["short4.pcap", "lossy.pcap", "reset.pcap"].map(packets);
    let mut octets = 0;
    let mut run = |shift: u64| {
        let before = allocations();
        for (time, data) in captures.iter().flatten() {
            let mut burst = [Frame::ethernet(Instant(time + shift), data)];
            engine.process_burst(&mut burst, &mut octets);
        }
        allocations() - before
    };
    run(0);
    let later = run(3_600_000_000) + run(7_200_000_000);
    assert_eq!(later, 0, "allocations in two passes after the first");
    assert!(octets > 1_000_000, "{octets} octets were read");
    let counted = allocations();
    drop(Vec::<u8>::with_capacity(1));
    assert_eq!(allocations(), counted + 1, "the counter counts");
}
