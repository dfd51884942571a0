//! What an interface is, as the kernel and its driver tell.

use super::super::interface::{answer, take_everything};
use super::OpenError;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;

const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;

/// `ETHTOOL_GDRVINFO`, `ETHTOOL_GCHANNELS`
const DRIVER: u32 = 0x03;
const CHANNELS: u32 = 0x3c;

/// `struct ethtool_drvinfo`
#[derive(Clone, Copy)]
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    versions: [[u8; 32]; 2],
    bus: [u8; 32],
    rest: [u8; 64],
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

/// `struct ethtool_channels`
#[derive(Clone, Copy)]
#[repr(C)]
struct Channels {
    command: u32,
    most: [u32; 4],
    receive: u32,
    send: u32,
    other: u32,
    combined: u32,
}

/// How many queues there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queues {
    pub(super) receive: u32,
    pub(super) send: u32,
}

/// An interface, and a packet socket to ask about it. That receives nothing.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) index: u32,
    packets: OwnedFd,
}

impl Device {
    pub(super) fn find(name: &str) -> Result<Device, OpenError> {
        let packets = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(|e| OpenError::new(super::RIGHTS, e))?;
        let index = name_to_index(&packets, name)
            .map_err(|e| OpenError::new(format!("there is no interface {name}"), e))?;
        Ok(Device { name: name.to_owned(), index, packets })
    }

    pub(super) fn is_ethernet(&self) -> rustix::io::Result<bool> {
        let mut request = self.request();
        self.ask(libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: the kernel has written an address, and any octets are one.
        let kind = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
        Ok(kind == ETHERNET || kind == LOOPBACK)
    }

    /// Octets of the largest packet.
    pub(super) fn mtu(&self) -> rustix::io::Result<u32> {
        let mut request = self.request();
        self.ask(libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: the kernel has written a number, and any octets are one.
        Ok(unsafe { request.ifr_ifru.ifru_mtu }.unsigned_abs())
    }

    /// `None` when its driver does not tell.
    pub(super) fn queues(&self) -> Option<Queues> {
        let mut channels =
            Channels { command: CHANNELS, most: [0; 4], receive: 0, send: 0, other: 0, combined: 0 };
        self.ask_driver(&mut channels).ok()?;
        let sum = |own: u32| own.saturating_add(channels.combined);
        let queues = Queues { receive: sum(channels.receive), send: sum(channels.send) };
        (queues.receive > 0).then_some(queues)
    }

    /// Whether there is hardware behind it. What other interfaces receive, this machine has sent itself, or a machine in it.
    pub(super) fn is_card(&self) -> bool {
        let mut info = DriverInfo {
            command: DRIVER,
            driver: [0; 32],
            versions: [[0; 32]; 2],
            bus: [0; 32],
            rest: [0; 64],
        };
        // The place on a bus, as PCI and USB write it; drivers of software write nothing, or a word.
        self.ask_driver(&mut info).is_ok()
            && info.bus.contains(&b':')
            && !info.driver.starts_with(b"virtio_net\0")
    }

    /// Has it take frames for other hosts, too, as long as this value lives.
    pub(super) fn take_everything(&self) -> rustix::io::Result<()> {
        take_everything(self.packets.as_fd(), self.index)
    }

    fn request(&self) -> libc::ifreq {
        let mut name = [0; libc::IFNAMSIZ];
        // The last octet stays 0. A name that is longer would not have been found.
        for (place, octet) in name.iter_mut().take(libc::IFNAMSIZ - 1).zip(self.name.bytes()) {
            *place = octet as libc::c_char;
        }
        libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: ptr::null_mut() } }
    }

    /// `command` is the first field of what is asked and answered.
    fn ask_driver<T: Copy>(&self, question: &mut T) -> rustix::io::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_data = ptr::from_mut(question).cast();
        self.ask(libc::SIOCETHTOOL, &mut request)
    }

    fn ask(&self, request: libc::Ioctl, place: &mut libc::ifreq) -> rustix::io::Result<()> {
        // SAFETY: the kernel reads and writes a request of this size; if it holds a pointer, that is to the question of a command
        // of ethtool, of the size that the command has, and lives in the caller. Both are numbers and octets of any value.
        answer(unsafe { libc::ioctl(self.packets.as_raw_fd(), request, ptr::from_mut(place)) })
    }
}

/// The error for what is not an Ethernet interface.
pub(super) fn not_ethernet(name: &str) -> OpenError {
    OpenError::new(format!("{name} is no Ethernet interface"), Errno::OPNOTSUPP)
}
