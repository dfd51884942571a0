//! Events that happen because they are raised.

use super::*;

/// The events that [`raise`] raises, as the handler's or filter's word has it: their indices as digits from the right, one
/// more each.
fn raise(ctx: &mut Context<'_, Log>) {
    let mut digits = ctx.token() / 1000;
    tell(ctx);
    while digits > 0 {
        let event = ctx.control().event_at(digits as u32 % 10 - 1);
        let raised = event.map_or(Err(EventError::NoEvent), |event| ctx.raise(event));
        if let Err(error) = raised {
            ctx.app().lines.push(format!("{error:?}"));
        }
        digits /= 10;
    }
}

fn raise_and_agree(ctx: &mut Context<'_, Log>) -> bool {
    raise(ctx);
    true
}

fn raise_and_refuse(ctx: &mut Context<'_, Log>) -> bool {
    raise(ctx);
    false
}

#[test]
fn raised_events_come_in_the_order_of_raising_before_those_that_are_defined() {
    let mut t = Tree::new(small());
    let parent = t.w.engine.define_event(Event::PacketIn, raise_and_agree, 32_001).unwrap();
    let [one, other] = [(); 2].map(|()| t.alloc(parent));
    let plain = t.define(parent, 2);
    let below = t.define(one, 3);
    assert_eq!([parent, one, other, plain, below].map(UserEvent::index), [0, 1, 2, 3, 4]);
    for (event, token) in [(plain, 10), (one, 20), (other, 30), (below, 40)] {
        t.on(event, token);
    }
    t.on(parent, 50);
    // The word 32 is read from the right: first event 1, then event 2.
    assert_eq!(t.happen(), ["!32001", "!50", "!20", "?3", "!40", "!30", "?2", "!10"]);
}

#[test]
fn a_handler_may_raise_what_its_event_has_not_raised_yet() {
    let mut t = Tree::new(small());
    let parent = t.w.engine.define_event(Event::PacketIn, raise_and_agree, 3_000).unwrap();
    let [one, other] = [(); 2].map(|()| t.alloc(parent));
    t.on(one, 10);
    t.on(other, 20);
    t.on_call(parent, raise, 233_000);
    assert_eq!(t.happen(), ["!3000", "!233000", "!20", "!10"], "once each, in the order of the first raise");
    // It is all over with the packet.
    t.on_call(parent, tell, 1);
    assert_eq!(t.happen(), ["!3000", "!1", "!20"]);
}

#[test]
fn what_a_filter_raised_does_not_happen_when_it_refuses() {
    let mut t = Tree::new(small());
    let parent = t.w.engine.define_event(Event::PacketIn, raise_and_refuse, 2_000).unwrap();
    let child = t.alloc(parent);
    t.on(child, 10);
    t.on(parent, 20);
    assert_eq!(t.happen(), ["!2000"]);
    // Nor is it left over: it can be undefined.
    t.off(child).unwrap();
    assert_eq!(t.w.engine.undefine_event(child), Ok(()));
}

#[test]
fn only_allocated_children_of_the_event_that_happens_are_raised() {
    let mut t = Tree::new(small());
    let parent = t.w.engine.define_event(Event::PacketIn, yes, 1).unwrap();
    let child = t.alloc(parent); // index 1
    let defined = t.define(parent, 2); // 2
    let grandchild = t.alloc(child); // 3
    let of_root = t.alloc(Event::PacketIn); // 4
    let of_other_root = t.alloc(Event::Orphan); // 5
    for event in [child, defined, grandchild, of_root, of_other_root] {
        t.on(event, 100 + event.index() as usize);
    }
    // In the handler of the built-in event: only event 4.
    t.on_call(Event::PacketIn, raise, 654_321_000);
    let refused = ["NotChild"; 5];
    let expected = [&["!654321000"], &refused[..], &["!104", "?1", "?2", "!102"]].concat();
    assert_eq!(t.happen(), expected);
    // In the handler of an event, its siblings and children's children are not meant either.
    t.on_call(Event::PacketIn, tell, 0);
    t.on_call(parent, raise, 654_321_000);
    let expected = [&["!0", "?1", "!654321000"], &refused[..], &["!101", "?2", "!102"]].concat();
    assert_eq!(t.happen(), expected);
}

#[test]
fn a_raised_event_may_raise_in_turn_and_one_without_a_handler_does_so_in_silence() {
    let mut t = Tree::new(small());
    let one = t.alloc(Event::PacketIn);
    let silent = t.alloc(Event::PacketIn);
    let below = t.alloc(one);
    t.on_call(Event::PacketIn, raise, 12_000);
    t.on_call(one, raise, 3_000);
    t.on(below, 30);
    assert_eq!(t.happen(), ["!12000", "!3000", "!30"], "nobody listens to the other one");
    assert_eq!(t.w.engine.undefine_event(silent), Ok(()));
}

#[test]
fn many_are_raised_and_found() {
    fn raise_all(ctx: &mut Context<'_, Log>) {
        // Every second one, the last first.
        for index in (0..1000).rev().step_by(2) {
            let event = ctx.control().event_at(index).unwrap();
            ctx.raise(event).unwrap();
        }
    }
    let mut t = Tree::new(Config { max_events: 1001, ..small() });
    for token in 0..1000 {
        let event = t.alloc(Event::PacketIn);
        t.on(event, token);
    }
    t.on_call(Event::PacketIn, raise_all, 0);
    let expected: Vec<String> = (0..1000).rev().step_by(2).map(|n| format!("!{n}")).collect();
    for _ in 0..2 {
        assert_eq!(t.happen(), expected);
    }
}

#[test]
fn nothing_is_raised_in_a_timer() {
    fn try_it(ctx: &mut Context<'_, Log>) {
        let event = ctx.control().event_at(0).unwrap();
        let lines = format!("{:?} {:?}", ctx.raise(event), ctx.event_id());
        ctx.app().lines.push(lines);
    }
    let mut t = Tree::new(small());
    t.alloc(Event::PacketIn);
    t.w.engine.start_timer(Duration::ZERO, try_it, 0).unwrap();
    t.w.wait(Duration::from_secs(1));
    assert_eq!(t.w.take(), ["Err(NotChild) None"]);
}

#[test]
fn a_raised_event_stays_until_it_has_happened() {
    fn raise_and_undefine(ctx: &mut Context<'_, Log>) {
        let event = ctx.control().event_at(0).unwrap();
        ctx.raise(event).unwrap();
        let undefined = ctx.control().undefine_event(event);
        ctx.app().lines.push(format!("{undefined:?}"));
    }
    let mut t = Tree::new(small());
    let event = t.alloc(Event::PacketIn);
    t.on_call(Event::PacketIn, raise_and_undefine, 0);
    assert_eq!(t.happen(), ["Err(InUse)"]);
    assert_eq!(t.w.engine.undefine_event(event), Ok(()));
}
