//! A device: found, set up, started, and stopped when the last of its ports goes.
//!
//! No offload is asked for that changes frames: checksums and VLAN tags stay as they are on the wire, and nothing is put
//! together of several frames or split.

use super::eal::Eal;
use super::mbuf::{Pool, Queue, Shape};
use super::{Hashing, Options, hashing};
use crate::port::{OpenError, Statistics};
use dpdk_sys as sys;
use mos_flow::engine::BURST;
use rustix::io::Errno;
use std::ffi::{CStr, CString, c_int};
use std::fs;
use std::io;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use sys::{rte_eth_conf, rte_eth_dev_info, rte_eth_rx_mq_mode, rte_eth_stats};

/// Octets of an Ethernet header and two tags.
const HEADERS: u32 = 22;
/// Octets of the smallest buffers: some drivers have frames of this size whatever the MTU.
const LEAST_ROOM: u32 = 2048;
/// Queues that nobody asks more of. An arbitrary figure.
const MOST_QUEUES: u16 = 1024;

/// A device that is started.
#[derive(Debug)]
pub(super) struct Device {
    eal: Arc<Eal>,
    number: u16,
    name: String,
    /// One for each queue.
    pools: Vec<Pool>,
    /// The largest frame that it sends.
    largest: usize,
    /// Its frames are of a capture file, and have their times.
    is_file: bool,
    hashing: Option<Hashing>,
}

impl Device {
    pub(super) fn open(eal: &Arc<Eal>, name: &str, options: &Options) -> Result<Device, OpenError> {
        let number = find(eal, name)?;
        let info = info(number).map_err(|e| OpenError::new(format!("{name} says nothing of itself"), e))?;
        let most = info.max_rx_queues.min(info.max_tx_queues).min(MOST_QUEUES);
        if !(1..=most).contains(&options.queues) {
            let sentence = format!("{name} has {most} queues, not {}", options.queues);
            return Err(OpenError::new(sentence, Errno::INVAL));
        }
        if !eal.claim(number) {
            return Err(OpenError::new(format!("{name} is in use"), Errno::BUSY));
        }
        // From here on it is stopped when something fails.
        let mut device = Device {
            eal: eal.clone(),
            number,
            name: name_of(number).unwrap_or_default(),
            pools: Vec::new(),
            largest: (u32::from(options.mtu) + HEADERS) as usize,
            is_file: is(info.driver_name, "net_pcap"),
            hashing: None,
        };
        eal.said();
        device.set_up(&info, options)?;
        if options.queues > 1 {
            device.hashing = Some(hashing::set(number, &info, options.queues));
        }
        Ok(device)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn eal(&self) -> &Arc<Eal> {
        &self.eal
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn pool(&self, queue: u16) -> Option<Pool> {
        self.pools.get(usize::from(queue)).copied()
    }

    pub(super) fn queue(&self, number: u16) -> Queue {
        Queue { device: self.number, number }
    }

    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    pub(super) fn is_file(&self) -> bool {
        self.is_file
    }

    pub(super) fn hashing(&self) -> Option<Hashing> {
        self.hashing
    }

    pub(super) fn is_removed(&self) -> bool {
        // SAFETY: it takes any number.
        unsafe { sys::rte_eth_dev_is_removed(self.number) != 0 }
    }

    /// What the device itself has lost and not sent, of all queues.
    pub(super) fn losses(&self) -> Statistics {
        let mut stats = rte_eth_stats::default();
        // SAFETY: it takes any number, and writes to a local.
        unsafe { sys::rte_eth_stats_get(self.number, &mut stats) };
        Statistics {
            dropped: stats.imissed + stats.rx_nombuf + stats.ierrors,
            refused: stats.oerrors,
            ..Statistics::default()
        }
    }

    fn set_up(&mut self, info: &rte_eth_dev_info, options: &Options) -> Result<(), OpenError> {
        self.configure(info, options)?;
        self.set_up_queues(info, options)?;
        // SAFETY: all its queues are set up.
        let started = unsafe { sys::rte_eth_dev_start(self.number) };
        self.answer(started, "does not start")?;
        // Virtual devices may have no such mode, and give all frames anyway.
        if options.promiscuous {
            // SAFETY: it takes any number.
            unsafe { sys::rte_eth_promiscuous_enable(self.number) };
        } else {
            // SAFETY: it takes any number.
            unsafe { sys::rte_eth_promiscuous_disable(self.number) };
        }
        // SAFETY: it takes any number. What has no counters has none that are to be set to 0.
        unsafe { sys::rte_eth_stats_reset(self.number) };
        Ok(())
    }

    fn set_up_queues(&mut self, info: &rte_eth_dev_info, options: &Options) -> Result<(), OpenError> {
        let (mut rx, mut tx) = (options.descriptors, options.descriptors);
        // SAFETY: it takes any number, and reads and writes locals.
        let adjusted = unsafe { sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.number, &mut rx, &mut tx) };
        self.answer(adjusted, "refuses its queues")?;
        // SAFETY: it takes any number.
        let socket = unsafe { sys::rte_eth_dev_socket_id(self.number) };
        let room = (u32::from(options.mtu) + HEADERS).max(LEAST_ROOM).max(info.min_rx_bufsize);
        let room = u16::try_from(room).unwrap_or(u16::MAX).min(u16::MAX - sys::RTE_PKTMBUF_HEADROOM as u16);
        // All rings full, and a burst in each hand.
        let least = u32::from(rx) + u32::from(tx) + 2 * BURST as u32;
        let shape = Shape { count: options.buffers.max(least), room, socket };
        for number in 0..options.queues {
            let pool = self.eal.pool(self.queue(number), &shape)?;
            self.pools.push(pool);
            let (device, socket) = (self.number, socket as u32);
            // SAFETY: the device is configured with so many queues and not started; the pool lives as long as the runtime.
            // Without a configuration the queue has the driver's.
            let made = unsafe {
                sys::rte_eth_rx_queue_setup(device, number, rx, socket, ptr::null(), pool.as_ptr())
            };
            self.answer(made, "refuses a queue to receive from")?;
            // SAFETY: as above.
            let made = unsafe { sys::rte_eth_tx_queue_setup(device, number, tx, socket, ptr::null()) };
            self.answer(made, "refuses a queue to send by")?;
        }
        Ok(())
    }

    fn configure(&self, info: &rte_eth_dev_info, options: &Options) -> Result<(), OpenError> {
        let mut conf = rte_eth_conf::default();
        conf.rxmode.mtu = options.mtu.into();
        // What is in several parts, as the device has it, is no other frame for that.
        conf.rxmode.offloads = (sys::MOS_DPDK_RX_SCATTER | sys::MOS_DPDK_RX_RSS_HASH) & info.rx_offload_capa;
        let mut key = hashing::key(info);
        let functions = hashing::functions(info);
        if options.queues > 1 && functions != 0 {
            conf.rxmode.mq_mode = rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = functions;
            conf.rx_adv_conf.rss_conf.rss_key = key.as_mut_ptr();
            conf.rx_adv_conf.rss_conf.rss_key_len = key.len() as u8;
        } else {
            conf.rxmode.offloads &= !sys::MOS_DPDK_RX_RSS_HASH;
        }
        let queues = options.queues;
        // SAFETY: the device is not started; what is pointed to lives in this function, and drivers copy it.
        let mut answer = unsafe { sys::rte_eth_dev_configure(self.number, queues, queues, &conf) };
        if answer != 0 && functions != 0 {
            // With another key it spreads as well, if not by the hash that is known here.
            conf.rx_adv_conf.rss_conf.rss_key = ptr::null_mut();
            conf.rx_adv_conf.rss_conf.rss_key_len = 0;
            // SAFETY: as above.
            answer = unsafe { sys::rte_eth_dev_configure(self.number, queues, queues, &conf) };
        }
        self.answer(answer, &format!("cannot have {queues} queues and an MTU of {}", options.mtu))
    }

    /// What the device has answered.
    fn answer(&self, code: c_int, problem: &str) -> Result<(), OpenError> {
        let sentence = || format!("{} {problem}{}", self.name, self.eal.said());
        answer(code).map_err(|e| OpenError::new(sentence(), e))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: all its ports are gone, so that nobody receives or sends. It may not be started.
        unsafe { sys::rte_eth_dev_stop(self.number) };
        self.eal.unclaim(self.number);
    }
}

/// Closes all devices, which are stopped; with that they give all buffers back.
pub(super) fn close_all() {
    for number in numbers() {
        // SAFETY: nobody uses any device when the runtime ends, and no number is used again.
        unsafe { sys::rte_eth_dev_close(number) };
    }
}

/// Numbers of all devices.
pub(super) fn numbers() -> impl Iterator<Item = u16> {
    // SAFETY: it takes any number.
    let is_there = |number: &u16| unsafe { sys::rte_eth_dev_is_valid_port(*number) != 0 };
    (0..sys::RTE_MAX_ETHPORTS as u16).filter(is_there)
}

/// What DPDK's functions mean that return a negative error number.
pub(super) fn answer(code: c_int) -> io::Result<()> {
    if code < 0 { Err(io::Error::from_raw_os_error(code.saturating_neg())) } else { Ok(()) }
}

/// What is known of a device.
fn info(number: u16) -> io::Result<rte_eth_dev_info> {
    let mut info = rte_eth_dev_info::default();
    // SAFETY: it takes any number, and writes to a local.
    answer(unsafe { sys::rte_eth_dev_info_get(number, &mut info) })?;
    Ok(info)
}

fn is(text: *const std::ffi::c_char, name: &str) -> bool {
    // SAFETY: drivers' names are C strings that nobody changes.
    !text.is_null() && unsafe { CStr::from_ptr(text) }.to_bytes() == name.as_bytes()
}

/// The name of a device, if there is one of this number.
pub(super) fn name_of(number: u16) -> Option<String> {
    let mut name = [0; sys::RTE_ETH_NAME_MAX_LEN as usize];
    // SAFETY: it takes any number; a name has room in a place of this size, with the NUL that ends it.
    answer(unsafe { sys::rte_eth_dev_get_name_by_port(number, name.as_mut_ptr()) }).ok()?;
    let octets: Vec<u8> = name.iter().take_while(|octet| **octet != 0).map(|octet| *octet as u8).collect();
    Some(String::from_utf8_lossy(&octets).into_owned())
}

/// The number of the device that has this name, or this number.
fn find(eal: &Eal, name: &str) -> Result<u16, OpenError> {
    let by_number = name.parse().ok().filter(|number| name_of(*number).is_some());
    let mut number = 0;
    let found = CString::new(name).ok().and_then(|name| {
        // SAFETY: it is given a C string, and writes to a local.
        answer(unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut number) }).ok()
    });
    found.map(|()| number).or(by_number).ok_or_else(|| absent(eal, name))
}

/// Why there is no such device.
fn absent(eal: &Eal, name: &str) -> OpenError {
    let complaints = eal.complaints();
    if let Some(sentence) = held_by_kernel(name, Path::new("/sys/bus/pci/devices")) {
        return OpenError::new(format!("{sentence}{complaints}"), Errno::NODEV);
    }
    let devices = eal.devices();
    let others = if devices.is_empty() { "none at all".to_owned() } else { devices.join(", ") };
    let sentence = format!("DPDK has no device {name}, it has {others}{complaints}");
    OpenError::new(sentence, Errno::NODEV)
}

/// What is to be done for a network card, if it is one, to be DPDK's.
fn held_by_kernel(name: &str, devices: &Path) -> Option<String> {
    let has_form = name.contains(':') && name.contains('.') && !name.contains('/');
    let device = devices.join(name);
    if !has_form || !device.exists() {
        return None;
    }
    let driver = fs::read_link(device.join("driver")).ok();
    let driver =
        driver.as_deref().and_then(Path::file_name).map(|driver| driver.to_string_lossy().into_owned());
    let bind = format!("dpdk-devbind.py --bind=vfio-pci {name}");
    match driver.as_deref() {
        Some("vfio-pci" | "uio_pci_generic" | "igb_uio" | "mlx4_core" | "mlx5_core") => {
            Some(format!("DPDK has no driver for {name}, or was told not to look for it"))
        }
        Some(driver) => {
            Some(format!("{name} is the kernel's, by its driver {driver}: `{bind}` gives it to DPDK"))
        }
        None => Some(format!("{name} has no driver: `{bind}` gives it to DPDK")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_card_of_the_kernel_is_told_from_one_that_is_not_there() {
        let devices = tempfile::tempdir().unwrap();
        let card = |name: &str, driver: Option<&str>| {
            let folder = devices.path().join(name);
            fs::create_dir(&folder).unwrap();
            if let Some(driver) = driver {
                symlink(format!("../../drivers/{driver}"), folder.join("driver")).unwrap();
            }
            held_by_kernel(name, devices.path())
        };
        let bind = |name| format!("`dpdk-devbind.py --bind=vfio-pci {name}` gives it to DPDK");
        let kernels = card("0000:01:00.0", Some("e1000e")).unwrap();
        assert_eq!(
            kernels,
            format!("0000:01:00.0 is the kernel's, by its driver e1000e: {}", bind("0000:01:00.0"))
        );
        let nobodys = card("0000:01:00.1", None).unwrap();
        assert_eq!(nobodys, format!("0000:01:00.1 has no driver: {}", bind("0000:01:00.1")));
        assert!(card("0000:01:00.2", Some("vfio-pci")).unwrap().starts_with("DPDK has no driver"));
        for name in ["net_ring0", "0000:01:00.3", "../devices/0000:01:00.0", ""] {
            assert_eq!(held_by_kernel(name, devices.path()), None, "{name}");
        }
    }
}
