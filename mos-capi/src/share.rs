//! How contexts share captures: each reads all of them, and takes the packets of its own connections.
//!
//! They begin together. The contexts that exist when the first of them begins to read are numbered by their cores, and
//! number n of them takes what the hash of network cards gives queue n. What they do not take is taken by nobody else, so that nothing is lost and nothing seen
//! twice: contexts that are made later get nothing, until all of these have ended.

use crate::lock::lock;
use crate::slot::{self, Phase, Slot};
use crate::sync::{Mutex, process_wide};
use mos_dpdk::rss::Share;

process_wide! {
    /// Whoever has it divides. Only stack threads take it, for a moment, and none waits for anything meanwhile.
    static DIVIDING: Mutex<()> = Mutex::new(());
}

/// The part of the context of `slot`, which is about to read. `None` when it came too late for one.
pub(crate) fn take(slot: &'static Slot) -> Option<Share> {
    let _alone = lock(&DIVIDING);
    if slot.share().is_none() && !readers_of(slot.sharing()).any(is_reading) {
        divide(slot.sharing());
    }
    slot.share()
}

/// The contexts that read the same captures.
fn readers_of(captures: u64) -> impl Iterator<Item = &'static Slot> {
    slot::all().filter(move |slot| slot.sharing() == captures)
}

/// Whether the context has a part, and is not through with it.
fn is_reading(slot: &Slot) -> bool {
    slot.share().is_some() && slot.phase() == Phase::Live
}

fn divide(captures: u64) {
    let mut members: Vec<&Slot> = readers_of(captures).filter(|s| s.phase() == Phase::Live).collect();
    members.sort_by_key(|slot| slot.cpu());
    let of = u32::try_from(members.len()).unwrap_or(0);
    for (rank, slot) in (0..of).zip(members) {
        slot.set_share(rank, of);
    }
}

/// Whether nobody is to be waited for who reads the same captures: all are joined, or their program is done with
/// setting up, and there are as many as there can be, or no more are being made. Nor when they have begun, and left a
/// part for it.
pub(crate) fn is_complete(slot: &Slot, cores: usize) -> bool {
    let ready = |slot: &Slot| slot.is_joined() || slot.is_settled();
    let captures = slot.sharing();
    captures == 0
        || slot.share().is_some()
        || (slot.is_settled() || readers_of(captures).count() >= cores) && readers_of(captures).all(ready)
}

#[cfg(all(test, loom))]
mod loom_models;
