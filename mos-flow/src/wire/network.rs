//! The word that tells networks apart whose addresses may be the same: family, VLANs, tunnels.
//!
//! | bits | without a tunnel | with one |
//! |---|---|---|
//! | 0 | 1 for IPv6 | 1 for IPv6 |
//! | 1 | 0 | 1 |
//! | 2..4 | number of VLANs | keyed hash |
//! | 4..40 | VLAN ids, 12 bits each, outermost first | keyed hash |
//! | 40..57 | 1 and the PPPoE session | keyed hash |
//!
//! A PPPoE session is told by its number and the VLANs alone. The Ethernet addresses belong to it by the book (RFC 2516,
//! 4), but captures have others in each direction, where a concentrator answers by another address or somebody made them
//! anonymous; then no connection would be whole.

use super::{Family, VlanStack};
use crate::hash::{KeyedHash, address_words};

const V6: u64 = 1;
const HASHED: u64 = 2;
const COUNT: u32 = 2;
const IDS: u32 = 4;
const ID_BITS: u32 = 12;
const SESSION: u32 = 40;
/// There is a session.
const IN_SESSION: u64 = 1 << (SESSION + 16);

/// What a network is inside of. The values are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Kind {
    Erspan = 1,
    Gre,
    Gtp,
    Ip,
    /// VLANs and PPPoE session behind another tunnel's header.
    Link,
    Mpls,
    /// A session in another one.
    Pppoe,
    Teredo,
    Vxlan,
}

/// What identifies a tunnel besides its kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Identity {
    /// Number of the network, session, or key.
    pub(super) id: u64,
    /// Both ends, in either order.
    pub(super) ends: Option<([u8; 16], [u8; 16])>,
}

impl Identity {
    pub(super) fn id(id: u64) -> Self {
        Identity { id, ends: None }
    }

    pub(super) fn ends(ends: ([u8; 16], [u8; 16])) -> Self {
        Identity { id: 0, ends: Some(ends) }
    }
}

/// The word, without the family, of a network that no tunnel leads to. Id 0 is no VLAN: such a tag only tells the
/// priority (IEEE 802.1Q, 9.6), and only one direction may have it.
pub(super) fn exact(ids: &[u16], session: Option<u16>) -> u64 {
    let (mut word, mut count) = (0, 0);
    for id in ids.iter().filter(|id| **id != 0).take(VlanStack::MAX) {
        word |= u64::from(id & 0xfff) << (IDS + ID_BITS * count);
        count += 1;
    }
    word |= session.map_or(0, |id| IN_SESSION | u64::from(id) << SESSION);
    word | u64::from(count) << COUNT
}

/// The word, without the family, of the network in a tunnel through the network `outer`.
pub(super) fn inside(hash: &KeyedHash, outer: u64, kind: Kind, identity: Identity) -> u64 {
    let (one, other) = identity.ends.unwrap_or_default();
    let (low, high) = if one <= other { (one, other) } else { (other, one) }; // the same for both directions
    let ([a, b], [c, d]) = (address_words(&low), address_words(&high));
    hash.hash(&[outer, kind as u64, identity.id, a, b, c, d]) & !(V6 | HASHED) | HASHED
}

pub(super) fn with_family(word: u64, family: Family) -> u64 {
    word & !V6 | if family == Family::V6 { V6 } else { 0 }
}

/// The word without the family, when a tunnel led there.
pub(super) fn hashed(word: u64) -> Option<u64> {
    (word & HASHED != 0).then_some(word & !V6)
}

/// The PPPoE session, as far as the word tells it.
pub(super) fn session(word: u64) -> Option<u16> {
    (word & HASHED == 0 && word & IN_SESSION != 0).then_some((word >> SESSION) as u16)
}

pub(crate) fn family(word: u64) -> Family {
    if word & V6 == 0 { Family::V4 } else { Family::V6 }
}

/// The VLANs, as far as the word tells them.
pub(crate) fn vlans(word: u64) -> VlanStack {
    let mut vlans = VlanStack::default();
    let count = if word & HASHED == 0 { (word >> COUNT & 3) as u32 } else { 0 };
    for i in 0..count {
        vlans.push((word >> (IDS + ID_BITS * i)) as u16 & 0xfff);
    }
    vlans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vlans_and_session_are_told_exactly(
            ids in prop::collection::vec(1_u16..4096, 0..=3),
            id: Option<u16>,
            v6: bool,
        ) {
            let kind = if v6 { Family::V6 } else { Family::V4 };
            let word = with_family(exact(&ids, id), kind);
            prop_assert!(vlans(word).ids() == ids);
            prop_assert_eq!((session(word), family(word), hashed(word)), (id, kind, None));
        }

        #[test]
        fn a_tunnel_leaves_only_the_family(outer: u64, id: u64, one: [u8; 16], other: [u8; 16]) {
            let hash = KeyedHash::new([5; 16]);
            let of = |ends| inside(&hash, outer, Kind::Gre, Identity { id, ends: Some(ends) });
            let word = of((one, other));
            prop_assert_eq!(word, of((other, one)));
            prop_assert_eq!(hashed(with_family(word, Family::V6)), Some(word));
            prop_assert!(vlans(word).ids().is_empty() && session(word).is_none());
        }
    }

    #[test]
    fn a_tag_that_only_tells_a_priority_is_no_vlan() {
        let [none, behind, before] = [&[0][..], &[7, 0], &[0, 7]].map(|ids| exact(ids, None));
        assert_eq!([none, behind, before], [exact(&[], None), exact(&[7], None), exact(&[7], None)]);
    }
}
