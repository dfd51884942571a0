//! Several workers, each on a core of its own, and the thread that controls them.
//!
//! ```text
//!                    commands, stop                     frames that are another's
//!   controlling ──────────────────────► worker 0 ◄──────────────┐
//!     thread    ◄────────────────────── worker 1 ◄──────────────┤   handoff
//!                 statistics, outcomes     …                    ┘
//! ```
//!
//! Workers share nothing but those. Each has its engine, its application's state and its ports: a queue of each device,
//! or the whole of a capture of which it takes its share.
//!
//! A worker that panics, or whose port fails, ends with what it had; the others go on, and whoever gets frames of its connections
//! takes them over, from the middle. That is who receives them: a device that goes on to deal out to the queue of the one that is
//! gone, as those of AF_XDP and DPDK do, has nobody to give them to.

use crate::clock;
use crate::doorbell::Doorbell;
use crate::handoff::{Handed, Matrix};
use crate::port::{Port, PortError, Received};
use crate::rss::{Share, Splitter};
use crate::snapshot::{Phase, Snapshot, WORDS};
use crate::steer::Steering;
use crate::worker::Worker;
use mos_flow::{Engine, Instant};
use ringbuf_core::sync::seqlock::{Reader, SeqLock, Writer};
use ringbuf_core::sync::spsc::{Consumer, Producer, Slot, Spsc};
use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often statistics are published, at least while there are frames. An arbitrary figure.
const PUBLISH: Duration = Duration::from_millis(20);
/// Commands that may wait for a worker. An arbitrary figure.
const COMMANDS: usize = 64;
/// Bursts that are taken after a stop, at most: traffic may never end. An arbitrary figure.
const DRAIN: usize = 256;
/// How long others are waited for at the end. An arbitrary figure.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a worker does when no frames come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// It sleeps until some come: a frame costs a wake-up when there was none before. A port that cannot be waited for is looked at
    /// again and again.
    #[default]
    Wait,
    /// It looks again and again: the least delay, for a core of its own.
    Spin,
}

/// How frames come to workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deal {
    /// Each worker has queues of its own; what belongs to another one's connections is handed over.
    #[default]
    Queues,
    /// Each worker receives the same frames, and takes its share.
    Copies,
}

/// Settings of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What a worker does when no frames come.
    pub idle: Idle,
    /// How frames come to workers.
    pub deal: Deal,
    /// The core of each worker; those that have none here run anywhere.
    pub cores: Vec<usize>,
}

/// Work for a worker: called between bursts, with a word of the caller's.
pub type Task<A> = fn(&mut Engine<A>, &mut A, u64);

/// How a worker ended.
pub enum Outcome<A: 'static, P = Box<dyn Port + Send>> {
    /// As it should, or with an error of a port.
    Ended(Box<Worker<A, P>>, Result<(), PortError>),
    /// It panicked, with these words. What it had is gone.
    Died(String),
}

impl<A, P> fmt::Debug for Outcome<A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ended(worker, result) => write!(f, "Ended({worker:?}, {result:?})"),
            Outcome::Died(words) => write!(f, "Died({words:?})"),
        }
    }
}

/// The queue to a worker is full, or the worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the worker has ended, or has too much to do")
    }
}

impl std::error::Error for Refused {}

/// What all threads of a run look at.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    doorbells: Vec<Doorbell>,
    ended: Mutex<usize>,
    has_ended: Condvar,
}

impl Shared {
    fn ring(&self, rank: usize) {
        if let Some(doorbell) = self.doorbells.get(rank) {
            doorbell.ring();
        }
    }

    fn stop(&self) {
        // Release: partner of the Acquire in `Shared::is_stopping`, so that what was done before is seen by who stops.
        self.stop.store(true, Ordering::Release);
        self.doorbells.iter().for_each(Doorbell::ring);
    }

    fn is_stopping(&self) -> bool {
        // Acquire: partner of the Release in `Shared::stop`.
        self.stop.load(Ordering::Acquire)
    }

    fn note_end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.has_ended.notify_all();
        // Those that wait for this one's frames.
        self.doorbells.iter().for_each(Doorbell::ring);
    }
}

/// The workers, as the controlling thread has them.
pub struct Crew<'r, A: 'static> {
    shared: &'r Shared,
    members: Vec<Member<'r, A>>,
}

struct Member<'r, A: 'static> {
    snapshot: Reader<'r, WORDS>,
    commands: Producer<'r, (Task<A>, u64)>,
}

impl<A> fmt::Debug for Crew<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crew of {}", self.members.len())
    }
}

impl<A> Crew<'_, A> {
    /// How many workers there were at the beginning.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many have not ended.
    pub fn running(&self) -> usize {
        self.len() - *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `most` has passed or another worker has ended. Returns how many have not.
    pub fn wait(&self, most: Duration) -> usize {
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *ended;
        if before == self.len() {
            return 0;
        }
        let waited = self.shared.has_ended.wait_timeout_while(ended, most, |ended| *ended == before);
        self.len() - *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// A worker as it was when it last told; `None` for a number that no worker has.
    pub fn snapshot(&self, rank: usize) -> Option<Snapshot> {
        self.members.get(rank).map(|member| Snapshot::from_words(member.snapshot.read()))
    }

    /// All workers together.
    pub fn total(&self) -> Snapshot {
        let mut total = Snapshot::default();
        (0..self.len()).filter_map(|rank| self.snapshot(rank)).for_each(|one| total.add(&one));
        total
    }

    /// Has a worker call `task` with `word` soon. What waits when it is to stop is forgotten.
    ///
    /// # Errors
    /// [`Refused`], also for a number that no worker has.
    pub fn call(&mut self, rank: usize, task: Task<A>, word: u64) -> Result<(), Refused> {
        let member = self.members.get_mut(rank).ok_or(Refused)?;
        member.commands.push((task, word)).map_err(|_| Refused)?;
        self.shared.ring(rank);
        Ok(())
    }

    /// Tells all workers to take what has come, and to end. They also do when the controlling function returns.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

/// Runs workers, one thread each, while `control` runs on this one; when that returns, stops them and waits for their ends.
/// Gives back what `control` returned and every worker's outcome, in order. A worker whose ports come to their end is done
/// by itself.
///
/// # Errors
/// That of the operating system, when a thread cannot be had; the others have ended then.
pub fn run<A: Send, P: Port + Send, R>(
    workers: Vec<Worker<A, P>>,
    options: &Options,
    control: impl FnOnce(&mut Crew<'_, A>) -> R,
) -> io::Result<(R, Vec<Outcome<A, P>>)> {
    let count = workers.len();
    let doorbells = (0..count).map(|_| Doorbell::new()).collect();
    let shared = Shared { doorbells, ..Shared::default() };
    let shared = &shared;
    let mut matrix = Matrix::new(if options.deal == Deal::Queues { count } else { 0 });
    let mut locks: Vec<_> = (0..count).map(|_| SeqLock::new(Snapshot::default().words())).collect();
    let slots = || (0..COMMANDS).map(|_| Slot::<(Task<A>, u64)>::new()).collect::<Box<[_]>>();
    let mut queues: Vec<_> = (0..count).map(|_| Spsc::new(slots())).collect();
    let mut steerings = steerings(&mut matrix, options.deal, count).into_iter();
    thread::scope(|scope| {
        let stop = StopAtEnd(shared);
        let mut members = Vec::new();
        let mut threads = Vec::new();
        let mut failure = None;
        for (rank, ((worker, lock), queue)) in
            workers.into_iter().zip(&mut locks).zip(&mut queues).enumerate()
        {
            let (writer, snapshot) = lock.split();
            let (producer, commands) = queue.split();
            members.push(Member { snapshot, commands: producer });
            let steering = steerings.next().unwrap_or(Steering::All);
            let seat =
                Seat { rank, shared, steering, commands, writer, idle: options.idle, published: Instant(0) };
            let core = options.cores.get(rank).copied();
            let thread = thread::Builder::new().name(format!("mos-{rank}"));
            match thread.spawn_scoped(scope, move || seat.serve(worker, core)) {
                Ok(thread) => threads.push(thread),
                Err(e) => {
                    failure = Some(e);
                    break;
                }
            }
        }
        let mut crew = Crew { shared, members };
        let result = if failure.is_none() { Some(control(&mut crew)) } else { None };
        drop(stop);
        let outcomes =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|e| died(&*e))).collect();
        match (result, failure) {
            (Some(result), _) => Ok((result, outcomes)),
            (None, e) => Err(e.unwrap_or_else(|| io::Error::other("a thread cannot be had"))),
        }
    })
}

/// Stops the workers when the controlling function is over, be it by a panic: the scope of their threads waits for them.
struct StopAtEnd<'r>(&'r Shared);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn steerings(matrix: &mut Matrix, deal: Deal, count: usize) -> Vec<Steering<'_>> {
    match deal {
        _ if count < 2 => Vec::new(),
        Deal::Queues => matrix.split().into_iter().map(|end| Steering::Owner(Box::new(end))).collect(),
        Deal::Copies => {
            let of = u32::try_from(count).unwrap_or(u32::MAX);
            let shares = (0..of).filter_map(|rank| Share::new(rank, of));
            shares.map(|share| Steering::Share(Splitter::new(share))).collect()
        }
    }
}

fn died<A, P>(words: &(dyn Any + Send)) -> Outcome<A, P> {
    let text = words.downcast_ref::<&str>().copied();
    let text = text.or_else(|| words.downcast_ref::<String>().map(String::as_str));
    Outcome::Died(text.unwrap_or("no words").to_owned())
}

/// Cores that this process may run on.
pub fn cores() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
    }
    (0..thread::available_parallelism().map_or(1, Into::into)).collect()
}

/// Has this thread run on one core only.
fn pin(core: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_setaffinity};
        if core >= CpuSet::MAX_CPU {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no core {core}")));
        }
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
    Ok(())
}

/// A worker's place in a run.
struct Seat<'r, A: 'static> {
    rank: usize,
    shared: &'r Shared,
    steering: Steering<'r>,
    commands: Consumer<'r, (Task<A>, u64)>,
    writer: Writer<'r, WORDS>,
    idle: Idle,
    published: Instant,
}

impl<A: Send> Seat<'_, A> {
    /// The whole life of a worker's thread.
    fn serve<P: Port>(mut self, mut worker: Worker<A, P>, core: Option<usize>) -> Outcome<A, P> {
        // What a panic leaves half done, nobody sees again.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let result =
                core.map_or(Ok(()), pin).map_err(PortError::from).and_then(|()| self.work(&mut worker));
            let result = result.and(worker.links.flush());
            self.abandon();
            self.publish(&worker, if result.is_ok() { Phase::Ended } else { Phase::Failed });
            Outcome::Ended(Box::new(worker), result)
        }));
        let outcome = ended.unwrap_or_else(|words| {
            let last = Snapshot::from_words(self.writer.value());
            self.abandon();
            let handed = self.handed();
            self.writer.write(Snapshot { phase: Phase::Failed, handed, ..last }.words());
            died(&*words)
        });
        let shared = self.shared;
        drop(self);
        shared.note_end();
        outcome
    }

    fn work<P: Port>(&mut self, worker: &mut Worker<A, P>) -> Result<(), PortError> {
        self.publish(worker, Phase::Running);
        while !self.shared.is_stopping() {
            self.obey(worker)?;
            match self.turn(worker)? {
                Received::End => break,
                Received::Frames(_) => self.publish_if_due(worker),
                Received::Nothing => self.idle(worker)?,
            }
        }
        self.drain(worker)
    }

    /// What the controlling thread wants done.
    fn obey<P: Port>(&mut self, worker: &mut Worker<A, P>) -> Result<(), PortError> {
        let Worker { engine, app, links } = worker;
        while let Ok((task, word)) = self.commands.pop() {
            task(engine, app, word);
            links.send_made(engine)?;
        }
        Ok(())
    }

    fn turn<P: Port>(&mut self, worker: &mut Worker<A, P>) -> Result<Received, PortError> {
        let Worker { engine, app, links } = worker;
        let received = links.turn(engine, app, &mut self.steering)?;
        let shared = self.shared;
        if let Steering::Owner(handoff) = &mut self.steering {
            if handoff.next_timeout().is_some() {
                handoff.handle_timeout(clock::now());
            }
            handoff.wake_others(|rank| shared.ring(rank));
        }
        Ok(received)
    }

    /// There are no frames.
    fn idle<P: Port>(&mut self, worker: &mut Worker<A, P>) -> Result<(), PortError> {
        self.publish_if_due(worker);
        let due = if let Steering::Owner(handoff) = &self.steering { handoff.next_timeout() } else { None };
        worker.idle(self.shared.doorbells.get(self.rank), due, self.idle == Idle::Wait)
    }

    /// Takes what has come before the stop, and what others still give.
    fn drain<P: Port>(&mut self, worker: &mut Worker<A, P>) -> Result<(), PortError> {
        self.publish(worker, Phase::Draining);
        for _ in 0..DRAIN {
            if !matches!(self.turn(worker)?, Received::Frames(_)) {
                break;
            }
        }
        self.close();
        let Worker { engine, app, links } = worker;
        let mut stopped = None;
        while let Steering::Owner(handoff) = &mut self.steering {
            let taken = links.take_handed(engine, app, handoff)?;
            if stopped.is_none() && self.shared.is_stopping() {
                stopped = Some(clock::now());
            }
            if handoff.is_over() || stopped.is_some_and(|at| clock::now().since(at) > GOODBYE) {
                break;
            }
            if taken == 0 {
                thread::sleep(Duration::from_micros(100));
            }
        }
        Ok(())
    }

    /// Gives nothing to others any more.
    fn close(&mut self) {
        if let Steering::Owner(handoff) = &mut self.steering {
            handoff.close();
        }
    }

    /// Takes nothing of others any more, either.
    fn abandon(&mut self) {
        if let Steering::Owner(handoff) = &mut self.steering {
            handoff.abandon();
        }
    }

    fn handed(&self) -> Handed {
        if let Steering::Owner(handoff) = &self.steering { handoff.counted() } else { Handed::default() }
    }

    fn publish_if_due<P: Port>(&mut self, worker: &Worker<A, P>) {
        if clock::now().since(self.published) >= PUBLISH {
            self.publish(worker, Phase::Running);
        }
    }

    fn publish<P: Port>(&mut self, worker: &Worker<A, P>, phase: Phase) {
        let handed = self.handed();
        self.writer.write(Snapshot::of(phase, &worker.engine, &worker.links, handed).words());
        self.published = clock::now();
    }
}

#[cfg(test)]
mod tests;
