//! Handlers that are registered and removed while others run, and the sets that are shared.

use super::*;

/// Registers a handler for the event whose index is the word, and removes that of the next.
fn swap(ctx: &mut Context<'_, Log>) {
    tell(ctx);
    let (socket, hook, index) = (ctx.socket(), ctx.hook(), ctx.token() as u32);
    let [new, old] = [index, index + 1].map(|index| ctx.control().event_at(index).unwrap());
    ctx.control().register(socket, new, hook, tell, 100).unwrap();
    let removed = ctx.control().unregister(socket, old, hook);
    assert!(matches!(removed, Ok(()) | Err(SocketError::NoHandler)));
}

fn swap_and_agree(ctx: &mut Context<'_, Log>) -> bool {
    swap(ctx);
    true
}

#[test]
fn changes_in_handlers_and_filters_take_effect_with_the_next_hook() {
    for in_filter in [false, true] {
        let mut t = Tree::new(small());
        let filter = if in_filter { swap_and_agree } else { yes };
        let [new, old] = [1, 2].map(|token| t.define(Event::PacketIn, token));
        let [below_new, below_old] = [new, old].map(|parent| t.define(parent, 3));
        t.on(old, 20);
        t.on(below_old, 30);
        t.on(below_new, 40);
        let first = t.w.engine.define_event(Event::PacketIn, filter, 0).unwrap();
        if in_filter {
            t.on(first, 9);
            assert_eq!(t.happen(), ["?2", "!20", "?3", "!30", "?1", "?3", "!40", "!0", "!9"]);
            assert_eq!(t.happen(), ["?2", "?3", "!30", "?1", "!100", "?3", "!40", "!0", "!9"]);
        } else {
            t.on_call(Event::PacketIn, swap, 0);
            assert_eq!(t.happen(), ["!0", "?2", "!20", "?3", "!30", "?1", "?3", "!40"]);
            assert_eq!(t.happen(), ["!0", "?2", "?3", "!30", "?1", "!100", "?3", "!40"]);
        }
    }
}

#[test]
fn a_handler_may_remove_everything_and_close_its_socket() {
    fn leave(ctx: &mut Context<'_, Log>) {
        tell(ctx);
        let (socket, hook) = (ctx.socket(), ctx.hook());
        let events = [0, 1].map(|index| ctx.control().event_at(index).unwrap());
        for event in events {
            ctx.control().unregister(socket, event, hook).unwrap();
            assert_eq!(ctx.control().undefine_event(event), Err(EventError::InUse), "the hook is not over");
        }
        ctx.control().unregister(socket, Event::PacketIn, hook).unwrap();
        ctx.control().close(socket).unwrap();
    }
    let mut t = Tree::new(small());
    let [a, b] = [1, 2].map(|token| t.define(Event::PacketIn, token));
    t.on(a, 10);
    t.on(b, 20);
    t.on_call(Event::PacketIn, leave, 0);
    assert_eq!(t.happen(), ["!0", "?1", "!10", "?2", "!20"]);
    assert_eq!((t.happen(), t.w.engine.handler_sets()), (vec![], (1, 0)));
    assert_eq!([b, a].map(|event| t.w.engine.undefine_event(event)), [Ok(()); 2]);
}

#[test]
fn an_active_socket_hears_what_it_registers_for_below_an_event_of_no_interest_before() {
    fn listen(ctx: &mut Context<'_, Log>) {
        let socket = ctx.socket();
        let event = ctx.control().event_at(1).unwrap();
        ctx.control().register(socket, event, Hook::None, tell, 7).unwrap();
    }
    let mut w = World::new(small());
    let above = w.engine.define_event(Event::NewData, yes, 1).unwrap();
    w.engine.define_event(above, yes, 2).unwrap();
    w.on(Event::ConnStart, Hook::Sender, listen);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"x")]);
    assert_eq!(w.take(), ["?1", "?2", "!7"]);
}

#[test]
fn who_listens_below_new_data_reads_the_stream() {
    fn enough(ctx: &mut Context<'_, Log>) -> bool {
        let info = ctx.monitor().unwrap().stream_info(Side::Server).unwrap();
        info.next.0 >= 10
    }
    let mut w = World::new(Config { retention: Retention::Unread, ..small() });
    let event = w.engine.define_event(Event::NewData, enough, 0).unwrap();
    w.engine.register(w.socket, event, Hook::None, read, 0).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    for _ in 0..3 {
        assert_eq!(text(&w.log.streams.server), "");
        w.send(&[x.data(Side::Client, b"1234")]);
    }
    assert_eq!(text(&w.log.streams.server), "1234".repeat(3), "it was kept for the reader that came late");
}

/// Registers for the events whose indices are the digits of the word.
fn register_digits(ctx: &mut Context<'_, Log>) {
    let (socket, mut digits) = (ctx.socket(), ctx.token());
    while digits > 0 {
        let event = ctx.control().event_at(digits as u32 % 10).unwrap();
        for hook in [Hook::Sender, Hook::Receiver] {
            ctx.control().register(socket, event, hook, tell, 1).unwrap();
        }
        digits /= 10;
    }
}

#[test]
fn connections_that_register_the_same_share_one_set() {
    let mut w = World::new(small());
    let [above, ..] = [0, 1, 2].map(|token| w.engine.define_event(Event::PacketIn, yes, token).unwrap());
    w.engine.define_event(above, yes, 3).unwrap();
    let mut sets = Vec::new();
    let mut open = |w: &mut World, digits: usize, port: u16| {
        w.engine.register(w.socket, Event::ConnStart, Hook::Sender, register_digits, digits).unwrap();
        w.send(&other(port).handshake());
        sets.push(w.engine.handler_sets());
    };
    for port in 1..=20 {
        open(&mut w, 321, port);
    }
    // Siblings in another order, then what is below an event in another order among them, which is the same.
    for (digits, port) in [(312, 21), (312, 22), (132, 23)] {
        open(&mut w, digits, port);
    }
    // The monitor's set has one step, a connection's that one and at two hooks PacketIn, events 1, 2, 3 and the one above 3.
    // With the word the monitor's handler is another one, and so are the sets of its connections.
    let (one, two) = ((2, 1 + 11), (3, 1 + 2 * 11));
    assert_eq!(sets[..20], [one; 20]);
    assert_eq!(sets[20..], [two, two, (4, 1 + 3 * 11)]);
}

#[test]
fn the_order_of_registration_matters_only_among_siblings() {
    let sets_of = |first: [usize; 3], second: [usize; 3]| {
        let mut t = Tree::new(small());
        let a = t.define(Event::PacketIn, 1);
        let b = t.define(Event::PacketIn, 2);
        let below = t.define(a, 3);
        let other = t.w.engine.open(SocketKind::Raw).unwrap();
        for (socket, order) in [(t.raw, first), (other, second)] {
            for event in order.map(|n| [a, b, below][n]) {
                t.w.engine.register(socket, event, Hook::None, tell, 0).unwrap();
            }
        }
        t.w.engine.check();
        t.w.engine.handler_sets()
    };
    // The stream socket has the empty set.
    let same = (2, 4);
    assert_eq!(sets_of([0, 1, 2], [0, 1, 2]), same);
    assert_eq!(sets_of([0, 1, 2], [0, 2, 1]), same);
    assert_eq!(sets_of([0, 1, 2], [2, 0, 1]), same);
    assert_eq!(sets_of([0, 1, 2], [2, 1, 0]), same, "what is below it keeps the place");
    assert_eq!(sets_of([0, 1, 2], [1, 0, 2]), (3, 8));
}

#[test]
fn a_set_for_which_there_is_no_room_changes_nothing() {
    let mut t = Tree::new(Config { max_steps: 5, ..small() });
    let a = t.define(Event::PacketIn, 1);
    let b = t.define(a, 2);
    t.on(a, 10);
    // Two steps are there, three would be with one below, and both sets at once while one goes over to the other.
    t.on(b, 20);
    let before = t.happen();
    assert_eq!((before.len(), t.w.engine.handler_sets()), (4, (2, 3)));
    let full = t.w.engine.register(t.raw, b, Hook::None, tell, 21);
    assert_eq!(
        (full, t.happen(), t.w.engine.handler_sets()),
        (Err(SocketError::Full), before.clone(), (2, 3))
    );
    let with = t.w.engine.register_with(t.raw, b, Hook::None, |_| ());
    assert_eq!((with, t.happen()), (Err(SocketError::Full), before));
    // Two steps: there is room for what is less.
    assert_eq!((t.off(b), t.w.engine.handler_sets()), (Ok(()), (2, 2)));
    t.w.engine.check();
}
