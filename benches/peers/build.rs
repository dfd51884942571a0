//! Compiles the monitors in C and C++, of what is there, and notes versions for the head of the tables.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(nids, tins)");
    println!("cargo:rerun-if-changed=c");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    println!("cargo:rerun-if-changed=../../mos-capi/include");
    let mut always = cc::Build::new();
    always.files(["c/mos.c", "c/heap.c"]).include("../../mos-capi/include").opt_level(2).compile("peers_mos");
    if std::env::var_os("CARGO_FEATURE_PEERS").is_some() {
        nids();
        tins();
    }
    let rustc = std::env::var("RUSTC").unwrap_or_default();
    println!("cargo:rustc-env=RUSTC_VERSION={}", words(Command::new(rustc).arg("-V")).unwrap_or_default());
    println!("cargo:rustc-env=CRATE_VERSIONS={}", crates(&["flowscope", "protolens", "smoltcp"]));
}

/// libnids has no file for pkg-config.
fn nids() {
    println!("cargo:rerun-if-changed=/usr/include/nids.h");
    if Path::new("/usr/include/nids.h").exists() {
        cc::Build::new().file("c/nids.c").opt_level(2).compile("peers_nids");
        println!("cargo:rustc-link-lib=nids");
        println!("cargo:rustc-link-lib=pcap");
        println!("cargo:rustc-cfg=nids");
    }
}

fn tins() {
    println!("cargo:rerun-if-changed=/usr/include/tins");
    let version = words(Command::new("pkg-config").args(["--modversion", "libtins"]));
    if let Some(version) = version {
        cc::Build::new().cpp(true).std("c++17").file("c/tins.cpp").opt_level(2).compile("peers_tins");
        println!("cargo:rustc-link-lib=tins");
        println!("cargo:rustc-cfg=tins");
        println!("cargo:rustc-env=TINS_VERSION={version}");
    }
}

/// What a program prints, when it succeeds.
fn words(program: &mut Command) -> Option<String> {
    let output = program.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The versions of `names` in the lock file.
fn crates(names: &[&str]) -> String {
    let lock = std::fs::read_to_string("../../Cargo.lock").unwrap_or_default();
    let version = |name: &&str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", rest.split_once('"')?.0))
    };
    names.iter().filter_map(version).collect::<Vec<_>>().join(", ")
}
