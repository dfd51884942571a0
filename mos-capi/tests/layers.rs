//! The order of the modules in each `lib.rs` is their rank: a module may use those above it in the file, not those
//! below. Modules in one block (no blank line between them) have one rank.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 5] = ["ringbuf-core", "tcp-reasm", "mos-flow", "mos-dpdk", "mos-capi"];

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Module name to rank.
fn ranks(lib: &str) -> HashMap<&str, usize> {
    let mut ranks = HashMap::new();
    let mut rank = 0;
    for line in lib.lines() {
        if line.trim().is_empty() {
            rank += 1;
        }
        let module = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ");
        if let Some(name) = module.and_then(|m| m.strip_suffix(';')) {
            ranks.insert(name, rank);
        }
    }
    ranks
}

/// The modules that a line of a `use crate::…` or a path `crate::…` names.
fn used(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn no_module_uses_one_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut edges = 0;
    for name in CRATES {
        let src = root.join(name).join("src");
        let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
        let ranks = ranks(&lib);
        assert!(ranks.len() > 3, "{name}: {ranks:?}");
        let mut files = Vec::new();
        sources(&src, &mut files);
        let is_test = |f: &Path| f.ends_with("tests.rs") || f.iter().any(|part| part == "tests");
        for file in files.iter().filter(|f| !f.ends_with("lib.rs") && !is_test(f)) {
            let relative = file.strip_prefix(&src).unwrap().with_extension("");
            let own = relative.iter().next().unwrap().to_str().unwrap();
            let text = fs::read_to_string(file).unwrap();
            let code =
                text.split("#[cfg(test)]").next().and_then(|t| t.split("#[cfg(all(test").next()).unwrap();
            for module in code.lines().filter(|l| !l.trim_start().starts_with("//")).flat_map(used) {
                if let (Some(from), Some(to)) = (ranks.get(own), ranks.get(module)) {
                    assert!(to <= from, "{name}: {own} uses {module}, which is above it");
                    edges += 1;
                }
            }
        }
    }
    assert!(edges > 150, "only {edges} uses were looked at");
}

/// Each crate names only crates below it.
#[test]
fn no_crate_depends_on_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // A name in a manifest begins a line.
    for (i, name) in CRATES.iter().enumerate() {
        let manifest = fs::read_to_string(root.join(name).join("Cargo.toml")).unwrap();
        for above in &CRATES[i + 1..] {
            assert!(!manifest.contains(&format!("\n{above}")), "{name} depends on {above}");
        }
    }
}
