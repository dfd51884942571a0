//! What is measured: floors, this stack, and its peers, all over the same frames.

mod c;
mod floor;
#[cfg(feature = "peers")]
mod flowscope;
#[cfg(nids)]
mod nids;
mod ours;
#[cfg(feature = "peers")]
mod protolens;
#[cfg(feature = "peers")]
mod smoltcp;
#[cfg(tins)]
mod tins;

use crate::capture::{Capture, Frames};
use mos_flow::Sides;
use rustix::time::ClockId;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// What octets are handed over for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Count,
    Check,
}

/// What a row is run over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) capture: &'static Capture,
    /// The same as a file, for rows that read files only, and a configuration that names it.
    pub(crate) files: Option<(&'static Path, &'static Path)>,
}

impl Input {
    /// Connections that there has to be room for: some are there until their last packet.
    pub(crate) fn connections(&self) -> usize {
        self.capture.at_once + self.capture.at_once / 8 + 64
    }
}

/// One way to look at packets, with its memory. It is run again and again.
pub(crate) trait Subject {
    /// Before each run.
    ///
    /// # Errors
    /// What failed.
    fn begin(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// More packets. This alone is timed, but for those that open the connections of `small`; not from a file, which comes
    /// at once.
    fn run(&mut self, frames: Frames<'static>);

    /// What is due at the end, after each run.
    fn finish(&mut self) {}

    /// What its time is taken by.
    fn clock(&self) -> ClockId {
        ClockId::ThreadCPUTime
    }
}

type Make = fn(Input, Purpose) -> Result<Box<dyn Subject>, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Floor,
    Ours,
    Peer,
}

/// A line of the tables.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) what: &'static str,
    pub(crate) group: Group,
    /// Hands over octets in order, and so can be wrong.
    pub(crate) reads: bool,
    /// Reads the capture from a file.
    pub(crate) from_file: bool,
    /// Also run over traffic that is only about the number of connections.
    pub(crate) scales: bool,
    /// Or what would have to be installed.
    pub(crate) make: Result<Make, &'static str>,
}

impl Row {
    const fn floor(name: &'static str, what: &'static str, make: Make) -> Row {
        let make = Ok(make);
        Row { name, what, group: Group::Floor, reads: false, from_file: false, scales: false, make }
    }

    const fn ours(name: &'static str, what: &'static str, make: Make) -> Row {
        Row { group: Group::Ours, reads: true, ..Row::floor(name, what, make) }
    }

    #[cfg(feature = "peers")]
    const fn peer(name: &'static str, what: &'static str, make: Make) -> Row {
        Row { group: Group::Peer, reads: true, ..Row::floor(name, what, make) }
    }

    /// A peer that is not here, and how to get it.
    #[allow(dead_code, reason = "unless all are here")]
    const fn absent(name: &'static str, how: &'static str) -> Row {
        Row {
            name,
            what: "",
            group: Group::Peer,
            reads: true,
            from_file: false,
            scales: false,
            make: Err(how),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(floor::ROWS);
    rows.extend(ours::ROWS);
    rows.extend(c::ROWS);
    #[cfg(nids)]
    rows.extend(nids::ROWS);
    #[cfg(not(nids))]
    rows.extend(
        ["libnids", "libnids-sums"].map(|name| Row::absent(name, "apt install libnids-dev libpcap-dev")),
    );
    #[cfg(tins)]
    rows.extend(tins::ROWS);
    #[cfg(not(tins))]
    rows.extend([Row::absent("libtins", "apt install libtins-dev pkg-config")]);
    #[cfg(feature = "peers")]
    {
        rows.extend(flowscope::ROWS);
        rows.extend(protolens::ROWS);
        rows.extend(smoltcp::ROWS);
    }
    #[cfg(not(feature = "peers"))]
    rows.extend(
        ["flowscope-flows", "flowscope", "protolens", "smoltcp"].map(|name| Row::absent(name, "cargo peers")),
    );
    rows
}

/// Versions of what was found here.
pub(crate) fn versions() -> Vec<String> {
    #[allow(unused_mut, reason = "nothing may be here")]
    let mut versions = Vec::new();
    #[cfg(nids)]
    versions.push(nids::version());
    #[cfg(tins)]
    versions.push(format!("libtins {}", env!("TINS_VERSION")));
    #[cfg(feature = "peers")]
    versions.push(env!("CRATE_VERSIONS").to_owned());
    versions
}

/// Who a C monitor says that octets are for: addresses in network order, ports in that of the host. Lost ones come without
/// `data`.
type Deliver = extern "C" fn(u32, u16, u32, u16, i32, *const u8, usize);

/// What C monitors call.
extern "C" fn deliver<S: crate::sink::Sink>(
    client: u32,
    client_port: u16,
    server: u32,
    server_port: u16,
    to_server: i32,
    data: *const u8,
    len: usize,
) {
    let address = |ip: u32, port| SocketAddr::from((Ipv4Addr::from(ip.to_ne_bytes()), port));
    let ends = Sides { client: address(client, client_port), server: address(server, server_port) };
    let receiver = if to_server != 0 { mos_flow::Side::Server } else { mos_flow::Side::Client };
    if data.is_null() {
        S::lost(|| Some(ends), receiver, len as u64);
        return;
    }
    // SAFETY: the monitors of `c/` hand over what they were just handed, `len` octets that stay until this returns.
    let octets = unsafe { std::slice::from_raw_parts(data, len) };
    S::data(|| Some(ends), receiver, octets);
}

/// For the monitors of `c/`: nobody is told while they are timed.
fn deliver_for(purpose: Purpose) -> Option<Deliver> {
    (purpose == Purpose::Check).then_some(deliver::<crate::sink::Checking> as Deliver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Checking;
    use mos_flow::testing::traffic::{Kind, Plan};

    /// All in one test: there is one check in the process.
    #[test]
    fn what_this_stack_hands_over_is_right_on_all_traffic() {
        for kind in Kind::ALL {
            let capture: &'static Capture = Box::leak(Box::new(Capture::new(&Plan::of(kind).scaled(0.001))));
            let input = Input { capture, files: None };
            for row in ours::ROWS.iter().filter(|row| row.reads) {
                let mut subject = (row.make.unwrap())(input, Purpose::Check).unwrap();
                for run in 0..2 {
                    Checking::begin(capture);
                    subject.begin().unwrap();
                    let (opening, timed) = capture.parts();
                    subject.run(opening);
                    subject.run(timed);
                    subject.finish();
                    let outcome = Checking::end(capture);
                    assert!(outcome.is_right(), "{kind}, {}, run {run}: {outcome}", row.name);
                    let never = outcome.sent - outcome.captured;
                    assert!(
                        outcome.captured > 0 && outcome.told_lost <= never,
                        "{kind}, {}: {outcome}",
                        row.name
                    );
                    assert_eq!(outcome.told_lost > 0, kind == Kind::Messy, "{kind}, {}", row.name);
                }
            }
        }
    }
}
