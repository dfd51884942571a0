//! Packets allocate nothing: after the tables are warm, whole captures pass through an engine without one call to
//! the allocator, with every event listened to, handlers registered for
//! each connection, and every byte read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use mos_flow::{
    Config, Context, Engine, Event, Frame, Hook, Instant, Peek, Retention, SocketKind, UserEvent,
};

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

/// Both events of the application, for this connection alone.
fn register(ctx: &mut Context<'_, u64>) {
    let (socket, hook) = (ctx.socket(), ctx.hook());
    for event in events(ctx) {
        ctx.control().register(socket, event, hook, nothing, 0).unwrap();
    }
}

/// One that is defined, and one that is raised below it.
fn events(ctx: &mut Context<'_, u64>) -> [UserEvent; 2] {
    [0, 1].map(|index| ctx.control().event_at(index).unwrap())
}

fn raise(ctx: &mut Context<'_, u64>) -> bool {
    let [_, raised] = events(ctx);
    ctx.raise(raised).is_ok()
}

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
    for retention in [Retention::Ring, Retention::Unread] {
        pass_through(retention);
    }
    let counted = allocations();
    drop(Vec::<u8>::with_capacity(1));
    assert_eq!(allocations(), counted + 1, "the counter counts");
}

fn pass_through(retention: Retention) {
    let mut engine = Engine::<u64>::new(Config { retention, ..Config::default() }).unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    for event in Event::ALL {
        for hook in Hook::ALL.into_iter().filter(|h| event.is_allowed_at(*h)) {
            let handler = match event {
                Event::NewData => read,
                Event::ConnStart => register,
                _ => nothing,
            };
            engine.register(socket, event, hook, handler, 0).unwrap();
        }
    }
    let defined = engine.define_event(Event::PacketIn, raise, 0).unwrap();
    engine.alloc_event(defined).unwrap();
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
    assert!(engine.stats().flows > 10 && engine.handler_sets().0 == 1, "connections have come and gone");
}
