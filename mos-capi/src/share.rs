//! How contexts share captures: each reads all of them, and takes the packets of its own connections.
//!
//! They begin together. The contexts that exist when the first of them begins to read are numbered by their cores, and number n of them takes what the hash of
//! network cards gives queue n. What they do not take is taken by nobody else, so that nothing is lost and nothing seen
//! twice: contexts that are made later get nothing, until all of these have ended.

use crate::lock::lock;
use crate::slot::{self, Phase, Slot};
use mos_dpdk::rss::Share;
use std::sync::Mutex;

/// Whoever has it divides. Only stack threads take it, for a moment, and none waits for anything meanwhile.
static DIVIDING: Mutex<()> = Mutex::new(());

/// The part of the context of `slot`, which is about to read. `None` when it came too late for one.
pub(crate) fn take(slot: &'static Slot) -> Option<Share> {
    let _alone = lock(&DIVIDING);
    if slot.share().is_none() && !slot::all().any(reads) {
        divide();
    }
    slot.share()
}

/// Whether the context has a part, and is not through with it.
fn reads(slot: &Slot) -> bool {
    slot.share().is_some() && slot.phase() == Phase::Live
}

fn divide() {
    let mut members: Vec<&Slot> =
        slot::all().filter(|s| s.is_sharing() && s.phase() == Phase::Live).collect();
    members.sort_by_key(|slot| slot.cpu());
    let of = u32::try_from(members.len()).unwrap_or(0);
    for (rank, slot) in (0..of).zip(members) {
        slot.set_share(rank, of);
    }
}

/// Whether all contexts that share are ready to read: joined, or their program is done with setting up.
pub(crate) fn are_ready() -> bool {
    slot::all().filter(|slot| slot.is_sharing()).all(|slot| slot.is_joined() || slot.is_settled())
}

/// Whether as many contexts as there can be are there to share.
pub(crate) fn is_complete(cores: usize) -> bool {
    slot::all().filter(|slot| slot.is_sharing()).count() >= cores
}
