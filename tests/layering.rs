//! The folder tree is the architecture: who may use whom, who may print, who may compare versions, and how long a file
//! may be. The table below is the picture; when it changes, so does `src/lib.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, and the layers it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("remote", &[]),
    ("model", &[]),
    ("python", &["remote"]),
    ("runtime", &["remote", "python", "model"]),
    ("capture", &["remote", "python", "runtime", "model"]),
    ("watch", &["remote", "python", "runtime", "model", "capture"]),
    ("sampler", &["remote", "model", "capture", "watch"]),
    ("profile", &["model"]),
    ("detect", &["model", "profile"]),
    ("render", &["model", "profile", "detect"]),
    // `remote` for the doctor's checks, which read no memory.
    ("cli", &["remote", "model", "capture", "sampler", "profile", "detect", "render"]),
];

/// Where versions of Python may be compared.
const LAYOUTS: &[&str] = &["python/layout", "runtime/asyncio/layout"];

/// A longer file does not fit into a head.
const LONGEST_FILE: usize = 600;

/// Tables, one row a field or a version; as long as what they describe.
const TABLES: &[&str] = &["python/layout/mod.rs", "python/layout/rows.rs"];

struct Source {
    /// Below `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    fn layer(&self) -> Option<&str> {
        let mut parts = self.path.iter();
        let first = parts.next()?.to_str()?;
        parts.next().map(|_| first)
    }

    /// Code, without comments and without the tests at the end of the file.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        code.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: path.strip_prefix(&root).unwrap().to_owned(), text });
            }
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

/// Layers named in `crate::X` on a line, also in `crate::{X, Y}`.
fn used_layers(line: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or(list).split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let end = name.trim().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.trim().len());
            used.push(&name.trim()[..end]);
        }
    }
    used
}

fn expect_none(what: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{what}:\n  {}", offences.join("\n  "));
}

#[test]
fn layers_use_only_the_layers_before_them() {
    let mut offences = Vec::new();
    for source in sources() {
        let Some(layer) = source.layer() else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            offences.push(format!("{}: {layer} is not in the table of layers", source.path.display()));
            continue;
        };
        for (number, line) in source.code_lines() {
            for used in used_layers(line) {
                let is_layer = LAYERS.iter().any(|(name, _)| *name == used);
                if is_layer && used != layer && !allowed.contains(&used) {
                    offences.push(format!("{}:{number}: {layer} uses {used}", source.path.display()));
                }
            }
        }
    }
    expect_none("edges against the architecture", &offences);
}

#[test]
fn only_the_command_line_prints_or_exits() {
    const WORDS: [&str; 7] = ["println!", "print!", "eprintln!", "eprint!", "process::exit", "stdout()", "stderr()"];
    let mut offences = Vec::new();
    for source in sources().iter().filter(|source| source.layer() != Some("cli")) {
        for (number, line) in source.code_lines() {
            if let Some(word) = WORDS.iter().find(|word| line.contains(*word)) {
                offences.push(format!("{}:{number}: {word}", source.path.display()));
            }
        }
    }
    expect_none("printing or exiting outside of cli", &offences);
}

#[test]
fn python_versions_are_compared_in_the_layout_files_only() {
    let mut offences = Vec::new();
    for source in sources().iter().filter(|source| !LAYOUTS.iter().any(|layouts| source.path.starts_with(layouts))) {
        for (number, line) in source.code_lines() {
            let compares = ["minor <", "minor >", "minor =", "minor !", "match version.minor", "match minor"];
            if compares.iter().any(|form| line.contains(form)) && !line.contains("let minor =") {
                offences.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    expect_none("version comparisons outside of the layouts", &offences);
}

#[test]
fn python_knows_no_runtime() {
    let mut offences = Vec::new();
    for source in sources().iter().filter(|source| source.layer() == Some("python")) {
        for (number, line) in source.code_lines().filter(|(_, line)| line.to_lowercase().contains("asyncio")) {
            offences.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
        }
    }
    expect_none("asyncio in python", &offences);
}

#[test]
fn every_file_says_what_it_is() {
    let offences: Vec<String> = (sources().iter())
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path.display().to_string())
        .collect();
    expect_none("files that do not open with //!", &offences);
}

#[test]
fn no_file_is_too_long_to_hold_in_the_head() {
    let offences: Vec<String> = (sources().iter())
        .filter(|source| !TABLES.iter().any(|table| source.path == Path::new(table)))
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path.display()))
        .collect();
    expect_none("files that are too long", &offences);
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(used_layers("use crate::model::snapshot::Task;"), ["model"]);
    assert_eq!(used_layers("use crate::{cli, remote::Addr};"), ["cli", "remote"]);
    assert_eq!(used_layers("let x: crate::render::Options = crate::detect::judge;"), ["render", "detect"]);
    let source = Source { path: "python/a.rs".into(), text: "x(); // println!\n#[cfg(test)]\nmod tests {}".into() };
    assert_eq!(source.code_lines().collect::<Vec<_>>(), [(1, "x(); ")]);
    assert_eq!(source.layer(), Some("python"));
}
