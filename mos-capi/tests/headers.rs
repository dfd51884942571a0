//! The headers: what compiles with them, and that they declare exactly what the library exports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Link, Run, build_with, can_sanitize, cc, file, is_installed, package, skipped, workshop};

/// The headers that programs include, as they name them.
fn headers() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["include", "include/compat"] {
        for entry in std::fs::read_dir(package().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            names.extend(name.ends_with(".h").then_some(name));
        }
    }
    names.sort();
    assert!(names.len() >= 9 && names.iter().any(|n| n == "mos_api.h"), "{names:?}");
    names
}

/// `command` with both folders of headers.
fn includes(command: &mut Command) -> &mut Command {
    command.arg("-I").arg(package().join("include")).arg("-I").arg(package().join("include/compat"))
}

/// A file for each header alone, and one with all of them, twice.
fn sources(extension: &str) -> Vec<PathBuf> {
    let line = |name: &String| format!("#include \"{name}\"\n");
    let headers = headers();
    let mut texts: Vec<String> = headers.iter().map(line).collect();
    texts.push(
        headers.iter().map(line).collect::<String>() + &headers.iter().rev().map(line).collect::<String>(),
    );
    let write = |(i, text): (usize, &String)| {
        let text = format!("{text}int main(void) {{ return 0; }}\n");
        file(&format!("header-{i}.{extension}"), text.as_bytes())
    };
    texts.iter().enumerate().map(write).collect()
}

/// Compiles files without a complaint, by each of the compilers that are there, in each of the standards.
fn compile(compilers: &[&str], standards: &[&str], options: &[&str], files: &[PathBuf]) {
    let there: Vec<&&str> = compilers.iter().filter(|c| is_installed(c)).collect();
    if there.len() < compilers.len() {
        skipped(&format!(
            "the headers were compiled by {there:?} of {compilers:?}: the others are not installed"
        ));
    }
    for compiler in there {
        for standard in standards {
            let mut command = Command::new(compiler);
            command.args(["-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Werror"]);
            includes(&mut command).arg(format!("-std={standard}")).args(options).args(files);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn each_header_alone_is_c() {
    let files = sources("c");
    let strict = ["-pedantic", "-Wstrict-prototypes", "-Wmissing-prototypes"];
    compile(&["gcc", "clang"], &["gnu99", "gnu11", "gnu17", "c11"], &strict, &files);
}

/// What the original's makefiles said by saying nothing, when it was written. (Not pedantic: with nameless structures,
/// `long long` and macros of any number of arguments this is as far as C89 goes.)
#[test]
fn each_header_alone_is_old_c() {
    compile(&["gcc", "clang"], &["gnu89"], &["-Wstrict-prototypes"], &sources("c"));
}

#[test]
fn each_header_alone_is_cpp() {
    let files = sources("cc");
    let standards = ["c++11", "c++14", "c++17", "c++20"];
    compile(&["g++", "clang++"], &standards, &["-pedantic", "-Wmissing-declarations"], &files);
}

#[test]
fn layouts_are_the_same_for_every_compiler() {
    let layout = [package().join("tests/c/layout.c")];
    // Its list of pointers to functions as pointers to data is not for the pedantic.
    compile(&["gcc", "clang"], &["gnu11", "c11", "gnu17"], &[], &layout);
    compile(&["g++", "clang++"], &["c++11", "c++20"], &["-pedantic", "-xc++"], &layout);
}

#[test]
fn helpers_of_the_samples_work() {
    let source = package().join("tests/c/compat.c");
    let compat = package().join("include/compat");
    let mut links = vec![Link::Shared, Link::Static];
    links.extend(can_sanitize().then_some(Link::Sanitized));
    for link in links {
        let program = build_with(&source, link, |command| {
            command.arg("-I").arg(&compat);
        });
        Run::new(&program, None).checks(150);
    }
}

/// The names of functions that preprocessed C declares and does not define: what is not inside of braces, by statements.
fn declared(text: &str) -> BTreeSet<String> {
    let (mut names, mut statement, mut depth) = (BTreeSet::new(), String::new(), 0);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth > 0 => continue,
            ';' => {
                names.extend(function(&statement).map(str::to_owned));
                statement.clear();
            }
            _ => statement.push(c),
        }
        // A definition has no semicolon.
        if c == '}' && depth == 0 && statement.contains("static inline") {
            statement.clear();
        }
    }
    names
}

/// The function that a statement declares.
fn function(statement: &str) -> Option<&str> {
    let statement = statement.trim();
    let (head, _) = statement.split_once('(').filter(|_| !statement.starts_with("typedef"))?;
    let name = head.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some(name).filter(|n| !n.is_empty() && !n.starts_with("__"))
}

/// What our headers say after the preprocessor, without what they include of the system.
fn preprocessed() -> String {
    let source = sources("c").pop().unwrap();
    let output = includes(Command::new(cc()).args(["-E", "-std=gnu11"])).arg(source).output().unwrap();
    assert!(output.status.success());
    let ours = package().join("include").to_string_lossy().into_owned();
    let (mut inside, mut text) = (false, String::new());
    for line in std::str::from_utf8(&output.stdout).unwrap().lines() {
        match line.strip_prefix("# ") {
            Some(marker) => inside = marker.contains(&ours),
            None if inside => text += &format!("{line}\n"),
            None => (),
        }
    }
    text
}

fn exported(library: &Path) -> BTreeSet<String> {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|l| l.split_whitespace().last()).map(str::to_owned).collect()
}

/// Rust's compiler gives the linker the list of what a shared library exports: no version script of ours is needed.
#[test]
fn the_headers_declare_what_the_library_exports_and_nothing_else() {
    if !is_installed("nm") {
        return skipped("exports were not compared with the headers: nm is not installed");
    }
    let (declared, exported) = (declared(&preprocessed()), exported(&workshop().join("libmos.so")));
    assert!(exported.len() >= 55, "{exported:?}");
    let (missing, hidden): (Vec<_>, Vec<_>) =
        (declared.difference(&exported).collect(), exported.difference(&declared).collect());
    assert!(missing.is_empty(), "declared, but not there: {missing:?}");
    assert!(hidden.is_empty(), "there, but not declared: {hidden:?}");
}

#[test]
fn declarations_are_found() {
    let text = "typedef int (*f)(int);\nstruct s { int (*g)(void); };\nint a(int x);\nchar *b (void);\n\
                static inline int c(void) { return d(1); }\n__extension__ union u { int e; };\nvoid h(int (*cb)(int));\n";
    let names: Vec<String> = declared(text).into_iter().collect();
    assert_eq!(names, ["a", "b", "h"]);
}
