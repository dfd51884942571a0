//! `tcpdump` as the oracle.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// The command, and the capture that it reads.
pub(crate) struct Tcpdump {
    capture: PathBuf,
    frames: usize,
}

impl Tcpdump {
    /// Over `frames`, each with its length on the wire. `None`, and a line that says so, when there is no tcpdump.
    pub(crate) fn over(frames: &[(Vec<u8>, u32)], name: &str) -> Option<Tcpdump> {
        let capture = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("libpcap-{name}.pcap"));
        fs::write(&capture, pcap(frames)).unwrap();
        let tcpdump = Tcpdump { capture, frames: frames.len() };
        match tcpdump.run(&["-w", "-"], "") {
            Ok(octets) if numbers(&octets).count() == frames.len() => Some(tcpdump),
            Ok(_) => panic!("tcpdump without a filter gives every frame"),
            Err(why) => {
                eprintln!("SKIPPED: no comparison with libpcap, as tcpdump does not run: {why}");
                None
            }
        }
    }

    /// Which frames an expression selects, or what libpcap says against it.
    pub(crate) fn selects(&self, expression: &str) -> Result<Vec<bool>, String> {
        let octets = self.run(&["-w", "-"], expression)?;
        let mut selected = vec![false; self.frames];
        numbers(&octets).for_each(|n| selected[n] = true);
        Ok(selected)
    }

    /// Whether an expression is one, for Ethernet, or what libpcap says against it.
    pub(crate) fn compiles(&self, expression: &str) -> Result<(), String> {
        self.run(&["-d"], expression).map(drop)
    }

    fn run(&self, options: &[&str], expression: &str) -> Result<Vec<u8>, String> {
        // The capture comes by standard input: tcpdump may not be allowed to open it once it has changed its user.
        let output = Command::new("tcpdump")
            .args(["-O", "-n", "-r", "-"])
            .args(options)
            .args(["--", expression])
            .stdin(File::open(&self.capture).unwrap())
            .output()
            .map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().find_map(|line| line.strip_prefix("tcpdump: ")).unwrap_or(&said).into())
        }
    }
}

/// What the oracle calls itself.
pub(crate) fn version() -> String {
    let output = Command::new("tcpdump").arg("--version").output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    said.lines().filter(|line| line.contains("version")).collect::<Vec<_>>().join(", ")
}

/// A pcap file whose frames have their number as their time.
fn pcap(frames: &[(Vec<u8>, u32)]) -> Vec<u8> {
    // Magic, version 2.4, time zone, accuracy, snap length, Ethernet.
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 1 << 18, 1];
    let mut file: Vec<u8> = header.iter().flat_map(|field| field.to_le_bytes()).collect();
    for (i, (data, wire_len)) in frames.iter().enumerate() {
        let record = [i as u32, 0, data.len() as u32, *wire_len];
        file.extend(record.iter().flat_map(|field| field.to_le_bytes()));
        file.extend(data);
    }
    file
}

/// The numbers of the frames in a pcap file.
fn numbers(file: &[u8]) -> impl Iterator<Item = usize> {
    let mut rest = file.get(24..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (record, behind) = rest.split_first_chunk::<16>()?;
        let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap()) as usize;
        rest = &behind[word(8)..];
        Some(word(0))
    })
}
