//! What a page of the manual says, by its macros.

use crate::header::tokens;
use crate::support::package;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    /// Its file's name.
    pub(crate) title: String,
    /// The page that this name leads to.
    pub(crate) link: Option<String>,
    pub(crate) names: BTreeSet<String>,
    pub(crate) include: Option<String>,
    pub(crate) prototypes: BTreeMap<String, Vec<String>>,
    /// Those of the section ERRORS.
    pub(crate) errors: BTreeSet<String>,
    /// Pages as `name.section`.
    pub(crate) references: BTreeSet<String>,
    /// Keys of a configuration that are explained.
    pub(crate) items: BTreeSet<String>,
    /// Whole C programs among the examples.
    pub(crate) programs: Vec<String>,
    /// Other literal text among the examples.
    pub(crate) texts: Vec<String>,
}

/// All pages, by their files' names.
pub(crate) fn pages() -> BTreeMap<String, Page> {
    let folders = ["man3", "man5", "man7"].map(|f| package().join("man").join(f));
    let files = folders.iter().flat_map(|f| std::fs::read_dir(f).unwrap()).map(|e| e.unwrap().path());
    let pages: BTreeMap<String, Page> = files.map(|f| Page::read(&f)).map(|p| (p.title.clone(), p)).collect();
    assert!(pages.len() >= 29, "{:?}", pages.keys());
    pages
}

impl Page {
    fn read(path: &Path) -> Page {
        let title = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let mut page = Page { path: path.to_owned(), title, ..Page::default() };
        page.link = text.strip_prefix(".so ").map(|to| to.trim().rsplit('/').next().unwrap().to_owned());
        let (mut section, mut kind, mut open) = (String::new(), String::new(), None);
        let mut literal: Option<Vec<String>> = None;
        for line in text.lines() {
            let words = words(line);
            match (words.first().map(String::as_str), &mut literal) {
                (Some(".Ed"), literal @ Some(_)) => {
                    let text = literal.take().unwrap().join("\n") + "\n";
                    match () {
                        () if section != "EXAMPLES" => {}
                        () if text.starts_with("#include") => page.programs.push(text),
                        () => page.texts.push(text),
                    }
                }
                (_, Some(lines)) => lines.push(plain(line)),
                (Some(".Bd"), None) if words[1] == "-literal" => literal = Some(Vec::new()),
                (Some(".Sh"), None) => section = words[1..].join(" "),
                (Some(".Nm"), None) if section == "NAME" => page.names.extend(words.get(1).cloned()),
                (Some(".In"), None) if section == "SYNOPSIS" => page.include = words.get(1).cloned(),
                (Some(".Ft"), None) => kind = words[1..].join(" "),
                (Some(".Fn"), None) if section == "SYNOPSIS" => page.prototype(&kind, &words[1], &words[2..]),
                (Some(".Fo"), None) => open = Some((words[1].clone(), Vec::new())),
                (Some(".Fa"), None) if section == "SYNOPSIS" => {
                    open.as_mut().unwrap().1.extend(words[1..].iter().cloned());
                }
                (Some(".Fc"), None) => {
                    let (name, arguments) = open.take().unwrap();
                    page.prototype(&kind, &name, &arguments);
                }
                _ => page.mentions(&section, &words),
            }
        }
        page
    }

    fn prototype(&mut self, kind: &str, name: &str, arguments: &[String]) {
        let text = format!("{kind} {name}({})", arguments.join(", "));
        self.prototypes.insert(name.to_owned(), tokens(&text));
    }

    /// Errors and other pages, which can be anywhere in a line of macros.
    fn mentions(&mut self, section: &str, words: &[String]) {
        for pair in words.windows(2).filter(|p| section == "ERRORS" && p[0].ends_with("Er")) {
            self.errors.insert(pair[1].clone());
        }
        for three in words.windows(3).filter(|w| w[0] == ".Xr" || w[0] == "Xr") {
            self.references.insert(format!("{}.{}", three[1], three[2]));
        }
        if words.starts_with(&[".It".to_owned(), "Ic".to_owned()]) {
            self.items.extend(words[2..].iter().filter(|w| *w != ",").cloned());
        }
    }
}

/// The words of a line; those between quotation marks are one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('"').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// A literal line without the escapes of the language.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        plain += before;
        let (character, length) = match after.chars().next() {
            Some('e') => ("\\", 1),
            Some('&') => ("", 1),
            Some('-') => ("-", 1),
            other => panic!("an escape that is not known: {other:?} in {line}"),
        };
        plain += character;
        rest = &after[length..];
    }
    plain + rest
}
