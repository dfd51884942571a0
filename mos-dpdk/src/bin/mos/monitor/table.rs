//! A worker's connections, by what they carry.

use super::App;
use mos_dpdk::clock;
use mos_flow::{Context, Engine, Instant, Side, Sides, SocketId, State};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::net::SocketAddr;

/// What is counted of a connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    socket: SocketId,
    began: Instant,
    /// Octets on the wire that each side has sent.
    octets: Sides<u64>,
    /// The sum of both at the last look.
    before: u64,
}

/// As many entries as the engine has connections. A connection's word is the place of its entry, from 1.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    looked: Option<Instant>,
}

/// A connection as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Row {
    addresses: Sides<SocketAddr>,
    states: Sides<State>,
    octets: Sides<u64>,
    /// Octets a second since the last look.
    pub(super) rate: u64,
    /// Seconds.
    age: u64,
}

pub(super) fn on_start(ctx: &mut Context<'_, App>) {
    let (socket, began) = (ctx.socket(), ctx.now());
    if let Ok((app, mut monitor)) = ctx.split() {
        let entry = Entry { socket, began, octets: Sides::default(), before: 0 };
        let place = app.table.add(entry);
        let _ = monitor.set_user(place); // a connection that begins has a socket
    }
}

pub(super) fn on_packet(ctx: &mut Context<'_, App>) {
    let Some(sender) = ctx.side() else { return };
    let octets = ctx.packet().map_or(0, |packet| packet.frame.wire_len);
    if let Ok((app, monitor)) = ctx.split()
        && let Some(entry) = monitor.user().ok().and_then(|place| app.table.entry(place))
    {
        entry.octets[sender] += u64::from(octets);
    }
}

/// Told once for each side.
pub(super) fn on_end(ctx: &mut Context<'_, App>) {
    if ctx.side() == Some(Side::Client)
        && let Ok((app, monitor)) = ctx.split()
        && let Ok(place) = monitor.user()
    {
        app.table.remove(place);
    }
}

impl Table {
    fn add(&mut self, entry: Entry) -> usize {
        let index = self.free.pop().unwrap_or(self.entries.len());
        match self.entries.get_mut(index) {
            Some(slot) => *slot = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        index + 1
    }

    fn entry(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries.get_mut(place.checked_sub(1)?)?.as_mut()
    }

    fn remove(&mut self, place: usize) {
        let Some(index) = place.checked_sub(1) else { return };
        if self.entries.get_mut(index).and_then(Option::take).is_some() {
            self.free.push(index);
        }
    }

    /// The connections with the highest rates since the last look, `most` of them at the most.
    pub(super) fn look(&mut self, engine: &mut Engine<App>, most: usize) -> Vec<Row> {
        let now = clock::now();
        let passed = self.looked.replace(now).map_or(0, |looked| now.since(looked).as_micros() as u64);
        let mut highest = BinaryHeap::new();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let Some(entry) = entry else { continue };
            let octets = entry.octets.client + entry.octets.server;
            let new = octets - std::mem::replace(&mut entry.before, octets);
            highest.push(Reverse((new, index)));
            if highest.len() > most {
                highest.pop();
            }
        }
        let rows = highest.into_iter().filter_map(|Reverse((new, index))| {
            let entry = self.entries.get(index).copied().flatten()?;
            // The first time they are what they have been since they began.
            let age = now.since(entry.began);
            let time = if passed == 0 { age.as_micros() as u64 } else { passed };
            let rate = (u128::from(new) * 1_000_000 / u128::from(time.max(1))) as u64;
            let monitor = engine.monitor(entry.socket).ok()?;
            let sides = |side| Some((monitor.address(side).ok()?, monitor.state(side).ok()?));
            let (client, server) = (sides(Side::Client)?, sides(Side::Server)?);
            Some(Row {
                addresses: Sides { client: client.0, server: server.0 },
                states: Sides { client: client.1, server: server.1 },
                octets: entry.octets,
                rate,
                age: age.as_secs(),
            })
        });
        rows.collect()
    }
}

impl Row {
    pub(super) fn write_title(out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{:<22} {:<12} {:<22} {:<12} {:>12} {:>12} {:>12} {:>7}",
            "client", "state", "server", "state", "from client", "from server", "bytes/s", "age"
        )
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let text =
            |side| format!("{:<22} {:<12}", self.addresses[side].to_string(), self.states[side].name());
        let (client, server) = (text(Side::Client), text(Side::Server));
        let (from_client, from_server) = (self.octets.client, self.octets.server);
        writeln!(
            out,
            "{client} {server} {from_client:>12} {from_server:>12} {:>12} {:>5} s",
            self.rate, self.age
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_none_is_lost() {
        let mut engine = Engine::<App>::new(mos_flow::Config::default()).unwrap();
        let socket = engine.open(mos_flow::SocketKind::Stream).unwrap();
        let entry = Entry { socket, began: Instant(0), octets: Sides::default(), before: 0 };
        let mut table = Table::default();
        assert_eq!([table.add(entry), table.add(entry), table.add(entry)], [1, 2, 3]);
        table.remove(2);
        table.remove(2);
        table.remove(0);
        table.remove(9);
        assert!(table.entry(2).is_none() && table.entry(0).is_none() && table.entry(3).is_some());
        assert_eq!([table.add(entry), table.add(entry)], [2, 4]);
    }
}
