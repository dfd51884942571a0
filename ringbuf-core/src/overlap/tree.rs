//! A red-black tree of ranges by start, in a fixed array. Its *shape* is part of its contract: it is that of the
//! textbook algorithm, which Linux uses, too, because which nodes a search passes decides what that kernel does with a
//! segment. Each node also knows how far the ranges below it reach.
//!
//! # Invariants
//! 1. In order of the tree, starts ascend strictly.
//! 2. No red node has a red child, every path down has as many black nodes, the root is black.
//! 3. `reach` is the highest end in the node's subtree.

use crate::seq::{Offset, Range};

/// No node.
pub(super) const NONE: u16 = u16::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Color {
    Red,
    Black,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) range: Range,
    reach: Offset,
    pub(super) left: u16,
    pub(super) right: u16,
    parent: u16,
    color: Color,
}

const UNUSED: Node = Node {
    range: Range { start: Offset::ZERO, end: Offset::ZERO },
    reach: Offset::ZERO,
    left: NONE,
    right: NONE,
    parent: NONE,
    color: Color::Black,
};

/// Which child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    Left,
    Right,
}

impl Hand {
    fn other(self) -> Hand {
        if self == Hand::Left { Hand::Right } else { Hand::Left }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Tree<const N: usize> {
    nodes: [Node; N],
    pub(super) root: u16,
    /// Nodes that were given back, linked by `right`.
    free: u16,
    /// Nodes from here on were never used.
    fresh: u16,
}

impl<const N: usize> Tree<N> {
    const FITS: () = assert!(N < NONE as usize, "a tree has fewer than 65,535 nodes");

    pub(super) const fn new() -> Self {
        let () = Self::FITS;
        Tree { nodes: [UNUSED; N], root: NONE, free: NONE, fresh: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free == NONE && usize::from(self.fresh) == N
    }

    pub(super) fn node(&self, id: u16) -> &Node {
        &self.nodes[usize::from(id)]
    }

    fn edit(&mut self, id: u16) -> &mut Node {
        &mut self.nodes[usize::from(id)]
    }

    fn child(&self, id: u16, hand: Hand) -> u16 {
        match hand {
            Hand::Left => self.node(id).left,
            Hand::Right => self.node(id).right,
        }
    }

    fn set_child(&mut self, id: u16, hand: Hand, child: u16) {
        match hand {
            Hand::Left => self.edit(id).left = child,
            Hand::Right => self.edit(id).right = child,
        }
    }

    fn hand_of(&self, id: u16, parent: u16) -> Hand {
        if self.node(parent).left == id { Hand::Left } else { Hand::Right }
    }

    fn is_red(&self, id: u16) -> bool {
        id != NONE && self.node(id).color == Color::Red
    }

    fn extreme(&self, mut id: u16, hand: Hand) -> u16 {
        while id != NONE && self.child(id, hand) != NONE {
            id = self.child(id, hand);
        }
        id
    }

    /// The range with the lowest start.
    pub(super) fn first(&self) -> u16 {
        self.extreme(self.root, Hand::Left)
    }

    /// The next node in order.
    pub(super) fn next(&self, mut id: u16) -> u16 {
        if self.node(id).right != NONE {
            return self.extreme(self.node(id).right, Hand::Left);
        }
        loop {
            let parent = self.node(id).parent;
            if parent == NONE || self.node(parent).left == id {
                return parent;
            }
            id = parent;
        }
    }

    /// The highest end among the ranges that start before `start`.
    pub(super) fn reach_before(&self, start: Offset) -> Offset {
        let (mut id, mut reach) = (self.root, Offset::ZERO);
        while id != NONE {
            let node = self.node(id);
            id = if node.range.start < start {
                reach = reach.max(node.range.end).max(self.reach(node.left));
                node.right
            } else {
                node.left
            };
        }
        reach
    }

    fn reach(&self, id: u16) -> Offset {
        if id == NONE { Offset::ZERO } else { self.node(id).reach }
    }

    fn pull(&mut self, id: u16) {
        let node = self.node(id);
        let reach = node.range.end.max(self.reach(node.left)).max(self.reach(node.right));
        self.edit(id).reach = reach;
    }

    fn pull_up(&mut self, mut id: u16) {
        while id != NONE {
            self.pull(id);
            id = self.node(id).parent;
        }
    }

    /// Gives a range a later end.
    pub(super) fn extend(&mut self, id: u16, end: Offset) {
        self.edit(id).range.end = end;
        self.pull_up(id);
    }

    /// Adds a range as the child of `parent` (`NONE`: as the root) at the place where a search for it ended. The tree
    /// must not be full.
    pub(super) fn link(&mut self, range: Range, parent: u16, hand: Hand) -> u16 {
        let id = if self.free == NONE {
            self.fresh += 1;
            self.fresh - 1
        } else {
            let id = self.free;
            self.free = self.node(id).right;
            id
        };
        *self.edit(id) = Node { range, parent, color: Color::Red, ..UNUSED };
        if parent == NONE {
            self.root = id;
        } else {
            self.set_child(parent, hand, id);
        }
        self.pull_up(id);
        self.repair_red(id);
        id
    }

    /// Invariant 2, where `id` is red and its parent may be.
    fn repair_red(&mut self, mut id: u16) {
        loop {
            let parent = self.node(id).parent;
            if !self.is_red(parent) {
                break;
            }
            let grand = self.node(parent).parent; // a red node is not the root
            let hand = self.hand_of(parent, grand);
            let uncle = self.child(grand, hand.other());
            if self.is_red(uncle) {
                self.edit(parent).color = Color::Black;
                self.edit(uncle).color = Color::Black;
                self.edit(grand).color = Color::Red;
                id = grand;
                continue;
            }
            if self.child(parent, hand.other()) == id {
                id = parent;
                self.rotate(id, hand);
            }
            let parent = self.node(id).parent;
            self.edit(parent).color = Color::Black;
            self.edit(grand).color = Color::Red;
            self.rotate(grand, hand.other());
        }
        let root = self.root;
        self.edit(root).color = Color::Black;
    }

    /// Turns `id` down to the side `hand`; its other child comes up.
    fn rotate(&mut self, id: u16, hand: Hand) {
        let up = self.child(id, hand.other());
        let inner = self.child(up, hand);
        self.set_child(id, hand.other(), inner);
        if inner != NONE {
            self.edit(inner).parent = id;
        }
        self.put_in_place_of(id, up);
        self.set_child(up, hand, id);
        self.edit(id).parent = up;
        self.pull(id);
        self.pull(up);
    }

    /// Makes `new` (perhaps `NONE`) the child that `old` is.
    fn put_in_place_of(&mut self, old: u16, new: u16) {
        let parent = self.node(old).parent;
        if parent == NONE {
            self.root = new;
        } else {
            self.set_child(parent, self.hand_of(old, parent), new);
        }
        if new != NONE {
            self.edit(new).parent = parent;
        }
    }

    /// Takes a range out.
    pub(super) fn erase(&mut self, id: u16) {
        let Node { left, right, color, .. } = *self.node(id);
        // What came up where a node went, that place's parent, and the color that went.
        let (up, parent, gone);
        if left == NONE || right == NONE {
            (up, parent, gone) = (if left == NONE { right } else { left }, self.node(id).parent, color);
            self.put_in_place_of(id, up);
        } else {
            let heir = self.extreme(right, Hand::Left);
            (up, gone) = (self.node(heir).right, self.node(heir).color);
            if heir == right {
                parent = heir;
            } else {
                parent = self.node(heir).parent;
                self.put_in_place_of(heir, up);
                self.edit(heir).right = right;
                self.edit(right).parent = heir;
            }
            self.put_in_place_of(id, heir);
            self.edit(heir).left = left;
            self.edit(left).parent = heir;
            self.edit(heir).color = color;
        }
        self.pull_up(parent);
        if gone == Color::Black {
            self.repair_black(up, parent);
        }
        let free = self.free;
        *self.edit(id) = Node { right: free, ..UNUSED };
        self.free = id;
    }

    /// Invariant 2, where paths through `id` (perhaps `NONE`, a child of `parent`) lack a black node.
    fn repair_black(&mut self, mut id: u16, mut parent: u16) {
        while parent != NONE && !self.is_red(id) {
            let hand = self.hand_of(id, parent);
            let mut sibling = self.child(parent, hand.other());
            if self.is_red(sibling) {
                self.edit(sibling).color = Color::Black;
                self.edit(parent).color = Color::Red;
                self.rotate(parent, hand);
                sibling = self.child(parent, hand.other());
            }
            let (near, far) = (self.child(sibling, hand), self.child(sibling, hand.other()));
            if !self.is_red(near) && !self.is_red(far) {
                self.edit(sibling).color = Color::Red;
                (id, parent) = (parent, self.node(parent).parent);
                continue;
            }
            if !self.is_red(far) {
                self.edit(near).color = Color::Black;
                self.edit(sibling).color = Color::Red;
                self.rotate(sibling, hand.other());
                sibling = near;
            }
            self.edit(sibling).color = self.node(parent).color;
            self.edit(parent).color = Color::Black;
            let far = self.child(sibling, hand.other());
            self.edit(far).color = Color::Black;
            self.rotate(parent, hand);
            return;
        }
        if id != NONE {
            self.edit(id).color = Color::Black;
        }
    }

    /// Asserts the invariants; returns how many ranges there are.
    #[cfg(test)]
    pub(super) fn check(&self) -> usize {
        assert!(!self.is_red(self.root), "invariant 2");
        let (mut count, mut id, mut before) = (0, self.first(), None);
        while id != NONE {
            let start = self.node(id).range.start;
            assert!(before.is_none_or(|b| b < start), "invariant 1");
            (count, before, id) = (count + 1, Some(start), self.next(id));
        }
        self.check_below(self.root);
        count
    }

    /// Black nodes on each path below.
    #[cfg(test)]
    fn check_below(&self, id: u16) -> usize {
        if id == NONE {
            return 0;
        }
        let node = self.node(id);
        let [left, right] = [node.left, node.right].map(|child| {
            assert!(child == NONE || self.node(child).parent == id);
            assert!(!(self.is_red(id) && self.is_red(child)), "invariant 2");
            self.check_below(child)
        });
        assert_eq!(left, right, "invariant 2");
        let reach = node.range.end.max(self.reach(node.left)).max(self.reach(node.right));
        assert_eq!(node.reach, reach, "invariant 3");
        left + usize::from(node.color == Color::Black)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    const N: usize = 40;

    /// Adds, extends or takes out.
    fn apply(tree: &mut Tree<N>, model: &mut BTreeMap<u64, u64>, start: u64, len: u64) {
        let (mut at, mut parent, mut hand) = (tree.root, NONE, Hand::Left);
        while at != NONE && tree.node(at).range.start.0 != start {
            parent = at;
            hand = if start < tree.node(at).range.start.0 { Hand::Left } else { Hand::Right };
            at = tree.child(at, hand);
        }
        if at == NONE && !tree.is_full() {
            tree.link(Range::new(start, start + len), parent, hand);
            model.insert(start, start + len);
        } else if at != NONE && len.is_multiple_of(3) {
            let end = tree.node(at).range.end.0 + len;
            tree.extend(at, Offset(end));
            model.insert(start, end);
        } else if at != NONE {
            tree.erase(at);
            model.remove(&start);
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_that_knows_how_far_it_reaches(ops in prop::collection::vec((0_u64..60, 1_u64..50), 0..300)) {
            let (mut tree, mut model) = (Tree::<N>::new(), BTreeMap::new());
            for (start, len) in ops {
                apply(&mut tree, &mut model, start, len);
                prop_assert_eq!(tree.check(), model.len());
                let (mut ranges, mut id) = (Vec::new(), tree.first());
                while id != NONE {
                    ranges.push((tree.node(id).range.start.0, tree.node(id).range.end.0));
                    id = tree.next(id);
                }
                prop_assert!(ranges.iter().copied().eq(model.iter().map(|(s, e)| (*s, *e))));
                let reach = model.range(..start).map(|(_, e)| *e).max().unwrap_or(0);
                prop_assert_eq!(tree.reach_before(Offset(start)).0, reach);
            }
        }
    }
}
