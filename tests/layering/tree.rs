//! All files together: what a path in one of them refers to, which file uses which, and where that is a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::source::{Names, Source};

/// Imports of imports that are followed.
const MAX_HOPS: usize = 8;

/// The sources of the crate.
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    /// Each module that is a file, and its place in `sources`.
    files: BTreeMap<Names, usize>,
}

/// What a path refers to.
#[derive(Debug, PartialEq)]
pub(crate) enum Target {
    /// Something of this crate, named from its root.
    Here(Names),
    /// Anything else: other crates, and names that the file itself defines.
    Elsewhere(Names),
}

impl Tree {
    /// The crate this test belongs to.
    pub(crate) fn of_this_crate() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![root.clone()];
        let mut texts = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                    texts.push((name, fs::read_to_string(&path).unwrap()));
                }
            }
        }
        assert!(texts.len() > 20, "the sources were not found");
        texts.sort();
        Self::of(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }

    /// Files by path below `src`, without those that only tests compile.
    pub(crate) fn of<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut sources: Vec<Source> = texts.into_iter().map(|(path, text)| Source::parse(path, text)).collect();
        let tests: Vec<Names> = sources.iter().flat_map(|source| source.test_modules.clone()).collect();
        sources.retain(|source| !tests.iter().any(|module| source.module.starts_with(module)));
        // `main.rs` is a crate of its own.
        let of_library = sources.iter().enumerate().filter(|(_, source)| source.path != "main.rs");
        let files = of_library.map(|(index, source)| (source.module.clone(), index)).collect();
        Self { sources, files }
    }

    /// What `names`, written in `module` of `source`, refer to.
    pub(crate) fn resolve(&self, source: &Source, module: &[String], names: &[String]) -> Target {
        self.resolve_within(source, module, names, MAX_HOPS)
    }

    fn resolve_within(&self, source: &Source, module: &[String], names: &[String], hops: usize) -> Target {
        let Some(first) = names.first() else { return Target::Elsewhere(Vec::new()) };
        let mut base = module.to_vec();
        let mut rest = names;
        match first.as_str() {
            "crate" | "asyncprof" => return Target::Here(rest[1..].to_vec()),
            "self" | "super" => {
                while let Some(("self" | "super", after)) =
                    rest.split_first().map(|(name, after)| (name.as_str(), after))
                {
                    if rest[0] == "super" {
                        base.pop();
                    }
                    rest = after;
                }
                return Target::Here([&base[..], rest].concat());
            }
            _ => {}
        }
        base.push(first.clone());
        if names.len() > 1 && self.files.contains_key(&base) {
            return Target::Here([module, names].concat());
        }
        match source.imports.get(first) {
            Some((module, path)) if hops > 0 && path[..] != names[..] => {
                match self.resolve_within(source, module, path, hops - 1) {
                    Target::Here(path) => Target::Here([&path[..], &names[1..]].concat()),
                    Target::Elsewhere(path) => Target::Elsewhere([&path[..], &names[1..]].concat()),
                }
            }
            _ => Target::Elsewhere(names.to_vec()),
        }
    }

    /// The file that defines what a path from the root names; imports that pass it on are followed. `None` for a module as such:
    /// what is used of it has a path of its own.
    fn defining_file(&self, path: &[String]) -> Option<usize> {
        let mut path = path.to_vec();
        for _ in 0..MAX_HOPS {
            let len = (0..=path.len()).rev().find(|&len| self.files.contains_key(&path[..len]))?;
            let file = self.files[&path[..len]];
            let name = path.get(len)?;
            let source = &self.sources[file];
            let Some((module, names)) = source.imports.get(name) else { return Some(file) };
            match self.resolve(source, module, names) {
                Target::Here(target) => path = [&target[..], &path[len + 1..]].concat(),
                Target::Elsewhere(_) => return Some(file),
            }
        }
        None
    }

    /// Which file uses which, by path, both of one layer. A `mod.rs` may use the files below it, so that is not told.
    pub(crate) fn uses_within_layers(&self) -> BTreeSet<(&str, &str)> {
        let mut uses = BTreeSet::new();
        for source in &self.sources {
            for mention in &source.mentions {
                let Target::Here(path) = self.resolve(source, &mention.module, &mention.names) else { continue };
                let Some(used) = self.defining_file(&path).map(|file| &self.sources[file]) else { continue };
                let is_below = used.module.starts_with(&source.module);
                if !is_below && used.layer() == source.layer() && source.layer().is_some() {
                    uses.insert((source.path.as_str(), used.path.as_str()));
                }
            }
        }
        uses
    }

    /// Whether `upper` is a module that contains `lower`.
    pub(crate) fn contains(&self, upper: &str, lower: &str) -> bool {
        let module = |path: &str| self.sources.iter().find(|source| source.path == path).map(|source| &source.module);
        matches!((module(upper), module(lower)), (Some(upper), Some(lower)) if lower.starts_with(upper))
    }
}

/// The uses that lie on a circle: from their end there is a way back to their beginning.
pub(crate) fn cyclic_uses<'p>(uses: &BTreeSet<(&'p str, &'p str)>) -> BTreeSet<(&'p str, &'p str)> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in uses {
        next.entry(from).or_default().push(to);
    }
    let leads_to = |from: &str, goal: &str| {
        let (mut open, mut seen) = (vec![from], BTreeSet::new());
        while let Some(here) = open.pop() {
            if here == goal {
                return true;
            }
            if seen.insert(here) {
                open.extend(next.get(here).into_iter().flatten());
            }
        }
        false
    };
    uses.iter().copied().filter(|(from, to)| leads_to(to, from)).collect()
}
