//! How far the two sides of a ring are: arithmetic without memory.
//!
//! One side puts entries in at the head, the other takes them out at the tail. Both numbers count up for ever, modulo 2^32.
//!
//! **Invariant.** (1) `head - tail <= size`, whatever the other side writes: what cannot be true is not believed.

/// The state of a ring as one of its sides knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// A power of two.
    size: u32,
    head: u32,
    tail: u32,
}

impl Cursor {
    /// An empty ring with room for at least as many entries.
    pub(super) fn new(size: u32) -> Cursor {
        Cursor::starting_at(size, 0)
    }

    fn starting_at(size: u32, count: u32) -> Cursor {
        Cursor { size: size.clamp(1, 1 << 31).next_power_of_two(), head: count, tail: count }
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    pub(super) fn head(&self) -> u32 {
        self.head
    }

    pub(super) fn tail(&self) -> u32 {
        self.tail
    }

    /// Entries that are in.
    pub(super) fn used(&self) -> u32 {
        self.head.wrapping_sub(self.tail)
    }

    /// Entries that can still be put in.
    pub(super) fn room(&self) -> u32 {
        self.size - self.used()
    }

    /// The place of the next entry that this side puts in.
    pub(super) fn push(&mut self) -> Option<usize> {
        let place = (self.room() > 0).then(|| self.place(self.head))?;
        self.head = self.head.wrapping_add(1);
        Some(place)
    }

    /// The place of the next entry that this side takes out.
    pub(super) fn pop(&mut self) -> Option<usize> {
        let place = (self.used() > 0).then(|| self.place(self.tail))?;
        self.tail = self.tail.wrapping_add(1);
        Some(place)
    }

    /// The other side has put entries in up to there.
    pub(super) fn on_head(&mut self, head: u32) {
        if head.wrapping_sub(self.head) <= self.room() {
            self.head = head;
        }
    }

    /// The other side has taken entries out up to there.
    pub(super) fn on_tail(&mut self, tail: u32) {
        if tail.wrapping_sub(self.tail) <= self.used() {
            self.tail = tail;
        }
    }

    fn place(&self, count: u32) -> usize {
        (count & (self.size - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// What either side does.
    #[derive(Clone, Copy, Debug)]
    enum Op {
        /// Puts in as many, and tells.
        Produce(u32),
        /// Takes out as many, and tells.
        Consume(u32),
        /// Writes something else where the other side looks.
        Lie(u32),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let count = prop_oneof![0..6_u32, Just(1000)];
        let op = prop_oneof![
            4 => count.clone().prop_map(Op::Produce),
            4 => count.prop_map(Op::Consume),
            1 => any::<u32>().prop_map(Op::Lie),
        ];
        prop::collection::vec(op, 0..60)
    }

    fn starts() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), (0..40_u32).prop_map(|n| u32::MAX - n), any::<u32>()]
    }

    /// Entries cross, in order and each once, through memory of this many places.
    fn cross(ops: &[Op], log: u32, start: u32) {
        let size = 1 << log;
        let (mut producer, mut consumer) =
            (Cursor::starting_at(size, start), Cursor::starting_at(size, start));
        let mut memory = vec![0; size as usize];
        let mut oracle = VecDeque::new();
        let mut next = 0_u64;
        for op in ops {
            match *op {
                Op::Produce(count) => {
                    for _ in 0..count {
                        let place = producer.push();
                        assert_eq!(place.is_some(), oracle.len() < size as usize);
                        let Some(place) = place else { break };
                        memory[place] = next;
                        oracle.push_back(next);
                        next += 1;
                    }
                    consumer.on_head(producer.head());
                }
                Op::Consume(count) => {
                    for _ in 0..count {
                        let found = consumer.pop().map(|place| memory[place]);
                        assert_eq!(found, oracle.pop_front());
                        if found.is_none() {
                            break;
                        }
                    }
                    producer.on_tail(consumer.tail());
                }
                Op::Lie(_) => {}
            }
            assert_eq!(producer, consumer);
            assert_eq!(producer.used() as usize, oracle.len());
        }
    }

    /// One side alone, and another that writes anything: places are within the ring, and there are no more of them than fit.
    fn doubt(ops: &[Op], log: u32, start: u32) {
        let size = 1_u32 << log;
        let (mut producer, mut consumer) =
            (Cursor::starting_at(size, start), Cursor::starting_at(size, start));
        for op in ops {
            let (Op::Produce(count) | Op::Consume(count) | Op::Lie(count)) = *op;
            for written in [count, start.wrapping_add(count)] {
                producer.on_tail(written);
                consumer.on_head(written);
                assert!(producer.used() <= size && consumer.used() <= size);
            }
            let pushed =
                std::iter::from_fn(|| producer.push()).inspect(|place| assert!(*place < size as usize));
            assert!(pushed.count() <= size as usize);
            let popped =
                std::iter::from_fn(|| consumer.pop()).inspect(|place| assert!(*place < size as usize));
            assert!(popped.count() <= size as usize);
        }
    }

    proptest! {
        #[test]
        fn entries_cross_in_order_and_once(ops in ops(), log in 0..5_u32, start in starts()) {
            cross(&ops, log, start);
        }

        #[test]
        fn nothing_the_other_side_writes_leads_out_of_the_ring(ops in ops(), log in 0..5_u32, start in starts()) {
            doubt(&ops, log, start);
        }
    }

    #[test]
    fn what_cannot_be_true_is_not_believed() {
        let mut ring = Cursor::starting_at(4, u32::MAX);
        assert_eq!(
            [ring.push(), ring.push(), ring.push(), ring.push()],
            [Some(3), Some(0), Some(1), Some(2)]
        );
        assert_eq!((ring.push(), ring.head()), (None, 3));
        for tail in [4, 1000, u32::MAX - 1] {
            ring.on_tail(tail);
            assert_eq!(ring.room(), 0, "{tail}");
        }
        ring.on_tail(1);
        assert_eq!((ring.room(), ring.push()), (2, Some(3)));
        ring.on_tail(0);
        assert_eq!(ring.room(), 1, "what was taken out is not put back");
    }

    #[test]
    fn a_ring_has_a_size_that_is_a_power_of_two() {
        for (asked, size) in [(0, 1), (1, 1), (3, 4), (64, 64), (u32::MAX, 1 << 31)] {
            assert_eq!(Cursor::new(asked).size(), size);
        }
    }
}
