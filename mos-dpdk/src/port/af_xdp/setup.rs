//! How ports come to be: the program on an interface, and a socket with its memory for each of its queues.

use super::device::{self, Device, Queues};
use super::program::Program;
use super::socket::{Binding, Socket};
use super::umem::Umem;
use super::{AfXdp, Mode, OpenError, Options, PartialChecksums, Parts};
use mos_flow::engine::BURST;
use rustix::io::Errno;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Octets that the kernel keeps for itself in front of each received frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;
/// Octets around the largest packet: an Ethernet header and two tags.
const AROUND: u32 = 14 + 8;
/// Queues of an interface whose driver does not tell.
const ASSUMED: Queues = Queues { receive: 1, send: 1 };

/// An interface whose frames go to sockets, as long as this value lives.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) device: Device,
    pub(super) mode: Mode,
    pub(super) queues: Queues,
    pub(super) completes_checksums: bool,
    program: Program,
    _link: OwnedFd,
}

/// How long a queue may be in use by a socket that was closed. An arbitrary figure.
const PATIENCE: Duration = Duration::from_millis(300);

/// What ports of one or two interfaces need to know to come to be.
#[derive(Clone, Copy, Debug)]
struct Plan<'a> {
    options: &'a Options,
    zero_copy: bool,
    is_paired: bool,
}

pub(super) fn open(name: &str, options: &Options) -> Result<Vec<AfXdp>, OpenError> {
    check(options)?;
    let attachment = Arc::new(Attachment::new(name, options)?);
    let plan = Plan { options, zero_copy: options.zero_copy, is_paired: false };
    (0..attachment.queues.receive)
        .map(|queue| plan.open(&attachment, queue, &memory(options, 1)?, None))
        .collect()
}

pub(super) fn open_pair(left: &str, right: &str, options: &Options) -> Result<Vec<[AfXdp; 2]>, OpenError> {
    check(options)?;
    let ends = [Arc::new(Attachment::new(left, options)?), Arc::new(Attachment::new(right, options)?)];
    let [own, other] = [&ends[0], &ends[1]].map(|end| end.queues.receive);
    if own != other {
        let sentence = format!(
            "{left} has {own} receive queues and {right} has {other}: 'ethtool -L' gives them the same number"
        );
        return Err(OpenError::new(sentence, ErrorKind::InvalidInput));
    }
    let pairs = |zero_copy| {
        let plan = Plan { options, zero_copy, is_paired: true };
        (0..own).map(|queue| plan.open_pair(&ends, queue)).collect()
    };
    // The second socket of a memory cannot have another mode than the first one.
    match pairs(options.zero_copy) {
        Err(_) if options.zero_copy => pairs(false),
        opened => opened,
    }
}

fn check(options: &Options) -> Result<(), OpenError> {
    let refuse = |sentence: &str| Err(OpenError::new(sentence, ErrorKind::InvalidInput));
    if !matches!(options.frame_size, 2048 | 4096) {
        return refuse("a frame has 2048 or 4096 octets of memory");
    }
    if !(4 * BURST as u32..=1 << 24).contains(&options.frames) {
        return refuse("a port takes memory for 128 to 16777216 frames");
    }
    if options.queues == Some(0) {
        return refuse("of no queue nothing can be received");
    }
    Ok(())
}

/// Memory for so many ports.
fn memory(options: &Options, ports: u32) -> Result<Arc<Umem>, OpenError> {
    let frames = options.frames * ports;
    Umem::new(frames, options.frame_size, options.huge_pages).map(Arc::new).map_err(|e| {
        let kind = if options.huge_pages {
            "huge pages: more of them by /proc/sys/vm/nr_hugepages"
        } else {
            "memory"
        };
        OpenError::new(format!("{frames} frames get no {kind}"), e)
    })
}

impl Plan<'_> {
    fn open(
        &self,
        attachment: &Arc<Attachment>,
        queue: u32,
        umem: &Arc<Umem>,
        shared: Option<&Socket>,
    ) -> Result<AfXdp, OpenError> {
        let size = (self.options.frames / 2).next_power_of_two();
        let (socket, rings) = Socket::new(umem, size, shared.is_some())?;
        let device = &attachment.device;
        let zero_copy = self.zero_copy && attachment.mode == Mode::Native;
        bind(&socket, Binding { interface: device.index, queue, zero_copy, shared })
            .map_err(|e| bind_refused(device, queue, e))?;
        let mut port = AfXdp::new(Parts {
            attachment: Arc::clone(attachment),
            queue,
            socket,
            rings,
            umem: Arc::clone(umem),
            quota: self.options.frames / 2,
            is_paired: self.is_paired,
        });
        port.refill(heapless::Vec::new());
        attachment.program.set_socket(queue, port.socket.as_frames()).map_err(|e| {
            OpenError::new(format!("frames of queue {queue} of {} cannot be had", device.name), e)
        })?;
        Ok(port)
    }

    fn open_pair(&self, ends: &[Arc<Attachment>; 2], queue: u32) -> Result<[AfXdp; 2], OpenError> {
        let umem = memory(self.options, 2)?;
        let left = self.open(&ends[0], queue, &umem, None)?;
        let right = self.open(&ends[1], queue, &umem, Some(&left.socket))?;
        Ok([left, right])
    }
}

impl Attachment {
    /// Attaches the program to an interface.
    fn new(name: &str, options: &Options) -> Result<Attachment, OpenError> {
        let device = Device::find(name)?;
        if !device.is_ethernet().map_err(|e| gone(name, e))? {
            return Err(device::not_ethernet(name));
        }
        let largest = device.mtu().map_err(|e| gone(name, e))?.saturating_add(AROUND);
        let room = options.frame_size - HEADROOM;
        if largest > room {
            let sentence = format!(
                "a frame of {name} has up to {largest} octets and memory for {room}: with an MTU of {} it would fit",
                room - AROUND
            );
            return Err(OpenError::new(sentence, Errno::MSGSIZE));
        }
        let queues = wanted(&device, options.queues)?;
        let program = Program::load(queues.receive).map_err(|e| match e {
            Errno::PERM => OpenError::new(super::RIGHTS, e),
            _ => OpenError::new("this kernel does not take the XDP program", e),
        })?;
        let (link, mode) = attach(&program, &device, options.mode)?;
        if options.promiscuous {
            device
                .take_everything()
                .map_err(|e| OpenError::new(format!("{name} cannot be made to take all frames"), e))?;
        }
        let completes_checksums = match options.partial_checksums {
            PartialChecksums::ByDevice => !device.is_card(),
            PartialChecksums::Complete => true,
            PartialChecksums::Keep => false,
        };
        Ok(Attachment { device, mode, queues, completes_checksums, program, _link: link })
    }
}

/// How many queues there are, if it is all of them that are asked for.
fn wanted(device: &Device, asked: Option<u32>) -> Result<Queues, OpenError> {
    let found = device.queues();
    let has = found.unwrap_or(Queues { receive: asked.unwrap_or(1), ..ASSUMED });
    let Some(asked) = asked.filter(|asked| *asked != has.receive) else {
        return Ok(if found.is_some() { has } else { Queues { send: has.receive, ..has } });
    };
    let (name, has) = (&device.name, has.receive);
    let sentence = if asked > has {
        format!(
            "{name} has no more than {has} receive queues, and {asked} are asked for: \
             'ethtool -L {name} combined {asked}' makes more if it can, or take fewer workers"
        )
    } else {
        format!(
            "{name} has {has} receive queues, and of {asked} a part of the frames would be missed: take as many \
             workers, or 'ethtool -L {name} combined {asked}'"
        )
    };
    Err(OpenError::new(sentence, ErrorKind::InvalidInput))
}

/// Attaches in the mode that is asked for. Returns which it is.
fn attach(program: &Program, device: &Device, mode: Mode) -> Result<(OwnedFd, Mode), OpenError> {
    let attach = |mode| program.attach(device.index, mode).map(|link| (link, mode));
    let attached = match mode {
        Mode::Best => attach(Mode::Native).or_else(|e| match e {
            Errno::BUSY | Errno::EXIST | Errno::PERM => Err(e),
            _ => attach(Mode::Generic),
        }),
        mode => attach(mode),
    };
    let name = &device.name;
    attached.map_err(|e| {
        let sentence = match e {
            Errno::BUSY | Errno::EXIST => format!(
                "{name} has an XDP program already: end the process it belongs to, or 'ip link set dev {name} xdp off'"
            ),
            Errno::PERM => super::RIGHTS.to_owned(),
            Errno::OPNOTSUPP => format!("the driver of {name} has no native XDP: take Mode::Generic"),
            Errno::RANGE => format!("the MTU of {name} is too large for native XDP: a smaller one, or Mode::Generic"),
            Errno::INVAL => format!("{name} takes no XDP program by a link: that needs Linux 5.9"),
            _ => format!("{name} takes no XDP program in this mode"),
        };
        OpenError::new(sentence, e)
    })
}

/// Binds a socket, when the one before it has let go: of one that was closed the kernel frees the queue a little later.
fn bind(socket: &Socket, to: Binding<'_>) -> rustix::io::Result<()> {
    for _ in 0..PATIENCE.as_millis() {
        match socket.bind(to) {
            Err(Errno::BUSY) => thread::sleep(Duration::from_millis(1)),
            bound => return bound,
        }
    }
    socket.bind(to)
}

fn bind_refused(device: &Device, queue: u32, e: Errno) -> OpenError {
    let name = &device.name;
    let sentence = match e {
        Errno::BUSY => format!("queue {queue} of {name} is in use by another AF_XDP socket"),
        Errno::INVAL => format!("{name} has no queue {queue}: take fewer workers"),
        Errno::NODEV => return gone(name, e),
        _ => format!("queue {queue} of {name} cannot be bound to"),
    };
    OpenError::new(sentence, e)
}

fn gone(name: &str, e: Errno) -> OpenError {
    OpenError::new(format!("{name} has gone away"), e)
}
