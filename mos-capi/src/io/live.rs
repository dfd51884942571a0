//! Devices as the input: frames of one leave by its partner, by the system's clock.

use super::Failure;
use crate::app::CApp;
use crate::errno::Errno;
use crate::lock::lock;
use crate::slot::{Epoch, Slot};
use crate::sync::{Mutex, process_wide};
use mos_dpdk::Links;
use mos_dpdk::device::{self, Plan};
use mos_dpdk::links::Forwarding;
use mos_dpdk::port::{PortError, Received};
use mos_dpdk::steer::Steering;
use mos_flow::Engine;
use std::os::fd::{AsRawFd, RawFd};

/// The devices of a context.
pub(crate) struct Live {
    links: Links,
    /// `None` for the contexts that have no devices, because an earlier one has.
    holder: Option<Holder>,
}

impl Live {
    /// Opens devices.
    ///
    /// # Errors
    /// That of the operating system; `EBUSY` for one that is named twice, and while a context with devices is being destroyed.
    pub(super) fn open(plan: &Plan, slot: &'static Slot) -> Result<Self, Failure> {
        let Some(holder) = Holder::new(slot)? else {
            return Ok(Live { links: Links::new([], Forwarding::Nowhere), holder: None });
        };
        let opened = device::open(plan).map_err(|e| (Errno::from(e.io()), e.to_string()))?;
        let links = opened.into_iter().next().unwrap_or_else(|| Links::new([], Forwarding::Nowhere));
        Ok(Live { links, holder: Some(holder) })
    }

    /// One burst of each device.
    pub(super) fn turn(&mut self, engine: &mut Engine<CApp>, app: &mut CApp) -> Result<Received, PortError> {
        match self.links.turn(engine, app, &mut Steering::All)? {
            // Who never had a device has time at least.
            Received::End if self.holder.is_none() => Ok(Received::Nothing),
            received => Ok(received),
        }
    }

    /// Sends what callbacks made, or forgets it where nothing is sent.
    pub(super) fn send_made(&mut self, engine: &mut Engine<CApp>) -> Result<(), PortError> {
        self.links.send_made(engine)
    }

    pub(super) fn flush(&mut self) -> Result<(), PortError> {
        self.links.flush()
    }

    /// Whether frames may have come although nothing is readable.
    pub(crate) fn must_be_polled(&self) -> bool {
        self.links.must_be_polled()
    }

    /// What becomes readable when frames come.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.links.descriptors().map(|descriptor| descriptor.as_raw_fd())
    }
}

/// Whoever has it may open devices: a device serves one context, and the first one made gets all of them.
struct Holder;

process_wide! {
    /// Locked by threads that make contexts, and by stack threads when nothing of the program runs there any more.
    static HOLDER: Mutex<Option<(&'static Slot, Epoch)>> = Mutex::new(None);
}

impl Holder {
    /// `None` when another context has it.
    fn new(slot: &'static Slot) -> Result<Option<Holder>, Failure> {
        let mut holder = lock(&HOLDER);
        match *holder {
            None => {
                *holder = Some((slot, slot.epoch()));
                Ok(Some(Holder))
            }
            Some((other, epoch)) if other.epoch() == epoch && !other.is_stopping() => Ok(None),
            Some(_) => {
                let sentence = "the context that has the devices is being destroyed";
                Err((Errno::BUSY, sentence.to_owned()))
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        *lock(&HOLDER) = None;
    }
}
