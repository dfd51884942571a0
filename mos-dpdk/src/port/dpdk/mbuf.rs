//! Buffers of frames (mbufs): received, lent, and sent as they are.
//!
//! **Invariants.** (1) [`Mbufs`] has one reference to each of its buffers, and a buffer goes back to its pool with the last
//! reference. (2) The octets of a buffer are not written to while somebody else may have a reference. (3) A buffer is in the
//! list of those that are [lent](lend) only as long as the `Mbufs` that it was received with, and on the same thread.
//!
//! So a frame is sent without a copy by giving the device a reference of its own: the octets stay as they are for those that
//! have borrowed them, whatever the device is done with first.

use dpdk_sys as sys;
use mos_flow::engine::BURST;
use std::cell::RefCell;
use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::ops::Add;
use std::ptr::{self, NonNull};
use std::slice;
use sys::{mos_dpdk_clock, mos_dpdk_view, rte_mbuf, rte_mempool};

/// How often a device is asked to take more, after it took nothing. An arbitrary figure.
const PATIENCE: u32 = 64;
/// Buffers that a thread has at hand. An arbitrary figure, below DPDK's limit.
const CACHE: u32 = 256;

/// How many buffers there are, and how many of them nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// Those that nobody has.
    pub free: u64,
    /// All of them.
    pub all: u64,
}

impl Add for Buffers {
    type Output = Buffers;

    fn add(self, other: Buffers) -> Buffers {
        Buffers { free: self.free + other.free, all: self.all + other.all }
    }
}

/// What a pool is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) count: u32,
    /// Octets of a frame that fit.
    pub(super) room: u16,
    pub(super) socket: i32,
}

/// Buffers of one size. It lives as long as the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    pool: NonNull<rte_mempool>,
    pub(super) shape: Shape,
}

// SAFETY: DPDK's pools may be used by all threads at the same time.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool with this number, which no other may have.
    pub(super) fn new(number: usize, shape: &Shape) -> io::Result<Pool> {
        let name = CString::new(format!("mos-{number}"))?;
        let Shape { count, room, socket } = *shape;
        let room = room.saturating_add(sys::RTE_PKTMBUF_HEADROOM as u16);
        let cache = CACHE.min(count / 2);
        // SAFETY: the runtime is there (its `Eal` calls this), the name is a C string, and any other numbers are refused.
        let pool = unsafe { sys::rte_pktmbuf_pool_create(name.as_ptr(), count, cache, 0, room, socket) };
        // SAFETY: it reads a variable of this thread's.
        let failed = || io::Error::from_raw_os_error(unsafe { sys::mos_dpdk_errno() });
        Ok(Pool { pool: NonNull::new(pool).ok_or_else(failed)?, shape: *shape })
    }

    pub(super) fn as_ptr(self) -> *mut rte_mempool {
        self.pool.as_ptr()
    }

    pub(super) fn buffers(self) -> Buffers {
        // SAFETY: the pool is there.
        let free = unsafe { sys::rte_mempool_avail_count(self.as_ptr()) };
        Buffers { free: free.into(), all: self.shape.count.into() }
    }

    /// A buffer with a copy of `data`; `None` when it does not fit, or no buffer is free.
    fn copy(self, data: &[u8]) -> Option<NonNull<rte_mbuf>> {
        let len = u16::try_from(data.len()).ok().filter(|len| *len <= self.shape.room)?;
        // SAFETY: the pool is there.
        let mbuf = NonNull::new(unsafe { sys::rte_pktmbuf_alloc(self.as_ptr()) })?;
        // SAFETY: the buffer was just allocated, so that this is its only reference.
        let place = unsafe { sys::rte_pktmbuf_append(mbuf.as_ptr(), len) };
        if place.is_null() {
            drop(Mbufs::of(mbuf));
            return None;
        }
        // SAFETY: there are `len` octets at the place, of a buffer that nobody else has (invariant 2), so that they are not
        // among those of `data`.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), place.cast(), data.len()) };
        Some(mbuf)
    }
}

/// A queue of a device, for receiving and for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) device: u16,
    pub(super) number: u16,
}

/// What is known of each buffer of a burst, in its order.
pub(super) type Views = heapless::Vec<mos_dpdk_view, BURST>;

/// Up to a burst of buffers.
#[derive(Debug, Default)]
pub(super) struct Mbufs(heapless::Vec<NonNull<rte_mbuf>, BURST>);

impl Mbufs {
    fn of(mbuf: NonNull<rte_mbuf>) -> Mbufs {
        Mbufs([mbuf].into_iter().collect())
    }

    /// What a queue has.
    ///
    /// # Safety
    /// The device is started, and nobody receives from the same queue at the same time.
    pub(super) unsafe fn receive(queue: Queue) -> Mbufs {
        let mut mbufs = [ptr::null_mut(); BURST];
        // SAFETY: there is room for as many as it is told, and the caller vouches for the queue.
        let count =
            unsafe { sys::rte_eth_rx_burst(queue.device, queue.number, mbufs.as_mut_ptr(), BURST as u16) };
        Mbufs(mbufs.into_iter().take(count.into()).filter_map(NonNull::new).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at all of them, and puts VLAN tags back that were taken out.
    pub(super) fn look(&mut self, clock: mos_dpdk_clock) -> Views {
        let mut views = Views::new();
        let _ = views.resize_default(self.0.len()); // as many as a burst at the most
        let mbufs = self.0.as_mut_ptr().cast::<*mut rte_mbuf>();
        // SAFETY: there are as many buffers, of this `Mbufs` (invariant 1; a `NonNull` is laid out as a pointer), and as many
        // views; the places of times are those that drivers have registered. Where a tag is put back nobody else has the
        // buffer (invariant 2): DPDK looks at that itself.
        unsafe { sys::mos_dpdk_look(mbufs, self.0.len() as u16, clock, views.as_mut_ptr()) };
        views
    }

    /// Octets of a frame that `view` is of, in `scratch` when they are in several segments. `None` when it does not fit.
    pub(super) fn octets<'a>(
        &'a self,
        at: usize,
        view: &mos_dpdk_view,
        scratch: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let len = view.len as usize;
        if !view.data.is_null() {
            // SAFETY: so many octets are there, in a buffer that is not freed as long as `self` (invariant 1), nor written
            // to (invariant 2). Views are made by `look` alone, of what is in `self` (a test compares frames octet by octet).
            return Some(unsafe { slice::from_raw_parts(view.data, len) });
        }
        let mbuf = self.0.get(at)?;
        let place = scratch.get_mut(..len)?;
        // SAFETY: the buffer is `self`'s (invariant 1), and there is room for `len` octets.
        let read = unsafe { sys::rte_pktmbuf_read(mbuf.as_ptr(), 0, view.len, place.as_mut_ptr().cast()) };
        (!read.is_null()).then_some(place)
    }

    /// Adds a frame that is to be sent: the buffer that it is lent from, or else a copy from `pool`. Returns which, `None` when
    /// it cannot be had.
    pub(super) fn add(&mut self, data: &[u8], pool: Pool) -> Option<Means> {
        let (mbuf, means) = match find_lent(data) {
            Some(mbuf) => {
                // SAFETY: the buffer is lent, so that it has a reference (invariants 1 and 3) and cannot be freed meanwhile.
                unsafe { sys::rte_mbuf_refcnt_update(mbuf.as_ptr(), 1) };
                (mbuf, Means::Reference)
            }
            None => (pool.copy(data)?, Means::Copy),
        };
        if let Err(mbuf) = self.0.push(mbuf) {
            drop(Mbufs::of(mbuf));
            return None;
        }
        Some(means)
    }

    /// Sends all that a queue takes, and frees the rest. Returns how many it took.
    ///
    /// # Safety
    /// The device is started, and nobody sends by the same queue at the same time.
    pub(super) unsafe fn send(mut self, queue: Queue) -> usize {
        let mut sent = 0;
        let mut tries = 0;
        while let Some(rest) = self.0.get_mut(sent..).filter(|rest| !rest.is_empty() && tries <= PATIENCE) {
            let mbufs = rest.as_mut_ptr().cast::<*mut rte_mbuf>();
            // SAFETY: there are as many buffers, each with a reference that is the device's if it takes it; the caller
            // vouches for the queue.
            let taken =
                unsafe { sys::rte_eth_tx_burst(queue.device, queue.number, mbufs, rest.len() as u16) };
            sent += usize::from(taken);
            if taken == 0 {
                tries += 1;
                std::hint::spin_loop();
            }
        }
        let refused = self.0.get(sent..).unwrap_or_default().iter().copied().collect();
        // Each reference is either the device's or that of those that it refused.
        self.0.clear();
        drop(Mbufs(refused));
        sent
    }
}

impl Drop for Mbufs {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let mbufs = self.0.as_mut_ptr().cast::<*mut rte_mbuf>();
        // SAFETY: there are as many buffers, each with a reference that ends here (invariant 1; a test counts all buffers of
        // all pools after everything).
        unsafe { sys::rte_pktmbuf_free_bulk(mbufs, self.0.len() as u32) };
    }
}

/// How a frame is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    Reference,
    Copy,
}

/// Buffers that are lent, and where the search begins: frames are sent in the order in which they came, mostly.
struct Lent {
    mbufs: heapless::Vec<(*const u8, usize, NonNull<rte_mbuf>), BURST>,
    next: usize,
}

thread_local! {
    static LENT: RefCell<Lent> = const { RefCell::new(Lent { mbufs: heapless::Vec::new(), next: 0 }) };
}

/// Keeps buffers in the list.
#[derive(Debug)]
pub(super) struct Lending<'a> {
    /// How many there were before.
    before: usize,
    mbufs: PhantomData<&'a Mbufs>,
}

/// Puts buffers that can be sent as they are into the list. Those that find no place, as one receives while another lends,
/// are copied.
pub(super) fn lend<'a>(mbufs: &'a Mbufs, views: &Views) -> Lending<'a> {
    let before = LENT.with_borrow_mut(|lent| {
        let before = lent.mbufs.len();
        lent.next = before;
        for (mbuf, view) in mbufs.0.iter().zip(views).filter(|(_, view)| view.plain) {
            let _ = lent.mbufs.push((view.data, view.len as usize, *mbuf));
        }
        before
    });
    Lending { before, mbufs: PhantomData }
}

impl Drop for Lending<'_> {
    fn drop(&mut self) {
        LENT.with_borrow_mut(|lent| {
            lent.mbufs.truncate(self.before);
            lent.next = 0;
        });
    }
}

/// The buffer that these octets are lent from: all of its octets, so that it does not matter who made the slice.
fn find_lent(data: &[u8]) -> Option<NonNull<rte_mbuf>> {
    LENT.with_borrow_mut(|lent| {
        let is_it = |&(start, len, _): &(_, usize, _)| ptr::eq(start, data.as_ptr()) && len == data.len();
        let (earlier, later) = lent.mbufs.split_at(lent.next.min(lent.mbufs.len()));
        let found = match later.iter().position(is_it) {
            Some(at) => earlier.len() + at,
            None => earlier.iter().position(is_it)?,
        };
        lent.next = found + 1;
        lent.mbufs.get(found).map(|(_, _, mbuf)| *mbuf)
    })
}
