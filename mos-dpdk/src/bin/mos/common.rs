//! What the subcommands share: engine settings, the run over a file, errors and exit statuses.

use indicatif::{ProgressBar, ProgressStyle};
use mos_dpdk::capture::CaptureError;
use mos_dpdk::port::pcap::PcapSource;
use mos_dpdk::port::{PortError, Received};
use mos_dpdk::{Links, Worker};
use mos_flow::defrag::{DefragConfig, FragmentPolicy, UnknownPolicy};
use mos_flow::filter::{Filter, FilterError};
use mos_flow::{Config, Engine, Overlap, Patience, Strictness, Timeouts};
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// Settings of the engine that most subcommands take.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct EngineArgs {
    /// Which copy of bytes that came twice is kept: first or last.
    #[arg(long, default_value_t = Overlap::First, value_name = "POLICY")]
    pub(crate) policy: Overlap,
    /// Take packets with wrong checksums, as captures with offloading have them.
    #[arg(long)]
    pub(crate) no_checksum: bool,
    /// What becomes of IP fragments that overlap: as Linux does it, or first, last, bsd, bsd-right, old-linux, solaris,
    /// windows; none leaves datagrams in fragments alone.
    #[arg(long, default_value = "linux", value_name = "POLICY")]
    pub(crate) fragments: Fragments,
    /// Connections with the same addresses and ports in different VLANs are one.
    #[arg(long)]
    pub(crate) ignore_vlans: bool,
    /// Connections with the same addresses and ports in different tunnels are one.
    #[arg(long)]
    pub(crate) ignore_tunnels: bool,
    /// Pick up connections whose beginning was not captured, and believe segments although others are missing.
    #[arg(long)]
    pub(crate) midstream: bool,
    /// Seconds without a packet after which a connection is given up.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub(crate) idle_timeout: u64,
}

impl EngineArgs {
    /// A configuration for reading captures: patient, with room for many connections and long streams.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Ok(Config {
            max_flows: 1 << 20,
            max_sockets: (1 << 20) + 16,
            max_buffers: 1 << 18,
            chunks: 1 << 18,
            overlap: self.policy.into(),
            timeouts: Timeouts {
                patience: Patience { octets: 1 << 20, time: Duration::from_secs(60) },
                handshake: Duration::from_secs(120),
                idle: Duration::from_secs(self.idle_timeout),
                ..Config::default().timeouts
            },
            linger: if self.midstream { Duration::from_secs(120) } else { Duration::ZERO },
            fragments: self.fragments.0.map(|policy| DefragConfig { policy, ..DefragConfig::default() }),
            vlans_in_key: !self.ignore_vlans,
            tunnels_in_key: !self.ignore_tunnels,
            verify_checksums: !self.no_checksum,
            midstream: self.midstream,
            strictness: if self.midstream { Strictness::Lossy } else { Strictness::Linux },
            hash_seed: mos_dpdk::random_seed().map_err(|e| Failure::unusable(&e))?,
            ..Config::default()
        })
    }
}

/// The policy for fragments that overlap, if fragments are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragments(Option<FragmentPolicy>);

impl FromStr for Fragments {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        if name == "none" { Ok(Fragments(None)) } else { name.parse().map(|policy| Fragments(Some(policy))) }
    }
}

/// A filter on the command line. What is wrong with it is shown in its place.
pub(crate) fn filter(text: &str) -> Result<Filter, String> {
    text.parse().map_err(|e: FilterError| {
        let before = text.get(..e.position).unwrap_or(text).chars().count();
        format!("{e}\n\n    {text}\n    {:before$}^", "")
    })
}

/// How a subcommand fails.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    status: u8,
}

impl Failure {
    /// The input cannot be used at all.
    pub(crate) fn unusable(e: &dyn fmt::Display) -> Self {
        Failure { message: e.to_string(), status: 2 }
    }

    /// Something went wrong, or was not found, on the way.
    pub(crate) fn partial(e: &dyn fmt::Display) -> Self {
        Failure { message: e.to_string(), status: 1 }
    }

    /// Says it on stderr; the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("mos: {}", self.message);
        }
        ExitCode::from(self.status)
    }
}

impl From<io::Error> for Failure {
    /// Errors of the output. A reader that went away is no news to anybody.
    fn from(e: io::Error) -> Self {
        let quiet = e.kind() == io::ErrorKind::BrokenPipe;
        Failure { message: if quiet { String::new() } else { mos_dpdk::sentence(&e) }, status: 1 }
    }
}

/// Opens a capture.
pub(crate) fn open(path: &Path) -> Result<PcapSource, Failure> {
    PcapSource::open(path).map_err(|e| Failure::unusable(&e))
}

/// Runs all packets of `path` through `engine`. What is wrong with the file comes back beside the result: everything
/// before it was processed.
pub(crate) fn run_file<A>(
    path: &Path,
    engine: Engine<A>,
    app: A,
) -> Result<(Engine<A>, A, Option<CaptureError>), Failure> {
    let source = open(path)?;
    let progress = progress(path);
    let mut worker = Worker::new(engine, app, Links::listen(source));
    let damage = loop {
        match worker.turn() {
            Ok(Received::End) => break None,
            Ok(_) => progress.set_position(worker.links.ports().map(PcapSource::position).sum()),
            Err(PortError::Capture(e)) => break Some(e),
            Err(e) => return Err(Failure::partial(&e)),
        }
    };
    progress.finish_and_clear();
    let (engine, app) = worker.into_parts();
    Ok((engine, app, damage))
}

/// After the results: a cut last record is worth a warning, anything else is a failure.
pub(crate) fn judge_damage(damage: Option<CaptureError>) -> Result<(), Failure> {
    match damage {
        Some(e) if e.is_truncation() => {
            eprintln!("mos: warning: {e}");
            Ok(())
        }
        Some(e) => Err(Failure::partial(&e)),
        None => Ok(()),
    }
}

/// A bar on a terminal, for files that take a while.
fn progress(path: &Path) -> ProgressBar {
    bar(path.metadata().map_or(0, |m| m.len()))
}

/// The same, for so many octets.
pub(crate) fn bar(len: u64) -> ProgressBar {
    const LONG: u64 = 64 << 20;
    if len < LONG || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
