//! Packets allocate nothing: a million connections are opened, and then not one call goes to the allocator, whether
//! segments wake connections at random, or connections begin and end.

use benches::crowd::{Crowd, Numbers, Octets, engine};
use mos_flow::engine::BURST;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code)]
// SAFETY: every call is passed on to the system's allocator unchanged; counting touches a thread-local only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, that is from the system's allocator.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A build without optimisation takes a minute for as many.
const FLOWS: u32 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
const BATCH: u32 = 8192;

#[test]
fn packets_of_a_million_connections_allocate_nothing_after_warm_up() {
    let mut crowd = Crowd::new(FLOWS as usize);
    let mut engine = engine(FLOWS as usize + 8);
    let mut frames: Vec<Octets> = Vec::with_capacity(6 * BATCH as usize);
    for first in (0..FLOWS).step_by(BATCH as usize) {
        frames.clear();
        frames.extend((first..FLOWS.min(first + BATCH)).flat_map(|n| crowd.handshake(n)));
        crowd.play(&mut engine, &mut (), &frames, BURST);
    }
    assert_eq!(engine.flow_count(), FLOWS as usize);
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let before = ALLOCATIONS.get();
    for round in 0..4 {
        frames.clear();
        frames.extend((0..BATCH).map(|_| crowd.data(numbers.below(FLOWS))));
        frames.extend((0..BATCH / 8).flat_map(|n| {
            let n = FLOWS + round * BATCH + n;
            crowd.handshake(n).into_iter().chain(crowd.close(n))
        }));
        crowd.play(&mut engine, &mut (), &frames, BURST);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    let stats = engine.stats();
    assert_eq!(engine.flow_count(), FLOWS as usize, "what began also ended");
    assert_eq!((stats.drops.total(), stats.anomalies.total()), (0, 0), "every packet was taken");
    let counted = ALLOCATIONS.get();
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1)));
    assert_eq!(ALLOCATIONS.get(), counted + 1, "the counter counts");
}
