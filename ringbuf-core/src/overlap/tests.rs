use super::*;
use crate::model::kernel::Kernel;
use crate::model::policy;
use crate::store::Flat;
use crate::{FragList, SeqNum, Store, Window, Written};
use proptest::prelude::*;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

const N: usize = 32;

/// One of the policies.
#[allow(clippy::large_enum_variant)] // there are few
#[derive(Clone)]
enum Any {
    Octets(Overlap),
    System(BySystem<N>),
    Linux(Linux<N>),
}

impl Any {
    /// By the name in published vectors.
    fn named(name: &str) -> Any {
        match name {
            "first" | "last" => Any::Octets(name.parse().unwrap()),
            "linux" => Any::System(BySystem::new(System::LinuxClassic)),
            other => Any::System(BySystem::new(other.replace('_', "-").parse().unwrap())),
        }
    }
}

impl Resolve for Any {
    fn admit(&mut self, next: Offset, segment: Range) -> bool {
        match self {
            Any::Octets(p) => p.admit(next, segment),
            Any::System(p) => p.admit(next, segment),
            Any::Linux(p) => p.admit(next, segment),
        }
    }

    fn resolve(&mut self, next: Offset, segment: Range, keep: &mut dyn FnMut(Range)) {
        match self {
            Any::Octets(p) => p.resolve(next, segment, keep),
            Any::System(p) => p.resolve(next, segment, keep),
            Any::Linux(p) => p.resolve(next, segment, keep),
        }
    }
}

/// A stream whose segments come with sequence numbers.
struct Stream {
    window: Window,
    frags: FragList<N>,
    store: Flat<Vec<u8>>,
    policy: Any,
    base: SeqNum,
}

impl Stream {
    /// `isn` plus one is the number of the octet at offset 0.
    fn new(policy: Any, isn: u32) -> Stream {
        Stream {
            window: Window::new(256),
            frags: FragList::new(),
            store: Flat::new(vec![0; 256]),
            policy,
            base: SeqNum(isn) + 1,
        }
    }

    fn receive(&mut self, seq: SeqNum, octets: &[u8]) -> Written {
        let at = seq.position(self.base, self.window.next());
        let at = Offset(at.try_into().unwrap());
        let done = self.window.write(&mut self.frags, &mut self.store, &mut self.policy, at, octets);
        assert_eq!(done.refusal, None);
        done
    }

    /// Everything held from offset `from` on; `.` for holes.
    fn text(&self, from: u64) -> String {
        let top = self.window.top(&self.frags).0;
        let octet = |o: u64| match self.window.lookup(&self.frags, Offset(o)) {
            Ok(_) => char::from(self.store.piece(Range::new(o, o + 1))[0]),
            Err(_) => '.',
        };
        (from..top).map(octet).collect()
    }
}

/// A file of the shared oracles; `None`, and a word about it, where they are not there.
fn oracle(name: &str) -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracles").join(name);
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(_) => {
            say(&std::format!("SKIPPED: {} is not there; its cases were not checked", path.display()));
            None
        }
    }
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = std::writeln!(std::io::stderr(), "{what}");
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().unwrap().iter()
}

/// The published vectors compare what waits; so the octet before them never comes.
#[test]
fn published_vectors_hold_step_by_step() {
    let Some(vectors) = oracle("suricata_vectors.json") else { return };
    let mut steps = 0;
    for case in list(&vectors, "cases") {
        for isn in list(case, "isns") {
            let isn = u32::try_from(isn.as_u64().unwrap()).unwrap();
            // Their first octet is at offset 1 here.
            let mut stream = Stream::new(Any::named(case["policy"].as_str().unwrap()), isn.wrapping_sub(1));
            for step in list(case, "steps") {
                let seq = SeqNum(isn) + u32::try_from(step["rel"].as_u64().unwrap()).unwrap();
                let _ = stream.receive(seq, step["data"].as_str().unwrap().as_bytes());
                assert_eq!(stream.text(1), step["expect"].as_str().unwrap(), "{} {step}", case["name"]);
                steps += 1;
            }
        }
    }
    say(&std::format!("published vectors: {steps} of 921 steps"));
    assert_eq!(steps, 921);
}

/// The chunks of a shape as segments, then the holes between them; octet 0 is apart.
fn segments(case: &Value) -> Vec<(u64, Vec<u8>)> {
    let chunks: Vec<(u64, u64)> =
        list(case, "chunks").map(|c| (c[0].as_u64().unwrap(), c[1].as_u64().unwrap())).collect();
    let mut out: Vec<(u64, Vec<u8>)> =
        chunks.iter().zip(b'A'..).map(|(&(s, e), name)| (s + 1, vec![name; (e - s) as usize])).collect();
    let top = chunks.iter().map(|c| c.1).max().unwrap();
    let holes = (0..top).filter(|o| !chunks.iter().any(|(s, e)| (s..e).contains(&o)));
    out.extend(holes.map(|o| (o + 1, vec![b'.'])));
    out
}

fn play(policy: Any, isn: u32, segments: &[(u64, Vec<u8>)]) -> String {
    let mut stream = Stream::new(policy, isn);
    for (at, octets) in segments {
        let _ = stream.receive(Offset(*at).seq(stream.base), octets);
    }
    stream.text(0)
}

/// Which of the two published tables is followed, for each policy. `first` and `last` are what they say, octet by
/// octet; the systems follow the table whose steps are published, too.
#[test]
fn every_shape_comes_out_as_in_the_policys_table() {
    let Some(shapes) = oracle("tcp_overlap_oracle.json") else { return };
    let tables = |name: &str| if name == "first" { "snort3" } else { "suricata" };
    let mut checked = 0;
    for case in list(&shapes, "cases") {
        let mut segments = segments(case);
        segments.push((0, vec![b'^']));
        for name in case["suricata"].as_object().unwrap().keys() {
            let expected = case[tables(name)][name].as_str().unwrap();
            for isn in [7, u32::MAX - 6] {
                assert_eq!(play(Any::named(name), isn, &segments), expected, "{name} {case}");
            }
            checked += 1;
        }
    }
    say(&std::format!("policies by table: {checked} of 422 shapes x 13 policies"));
    assert_eq!(checked, 422 * 13);
}

#[test]
fn linux_is_the_running_kernel() {
    let Some(shapes) = oracle("tcp_overlap_oracle.json") else { return };
    let mut checked = 0;
    for case in list(&shapes, "cases") {
        let chunks = segments(case);
        let first = [(0, vec![b'^'])];
        let follows: Vec<_> = chunks.iter().chain(&first).cloned().collect();
        let precedes: Vec<_> = first.iter().chain(&chunks).cloned().collect();
        for (key, segments) in [("linux_start_follows", follows), ("linux_start_precedes", precedes)] {
            let expected = case[key].as_str().unwrap();
            for isn in [0, u32::MAX - 5, u32::MAX - 15] {
                assert_eq!(play(Any::Linux(Linux::new()), isn, &segments), expected, "{key} {case}");
            }
            let mut kernel = Kernel::default();
            segments.iter().for_each(|(at, octets)| kernel.receive(*at, octets));
            assert_eq!(kernel.delivered, expected.as_bytes(), "the model, {key} {case}");
            checked += 1;
        }
    }
    say(&std::format!("linux: {checked} of 844 exchanges"));
    assert_eq!(checked, 844);
}

/// Novak and Sturges' seventeen segments, and the octet before them at last.
#[test]
fn the_novak_sequence_comes_out_as_measured_and_as_published() {
    let octets = "AAA BB CCC D EE FFF GG HH I JJJJ KKK LLL MMM N O P QQ";
    let places = [0, 4, 6, 10, 13, 15, 18, 20, 22, 1, 6, 9, 12, 16, 19, 20, 22];
    let mut segments: Vec<(u64, Vec<u8>)> =
        places.into_iter().map(|at| at + 1).zip(octets.split(' ').map(|o| o.as_bytes().to_vec())).collect();
    segments.push((0, vec![b'^']));
    let expected = [
        ("first", "AAAJBBCCCLDLMEEFFFGGHHIQ"),
        ("vista", "AAAJBBCCCLDLMEEFFFGGHHIQ"),
        ("last", "AJJJJBKKKLLLMMMFNFGOPHQQ"),
        ("bsd", "AAAJJBCCCLLLMMMFFFGGHHIQ"),
        ("windows", "AAAJJBCCCLLLMMMFFFGGHHIQ"),
        ("linux", "AAAJJBCCCLLLMMMFFFGGHHQQ"),
        ("old_linux", "AAAJJBKKKLLLMMMFFFGGHHQQ"),
        ("solaris", "AJJJBBKKKLLLMMMFFFGGHHQQ"),
        ("hpux10", "AAAJJBCCCLLLMMMFFFGGHHIQ"),
    ];
    for isn in [12_345, u32::MAX - 5, u32::MAX - 15] {
        for (name, expected) in expected {
            assert_eq!(play(Any::named(name), isn, &segments)[1..], *expected, "{name}");
        }
        let real = play(Any::Linux(Linux::new()), isn, &segments);
        assert_eq!(&real[1..], "AAAJJBCCCLLLMMMFFFGGHHIQ", "Linux 6.18");
    }
}

#[test]
fn what_is_in_order_never_changes_under_a_systems_policy() {
    for policy in System::ALL.iter().map(|s| Any::System(BySystem::new(*s))).chain([Any::Linux(Linux::new())])
    {
        let mut stream = Stream::new(policy, u32::MAX - 2);
        let base = stream.base;
        let _ = stream.receive(base, b"abcdef");
        let again = stream.receive(base, b"XXXXXXgh");
        assert_eq!((again.duplicate, again.replaced, again.fresh), (6, 0, 2));
        let whole = stream.receive(base + 2, b"YYYY");
        assert_eq!((whole.replaced, stream.text(0).as_str()), (0, "abcdefgh"));
    }
}

#[test]
fn a_full_list_refuses_and_says_so() {
    fn fill(mut policy: impl Resolve) -> Written {
        let (mut window, mut frags) = (Window::new(64), FragList::<8>::new());
        let mut store = Flat::new([0_u8; 64]);
        let mut write =
            |at, octets: &[u8]| window.write(&mut frags, &mut store, &mut policy, Offset(at), octets);
        assert_eq!((write(2, b"ab").fresh, write(6, b"cd").fresh), (2, 2));
        let third = write(10, b"ef");
        // What needs no place is taken all the same, and what gets in order makes room.
        assert_eq!(write(2, b"ab").refusal, None);
        assert_eq!(write(0, b"..").advanced, 4);
        assert_eq!(write(10, b"ef").fresh, 2);
        third
    }
    let expected =
        Written { refused: 2, refusal: Some(crate::window::Refusal::TooManyRanges), ..Written::default() };
    assert_eq!(fill(BySystem::<2>::new(System::Bsd)), expected);
    assert_eq!(fill(Linux::<2>::new()), expected);
}

#[test]
fn systems_have_names() {
    for system in System::ALL {
        assert_eq!(system.to_string().parse(), Ok(*system));
    }
    assert_eq!("plan9".parse::<System>(), Err(UnknownSystem));
    assert!(UnknownSystem.to_string().ends_with("windows windows2k3"));
}

/// A sequence of segments near each other, from a seed.
fn random_segments(seed: u64) -> Vec<(u64, Vec<u8>)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let span = 8 + random(120);
    let (count, longest) = (1 + random(28), 1 + random(span));
    (0..count)
        .map(|n| {
            let (at, len) = (random(span), 1 + random(longest));
            // Few sequences have much in order.
            let at = if random(8) == 0 { 0 } else { at };
            (at, (0..len).map(|i| (n * 31 + i * 7 + at) as u8).collect())
        })
        .collect()
}

/// `RINGBUF_SEQUENCES` sets how many.
#[test]
fn linux_is_its_model_on_random_sequences() {
    let wanted = std::env::var("RINGBUF_SEQUENCES").ok().and_then(|n| n.parse().ok());
    let count: u64 = wanted.unwrap_or(20_000);
    for seed in 1..=count {
        let near_the_wrap = seed.is_multiple_of(2);
        let isn = if near_the_wrap { u32::MAX - (seed % 97) as u32 } else { seed as u32 };
        policy::run_linux(isn, &random_segments(seed));
    }
    say(&std::format!("linux: {count} random sequences equal the model"));
}

proptest! {
    #[test]
    fn systems_follow_their_tables(seed in any::<u64>(), bits in 0_u16..512) {
        policy::run_table(policy::relations(bits), seed as u32, &random_segments(seed));
    }

    #[test]
    fn any_input_of_the_fuzz_target_agrees(input in prop::collection::vec(any::<u8>(), 0..120)) {
        policy::run(&input);
    }
}
