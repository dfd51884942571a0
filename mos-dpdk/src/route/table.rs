//! Longest prefix match over networks of both families.
//!
//! Networks are nested or apart, never half inside each other. So they cut the line of all addresses into spans, each
//! with one answer: a table is the sorted list of where spans begin, and a look-up is a binary search in it, however
//! many lengths of prefixes there are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that have their leading bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prefix {
    v6: bool,
    /// The first address, its highest bit first.
    start: u128,
    bits: u8,
}

impl Prefix {
    /// `None` when addresses of the family have fewer bits. What `address` has behind them does not count.
    pub(super) fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = if address.is_ipv6() { Ipv6Addr::BITS } else { Ipv4Addr::BITS };
        let start = key(address) & !tail(bits);
        (u32::from(bits) <= most).then_some(Prefix { v6: address.is_ipv6(), start, bits })
    }

    /// The one address.
    pub(super) fn host(address: IpAddr) -> Self {
        let bits = if address.is_ipv6() { 128 } else { 32 };
        Prefix { v6: address.is_ipv6(), start: key(address), bits }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        self.v6 == address.is_ipv6() && key(address) & !tail(self.bits) == self.start
    }

    /// Whether all of `other` is in it.
    pub(super) fn covers(self, other: Prefix) -> bool {
        self.v6 == other.v6 && self.bits <= other.bits && other.start & !tail(self.bits) == self.start
    }

    pub(super) fn bits(self) -> u8 {
        self.bits
    }

    /// The first and the last address, where others are between them.
    pub(super) fn ends(self) -> Option<[IpAddr; 2]> {
        let most = if self.v6 { Ipv6Addr::BITS } else { Ipv4Addr::BITS };
        let between = u32::from(self.bits) + 1 < most;
        between.then(|| [self.start, self.last()].map(|key| address(self.v6, key)))
    }

    fn last(self) -> u128 {
        self.start | tail(self.bits)
    }
}

/// The address that a number stands for.
#[allow(clippy::cast_possible_truncation)] // the upper 32 bits
fn address(v6: bool, key: u128) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(key).into()
    } else {
        Ipv4Addr::from_bits((key >> (u128::BITS - Ipv4Addr::BITS)) as u32).into()
    }
}

/// An address as a number. Those of IPv4 are in the upper 32 bits, so that prefixes look alike.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << (u128::BITS - Ipv4Addr::BITS),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// All bits behind the first ones.
fn tail(bits: u8) -> u128 {
    u128::MAX.checked_shr(bits.into()).unwrap_or(0)
}

/// What each network stands for.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    v4: Spans<T>,
    v6: Spans<T>,
}

/// Where spans begin, and beside it what they stand for; the first one begins at 0.
#[derive(Clone, Debug)]
struct Spans<T> {
    starts: Vec<u128>,
    values: Vec<Option<T>>,
}

impl<T: Copy> Table<T> {
    /// Of equal networks the last one counts.
    pub(super) fn new(mut networks: Vec<(Prefix, T)>) -> Self {
        // A network comes before those inside of it. The sort is stable.
        networks.sort_by_key(|(prefix, _)| (prefix.start, prefix.bits));
        let of = |v6| networks.iter().copied().filter(move |(prefix, _)| prefix.v6 == v6);
        Table { v4: Spans::new(of(false)), v6: Spans::new(of(true)) }
    }

    /// What the longest prefix of the address stands for.
    #[inline]
    pub(super) fn find(&self, address: IpAddr) -> Option<T> {
        let spans = if address.is_ipv6() { &self.v6 } else { &self.v4 };
        let key = key(address);
        let behind = spans.starts.partition_point(|start| *start <= key);
        spans.values.get(behind.checked_sub(1)?).copied().flatten()
    }
}

impl<T: Copy> Spans<T> {
    fn new(networks: impl Iterator<Item = (Prefix, T)>) -> Self {
        let mut spans = Spans { starts: Vec::new(), values: Vec::new() };
        spans.begin(0, None);
        // The networks around the place that is reached, the innermost last.
        let mut around: Vec<(u128, T)> = Vec::new();
        for (prefix, value) in networks {
            while let Some((last, _)) = around.pop_if(|(last, _)| *last < prefix.start) {
                spans.begin(last.saturating_add(1), around.last().map(|(_, value)| *value));
            }
            spans.begin(prefix.start, Some(value));
            around.push((prefix.last(), value));
        }
        while let Some((last, _)) = around.pop() {
            if let Some(next) = last.checked_add(1) {
                spans.begin(next, around.last().map(|(_, value)| *value));
            }
        }
        spans
    }

    fn begin(&mut self, start: u128, value: Option<T>) {
        match (self.starts.last(), self.values.last_mut()) {
            (Some(last), Some(place)) if *last == start => *place = value,
            _ => {
                self.starts.push(start);
                self.values.push(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Few addresses, so that networks are nested and equal often.
    fn address() -> impl Strategy<Value = IpAddr> {
        let v4 = prop_oneof![0_u32..8, any::<u32>(), u32::MAX - 8..=u32::MAX];
        let v6 = prop_oneof![0_u128..8, any::<u128>(), u128::MAX - 8..=u128::MAX];
        prop_oneof![
            v4.prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
            v6.prop_map(|bits| Ipv6Addr::from_bits(bits).into())
        ]
    }

    /// Whether the first `bits` of two addresses are the same, bit by bit.
    fn agree(one: IpAddr, other: IpAddr, bits: u8) -> bool {
        let bit = |octets: &[u8], n: u8| octets[usize::from(n / 8)] >> (7 - n % 8) & 1;
        match (one, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (0..bits).all(|n| bit(&a.octets(), n) == bit(&b.octets(), n)),
            (IpAddr::V6(a), IpAddr::V6(b)) => (0..bits).all(|n| bit(&a.octets(), n) == bit(&b.octets(), n)),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_found(
            networks in prop::collection::vec((address(), 0_u8..=128), 0..40),
            others in prop::collection::vec(address(), 1..20),
        ) {
            let cut = |(address, bits): &(IpAddr, u8)| (*address, if address.is_ipv4() { bits % 33 } else { *bits });
            let networks: Vec<(IpAddr, u8)> = networks.iter().map(cut).collect();
            let prefixes = networks.iter().map(|(address, bits)| Prefix::new(*address, *bits).unwrap());
            let table = Table::new(prefixes.zip(0_usize..).collect());
            for address in networks.iter().map(|network| network.0).chain(others) {
                let matching = (0..networks.len()).filter(|n| agree(networks[*n].0, address, networks[*n].1));
                let naive = matching.max_by_key(|n| (networks[*n].1, *n));
                prop_assert_eq!(table.find(address), naive, "{} in {:?}", address, networks);
            }
        }

        #[test]
        fn a_prefix_contains_what_begins_as_it(
            network in address(), bits in 0_u8..=128, other in address(), more in 0_u8..=128,
        ) {
            let most = if network.is_ipv4() { 32 } else { 128 };
            let Some(prefix) = Prefix::new(network, bits) else {
                prop_assert!(bits > most);
                return Ok(());
            };
            prop_assert!(bits <= most);
            prop_assert_eq!(prefix.contains(other), agree(network, other, bits));
            if let Some(inner) = Prefix::new(other, more) {
                prop_assert_eq!(prefix.covers(inner), more >= bits && agree(network, other, bits));
            }
        }
    }
}
