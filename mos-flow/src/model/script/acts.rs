//! What handlers do, one step of the script for each call, and what must be right when they are called.

use super::traffic::{SERVER, Sent, octet};
use crate::{
    Context, EndReason, Engine, Event, FilterSlot, Hook, Instant, Monitor, Offset, Overlap, Peek, Range,
    Side, SocketError, SocketId, SocketKind, TimerId, Trouble,
};
use core::time::Duration;
use std::vec::Vec;

/// What a handler does. Sockets are told by their place among those seen, which may be gone.
#[derive(Clone, Copy, Debug)]
enum Act {
    Bind(u8),
    Close(u8),
    DisableBuffer(u8, Side),
    Drop,
    Nothing,
    Open(SocketKind),
    PeekBeyond(u8, Side),
    Read(u8, Side),
    Register(u8, Event, Hook),
    SetOverlap(u8, Side, Overlap),
    StartTimer(Duration),
    Stop(u8, Option<Side>),
    StopTimer(u8),
    Unregister(u8, Event, Hook),
    User(u8, u8),
}

impl Act {
    fn of([what, which, how]: [u8; 3]) -> Self {
        let side = if how & 1 == 0 { Side::Client } else { Side::Server };
        let (event, hook) = (Event::ALL[usize::from(how >> 2) % 8], Hook::ALL[usize::from(how) % 3]);
        match what % 24 {
            0 => Act::Stop(which, None),
            1 => Act::Stop(which, Some(side)),
            2 => Act::DisableBuffer(which, side),
            3 => Act::Register(which, event, hook),
            4 => Act::Unregister(which, event, hook),
            5 => Act::Close(which),
            6 => Act::Open(if how & 2 == 0 { SocketKind::Raw } else { SocketKind::Stream }),
            7 => Act::Bind(which),
            8 => Act::StartTimer(Duration::from_millis(how.into())),
            9 => Act::StopTimer(which),
            10 => Act::Drop,
            11 => Act::SetOverlap(which, side, if how & 2 == 0 { Overlap::First } else { Overlap::Last }),
            12 => Act::User(which, how),
            13 | 14 => Act::PeekBeyond(which, side),
            15..=19 => Act::Read(which, side),
            _ => Act::Nothing,
        }
    }

    /// It takes nothing from anybody.
    fn is_gentle(self) -> bool {
        !matches!(self, Act::DisableBuffer(..) | Act::Stop(..) | Act::Unregister(..))
    }
}

/// One run of a hook: what a handler does during it counts from the next one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Run {
    number: u64,
    at: Option<(SocketId, Hook, Option<Side>)>,
    event: Option<Event>,
}

/// The application.
#[derive(Debug)]
pub(super) struct App {
    acts: Vec<u8>,
    at: usize,
    gentle: bool,
    /// What was sent; told by those who send.
    pub(super) sent: Sent,
    /// Sockets seen, also ones that are gone.
    pub(super) sockets: Vec<SocketId>,
    timers: Vec<TimerId>,
    run: Run,
    /// Sides of sockets that were stopped, and in which run.
    stopped: Vec<(SocketId, Side, u64)>,
    /// Where streams stood when they were told of last.
    told: Vec<(SocketId, Side, Offset)>,
    /// Sockets that were told of an end.
    ended: Vec<SocketId>,
    /// When the frames came that a handler dropped.
    pub(super) dropped: Vec<Instant>,
}

impl App {
    pub(super) fn new(acts: &[u8], gentle: bool) -> Self {
        App {
            acts: acts.to_vec(),
            at: 0,
            gentle,
            sent: Sent::default(),
            sockets: Vec::new(),
            timers: Vec::new(),
            run: Run::default(),
            stopped: Vec::new(),
            told: Vec::new(),
            ended: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// The script begins again at its end: there are more events than octets.
    fn next(&mut self) -> Act {
        let byte = |at: usize| self.acts.get(at % self.acts.len().max(1)).copied().unwrap_or(u8::MAX);
        let act = Act::of([byte(self.at), byte(self.at + 1), byte(self.at + 2)]);
        self.at += 3;
        if self.gentle && !act.is_gentle() { Act::Nothing } else { act }
    }

    fn socket(&self, which: u8) -> SocketId {
        self.sockets[usize::from(which) % self.sockets.len()]
    }

    /// Who was told of its end, and the packet or burst is over, is gone.
    pub(super) fn check_ended(&mut self, engine: &mut Engine<App>) {
        for socket in self.ended.drain(..) {
            assert!(engine.monitor(socket).is_err(), "a connection goes with its end");
        }
    }

    /// Nobody is called for what it stopped, but in the run of the hook where it did.
    fn check_call(&mut self, socket: SocketId, hook: Hook, side: Option<Side>, event: Event) {
        let at = Some((socket, hook, side));
        let same = self.run.at == at && self.run.event.is_some_and(|before| before < event);
        self.run = Run { number: self.run.number + u64::from(!same), at, event: Some(event) };
        let stopped = |(s, of, run): &(SocketId, Side, u64)| {
            *s == socket && Some(*of) == side && *run != self.run.number
        };
        assert!(!self.stopped.iter().any(stopped), "{event} at {hook} of a side that was stopped");
    }
}

/// A handler that may do anything it is allowed to.
pub(super) fn act(ctx: &mut Context<'_, App>) {
    let (socket, hook, side) = (ctx.socket(), ctx.hook(), ctx.side());
    let gap_or_none = matches!(ctx.trouble(), None | Some(Trouble::Gap(_) | Trouble::Overrun(_)));
    assert!(gap_or_none || !ctx.app().gentle, "there is room for all that hosts send");
    if let Some(event) = ctx.event() {
        ctx.app().check_call(socket, hook, side, event);
        if ctx.app().sockets.len() < 64 && !ctx.app().sockets.contains(&socket) {
            ctx.app().sockets.push(socket);
        }
        if let (Event::NewData | Event::ConnEnd, Some(side)) = (event, side) {
            follow(ctx, event, side);
        }
    }
    let act = ctx.app().next();
    perform(ctx, act);
}

/// Does it. Refusals are as good as any answer.
fn perform(ctx: &mut Context<'_, App>, act: Act) {
    let _ = match act {
        Act::Bind(which) => {
            let socket = ctx.app().socket(which);
            ctx.control().bind(socket, FilterSlot::Syn, "port 80".parse().ok())
        }
        Act::Close(which) => {
            let socket = ctx.app().socket(which);
            ctx.control().close(socket)
        }
        Act::DisableBuffer(which, side) => at(ctx, which, |m| m.disable_buffer(side)),
        Act::Drop => drop_packet(ctx),
        Act::Nothing => Ok(()),
        Act::Open(kind) => open(ctx, kind),
        Act::PeekBeyond(which, side) => at(ctx, which, |m| peek_beyond(m, side)),
        Act::Read(which, side) => {
            let socket = ctx.app().socket(which);
            read(ctx, socket, side)
        }
        Act::Register(which, event, hook) => {
            let socket = ctx.app().socket(which);
            ctx.control().register(socket, event, hook, self::act, 0)
        }
        Act::SetOverlap(which, side, policy) => at(ctx, which, |m| m.set_overlap(side, policy)),
        Act::StartTimer(delay) => start_timer(ctx, delay),
        Act::Stop(which, side) => stop(ctx, which, side),
        Act::StopTimer(which) => stop_timer(ctx, which),
        Act::Unregister(which, event, hook) => {
            let socket = ctx.app().socket(which);
            ctx.control().unregister(socket, event, hook)
        }
        Act::User(which, word) => at(ctx, which, |m| m.set_user(word.into())),
    };
}

/// At one of the sockets that were seen.
fn at(
    ctx: &mut Context<'_, App>,
    which: u8,
    f: impl FnOnce(&mut Monitor<'_, App>) -> Result<(), SocketError>,
) -> Result<(), SocketError> {
    let socket = ctx.app().socket(which);
    f(&mut ctx.monitor_at(socket)?)
}

fn start_timer(ctx: &mut Context<'_, App>, delay: Duration) -> Result<(), SocketError> {
    let timer = ctx.control().start_timer(delay, act, 0);
    ctx.app().timers.extend(timer);
    Ok(())
}

fn stop_timer(ctx: &mut Context<'_, App>, which: u8) -> Result<(), SocketError> {
    if let Some(timer) = ctx.app().timers.get(usize::from(which)).copied() {
        let _ = ctx.control().stop_timer(timer);
    }
    Ok(())
}

/// Drops the packet. Before the receiver's hook it never arrives, and the hosts of gentle scripts do not send it again: there it is
/// left.
fn drop_packet(ctx: &mut Context<'_, App>) -> Result<(), SocketError> {
    if ctx.hook() != Hook::Receiver && ctx.app().gentle {
        return Ok(());
    }
    ctx.drop_packet();
    let time = ctx.packet().map(|packet| packet.frame.time);
    ctx.app().dropped.extend(time);
    Ok(())
}

fn open(ctx: &mut Context<'_, App>, kind: SocketKind) -> Result<(), SocketError> {
    let socket = ctx.control().open(kind)?;
    ctx.app().sockets.push(socket);
    for event in Event::ALL {
        for hook in Hook::ALL.into_iter().filter(|hook| super::is_told(event, *hook)) {
            ctx.control().register(socket, event, hook, act, 0)?;
        }
    }
    Ok(())
}

fn stop(ctx: &mut Context<'_, App>, which: u8, side: Option<Side>) -> Result<(), SocketError> {
    let socket = ctx.app().socket(which);
    let mut monitor = ctx.monitor_at(socket)?;
    monitor.stop(side)?;
    // A monitor stops for the connections to come.
    if monitor.kind()? == SocketKind::Active {
        let run = ctx.app().run.number;
        let sides = Side::BOTH.into_iter().filter(|s| side.is_none_or(|side| side == *s));
        ctx.app().stopped.extend(sides.map(|side| (socket, side, run)));
    }
    Ok(())
}

/// Reads what is new; at the end of a connection the rest.
fn follow(ctx: &mut Context<'_, App>, event: Event, side: Side) {
    let socket = ctx.socket();
    if event == Event::NewData && ctx.hook() == Hook::None && ctx.app().gentle {
        let next = ctx.monitor().unwrap().stream_info(side).unwrap().next;
        let told = &mut ctx.app().told;
        let before = told.iter().rev().find(|told| (told.0, told.1) == (socket, side));
        assert!(next > before.map_or(Offset::ZERO, |told| told.2), "new data is new");
        told.push((socket, side, next));
        let _ = read(ctx, socket, side);
    }
    if event != Event::ConnEnd {
        return;
    }
    for side in Side::BOTH {
        let _ = read(ctx, socket, side);
    }
    let reason = ctx.monitor().unwrap().end_reason().unwrap();
    let (app, monitor) = ctx.split().unwrap();
    if app.gentle && reason == Some(EndReason::Closed) {
        check_end(app, &monitor);
    }
    app.ended.push(socket);
}

/// A connection that was closed was read to its end.
fn check_end(app: &App, monitor: &Monitor<'_, App>) {
    let port = monitor.address(Side::Client).unwrap().port();
    for side in Side::BOTH {
        let first = monitor.stream_info(side).unwrap().base.0;
        let life = app.sent.life(port, !side, first).unwrap();
        let end = life.end[!side].unwrap().wrapping_sub(first);
        assert_eq!(monitor.cursor(side), Ok(Offset(end.into())), "all octets of {side}");
    }
}

/// Reads all that a socket has not read, and judges each octet.
fn read(ctx: &mut Context<'_, App>, socket: SocketId, side: Side) -> Result<(), SocketError> {
    let mut m = ctx.monitor_at(socket)?;
    let ((port, from), base) = (source(&m, side)?, m.stream_info(side)?.base.0);
    let (mut next, mut lost) = (m.cursor(side)?, Vec::new());
    m.read_with(side, |range, piece| {
        assert_eq!(range.start, next, "octets come one after the other");
        next = range.end;
        if piece.is_empty() {
            lost.push(range);
        }
        check_octets(port, from, base, range.start, piece);
    })?;
    let app = ctx.app();
    if app.gentle {
        let life = app.sent.life(port, from, base).unwrap();
        for at in lost.iter().flat_map(|range: &Range| range.start.0..range.end.0) {
            assert!(life.has_lost(from, base.wrapping_add(at as u32)), "the octet at {at} was captured");
        }
    }
    Ok(())
}

/// The port of the client, and which side sends what `side` receives. In a rough script the server may have begun.
fn source(m: &Monitor<'_, App>, side: Side) -> Result<(u16, Side), SocketError> {
    let [port, other] = [side, !side].map(|side| m.address(side).map(|address| address.port()));
    Ok(if port? == SERVER { (other?, Side::Client) } else { (port?, Side::Server) })
}

fn check_octets(port: u16, from: Side, base: u32, start: Offset, found: &[u8]) {
    for (at, found) in (start.0..).zip(found) {
        assert_eq!(*found, octet(port, from, base.wrapping_add(at as u32)), "the octet at {at}");
    }
}

/// Reads where there is nothing, and anywhere else.
fn peek_beyond(m: &mut Monitor<'_, App>, side: Side) -> Result<(), SocketError> {
    let mut buf = [0; 64];
    let into_nothing = m.peek(side, &mut [])?;
    assert!(!matches!(into_nothing, Peek::Data(range) if !range.is_empty()));
    let ((port, from), info) = (source(m, side)?, m.stream_info(side)?);
    for beyond in [info.top, Offset(u64::MAX), Offset(1 << 32)] {
        assert!(m.ppeek(side, beyond, &mut buf).is_err(), "nothing is held at {beyond}");
    }
    for at in [info.head, info.next, Offset(info.next.0 / 2)] {
        let held = m.ppeek(side, at, &mut buf).unwrap_or(0);
        check_octets(port, from, info.base.0, at, &buf[..held]);
    }
    Ok(())
}
