//! Connections that a device is to keep to itself: a rule for each direction, by which it drops packets.

use super::device::answer;
use dpdk_sys as sys;
use mos_flow::Instant;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ptr::{self, NonNull};
use std::time::Duration;
use sys::{rte_flow, rte_flow_action, rte_flow_attr, rte_flow_error, rte_flow_item};
use sys::{rte_flow_action_type as action, rte_flow_item_type as item};

/// Connections with rules; the newest takes the place of the oldest. An arbitrary figure, below what cards have.
const MOST: usize = 1024;
/// Octets of the largest header in a pattern, with what DPDK has behind it.
const LARGEST: usize = 64;

/// How long packets are dropped: the next connection between the same ends is to be seen, sooner or later. An arbitrary figure.
const LONGEST: Duration = Duration::from_secs(60);

/// A header of a pattern, as it is on the wire, from its beginning.
#[repr(align(8))]
#[derive(Clone, Copy)]
struct Header([u8; LARGEST]);

impl Header {
    /// The two fields that count, one behind the other, and the rest zeros.
    fn with(at: usize, fields: [&[u8]; 2]) -> Header {
        let mut header = Header([0; LARGEST]);
        let places = header.0.iter_mut().skip(at);
        for (place, octet) in places.zip(fields.into_iter().flatten()) {
            *place = *octet;
        }
        header
    }
}

/// What is looked for in a packet: by kind, a header and which bits of it count.
type Pattern = [(item::Type, Header, Header); 2];

/// Packets from one end to the other; `None` for addresses of two families.
fn pattern(from: SocketAddr, to: SocketAddr) -> Option<Pattern> {
    let header = |kind, at, from: &[u8], to: &[u8]| {
        let ones = [0xff; 16];
        let mask = ones.get(..from.len()).unwrap_or_default();
        (kind, Header::with(at, [from, to]), Header::with(at, [mask, mask]))
    };
    let addresses = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header(item::RTE_FLOW_ITEM_TYPE_IPV4, 12, &from.octets(), &to.octets())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header(item::RTE_FLOW_ITEM_TYPE_IPV6, 8, &from.octets(), &to.octets())
        }
        _ => return None,
    };
    let ports = [from, to].map(|end| end.port().to_be_bytes());
    Some([addresses, header(item::RTE_FLOW_ITEM_TYPE_TCP, 0, &ports[0], &ports[1])])
}

/// A rule of a device.
#[derive(Debug)]
struct Rule {
    device: u16,
    flow: NonNull<rte_flow>,
}

// SAFETY: a rule belongs to no thread; DPDK locks a device's rules, or its driver does.
unsafe impl Send for Rule {}

impl Rule {
    fn drop_packets(device: u16, pattern: &Pattern) -> Option<Rule> {
        let mut attr = rte_flow_attr::default();
        attr.set_ingress(1);
        let mut items = [rte_flow_item::default(); 4];
        let [link, network, transport, _end] = &mut items;
        link.type_ = item::RTE_FLOW_ITEM_TYPE_ETH;
        for (place, (kind, header, mask)) in [network, transport].into_iter().zip(pattern) {
            let (spec, mask) = (ptr::from_ref(header).cast(), ptr::from_ref(mask).cast());
            *place = rte_flow_item { type_: *kind, spec, mask, last: ptr::null() };
        }
        let mut actions = [rte_flow_action::default(); 2];
        let [drop, _end] = &mut actions;
        drop.type_ = action::RTE_FLOW_ACTION_TYPE_DROP;
        let mut error = rte_flow_error::default();
        let (items, actions) = (items.as_ptr(), actions.as_ptr());
        // SAFETY: both lists end with an entry of type 0, which is their end; headers are as large as the largest that DPDK has
        // there, and all that is pointed to lives until the function returns; drivers copy it. It takes any number of a device.
        answer(unsafe { sys::rte_flow_validate(device, &attr, items, actions, &mut error) }).ok()?;
        // SAFETY: as above.
        let flow = unsafe { sys::rte_flow_create(device, &attr, items, actions, &mut error) };
        Some(Rule { device, flow: NonNull::new(flow)? })
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        let mut error = rte_flow_error::default();
        // SAFETY: the rule was made on this device, which is still there as the port that has the rule keeps it, and is
        // destroyed once. Where that fails it goes with the device.
        unsafe { sys::rte_flow_destroy(self.device, self.flow.as_ptr(), &mut error) };
    }
}

/// The rules of a port.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// With the time from which they are not wanted any more, which is later for later ones.
    rules: VecDeque<(Instant, [Rule; 2])>,
}

impl Ignored {
    /// Has the device drop what is sent between two ends. Returns whether it does.
    pub(super) fn add(&mut self, device: u16, (one, other): (SocketAddr, SocketAddr), now: Instant) -> bool {
        let (Some(there), Some(back)) = (pattern(one, other), pattern(other, one)) else { return false };
        if self.rules.len() == MOST {
            self.rules.pop_front();
        }
        let Some(there) = Rule::drop_packets(device, &there) else { return false };
        let Some(back) = Rule::drop_packets(device, &back) else { return false };
        self.rules.push_back((now + LONGEST, [there, back]));
        true
    }

    /// Has the device let through what was ignored for long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.rules.front().is_some_and(|(until, _)| *until <= now) {
            self.rules.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_addresses_and_ports_where_they_are_in_headers() {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        let [(kind, header, mask), (_, ports, ports_mask)] =
            pattern(end("10.1.2.3:258"), end("10.4.5.6:772")).unwrap();
        assert_eq!(kind, item::RTE_FLOW_ITEM_TYPE_IPV4);
        assert_eq!(header.0[12..20], [10, 1, 2, 3, 10, 4, 5, 6]);
        assert_eq!(ports.0[..4], [1, 2, 3, 4]);
        let ones = |header: Header| header.0.iter().filter(|octet| **octet == 0xff).count();
        assert_eq!((ones(mask), ones(ports_mask)), (8, 4));
        assert_eq!(mask.0[12..20], [0xff; 8]);
        let [(kind, header, mask), _] = pattern(end("[fd00::1]:1"), end("[fd00::2]:2")).unwrap();
        assert_eq!(kind, item::RTE_FLOW_ITEM_TYPE_IPV6);
        assert_eq!((header.0[8], header.0[23], header.0[24], header.0[39]), (0xfd, 1, 0xfd, 2));
        assert_eq!((ones(mask), &mask.0[8..40]), (32, &[0xff; 32][..]));
        assert!(pattern(end("10.0.0.1:1"), end("[fd00::2]:2")).is_none());
    }
}
