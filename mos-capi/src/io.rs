//! Where a context's packets come from and where they go to: a [`Plan`], and what it opens, an [`Input`].
//!
//! A kind of input more: a way to name it in [`Plan::of`], and to open it in [`Input::open`].

pub(crate) mod capture;
pub(crate) mod live;

use crate::app::CApp;
use crate::bell::MAX_DESCRIPTORS;
use crate::errno::Errno;
use crate::slot::Slot;
use capture::Capture;
use live::Live;
use mos_dpdk::config::{Config, Io, Mos};
use mos_dpdk::device;
use mos_dpdk::port::{PortError, Received};
use mos_flow::{Engine, Instant};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What is wrong with an input: the errno, and a sentence.
pub(crate) type Failure = (Errno, String);

/// Pairs of devices, and devices alone: each takes two numbers of ports, and those that programs see are below 128.
const MAX_LINKS: usize = MAX_DESCRIPTORS / 2;

/// Devices between which frames go; one alone only listens.
pub(crate) type Devices = (String, Option<String>);

/// Where packets come from and go to, before anything is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Files, one after the other, and what is written of them.
    Capture { inputs: Vec<PathBuf>, output: Option<PathBuf> },
    /// Devices of one kind.
    Live(device::Plan),
}

impl Plan {
    /// By the environment's word, or the configuration's.
    ///
    /// # Errors
    /// `ENODEV` when nothing is named, or something that this library cannot do.
    pub(crate) fn of(environment: Option<&OsStr>, config: &Config) -> Result<Plan, Failure> {
        let plan = match environment {
            Some(value) => from_environment(value, &config.mos.dpdk_args),
            None => from_configuration(&config.mos),
        };
        plan.map_err(|sentence| (Errno::NODEV, sentence))
    }

    /// A number for the names of captures, 0 when none are read.
    pub(crate) fn captures(&self) -> u64 {
        let Plan::Capture { inputs, .. } = self else { return 0 };
        let mut hasher = DefaultHasher::new();
        inputs.hash(&mut hasher);
        hasher.finish().max(1)
    }
}

/// `MODULE:NAMES`.
fn from_environment(value: &OsStr, dpdk_args: &[String]) -> Result<Plan, String> {
    const FORMS: &str =
        "MOS_IO is none of pcap:IN[,OUT], tap:LEFT,RIGHT and af_packet:LEFT[,RIGHT] (or af_xdp, or dpdk)";
    let (module, names) = halves(value.as_bytes(), b':');
    let io = std::str::from_utf8(module).ok().and_then(Io::named).ok_or(FORMS)?;
    let (first, second) = names.map_or((&b""[..], None), |names| halves(names, b','));
    let second = second.filter(|name| !name.is_empty());
    let path = |name: &[u8]| PathBuf::from(OsString::from_vec(name.to_vec()));
    let text =
        |name: &[u8]| String::from_utf8(name.to_vec()).map_err(|_| "a device's name is not UTF-8 text");
    match (io, second) {
        (Io::Pcap, _) if !first.is_empty() => {
            Ok(Plan::Capture { inputs: vec![path(first)], output: second.map(path) })
        }
        (_, second) if !first.is_empty() && (io != Io::Tap || second.is_some()) => {
            live(io, vec![(text(first)?, second.map(text).transpose()?)], dpdk_args)
        }
        _ => Err(FORMS.to_owned()),
    }
}

/// Before and behind the first `separator`.
fn halves(octets: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let mut parts = octets.splitn(2, |octet| *octet == separator);
    (parts.next().unwrap_or_default(), parts.next())
}

fn from_configuration(mos: &Mos) -> Result<Plan, String> {
    match mos.io {
        Some(Io::Pcap) if mos.pcap_in.is_empty() => Err("`io = pcap` needs `pcap_in = FILE`".to_owned()),
        Some(Io::Pcap) => Ok(Plan::Capture { inputs: mos.pcap_in.clone(), output: mos.pcap_out.clone() }),
        Some(io) => from_links(mos, io),
        None => Err(
            "no input: set MOS_IO=pcap:IN[,OUT], MOS_IO=af_packet:LEFT[,RIGHT] or MOS_IO=tap:LEFT,RIGHT, or \
                     `io` in the mos block"
                .to_owned(),
        ),
    }
}

fn from_links(mos: &Mos, io: Io) -> Result<Plan, String> {
    match links(mos) {
        links if links.is_empty() => {
            Err(format!("`io = {io}` needs devices, in nic_forward_table or netdev"))
        }
        links if links.len() > MAX_LINKS => Err(format!("there can be at most {MAX_LINKS} links")),
        links => live(io, links, &mos.dpdk_args),
    }
}

/// Devices of a kind that this build has.
fn live(io: Io, links: Vec<Devices>, dpdk_args: &[String]) -> Result<Plan, String> {
    let feature = match io {
        Io::AfXdp if !cfg!(feature = "xdp") => "xdp",
        Io::Dpdk if !cfg!(feature = "dpdk") => "dpdk",
        _ => {
            let eal = dpdk_args.to_vec();
            return Ok(Plan::Live(device::Plan { io, links, workers: 1, forwards: false, eal }));
        }
    };
    Err(format!("this build of the library has no input by {io}: build it with `--features {feature}`"))
}

/// The pairs of devices, and then those that have no partner.
fn links(mos: &Mos) -> Vec<Devices> {
    let is_paired = |device: &String| mos.pairs.iter().any(|(a, b)| a == device || b == device);
    let pairs = mos.pairs.iter().map(|(left, right)| (left.clone(), Some(right.clone())));
    let alone = mos.netdev.iter().map(|d| &d.device).filter(|d| !is_paired(d));
    pairs.chain(alone.map(|device| (device.clone(), None))).collect()
}

/// A context's packets.
pub(crate) enum Input {
    Capture(Capture),
    Live(Live),
}

impl Input {
    /// Opens what `plan` names, for the context of `slot`.
    ///
    /// # Errors
    /// The errno of opening it, `EINVAL` for files that cannot be read or written here.
    pub(crate) fn open(plan: Plan, slot: &'static Slot, forwards: bool) -> Result<Input, Failure> {
        match plan {
            Plan::Capture { inputs, output } => {
                let output = output.filter(|_| forwards);
                Capture::open(&inputs, output.as_deref(), slot.cpu()).map(Input::Capture)
            }
            Plan::Live(devices) => Live::open(&device::Plan { forwards, ..devices }, slot).map(Input::Live),
        }
    }

    /// The time there is without packets, for inputs that have one.
    pub(crate) fn now(&self) -> Option<Instant> {
        match self {
            Input::Capture(_) => None,
            Input::Live(_) => Some(mos_dpdk::clock::now()),
        }
    }

    /// Called once, when the context begins to read.
    pub(crate) fn begin(&mut self, slot: &'static Slot) {
        if let Input::Capture(capture) = self {
            capture.begin(slot);
        }
    }

    /// One burst: received, processed, sent on.
    ///
    /// # Errors
    /// [`PortError`].
    pub(crate) fn turn(&mut self, engine: &mut Engine<CApp>, app: &mut CApp) -> Result<Received, PortError> {
        match self {
            Input::Capture(capture) => capture.turn(engine, app),
            Input::Live(live) => live.turn(engine, app),
        }
    }

    /// Sends what callbacks made, or forgets it where nothing is sent.
    ///
    /// # Errors
    /// [`PortError`].
    pub(crate) fn send_made(&mut self, engine: &mut Engine<CApp>) -> Result<(), PortError> {
        match self {
            Input::Capture(capture) => capture.send_made(engine),
            Input::Live(live) => live.send_made(engine),
        }
    }

    /// Sends what is still held back.
    ///
    /// # Errors
    /// [`PortError`].
    pub(crate) fn flush(&mut self) -> Result<(), PortError> {
        match self {
            Input::Capture(capture) => capture.flush(),
            Input::Live(live) => live.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(environment: Option<&str>, lines: &str) -> Result<Plan, String> {
        let config = Config::parse(&format!("mos {{\n{lines}\n}}")).unwrap();
        Plan::of(environment.map(OsStr::new), &config).map_err(|(errno, sentence)| {
            assert_eq!(errno, Errno::NODEV);
            sentence
        })
    }

    fn capture(inputs: &[&str], output: Option<&str>) -> Result<Plan, String> {
        let inputs = inputs.iter().map(PathBuf::from).collect();
        Ok(Plan::Capture { inputs, output: output.map(PathBuf::from) })
    }

    fn live(io: Io, links: &[(&str, Option<&str>)]) -> Result<Plan, String> {
        let owned = |(left, right): &(&str, Option<&str>)| ((*left).to_owned(), right.map(str::to_owned));
        let links = links.iter().map(owned).collect();
        Ok(Plan::Live(device::Plan { io, links, workers: 1, forwards: false, eal: vec![] }))
    }

    #[test]
    fn the_environment_names_an_input() {
        let of = |value| super::tests::of(Some(value), "io = pcap\npcap_in = never\npcap_out = never");
        assert_eq!(of("pcap:a b.pcap"), capture(&["a b.pcap"], None));
        assert_eq!(of("pcap:a,b,c:d"), capture(&["a"], Some("b,c:d")));
        assert_eq!(of("pcap:a,"), capture(&["a"], None));
        assert_eq!(of("tap:in0,out-1.5"), live(Io::Tap, &[("in0", Some("out-1.5"))]));
        assert_eq!(of("af_packet:in0,out-1.5"), live(Io::AfPacket, &[("in0", Some("out-1.5"))]));
        assert_eq!(of("af_packet:mirror"), live(Io::AfPacket, &[("mirror", None)]));
        for bad in [
            "",
            "pcap",
            "pcap:",
            "pcap:,b",
            "PCAP:a",
            "tap",
            "tap:",
            "tap:a",
            "tap:a,",
            "tap:,b",
            "netmap:a",
            "af_packet",
            "af_packet:",
            "af_packet:,b",
        ] {
            assert!(of(bad).is_err_and(|said| said.contains("pcap:IN[,OUT]")), "{bad}");
        }
        for (later, has) in [("af_xdp:eth0", cfg!(feature = "xdp")), ("dpdk:0", cfg!(feature = "dpdk"))] {
            assert_eq!(of(later).is_err_and(|said| said.contains("--features")), !has, "{later}");
        }
    }

    #[test]
    fn the_configuration_names_an_input() {
        let of = |lines: &str| super::tests::of(None, lines);
        assert!(of("").is_err_and(|said| said.contains("MOS_IO")));
        assert!(of("pcap_in = a").is_err(), "not without io");
        assert!(of("io = pcap").is_err_and(|said| said.contains("pcap_in")));
        assert_eq!(
            of("io = pcap\npcap_in = a b\npcap_in = c\npcap_out = d"),
            capture(&["a b", "c"], Some("d"))
        );
        let lines = "netdev {\na 1\nmirror 1\nb 1\n}\nnic_forward_table {\nb a\nc d\n}";
        for (io, kind) in [("io = tap", Io::Tap), ("io = af_packet", Io::AfPacket)] {
            assert!(of(io).is_err_and(|said| said.contains("netdev") && said.contains(io)));
            let lines = format!("{io}\n{lines}");
            assert_eq!(of(&lines), live(kind, &[("b", Some("a")), ("c", Some("d")), ("mirror", None)]));
        }
        assert!(of("io = af_xdp").is_err_and(|said| said.contains("`io = af_xdp` needs devices")));
    }
}
