//! Devices as the input: frames of one leave by its partner, by the system's clock.

use super::{Devices, Failure, Kind};
use crate::app::CApp;
use crate::errno::Errno;
use crate::lock::lock;
use crate::slot::{Epoch, Slot};
use crate::sync::{Mutex, process_wide};
use mos_dpdk::port::af_packet::{AfPacket, Options};
use mos_dpdk::port::tap::Tap;
use mos_dpdk::port::{Port, PortError, Received};
use mos_dpdk::worker::{frame_of, send_on};
use mos_flow::{Engine, Way};
use std::collections::HashSet;
use std::os::fd::{AsRawFd, RawFd};

type Device = Box<dyn Port + Send>;

/// The devices of a context.
pub(crate) struct Live {
    /// Partners. `None` for what has none, and where a device has gone away. Numbers of ports go by twos.
    links: Vec<[Option<Device>; 2]>,
    /// Frames leave by the partner of their device.
    forwards: bool,
    /// `None` for the contexts that have no devices, because an earlier one has.
    holder: Option<Holder>,
}

impl Live {
    /// Opens devices.
    ///
    /// # Errors
    /// That of the operating system; `EBUSY` for one that is named twice, and while a context with devices is being destroyed.
    pub(super) fn open(
        kind: Kind,
        links: &[Devices],
        slot: &'static Slot,
        forwards: bool,
    ) -> Result<Self, Failure> {
        let Some(holder) = Holder::new(slot)? else {
            return Ok(Live { links: Vec::new(), forwards, holder: None });
        };
        let mut names = HashSet::new();
        let mut open = |name: &String, is_alone: bool| -> Result<Device, Failure> {
            if !names.insert(name.clone()) {
                return Err((Errno::BUSY, format!("{name} is named twice")));
            }
            open_device(kind, name, is_alone)
        };
        let mut opened = Vec::new();
        for (left, right) in links {
            let left = open(left, right.is_none())?;
            opened.push([Some(left), right.as_ref().map(|right| open(right, false)).transpose()?]);
        }
        Ok(Live { links: opened, forwards, holder: Some(holder) })
    }

    /// One burst of each device.
    pub(super) fn turn(&mut self, engine: &mut Engine<CApp>, app: &mut CApp) -> Result<Received, PortError> {
        let mut frames = 0;
        for (link, at) in (0..self.links.len()).flat_map(|link| [(link, 0), (link, 1)]) {
            frames += self.pass(link, at, engine, app)?;
            self.send_made(engine)?;
        }
        Ok(match frames {
            0 if self.is_over() => Received::End,
            0 => Received::Nothing,
            n => Received::Frames(n),
        })
    }

    /// Whether all devices have gone away. Who never had one has time at least.
    fn is_over(&self) -> bool {
        self.holder.is_some() && self.links.iter().flatten().all(Option::is_none)
    }

    /// One burst of one device. Returns how many frames it was.
    fn pass(
        &mut self,
        link: usize,
        at: usize,
        engine: &mut Engine<CApp>,
        app: &mut CApp,
    ) -> Result<usize, PortError> {
        let Some([left, right]) = self.links.get_mut(link) else { return Ok(0) };
        let (rx, tx) = if at == 0 { (left, right) } else { (right, left) };
        let Some(device) = rx else { return Ok(0) };
        let number = u16::try_from(2 * link + at).unwrap_or(u16::MAX);
        let mut tx = tx.as_mut().filter(|_| self.forwards);
        let mut sent = Ok(());
        let received = device.receive(&mut |frames| {
            for frame in frames.iter_mut() {
                frame.port = number;
            }
            engine.process_burst(frames, app);
            if let Some(tx) = &mut tx {
                sent = send_on(engine, frames, tx.as_mut());
            }
        })?;
        sent?;
        match received {
            Received::Frames(n) => return Ok(n),
            Received::Nothing => {}
            Received::End => *rx = None, // it was removed, and would never let a wait last
        }
        Ok(0)
    }

    /// Sends what callbacks made, or forgets it where nothing is sent.
    pub(super) fn send_made(&mut self, engine: &mut Engine<CApp>) -> Result<(), PortError> {
        let time = engine.now();
        while let Some(made) = engine.poll_transmit() {
            let number = match made.way {
                Way::Along(port) => usize::from(port ^ 1),
                Way::Back(port) => usize::from(port),
            };
            let device = self.links.get_mut(number / 2).and_then(|link| link.get_mut(number % 2));
            if let Some(Some(device)) = device.filter(|_| self.forwards) {
                device.transmit(&[frame_of(&made, time)])?;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), PortError> {
        self.links.iter_mut().flatten().flatten().try_for_each(|device| device.flush())
    }

    /// What becomes readable when frames come.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let devices = self.links.iter().flatten().flatten();
        devices.filter_map(|device| device.descriptor()).map(|descriptor| descriptor.as_raw_fd())
    }
}

/// Of an interface alone, what this machine sends by it is part of its traffic.
fn open_device(kind: Kind, name: &str, is_alone: bool) -> Result<Device, Failure> {
    Ok(match kind {
        Kind::AfPacket => {
            let options =
                if is_alone { Options { outgoing: true, ..Options::default() } } else { Options::inline() };
            let opened = AfPacket::open(name, &options);
            Box::new(opened.map_err(|e| (Errno::from(e.io()), e.to_string()))?)
        }
        Kind::Tap => Box::new(
            Tap::open(name).map_err(|e| (Errno::from(&e), format!("{name}: {}", mos_dpdk::sentence(&e))))?,
        ),
    })
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
