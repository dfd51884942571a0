//! How a device deals frames out to its queues: by the hash and the map of [`rss`], if it can be told so and says the same
//! when it is asked.

use super::Hashing;
use super::device::answer;
use crate::rss;
use dpdk_sys as sys;
use sys::{rte_eth_dev_info, rte_eth_rss_conf, rte_eth_rss_reta_entry64};

/// Octets of the key of a device that does not say.
const KEY: usize = 40;
/// Entries of the map that are set at a time.
const GROUP: u16 = 64;

/// The key, as long as the device has it: it goes on as it begins.
pub(super) fn key(info: &rte_eth_dev_info) -> Vec<u8> {
    let len = if info.hash_key_size == 0 { KEY } else { info.hash_key_size.into() };
    rss::SYMMETRIC_KEY.into_iter().cycle().take(len).collect()
}

/// The functions that [`rss`] has, of those that the device has.
pub(super) fn functions(info: &rte_eth_dev_info) -> u64 {
    (sys::MOS_DPDK_RSS_IPV4 | sys::MOS_DPDK_RSS_IPV6 | sys::MOS_DPDK_RSS_PORTS) & info.flow_type_rss_offloads
}

/// Sets key and map of a device that is started, and asks it for both.
pub(super) fn set(device: u16, info: &rte_eth_dev_info, queues: u16) -> Hashing {
    let map = map(info.reta_size, queues);
    Hashing {
        key: has_key(device, info),
        map: map.is_some_and(|map| set_map(device, &map).is_some()),
        tells: info.rx_offload_capa & sys::MOS_DPDK_RX_RSS_HASH != 0,
    }
}

/// The queue of each entry of a map of this size; `None` where so many entries cannot do what [`rss::queue`] does.
fn map(entries: u16, queues: u16) -> Option<Vec<u16>> {
    let queue = |hash: u32| rss::queue(hash, queues.into());
    let size = u32::from(entries);
    // From there on both begin again.
    let mut all = 0..rss::MAP_ENTRIES * size;
    let is_exact = size > 0 && all.all(|hash| queue(hash) == queue(hash % size));
    is_exact.then(|| (0..size).map(|entry| queue(entry) as u16).collect())
}

/// Sets the map, and reads it back.
fn set_map(device: u16, map: &[u16]) -> Option<()> {
    let mut groups: Vec<rte_eth_rss_reta_entry64> = map.chunks(GROUP.into()).map(group).collect();
    let entries = u16::try_from(map.len()).ok()?;
    // SAFETY: there are as many groups as so many entries take. It takes any number of a device.
    answer(unsafe { sys::rte_eth_dev_rss_reta_update(device, groups.as_mut_ptr(), entries) }).ok()?;
    for group in &mut groups {
        group.reta.fill(u16::MAX);
    }
    // SAFETY: as above; it writes what the masks ask for.
    answer(unsafe { sys::rte_eth_dev_rss_reta_query(device, groups.as_mut_ptr(), entries) }).ok()?;
    let read = groups.iter().flat_map(|group| group.reta);
    read.take(map.len()).eq(map.iter().copied()).then_some(())
}

fn group(queues: &[u16]) -> rte_eth_rss_reta_entry64 {
    let mut group = rte_eth_rss_reta_entry64::default();
    for (entry, (place, queue)) in group.reta.iter_mut().zip(queues).enumerate() {
        group.mask |= 1 << entry;
        *place = *queue;
    }
    group
}

/// Sets key and functions once more, which some drivers take only now, and reads them back.
#[allow(clippy::needless_update)] // later versions of DPDK have more fields
fn has_key(device: u16, info: &rte_eth_dev_info) -> bool {
    let mut key = key(info);
    let (rss_key_len, rss_hf) = (key.len() as u8, functions(info));
    let mut conf =
        rte_eth_rss_conf { rss_key: key.as_mut_ptr(), rss_key_len, rss_hf, ..rte_eth_rss_conf::default() };
    // SAFETY: the key has this length, which is the device's. It takes any number of a device. What became of it is asked for.
    unsafe { sys::rte_eth_dev_rss_hash_update(device, &mut conf) };
    let mut read = vec![0; key.len()];
    let mut conf =
        rte_eth_rss_conf { rss_key: read.as_mut_ptr(), rss_key_len, ..rte_eth_rss_conf::default() };
    // SAFETY: there is room for a key of this length.
    let is_read = answer(unsafe { sys::rte_eth_dev_rss_hash_conf_get(device, &mut conf) }).is_ok();
    let has_ports = conf.rss_hf & sys::MOS_DPDK_RSS_PORTS == sys::MOS_DPDK_RSS_PORTS;
    is_read && has_ports && read == key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_on_as_it_begins() {
        let with = |hash_key_size| key(&rte_eth_dev_info { hash_key_size, ..rte_eth_dev_info::default() });
        assert_eq!(with(0), rss::SYMMETRIC_KEY);
        let (long, short) = (with(52), with(16));
        assert_eq!(
            (long.len(), &long[..40], &long[40..]),
            (52, &rss::SYMMETRIC_KEY[..], &rss::SYMMETRIC_KEY[..12])
        );
        assert_eq!(short, rss::SYMMETRIC_KEY[..16]);
    }

    #[test]
    fn a_map_does_what_is_done_here_or_there_is_none() {
        for (entries, queues) in [(128, 1), (128, 3), (512, 3), (512, 6), (64, 4), (2048, 100), (100, 2)] {
            let map = map(entries, queues).unwrap();
            for hash in (0..1 << 16).chain([u32::MAX]) {
                let queue = u32::from(map[hash as usize % map.len()]);
                assert_eq!(queue, rss::queue(hash, queues.into()), "{hash} {entries} {queues}");
            }
        }
        for (entries, queues) in [(0, 2), (64, 3), (64, 100), (192, 5)] {
            assert_eq!(map(entries, queues), None, "{entries} {queues}");
        }
    }
}
