//! Whose a frame of the shared memory is: bookkeeping without memory.
//!
//! ```text
//!            take                  give                 arrive
//!    free ─────────► held ─────────────────► kernel's ─────────► held
//!         ◄───────── │  ▲                         │
//!           settle   ▼  │ complete                └──► free   complete
//!                  passed ──────────────► kernel's
//!                              settle
//! ```
//!
//! **Invariants.** (1) Of each frame there is at most one [`Chunk`], and there is one only while it is held or passed: a chunk
//! cannot be copied, is made by [`Ledger::take`] and [`Ledger::arrive`] alone, which refuse a frame that is not free or the
//! kernel's, and ends with [`Ledger::give`] and [`Ledger::settle`]. (2) The list of free frames has each one that is free once.

/// Whose a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// In a ring, or on its way between two.
    Kernel,
    /// A [`Chunk`] is there.
    Held,
    /// A chunk is there, and the kernel reads it to send it.
    Passed,
}

/// A frame that this process may read, and write as long as it is not passed on. One that is dropped is not used again.
#[derive(Debug)]
pub(super) struct Chunk {
    index: u32,
}

impl Chunk {
    pub(super) fn index(&self) -> u32 {
        self.index
    }
}

/// Whose the frames are.
#[derive(Debug)]
pub(super) struct Ledger {
    states: Box<[State]>,
    free: Vec<u32>,
}

impl Ledger {
    /// So many frames, all free.
    pub(super) fn new(frames: u32) -> Ledger {
        Ledger { states: (0..frames).map(|_| State::Free).collect(), free: (0..frames).rev().collect() }
    }

    /// A free frame.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        let index = self.free.pop()?;
        self.change(index, State::Free, State::Held).then_some(Chunk { index })
    }

    /// Gives a frame to the kernel. Returns which.
    pub(super) fn give(&mut self, chunk: Chunk) -> u32 {
        self.change(chunk.index, State::Held, State::Kernel);
        chunk.index
    }

    /// A frame that the kernel has filled. `None` when it was not the kernel's, so that whatever it says, nothing is held twice.
    pub(super) fn arrive(&mut self, index: u32) -> Option<Chunk> {
        self.change(index, State::Kernel, State::Held).then_some(Chunk { index })
    }

    /// Lets the kernel read a frame that is held, while others here may read it, too. False when it is not held, or passed already.
    pub(super) fn pass(&mut self, index: u32) -> bool {
        self.change(index, State::Held, State::Passed)
    }

    /// The kernel has sent a frame. False when it was not the kernel's to send.
    pub(super) fn complete(&mut self, index: u32) -> bool {
        if self.change(index, State::Kernel, State::Free) {
            self.free.push(index);
            return true;
        }
        self.change(index, State::Passed, State::Held)
    }

    /// Done with a frame. It is the kernel's if that has still to send it.
    pub(super) fn settle(&mut self, chunk: Chunk) {
        if !self.change(chunk.index, State::Passed, State::Kernel)
            && self.change(chunk.index, State::Held, State::Free)
        {
            self.free.push(chunk.index);
        }
    }

    fn change(&mut self, index: u32, from: State, to: State) -> bool {
        match self.states.get_mut(index as usize) {
            Some(state) if *state == from => {
                *state = to;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const FRAMES: u32 = 4;

    /// Something that this process or the kernel does with a frame, which may be none of the ledger's.
    #[derive(Clone, Copy, Debug)]
    enum Op {
        Take,
        Give(usize),
        Settle(usize),
        Pass(u32),
        Arrive(u32),
        Complete(u32),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let index = || prop_oneof![9 => 0..FRAMES, 1 => any::<u32>()];
        let nth = || 0..FRAMES as usize;
        let op = prop_oneof![
            Just(Op::Take),
            nth().prop_map(Op::Give),
            nth().prop_map(Op::Settle),
            index().prop_map(Op::Pass),
            index().prop_map(Op::Arrive),
            index().prop_map(Op::Complete),
        ];
        prop::collection::vec(op, 0..80)
    }

    /// Sets of frames, nothing more: those with a chunk, and those that the kernel has.
    #[derive(Debug, Default)]
    struct Oracle {
        chunks: Vec<Chunk>,
        kernel: BTreeSet<u32>,
    }

    impl Oracle {
        fn is_held(&self, index: u32) -> bool {
            self.chunks.iter().any(|chunk| chunk.index == index)
        }

        fn free(&self) -> usize {
            (0..FRAMES).filter(|n| !self.is_held(*n) && !self.kernel.contains(n)).count()
        }

        /// A chunk came to be: there is no other of its frame.
        fn add(&mut self, chunk: Option<Chunk>) {
            if let Some(chunk) = chunk {
                assert!(!self.is_held(chunk.index) && !self.kernel.contains(&chunk.index));
                self.chunks.push(chunk);
            }
        }

        fn apply(&mut self, ledger: &mut Ledger, op: Op) {
            match op {
                Op::Take => {
                    let chunk = ledger.take();
                    assert_eq!(chunk.is_some(), self.free() > 0);
                    self.add(chunk);
                }
                // Only what is held alone is given: a chunk that was passed is settled.
                Op::Give(n) if n < self.chunks.len() && !self.kernel.contains(&self.chunks[n].index) => {
                    let index = self.chunks[n].index;
                    assert_eq!(ledger.give(self.chunks.remove(n)), index);
                    self.kernel.insert(index);
                }
                Op::Settle(n) if n < self.chunks.len() => ledger.settle(self.chunks.remove(n)),
                Op::Pass(index) => {
                    let can = self.is_held(index) && !self.kernel.contains(&index);
                    assert_eq!(ledger.pass(index), can);
                    self.kernel.extend(can.then_some(index));
                }
                Op::Arrive(index) => {
                    let chunk = ledger.arrive(index);
                    assert_eq!(chunk.is_some(), self.kernel.contains(&index) && !self.is_held(index));
                    if chunk.is_some() {
                        self.kernel.remove(&index);
                    }
                    self.add(chunk);
                }
                Op::Complete(index) => assert_eq!(ledger.complete(index), self.kernel.remove(&index)),
                Op::Give(_) | Op::Settle(_) => {}
            }
        }
    }

    proptest! {
        #[test]
        fn a_frame_is_held_once_and_never_lost(ops in ops()) {
            let mut ledger = Ledger::new(FRAMES);
            let mut oracle = Oracle::default();
            for op in ops {
                oracle.apply(&mut ledger, op);
            }
            for chunk in std::mem::take(&mut oracle.chunks) {
                ledger.settle(chunk);
            }
            for index in std::mem::take(&mut oracle.kernel) {
                assert!(ledger.complete(index));
            }
            let free: BTreeSet<u32> = std::iter::from_fn(|| ledger.take()).map(|chunk| chunk.index).collect();
            assert_eq!(free, (0..FRAMES).collect());
        }
    }

    #[test]
    fn a_frame_that_is_passed_and_sent_before_it_is_settled_stays_held() {
        let mut ledger = Ledger::new(1);
        let chunk = ledger.take().unwrap();
        assert!(ledger.pass(chunk.index) && !ledger.pass(0), "once");
        assert!(ledger.complete(0));
        assert!(ledger.take().is_none(), "it is still lent");
        ledger.settle(chunk);
        assert!(ledger.take().is_some());
    }

    #[test]
    fn what_the_kernel_does_not_have_does_not_come_from_it() {
        let mut ledger = Ledger::new(2);
        assert!(ledger.arrive(0).is_none() && ledger.arrive(7).is_none() && !ledger.complete(0));
        let chunk = ledger.take().unwrap();
        assert!(ledger.arrive(chunk.index).is_none() && !ledger.complete(chunk.index));
        let index = ledger.give(chunk);
        let again = ledger.arrive(index).unwrap();
        assert!(ledger.arrive(index).is_none());
        ledger.settle(again);
    }
}
