//! User-defined events and handler sets against trees of vectors that are copied at will, from a script of bytes.
//!
//! Each packet opens a connection, so that three events happen at the sender's hook and three at the receiver's, for a socket
//! of each of two monitors. Between packets, in handlers and in filters the script defines, registers, removes and raises.

mod forest;

use crate::testing::Exchange;
use crate::{
    Config, Context, Control, Engine, Event, EventError, EventId, Frame, Hook, Instant, Side, Sides,
    SocketError, SocketId, SocketKind, UserEvent,
};
use forest::Model;
use std::format;
use std::sync::Arc;
use std::vec::Vec;

/// Built-in events that the script speaks of; the first one never happens here.
const ROOTS: [Event; 4] = [Event::NewData, Event::ConnStart, Event::StateChange, Event::PacketIn];
const MONITORS: usize = 2;
const MAX_PACKETS: usize = 40;

/// One of the script's words for an event: a root, or the number of one that was defined, also if it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Root(Event),
    User(usize),
}

/// What is called: a plain function and its word, or a closure's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Function(usize),
    Closure(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Define { parent: Target, closure: bool },
    Alloc { parent: Target },
    Undefine { event: Target },
    Register { socket: usize, event: Target, hook: Hook, who: Who },
    Unregister { socket: usize, event: Target, hook: Hook },
    Raise { event: Target },
    Nothing,
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Event(EventError),
    Socket(SocketError),
    /// There is no such word.
    Senseless,
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Refusal {
        Refusal::Event(error)
    }
}

impl From<SocketError> for Refusal {
    fn from(error: SocketError) -> Refusal {
        Refusal::Socket(error)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// A filter was asked at a socket, by the number of its event, for the which-th time if it is a closure.
    Asked(usize, usize, usize),
    /// A handler was called.
    Called(usize, Who, usize),
    Did(Op, Result<(), Refusal>),
}

/// The script, as far as it was read, and the words that were given out; the engine's side and the model's have one each.
#[derive(Clone, Debug)]
struct Script {
    bytes: Vec<u8>,
    at: usize,
    /// Events that were defined: what they are below, and whether they are only raised.
    events: Vec<(Target, bool)>,
    /// Closures that were made.
    closures: usize,
    sockets: usize,
    lines: Vec<Line>,
}

impl Script {
    fn next(&mut self) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte.into()
    }

    /// Any event, or often enough for deep trees the one that was defined last.
    fn target(&mut self) -> Target {
        let (byte, words) = (self.next(), ROOTS.len() + self.events.len());
        let n = if byte < 160 { byte % words } else { words - 1 };
        ROOTS.get(n).map_or(Target::User(n.saturating_sub(ROOTS.len())), |event| Target::Root(*event))
    }

    /// The next thing to do.
    fn op(&mut self) -> Op {
        let (what, how) = (self.next(), self.next());
        // Monitors, or sockets of the latest connections.
        let socket = if how & 8 == 0 { how % MONITORS } else { self.sockets - 1 - how % 4 % self.sockets };
        let hook = [Hook::Sender, Hook::Receiver, Hook::Sender, Hook::Receiver, Hook::None][how / 16 % 5];
        let event = self.target();
        match what % 16 {
            0..=2 => Op::Define { parent: event, closure: how & 7 == 0 },
            3 | 4 => Op::Alloc { parent: event },
            5 => Op::Undefine { event },
            6..=10 => {
                let who =
                    if what & 64 == 0 { Who::Function(what / 128) } else { Who::Closure(self.closures) };
                Op::Register { socket, event, hook, who }
            }
            11 | 12 => Op::Unregister { socket, event, hook },
            13 | 14 => Op::Raise { event },
            _ => Op::Nothing,
        }
    }

    /// The next thing to do while `event` happens. Most raises are of what can be raised.
    fn op_in(&mut self, event: Target) -> Op {
        let op = self.op();
        let children =
            (0..).zip(&self.events).filter(|(_, (parent, raise_only))| *parent == event && *raise_only);
        let children: Vec<usize> = children.map(|(n, _)| n).collect();
        match op {
            Op::Raise { .. } | Op::Nothing if !children.is_empty() && !self.at.is_multiple_of(8) => {
                let n = self.next() % children.len();
                Op::Raise { event: Target::User(children[n]) }
            }
            op => op,
        }
    }

    /// What was done, and what it means for the words.
    fn note(&mut self, op: Op, result: Result<(), Refusal>) {
        match op {
            Op::Define { parent, .. } if result.is_ok() => self.events.push((parent, false)),
            Op::Alloc { parent } if result.is_ok() => self.events.push((parent, true)),
            _ => {}
        }
        let made = matches!(op, Op::Define { closure: true, .. } | Op::Register { who: Who::Closure(_), .. });
        self.closures += usize::from(made);
        self.lines.push(Line::Did(op, result));
    }
}

/// The application of the engine that is tested.
#[derive(Debug)]
struct App {
    script: Script,
    events: Vec<UserEvent>,
    /// Each closure has a share.
    alive: Arc<()>,
}

impl App {
    fn event(&self, target: Target) -> Result<EventId, Refusal> {
        match target {
            Target::Root(event) => Ok(event.into()),
            Target::User(n) => self.events.get(n).map(|event| (*event).into()).ok_or(Refusal::Senseless),
        }
    }
}

fn user(event: EventId) -> Result<UserEvent, Refusal> {
    event.user().ok_or(Refusal::Senseless)
}

fn socket(control: &Control<'_, App>, number: usize) -> Result<SocketId, Refusal> {
    control.socket_at(number as u32).ok_or(Refusal::Senseless)
}

/// Does everything but raise.
fn apply(app: &mut App, control: &mut Control<'_, App>, op: Op) -> Result<(), Refusal> {
    match op {
        Op::Define { parent, closure } => {
            let (parent, number) = (app.event(parent)?, app.events.len());
            let defined = if closure {
                let (mut calls, held) = (0, app.alive.clone());
                control.define_event_with(parent, move |ctx| {
                    calls += Arc::strong_count(&held).min(1);
                    ask(ctx, number, calls)
                })
            } else {
                control.define_event(parent, |ctx| ask(ctx, ctx.token(), 0), number)
            };
            app.events.push(defined?);
            Ok(())
        }
        Op::Alloc { parent } => {
            app.events.push(control.alloc_event(app.event(parent)?)?);
            Ok(())
        }
        Op::Undefine { event } => Ok(control.undefine_event(user(app.event(event)?)?)?),
        Op::Register { socket: at, event, hook, who } => {
            let (at, event) = (socket(control, at)?, app.event(event)?);
            Ok(match who {
                Who::Function(word) => {
                    control.register(at, event, hook, |ctx| call(ctx, Who::Function(ctx.token()), 0), word)
                }
                Who::Closure(_) => {
                    let (mut calls, held) = (0, app.alive.clone());
                    control.register_with(at, event, hook, move |ctx| {
                        calls += Arc::strong_count(&held).min(1);
                        call(ctx, who, calls);
                    })
                }
            }?)
        }
        Op::Unregister { socket: at, event, hook } => {
            Ok(control.unregister(socket(control, at)?, app.event(event)?, hook)?)
        }
        Op::Raise { .. } | Op::Nothing => Err(Refusal::Senseless),
    }
}

fn call(ctx: &mut Context<'_, App>, who: Who, calls: usize) {
    let socket = ctx.socket().index() as usize;
    ctx.app().script.lines.push(Line::Called(socket, who, calls));
    act(ctx);
}

fn ask(ctx: &mut Context<'_, App>, event: usize, calls: usize) -> bool {
    let socket = ctx.socket().index() as usize;
    ctx.app().script.lines.push(Line::Asked(socket, event, calls));
    act(ctx);
    !ctx.app().script.next().is_multiple_of(4)
}

/// What a handler or filter does.
fn act(ctx: &mut Context<'_, App>) {
    for _ in 0..ctx.app().script.next() % 3 {
        let event = ctx.user_event().map(|event| ctx.app().events.iter().position(|other| *other == event));
        let root = ctx.event().map(Target::Root);
        let event = event.flatten().map(Target::User).or(root).unwrap();
        let op = ctx.app().script.op_in(event);
        let result = match op {
            Op::Raise { event } => {
                let event = ctx.app().event(event).and_then(user);
                event.and_then(|event| Ok(ctx.raise(event)?))
            }
            _ => {
                let (app, mut control) = ctx.split_control();
                apply(app, &mut control, op)
            }
        };
        ctx.app().script.note(op, result);
    }
}

fn config(setup: u8) -> Config {
    Config {
        max_flows: 2 * MAX_PACKETS,
        max_sockets: MONITORS * (1 + MAX_PACKETS),
        max_monitors: MONITORS,
        max_timers: 0,
        max_events: usize::from(setup & 31),
        max_steps: usize::from(setup >> 5) * 16,
        max_buffers: 0,
        chunks: 0,
        fragments: None,
        hash_seed: [7; 16], // what is found is found again
        ..Config::default()
    }
}

/// Plays the script in `input` with the engine and the model.
///
/// # Panics
/// When they disagree.
pub fn run(input: &[u8]) {
    let Some((&[setup, split], rest)) = input.split_first_chunk::<2>() else { return };
    let (inside, outside) = rest.split_at(rest.len() * usize::from(split) / 256);
    let config = config(setup);
    let script = Script {
        bytes: inside.to_vec(),
        at: 0,
        events: Vec::new(),
        closures: 0,
        sockets: MONITORS,
        lines: Vec::new(),
    };
    let mut model = Model::new(&config, script.clone());
    let mut engine = Engine::new(config).unwrap();
    for _ in 0..MONITORS {
        engine.open(SocketKind::Stream).unwrap();
    }
    let mut app = App { script, events: Vec::new(), alive: Arc::new(()) };
    let mut packets = 0;
    for &[what, ref bytes @ ..] in outside.as_chunks::<4>().0 {
        if what.is_multiple_of(4) && packets < MAX_PACKETS {
            packets += 1;
            open(&mut engine, &mut app, packets);
            model.packet();
        } else {
            let op = Script { bytes: bytes.to_vec(), at: 0, lines: Vec::new(), ..app.script.clone() }.op();
            let result = apply(&mut app, &mut engine.control(), op);
            app.script.note(op, result);
            let result = model.apply(op);
            model.script.note(op, result);
        }
        compare(&engine, &mut app, &mut model);
    }
    engine.shutdown(&mut app);
    model.shutdown();
    compare(&engine, &mut app, &mut model);
    assert_eq!(Arc::strong_count(&app.alive) - 1, model.live_closures().len());
    drop(engine);
    assert_eq!(Arc::strong_count(&app.alive), 1, "no closure outlives its engine");
}

/// One more connection.
fn open(engine: &mut Engine<App>, app: &mut App, number: usize) {
    app.script.sockets += MONITORS;
    let client = format!("10.0.0.1:{number}").parse().unwrap();
    let mut x = Exchange::new(client, "10.0.0.2:80".parse().unwrap(), Sides::default());
    let syn = x.segment(Side::Client, tcp_reasm::Flags::SYN, &[]);
    engine.process_burst(&mut [Frame::ethernet(Instant(number as u64), &syn)], app);
}

fn compare(engine: &Engine<App>, app: &mut App, model: &mut Model) {
    engine.check();
    for (line, expected) in app.script.lines.iter().zip(&model.script.lines) {
        assert_eq!(line, expected);
    }
    assert_eq!(app.script.lines.len(), model.script.lines.len());
    app.script.lines.clear();
    model.script.lines.clear();
    assert_eq!(app.script.at, model.script.at, "the script was read as far");
    assert_eq!(engine.event_count(), model.event_count());
    assert_eq!(engine.handler_sets(), model.handler_sets(), "equal sets are one");
    assert_eq!(Arc::strong_count(&app.alive) - 1, model.live_closures().len(), "closures that are needed");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn trees_of_events_behave_like_nested_lists(
            script in prop::collection::vec(any::<u8>(), 0..700)
        ) {
            super::run(&script);
        }
    }
}
