//! One core's loop between two ports: what comes in by one goes out by the other, in both directions.

use crate::clock;
use crate::port::{Port, PortError, Received};
use crate::worker::{frame_of, send_on};
use mos_flow::{Engine, Way};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest wait for frames: how soon a stop is noticed, and frames that an adaptor holds back. An arbitrary figure.
const LONGEST_WAIT: Duration = Duration::from_millis(5);
const LEFT: u16 = 0;
const RIGHT: u16 = 1;

/// An engine in a cable: frames of one port leave by the other, as handlers left them. What handlers made follows after the
/// burst. In the engine the left port has number 0, the right one 1.
pub struct Bridge<A: 'static, L, R> {
    /// The engine.
    pub engine: Engine<A>,
    /// The application's state, given to every handler.
    pub app: A,
    left: L,
    right: R,
}

impl<A, L: fmt::Debug, R: fmt::Debug> fmt::Debug for Bridge<A, L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bridge({:?}, {:?}, {:?})", self.engine, self.left, self.right)
    }
}

impl<A, L: Port, R: Port> Bridge<A, L, R> {
    /// A bridge between two ports.
    pub fn new(engine: Engine<A>, app: A, left: L, right: R) -> Self {
        Bridge { engine, app, left, right }
    }

    /// The ports.
    pub fn ports(&self) -> (&L, &R) {
        (&self.left, &self.right)
    }

    /// The engine and the application's state.
    pub fn into_parts(self) -> (Engine<A>, A) {
        (self.engine, self.app)
    }

    /// One burst of each port. [`Received::End`] when neither has any more.
    ///
    /// # Errors
    /// [`PortError`] of either port. Frames received before it were processed.
    pub fn turn(&mut self) -> Result<Received, PortError> {
        let Bridge { engine, app, left, right } = self;
        let from_left = pass(LEFT, left, right, engine, app)?;
        self.send_made()?;
        let Bridge { engine, app, left, right } = self;
        let from_right = pass(RIGHT, right, left, engine, app)?;
        self.send_made()?;
        Ok(match (from_left, from_right) {
            (Received::Frames(l), Received::Frames(r)) => Received::Frames(l + r),
            (Received::Frames(n), _) | (_, Received::Frames(n)) => Received::Frames(n),
            (Received::End, Received::End) => Received::End,
            _ => Received::Nothing,
        })
    }

    /// Turns until neither port has any more, or `stop` is set.
    ///
    /// # Errors
    /// [`PortError`] of either port.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), PortError> {
        let end = loop {
            if stop.load(Ordering::Relaxed) {
                break Ok(());
            }
            match self.turn() {
                Ok(Received::End) => break Ok(()),
                Ok(Received::Frames(_)) => {}
                Ok(Received::Nothing) => {
                    if let Err(e) = self.idle() {
                        break Err(e);
                    }
                }
                Err(e) => break Err(e),
            }
        };
        let flushed = self.left.flush().and(self.right.flush());
        end.and(flushed)
    }

    /// Waits for frames or the next time-out. Ports between which there is something to wait for go by [`clock`].
    fn idle(&mut self) -> Result<(), PortError> {
        let now = clock::now();
        let wait = self.engine.next_timeout().map_or(LONGEST_WAIT, |next| next.since(now));
        wait_for_either(&self.left, &self.right, wait.min(LONGEST_WAIT));
        self.engine.handle_timeout(clock::now(), &mut self.app);
        self.send_made()
    }

    /// Sends what handlers made.
    fn send_made(&mut self) -> Result<(), PortError> {
        let time = self.engine.now();
        while let Some(made) = self.engine.poll_transmit() {
            let frame = [frame_of(&made, time)];
            match made.way {
                Way::Along(LEFT) | Way::Back(RIGHT) => self.right.transmit(&frame)?,
                Way::Along(_) | Way::Back(_) => self.left.transmit(&frame)?,
            };
        }
        Ok(())
    }
}

/// One burst from `rx`, which has this number, to `tx`.
fn pass<A>(
    number: u16,
    rx: &mut impl Port,
    tx: &mut impl Port,
    engine: &mut Engine<A>,
    app: &mut A,
) -> Result<Received, PortError> {
    let mut sent = Ok(());
    let received = rx.receive(&mut |frames| {
        for frame in frames.iter_mut() {
            frame.port = number;
        }
        engine.process_burst(frames, app);
        if sent.is_ok() {
            sent = send_on(engine, frames, tx);
        }
    })?;
    sent?;
    Ok(received)
}

#[cfg(unix)]
fn wait_for_either(left: &impl Port, right: &impl Port, most: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut descriptors = heapless::Vec::<PollFd<'_>, 2>::new();
    for descriptor in [left.descriptor(), right.descriptor()].into_iter().flatten() {
        let _ = descriptors.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN)); // there are two at the most
    }
    let timeout = Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
    // A wait that is interrupted is a short one.
    let _ = poll(&mut descriptors, Some(&timeout));
}

#[cfg(not(unix))]
fn wait_for_either(_left: &impl Port, _right: &impl Port, most: Duration) {
    std::thread::sleep(most);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Capture;
    use crate::port::mem::MemPort;
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
            LEFT => ctx.edit().unwrap().ipv4_mut().unwrap().ttl = 1,
            _ => ctx.drop_packet(),
        }
    }

    /// What was sent by the left port and by the right one, and what the engine saw of each.
    fn run(left: &Capture, right: &Capture, handler: Handler<Ports>, stop: bool) -> (Sent, Sent, Ports) {
        let mut engine = Engine::new(Config::default()).unwrap();
        let socket = engine.open(SocketKind::Raw).unwrap();
        engine.register(socket, Event::PacketIn, Hook::None, handler, 0).unwrap();
        let mut bridge = Bridge::new(engine, [0; 2], MemPort::new(left), MemPort::new(right));
        bridge.run(&AtomicBool::new(stop)).unwrap();
        let (left, right) = bridge.ports();
        (left.sent().to_vec(), right.sent().to_vec(), bridge.app)
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
    fn a_bridge_that_is_to_stop_does_nothing_more() {
        let [one, other] = hosts();
        assert_eq!(run(&one, &other, on_packet, true), (vec![], vec![], [0; 2]));
    }
}
