//! Whether connections rest between bursts or stay awake changes nothing that an application can see.

use super::*;
use crate::{EmbryonicThenIdle, Retention};
use proptest::prelude::*;

const EAGER: EmbryonicThenIdle = EmbryonicThenIdle { idle: Duration::from_secs(1) };

/// Writes down all there is to see, by connection, and reads: so many pieces at most as its token says.
fn tell(ctx: &mut Context<'_, Log>) {
    let most = ctx.token();
    let (event, hook, side, now) = (ctx.event(), ctx.hook(), ctx.side(), ctx.now());
    let (trouble, conflict) = (ctx.trouble(), ctx.conflict());
    let Ok(mut m) = ctx.monitor() else { return };
    let seen = Side::BOTH.map(|s| (m.state(s), m.stream_info(s), m.cursor(s)));
    let what = (m.end_reason(), m.last_packet(), m.vlans().map(|v| v.ids().len()), seen);
    let number = m.flow_number().unwrap_or(99_999);
    let mut buf = [0; 64];
    let read = side.filter(|_| event == Some(Event::NewData)).map(|side| {
        let pieces = core::iter::from_fn(|| m.peek(side, &mut buf).ok().filter(|p| *p != Peek::Empty));
        pieces.take(most).collect::<Vec<_>>()
    });
    let line =
        format!("{number:05} {now} {event:?} {hook:?} {side:?} {trouble:?} {conflict:?} {what:?} {read:?}");
    ctx.app().lines.push(line);
}

/// The next frames of one of a few connections.
pub(super) fn frames([what, which, a, b]: [u8; 4], all: &mut [Exchange]) -> Vec<Vec<u8>> {
    let n = usize::from(which & 127) % all.len();
    let x = &mut all[n];
    let side = if which & 128 == 0 { Side::Client } else { Side::Server };
    let payload = vec![7; usize::from(a) * 3];
    match what % 16 {
        0..=3 => x.handshake().into(),
        4 => vec![x.segment(Side::Client, Flags::SYN, &payload)],
        5 => vec![x.segment(Side::Server, Flags::SYN | Flags::ACK, &payload)],
        6 => vec![x.ack(side)],
        7..=9 => vec![x.data(side, &payload)],
        10 => {
            let seq = x.seq(side).wrapping_add(u32::from(b) * 8).wrapping_sub(1000);
            vec![x.segment_at(side, seq, x.seq(!side), Flags::ACK, &payload)]
        }
        11 => {
            let _lost = x.data(side, &payload);
            vec![x.ack(!side), x.data(side, &payload)]
        }
        12 => vec![x.segment(side, Flags::FIN | Flags::ACK, &payload)],
        13 => vec![x.segment_at(side, x.seq(side), x.seq(!side), Flags(u16::from(b & 63)), &payload)],
        14 => {
            *x = other(n as u16 + 1);
            vec![x.segment(Side::Client, Flags::SYN, &[])]
        }
        _ => x.close(side).into(),
    }
}

/// Little of everything that a setup can be short of.
pub(super) fn scarce(setup: u8, at_ease: usize) -> Config {
    let millis = |bit: u8, millis| Duration::from_millis(if setup & bit == 0 { 0 } else { millis });
    Config {
        at_ease,
        hash_seed: [3; 16],
        max_flows: if setup & 1 == 0 { 64 } else { 10 },
        max_embryonic: (setup & 2 != 0).then_some(4),
        eviction: &EAGER,
        max_buffers: if setup & 4 == 0 { 128 } else { 8 },
        chunks: if setup & 4 == 0 { 400 } else { 12 },
        ring_octets: 1000,
        retention: if setup & 8 == 0 { Retention::Ring } else { Retention::Unread },
        timeouts: Timeouts {
            patience: Patience { octets: 500, time: Duration::from_millis(200) },
            handshake: Duration::from_secs(1),
            idle: Duration::from_secs(3),
            time_wait: millis(16, 700),
        },
        linger: millis(32, 900),
        midstream: setup & 64 != 0,
        strictness: if setup & 128 == 0 {
            tcp_reasm::Strictness::Linux
        } else {
            tcp_reasm::Strictness::Lossy
        },
        ..small()
    }
}

/// Who listens to everything and reads all, or only to what does not come with each segment, and to new data as it comes, of which
/// some may be left.
#[derive(Clone, Copy, Debug)]
enum Listener {
    Everything,
    Reader { pieces: usize },
}

impl Listener {
    fn listens_to(self, event: Event, hook: Hook) -> bool {
        let often = event == Event::PacketIn || event == Event::NewData && hook == Hook::None;
        event.is_allowed_at(hook) && (matches!(self, Listener::Everything) || !often)
    }

    fn pieces(self) -> usize {
        if let Listener::Reader { pieces } = self { pieces } else { usize::MAX }
    }
}

fn listener() -> impl Strategy<Value = Listener> {
    let pieces = prop::sample::select(vec![1, 3, usize::MAX]);
    prop_oneof![Just(Listener::Everything), pieces.prop_map(|pieces| Listener::Reader { pieces })]
}

fn run(setup: u8, listener: Listener, script: &[[u8; 5]], at_ease: usize) -> (Vec<String>, crate::Stats) {
    let mut w = World::new(scarce(setup, at_ease));
    for event in Event::ALL {
        for hook in Hook::ALL.into_iter().filter(|hook| listener.listens_to(event, *hook)) {
            w.engine.register(w.socket, event, hook, tell, listener.pieces()).unwrap();
        }
    }
    let mut all: Vec<_> = (1..=12).map(other).collect();
    for step in script.chunks(4) {
        let burst: Vec<_> = step.iter().flat_map(|[_, op @ ..]| frames(*op, &mut all)).collect();
        w.send(&burst);
        let wait: u64 = step.iter().map(|[wait, ..]| u64::from(*wait)).sum();
        w.wait(Duration::from_micros(wait * wait));
    }
    w.engine.shutdown(&mut w.log);
    // Connections of a burst may be told in another order, each by itself not.
    w.log.lines.sort_by_key(|line| line[..5].to_owned());
    (w.take(), *w.engine.stats())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn rest_changes_nothing(setup: u8, listener in listener(), script in prop::collection::vec(any::<[u8; 5]>(), 1..120)) {
        let ((awake, counted), (resting, counted_too)) = (run(setup, listener, &script, 64), run(setup, listener, &script, 0));
        let differs = awake.iter().zip(&resting).find(|(a, r)| a != r);
        prop_assert_eq!((differs, awake.len()), (None, resting.len()));
        prop_assert_eq!(counted, counted_too);
    }
}
