//! One core's loop: receive, process, send on.

use crate::clock;
use crate::doorbell::Doorbell;
use crate::links::Links;
use crate::port::{Port, PortError, Received};
use crate::steer::Steering;
use mos_flow::{Engine, Instant};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest wait for frames: how soon a stop is noticed, and frames that an adaptor holds back. An arbitrary figure.
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// How many are waited for at once. An arbitrary figure.
#[cfg(unix)]
const DESCRIPTORS: usize = 64;

/// An engine and the ports that it stands between, or listens to.
pub struct Worker<A: 'static, P = Box<dyn Port + Send>> {
    /// The engine.
    pub engine: Engine<A>,
    /// The application's state, given to every handler.
    pub app: A,
    /// The ports.
    pub links: Links<P>,
}

impl<A, P> fmt::Debug for Worker<A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({:?}, {:?})", self.engine, self.links)
    }
}

impl<A, P: Port> Worker<A, P> {
    /// A worker over these ports.
    pub fn new(engine: Engine<A>, app: A, links: Links<P>) -> Self {
        Worker { engine, app, links }
    }

    /// The engine and the application's state.
    pub fn into_parts(self) -> (Engine<A>, A) {
        (self.engine, self.app)
    }

    /// One burst of each port. [`Received::End`] when none has any more.
    ///
    /// # Errors
    /// [`PortError`] of a port. Frames received before it were processed.
    pub fn turn(&mut self) -> Result<Received, PortError> {
        self.links.turn(&mut self.engine, &mut self.app, &mut Steering::All)
    }

    /// Turns until no port has any more, and sends what is held back. Connections that are open then are not ended: for that,
    /// [`Engine::shutdown`] what [`Worker::into_parts`] gives.
    ///
    /// # Errors
    /// [`PortError`] of a port.
    pub fn run(&mut self) -> Result<(), PortError> {
        self.run_until(&AtomicBool::new(false))
    }

    /// The same, until `stop` is set.
    ///
    /// # Errors
    /// [`PortError`] of a port.
    pub fn run_until(&mut self, stop: &AtomicBool) -> Result<(), PortError> {
        let end = self.turn_until(stop);
        end.and(self.links.flush())
    }

    fn turn_until(&mut self, stop: &AtomicBool) -> Result<(), PortError> {
        while !stop.load(Ordering::Relaxed) {
            match self.turn()? {
                Received::End => break,
                Received::Frames(_) => {}
                Received::Nothing => self.idle(None, None, true)?,
            }
        }
        Ok(())
    }

    /// Waits for frames, the doorbell, the engine's next time-out or that which is `due`, if it `sleeps` at all.
    pub(crate) fn idle(
        &mut self,
        doorbell: Option<&Doorbell>,
        due: Option<Instant>,
        sleeps: bool,
    ) -> Result<(), PortError> {
        if !self.links.are_live() {
            return Ok(()); // they wait by themselves
        }
        let now = clock::now();
        let next = self.engine.next_timeout().into_iter().chain(due).min();
        let most = next.map_or(LONGEST_WAIT, |next| next.since(now)).min(LONGEST_WAIT);
        if sleeps && !most.is_zero() {
            self.wait(doorbell, most);
        } else {
            std::thread::yield_now();
        }
        if let Some(doorbell) = doorbell {
            doorbell.answer();
        }
        self.engine.handle_timeout(clock::now(), &mut self.app);
        self.links.send_made(&mut self.engine)
    }

    /// Sleeps until frames come, the doorbell rings or `most` has passed. Does not, if a port cannot tell that frames come.
    #[cfg(unix)]
    fn wait(&self, doorbell: Option<&Doorbell>, most: Duration) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut descriptors = heapless::Vec::<PollFd<'_>, DESCRIPTORS>::new();
        for descriptor in doorbell.and_then(Doorbell::descriptor).into_iter().chain(self.links.descriptors())
        {
            // The others are looked at when the wait is over.
            let _ = descriptors.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
        }
        if self.links.must_be_polled() {
            return std::thread::yield_now();
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
        // A wait that is interrupted is a short one.
        let _ = poll(&mut descriptors, Some(&timeout));
    }

    #[cfg(not(unix))]
    fn wait(&self, _doorbell: Option<&Doorbell>, most: Duration) {
        std::thread::sleep(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Capture;
    use crate::port::mem::MemPort;
    use crate::worker::Worker;
    use mos_flow::{Config, Context, Event, Handler, Hook, Instant, SocketKind};
    use std::path::Path;

    /// A frame: time and octets.
    type Sent = Vec<(Instant, Vec<u8>)>;

    /// Packets by the number of their port.
    type Ports = [usize; 2];

    /// What the two hosts of a capture of ours sent.
    fn hosts() -> [Capture; 2] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mos-flow/tests/pcaps/short4.pcap");
        let (capture, _) = Capture::load(&path).unwrap();
        let mut hosts = [Capture::default(), Capture::default()];
        let client = capture.frames_from(0).next().unwrap().data[6..12].to_vec();
        for frame in capture.frames_from(0) {
            hosts[usize::from(frame.data[6..12] != client)].extend(&[frame]);
        }
        hosts
    }

    fn octets(capture: &Capture) -> Sent {
        capture.frames_from(0).map(|f| (f.time, f.data.to_vec())).collect()
    }

    fn on_packet(ctx: &mut Context<'_, Ports>) {
        let number = usize::from(ctx.packet().unwrap().frame.port);
        ctx.app()[number] += 1;
    }

    /// From the left port: the last hop. From the right one: nothing.
    fn change(ctx: &mut Context<'_, Ports>) {
        match ctx.packet().unwrap().frame.port {
            0 => ctx.edit().unwrap().ipv4_mut().unwrap().ttl = 1,
            _ => ctx.drop_packet(),
        }
    }

    /// What was sent by the left port and by the right one, and what the engine saw of each.
    fn run(left: &Capture, right: &Capture, handler: Handler<Ports>, stop: bool) -> (Sent, Sent, Ports) {
        let mut engine = Engine::new(Config::default()).unwrap();
        let socket = engine.open(SocketKind::Raw).unwrap();
        engine.register(socket, Event::PacketIn, Hook::None, handler, 0).unwrap();
        let links = Links::between(MemPort::new(left), MemPort::new(right));
        let mut worker = Worker::new(engine, [0; 2], links);
        worker.run_until(&AtomicBool::new(stop)).unwrap();
        let mut sent = worker.links.ports().map(|port| port.sent().to_vec());
        (sent.next().unwrap(), sent.next().unwrap(), worker.app)
    }

    #[test]
    fn what_comes_in_by_one_port_goes_out_by_the_other() {
        let [one, other] = hosts();
        assert!(one.len() > 200 && other.len() > 200, "{} {}", one.len(), other.len());
        let (left, right, seen) = run(&one, &other, on_packet, false);
        assert!(left == octets(&other) && right == octets(&one), "every frame, unchanged and in order");
        let packets = |c: &Capture| c.frames_from(0).filter(|f| is_ip(f.data)).count();
        assert_eq!(seen, [packets(&one), packets(&other)]);
    }

    fn is_ip(frame: &[u8]) -> bool {
        frame[12..14] == [8, 0]
    }

    #[test]
    fn frames_leave_as_handlers_left_them() {
        let [one, other] = hosts();
        let (left, right, _) = run(&one, &other, change, false);
        let (mut last_hop, mut rest) = (octets(&one), octets(&other));
        for (_, frame) in last_hop.iter_mut().filter(|(_, f)| is_ip(f)) {
            // A smaller word is a larger sum of complements (RFC 1624).
            let sum = u32::from(u16::from_be_bytes([frame[24], frame[25]])) + (u32::from(frame[22] - 1) << 8);
            frame[22] = 1;
            frame[24..26].copy_from_slice(&((sum & 0xffff) as u16 + (sum >> 16) as u16).to_be_bytes());
        }
        rest.retain(|(_, frame)| !is_ip(frame));
        assert!(right == last_hop && left == rest && !rest.is_empty());
    }

    #[test]
    fn a_worker_that_is_to_stop_does_nothing_more() {
        let [one, other] = hosts();
        assert_eq!(run(&one, &other, on_packet, true), (vec![], vec![], [0; 2]));
    }
}
