//! Retransmissions that differ from what is held: what a handler is told of them, and what becomes of them.

use super::*;
use crate::{OverlapPolicy, Way, inject::InjectError, wire::LinkType};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;

/// Octets by offset.
type Octets = BTreeMap<u64, u8>;

/// Everything that a handler found in the conflict at hand.
#[derive(Debug, Default)]
struct Found {
    /// What was held, and what the packet has where it differs.
    differing: Vec<(u64, u8, u8)>,
    /// What is to be held then.
    forecast: Octets,
}

fn on_again(ctx: &mut Context<'_, Found>) {
    let mut found = Found::default();
    let mut at = Offset::ZERO;
    while let Some(clash) = ctx.clash(at) {
        assert!(clash.range.start >= at && !clash.range.is_empty());
        assert_eq!([clash.held.len() as u64, clash.came.len() as u64], [clash.range.len(); 2]);
        let (first, last) = (0, clash.held.len() - 1);
        assert!([first, last].iter().all(|i| clash.held[*i] != clash.came[*i]));
        for ((offset, held), came) in (clash.range.start.0..).zip(clash.held).zip(clash.came) {
            if held != came {
                found.differing.push((offset, *held, *came));
            }
            found.forecast.insert(offset, if clash.stays { *held } else { *came });
        }
        at = clash.range.end;
    }
    assert_eq!(ctx.conflict().is_some(), !found.differing.is_empty());
    *ctx.app() = found;
}

/// What is held of the first hundred octets.
fn held(engine: &mut Engine<Found>) -> Octets {
    let active = (0..).map_while(|n| engine.socket_at(n)).last().unwrap();
    let monitor = engine.monitor(active).unwrap();
    let mut octet = [0];
    let mut at = |o| (monitor.ppeek(Side::Server, Offset(o), &mut octet) == Ok(1)).then_some((o, octet[0]));
    (0..100).filter_map(&mut at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_handler_sees_what_differs_and_what_will_stay(
        policy in 0..OverlapPolicy::ALL.len(),
        segments in proptest::collection::vec((0..60_u32, 1..20_usize, 0..3_u8), 1..12),
    ) {
        let mut engine = Engine::<Found>::new(small()).unwrap();
        let socket = engine.open(SocketKind::Stream).unwrap();
        engine.register(socket, Event::Retransmission, Hook::Receiver, on_again, 0).unwrap();
        engine.register(socket, Event::NewData, Hook::None, |_| (), 0).unwrap();
        engine.monitor(socket).unwrap().set_overlap(Side::Server, OverlapPolicy::ALL[policy]).unwrap();
        let mut x = exchange();
        let mut found = Found::default();
        for frame in x.handshake() {
            engine.process_burst(&mut [Frame::ethernet(Instant(1), &frame)], &mut found);
        }
        for (start, len, fill) in segments {
            let payload = vec![fill; len];
            let before = held(&mut engine);
            let seq = x.seq(Side::Client).wrapping_add(start);
            let frame = x.segment_at(Side::Client, seq, x.seq(Side::Server), Flags::ACK, &payload);
            found = Found::default();
            engine.process_burst(&mut [Frame::ethernet(Instant(2), &frame)], &mut found);
            let place = u64::from(start)..u64::from(start) + len as u64;
            let differing: Vec<(u64, u8, u8)> =
                before.range(place).filter(|(_, old)| **old != fill).map(|(o, old)| (*o, *old, fill)).collect();
            prop_assert_eq!(&found.differing, &differing);
            let after = held(&mut engine);
            for (offset, octet) in &found.forecast {
                prop_assert_eq!(after.get(offset), Some(octet), "{} of {:?}", offset, found);
            }
        }
    }
}

#[test]
fn a_frame_is_sent_as_it_is_or_refused_with_a_reason() {
    let mut w = World::new(Config { max_output: 1, output_octets: 1600, ..small() });
    let frame = [7; 1600];
    let mut control = w.engine.control();
    assert_eq!(control.send_frame(Way::Back(3), LinkType::Ethernet, &frame), Ok(()));
    assert_eq!(control.send_frame(Way::Back(3), LinkType::Ethernet, &frame), Err(InjectError::NoRoom));
    assert_eq!(control.send_frame(Way::Back(3), LinkType::Ethernet, &[7; 1601]), Err(InjectError::TooLong));
    let sent = w.engine.poll_transmit().map(|t| (t.octets.to_vec(), t.link, t.way));
    assert_eq!(sent, Some((frame.to_vec(), LinkType::Ethernet, Way::Back(3))));
    assert!(w.engine.poll_transmit().is_none());
}
