//! Replaces a word in TCP streams, by one of any length.
//!
//! `cargo run -p mos-dpdk --example tamper -- --from WORD --to WORD CAPTURE --out CHANGED`, or live with
//! `--tap LEFT,RIGHT` or `--interfaces LEFT,RIGHT`
//!
//! A word may lie across segments: a segment that ends with the beginning of a word is forwarded without it, and the next one
//! with it, unless it is likely that no next one follows. Segments that overtook others are dropped; their sender sends them
//! again in order. Lengths that an application tells its peer beforehand are not changed.

mod common;

use clap::Parser;
use mos_flow::{Config, Context, Engine, Event, Hook, Side, Sides, SocketKind, Strictness};
use std::collections::HashMap;
use std::error::Error;
use std::io::Write as _;
use tcp_reasm::{Flags, Segment};

/// A segment of this length is not the last of what an application wrote, unless by chance: the least MSS (RFC 9293, 3.7.1).
const FULL: usize = 536;

#[derive(Parser)]
struct Args {
    /// The word to replace.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    from: String,
    /// What stands there instead.
    #[arg(long)]
    to: String,
    #[command(flatten)]
    traffic: common::Traffic,
}

struct App {
    from: Vec<u8>,
    to: Vec<u8>,
    connections: HashMap<u64, Sides<Direction>>,
}

/// What one side sent.
#[derive(Clone, Copy, Default)]
struct Direction {
    /// The length of the beginning of a word that the receiver was not given yet.
    held: usize,
    /// The longest payload.
    longest: usize,
    replaced: u64,
}

/// Octets of the payload from `at` on that become others, and what the direction is then.
struct Change {
    at: usize,
    len: usize,
    by: Vec<u8>,
    after: Direction,
}

/// A packet before its receiver can hear it.
fn on_packet(ctx: &mut Context<'_, App>) {
    let (Some(from), Some(at), Ok(monitor)) = (ctx.side(), ctx.payload_offset(), ctx.monitor()) else {
        return;
    };
    let (Ok(flow), Ok(heard)) = (monitor.flow_number(), monitor.stream_info(!from)) else { return };
    let (app, packet) = ctx.split_packet();
    let Some(segment) =
        packet.and_then(|p| p.segment).filter(|s| s.seq_len() > 0 && !s.is_syn() && !s.is_rst())
    else {
        return;
    };
    if at > heard.next {
        return ctx.drop_packet(); // the one before is missing, and may end with the beginning of a word
    }
    // What is not new, the receiver gets as it was before.
    let again = usize::try_from(heard.next.since(at)).unwrap_or(usize::MAX);
    let Some(new) = segment.payload.get(again..).filter(|new| !new.is_empty() || segment.is_fin()) else {
        return;
    };
    let change = app.change(app.direction(flow, from), &segment, new, again);
    let is_same = change.len == 0 && change.by.is_empty();
    if !is_same && ctx.edit().and_then(|mut edit| edit.replace(change.at, change.len, &change.by)).is_err() {
        return ctx.drop_packet(); // it will be sent again
    }
    ctx.app().connections.entry(flow).or_default()[from] = change.after;
}

impl App {
    fn direction(&self, flow: u64, from: Side) -> Direction {
        self.connections.get(&flow).map_or_else(Direction::default, |sides| sides[from])
    }

    /// What is to become of octets that are new, behind `again` others.
    fn change(&self, before: Direction, segment: &Segment<'_>, new: &[u8], again: usize) -> Change {
        let longest = before.longest.max(segment.payload.len()).max(FULL);
        let is_last = segment.is_fin() || segment.flags.has(Flags::PSH) && segment.payload.len() < longest;
        let text = [self.from.get(..before.held).unwrap_or_default(), new].concat();
        let (changed, words, held) = self.replace(&text, is_last);
        let (start, len) = difference(new, &changed);
        let end = changed.len() - (new.len() - start - len);
        let by = changed.get(start..end).unwrap_or_default().to_vec();
        Change {
            at: again + start,
            len,
            by,
            after: Direction { held, longest, replaced: before.replaced + words },
        }
    }

    /// The text without the beginning of a word at its end, how many words were replaced, and the length of that beginning.
    fn replace(&self, text: &[u8], is_last: bool) -> (Vec<u8>, u64, usize) {
        let (mut out, mut rest, mut words) = (Vec::with_capacity(text.len()), text, 0);
        while let Some(at) = rest.windows(self.from.len()).position(|window| window == self.from) {
            let (before, word) = rest.split_at(at);
            out.extend([before, &self.to].concat());
            rest = word.get(self.from.len()..).unwrap_or_default();
            words += 1;
        }
        let begins = |len: &usize| self.from.get(..*len).is_some_and(|beginning| rest.ends_with(beginning));
        let held = if is_last { 0 } else { (1..self.from.len()).rev().find(begins).unwrap_or(0) };
        out.extend(rest.get(..rest.len() - held).unwrap_or_default());
        (out, words, held)
    }
}

/// Where `old` is another than `new`: from which octet on, and how many of `old`.
fn difference(old: &[u8], new: &[u8]) -> (usize, usize) {
    let same = |(a, b): &(&u8, &u8)| a == b;
    let start = old.iter().zip(new).take_while(same).count();
    let (old, new) = (old.get(start..).unwrap_or_default(), new.get(start..).unwrap_or_default());
    (start, old.len() - old.iter().rev().zip(new.iter().rev()).take_while(same).count())
}

fn on_end(ctx: &mut Context<'_, App>) {
    let Ok((app, monitor)) = ctx.split() else { return };
    let Some(sent) = monitor.flow_number().ok().and_then(|flow| app.connections.remove(&flow)) else {
        return;
    };
    let words = sent.client.replaced + sent.server.replaced;
    if let (true, Ok(client), Ok(server)) =
        (words > 0, monitor.address(Side::Client), monitor.address(Side::Server))
    {
        let _ = writeln!(std::io::stdout(), "{client} {server} {words} replaced");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Args { from, to, traffic } = Args::parse();
    // What was changed is kept as long as it may be sent again: as much as a host has under way.
    let room = Config { ring_octets: 4 << 20, stream_octets: 8 << 20, ..Config::default() };
    // In a capture a receiver acknowledges what it got then, which may be more than it gets now.
    let strictness = if traffic.is_live() { room.strictness } else { Strictness::Lossy };
    let mut engine = Engine::new(Config { strictness, ..room })?;
    let socket = engine.open(SocketKind::Stream)?;
    engine.register(socket, Event::PacketIn, Hook::Sender, on_packet, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;
    let (from, to) = (from.into_bytes(), to.into_bytes());
    traffic.run(engine, App { from, to, connections: HashMap::new() })?;
    Ok(())
}
