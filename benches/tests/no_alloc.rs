//! Packets allocate nothing: a million connections are opened, and then not one call goes to the allocator, whether
//! segments wake connections at random, or connections begin and end.

use benches::crowd::{Crowd, Octets, engine};
use mos_flow::engine::BURST;
use mos_flow::testing::traffic::Numbers;

#[path = "../../mos-flow/tests/support/counting.rs"]
mod counting;

use counting::allocations;

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
    let mut numbers = Numbers::new(0x2545_f491_4f6c_dd1d);
    let before = allocations();
    for round in 0..4 {
        frames.clear();
        frames.extend((0..BATCH).map(|_| crowd.data(numbers.below(FLOWS))));
        frames.extend((0..BATCH / 8).flat_map(|n| {
            let n = FLOWS + round * BATCH + n;
            crowd.handshake(n).into_iter().chain(crowd.close(n))
        }));
        crowd.play(&mut engine, &mut (), &frames, BURST);
    }
    assert_eq!(allocations() - before, 0);
    let stats = engine.stats();
    assert_eq!(engine.flow_count(), FLOWS as usize, "what began also ended");
    assert_eq!((stats.drops.total(), stats.anomalies.total()), (0, 0), "every packet was taken");
    let counted = allocations();
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1)));
    assert_eq!(allocations(), counted + 1, "the counter counts");
}
