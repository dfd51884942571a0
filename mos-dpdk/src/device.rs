//! Live devices, opened for workers: each worker has a queue of each device, by the same numbers.

use crate::config::Io;
use crate::links::{Forwarding, Links};
#[cfg(target_os = "linux")]
use crate::port::af_packet::{AfPacket, Options};
#[cfg(all(target_os = "linux", feature = "xdp"))]
use crate::port::af_xdp::{self, AfXdp};
#[cfg(target_os = "linux")]
use crate::port::flags;
use crate::port::nothing::Nothing;
#[cfg(target_os = "linux")]
use crate::port::tap::Tap;
use crate::port::{OpenError, Port};
use std::collections::HashSet;
use std::io::{self, ErrorKind};

/// A queue of a device.
pub type Queue = Box<dyn Port + Send>;

/// Which devices, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What they are. Capture files are none.
    pub io: Io,
    /// Pairs, the ends of a cable with the workers in it, and devices alone, which are listened to.
    pub links: Vec<(String, Option<String>)>,
    /// How many share the traffic of each device.
    pub workers: u16,
    /// Frames of one device of a pair leave by the other; without it pairs are listened to as well.
    pub forwards: bool,
    /// What DPDK is started with, for its devices.
    pub eal: Vec<String>,
}

impl Plan {
    /// The devices by the numbers of their ports: those of a pair are neighbours, and one alone has none.
    pub fn names(&self) -> impl Iterator<Item = Option<&str>> {
        self.links.iter().flat_map(|(left, right)| [Some(left.as_str()), right.as_deref()])
    }
}

/// Opens devices. Gives the ports of each worker.
///
/// # Errors
/// [`OpenError`]: for a list that is empty or has a device twice, for devices that this build or this system does not
/// have, for more workers than can share one, and those of the device.
pub fn open(plan: &Plan) -> Result<Vec<Links>, OpenError> {
    check(plan)?;
    let mut queues: Vec<Vec<Queue>> = (0..plan.workers).map(|_| Vec::new()).collect();
    for (left, right) in &plan.links {
        for opened in open_link(plan, left, right.as_deref())? {
            queues.iter_mut().zip(opened).for_each(|(worker, queue)| worker.push(queue));
        }
    }
    let forwarding = if plan.forwards { Forwarding::Pairs } else { Forwarding::Nowhere };
    Ok(queues.into_iter().map(|queues| Links::new(queues, forwarding)).collect())
}

fn check(plan: &Plan) -> Result<(), OpenError> {
    let refuse = |sentence: String, kind| Err(OpenError::new(sentence, kind));
    if plan.workers == 0 {
        return refuse("there must be one worker at least".to_owned(), ErrorKind::InvalidInput);
    }
    if plan.links.is_empty() {
        return refuse("no device is named".to_owned(), ErrorKind::InvalidInput);
    }
    let mut seen = HashSet::new();
    match plan.names().flatten().find(|name| !seen.insert(*name)) {
        Some(twice) => refuse(format!("{twice} is named twice"), ErrorKind::ResourceBusy),
        None => Ok(()),
    }
}

/// Whether an interface of the kernel's is there but down: nothing comes in by it before it is up.
pub fn is_down(name: &str) -> bool {
    #[cfg(target_os = "linux")]
    {
        flags::is_up(name).is_ok_and(|is_up| !is_up)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = name;
        false
    }
}

/// What an interface of the kernel's is on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its hardware address.
    pub hardware: [u8; 6],
    /// The largest packet.
    pub mtu: u16,
}

/// Asks the kernel about an interface.
///
/// # Errors
/// Those of the operating system.
pub fn station(name: &str) -> io::Result<Station> {
    #[cfg(target_os = "linux")]
    {
        flags::station(name).map(|(hardware, mtu)| Station { hardware, mtu })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = name;
        Err(ErrorKind::Unsupported.into())
    }
}

/// A device and its partner, a queue of each for each worker.
fn open_link(plan: &Plan, left: &str, right: Option<&str>) -> Result<[Vec<Queue>; 2], OpenError> {
    #[cfg(all(target_os = "linux", feature = "xdp"))]
    if let (Io::AfXdp, Some(right)) = (plan.io, right) {
        return xdp_pair(left, right, plan.workers);
    }
    let nothing = || (0..plan.workers).map(|_| Box::new(Nothing) as Queue).collect();
    let is_alone = right.is_none();
    let left = open_queues(plan, left, is_alone)?;
    let right = right.map_or_else(|| Ok(nothing()), |right| open_queues(plan, right, is_alone))?;
    Ok([left, right])
}

/// What is not built in.
#[allow(dead_code)] // when nothing is lacking
fn lacking(what: &str, feature: &str) -> Result<Vec<Queue>, OpenError> {
    let sentence = format!("this build has no {what}: build with `--features {feature}`");
    Err(OpenError::new(sentence, ErrorKind::Unsupported))
}

/// One device, a queue for each worker.
fn open_queues(plan: &Plan, name: &str, is_alone: bool) -> Result<Vec<Queue>, OpenError> {
    match plan.io {
        #[cfg(target_os = "linux")]
        Io::AfPacket => packet_sockets(name, plan.workers, is_alone),
        #[cfg(target_os = "linux")]
        Io::Tap => tap(name, plan.workers),
        #[cfg(all(target_os = "linux", feature = "xdp"))]
        Io::AfXdp => xdp(name, plan.workers),
        #[cfg(not(all(target_os = "linux", feature = "xdp")))]
        Io::AfXdp => lacking("AF_XDP", "xdp"),
        #[cfg(all(target_os = "linux", feature = "dpdk"))]
        Io::Dpdk => dpdk(plan, name),
        #[cfg(not(all(target_os = "linux", feature = "dpdk")))]
        Io::Dpdk => lacking("DPDK", "dpdk"),
        Io::Pcap => {
            Err(OpenError::new(format!("{name}: capture files are no devices"), ErrorKind::InvalidInput))
        }
        #[cfg(not(target_os = "linux"))]
        Io::AfPacket | Io::Tap => {
            let _ = is_alone;
            Err(OpenError::new(format!("{name}: such devices are Linux's"), ErrorKind::Unsupported))
        }
    }
}

/// Of an interface alone, what this machine sends by it is part of its traffic. By the loopback that comes in again.
#[cfg(target_os = "linux")]
fn packet_sockets(name: &str, workers: u16, is_alone: bool) -> Result<Vec<Queue>, OpenError> {
    let options = match is_alone {
        true => Options { outgoing: !flags::is_loopback(name).unwrap_or(false), ..Options::default() },
        false => Options::inline(),
    };
    let opened = AfPacket::open_all(name, &options, workers)?;
    Ok(opened.into_iter().map(|port| Box::new(port) as Queue).collect())
}

#[cfg(all(target_os = "linux", feature = "xdp"))]
fn xdp(name: &str, workers: u16) -> Result<Vec<Queue>, OpenError> {
    let options = af_xdp::Options { queues: Some(workers.into()), ..af_xdp::Options::default() };
    let opened = AfXdp::open(name, &options)?;
    Ok(opened.into_iter().map(|port| Box::new(port) as Queue).collect())
}

/// Between two interfaces frames are not copied.
#[cfg(all(target_os = "linux", feature = "xdp"))]
fn xdp_pair(left: &str, right: &str, workers: u16) -> Result<[Vec<Queue>; 2], OpenError> {
    let options = af_xdp::Options { queues: Some(workers.into()), ..af_xdp::Options::default() };
    let pairs = AfXdp::open_pair(left, right, &options)?.into_iter();
    let (left, right) =
        pairs.map(|[left, right]| (Box::new(left) as Queue, Box::new(right) as Queue)).unzip();
    Ok([left, right])
}

/// DPDK is started with the first device, and ends with the last one.
#[cfg(all(target_os = "linux", feature = "dpdk"))]
fn dpdk(plan: &Plan, name: &str) -> Result<Vec<Queue>, OpenError> {
    use crate::port::dpdk::{Dpdk, Eal, Options};
    use std::sync::{Mutex, PoisonError, Weak};
    static EAL: Mutex<Weak<Eal>> = Mutex::new(Weak::new());
    let mut eal = EAL.lock().unwrap_or_else(PoisonError::into_inner);
    let started = match eal.upgrade() {
        Some(started) => started,
        None => Eal::start(&plan.eal)?,
    };
    *eal = std::sync::Arc::downgrade(&started);
    let opened = Dpdk::open(&started, name, &Options { queues: plan.workers, ..Options::default() })?;
    Ok(opened.into_iter().map(|port| Box::new(port) as Queue).collect())
}

#[cfg(target_os = "linux")]
fn tap(name: &str, workers: u16) -> Result<Vec<Queue>, OpenError> {
    if workers > 1 {
        let sentence = format!("{name}: a TAP device has one queue, for one worker; this is {workers}");
        return Err(OpenError::new(sentence, ErrorKind::InvalidInput));
    }
    let opened = Tap::open(name).map_err(|e| {
        let sentence = match e.kind() {
            ErrorKind::PermissionDenied => {
                format!("{name} takes the right CAP_NET_ADMIN, which root has")
            }
            ErrorKind::InvalidInput => format!("{name:?} is not a name of an interface"),
            _ => format!("the TAP device {name} cannot be had"),
        };
        OpenError::new(sentence, e)
    })?;
    Ok(vec![Box::new(opened)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(io: Io, links: &[(&str, Option<&str>)], workers: u16) -> String {
        let owned = |(left, right): &(&str, Option<&str>)| ((*left).to_owned(), right.map(str::to_owned));
        let links = links.iter().map(owned).collect();
        open(&Plan { io, links, workers, forwards: true, eal: Vec::new() }).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_opened_is_told_in_one_sentence() {
        let pair = [("one", Some("other"))];
        assert_eq!(refused(Io::AfPacket, &[], 1), "no device is named");
        assert_eq!(refused(Io::AfPacket, &pair, 0), "there must be one worker at least");
        for twice in [&[("a", Some("a"))][..], &[("a", Some("b")), ("c", None), ("b", None)]] {
            assert!(refused(Io::AfPacket, twice, 2).ends_with(" is named twice"), "{twice:?}");
        }
        assert_eq!(refused(Io::Pcap, &pair, 1), "one: capture files are no devices");
        #[cfg(target_os = "linux")]
        assert_eq!(refused(Io::Tap, &pair, 2), "one: a TAP device has one queue, for one worker; this is 2");
    }

    #[test]
    fn ports_have_the_numbers_of_their_devices() {
        let links = vec![("a".to_owned(), Some("b".to_owned())), ("c".to_owned(), None)];
        let plan = Plan { io: Io::Tap, links, workers: 1, forwards: false, eal: Vec::new() };
        assert_eq!(plan.names().collect::<Vec<_>>(), [Some("a"), Some("b"), Some("c"), None]);
    }
}
