//! Where the examples are that were built with these tests.

use std::path::PathBuf;

/// The program of an example. `cargo test` builds it beside the tests, but tells nobody where.
pub(crate) fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let built = this.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(built.exists(), "{} is not built: cargo build -p mos-dpdk --examples", built.display());
    built
}
