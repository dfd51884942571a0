//! Whether connections rest between bursts or stay awake changes nothing that an application can see, and neither does
//! whether anybody looks at packets between their sender and their receiver.

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

/// Who listens at the receiver's hook and after it, and reads.
#[derive(Clone, Copy, Debug)]
struct Listener {
    interest: Interest,
    /// The most that is read at once: some may be left.
    pieces: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    Everything,
    /// Not what comes with each segment, but new data as it comes.
    NotEach,
    /// Octets, as they come and later, and what is wrong with them.
    Octets,
}

impl Listener {
    fn listens_to(self, event: Event, hook: Hook) -> bool {
        let each = event == Event::PacketIn || event == Event::NewData && hook == Hook::None;
        let wanted = match self.interest {
            Interest::Everything => true,
            Interest::NotEach => !each,
            Interest::Octets => matches!(event, Event::NewData | Event::Error),
        };
        event.is_allowed_at(hook) && (wanted || hook == Hook::Sender)
    }
}

fn listener() -> impl Strategy<Value = Listener> {
    let interest = prop::sample::select(vec![Interest::Everything, Interest::NotEach, Interest::Octets]);
    let pieces = prop::sample::select(vec![1, 3, usize::MAX]);
    (interest, pieces).prop_map(|(interest, pieces)| Listener { interest, pieces })
}

/// `at_sender` is what looks at the sender's hook.
fn run(
    setup: u8,
    script: &[[u8; 5]],
    at_ease: usize,
    listener: Listener,
    at_sender: Option<Handler<Log>>,
) -> (Vec<String>, crate::Stats) {
    let mut w = World::new(scarce(setup, at_ease));
    for event in Event::ALL {
        for hook in Hook::ALL.into_iter().filter(|hook| listener.listens_to(event, *hook)) {
            let handler = if hook == Hook::Sender { at_sender } else { Some(tell as Handler<Log>) };
            if let Some(handler) = handler {
                w.engine.register(w.socket, event, hook, handler, listener.pieces).unwrap();
            }
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
    fn rest_changes_nothing(
        setup: u8,
        listener in listener(),
        script in prop::collection::vec(any::<[u8; 5]>(), 1..120),
    ) {
        let at_sender = if listener.interest == Interest::Everything { Some(tell as Handler<Log>) } else { None };
        let run = |at_ease| run(setup, &script, at_ease, listener, at_sender);
        let ((awake, counted), (resting, counted_too)) = (run(64), run(0));
        let differs = awake.iter().zip(&resting).find(|(a, r)| a != r);
        prop_assert_eq!((differs, awake.len()), (None, resting.len()));
        prop_assert_eq!(counted, counted_too);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn who_looks_at_the_senders_hook_changes_nothing(
        setup: u8,
        listener in listener(),
        script in prop::collection::vec(any::<[u8; 5]>(), 1..120),
    ) {
        let run = |at_ease, at_sender| run(setup, &script, at_ease, listener, at_sender);
        let ((one_by_one, counted), (at_once, counted_too)) = (run(64, Some(|_| ())), run(0, None));
        let differs = one_by_one.iter().zip(&at_once).find(|(a, r)| a != r);
        prop_assert_eq!((differs, one_by_one.len()), (None, at_once.len()));
        prop_assert_eq!(counted, counted_too);
    }
}
