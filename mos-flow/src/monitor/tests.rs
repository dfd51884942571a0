use super::*;
use crate::testing::Exchange;
use crate::{Config, Event, Frame, Hook, Instant};
use std::vec::Vec;
use tcp_reasm::Sides;

/// What a handler found: the pieces read, and offsets of two sequence numbers.
#[derive(Debug, Default)]
struct Found {
    pieces: Vec<Vec<u8>>,
    peeks: Vec<Peek>,
    offsets: Vec<Option<Offset>>,
    last: Option<Instant>,
}

fn on_data(ctx: &mut crate::Context<'_, Found>) {
    let (found, mut m) = ctx.split().unwrap();
    for most in [0, 5, 4000] {
        let pieces = &mut found.pieces;
        found.peeks.push(m.peek_with(Side::Server, most, |p| pieces.push(p.to_vec())).unwrap());
    }
    found.offsets =
        [u32::MAX - 1, u32::MAX, 0, 9].map(|n| m.offset_of(Side::Server, SeqNum(n)).unwrap()).to_vec();
    found.last = m.last_packet().ok();
}

#[test]
fn pieces_are_lent_up_to_a_limit_and_sequence_numbers_have_offsets() {
    let mut engine = Engine::<Found>::new(Config { max_flows: 2, ..Config::default() }).unwrap();
    let socket = engine.control().open(SocketKind::Stream).unwrap();
    engine.register(socket, Event::NewData, Hook::None, on_data, 0).unwrap();
    let (client, server) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let mut x = Exchange::new(client, server, Sides { client: u32::MAX - 1, server: 7 });
    let mut frames: Vec<Vec<u8>> = x.handshake().into();
    let payload: Vec<u8> = (0..3000_u32).map(|i| i as u8).collect();
    frames.extend(payload.chunks(1000).map(|c| x.data(Side::Client, c)));
    let mut found = Found::default();
    let mut burst: Vec<Frame<'_>> = (1..).zip(&frames).map(|(t, f)| Frame::ethernet(Instant(t), f)).collect();
    engine.process_burst(&mut burst, &mut found);
    assert_eq!(found.pieces.concat(), payload);
    let ranges = [(0, 0), (0, 5), (5, 3000)].map(|(a, b)| Peek::Data(Range::new(a, b)));
    assert_eq!(found.peeks, ranges);
    assert_eq!(found.offsets, [None, Some(Offset(0)), Some(Offset(1)), Some(Offset(10))]);
    assert_eq!(found.last, Some(Instant(6)));
    assert_eq!(engine.control().monitor(socket).unwrap().last_packet(), Err(SocketError::WrongKind));
}
