use super::*;
use proptest::prelude::*;
use std::io;

fn parse(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn mos(lines: &str) -> Mos {
    parse(&format!("mos {{\n{lines}\n}}\n")).mos
}

fn refused(text: &str) -> (usize, ConfErrorKind) {
    let e = Config::parse(text).expect_err(text);
    (e.line, e.kind)
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "\n", "# only this", "mos {}", "mos\n{\n}", "   ", "\u{feff}mos {}"] {
        assert_eq!(parse(text), Config::default(), "{text:?}");
    }
    let c = Config::default();
    assert_eq!((c.mos.max_concurrency, c.mos.rmem_size, c.mos.forward), (100_000, 8192, true));
    assert_eq!((c.mos.tcp_timeout, c.mos.tcp_tw_interval), (Some(Duration::from_secs(30)), Duration::ZERO));
    assert_eq!((c.cpu_mask(), c.forwards()), (1, true));
}

#[test]
fn a_whole_file_is_understood() {
    let c = parse(
        "# a monitor and a server
         application {
            type = monitor      # comment
            run = midstat -c 'two words' \"\" a\"b c\"d
            core_mask = 0x000F
            ip_forward = 1
         }
         application { run = one_line }
         application {
            type=end
            run=server
            cpu_mask=017
            ip_forward=0
         }
         mos {
            nb_mem_channels = 4
            forward = 1
            max_concurrency = 0x10
            rmem_size = 16384
            wmem_size = 4096
            tcp_tw_interval = 5
            tcp_timeout = 60
            no_ring_buffers = 1
            mos_log = /var/log/mos logs
            stat_print = dpdk0 dpdk1
            port = x
            multiprocess = 3 master
            io = pcap
            pcap_in = a file.pcap
            pcap_out = out.pcap
            netdev {
                br-lan 0x1
                eth0.100 0x6
            }
            arp_table {
                10.0.0.9/32 00:1b:21:a:b:FF
                10.0.0.10   00:00:00:00:00:01
                fd00::9     00:00:00:00:00:02
            }
            route_table {
                10.0.0.0/24 br-lan
                ::/0 br-lan fe80::1
            }
            nic_forward_table { br-lan eth0.100 }
            midstream = 1
            lossy = 1
            dpdk_args = --no-huge -m 512 --vdev 'net_pcap0,rx_pcap=a file'
         }",
    );
    let told: Vec<String> = c.warnings.iter().map(ToString::to_string).collect();
    let idle = [
        (16, "nb_mem_channels"),
        (23, "no_ring_buffers"),
        (24, "mos_log"),
        (25, "stat_print"),
        (26, "port"),
        (27, "multiprocess"),
        (35, "arp_table"),
        (40, "route_table"),
    ];
    assert_eq!(told, idle.map(|(line, name)| format!("line {line}: `{name}` has no effect")));
    let runs: Vec<&[String]> = c.applications.iter().map(|a| &*a.run).collect();
    assert_eq!(runs[0], ["midstat", "-c", "two words", "", "ab cd"]);
    assert_eq!((runs[1][0].as_str(), runs[2][0].as_str()), ("one_line", "server"));
    let of = |i: usize| (c.applications[i].kind, c.applications[i].cpu_mask, c.applications[i].no_forward);
    assert_eq!(of(0), (Kind::Monitor, Some(15), false));
    assert_eq!(of(1), (Kind::Monitor, None, false));
    assert_eq!(of(2), (Kind::End, Some(15), true));
    let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    let expected = Mos {
        nb_mem_channels: 4,
        forward: true,
        max_concurrency: 16,
        rmem_size: 16384,
        wmem_size: 4096,
        tcp_tw_interval: Duration::from_secs(5),
        tcp_timeout: Some(Duration::from_secs(60)),
        midstream: true,
        lossy: true,
        no_ring_buffers: true,
        mos_log: Some("/var/log/mos logs".into()),
        stat_print: vec!["dpdk0".into(), "dpdk1".into()],
        port: "x".into(),
        multiprocess: Some(Multiprocess { core: 3, master: true }),
        io: Some(Io::Pcap),
        pcap_in: vec!["a file.pcap".into()],
        pcap_out: Some("out.pcap".into()),
        dpdk_args: ["--no-huge", "-m", "512", "--vdev", "net_pcap0,rx_pcap=a file"].map(Into::into).into(),
        netdev: vec![
            Netdev { device: "br-lan".into(), cpu_mask: 1 },
            Netdev { device: "eth0.100".into(), cpu_mask: 6 },
        ],
        arp: vec![
            Arp { address: [10, 0, 0, 9].into(), bits: 32, hardware: [0, 0x1b, 0x21, 0xa, 0xb, 0xff] },
            Arp { address: [10, 0, 0, 10].into(), bits: 32, hardware: [0, 0, 0, 0, 0, 1] },
            Arp { address: ip("fd00::9"), bits: 128, hardware: [0, 0, 0, 0, 0, 2] },
        ],
        routes: vec![
            Route { network: [10, 0, 0, 0].into(), bits: 24, device: "br-lan".into(), gateway: None },
            Route { network: ip("::"), bits: 0, device: "br-lan".into(), gateway: Some(ip("fe80::1")) },
        ],
        pairs: vec![("br-lan".into(), "eth0.100".into())],
    };
    assert_eq!(c.mos, expected);
    assert_eq!((c.cpu_mask(), c.forwards()), (7, false), "one application says no");
}

#[test]
fn layout_does_not_matter() {
    let expected = Mos { forward: false, ..Mos::default() };
    for text in [
        "mos { forward = 0 }",
        "mos{forward=0}",
        "mos\n{\nforward = 0}",
        "mos {\n\tforward\t=\t0\t# why { not }\n}",
        "mos {\r\nforward = 0\r\n}\r\n",
        "\n\nmos # {\n  \n  { # }\nforward = 1\nforward = 0\n}",
    ] {
        assert_eq!(parse(text).mos, expected, "{text:?}");
    }
}

#[test]
fn values_have_their_edges() {
    assert_eq!(mos("tcp_timeout = -1").tcp_timeout, None);
    assert_eq!(mos("tcp_timeout = 0").tcp_timeout, None);
    assert_eq!(mos("max_concurrency = 4294967295").max_concurrency, u32::MAX);
    assert_eq!(mos("netdev {\neth0 0xffffffffffffffff\n}").netdev[0].cpu_mask, u64::MAX);
    assert_eq!(mos("multiprocess = 2").multiprocess, Some(Multiprocess { core: 2, master: false }));
    assert_eq!((mos("pcap_out =").pcap_out, mos("mos_log =").mos_log), (None, None));
    let captures = |lines: &str| -> Vec<String> {
        mos(lines).pcap_in.iter().map(|p| p.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(captures("pcap_in = a=b"), ["a=b"]);
    assert_eq!(captures("pcap_in = one two\npcap_in=b\npcap_in = b"), ["one two", "b", "b"]);
    assert_eq!(captures("pcap_in = a\npcap_in =\npcap_in = b"), ["b"]);
    let modules = [
        ("af_packet", Io::AfPacket),
        ("af_xdp", Io::AfXdp),
        ("dpdk", Io::Dpdk),
        ("pcap", Io::Pcap),
        ("tap", Io::Tap),
    ];
    for (name, io) in modules {
        assert_eq!(mos(&format!("io = {name}")).io, Some(io));
    }
    assert!(mos("forward = -1").forward);
    let (digits, hex, octal) = (integer("-08"), integer("0X1f"), integer("0777"));
    assert_eq!((digits, hex, octal), (None, Some(31), Some(511)));
    for bad in ["", "-", "0x", "0x-1", "--1", "+-1", "1 2", "1k", "99999999999999999999", "０"] {
        assert_eq!(integer(bad), None, "{bad:?}");
    }
}

#[test]
fn what_is_unknown_is_skipped_and_told() {
    let c = parse(
        "stray
         mos {
            colour = green
            netdev { eth0 1 }
            tunnels {
               anything at all = 5
            }
            nic_forward_table { eth0 eht1 }
         }
         proxy { run = x }
         application {
            run = x
            speed = 3
            inner { a b c }
         }",
    );
    let told: Vec<String> = c.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 1: text outside of all blocks is skipped",
            "line 3: the key `colour` is not known here and skipped",
            "line 5: the block `tunnels` is not known here and skipped",
            "line 8: no netdev table has the device `eht1`",
            "line 10: the block `proxy` is not known here and skipped",
            "line 13: the key `speed` is not known here and skipped",
            "line 14: the block `inner` is not known here and skipped",
        ]
    );
    assert_eq!((c.mos.netdev.len(), c.applications.len()), (1, 1));
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    use ConfErrorKind as K;
    let s = str::to_owned;
    let table = |text: &str, line, kind| assert_eq!(refused(text), (line, kind), "{text:?}");
    table("mos {\nforward = 1\n", 1, K::Unclosed(s("mos")));
    table("mos {\nnetdev {\n}", 1, K::Unclosed(s("mos")));
    table("\n}", 2, K::Unopened);
    table("mos { } }", 1, K::Unopened);
    table("{ }", 1, K::NoName);
    table("mos {} {}", 1, K::NoName);
    table("two words {\n}", 1, K::BadName(s("two words")));
    table("mos {\nforward 1\n}", 2, K::NoEquals(s("forward 1")));
    table("mos {\n = 1\n}", 2, K::BadName(s("")));
    table("mos {\nforward = yes\n}", 2, K::BadNumber(s("yes")));
    table("mos {\nforward = 0 rmem_size = 1\n}", 2, K::BadNumber(s("0 rmem_size = 1")));
    table("mos {\nmax_concurrency = 0\n}", 2, K::BadNumber(s("0")));
    table("mos {\nmax_concurrency = 4294967296\n}", 2, K::BadNumber(s("4294967296")));
    table("mos {\nrmem_size = -1\n}", 2, K::BadNumber(s("-1")));
    table("mos {\nio = netmap\n}", 2, K::BadValue(s("netmap")));
    table("mos {\nmultiprocess = 1 slave\n}", 2, K::BadValue(s("1 slave")));
    table("mos {\nmultiprocess = master\n}", 2, K::BadNumber(s("master")));
    table("mos {}\nmos {}", 2, K::SecondMos);
    table("application {\ntype = end\n}", 1, K::NoRun);
    table("application {\nrun = 'a\n}", 2, K::OpenQuote);
    table("application {\nrun = x\ncpu_mask = 0\n}", 3, K::BadNumber(s("0")));
    table("mos { netdev {\neth0\n} }", 2, K::WordCount { expected: "device cpu-mask" });
    table("mos { netdev {\neth0 1 2\n} }", 2, K::WordCount { expected: "device cpu-mask" });
    table("mos { route_table {\n10.0.0.0 eth0\n} }", 2, K::BadAddress(s("10.0.0.0")));
    table("mos { route_table {\n10.0.0.0/33 eth0\n} }", 2, K::BadAddress(s("10.0.0.0/33")));
    table("mos { route_table {\n::/129 eth0\n} }", 2, K::BadAddress(s("::/129")));
    table("mos { route_table {\n::/0 eth0 here\n} }", 2, K::BadAddress(s("here")));
    table("mos { route_table {\n::/0\n} }", 2, K::WordCount { expected: "network/bits device [gateway]" });
    table("mos { arp_table {\n10.0.0/8 0:0:0:0:0:0\n} }", 2, K::BadAddress(s("10.0.0/8")));
    for bad in ["0:0:0:0:0", "0:0:0:0:0:0:0", "0:0:0:0:0:100", "0:0:0:0:0:+1", "0:0:0:0::0", "x"] {
        table(&format!("mos {{ arp_table {{\n1.2.3.4 {bad}\n}} }}"), 2, K::BadHardwareAddress(s(bad)));
    }
    table("mos { netdev {\na 1\nb 1\na 2\n} }", 4, K::DeviceTwice(s("a")));
    table("mos { nic_forward_table {\na b\nc b\n} }", 3, K::DeviceTwice(s("b")));
    table("mos { nic_forward_table {\na a\n} }", 2, K::DeviceTwice(s("a")));
    let devices: String = (0..=MAX_DEVICES).map(|n| format!("d{n} 1\n")).collect();
    let many = K::TooMany { what: "devices", most: 64 };
    table(&format!("mos {{ netdev {{\n{devices}}} }}"), 66, many);
    let pairs: String = (0..=MAX_DEVICES / 2).map(|n| format!("l{n} r{n}\n")).collect();
    let many = K::TooMany { what: "pairs of devices", most: 32 };
    table(&format!("mos {{ nic_forward_table {{\n{pairs}}} }}"), 34, many);
    let many = K::TooMany { what: "application blocks", most: 20 };
    table(&"application { run = x }\n".repeat(21), 21, many);
    let words = |n| format!("application {{\nrun = {}\n}}", "w ".repeat(n));
    assert_eq!(parse(&words(20)).applications[0].run.len(), 20);
    table(&words(21), 2, K::TooMany { what: "words in a command line", most: 20 });
    table(&"a {".repeat(100), 1, K::TooDeep);
    for (text, sentence) in [
        ("mos {\nforward = yes\n}", "line 2: `yes` is not a number that is possible here"),
        ("mos { netdev {\neth0\n} }", "line 2: expected `device cpu-mask`"),
        ("mos { netdev {\na 1\na 2\n} }", "line 3: the device `a` is named a second time"),
    ] {
        assert_eq!(Config::parse(text).expect_err(text).to_string(), sentence);
    }
}

#[test]
fn files_that_cannot_be_read_or_are_no_text_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mos.conf");
    assert!(matches!(Config::load(&path), Err(LoadError::Io(e)) if e.kind() == io::ErrorKind::NotFound));
    std::fs::write(&path, b"mos {\n}\n\xff").unwrap();
    let LoadError::Conf(e) = Config::load(&path).expect_err("not text") else { panic!("read") };
    assert_eq!((e.line, e.kind), (3, ConfErrorKind::NotText));
    let mut large = b"mos { rmem_size = 1024 }".to_vec();
    large.resize(1 << 20, b' ');
    std::fs::write(&path, &large).unwrap();
    assert!(Config::load(&path).is_ok());
    large.push(b' ');
    std::fs::write(&path, &large).unwrap();
    assert!(matches!(Config::load(&path), Err(LoadError::TooLarge)));
    std::fs::write(&path, "mos { rmem_size = 1024 }").unwrap();
    assert_eq!(Config::load(&path).unwrap().mos.rmem_size, 1024);
}

/// Words that lead deep into the parser, put together at random.
fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "mos",
        "application",
        "netdev",
        "arp_table",
        "route_table",
        "nic_forward_table",
        "{",
        "}",
        "=",
        "\n",
        "#",
        "run",
        "type",
        "forward",
        "multiprocess",
        "tcp_timeout",
        "io",
        "pcap",
        "0x1f",
        "-1",
        "10.0.0.1/8",
        "eth0",
        "0:1:2:3:4:5",
        "'",
        "\"",
        " ",
        "\r\n",
        "é",
        "\0",
        "/",
        "99999999999999999999999",
    ];
    prop_oneof![prop::sample::select(WORDS).prop_map(str::to_owned), any::<String>()]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(words in prop::collection::vec(word(), 0..60), space: bool) {
        let text = words.join(if space { " " } else { "" });
        if let Err(e) = Config::parse(&text) {
            prop_assert!(e.line >= 1 && e.line <= text.lines().count().max(1));
            prop_assert!(!e.to_string().is_empty());
        }
    }

    #[test]
    fn what_is_written_is_read(concurrency in 1_u32.., rmem in 1_u32.., timeout in -5_i32..1000, mask in 1_u64..) {
        let text = format!(
            "mos {{\nmax_concurrency={concurrency}\nrmem_size = {rmem:#x}\ntcp_timeout = {timeout}\nnetdev {{ d {mask} }} }}"
        );
        let m = parse(&text).mos;
        prop_assert_eq!((m.max_concurrency, m.rmem_size, m.netdev[0].cpu_mask), (concurrency, rmem, mask));
        prop_assert_eq!(m.tcp_timeout.map_or(0, |t| t.as_secs() as i32), timeout.max(0));
    }
}
