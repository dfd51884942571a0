//! The configuration file `mos.conf`.
//!
//! ```text
//! file  = { block }                        text outside blocks is skipped, with a warning
//! block = NAME "{" { line | block } "}"    all on one line, or over several
//! line  = KEY "=" VALUE                    in `application` and `mos`; in tables: words
//! ```
//!
//! `#` begins a comment anywhere, also in a value; braces are structure everywhere, there is no quoting of them. A value
//! is the rest of its line. Numbers are decimal, `0x` hexadecimal or `0` octal, as in C. The last value of a key
//! counts, but each `pcap_in` adds a capture, and an empty one forgets those before it. Unknown keys and blocks are
//! skipped and reported as [`Warning`]s, as are those that have no effect: statistics and logs are not printed, and
//! frames leave by their device's partner, without routes. Everything else that cannot be understood is a
//! [`ConfError`] with its line.
//!
//! | block | holds |
//! |---|---|
//! | `application` | `type` (`end` or `monitor`), `run` (required), `cpu_mask` or `core_mask`, `ip_forward` |
//! | `mos` | `forward max_concurrency rmem_size wmem_size tcp_tw_interval tcp_timeout midstream lossy no_ring_buffers mos_log stat_print port multiprocess nb_mem_channels io pcap_in pcap_out dpdk_args`, and the tables |
//! | `netdev` | `device mask`: the cores that serve a device |
//! | `arp_table` | `address[/bits] hardware-address` |
//! | `route_table` | `network/bits device [gateway]`: without a gateway, hosts are on the device's link |
//! | `nic_forward_table` | `device device`: frames of one leave by the other, unchanged |

mod report;

mod tree;

mod value;

pub use report::{ConfError, ConfErrorKind, LoadError, Warning, WarningKind};

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tree::{Block, Item};
use value::{
    address, command_line, flag, hardware_address, integer, io_module, key_value, mask, multiprocess,
    network, number, path,
};

/// Octets of a configuration file that are read. Arbitrary.
pub const LARGEST: u64 = 1 << 20;
/// Devices: their numbers in packets are below 128, and those of a pair belong together.
pub const MAX_DEVICES: usize = 64;
/// `application` blocks.
pub const MAX_APPLICATIONS: usize = 20;
/// Words in the command line of one.
pub const MAX_WORDS: usize = 20;

/// Keys and tables of the original that are understood, and that is all.
const NO_EFFECT: [&str; 8] = [
    "arp_table",
    "mos_log",
    "multiprocess",
    "nb_mem_channels",
    "no_ring_buffers",
    "port",
    "route_table",
    "stat_print",
];

/// A whole configuration. [`Config::default`] is what an empty file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The `application` blocks in their order.
    pub applications: Vec<Application>,
    /// The `mos` block.
    pub mos: Mos,
    /// What was skipped.
    pub warnings: Vec<Warning>,
}

/// An `application` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// What kind of program it is.
    pub kind: Kind,
    /// Its command line in words.
    pub run: Vec<String>,
    /// The cores it may use; `None` is all of them.
    pub cpu_mask: Option<u64>,
    /// `ip_forward = 0` keeps packets from being forwarded.
    pub no_forward: bool,
}

/// Kinds of programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It ends connections.
    End,
    /// It watches connections.
    #[default]
    Monitor,
}

/// The `mos` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mos {
    /// Memory channels, for DPDK.
    pub nb_mem_channels: u32,
    /// Packets are forwarded (a middlebox), not only looked at (a tap).
    pub forward: bool,
    /// Streams at once on a core: two for each connection.
    pub max_concurrency: u32,
    /// Octets of a receive ring.
    pub rmem_size: u32,
    /// Octets of a send buffer.
    pub wmem_size: u32,
    /// How long a closed connection stays in TIME-WAIT.
    pub tcp_tw_interval: Duration,
    /// How long a silent connection is kept; `None` is for ever.
    pub tcp_timeout: Option<Duration>,
    /// Connections whose beginning was not seen are picked up.
    pub midstream: bool,
    /// Packets may lack: acknowledgements of octets that were not seen are believed, and the octets are told as lost.
    pub lossy: bool,
    /// No buffers for sending.
    pub no_ring_buffers: bool,
    /// Directory of log files.
    pub mos_log: Option<PathBuf>,
    /// Devices whose statistics are printed.
    pub stat_print: Vec<String>,
    /// Without meaning; kept for old files.
    pub port: String,
    /// This process is one of several.
    pub multiprocess: Option<Multiprocess>,
    /// Where packets come from.
    pub io: Option<Io>,
    /// The captures to read, one after the other.
    pub pcap_in: Vec<PathBuf>,
    /// The capture to write what is forwarded to.
    pub pcap_out: Option<PathBuf>,
    /// What DPDK is started with.
    pub dpdk_args: Vec<String>,
    /// The table `netdev`.
    pub netdev: Vec<Netdev>,
    /// The table `arp_table`.
    pub arp: Vec<Arp>,
    /// The table `route_table`.
    pub routes: Vec<Route>,
    /// The table `nic_forward_table`.
    pub pairs: Vec<(String, String)>,
}

impl Default for Mos {
    fn default() -> Self {
        Mos {
            nb_mem_channels: 0,
            forward: true,
            max_concurrency: 100_000,
            rmem_size: 8192,
            wmem_size: 8192,
            tcp_tw_interval: Duration::ZERO,
            tcp_timeout: Some(Duration::from_secs(30)),
            midstream: false,
            lossy: false,
            no_ring_buffers: false,
            mos_log: None,
            stat_print: Vec::new(),
            port: String::new(),
            multiprocess: None,
            io: None,
            pcap_in: Vec::new(),
            pcap_out: None,
            dpdk_args: Vec::new(),
            netdev: Vec::new(),
            arp: Vec::new(),
            routes: Vec::new(),
            pairs: Vec::new(),
        }
    }
}

/// Where packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Io {
    /// Sockets of the kernel that see an interface's frames.
    AfPacket,
    /// Rings shared with the kernel's driver of an interface.
    AfXdp,
    /// Network cards that the kernel has given away.
    Dpdk,
    /// Capture files.
    Pcap,
    /// Interfaces that the kernel makes, whose cables end here.
    Tap,
}

impl fmt::Display for Io {
    /// As [`Io::named`] takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Io::AfPacket => "af_packet",
            Io::AfXdp => "af_xdp",
            Io::Dpdk => "dpdk",
            Io::Pcap => "pcap",
            Io::Tap => "tap",
        })
    }
}

impl Io {
    /// What a name stands for, in the configuration and elsewhere.
    pub fn named(name: &str) -> Option<Io> {
        Some(match name {
            "af_packet" => Io::AfPacket,
            "af_xdp" => Io::AfXdp,
            "dpdk" => Io::Dpdk,
            "pcap" => Io::Pcap,
            "tap" => Io::Tap,
            _ => return None,
        })
    }
}

/// One of several processes on the same devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiprocess {
    /// Its core.
    pub core: u32,
    /// It sets up the devices.
    pub master: bool,
}

/// A line of `netdev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netdev {
    /// The device's name.
    pub device: String,
    /// The cores that serve it, one bit each.
    pub cpu_mask: u64,
}

/// A line of `arp_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// The address, or the network.
    pub address: IpAddr,
    /// Leading bits that count.
    pub bits: u8,
    /// Where packets for it go.
    pub hardware: [u8; 6],
}

/// A line of `route_table`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network.
    pub network: IpAddr,
    /// Leading bits that count.
    pub bits: u8,
    /// The device behind which it is.
    pub device: String,
    /// The next hop; `None` when hosts are on the device's link.
    pub gateway: Option<IpAddr>,
}

type Result<T> = std::result::Result<T, ConfErrorKind>;

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be read or understood.
    pub fn load(path: &Path) -> std::result::Result<Config, LoadError> {
        let mut octets = Vec::new();
        let file = File::open(path).map_err(LoadError::Io)?;
        file.take(LARGEST + 1).read_to_end(&mut octets).map_err(LoadError::Io)?;
        if octets.len() as u64 > LARGEST {
            return Err(LoadError::TooLarge);
        }
        let text = std::str::from_utf8(&octets).map_err(|e| {
            let before = octets.get(..e.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|b| **b == b'\n').count();
            LoadError::Conf(ConfError { line, kind: ConfErrorKind::NotText })
        })?;
        Config::parse(text).map_err(LoadError::Conf)
    }

    /// Understands the text of a configuration file.
    ///
    /// # Errors
    /// [`ConfError`] is the first thing that is wrong.
    pub fn parse(text: &str) -> std::result::Result<Config, ConfError> {
        let mut config = Config::default();
        let mut has_mos = false;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for item in tree::parse(text)? {
            match item {
                Item::Line(line, _) => config.warn(line, WarningKind::OutsideBlocks),
                Item::Block(b) if b.name == "application" => config.application(b)?,
                Item::Block(b) if b.name == "mos" => {
                    if std::mem::replace(&mut has_mos, true) {
                        return Err(ConfError { line: b.line, kind: ConfErrorKind::SecondMos });
                    }
                    config.mos(b)?;
                }
                Item::Block(b) => config.warn(b.line, WarningKind::UnknownBlock(b.name.to_owned())),
            }
        }
        Ok(config)
    }

    /// The cores that serve some device, one bit each. Without devices: the first.
    pub fn cpu_mask(&self) -> u64 {
        match self.mos.netdev.iter().fold(0, |all, d| all | d.cpu_mask) {
            0 => 1,
            mask => mask,
        }
    }

    /// Whether packets are forwarded, by all that is said about it.
    pub fn forwards(&self) -> bool {
        self.mos.forward && !self.applications.iter().any(|a| a.no_forward)
    }

    fn warn(&mut self, line: usize, kind: WarningKind) {
        self.warnings.push(Warning { line, kind });
    }

    fn application(&mut self, block: Block<'_>) -> std::result::Result<(), ConfError> {
        let mut application = Application::default();
        for item in block.items {
            let (line, text) = match item {
                Item::Line(line, text) => (line, text),
                Item::Block(b) => {
                    self.warn(b.line, WarningKind::UnknownBlock(b.name.to_owned()));
                    continue;
                }
            };
            let at = |kind| ConfError { line, kind };
            let (key, value) = key_value(text).map_err(at)?;
            if !application.set(key, value).map_err(at)? {
                self.warn(line, WarningKind::UnknownKey(key.to_owned()));
            }
        }
        let at = |kind| ConfError { line: block.line, kind };
        if application.run.is_empty() {
            return Err(at(ConfErrorKind::NoRun));
        }
        check_count(self.applications.len(), "application blocks", MAX_APPLICATIONS).map_err(at)?;
        self.applications.push(application);
        Ok(())
    }

    fn mos(&mut self, block: Block<'_>) -> std::result::Result<(), ConfError> {
        let mut named = Vec::new();
        for item in block.items {
            match item {
                Item::Line(line, text) => {
                    let at = |kind| ConfError { line, kind };
                    let (key, value) = key_value(text).map_err(at)?;
                    if !self.mos.set(key, value).map_err(at)? {
                        self.warn(line, WarningKind::UnknownKey(key.to_owned()));
                    } else if NO_EFFECT.contains(&key) {
                        self.warn(line, WarningKind::NoEffect(key.to_owned()));
                    }
                }
                Item::Block(b) => self.table(b, &mut named)?,
            }
        }
        for (line, device) in named {
            if !self.mos.netdev.is_empty() && !self.mos.netdev.iter().any(|d| d.device == device) {
                self.warn(line, WarningKind::UnknownDevice(device.to_owned()));
            }
        }
        Ok(())
    }

    /// Adds to `named` what devices are named elsewhere than in `netdev`, with their lines.
    fn table<'a>(
        &mut self,
        block: Block<'a>,
        named: &mut Vec<(usize, &'a str)>,
    ) -> std::result::Result<(), ConfError> {
        if NO_EFFECT.contains(&block.name) {
            self.warn(block.line, WarningKind::NoEffect(block.name.to_owned()));
        }
        let add = match block.name {
            "netdev" => Mos::add_netdev,
            "arp_table" => Mos::add_arp,
            "route_table" => Mos::add_route,
            "nic_forward_table" => Mos::add_pair,
            _ => {
                self.warn(block.line, WarningKind::UnknownBlock(block.name.to_owned()));
                return Ok(());
            }
        };
        for item in block.items {
            match item {
                Item::Line(line, text) => {
                    let words: Vec<&str> = text.split_whitespace().collect();
                    add(&mut self.mos, &words).map_err(|kind| ConfError { line, kind })?;
                    if block.name == "nic_forward_table" {
                        named.extend(words.into_iter().map(|device| (line, device)));
                    }
                }
                Item::Block(b) => self.warn(b.line, WarningKind::UnknownBlock(b.name.to_owned())),
            }
        }
        Ok(())
    }
}

/// Whether there is room for one more than `count`.
fn check_count(count: usize, what: &'static str, most: usize) -> Result<()> {
    if count < most { Ok(()) } else { Err(ConfErrorKind::TooMany { what, most }) }
}

impl Application {
    /// Returns whether the key is known.
    fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            // Any other word means what its absence means, as in old files.
            "type" => self.kind = if value == "end" { Kind::End } else { Kind::Monitor },
            "run" => {
                self.run = command_line(value)?;
                check_count(self.run.len().saturating_sub(1), "words in a command line", MAX_WORDS)?;
            }
            "cpu_mask" | "core_mask" => self.cpu_mask = Some(mask(value)?),
            "ip_forward" => self.no_forward = !flag(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Mos {
    /// Returns whether the key is known.
    fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "nb_mem_channels" => self.nb_mem_channels = number(value, 0)?,
            "forward" => self.forward = flag(value)?,
            "max_concurrency" => self.max_concurrency = number(value, 1)?,
            "rmem_size" => self.rmem_size = number(value, 1)?,
            "wmem_size" => self.wmem_size = number(value, 1)?,
            "tcp_tw_interval" => self.tcp_tw_interval = Duration::from_secs(number(value, 0)?.into()),
            "tcp_timeout" => {
                let seconds = integer(value).ok_or_else(|| ConfErrorKind::BadNumber(value.to_owned()))?;
                let seconds = u64::try_from(seconds).ok().filter(|s| *s > 0);
                self.tcp_timeout = seconds.map(Duration::from_secs);
            }
            "midstream" => self.midstream = flag(value)?,
            "lossy" => self.lossy = flag(value)?,
            "no_ring_buffers" => self.no_ring_buffers = flag(value)?,
            "mos_log" => self.mos_log = path(value),
            "stat_print" => self.stat_print = value.split_whitespace().map(str::to_owned).collect(),
            "port" => value.clone_into(&mut self.port),
            "multiprocess" => self.multiprocess = Some(multiprocess(value)?),
            "io" => self.io = Some(io_module(value)?),
            "pcap_in" => match path(value) {
                Some(path) => self.pcap_in.push(path),
                None => self.pcap_in.clear(),
            },
            "pcap_out" => self.pcap_out = path(value),
            "dpdk_args" => {
                self.dpdk_args = command_line(value)?;
                check_count(self.dpdk_args.len().saturating_sub(1), "words for DPDK", MAX_WORDS)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add_netdev(&mut self, words: &[&str]) -> Result<()> {
        let [device, cores] = words else {
            return Err(ConfErrorKind::WordCount { expected: "device cpu-mask" });
        };
        check_count(self.netdev.len(), "devices", MAX_DEVICES)?;
        if self.netdev.iter().any(|d| d.device == *device) {
            return Err(ConfErrorKind::DeviceTwice((*device).to_owned()));
        }
        self.netdev.push(Netdev { device: (*device).to_owned(), cpu_mask: mask(cores)? });
        Ok(())
    }

    fn add_arp(&mut self, words: &[&str]) -> Result<()> {
        let [target, hardware] = words else {
            return Err(ConfErrorKind::WordCount { expected: "address/bits hardware-address" });
        };
        let (address, bits) = network(target, true)?;
        let hardware = hardware_address(hardware)
            .ok_or_else(|| ConfErrorKind::BadHardwareAddress((*hardware).to_owned()))?;
        self.arp.push(Arp { address, bits, hardware });
        Ok(())
    }

    fn add_route(&mut self, words: &[&str]) -> Result<()> {
        let ([target, device] | [target, device, _]) = words else {
            return Err(ConfErrorKind::WordCount { expected: "network/bits device [gateway]" });
        };
        let (network, bits) = network(target, false)?;
        let gateway = words.get(2).map(|word| address(word)).transpose()?;
        self.routes.push(Route { network, bits, device: (*device).to_owned(), gateway });
        Ok(())
    }

    fn add_pair(&mut self, words: &[&str]) -> Result<()> {
        let [one, other] = words else {
            return Err(ConfErrorKind::WordCount { expected: "device device" });
        };
        check_count(self.pairs.len(), "pairs of devices", MAX_DEVICES / 2)?;
        let has = |device: &str| self.pairs.iter().any(|(a, b)| a == device || b == device);
        if let Some(twice) = [one, other].into_iter().find(|d| has(d)).or((one == other).then_some(one)) {
            return Err(ConfErrorKind::DeviceTwice((*twice).to_owned()));
        }
        self.pairs.push(((*one).to_owned(), (*other).to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
