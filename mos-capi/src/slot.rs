//! The table of contexts: one [`Slot`] for each, for the life of the process.
//!
//! # Invariants
//! 1. Slots never move and are never freed; an `mctx_t` is the address of a slot's visible part.
//! 2. `life` holds a phase and the number of the context in the slot. It only goes forward in the order of [`Phase`], and
//!    each step is taken by one thread: the creator, the stack thread, or whoever destroys it first.
//! 3. Commands are taken in only while the mailbox is open; each is run or refused, exactly once.
//! 4. Destroying takes no lock and allocates nothing, so that a signal handler can do it; the stack thread takes no
//!    lock before it is quiet that the interrupted thread may hold (it only tries).
//! 5. Whoever locks the mailbox rings the bell afterwards, or is the stack thread: it passes over a locked mailbox and
//!    waits for the bell. So nothing else may be behind that lock.

use crate::abi::{Mctx, MtcpContext};
use crate::app::CApp;
use crate::bell::Bell;
use crate::errno::Errno;
use crate::lock::lock;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::{Mutex, constant, process_wide};
use libc::c_int;
use mos_dpdk::rss::Share;
use mos_flow::Control;
use std::collections::VecDeque;
use std::mem::{offset_of, size_of};
use std::ptr;
use std::sync::TryLockError;

/// Cores that contexts can be made for.
pub(crate) const MAX_CORES: c_int = 64;
/// Slots are taken in turn, so that a handle that was destroyed stays dead for a while.
const SLOTS: usize = if cfg!(loom) { 3 } else { 256 };

/// What another thread wants done; `None` means that it will not be.
pub(crate) type Command = Box<dyn FnOnce(Option<Desk<'_, '_>>) + Send>;

/// What commands and calls inside callbacks work on.
pub(crate) struct Desk<'a, 'e> {
    pub(crate) app: &'a mut CApp,
    pub(crate) control: &'a mut Control<'e, CApp>,
}

/// The life of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Phase {
    /// No context.
    Free,
    /// Being made.
    Starting,
    /// There.
    Live,
    /// There, but its input has ended.
    Ended,
    /// Destroyed; a callback may still run.
    Stopping,
    /// Destroyed; nothing of the program runs any more.
    Quiet,
    /// Its thread is in the parent process. Not used again.
    Lost,
}

impl Phase {
    const BITS: u32 = 3;

    fn of(life: u32) -> Phase {
        match life & ((1 << Self::BITS) - 1) {
            1 => Phase::Starting,
            2 => Phase::Live,
            3 => Phase::Ended,
            4 => Phase::Stopping,
            5 => Phase::Quiet,
            6 => Phase::Lost,
            _ => Phase::Free,
        }
    }
}

/// Which context in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

/// One context, or room for one.
#[derive(Debug)]
pub(crate) struct Slot {
    visible: MtcpContext,
    /// Epoch and phase (invariant 2).
    life: AtomicU32,
    /// The core; meaningless when the slot is free.
    cpu: AtomicU32,
    /// Descriptors are below this.
    descriptors: AtomicU32,
    /// The program waits for the end: reading can begin.
    joined: AtomicBool,
    /// Reading is to end.
    halted: AtomicBool,
    /// Which captures it reads, and shares with others who do. 0 for none.
    sharing: AtomicU64,
    /// The program is done with setting up, as it seems.
    settled: AtomicBool,
    /// Its part of them: rank and number of parts. 0 before they are divided.
    share: AtomicU64,
    mailbox: Mutex<Mailbox>,
    /// Why the input ended before its end.
    failure: Mutex<Option<String>>,
    /// Rings for the stack thread: there is something in the mailbox, or a wish, or another context has changed.
    pub(crate) bell: Bell,
    /// Rings when `life` changes.
    turns: Bell,
}

struct Mailbox {
    open: bool,
    commands: VecDeque<Command>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({} commands)", self.commands.len())
    }
}

process_wide! {
    static TABLE: [Slot; SLOTS] = slots();
}
process_wide! {
    /// Where the search for a free slot goes on; also keeps creators apart.
    static NEXT: Mutex<usize> = Mutex::new(0);
}
process_wide! {
    /// Contexts made so far: only that it changes counts.
    static MADE: AtomicU32 = AtomicU32::new(0);
}

#[cfg(not(loom))]
const fn slots() -> [Slot; SLOTS] {
    [const { Slot::new() }; SLOTS]
}

#[cfg(loom)]
fn slots() -> [Slot; SLOTS] {
    std::array::from_fn(|_| Slot::new())
}

/// What changes when a context is made; `None` while one is.
pub(crate) fn made() -> Option<u32> {
    let being = TABLE.iter().any(|slot| slot.phase() == Phase::Starting);
    (!being).then(|| MADE.load(Ordering::Relaxed))
}

/// The context behind a handle, if it is one that is not destroyed.
pub(crate) fn find(mctx: Mctx) -> Option<&'static Slot> {
    slot_at(mctx).filter(|s| matches!(s.phase(), Phase::Live | Phase::Ended))
}

/// The slot whose visible part is at an address. The pointer is not followed (invariant 1).
pub(crate) fn slot_at(mctx: Mctx) -> Option<&'static Slot> {
    let first = TABLE.as_ptr().addr() + offset_of!(Slot, visible);
    let distance = mctx.addr().checked_sub(first)?;
    TABLE.get(distance / size_of::<Slot>()).filter(|s| s.mctx().addr() == mctx.addr())
}

/// All contexts that are not destroyed.
pub(crate) fn all() -> impl Iterator<Item = &'static Slot> {
    TABLE.iter().filter(|s| matches!(s.phase(), Phase::Live | Phase::Ended))
}

/// Waits until the contexts that are being destroyed are gone.
pub(crate) fn wait_for_destroyed() {
    // In this order: a slot may have its next context at any time, which is not waited for.
    for (slot, epoch) in TABLE.iter().map(|slot| (slot, slot.epoch())) {
        if slot.is_stopping() {
            slot.wait(epoch, &[]);
        }
    }
}

/// Whether a context of core `cpu` is being destroyed, and may still write its output.
pub(crate) fn is_ending(cpu: u32) -> bool {
    TABLE.iter().any(|s| matches!(s.phase(), Phase::Stopping | Phase::Quiet) && s.cpu() == cpu)
}

/// In a child process: no context is there.
pub(crate) fn lose_all() {
    for slot in TABLE.iter().filter(|s| s.phase() != Phase::Free) {
        let epoch = slot.epoch().0;
        slot.life.store(epoch << Phase::BITS | Phase::Lost as u32, Ordering::Release); // nobody else is there
    }
}

/// Tells all contexts, some of which may wait for others, that something has changed.
fn ring_all() {
    // SeqCst: pairs with that of the rings in `turn`. A context that goes live now is seen here and rung for, or its
    // thread sees the change when it looks after those rings.
    fence(Ordering::SeqCst);
    all().for_each(|slot| slot.bell.ring());
}

/// Takes a slot for a new context of core `cpu`.
///
/// # Errors
/// `EEXIST` when the core has one, `EAGAIN` when no slot is free.
pub(crate) fn claim(cpu: u32) -> Result<&'static Slot, Errno> {
    let mut next = lock(&NEXT);
    let there = |s: &Slot| matches!(s.phase(), Phase::Starting | Phase::Live | Phase::Ended);
    if TABLE.iter().any(|s| there(s) && s.cpu.load(Ordering::Relaxed) == cpu) {
        return Err(Errno::EXIST);
    }
    let (before, after) = TABLE.split_at(*next % SLOTS);
    let free = after.iter().chain(before).find(|s| s.phase() == Phase::Free).ok_or(Errno::AGAIN)?;
    *next = TABLE.iter().position(|s| ptr::eq(s, free)).map_or(0, |at| at + 1);
    free.begin(cpu);
    Ok(free)
}

impl Slot {
    constant! {
        fn new() -> Self {
            Slot {
                visible: MtcpContext { cpu: std::sync::atomic::AtomicI32::new(0) },
                life: AtomicU32::new(Phase::Free as u32),
                cpu: AtomicU32::new(0),
                descriptors: AtomicU32::new(0),
                joined: AtomicBool::new(false),
                halted: AtomicBool::new(false),
                sharing: AtomicU64::new(0),
                settled: AtomicBool::new(false),
                share: AtomicU64::new(0),
                mailbox: Mutex::new(Mailbox { open: false, commands: VecDeque::new() }),
                failure: Mutex::new(None),
                bell: Bell::new(),
                turns: Bell::new(),
            }
        }
    }

    /// The part that the program sees.
    pub(crate) fn visible(&'static self) -> &'static MtcpContext {
        &self.visible
    }

    /// The handle.
    pub(crate) fn mctx(&self) -> Mctx {
        ptr::from_ref(&self.visible).cast_mut()
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.life())
    }

    fn life(&self) -> u32 {
        // Acquire: pairs with the stores of `life` in `turn`, so that what was set before a phase is seen in it.
        self.life.load(Ordering::Acquire)
    }

    /// Which context is in the slot now.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.life() >> Phase::BITS)
    }

    /// Whether descriptors can be `sock`.
    pub(crate) fn has_descriptor(&self, sock: c_int) -> bool {
        u32::try_from(sock).is_ok_and(|sock| sock < self.descriptors.load(Ordering::Relaxed))
    }

    /// Goes from one of `from` to `to`. Returns whether it did: another may have been first.
    fn turn(&self, from: &[Phase], to: Phase) -> bool {
        let step = |life: u32| {
            from.contains(&Phase::of(life)).then_some(life >> Phase::BITS << Phase::BITS | to as u32)
        };
        // AcqRel: pairs with `life` and with itself: phases are passed on from thread to thread.
        let done = self.life.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok();
        self.turns.ring();
        self.bell.ring();
        ring_all();
        done
    }

    /// Under the lock of `NEXT`.
    fn begin(&self, cpu: u32) {
        let epoch = self.epoch().0.wrapping_add(1);
        self.cpu.store(cpu, Ordering::Relaxed);
        self.visible.cpu.store(cpu.cast_signed(), Ordering::Relaxed);
        self.joined.store(false, Ordering::Relaxed);
        self.halted.store(false, Ordering::Relaxed);
        self.sharing.store(0, Ordering::Relaxed);
        self.settled.store(false, Ordering::Relaxed);
        self.share.store(0, Ordering::Relaxed);
        *lock(&self.mailbox) = Mailbox { open: true, commands: VecDeque::new() };
        *lock(&self.failure) = None;
        // Release: pairs with `life`.
        self.life.store(epoch << Phase::BITS | Phase::Starting as u32, Ordering::Release);
    }

    /// The context is made.
    pub(crate) fn go_live(&self, descriptors: u32) {
        self.descriptors.store(descriptors, Ordering::Relaxed);
        self.turn(&[Phase::Starting], Phase::Live);
        MADE.fetch_add(1, Ordering::Relaxed);
        ring_all();
    }

    pub(crate) fn cpu(&self) -> u32 {
        self.cpu.load(Ordering::Relaxed)
    }

    /// It reads these captures, by a number for their names that is not 0. Before it is live.
    pub(crate) fn join_sharing(&self, captures: u64) {
        self.sharing.store(captures, Ordering::Relaxed);
    }

    /// Which captures it reads, 0 for none.
    pub(crate) fn sharing(&self) -> u64 {
        self.sharing.load(Ordering::Relaxed)
    }

    /// Whether the program is done with setting up, as it seems.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_settled(&self, settled: bool) {
        if !self.settled.swap(settled, Ordering::Relaxed) && settled {
            ring_all();
        }
    }

    /// Its part of the captures, once they are divided.
    pub(crate) fn share(&self) -> Option<Share> {
        let [rank, of] = halves(self.share.load(Ordering::Relaxed));
        Share::new(rank, of)
    }

    pub(crate) fn set_share(&self, rank: u32, of: u32) {
        self.share.store(u64::from(rank) << 32 | u64::from(of), Ordering::Relaxed);
    }

    /// The context could not be made.
    pub(crate) fn give_up(&self) {
        self.turn(&[Phase::Starting], Phase::Free);
    }

    /// The input has ended, perhaps before its end.
    pub(crate) fn end(&self, failure: Option<String>) {
        *lock(&self.failure) = failure;
        self.turn(&[Phase::Live], Phase::Ended);
    }

    /// Begins to destroy the context. Returns whether this call did it.
    pub(crate) fn stop(&self) -> bool {
        self.turn(&[Phase::Live, Phase::Ended], Phase::Stopping)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.phase() >= Phase::Stopping
    }

    /// Whether its thread is in the parent process.
    pub(crate) fn is_lost(&self) -> bool {
        self.phase() == Phase::Lost
    }

    /// For the stack thread, until the context is destroyed. `work` does what was posted; it returns whether there was
    /// anything.
    pub(crate) fn serve(&self, mut work: impl FnMut() -> bool) {
        while !self.is_stopping() {
            let ticket = self.bell.ticket();
            if !work() && !self.is_stopping() {
                self.bell.wait(ticket, None);
            }
        }
    }

    /// For the stack thread, when the context is destroyed. It has the slot no longer. Nothing of the program runs from
    /// here on; only now a lock may be waited for.
    pub(crate) fn finish(&self, owned: impl Sized) {
        self.become_quiet();
        self.close_mailbox();
        drop(owned);
        self.release();
    }

    /// Nothing of the program runs any more.
    fn become_quiet(&self) {
        self.turn(&[Phase::Stopping], Phase::Quiet);
    }

    /// The slot can be used again. The stack thread's last act.
    fn release(&self) {
        self.turn(&[Phase::Quiet], Phase::Free);
    }

    /// Waits until the context of `epoch` has reached one of `phases`, or is gone. Returns whether it has.
    fn wait(&self, epoch: Epoch, phases: &[Phase]) -> bool {
        loop {
            let ticket = self.turns.ticket();
            match self.phase() {
                _ if self.epoch() != epoch => return false,
                Phase::Free | Phase::Lost => return false,
                phase if phases.contains(&phase) => return true,
                _ => self.turns.wait(ticket, None),
            }
        }
    }

    /// Waits until nothing of the program runs in the context any more.
    pub(crate) fn wait_until_quiet(&self, epoch: Epoch) {
        self.wait(epoch, &[Phase::Quiet]);
    }

    /// Lets the input run and waits for its end. Returns why it ended early, if it did.
    pub(crate) fn join(&self, epoch: Epoch) -> Option<String> {
        self.joined.store(true, Ordering::Relaxed);
        ring_all();
        let ended = self.wait(epoch, &[Phase::Ended, Phase::Quiet]);
        lock(&self.failure).clone().filter(|_| ended)
    }

    /// Whether somebody waits for the end.
    pub(crate) fn is_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Ends the input, now. Takes no lock.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    /// Whether the input is to be read no further.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed) || self.is_stopping()
    }

    /// Puts a command into the mailbox.
    ///
    /// # Errors
    /// `EACCES` when the context does not take any more.
    pub(crate) fn post(&self, command: Command) -> Result<(), Errno> {
        let mut mailbox = lock(&self.mailbox);
        if !mailbox.open {
            return Err(Errno::ACCES); // nobody waits for the bell any more
        }
        mailbox.commands.push_back(command);
        drop(mailbox);
        self.bell.ring();
        Ok(())
    }

    /// The next command. `None` also when the mailbox is locked (invariant 5).
    pub(crate) fn next_command(&self) -> Option<Command> {
        let mut mailbox = match self.mailbox.try_lock() {
            Ok(mailbox) => mailbox,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        mailbox.commands.pop_front()
    }

    /// Closes the mailbox and refuses what is in it.
    pub(crate) fn close_mailbox(&self) {
        let left = {
            let mut mailbox = lock(&self.mailbox);
            mailbox.open = false;
            std::mem::take(&mut mailbox.commands)
        };
        for command in left {
            command(None);
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // the two halves
fn halves(word: u64) -> [u32; 2] {
    [(word >> 32) as u32, word as u32]
}

#[cfg(all(test, loom))]
mod loom_models;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn only_the_address_of_a_slot_is_a_handle() {
        let slot = &TABLE[7];
        assert!(slot_at(slot.mctx()).is_some_and(|s| ptr::eq(s, slot)));
        for wild in [0, 1, 4, usize::MAX, slot.mctx().addr() + 1, slot.mctx().addr() - 4] {
            assert!(slot_at(ptr::without_provenance_mut(wild)).is_none(), "{wild:#x}");
        }
        let past = slot.mctx().wrapping_byte_add(size_of::<Slot>() * SLOTS);
        assert!(slot_at(past).is_none() && find(slot.mctx()).is_none());
    }

    #[test]
    fn a_context_lives_once_and_its_slot_is_used_again_last() {
        const CPU: u32 = 1_000_000; // no other test has it
        let slot = claim(CPU).unwrap();
        assert_eq!(claim(CPU).unwrap_err(), Errno::EXIST);
        assert!(find(slot.mctx()).is_none(), "not before it is made");
        slot.go_live(10);
        let (mctx, epoch) = (slot.mctx(), slot.epoch());
        assert!(find(mctx).is_some() && slot.has_descriptor(9) && !slot.has_descriptor(10));
        assert!(!slot.has_descriptor(-1));
        assert!(slot.stop() && !slot.stop(), "one destroys it");
        assert!(find(mctx).is_none());
        slot.become_quiet();
        slot.wait_until_quiet(epoch);
        slot.release();
        slot.wait_until_quiet(epoch);
        let other = claim(CPU).unwrap();
        assert!(!ptr::eq(other, slot) && find(mctx).is_none(), "the next slot, not the same");
        other.give_up();
    }

    #[test]
    fn every_command_is_run_or_refused() {
        let slot = claim(1_000_001).unwrap();
        slot.go_live(1);
        let (tx, rx) = mpsc::channel();
        for _ in 0..3 {
            let tx = tx.clone();
            slot.post(Box::new(move |desk| tx.send(desk.is_some()).unwrap())).unwrap();
        }
        slot.next_command().unwrap()(None);
        slot.close_mailbox();
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [false; 3]);
        assert_eq!(slot.post(Box::new(|_| ())).unwrap_err(), Errno::ACCES);
        slot.stop();
        slot.become_quiet();
        slot.release();
    }

    #[test]
    fn a_locked_mailbox_does_not_block_the_stack_thread() {
        let slot = &TABLE[SLOTS - 1];
        let held = lock(&slot.mailbox);
        assert!(slot.next_command().is_none());
        drop(held);
    }
}
