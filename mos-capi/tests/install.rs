//! A newcomer's path: install, ask pkg-config, compile the front page's program, see the connections of a capture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Run, cc, is_installed, library_dir, package, recorded, skipped, succeeded};

/// The library in a folder of its own.
struct Installed {
    root: tempfile::TempDir,
}

const PREFIX: &str = "/opt/mos";

impl Installed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.arg(package().join("install.sh")).arg(library_dir()).env("PREFIX", PREFIX);
        command
            .env("DESTDIR", root.path())
            .env_remove("LIBDIR")
            .env_remove("INCLUDEDIR")
            .env_remove("MANDIR");
        // No cargo, no compiler: nothing but a plain system.
        command.env("PATH", "/usr/bin:/bin").current_dir("/");
        succeeded(&command.output().unwrap(), "install.sh");
        Installed { root }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(PREFIX.trim_start_matches('/')).join(inside)
    }

    fn pkg_config(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command
            .env("PKG_CONFIG_PATH", self.path("lib/pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", self.root.path());
        let output = command.args(arguments).arg("mos").output().unwrap();
        succeeded(&output, "pkg-config");
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    /// Compiles the program of the front page.
    fn compile(&self, name: &str, options: &[String]) -> PathBuf {
        let page = std::fs::read_to_string(package().join("../README.md")).unwrap();
        let source = page.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let (file, program) = (self.path(&format!("{name}.c")), self.path(name));
        std::fs::write(&file, source).unwrap();
        let mut command = Command::new(cc());
        command.args(["-Wall", "-Wextra", "-Werror"]).arg(&file).arg("-o").arg(&program).args(options);
        succeeded(&command.output().unwrap(), &format!("{command:?}"));
        program
    }

    /// The program sees what is there to be seen.
    fn check(&self, program: &Path) {
        for capture in CAPTURES {
            let run = Run::new(program, Some(&recorded(capture))).directory(package().parent().unwrap());
            let printed = run.env("LD_LIBRARY_PATH", self.path("lib")).output();
            assert_eq!(seen(&printed), truth(capture), "{} {capture}", program.display());
        }
    }

    /// The shared libraries that a program asks for.
    fn needed(program: &Path) -> Vec<String> {
        let output = Command::new("readelf").args(["-d", "-W"]).arg(program).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let names = lines.lines().filter(|l| l.contains("(NEEDED)")).filter_map(|l| l.split_once('['));
        names.map(|(_, name)| name.trim_end_matches(']').to_owned()).collect()
    }
}

/// One connection, and sixty.
const CAPTURES: [&str; 2] = ["web4.pcap", "short4.pcap"];

/// What the ends of a capture say: who connected to which port, sorted, and how many octets were received in all.
fn truth(capture: &str) -> (Vec<String>, u64) {
    let text = std::fs::read_to_string(recorded("truth.json")).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let connections = whole["files"][capture]["connections"].as_array().unwrap().clone();
    let name = |c: &serde_json::Value| {
        let port = c["server"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        format!("{} connects to port {port}", c["client"].as_str().unwrap())
    };
    let bytes = |c: &serde_json::Value, to: &str| c[to]["bytes"].as_u64().unwrap();
    let mut names: Vec<String> = connections.iter().map(name).collect();
    names.sort();
    (names, connections.iter().map(|c| bytes(c, "to_client") + bytes(c, "to_server")).sum())
}

/// The same of what the program prints.
fn seen(printed: &str) -> (Vec<String>, u64) {
    let mut names: Vec<String> =
        printed.lines().filter(|l| l.contains(" connects ")).map(str::to_owned).collect();
    names.sort();
    let number = |l: &str| l.strip_suffix(" bytes")?.rsplit(' ').next()?.parse::<u64>().ok();
    (names, printed.lines().filter_map(number).sum())
}

#[test]
fn what_is_installed_builds_programs() {
    if !is_installed("pkg-config") {
        return skipped("nothing was built from the installed library: pkg-config is not installed");
    }
    let installed = Installed::new();
    let shared = installed.compile("shared", &installed.pkg_config(&["--cflags", "--libs"]));
    assert!(Installed::needed(&shared).contains(&"libmos.so.0".to_owned()));
    let mut options = installed.pkg_config(&["--cflags", "--libs", "--static"]);
    options.push("-static".to_owned());
    let whole = installed.compile("static", &options);
    assert_eq!(Installed::needed(&whole), [""; 0]);
    installed.check(&shared);
    installed.check(&whole);
    let version = installed.pkg_config(&["--modversion"]);
    assert_eq!(version, [env!("CARGO_PKG_VERSION")]);
}

/// The makefiles of the original's samples: its folders of headers, and its libraries' names.
#[test]
fn old_link_lines_still_link() {
    let installed = Installed::new();
    let include = |folder: &str| format!("-I{}", installed.path(folder).display());
    let folders = [include("include/mos"), include("include/mos/compat")];
    let library = format!("-L{}", installed.path("lib").display());
    let words = ["-lmtcp", "-lpthread", "-lrt"].map(str::to_owned);
    let options: Vec<String> = folders.iter().cloned().chain([library]).chain(words).collect();
    let shared = installed.compile("old", &options);
    installed.check(&shared);
    let archive = installed.path("lib/libmtcp.a").display().to_string();
    let options: Vec<String> = folders
        .into_iter()
        .chain([archive])
        .chain(["-lpthread", "-lrt", "-lm", "-ldl"].map(str::to_owned))
        .collect();
    let whole = installed.compile("old-static", &options);
    assert!(Installed::needed(&whole).iter().all(|n| !n.starts_with("libm") || n.starts_with("libm.")));
    installed.check(&whole);
}

#[test]
fn every_header_and_page_is_installed() {
    let installed = Installed::new();
    let mut pairs = vec![("include".to_owned(), "include/mos".to_owned())];
    pairs.push(("include/compat".to_owned(), "include/mos/compat".to_owned()));
    for section in 1..=9 {
        pairs.push((format!("man/man{section}"), format!("share/man/man{section}")));
    }
    let mut files = 0;
    for (from, to) in pairs {
        let Ok(entries) = std::fs::read_dir(package().join(&from)) else { continue };
        for entry in entries.map(Result::unwrap).filter(|e| e.path().is_file()) {
            let there = std::fs::read(installed.path(&to).join(entry.file_name())).unwrap();
            assert_eq!(there, std::fs::read(entry.path()).unwrap(), "{:?}", entry.file_name());
            files += 1;
        }
    }
    assert!(files >= 9, "{files}");
    let target = |name: &str| std::fs::read_link(installed.path("lib").join(name)).unwrap();
    let real = format!("libmos.so.{}", env!("CARGO_PKG_VERSION"));
    let chain = ["libmos.so.0", "libmos.so", "libmtcp.so", "libmtcp.a"]
        .map(|name| target(name).display().to_string());
    assert_eq!(chain, [real.as_str(), "libmos.so.0", "libmos.so", "libmos.a"]);
}

#[test]
fn what_cannot_be_installed_is_told() {
    let empty = tempfile::tempdir().unwrap();
    let run = |arguments: &[&Path], prefix: &str| {
        let mut command = Command::new("sh");
        command.arg(package().join("install.sh")).args(arguments).env("PREFIX", prefix);
        let output = command.env("DESTDIR", empty.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (arguments, prefix, sentence) in [
        (&[][..], "/usr", "usage"),
        (&[empty.path()][..], "/usr", "libmos.so"),
        (&[library_dir().as_path()][..], "usr", "PREFIX"),
    ] {
        let (code, said) = run(arguments, prefix);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none());
}
