//! What the examples share: where packets come from and where they go, from the command line.

use mos_dpdk::links::Forwarding;
use mos_dpdk::port::Port;
use mos_dpdk::port::af_packet::{AfPacket, Options};
use mos_dpdk::port::impair::{Impaired, Impairment};
use mos_dpdk::port::pcap::{PcapSink, PcapSource};
use mos_dpdk::port::tap::Tap;
use mos_dpdk::{Links, Worker};
use mos_flow::Engine;
use std::error::Error;
use std::path::PathBuf;

/// A capture, or two interfaces or TAP devices to stand between.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Traffic {
    /// The capture to run over.
    #[arg(required_unless_present_any = ["tap", "interfaces"], conflicts_with_all = ["tap", "interfaces"])]
    capture: Option<PathBuf>,
    /// Write what is forwarded to this capture.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tap", "interfaces"])]
    out: Option<PathBuf>,
    /// Instead of a capture: stand between two interfaces.
    #[arg(long, value_name = "LEFT,RIGHT", value_parser = two_names, conflicts_with = "tap")]
    interfaces: Option<(String, String)>,
    /// Instead of a capture: stand between two TAP devices, which are made when they are not there.
    #[arg(long, value_name = "LEFT,RIGHT", value_parser = two_names)]
    tap: Option<(String, String)>,
    /// A bad network, for instance loss=2%,reorder=3%,duplicate=1%.
    #[arg(long, value_name = "HOW", default_value = "loss=0%")]
    impair: Impairment,
    /// Which frames the bad network affects.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// An engine between two ports that receive over a bad network.
type Between<A, P> = Worker<A, Impaired<P>>;

fn two_names(text: &str) -> Result<(String, String), &'static str> {
    let (left, right) = text.split_once(',').ok_or("expected two names with a comma between")?;
    Ok((left.to_owned(), right.to_owned()))
}

impl Traffic {
    /// Whether hosts hear what is made of their packets.
    #[allow(dead_code)] // only one example asks
    pub(crate) fn is_live(&self) -> bool {
        self.tap.is_some() || self.interfaces.is_some()
    }

    /// Runs all packets through `engine`, and ends the connections that are open after the last one. Between interfaces it
    /// runs until they are removed.
    pub(crate) fn run<A>(&self, engine: Engine<A>, app: A) -> Result<(Engine<A>, A), Box<dyn Error>> {
        let (mut engine, mut app) = if let Some((left, right)) = &self.tap {
            self.run_between([left, right], [Tap::open(left)?, Tap::open(right)?], engine, app)?.into_parts()
        } else if let Some((left, right)) = &self.interfaces {
            let open = |name| AfPacket::open(name, &Options::inline());
            let worker = self.run_between([left, right], [open(left)?, open(right)?], engine, app)?;
            worker.links.statistics().for_each(|port| eprintln!("{port:?}"));
            worker.into_parts()
        } else if let Some(capture) = &self.capture {
            let source = Impaired::new(PcapSource::open(capture)?, self.impair, self.seed);
            let links: Links = match &self.out {
                Some(path) => {
                    let sink: Box<dyn Port + Send> = Box::new(PcapSink::create(path)?);
                    Links::new([Box::new(source), sink], Forwarding::Record)
                }
                None => Links::listen(Box::new(source)),
            };
            let mut worker = Worker::new(engine, app, links);
            worker.run()?;
            worker.into_parts()
        } else {
            (engine, app)
        };
        engine.shutdown(&mut app);
        Ok((engine, app))
    }

    fn run_between<A, P: Port>(
        &self,
        names: [&str; 2],
        [left, right]: [P; 2],
        engine: Engine<A>,
        app: A,
    ) -> Result<Between<A, P>, Box<dyn Error>> {
        eprintln!("between {} and {}", names[0], names[1]);
        let left = Impaired::new(left, self.impair, self.seed);
        let right = Impaired::new(right, self.impair, !self.seed);
        let mut worker = Worker::new(engine, app, Links::between(left, right));
        worker.run()?;
        worker.links.ports().for_each(|port| eprintln!("the network: {:?}", port.affected()));
        Ok(worker)
    }
}
