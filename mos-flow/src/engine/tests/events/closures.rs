//! Closures as handlers, filters and timers.

use super::*;
use std::sync::Arc;

#[test]
fn closures_keep_what_is_theirs_between_calls() {
    let mut t = Tree::new(small());
    let mut asked = 0;
    let every_second = t.w.engine.define_event_with(Event::PacketIn, move |_| {
        asked += 1;
        asked % 2 == 0
    });
    let mut count = 0;
    let handler = move |ctx: &mut Context<'_, Log>| {
        count += 1;
        ctx.app().lines.push(format!("call {count}"));
    };
    t.w.engine.register_with(t.raw, every_second.unwrap(), Hook::None, handler).unwrap();
    let lines = [(); 4].map(|()| t.happen());
    assert_eq!(lines, [vec![], vec!["call 1".to_string()], vec![], vec!["call 2".to_string()]]);
}

#[test]
fn a_closure_is_dropped_with_its_last_user() {
    let alive = Arc::new(());
    let count = |alive: &Arc<()>| Arc::strong_count(alive) - 1;
    let mut t = Tree::new(small());
    let held = alive.clone();
    let filter = move |_: &mut Context<'_, Log>| Arc::strong_count(&held) > 0;
    let event = t.w.engine.define_event_with(Event::PacketIn, filter).unwrap();
    let held = alive.clone();
    t.w.engine.register_with(t.raw, event, Hook::None, move |_| drop(held.clone())).unwrap();
    assert_eq!(count(&alive), 2);
    // Another handler at the same place, and one more that keeps the set changing.
    t.on(event, 1);
    assert_eq!(count(&alive), 1);
    let held = alive.clone();
    t.w.engine.register_with(t.raw, event, Hook::None, move |_| drop(held.clone())).unwrap();
    t.on(Event::PacketIn, 2);
    t.off(Event::PacketIn).unwrap();
    t.happen();
    assert_eq!(count(&alive), 2);
    t.w.engine.close(t.raw).unwrap();
    assert_eq!(count(&alive), 1);
    t.w.engine.undefine_event(event).unwrap();
    assert_eq!(count(&alive), 0);
    // A definition that is refused drops its filter, too.
    let held = alive.clone();
    let refused = t.w.engine.define_event_with(event, move |_| Arc::strong_count(&held) > 0);
    assert_eq!((refused, count(&alive)), (Err(EventError::NoEvent), 0));
}

#[test]
fn a_closure_may_remove_itself_while_it_runs() {
    let alive = Arc::new(());
    let mut t = Tree::new(small());
    let held = alive.clone();
    let once = move |ctx: &mut Context<'_, Log>| {
        let socket = ctx.socket();
        ctx.control().unregister(socket, Event::PacketIn, Hook::None).unwrap();
        ctx.app().lines.push(format!("{}", Arc::strong_count(&held)));
    };
    t.w.engine.register_with(t.raw, Event::PacketIn, Hook::None, once).unwrap();
    assert_eq!(t.happen(), ["2"], "it is whole while it runs");
    assert_eq!((t.happen(), Arc::strong_count(&alive)), (vec![], 1));
}

#[test]
fn connections_share_the_closure_of_their_monitor() {
    let alive = Arc::new(());
    let mut w = World::new(small());
    let (held, mut count) = (alive.clone(), 0);
    let start = move |ctx: &mut Context<'_, Log>| {
        count += Arc::strong_count(&held).min(1);
        ctx.app().lines.push(format!("start {count}"));
    };
    w.engine.register_with(w.socket, Event::ConnStart, Hook::Sender, start).unwrap();
    for port in 1..=3 {
        w.send(&other(port).handshake());
    }
    assert_eq!((w.take().join(", "), w.engine.handler_sets()), ("start 1, start 2, start 3".into(), (1, 1)));
    // It lives as long as a connection has it.
    w.engine.unregister(w.socket, Event::ConnStart, Hook::Sender).unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    w.engine.shutdown(&mut w.log);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn timers_call_closures_once() {
    let alive = Arc::new(());
    let mut w = World::new(Config { max_timers: 2, ..small() });
    let timer = |w: &mut World, name: &'static str| {
        let held = alive.clone();
        w.engine.start_timer_with(Duration::from_secs(1), move |ctx| {
            ctx.app().lines.push(format!("{name} {}", Arc::strong_count(&held)));
            // What it starts is another one.
            let again = ctx.control().start_timer_with(Duration::from_secs(1), tell);
            assert!(again.is_some(), "its own place is free");
        })
    };
    let (one, other) = (timer(&mut w, "one").unwrap(), timer(&mut w, "other").unwrap());
    assert_eq!((timer(&mut w, "third"), Arc::strong_count(&alive)), (None, 3));
    w.engine.check();
    assert!(w.engine.stop_timer(other) && !w.engine.stop_timer(other));
    assert_eq!(Arc::strong_count(&alive), 2);
    w.wait(Duration::from_millis(1500));
    assert_eq!((w.take().join(""), Arc::strong_count(&alive)), ("one 2".into(), 1));
    assert!(!w.engine.stop_timer(one));
    w.wait(Duration::from_secs(2));
    assert_eq!(w.take(), ["!0"]);
}

#[test]
fn an_engine_goes_to_another_thread_with_its_closures() {
    let mut t = Tree::new(small());
    let mut calls = 0;
    let count = move |ctx: &mut Context<'_, Log>| {
        calls += 1;
        ctx.app().lines.push(format!("call {calls}"));
    };
    t.w.engine.register_with(t.raw, Event::PacketIn, Hook::None, count).unwrap();
    assert_eq!(t.happen(), ["call 1"]);
    let lines = std::thread::spawn(move || t.happen()).join().unwrap();
    assert_eq!(lines, ["call 2"]);
}
