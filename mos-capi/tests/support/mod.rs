//! Building and running C programs against the headers and the freshly built library.
#![allow(dead_code)] // each test uses its part of it

#[cfg(target_os = "linux")]
pub(crate) mod alone;
pub(crate) mod captures;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a program is linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// `libmos.so`.
    Shared,
    /// `libmos.a`.
    Static,
    /// `libmos.a`, and the program itself watched by AddressSanitizer and UndefinedBehaviorSanitizer.
    Sanitized,
}

/// This package's folder.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A capture of real exchanges.
pub(crate) fn recorded(name: &str) -> PathBuf {
    package().join("../mos-flow/tests/pcaps").join(name)
}

/// The directory for what the tests make, in cargo's own.
pub(crate) fn workshop() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        // A test in a network namespace is a process of its own, beside others that build the same programs.
        let alone = std::env::var("MOS_LIVE_ALONE").unwrap_or_default().replace(':', "-");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c_programs{alone}"));
        std::fs::create_dir_all(&dir).unwrap();
        // A program asks for the SONAME, the linker for the plain name.
        for (name, built) in
            [("libmos.so", "libmos.so"), ("libmos.so.0", "libmos.so"), ("libmos.a", "libmos.a")]
        {
            let (built, link) = (library_dir().join(built), dir.join(name));
            assert!(built.exists(), "{} is not there", built.display());
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(built, link).unwrap();
        }
        dir
    })
}

/// Where cargo puts the library that belongs to this test: beside the test.
pub(crate) fn library_dir() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The C compiler.
pub(crate) fn cc() -> String {
    std::env::var("CC").unwrap_or_else(|_| "cc".to_owned())
}

/// Whether a program can be run at all.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}

/// Says, also when the output of tests is captured, that something was not checked.
pub(crate) fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Compiles `source`, a path in this package, and returns the program.
pub(crate) fn build(source: &str, link: Link) -> PathBuf {
    build_file(&package().join(source), link)
}

/// Compiles a file and returns the program. Tests that run at the same time can build the same one.
pub(crate) fn build_file(source: &Path, link: Link) -> PathBuf {
    build_with(source, link, |_| ())
}

/// The same with more options of the compiler.
pub(crate) fn build_with(source: &Path, link: Link, options: impl FnOnce(&mut Command)) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let dir = workshop();
    let name = source.file_stem().unwrap().to_string_lossy().into_owned();
    let program = dir.join(format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let mut command = Command::new(cc());
    command.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g"]);
    command.arg("-I").arg(package().join("include")).arg(source).arg("-o").arg(&program);
    match link {
        Link::Shared => {
            command.arg("-L").arg(dir).arg("-lmos").arg(format!("-Wl,-rpath,{}", dir.display()));
        }
        Link::Static | Link::Sanitized => {
            command.arg(dir.join("libmos.a"));
        }
    }
    if link == Link::Sanitized {
        command.args(SANITIZERS);
    }
    command.args(["-lpthread", "-ldl", "-lm"]);
    options(&mut command);
    let output = command.output().unwrap_or_else(|e| panic!("{}: {e}", cc()));
    succeeded(&output, &format!("{command:?}"));
    program
}

const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/// Whether the C compiler has the sanitizers.
pub(crate) fn can_sanitize() -> bool {
    let source = file("sanitize.c", b"int main(void) { return 0; }\n");
    let mut command = Command::new(cc());
    command.arg(source).arg("-o").arg(workshop().join("sanitize")).args(SANITIZERS);
    command.output().is_ok_and(|o| o.status.success())
}

/// A program's run: what it is given, and the text that it prints.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
}

impl Run {
    /// `program` over `capture`.
    pub(crate) fn new(program: &Path, capture: Option<&Path>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(workshop()).env_remove("MOS_IO").env_remove("MOS_CHECKSUM");
        // Cargo's would lead to the library of the last `cargo build`, before that of the workshop.
        command.env_remove("LD_LIBRARY_PATH");
        if let Some(capture) = capture {
            command.env("MOS_IO", io("pcap:", capture));
        }
        Run { command }
    }

    /// The same under valgrind.
    pub(crate) fn under_valgrind(program: &Path, capture: Option<&Path>) -> Self {
        let mut run = Run::new(Path::new("valgrind"), capture);
        let options =
            ["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"];
        run.command.args(options).arg(program);
        run
    }

    /// Runs it in `directory`.
    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Runs it to its good end, and returns what it printed.
    pub(crate) fn output(mut self) -> String {
        let output = self.command.output().unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        succeeded(&output, &format!("{:?}", self.command));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts it; what it prints is read from it.
    pub(crate) fn start(mut self) -> Child {
        self.command.stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{:?}: {e}", self.command))
    }

    /// Runs a program of checks, which must have made at least `least` of them.
    pub(crate) fn checks(self, least: u32) {
        checked(&self.output(), least);
    }

    /// The same for a program that prints nothing else, wherever.
    pub(crate) fn silent_checks(mut self, least: u32) {
        let output = self.command.output().unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        succeeded(&output, &format!("{:?}", self.command));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.stderr.is_empty() && printed.lines().count() == 1, "{output:?}");
        checked(&printed, least);
    }
}

/// What a program of checks has printed at its end.
fn checked(printed: &str, least: u32) {
    let last = printed.lines().last().unwrap_or_default();
    let made: Option<u32> = last.strip_suffix(" checks, 0 failures").and_then(|n| n.parse().ok());
    assert!(made.is_some_and(|made| made >= least), "at least {least} checks, not: {last:?}");
}

fn io(prefix: &str, path: &Path) -> std::ffi::OsString {
    let mut value = std::ffi::OsString::from(prefix);
    value.push(path);
    value
}

pub(crate) fn succeeded(output: &Output, what: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}\n{}\n{out}{err}", output.status);
}

/// A configuration file with these lines in its mos block.
pub(crate) fn conf(name: &str, lines: &str) -> PathBuf {
    file(name, format!("mos {{\n{lines}\n}}\n").as_bytes())
}

/// A file of the workshop. Tests that run at the same time can make the same one: it is there as a whole or not.
pub(crate) fn file(name: &str, octets: &[u8]) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let path = workshop().join(name);
    let unfinished = workshop().join(format!("{name}.{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&unfinished, octets).unwrap();
    std::fs::rename(&unfinished, &path).unwrap();
    path
}
