use super::*;
use crate::capture::Capture;
use crate::links::Links;
use crate::port::mem::MemPort;
use crate::port::{Capabilities, Spread, Statistics, Timestamps};
use crate::rss::{self, tests::ipv4};
use mos_flow::engine::BURST;
use mos_flow::{Config, Context, Event, Frame, Handler, Hook, Side, SocketKind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

const CAPTURE: &str = "../mos-flow/tests/pcaps/short4.pcap";

fn load() -> Capture {
    let (capture, error) = Capture::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURE)).unwrap();
    assert!(error.is_none(), "{error:?}");
    capture
}

/// What a worker was told of: octets of payload, and the ports of clients whose connections ended.
#[derive(Debug, Default)]
struct Seen {
    octets: u64,
    clients: Vec<u16>,
}

fn on_data(ctx: &mut Context<'_, Seen>) {
    let side = ctx.side().unwrap();
    let (seen, mut monitor) = ctx.split().unwrap();
    monitor.read_with(side, |_, data| seen.octets += data.len() as u64).unwrap();
}

fn on_end(ctx: &mut Context<'_, Seen>) {
    if ctx.side() == Some(Side::Client) {
        let (seen, monitor) = ctx.split().unwrap();
        let client = monitor.address(Side::Client).unwrap();
        seen.clients.push(client.port());
    }
}

fn engine(on_data: Handler<Seen>) -> Engine<Seen> {
    let mut engine = Engine::new(Config::default()).unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    engine.register(socket, Event::NewData, Hook::None, on_data, 0).unwrap();
    engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0).unwrap();
    engine
}

fn worker<P: Port>(port: P) -> Worker<Seen, P> {
    Worker::new(engine(on_data), Seen::default(), Links::listen(port))
}

/// What all workers were told of, connections ended, and how many of them each had.
fn results<P: Port>(outcomes: Vec<Outcome<Seen, P>>) -> (u64, Vec<u16>, Vec<usize>) {
    let (mut octets, mut clients, mut counts) = (0, Vec::new(), Vec::new());
    for outcome in outcomes {
        let Outcome::Ended(worker, result) = outcome else { panic!("{outcome:?}") };
        result.unwrap();
        let (mut engine, mut seen) = worker.into_parts();
        engine.shutdown(&mut seen);
        octets += seen.octets;
        counts.push(seen.clients.len());
        clients.extend(seen.clients);
    }
    clients.sort_unstable();
    (octets, clients, counts)
}

fn run_all<P: Port + Send>(workers: Vec<Worker<Seen, P>>, deal: Deal) -> (Snapshot, Vec<Outcome<Seen, P>>) {
    let options = Options { deal, ..Options::default() };
    let wait = |crew: &mut Crew<'_, Seen>| {
        while crew.wait(Duration::from_secs(60)) > 0 {}
        crew.total()
    };
    run(workers, &options, wait).unwrap()
}

#[test]
fn workers_that_share_a_capture_come_to_the_results_of_one() {
    let capture = load();
    let (one, outcomes) = run_all(vec![worker(MemPort::new(&capture))], Deal::Copies);
    let expected = results(outcomes);
    assert!(expected.0 > 50_000 && expected.1.len() > 10, "{expected:?}");
    for count in [2, 3, 7] {
        let workers = (0..count).map(|_| worker(MemPort::new(&capture))).collect();
        let (all, outcomes) = run_all(workers, Deal::Copies);
        let (octets, clients, counts) = results(outcomes);
        assert_eq!((octets, &clients), (expected.0, &expected.1), "{count} workers");
        assert!(counts.iter().filter(|n| **n > 0).count() > 1, "{counts:?}");
        let counters =
            |s: &Snapshot| (s.stats.frames, s.stats.segments, s.stats.stream_octets, s.stats.events);
        assert_eq!(counters(&all), counters(&one), "{count} workers");
        assert_eq!(all.phase, Phase::default());
    }
}

#[test]
fn what_a_device_deals_out_by_another_rule_comes_to_its_owner() {
    let capture = load();
    let expected = results(run_all(vec![worker(MemPort::new(&capture))], Deal::Queues).1);
    // By the lowest bit of both ports.
    let mut parts = [Capture::default(), Capture::default()];
    for frame in capture.frames_from(0) {
        let ports = frame.data.get(34..38).map_or(0, |ports| ports[1] ^ ports[3]);
        parts[usize::from(ports & 1)].extend(&[frame]);
    }
    assert!(parts.iter().all(|part| part.len() > 100));
    let workers = parts.iter().map(|part| worker(MemPort::new(part))).collect();
    let (all, outcomes) = run_all(workers, Deal::Queues);
    let (octets, clients, counts) = results(outcomes);
    assert_eq!((octets, &clients), (expected.0, &expected.1));
    assert!(counts.iter().all(|n| *n > 0), "{counts:?}");
    let handed = all.handed;
    assert!(handed.given > 100 && handed.given == handed.taken && handed.lost == 0, "{handed:?}");
    assert_eq!(all.stats.frames, capture.len() as u64);
}

/// A port that gives what a test sends, and has times of this kind.
#[derive(Debug)]
struct Channel(Receiver<Vec<u8>>, Timestamps);

impl Port for Channel {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let packets: Vec<Vec<u8>> = self.0.try_iter().take(BURST).collect();
        if packets.iter().any(Vec::is_empty) {
            return Err(io::Error::other("the cable is cut").into());
        }
        let mut frames: Vec<Frame<'_>> = packets.iter().map(|p| Frame::ethernet(clock::now(), p)).collect();
        deliver(&mut frames);
        Ok(if frames.is_empty() { Received::Nothing } else { Received::Frames(frames.len()) })
    }

    fn transmit(&mut self, _frames: &[Frame<'_>]) -> Result<usize, PortError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { timestamps: self.1, spread: Spread::ByHash, zero_copy: false }
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// Workers on live ports, and what feeds those.
type Live = (Vec<Sender<Vec<u8>>>, Vec<Worker<Seen, Channel>>);

fn live(count: usize) -> Live {
    let ends = (0..count).map(|_| channel());
    ends.map(|(sender, receiver)| (sender, worker(Channel(receiver, Timestamps::Clock)))).unzip()
}

fn until(mut is_so: impl FnMut() -> bool) {
    let start = clock::now();
    while !is_so() {
        assert!(clock::now().since(start) < Duration::from_secs(60), "in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_has_come_before_a_stop_is_taken() {
    let (senders, workers) = live(2);
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 46]].concat();
    let options = Options::default();
    let (sent, outcomes) = run(workers, &options, |crew| {
        let sent = 100 * BURST;
        (0..sent).for_each(|n| senders[n % 2].send(arp.clone()).unwrap());
        crew.stop();
        sent
    })
    .unwrap();
    let frames = outcomes.iter().map(|outcome| match outcome {
        Outcome::Ended(worker, Ok(())) => worker.engine.stats().frames,
        other => panic!("{other:?}"),
    });
    assert_eq!(frames.sum::<u64>(), sent as u64);
}

#[test]
fn commands_are_done_between_bursts_in_their_order() {
    let (_senders, workers) = live(2);
    let note: Task<Seen> = |_, seen, word| seen.clients.push(word as u16);
    let ((), outcomes) = run(workers, &Options::default(), |crew| {
        for word in 0..10 {
            crew.call(1, note, word).unwrap();
        }
        assert_eq!(crew.call(2, note, 0), Err(Refused));
        until(|| crew.snapshot(1).unwrap().phase == Phase::Running);
        // What is in the queue when the worker stops is forgotten: let it be done first.
        let (done, is_done) = channel::<()>();
        DONE.lock().unwrap().replace(done);
        crew.call(1, |_, _, _| drop(DONE.lock().unwrap().take()), 0).unwrap();
        assert!(is_done.recv().is_err());
    })
    .unwrap();
    let clients = |outcome: &Outcome<Seen, Channel>| match outcome {
        Outcome::Ended(worker, _) => worker.app.clients.clone(),
        Outcome::Died(words) => panic!("{words}"),
    };
    assert_eq!(outcomes.iter().map(clients).collect::<Vec<_>>(), [vec![], (0..10).collect()]);
}

static DONE: Mutex<Option<Sender<()>>> = Mutex::new(None);

#[test]
fn a_worker_that_dies_or_loses_its_port_is_told_of_and_the_others_go_on() {
    let (senders, workers) = live(3);
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 46]].concat();
    let ((), outcomes) = run(workers, &Options::default(), |crew| {
        crew.call(0, |_, _, _| panic!("on purpose"), 0).unwrap();
        senders[1].send(Vec::new()).unwrap();
        until(|| crew.wait(Duration::from_secs(1)) == 1);
        assert_eq!((crew.len(), crew.running(), crew.is_empty()), (3, 1, false));
        assert_eq!(crew.snapshot(0).unwrap().phase, Phase::Failed);
        assert_eq!(crew.snapshot(1).unwrap().phase, Phase::Failed);
        senders[2].send(arp.clone()).unwrap();
        until(|| crew.snapshot(2).unwrap().stats.frames == 1);
        until(|| crew.call(0, |_, _, _| (), 0) == Err(Refused));
    })
    .unwrap();
    match &outcomes[..] {
        [Outcome::Died(words), Outcome::Ended(_, Err(e)), Outcome::Ended(worker, Ok(()))] => {
            assert_eq!((words.as_str(), e.to_string()), ("on purpose", "the cable is cut".to_owned()));
            assert_eq!(worker.engine.stats().frames, 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn frames_that_a_dead_worker_has_not_taken_are_counted_as_lost() {
    let (senders, workers) = live(2);
    let packet = |port: u16| {
        [&[2; 12][..], &[8, 0], &ipv4(17, 0, &[&port.to_be_bytes()[..], &[0, 53, 0, 8, 0, 0]].concat())]
            .concat()
    };
    let is_of_last =
        |p: &Vec<u8>| rss::queue(rss::hash_of_frame(&Frame::ethernet(Instant(0), p)).unwrap(), 2) == 1;
    let packet = (1..).map(packet).find(is_of_last).unwrap();
    let (given, is_given) = channel();
    GIVEN.lock().unwrap().replace(is_given);
    run(workers, &Options::default(), |crew| {
        let die: Task<Seen> = |_, _, _| {
            let is_given = GIVEN.lock().unwrap().take().unwrap();
            is_given.recv().unwrap();
            panic!("on purpose");
        };
        crew.call(1, die, 0).unwrap();
        until(|| GIVEN.lock().unwrap().is_none());
        (0..10).for_each(|_| senders[0].send(packet.clone()).unwrap());
        until(|| crew.snapshot(0).unwrap().handed.given == 10);
        given.send(()).unwrap();
        until(|| crew.wait(Duration::from_secs(1)) == 1);
        assert_eq!(crew.snapshot(1).unwrap().handed, Handed { lost: 10, ..Handed::default() });
    })
    .unwrap();
}

static GIVEN: Mutex<Option<Receiver<()>>> = Mutex::new(None);

#[test]
fn what_a_port_without_a_clock_gave_is_told_while_it_gives_nothing_more() {
    let (sender, receiver) = channel();
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 46]].concat();
    sender.send(arp).unwrap();
    run(vec![worker(Channel(receiver, Timestamps::File))], &Options::default(), |crew| {
        until(|| crew.snapshot(0).unwrap().stats.frames == 1);
    })
    .unwrap();
}

#[test]
fn a_panic_of_the_controlling_function_ends_the_workers() {
    let (_senders, workers) = live(2);
    let fail = |_: &mut Crew<'_, Seen>| -> () { panic!("on purpose") };
    assert!(catch_unwind(AssertUnwindSafe(|| run(workers, &Options::default(), fail).map(drop))).is_err());
}

#[test]
fn workers_run_on_their_cores() {
    let own = cores();
    let (_senders, workers) = live(1);
    let options = Options { cores: own.iter().copied().take(1).collect(), ..Options::default() };
    let ((), outcomes) = run(workers, &options, |crew| {
        let (done, is_done) = channel::<()>();
        PLACE.lock().unwrap().replace(done);
        let look: Task<Seen> = |_, seen, _| {
            seen.clients = cores().into_iter().map(|core| core as u16).collect();
            drop(PLACE.lock().unwrap().take());
        };
        crew.call(0, look, 0).unwrap();
        assert!(is_done.recv().is_err());
    })
    .unwrap();
    let [Outcome::Ended(worker, Ok(()))] = &outcomes[..] else { panic!("{outcomes:?}") };
    if cfg!(target_os = "linux") {
        assert_eq!(worker.app.clients, [own[0] as u16]);
    }
    let nowhere = Options { cores: vec![100_000], ..Options::default() };
    let ((), outcomes) = run(live(1).1, &nowhere, |crew| {
        crew.wait(Duration::from_secs(60));
    })
    .unwrap();
    if cfg!(target_os = "linux") {
        let [Outcome::Ended(_, Err(e))] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(e.to_string(), "there is no core 100000");
    }
}

static PLACE: Mutex<Option<Sender<()>>> = Mutex::new(None);
