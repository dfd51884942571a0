//! A Linux receive queue as it is: a red-black tree of buffers with octets of their own, delivered in order. Written for
//! clarity, in another way than [`crate::overlap::Linux`]: boxes and recursion, no indices, every buffer keeps its octets.

use std::boxed::Box;
use std::vec::Vec;

#[derive(Clone, Debug)]
struct Buffer {
    start: u64,
    octets: Vec<u8>,
    red: bool,
    /// Left, right.
    below: [Tree; 2],
}

type Tree = Option<Box<Buffer>>;

impl Buffer {
    fn end(&self) -> u64 {
        self.start + self.octets.len() as u64
    }
}

fn is_red(tree: &Tree) -> bool {
    tree.as_ref().is_some_and(|b| b.red)
}

/// Turns a tree down to `hand`, by its colors' places: the one that comes up has the color of the old top, which
/// becomes red.
fn rotate(tree: &mut Tree, hand: usize) {
    let mut top = tree.take().unwrap();
    let mut up = top.below[1 - hand].take().unwrap();
    top.below[1 - hand] = up.below[hand].take();
    up.red = core::mem::replace(&mut top.red, true);
    up.below[hand] = Some(top);
    *tree = Some(up);
}

/// Puts a new buffer to its place.
fn insert(tree: &mut Tree, start: u64, octets: &[u8]) {
    let Some(top) = tree else {
        *tree = Some(Box::new(Buffer { start, octets: octets.to_vec(), red: true, below: [None, None] }));
        return;
    };
    let hand = usize::from(start > top.start);
    insert(&mut top.below[hand], start, octets);
    // Two reds in a row below this one?
    let child = top.below[hand].as_ref().unwrap();
    let outer = child.red && is_red(&child.below[hand]);
    let inner = child.red && is_red(&child.below[1 - hand]);
    if !outer && !inner {
        return;
    }
    if is_red(&top.below[1 - hand]) {
        top.red = true;
        top.below.iter_mut().flatten().for_each(|b| b.red = false);
        return;
    }
    if inner {
        rotate(&mut top.below[hand], hand);
    }
    rotate(tree, 1 - hand);
}

/// The black height below `hand` of a tree has become less by one; returns whether that of the whole has.
fn repair(tree: &mut Tree, hand: usize) -> bool {
    let top = tree.as_mut().unwrap();
    if is_red(&top.below[hand]) {
        top.below[hand].as_mut().unwrap().red = false;
        return false;
    }
    if is_red(&top.below[1 - hand]) {
        rotate(tree, hand);
        let below = &mut tree.as_mut().unwrap().below[hand];
        // Its top is red now, so it is mended there.
        let short = repair(below, hand);
        if short {
            below.as_mut().unwrap().red = false;
        }
        return false;
    }
    let other = top.below[1 - hand].as_mut().unwrap();
    let (near, far) = (is_red(&other.below[hand]), is_red(&other.below[1 - hand]));
    if !near && !far {
        other.red = true;
        // Whoever is above makes a red top black.
        return true;
    }
    if !far {
        rotate(&mut top.below[1 - hand], 1 - hand);
    }
    let red = top.red;
    rotate(tree, hand);
    let up = tree.as_mut().unwrap();
    up.red = red;
    up.below.iter_mut().flatten().for_each(|b| b.red = false);
    false
}

/// Takes the first buffer out of a tree; also returns whether the black height has become less.
fn take_first(tree: &mut Tree) -> (Box<Buffer>, bool) {
    if tree.as_ref().unwrap().below[0].is_some() {
        let (first, short) = take_first(&mut tree.as_mut().unwrap().below[0]);
        return (first, short && short_in(tree, 0));
    }
    let mut first = tree.take().unwrap();
    *tree = first.below[1].take();
    let short = !first.red;
    (first, short)
}

/// The side `hand` has become short; returns whether the whole still is.
fn short_in(tree: &mut Tree, hand: usize) -> bool {
    repair(tree, hand)
}

/// Takes out the buffer that starts at `start`; returns whether the black height has become less.
fn remove(tree: &mut Tree, start: u64) -> bool {
    let top = tree.as_mut().unwrap();
    if top.start != start {
        let hand = usize::from(start > top.start);
        return remove(&mut top.below[hand], start) && short_in(tree, hand);
    }
    if top.below[0].is_some() && top.below[1].is_some() {
        let (heir, short) = take_first(&mut top.below[1]);
        (top.start, top.octets) = (heir.start, heir.octets);
        return short && short_in(tree, 1);
    }
    let gone = tree.take().unwrap();
    let [left, right] = gone.below;
    *tree = left.or(right);
    !gone.red
}

/// A receiver: what it has delivered, and what waits.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    pub delivered: Vec<u8>,
    waiting: Tree,
    /// Start of the buffer that the kernel looks at first.
    last: u64,
}

impl Kernel {
    /// A segment arrives.
    pub fn receive(&mut self, start: u64, octets: &[u8]) {
        let (next, end) = (self.delivered.len() as u64, start + octets.len() as u64);
        if end <= next || octets.is_empty() {
            return;
        }
        if start > next {
            self.queue(start, octets);
            return;
        }
        self.deliver(start, octets);
        while let Some(first) = self.first().filter(|b| b.start <= self.delivered.len() as u64) {
            let (start, octets) = (first.start, first.octets.clone());
            self.remove(start);
            self.deliver(start, &octets);
        }
    }

    fn deliver(&mut self, start: u64, octets: &[u8]) {
        let known = usize::try_from(self.delivered.len() as u64 - start).unwrap();
        self.delivered.extend_from_slice(octets.get(known..).unwrap_or_default());
    }

    fn first(&self) -> Option<&Buffer> {
        let mut first = self.waiting.as_deref()?;
        while let Some(before) = first.below[0].as_deref() {
            first = before;
        }
        Some(first)
    }

    /// The first buffer that starts above `start`.
    fn after(&self, start: u64) -> Option<&Buffer> {
        let (mut at, mut found) = (self.waiting.as_deref(), None);
        while let Some(buffer) = at {
            let above = buffer.start > start;
            found = if above { Some(buffer) } else { found };
            at = buffer.below[usize::from(!above)].as_deref();
        }
        found
    }

    fn at(&mut self, start: u64) -> &mut Buffer {
        let mut at = self.waiting.as_deref_mut().unwrap();
        while at.start != start {
            let hand = usize::from(start > at.start);
            at = at.below[hand].as_deref_mut().unwrap();
        }
        at
    }

    fn insert(&mut self, start: u64, octets: &[u8]) {
        insert(&mut self.waiting, start, octets);
        self.waiting.as_mut().unwrap().red = false;
    }

    fn remove(&mut self, start: u64) {
        remove(&mut self.waiting, start);
        if let Some(top) = &mut self.waiting {
            top.red = false;
        }
    }

    fn queue(&mut self, start: u64, octets: &[u8]) {
        let end = start + octets.len() as u64;
        if self.waiting.is_none() {
            self.insert(start, octets);
            self.last = start;
            return;
        }
        let last = self.last;
        let last_end = self.at(last).end();
        if start == last_end {
            self.at(last).octets.extend_from_slice(octets);
            return;
        }
        if start > last_end {
            self.insert(start, octets);
            self.last = start;
            return;
        }
        let mut at = self.waiting.as_deref_mut();
        let mut replaced = false;
        while let Some(buffer) = at {
            if start >= buffer.start && start < buffer.end() {
                if end <= buffer.end() {
                    return;
                }
                if start == buffer.start {
                    buffer.octets = octets.to_vec();
                    replaced = true;
                    break;
                }
            } else if start == buffer.end() {
                buffer.octets.extend_from_slice(octets);
                return;
            }
            at = buffer.below[usize::from(start >= buffer.start)].as_deref_mut();
        }
        if !replaced {
            self.insert(start, octets);
        }
        while let Some(behind) = self.after(start) {
            if behind.end() > end {
                return;
            }
            let gone = behind.start;
            self.remove(gone);
        }
        self.last = start;
    }
}
