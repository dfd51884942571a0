//! The model: what is registered for each socket and hook as a nested list, gone through from the top.

use super::{Line, MONITORS, Op, Refusal, Script, Target, Who};
use crate::event::MAX_DEPTH;
use crate::{Config, Event, EventError, Hook, SocketError};
use std::vec;
use std::vec::Vec;

/// A filter of an event: a closure's number and how often it was called, or a plain function.
type Filter = Option<(usize, usize)>;

#[derive(Clone, Debug)]
struct Defined {
    parent: Target,
    /// `None` for one that is only raised.
    filter: Option<Filter>,
    is_gone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    event: Target,
    handler: Option<Who>,
    below: Vec<Node>,
}

impl Node {
    fn count(&self) -> usize {
        1 + self.below.iter().map(Node::count).sum::<usize>()
    }

    /// Every one in it, and everything.
    fn all(&self) -> Vec<&Node> {
        let below = self.below.iter().flat_map(Node::all);
        core::iter::once(self).chain(below).collect()
    }

    /// Whether nothing is registered in it.
    fn is_idle(&self) -> bool {
        self.handler.is_none() && self.below.is_empty()
    }
}

/// One list for each hook.
type Set = [Vec<Node>; 3];

#[derive(Debug)]
pub(super) struct Model {
    pub(super) script: Script,
    max_events: usize,
    max_steps: usize,
    events: Vec<Defined>,
    /// How often each closure was called that is a handler.
    calls: Vec<usize>,
    /// `None` is closed.
    sockets: Vec<Option<Set>>,
    /// What is gone through at this moment.
    held: Option<Set>,
    /// Events that were raised and did not happen yet.
    raised: Vec<usize>,
}

impl Model {
    pub(super) fn new(config: &Config, script: Script) -> Self {
        Model {
            script,
            max_events: config.max_events,
            max_steps: config.max_steps,
            events: Vec::new(),
            calls: Vec::new(),
            sockets: vec![Some(Set::default()); MONITORS],
            held: None,
            raised: Vec::new(),
        }
    }

    /// A connection: the events of its SYN at both hooks, for the sockets in order.
    pub(super) fn packet(&mut self) {
        let first = self.sockets.len();
        self.sockets.extend_from_within(..MONITORS);
        self.script.sockets = self.sockets.len();
        for hook in [Hook::Sender, Hook::Receiver] {
            self.happen(first, hook, &[Event::PacketIn, Event::ConnStart, Event::StateChange]);
        }
    }

    /// Connections are over: both sides of each change to CLOSED.
    pub(super) fn shutdown(&mut self) {
        for first in (MONITORS..self.sockets.len()).step_by(MONITORS) {
            for hook in [Hook::Receiver, Hook::Sender, Hook::Receiver, Hook::Sender] {
                self.happen(first, hook, &[Event::StateChange]);
            }
            self.sockets[first..first + MONITORS].fill(None);
        }
    }

    /// Events at the sockets of a connection.
    fn happen(&mut self, first: usize, hook: Hook, events: &[Event]) {
        for socket in first..first + MONITORS {
            let set = self.sockets[socket].clone().expect("it is open");
            self.held = Some(set.clone());
            for root in &set[hook as usize] {
                if matches!(root.event, Target::Root(event) if events.contains(&event)) {
                    self.visit(socket, root);
                }
            }
            self.held = None;
        }
    }

    fn visit(&mut self, socket: usize, node: &Node) {
        let mut raised = Vec::new();
        if let Target::User(event) = node.event
            && let Some(filter) = &mut self.events[event].filter
        {
            let calls = filter.as_mut().map_or(0, |(_, calls)| {
                *calls += 1;
                *calls
            });
            self.script.lines.push(Line::Asked(socket, event, calls));
            self.act(node.event, &mut raised);
            if self.script.next().is_multiple_of(4) {
                self.raised.retain(|event| !raised.contains(event));
                return;
            }
        }
        if let Some(who) = node.handler {
            let calls = if let Who::Closure(n) = who {
                self.calls.resize(self.calls.len().max(n + 1), 0);
                self.calls[n] += 1;
                self.calls[n]
            } else {
                0
            };
            self.script.lines.push(Line::Called(socket, who, calls));
            self.act(node.event, &mut raised);
        }
        for event in raised {
            self.raised.retain(|other| *other != event);
            for below in node.below.iter().filter(|below| below.event == Target::User(event)) {
                self.visit(socket, below);
            }
        }
        for below in
            node.below.iter().filter(|below| !self.is_raise_only(below.event)).cloned().collect::<Vec<_>>()
        {
            self.visit(socket, &below);
        }
    }

    fn act(&mut self, event: Target, raised: &mut Vec<usize>) {
        for _ in 0..self.script.next() % 3 {
            let op = self.script.op_in(event);
            let result = match op {
                Op::Raise { event: child } => self.raise(event, child, raised),
                _ => self.apply(op),
            };
            self.script.note(op, result);
        }
    }

    fn raise(&mut self, parent: Target, child: Target, raised: &mut Vec<usize>) -> Result<(), Refusal> {
        let Target::User(n) = child else { return Err(Refusal::Senseless) };
        let defined = self.live(n).ok_or(EventError::NoEvent)?;
        if defined.parent != parent || defined.filter.is_some() {
            return Err(EventError::NotChild.into());
        }
        if !raised.contains(&n) {
            raised.push(n);
            self.raised.push(n);
        }
        Ok(())
    }

    fn live(&self, event: usize) -> Option<&Defined> {
        self.events.get(event).filter(|event| !event.is_gone)
    }

    fn is_raise_only(&self, event: Target) -> bool {
        matches!(event, Target::User(n) if self.events[n].filter.is_none())
    }

    /// From the root down; `None` when there is no such event.
    fn path(&self, event: Target) -> Option<Vec<Target>> {
        match event {
            Target::Root(_) => Some(vec![event]),
            Target::User(n) => {
                let mut path = self.path(self.live(n)?.parent)?;
                path.push(event);
                Some(path)
            }
        }
    }

    /// Does everything but raise.
    pub(super) fn apply(&mut self, op: Op) -> Result<(), Refusal> {
        match op {
            Op::Define { parent, closure } => {
                self.define(parent, Some(closure.then_some((self.script.closures, 0))))
            }
            Op::Alloc { parent } => self.define(parent, None),
            Op::Undefine { event: Target::User(n) } => self.undefine(n),
            Op::Undefine { .. } => Err(Refusal::Senseless),
            Op::Register { socket, event, hook, who } => self.register(socket, event, hook, Some(who)),
            Op::Unregister { socket, event, hook } => self.register(socket, event, hook, None),
            Op::Raise { .. } | Op::Nothing => Err(Refusal::Senseless),
        }
    }

    fn define(&mut self, parent: Target, filter: Option<Filter>) -> Result<(), Refusal> {
        let path = self.path(parent).ok_or(EventError::NoEvent)?;
        if path.len() > MAX_DEPTH {
            return Err(EventError::TooDeep.into());
        }
        if self.event_count() == self.max_events {
            return Err(EventError::Full.into());
        }
        self.events.push(Defined { parent, filter, is_gone: false });
        Ok(())
    }

    fn undefine(&mut self, event: usize) -> Result<(), Refusal> {
        self.live(event).ok_or(EventError::NoEvent)?;
        let target = Target::User(event);
        let has_children = self.events.iter().any(|other| !other.is_gone && other.parent == target);
        let is_heard =
            self.sets().iter().flatten().flatten().any(|node| node.all().iter().any(|n| n.event == target));
        if has_children || is_heard || self.raised.contains(&event) {
            return Err(EventError::InUse.into());
        }
        self.events[event].is_gone = true;
        Ok(())
    }

    fn register(
        &mut self,
        socket: usize,
        event: Target,
        hook: Hook,
        who: Option<Who>,
    ) -> Result<(), Refusal> {
        let before = self.sockets.get(socket).cloned().flatten().ok_or(Refusal::Senseless)?;
        let path = self.path(event).ok_or(SocketError::NoEvent)?;
        if !matches!(path[0], Target::Root(root) if root.is_allowed_at(hook)) {
            return Err(SocketError::WrongHook.into());
        }
        let mut set = before;
        let list = &mut set[hook as usize];
        let had = put(list, &path, who);
        if who.is_none() && had.is_none() {
            return Err(SocketError::NoHandler.into());
        }
        prune(list);
        list.sort_by_key(|root| match root.event {
            Target::Root(event) => Some(event),
            Target::User(_) => None,
        });
        let sets = self.sets();
        if !sets.contains(&self.sorted(&set)) && steps(&sets) + steps(&[set.clone()]) > self.max_steps {
            return Err(SocketError::Full.into());
        }
        self.sockets[socket] = Some(set);
        Ok(())
    }

    /// Those that are raised have their own order of happening; among the others the order of registration counts.
    fn sorted(&self, set: &Set) -> Set {
        set.clone().map(|list| self.sorted_list(list))
    }

    fn sorted_list(&self, mut list: Vec<Node>) -> Vec<Node> {
        list.sort_by_key(|node| self.is_raise_only(node.event));
        let below = |node: Node| Node { below: self.sorted_list(node.below), ..node };
        list.into_iter().map(below).collect()
    }

    /// Different sets that somebody has.
    fn sets(&self) -> Vec<Set> {
        let mut different = Vec::new();
        for set in self.sockets.iter().flatten().chain(&self.held).map(|set| self.sorted(set)) {
            if !different.contains(&set) {
                different.push(set);
            }
        }
        different
    }

    pub(super) fn handler_sets(&self) -> (usize, usize) {
        let sets = self.sets();
        (sets.len(), steps(&sets))
    }

    pub(super) fn event_count(&self) -> usize {
        self.events.iter().filter(|event| !event.is_gone).count()
    }

    /// The closures that something calls.
    pub(super) fn live_closures(&self) -> Vec<usize> {
        let sets = self.sets();
        let nodes = sets.iter().flatten().flatten().flat_map(Node::all);
        let handlers = nodes.filter_map(|node| match node.handler? {
            Who::Closure(n) => Some(n),
            Who::Function(_) => None,
        });
        let live = self.events.iter().filter(|event| !event.is_gone);
        let filters = live.filter_map(|event| event.filter.flatten().map(|(n, _)| n));
        let mut closures: Vec<usize> = handlers.chain(filters).collect();
        closures.sort_unstable();
        closures.dedup();
        closures
    }
}

fn steps(sets: &[Set]) -> usize {
    sets.iter().flatten().flatten().map(Node::count).sum()
}

/// Sets the handler at the end of a path; returns the one that was there.
fn put(list: &mut Vec<Node>, path: &[Target], who: Option<Who>) -> Option<Who> {
    let (event, rest) = path.split_first().expect("a path has an end");
    if !list.iter().any(|node| node.event == *event) {
        list.push(Node { event: *event, handler: None, below: Vec::new() });
    }
    let node = list.iter_mut().find(|node| node.event == *event).expect("it is there");
    if rest.is_empty() { core::mem::replace(&mut node.handler, who) } else { put(&mut node.below, rest, who) }
}

/// Takes out what is there for nobody.
fn prune(list: &mut Vec<Node>) {
    for node in list.iter_mut() {
        prune(&mut node.below);
    }
    list.retain(|node| !node.is_idle());
}
