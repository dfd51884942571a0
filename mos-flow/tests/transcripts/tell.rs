//! What an engine tells of a capture, as lines.

use super::capture::Captured;
use mos_flow::{
    Config, Context, Engine, Event, Frame, Hook, Instant, Offset, Patience, Side, Sides, SocketKind, State,
    Timeouts, Trouble,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use tcp_reasm::{Flags, Segment};

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Every event.
    Whole,
    /// Without bare `packet_in`; `new_data` of one side, told again and again, is one line.
    Changes,
    /// The same without numbers; connections that are told alike are one.
    Shapes,
}

/// One event.
#[derive(Clone)]
struct Line {
    /// The number of the packet in flight, or, `after` it, of the last one.
    frame: u16,
    after: bool,
    hook: Hook,
    side: Option<Side>,
    event: Event,
    states: Option<Sides<State>>,
    /// The packet.
    packet: String,
    /// What the event is about.
    about: String,
    /// Octets that are new, and how often they were told.
    news: Option<(u64, u64, usize)>,
}

#[derive(Default)]
struct Connection {
    name: String,
    /// The number before that of the first octet of each side, and whether its SYN told it.
    isn: Sides<Option<(u32, bool)>>,
    told: Sides<u64>,
    lines: Vec<Line>,
}

#[derive(Default)]
struct App {
    frame: u16,
    reads: bool,
    connections: BTreeMap<u64, Connection>,
    orphans: Vec<Line>,
}

/// How an engine reads captures: patient, and taking packets with the checksums that offloading leaves in them.
pub(crate) fn config() -> Config {
    Config {
        max_flows: 1 << 12,
        timeouts: Timeouts {
            patience: Patience { octets: 1 << 20, time: Duration::from_secs(60) },
            handshake: Duration::from_secs(120),
            idle: Duration::from_secs(3600),
            ..Config::default().timeouts
        },
        verify_checksums: false,
        ..Config::default()
    }
}

/// The transcript of some frames, each a burst of its own. Who `reads` has everything that is new.
pub(crate) fn transcript(frames: &[Captured], config: Config, reads: bool, style: Style) -> String {
    let mut engine = Engine::<App>::new(config).unwrap();
    let raw = engine.open(SocketKind::Raw).unwrap();
    engine.register(raw, Event::PacketIn, Hook::None, count, 0).unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    for event in Event::ALL {
        for hook in Hook::ALL.into_iter().filter(|hook| is_told(event, *hook)) {
            if (event, hook) != (Event::PacketIn, Hook::None) {
                engine.register(socket, event, hook, tell, 0).unwrap();
            }
        }
    }
    let mut app = App { reads, ..App::default() };
    for (number, captured) in (1..).zip(frames) {
        let Captured { time, link, wire_len, ref data } = *captured;
        let frame = Frame { wire_len, link, port: number, ..Frame::ethernet(Instant(time), data) };
        engine.process_burst(&mut [frame], &mut app);
    }
    app.frame = u16::MAX;
    engine.shutdown(&mut app);
    app.text(style)
}

/// Frames have their number for a port.
fn count(ctx: &mut Context<'_, App>) {
    let frame = ctx.packet().unwrap().frame.port;
    ctx.app().frame = frame;
}

fn tell(ctx: &mut Context<'_, App>) {
    let (event, hook, side) = (ctx.event().unwrap(), ctx.hook(), ctx.side());
    let after = ctx.packet().is_none();
    let about = about(ctx);
    if event == Event::Orphan {
        let packet = orphan(ctx);
        let frame = ctx.app().frame;
        let line = Line { frame, after, hook, side, event, states: None, packet, about, news: None };
        return ctx.app().orphans.push(line);
    }
    let view = ctx.packet();
    let segment = view.and_then(|view| view.segment.map(|segment| Numbers::of(&segment)));
    let (app, mut m) = ctx.split().unwrap();
    if event == Event::NewData && app.reads {
        m.read_with(side.unwrap(), |_, _| {}).unwrap();
    }
    let states = Some(Sides::from_fn(|side| m.state(side).unwrap()));
    let connection = app.connections.entry(m.flow_number().unwrap()).or_default();
    if connection.name.is_empty() {
        let [client, server] = Side::BOTH.map(|side| m.address(side).unwrap().to_string());
        let vlans: String = m.vlans().unwrap().ids().iter().map(|id| format!(" vlan {id}")).collect();
        connection.name = format!("{client} > {server}{vlans}");
    }
    let from = if hook == Hook::Sender { side } else { side.map(|side| !side) };
    let packet =
        from.zip(segment).map_or(String::new(), |(from, numbers)| connection.describe(from, &numbers));
    let news = side.filter(|_| event == Event::NewData).map(|side| {
        let next = m.stream_info(side).map_or(Offset::ZERO, |info| info.next).0;
        (std::mem::replace(&mut connection.told[side], next), next, 1)
    });
    connection.lines.push(Line { frame: app.frame, after, hook, side, event, states, packet, about, news });
}

/// What an event is about, where it does not say it by itself.
fn about(ctx: &mut Context<'_, App>) -> String {
    let trouble = ctx.trouble().map(|trouble| match trouble {
        Trouble::Gap(range) => format!("gap {range}"),
        Trouble::NoMemory { octets } => format!("no memory for {octets}"),
        Trouble::Overrun(range) => format!("overrun {range}"),
        Trouble::Window { octets } => format!("{octets} beyond the window"),
        other => format!("{other:?}"),
    });
    let conflict = ctx.conflict().map(|conflict| format!("differs in {}", conflict.range));
    let ends = ctx.event() == Some(Event::ConnEnd);
    let reason = ctx.monitor().ok().filter(|_| ends).and_then(|m| m.end_reason().unwrap());
    trouble.or(conflict).or(reason.map(|reason| format!("{reason:?}").to_lowercase())).unwrap_or_default()
}

/// What is looked at in a segment.
#[derive(Clone, Copy)]
struct Numbers {
    flags: Flags,
    seq: u32,
    ack: u32,
    len: u32,
}

impl Numbers {
    fn of(segment: &Segment<'_>) -> Self {
        Numbers { flags: segment.flags, seq: segment.seq.0, ack: segment.ack.0, len: segment.payload_len }
    }
}

fn orphan(ctx: &mut Context<'_, App>) -> String {
    let view = ctx.packet().unwrap();
    let (segment, (src, dst)) = (view.segment.unwrap(), view.packet.ports(view.frame.data));
    format!("{} {src} > {dst}", segment.flags)
}

impl Connection {
    /// Flags, place and length in the stream, and the place up to which the other one is acknowledged.
    fn describe(&mut self, from: Side, packet: &Numbers) -> String {
        let Numbers { flags, seq, ack, len } = *packet;
        let syn = flags.has(Flags::SYN);
        if self.isn[from].is_none_or(|(_, told)| syn && !told) {
            self.isn[from] = Some((seq.wrapping_sub(u32::from(!syn)), syn));
        }
        let place = |side: Side, number: u32| {
            let isn = self.isn[side].map_or(number.wrapping_sub(1), |(isn, _)| isn);
            number.wrapping_sub(isn).wrapping_sub(1).cast_signed()
        };
        let mut text = format!("{flags} @{}", place(from, seq.wrapping_add(u32::from(syn))));
        if len > 0 {
            write!(text, "+{len}").unwrap();
        }
        if flags.has(Flags::ACK) {
            write!(text, " ack {}", place(!from, ack)).unwrap();
        }
        text
    }
}

impl App {
    fn text(&self, style: Style) -> String {
        let mut out = String::new();
        if style == Style::Shapes {
            self.shapes(&mut out);
        } else {
            for (number, connection) in &self.connections {
                writeln!(out, "{number}: {}", connection.name).unwrap();
                lines(&mut out, &connection.lines, style);
            }
        }
        if !self.orphans.is_empty() {
            writeln!(out, "orphans").unwrap();
            self.write_orphans(&mut out, style);
        }
        out
    }

    fn write_orphans(&self, out: &mut String, style: Style) {
        if style == Style::Whole {
            return lines(out, &self.orphans, style);
        }
        let mut kinds: Vec<(&str, u16, u16, usize)> = Vec::new();
        for Line { frame, packet, .. } in &self.orphans {
            match kinds.iter_mut().find(|kind| kind.0 == packet) {
                Some((_, _, last, times)) => (*last, *times) = (*frame, *times + 1),
                None => kinds.push((packet, *frame, *frame, 1)),
            }
        }
        for (packet, first, last, times) in kinds {
            let frames = if first == last { first.to_string() } else { format!("{first}..{last}") };
            writeln!(out, "{frames:>9} {packet} in {times}").unwrap();
        }
    }

    /// Each life of a connection, and whose it is.
    fn shapes(&self, out: &mut String) {
        let mut shapes: Vec<(String, Vec<u64>)> = Vec::new();
        for (number, connection) in &self.connections {
            let mut text = String::new();
            lines(&mut text, &connection.lines, Style::Shapes);
            match shapes.iter_mut().find(|(shape, _)| *shape == text) {
                Some((_, same)) => same.push(*number),
                None => shapes.push((text, vec![*number])),
            }
        }
        for (text, same) in shapes {
            let numbers: Vec<_> = same.iter().map(u64::to_string).collect();
            write!(out, "{}:\n{text}", numbers.join(" ")).unwrap();
        }
    }
}

fn lines(out: &mut String, lines: &[Line], style: Style) {
    let mut merged: Vec<Line> = Vec::new();
    for line in lines {
        if style != Style::Whole && line.event == Event::PacketIn {
            continue;
        }
        let last = merged.last_mut().filter(|_| style != Style::Whole);
        let last = last.filter(|last| (last.event, last.side) == (Event::NewData, line.side));
        match (last.and_then(|last| last.news.as_mut()), line.news) {
            (Some((_, end, times)), Some((_, next, _))) => (*end, *times) = (next, *times + 1),
            _ => merged.push(line.clone()),
        }
    }
    let texts: Vec<_> = merged.iter().map(|line| line.text(style)).collect();
    for same in texts.chunk_by(|a, b| style == Style::Shapes && a == b) {
        let times = if same.len() > 1 { format!(" in {}", same.len()) } else { String::new() };
        writeln!(out, "{}{times}", same[0]).unwrap();
    }
}

impl Line {
    fn text(&self, style: Style) -> String {
        let at = match (self.frame, self.after) {
            (u16::MAX, _) => "end".into(),
            (frame, after) => format!("{frame}{}", if after { "+" } else { "" }),
        };
        let hook = ["-", "R", "S"][self.hook as usize];
        let side = self.side.map_or("-", |side| if side == Side::Client { "c" } else { "s" });
        let states =
            self.states.map_or(String::new(), |states| Side::BOTH.map(|side| short(states[side])).join("/"));
        let mut line = format!("{hook} {side} {:<14} {states:<11}", self.event);
        if style != Style::Shapes {
            line = format!("{at:>5} {line}");
            // In a whole transcript the packet stands with its first line.
            let first = style != Style::Whole || self.hook == Hook::Sender && self.event == Event::PacketIn;
            if (first || self.event == Event::Orphan) && !self.packet.is_empty() {
                write!(line, " {}", self.packet).unwrap();
            }
            if let Some((start, end, times)) = self.news {
                write!(line, " [{start}, {end})").unwrap();
                if times > 1 {
                    write!(line, " in {times}").unwrap();
                }
            }
        }
        format!("{line} {}", self.about).trim_end().to_owned()
    }
}

fn short(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::Listen => "LISTEN",
        State::SynSent => "SENT",
        State::SynReceived => "RCVD",
        State::Established => "EST",
        State::FinWait1 => "FW1",
        State::FinWait2 => "FW2",
        State::CloseWait => "CW",
        State::Closing => "CLOSING",
        State::LastAck => "LA",
        State::TimeWait => "TW",
    }
}

/// Events at all their hooks, but new data once a burst only: at the receiver's hook it is told of each segment, which is another
/// test's.
fn is_told(event: Event, hook: Hook) -> bool {
    event.is_allowed_at(hook) && (event, hook) != (Event::NewData, Hook::Receiver)
}
