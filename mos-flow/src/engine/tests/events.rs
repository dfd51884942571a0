//! Events that the application defines, and the sets of handlers that sockets share.
//!
//! Lines of these tests: `?N` is the filter with the word N, `!N` a handler with the word N.

use super::*;
use crate::event::MAX_DEPTH;
use crate::{EventError, EventId, UserEvent};

mod changes;
mod closures;
mod raised;

fn ask(ctx: &mut Context<'_, Log>, answer: bool) -> bool {
    let token = ctx.token();
    assert!(ctx.user_event().is_some(), "a filter knows its event");
    ctx.app().lines.push(format!("?{token}"));
    answer
}

fn yes(ctx: &mut Context<'_, Log>) -> bool {
    ask(ctx, true)
}

fn no(ctx: &mut Context<'_, Log>) -> bool {
    ask(ctx, false)
}

fn tell(ctx: &mut Context<'_, Log>) {
    let token = ctx.token();
    ctx.app().lines.push(format!("!{token}"));
}

/// A raw socket, at which each packet is one event.
struct Tree {
    w: World,
    raw: SocketId,
    x: Exchange,
}

impl Tree {
    fn new(config: Config) -> Self {
        let mut w = World::new(config);
        let raw = w.engine.open(SocketKind::Raw).unwrap();
        Tree { w, raw, x: exchange() }
    }

    fn define(&mut self, parent: impl Into<EventId>, token: usize) -> UserEvent {
        self.w.engine.define_event(parent, yes, token).unwrap()
    }

    fn alloc(&mut self, parent: impl Into<EventId>) -> UserEvent {
        self.w.engine.alloc_event(parent).unwrap()
    }

    fn on(&mut self, event: impl Into<EventId>, token: usize) {
        self.on_call(event, tell, token);
    }

    fn on_call(&mut self, event: impl Into<EventId>, handler: Handler<Log>, token: usize) {
        self.w.engine.register(self.raw, event, Hook::None, handler, token).unwrap();
    }

    fn off(&mut self, event: impl Into<EventId>) -> Result<(), SocketError> {
        self.w.engine.unregister(self.raw, event, Hook::None)
    }

    /// What one packet brings about.
    fn happen(&mut self) -> Vec<String> {
        let frame = self.x.ack(Side::Client);
        self.w.send(&[frame]);
        self.w.take()
    }
}

#[test]
fn a_parent_comes_before_its_child_whichever_was_registered_first() {
    let mut t = Tree::new(small());
    let a = t.define(Event::PacketIn, 1);
    let b = t.define(a, 2);
    t.on(b, 20);
    assert_eq!(
        t.happen(),
        ["?1", "?2", "!20"],
        "an event without a handler is asked for the sake of one below"
    );
    t.on(a, 10);
    assert_eq!(t.happen(), ["?1", "!10", "?2", "!20"], "each filter once");
    t.on(Event::PacketIn, 0);
    assert_eq!(
        t.happen(),
        ["!0", "?1", "!10", "?2", "!20"],
        "the built-in one was registered last and comes first"
    );
}

#[test]
fn siblings_come_in_the_order_of_registration() {
    let mut t = Tree::new(small());
    let [a, b, c, d] = [1, 2, 3, 4].map(|token| t.define(Event::PacketIn, token));
    let below_c = t.define(c, 30);
    for (event, token) in [(d, 40), (a, 10), (below_c, 300), (b, 20), (c, 33)] {
        t.on(event, token);
    }
    // What comes below an event keeps a place for the event.
    assert_eq!(t.happen(), ["?4", "!40", "?1", "!10", "?3", "!33", "?30", "!300", "?2", "!20"]);
    t.on(a, 11);
    assert_eq!(t.happen()[2..4], ["?1", "!11"], "a handler that is replaced leaves its place to the new one");
    t.off(d).unwrap();
    t.on(d, 41);
    assert_eq!(t.happen()[..2], ["?1", "!11"]);
    assert_eq!(t.happen()[7..], ["!20", "?4", "!41"], "one that is removed does not");
}

#[test]
fn an_event_that_does_not_happen_takes_all_below_it_along() {
    let mut t = Tree::new(small());
    let a = t.w.engine.define_event(Event::PacketIn, no, 1).unwrap();
    let b = t.define(a, 2);
    let c = t.define(b, 3);
    let sibling = t.define(Event::PacketIn, 9);
    for (event, token) in [(c, 30), (a, 10), (sibling, 90)] {
        t.on(event, token);
    }
    assert_eq!(t.happen(), ["?1", "?9", "!90"]);
}

#[test]
fn what_nobody_listens_to_is_not_asked() {
    let mut t = Tree::new(small());
    let a = t.define(Event::PacketIn, 1);
    let b = t.define(a, 2);
    let c = t.define(b, 3);
    let other = t.define(Event::Orphan, 4);
    t.on(c, 30);
    t.on(a, 10);
    t.on(other, 40);
    assert_eq!(t.off(b), Err(SocketError::NoHandler), "it is there for another's sake");
    t.off(c).unwrap();
    let orphan = t.x.data(Side::Server, b"who is that?");
    t.w.send(&[orphan]);
    assert_eq!(t.w.take(), ["?1", "!10", "?4", "!40"], "each below what happens");
    assert_eq!(t.off(c), Err(SocketError::NoHandler));
    t.on(c, 30);
    t.off(a).unwrap();
    assert_eq!(t.happen()[..4], ["?1", "?2", "?3", "!30"], "a handler goes, its event stays");
    t.off(c).unwrap();
    t.off(other).unwrap();
    assert_eq!((t.happen(), t.w.engine.handler_sets()), (vec![], (1, 0)), "all sockets have the empty set");
}

#[test]
fn sockets_and_hooks_ask_for_themselves() {
    let mut t = Tree::new(small());
    let a = t.define(Event::PacketIn, 1);
    let second = t.w.engine.open(SocketKind::Raw).unwrap();
    t.on(a, 10);
    t.w.engine.register(second, a, Hook::None, tell, 20).unwrap();
    for (hook, token) in [(Hook::Receiver, 30), (Hook::Sender, 40)] {
        t.w.engine.register(t.w.socket, a, hook, tell, token).unwrap();
    }
    let [syn, ..] = t.x.handshake();
    t.w.send(&[syn]);
    assert_eq!(t.w.take(), ["?1", "!10", "?1", "!20", "?1", "!40", "?1", "!30"]);
}

#[test]
fn roots_come_in_the_order_of_delivery_each_with_what_is_below_it() {
    let mut w = World::new(small());
    let roots = [Event::StateChange, Event::ConnStart, Event::PacketIn, Event::ConnEnd];
    for (event, token) in roots.into_iter().zip(1..) {
        let below = w.engine.define_event(event, yes, token).unwrap();
        w.engine.register(w.socket, below, Hook::Sender, tell, token).unwrap();
        w.engine.register(w.socket, event, Hook::Sender, tell, 10 * token).unwrap();
    }
    let [syn, syn_ack, ack] = exchange().handshake();
    w.send(&[syn]);
    assert_eq!(w.take(), ["!30", "?3", "!3", "!20", "?2", "!2", "!10", "?1", "!1"]);
    w.send(&[syn_ack]);
    assert_eq!(w.take(), ["!30", "?3", "!3"], "the events of this packet only");
    w.send(&[ack]);
    w.take();
    w.wait(Duration::from_secs(10_000));
    let of_one_side = ["!10", "?1", "!1", "!40", "?4", "!4"];
    assert_eq!(w.take(), [of_one_side; 2].concat(), "the state and the end");
}

#[test]
fn filters_and_handlers_know_where_they_are() {
    fn look(ctx: &Context<'_, Log>) -> (Option<Event>, Option<UserEvent>, Option<EventId>, usize) {
        (ctx.event(), ctx.user_event(), ctx.event_id(), ctx.token())
    }
    fn filter(ctx: &mut Context<'_, Log>) -> bool {
        let seen = format!("filter {:?}", look(ctx));
        ctx.app().lines.push(seen);
        true
    }
    fn handler(ctx: &mut Context<'_, Log>) {
        let seen = format!("handler {:?}", look(ctx));
        ctx.app().lines.push(seen);
    }
    let mut t = Tree::new(small());
    let a = t.w.engine.define_event(Event::PacketIn, filter, 5).unwrap();
    let (root, id) = (Some(Event::PacketIn), Some(EventId::from(a)));
    t.on_call(a, handler, 6);
    t.on_call(Event::PacketIn, handler, 7);
    let expected = [
        format!("handler {:?}", (root, None::<UserEvent>, Some(EventId::from(Event::PacketIn)), 7)),
        format!("filter {:?}", (root, Some(a), id, 5)),
        format!("handler {:?}", (root, Some(a), id, 6)),
    ];
    assert_eq!(t.happen(), expected);
}

#[test]
fn a_filter_may_drop_the_packet() {
    fn drop_it(ctx: &mut Context<'_, Log>) -> bool {
        ctx.drop_packet();
        false
    }
    let mut t = Tree::new(small());
    let a = t.w.engine.define_event(Event::PacketIn, drop_it, 0).unwrap();
    t.on(a, 0);
    t.on(Event::PacketIn, 1);
    let frame = t.x.ack(Side::Client);
    assert_eq!(t.w.send(&[frame]), [Verdict::Drop]);
    assert_eq!(t.w.take(), ["!1"]);
}

#[test]
fn events_are_defined_as_deep_as_may_be_and_no_deeper() {
    let mut t = Tree::new(small());
    let mut chain = vec![t.define(Event::PacketIn, 1)];
    for token in 2..=MAX_DEPTH {
        let below = t.define(chain[chain.len() - 1], token);
        chain.push(below);
    }
    let deepest = chain[MAX_DEPTH - 1];
    assert_eq!(t.w.engine.define_event(deepest, yes, 0), Err(EventError::TooDeep));
    assert_eq!(t.w.engine.alloc_event(deepest), Err(EventError::TooDeep));
    for (token, event) in (1..MAX_DEPTH + 1).zip(&chain).rev() {
        t.on(*event, token);
    }
    let expected: Vec<String> = (1..=MAX_DEPTH).flat_map(|n| [format!("?{n}"), format!("!{n}")]).collect();
    assert_eq!(t.happen(), expected);
    // From below, one by one; the last one takes those above along.
    for event in &chain {
        t.off(*event).unwrap();
    }
    assert_eq!((t.happen(), t.w.engine.handler_sets().1), (vec![], 0));
}

#[test]
fn the_built_in_event_decides_at_which_hooks_there_can_be_handlers() {
    let mut t = Tree::new(Config { max_events: 5000, ..small() });
    // Numbers of events and of hooks have nothing to do with one another.
    let parents: Vec<UserEvent> = (0..2000).map(|n| t.define(Event::PacketIn, n)).collect();
    for parent in parents {
        let nested = t.define(parent, 0);
        for hook in Hook::ALL {
            assert_eq!(t.w.engine.register(t.w.socket, nested, hook, tell, 0), Ok(()));
            t.w.engine.unregister(t.w.socket, nested, hook).unwrap();
        }
    }
    for root in Event::ALL {
        let above = t.define(root, 0);
        let nested = t.define(above, 0);
        for hook in Hook::ALL {
            let expected = if root.is_allowed_at(hook) { Ok(()) } else { Err(SocketError::WrongHook) };
            assert_eq!(t.w.engine.register(t.w.socket, nested, hook, tell, 0), expected, "{root} {hook}");
        }
    }
}

#[test]
fn events_go_when_nothing_depends_on_them() {
    let mut t = Tree::new(Config { max_events: 2, ..small() });
    let a = t.define(Event::PacketIn, 1);
    let b = t.define(a, 2);
    assert_eq!(t.w.engine.define_event(b, yes, 0), Err(EventError::Full));
    assert_eq!(t.w.engine.undefine_event(a), Err(EventError::InUse), "one is below it");
    t.on(b, 20);
    assert_eq!(t.w.engine.undefine_event(b), Err(EventError::InUse), "one is registered");
    t.off(b).unwrap();
    for event in [b, a] {
        assert_eq!(t.w.engine.undefine_event(event), Ok(()));
        assert_eq!(t.w.engine.undefine_event(event), Err(EventError::NoEvent));
    }
    let new = t.define(Event::PacketIn, 3);
    assert_eq!((new.index(), t.w.engine.event_count()), (b.index(), 1), "the place that was freed first");
    assert_eq!(t.w.engine.event_at(new.index()), Some(new));
    // The old handle does not mean the new event.
    assert_eq!(t.w.engine.define_event(b, yes, 0), Err(EventError::NoEvent));
    let register = t.w.engine.register(t.raw, b, Hook::None, tell, 0);
    assert_eq!((register, t.off(b)), (Err(SocketError::NoEvent), Err(SocketError::NoEvent)));
}
