//! The folder tree is the architecture: which layer may use which, which files may print or compare versions, that the files of
//! a layer do not import each other in cycles, that no public item is dead, and how long a file may be. When the table below
//! changes, so do `src/lib.rs` and `ARCHITECTURE.md`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod source;
mod tree;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use tree::{Target, Tree, cyclic_uses};

/// Each layer, and the layers it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("remote", &[]),
    ("python", &["remote"]),
    ("model", &[]),
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

/// A longer file does not fit into a head.
const MAX_LINES: usize = 600;

/// Tables, one row a field or a version; as long as what they describe.
const TABLES: &[&str] = &["python/layout/fields.rs", "python/layout/rows.rs"];

/// The folders that compare Python versions.
const LAYOUTS: &[&str] = &["python/layout", "runtime/asyncio/layout"];

/// Public for the tests in `tests/` and for fuzzing, which have no other way to it.
const PUBLIC_FOR_TESTS: &[(&str, &str)] = &[
    // The tests compare each task's answer, the program needs their number.
    ("detect/rules/deadlock.rs", "is_stuck"),
    // Makes up stacks.
    ("model/tables.rs", "add_frames"),
    // How slots are found is tried with classes of every kind, not only with asyncio's.
    ("python/attribute.rs", "read_slot"),
    // Make an image hostile.
    ("remote/image.rs", "with_bytes"),
    ("remote/image.rs", "with_fault"),
];

static CRATE: LazyLock<Tree> = LazyLock::new(Tree::of_this_crate);

fn expect_none(what: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{what}:\n  {}", offences.join("\n  "));
}

/// Uses of a layer by another: path and line, the user, the used.
fn edges(tree: &Tree) -> Vec<(String, String, String)> {
    let mut edges = Vec::new();
    for source in &tree.sources {
        let Some(layer) = source.layer() else { continue };
        for mention in &source.mentions {
            if let Target::Here(path) = tree.resolve(source, &mention.module, &mention.names)
                && let Some(used) = path.first()
                && used != layer
                && LAYERS.iter().any(|(name, _)| name == used)
            {
                edges.push((format!("{}:{}", source.path, mention.line), layer.to_owned(), used.clone()));
            }
        }
    }
    edges
}

fn forbidden_edges(tree: &Tree) -> Vec<String> {
    let allowed = |layer: &str| LAYERS.iter().find(|(name, _)| *name == layer).map(|(_, allowed)| *allowed);
    let unknown = (tree.sources.iter())
        .filter(|source| source.layer().is_some_and(|layer| allowed(layer).is_none()))
        .map(|source| format!("{}: its folder is not in the table of layers", source.path));
    let forbidden = (edges(tree).into_iter())
        .filter(|(_, layer, used)| allowed(layer).is_some_and(|allowed| !allowed.contains(&used.as_str())))
        .map(|(place, layer, used)| format!("{place}: {layer} uses {used}"));
    unknown.chain(forbidden).collect()
}

fn unused_edges(tree: &Tree) -> Vec<String> {
    let used: BTreeSet<(String, String)> = edges(tree).into_iter().map(|(_, layer, used)| (layer, used)).collect();
    let allowed = LAYERS.iter().flat_map(|(layer, allowed)| allowed.iter().map(|other| (*layer, *other)));
    allowed
        .filter(|(layer, other)| !used.contains(&((*layer).to_owned(), (*other).to_owned())))
        .map(|(layer, other)| format!("{layer} may use {other}, and does not"))
        .collect()
}

/// Uses on import cycles between files of one layer. A file that uses the module it is part of lies on one by itself.
fn cycles(tree: &Tree) -> Vec<String> {
    let uses = tree.uses_within_layers();
    let (up, sideways): (BTreeSet<_>, BTreeSet<_>) = uses.into_iter().partition(|(from, to)| tree.contains(to, from));
    let up = up.iter().map(|(from, to)| format!("{from} uses {to}, the module it is part of"));
    let cyclic = cyclic_uses(&sideways);
    up.chain(cyclic.iter().map(|(from, to)| format!("{from} uses {to}, from which a path leads back"))).collect()
}

const PRINTING: [&str; 5] = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];

fn prints_and_exits(tree: &Tree) -> Vec<String> {
    let mut offences = Vec::new();
    for source in tree.sources.iter().filter(|source| source.layer().is_some_and(|layer| layer != "cli")) {
        for mention in &source.mentions {
            let Target::Elsewhere(names) = tree.resolve(source, &mention.module, &mention.names) else { continue };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let is_offence = match names[..] {
                [.., name] if PRINTING.contains(&name) => true,
                [.., "process", "exit" | "abort"] | [.., "io", "stdout" | "stderr"] => true,
                _ => false,
            };
            if is_offence {
                offences.push(format!("{}:{}: {}", source.path, mention.line, names.join("::")));
            }
        }
    }
    offences
}

fn version_comparisons(tree: &Tree) -> Vec<String> {
    let sources = tree.sources.iter().filter(|source| !LAYOUTS.iter().any(|folder| source.path.starts_with(folder)));
    let told = |source: &source::Source| -> Vec<String> {
        source.comparisons.iter().map(|(line, what)| format!("{}:{line}: {what}", source.path)).collect()
    };
    sources.flat_map(told).collect()
}

fn dead(tree: &Tree) -> Vec<String> {
    let used: BTreeSet<&String> = tree.sources.iter().flat_map(|source| &source.used_names).collect();
    let mut dead = Vec::new();
    for source in &tree.sources {
        for definition in source.definitions.iter().filter(|definition| !used.contains(&definition.name)) {
            if !PUBLIC_FOR_TESTS.contains(&(source.path.as_str(), definition.name.as_str())) {
                dead.push(format!("{}:{}: {}", source.path, definition.line, definition.name));
            }
        }
    }
    dead
}

#[test]
fn layers_use_only_the_layers_before_them() {
    expect_none("edges against the architecture", &forbidden_edges(&CRATE));
}

#[test]
fn every_edge_that_is_allowed_is_used() {
    expect_none("allowed edges that nobody needs", &unused_edges(&CRATE));
}

#[test]
fn files_of_a_layer_do_not_import_each_other_in_cycles() {
    expect_none("import cycles", &cycles(&CRATE));
}

#[test]
fn only_the_command_line_prints_or_exits() {
    expect_none("printing or exiting outside of cli", &prints_and_exits(&CRATE));
}

#[test]
fn python_versions_are_compared_in_the_layout_files_only() {
    expect_none("version comparisons outside of the layouts", &version_comparisons(&CRATE));
}

#[test]
fn nothing_public_is_dead() {
    expect_none("public, and used by tests at most", &dead(&CRATE));
}

#[test]
fn every_file_says_what_it_is() {
    let silent = CRATE.sources.iter().filter(|source| !source.opens_with_doc);
    expect_none("files that do not open with //!", &silent.map(|source| source.path.clone()).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long_to_hold_in_the_head() {
    let long = CRATE.sources.iter().filter(|source| source.lines > MAX_LINES && !TABLES.contains(&&*source.path));
    let long: Vec<String> = long.map(|source| format!("{}: {} lines", source.path, source.lines)).collect();
    expect_none("files that are too long", &long);
}

/// One file of a layer.
fn file<'t>(path: &'t str, text: &'t str) -> Tree {
    Tree::of([(path, text)])
}

fn used_layers(text: &str) -> Vec<String> {
    edges(&file("python/a/b.rs", text)).into_iter().map(|(_, _, used)| used).collect()
}

#[test]
fn a_layer_is_seen_however_its_use_is_written() {
    for text in [
        "use crate::model::snapshot::Task;",
        "use crate::{\n    model::{self, Task},\n};",
        "use super::super::super::model::Task;",
        "use self::super::super::super::model;",
        "use crate as all; fn f() -> all::model::Task { todo!() }",
        "fn f(x: &crate::model::Task) {}",
        "fn f() { let x = crate::model::task(); }",
        "fn f() { println!(\"{}\", crate::model::COUNT); }",
        "#[serde(with = \"x\", default(crate::model::f))] struct S;",
        "fn f() { match x { crate::model::Kind::A => {} _ => {} } }",
        "mod inner { use super::super::super::super::model::Task; }",
        "fn f() { use crate::model::*; }",
        "mod tests; fn f() { crate::model::g() }",
        "#[cfg(test)] mod tests { use crate::cli::x; } fn f() { crate::model::g() }",
        "const URL: &str = \"https://x\"; fn f() { crate::model::g() }",
    ] {
        let used = used_layers(text);
        assert!(!used.is_empty() && used.iter().all(|layer| layer == "model"), "{text}: {used:?}");
    }
    for text in [
        "// use crate::model;",
        "const X: &str = \"crate::model\";",
        "#[cfg(test)] use crate::model::Task;",
        "#[cfg(test)] mod tests { use crate::model::Task; }",
        "impl S { #[cfg(test)] fn f<A, B>() { crate::model::g() } fn h() {} }",
        "struct S { #[cfg(test)] x: crate::model::Task, y: u32 }",
        "use super::model::Task;",
        "use model::Task;",
    ] {
        assert_eq!(used_layers(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn files_that_only_tests_compile_are_left_out_and_no_others() {
    let texts = [
        ("a/mod.rs", "#[cfg(test)]\nmod tests;\nmod code;"),
        ("a/tests.rs", ""),
        ("a/tests/fakes.rs", ""),
        ("a/code.rs", "fn after() {}"),
    ];
    let tree = Tree::of(texts);
    let left: Vec<&str> = tree.sources.iter().map(|source| source.path.as_str()).collect();
    assert_eq!(left, ["a/mod.rs", "a/code.rs"]);
}

#[test]
fn forbidden_unknown_and_unused_edges_are_told() {
    let told = forbidden_edges(&file("remote/a.rs", "\nuse crate::{remote::Addr, cli};"));
    assert_eq!(told, ["remote/a.rs:2: remote uses cli"]);
    assert_eq!(forbidden_edges(&file("new/a.rs", "")), ["new/a.rs: its folder is not in the table of layers"]);
    let unused = unused_edges(&file("python/a.rs", "use crate::remote::Addr;"));
    assert!(!unused.contains(&"python may use remote, and does not".to_owned()), "{unused:?}");
    assert!(unused.contains(&"runtime may use remote, and does not".to_owned()), "{unused:?}");
}

#[test]
fn import_cycles_are_found() {
    let texts = [
        ("a/mod.rs", "mod b; mod c; mod d; pub use b::B; pub struct Own;"),
        ("a/b.rs", "use super::c::C; pub struct B;"),
        ("a/c.rs", "use super::B; pub struct C;"),
        ("a/d.rs", "use super::B; fn f(x: super::Own) {}"),
    ];
    let up = "a/d.rs uses a/mod.rs, the module it is part of";
    let back = "from which a path leads back";
    let cycle = [format!("a/b.rs uses a/c.rs, {back}"), format!("a/c.rs uses a/b.rs, {back}")];
    assert_eq!(cycles(&Tree::of(texts)), [up.to_owned(), cycle[0].clone(), cycle[1].clone()]);
}

#[test]
fn prints_and_exits_are_seen_however_they_are_written() {
    for text in [
        "fn f() { println!(\"x\"); }",
        "fn f() { std::eprint!(\"x\"); }",
        "fn f() { g(|| vec![dbg!(1)]); }",
        "fn f() { std::process::exit(1); }",
        "use std::process; fn f() { process::exit(1); }",
        "use std::process as p; fn f() { p::abort(); }",
        "use std::process::exit;",
        "use std::io::{self, Write}; fn f() { io::stdout().flush(); }",
        "fn f() { x!(std::io::stderr()); }",
    ] {
        assert!(!prints_and_exits(&file("model/a.rs", text)).is_empty(), "{text}");
        assert!(prints_and_exits(&file("cli/a.rs", text)).is_empty(), "{text}");
    }
    for text in ["// println!", "const X: &str = \"println!\";", "fn f() { write!(out, \"x\"); stdout(1); }"] {
        assert!(prints_and_exits(&file("model/a.rs", text)).is_empty(), "{text}");
    }
}

#[test]
fn version_comparisons_are_seen_however_they_are_written() {
    for code in [
        "minor >= 11",
        "11 <= self.version.minor",
        "facts.minor() == 8",
        "u32::from(minor) < 9",
        "version.minor.cmp(&11)",
        "(3, 11) <= (major, minor)",
        "((3, 9)..(3, 12)).contains(&v)",
        "(9..=12).contains(&minor)",
        "version >= Version { major: 3, minor: 11 }",
        "version < Version::new(3, 12)",
        "matches!(version.minor, 8 | 9)",
        "assert!(minor > 8)",
        "match version.minor { 8 => 1, _ => 2 }",
        "match (v.major, v.minor) { (3, 8) => 1, _ => 2 }",
        "match v { (3, 11) => 1, _ => 2 }",
        "if let 8 = minor { 1 } else { 2 }",
        "python_minor != 14",
    ] {
        let text = format!("fn f() {{ let x = {code}; }}");
        assert!(!version_comparisons(&file("runtime/a.rs", &text)).is_empty(), "{code}");
        assert!(version_comparisons(&file("python/layout/rows.rs", &text)).is_empty(), "{code}");
    }
    for code in
        ["file.version > 3", "old.minor != new.minor", "minor(dev)", "minor(a) == b", "(2, 11)", "f(minor)", "x < 11"]
    {
        let told = version_comparisons(&file("runtime/a.rs", &format!("fn f() {{ let x = {code}; }}")));
        assert!(told.is_empty(), "{code}: {told:?}");
    }
}

#[test]
fn dead_public_code_is_seen() {
    let all_dead = "pub fn recursive() { recursive() }
        pub(crate) const LIMIT: u32 = 1;
        pub struct Unused; impl Unused { pub fn new() -> Unused { Unused } }
        pub use self::Unused as _;
        #[cfg(test)] mod tests { fn f() { super::recursive(); super::LIMIT; super::Unused::new(); } }";
    let told = dead(&file("model/a.rs", all_dead));
    for name in ["recursive", "LIMIT", "new"] {
        assert!(told.iter().any(|line| line.ends_with(&format!(": {name}"))), "{name}: {told:?}");
    }
    let alive = "fn g() { used(LIMIT); }
        pub fn used(x: u32) {}
        pub const LIMIT: u32 = 1;
        #[serde(serialize_with = \"written\")] struct S;
        pub fn written() {}
        fn private() {}";
    assert_eq!(dead(&file("model/a.rs", alive)), Vec::<String>::new());
}
