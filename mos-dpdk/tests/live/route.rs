//! The router between two hosts in different networks, which find it by ARP and neighbour discovery as any other: all that is
//! answered and learned here is the kernel's.

use super::echo::{Heard, echo};
use super::host::{Host, Place};
use super::server::Server;
use super::{LARGE, alone, get, octets, say};
use mos_dpdk::port::tap::Tap;
use mos_dpdk::route::{Interface, Limits, RouteDrop, RouteStats, Router};
use mos_dpdk::{Links, Worker};
use mos_flow::{Config, Engine};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const CLIENT: Place = Place::in_network(1, 2, "02:00:00:00:00:01");
const SERVER: Place = Place::in_network(2, 2, "02:00:00:00:00:02");
/// The router's places beside them.
const NEAR: Place = Place::in_network(1, 1, "02:00:00:00:00:11");
const FAR: Place = Place::in_network(2, 1, "02:00:00:00:00:12");
/// A host that no route leads to.
const LOST: Place = Place::in_network(7, 7, "");
/// Of the client's link, by what the router thinks. The hosts think more of it, and have to be told.
const SMALL: u16 = 1300;

/// Ends the router's loop, also when the test fails.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn router() -> Router {
    let interface = |place: Place, last, mtu| Interface {
        hardware: [2, 0, 0, 0, 0, last],
        addresses: vec![(place.v4.into(), 24), (place.v6.into(), 64)],
        mtu,
    };
    let interfaces = [interface(NEAR, 0x11, SMALL), interface(FAR, 0x12, 1500)];
    Router::new(&interfaces, &[], &[], Limits::default()).unwrap()
}

/// Routes between two devices until it is told to stop.
fn run(router: Router, taps: [Tap; 2], stop: &AtomicBool) -> RouteStats {
    let engine = Engine::new(Config::default()).unwrap();
    let mut worker = Worker::new(engine, (), Links::routed(taps, router));
    worker.run_until(stop).unwrap();
    worker.links.router().unwrap().statistics()
}

fn route_by(host: &Host, router: Place) {
    host.ip(&["route", "add", "default", "via", &router.v4.to_string()]);
    host.ip(&["-6", "route", "add", "default", "via", &router.v6.to_string()]);
}

/// That the kernel got an answer from the router to what it asked.
fn check_neighbours(host: &Host, router: Place) {
    let known = String::from_utf8(host.run("ip", &["neighbour", "show"]).stdout).unwrap();
    for address in [IpAddr::V4(router.v4), IpAddr::V6(router.v6)] {
        let line = known.lines().find(|line| line.split(' ').next() == Some(&address.to_string()));
        let is_known = line.is_some_and(|l| l.contains(router.hardware) && l.contains("REACHABLE"));
        assert!(is_known, "{address}: {known}");
    }
}

/// Echo to the router, over it, and as traceroute does it.
fn check_echo(client: &Host) {
    let [near, far, server, lost]: [[IpAddr; 2]; 4] =
        [NEAR, FAR, SERVER, LOST].map(|place| [place.v4.into(), place.v6.into()]);
    // Types and codes of RFC 792 and RFC 4443: reply, hops exceeded, no route.
    let values = [[(0, 0), (11, 0), (3, 0)], [(129, 0), (3, 0), (1, 0)]];
    for (n, [reply, exceeded, no_route]) in values.into_iter().enumerate() {
        let is = |from, (kind, code)| Heard { from, kind, code };
        assert_eq!(echo(client, near[n], 64, b"near"), is(near[n], reply));
        assert_eq!(echo(client, far[n], 64, b"far"), is(far[n], reply));
        assert_eq!(echo(client, server[n], 1, b"first hop"), is(near[n], exceeded));
        assert_eq!(echo(client, server[n], 2, b"second hop"), is(server[n], reply));
        assert_eq!(echo(client, lost[n], 64, b"nowhere"), is(near[n], no_route));
    }
    // The answer is too large for the client's link by the router, and comes in fragments.
    assert_eq!(echo(client, server[0], 64, &[7; 1440]), Heard { from: server[0], kind: 0, code: 0 });
}

#[test]
fn hosts_in_different_networks_find_each_other() {
    alone("route::hosts_in_different_networks_find_each_other", || {
        let page = octets(LARGE);
        let taps = ["client", "server"].map(|name| Tap::open(name).unwrap());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let running = scope.spawn(|| run(router(), taps, &stop));
            let guard = Stop(&stop);
            let (client, server) = (Host::alone("client", CLIENT), Host::alone("server", SERVER));
            route_by(&client, NEAR);
            route_by(&server, FAR);
            // First, while the server knows nothing of the small link.
            check_echo(&client);
            for address in [IpAddr::V4(SERVER.v4), IpAddr::V6(SERVER.v6)] {
                let web = SocketAddr::new(address, 8080);
                let serving = Server::start(&server, web, page.clone());
                assert!(get(&client, web, 30).unwrap() == page, "{web}: another page");
                let seen = serving.clients.recv().unwrap().ip();
                assert!([IpAddr::V4(CLIENT.v4), IpAddr::V6(CLIENT.v6)].contains(&seen), "{seen}");
            }
            check_neighbours(&client, NEAR);
            drop(guard);
            let stats = running.join().unwrap();
            say(&format!("router: {stats:?}"));
            // The server was told of the small link once in each family at least, and believed it.
            assert!((2..100).contains(&stats.dropped(RouteDrop::TooLarge)), "{stats:?}");
            assert_eq!((stats.fragmented, stats.echoes), (1, 4), "{stats:?}");
        });
    });
}
