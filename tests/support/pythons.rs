//! Finds the interpreters to test with: those of the wanted matrix that this machine has, and the names of those it
//! has not.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::trials::missing_python;

/// CPython 3.x minor versions of the matrix, with the GIL.
const WANTED_MINORS: std::ops::RangeInclusive<u32> = 8..=15;
/// Minor versions of the matrix without the GIL.
const WANTED_FREE_THREADED: [u32; 1] = [13];
/// What each candidate is asked: pyenv's shims and other wrappers answer with the executable behind them.
const QUESTION: &str = "import sys
print(sys.executable)
print('%d.%d.%d' % sys.version_info[:3])
print('t' in getattr(sys, 'abiflags', ''))
print(sys.implementation.name)";

/// Which interpreter: ordered as the matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Which {
    /// 11 for CPython 3.11.
    pub minor: u32,
    /// A build without the GIL.
    pub free_threaded: bool,
}

impl Which {
    /// `python3.13t`.
    pub fn label(self) -> String {
        format!("python3.{}{}", self.minor, if self.free_threaded { "t" } else { "" })
    }
}

/// An interpreter of this machine.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// Version and build.
    pub which: Which,
    /// The executable itself, not a shim.
    pub path: PathBuf,
    /// For example `3.11.7`.
    pub version: String,
}

impl Interpreter {
    /// Where the packages for it are that `scripts/load-test --install-only` installs, or the folder named in the environment:
    /// `ASYNCPROF_SITE_PACKAGES_3_12`.
    pub fn site_packages(&self) -> PathBuf {
        let version = self.which.label().trim_start_matches("python").to_owned();
        let named = env::var_os(format!("ASYNCPROF_SITE_PACKAGES_{}", version.replace('.', "_"))).map(PathBuf::from);
        named
            .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("site-packages").join(version))
    }

    /// Whether a package, or a module of one file, is installed there.
    pub fn has_package(&self, name: &str) -> bool {
        let packages = self.site_packages();
        packages.join(name).is_dir() || packages.join(format!("{name}.py")).is_file()
    }
}

/// An interpreter of the matrix, and where it is on this machine, if it is.
pub type Wanted = (Which, Option<Interpreter>);

/// Every interpreter of the matrix.
pub fn every() -> Vec<Wanted> {
    let Matrix { found, missing } = Matrix::find();
    let found = found.into_iter().map(|interpreter| (interpreter.which, Some(interpreter)));
    let mut every: Vec<_> = found.chain(missing.into_iter().map(|which| (which, None))).collect();
    every.sort_by_key(|(which, _)| *which);
    every
}

/// The oldest and the newest interpreter with the GIL of this machine; without any, those of the matrix.
pub fn oldest_and_newest() -> Vec<Wanted> {
    let mut pythons = every();
    pythons.retain(|(which, _)| !which.free_threaded);
    if pythons.iter().any(|(_, found)| found.is_some()) {
        pythons.retain(|(_, found)| found.is_some());
    }
    let newest = pythons.split_off(pythons.len() - 1);
    pythons.into_iter().take(1).chain(newest).collect()
}

/// The matrix, split by what is there.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// One for each wanted version that was found.
    pub found: Vec<Interpreter>,
    /// Wanted, and nowhere to be found.
    pub missing: Vec<Which>,
}

/// The newest interpreter with the GIL, for what is the same on every one; without any, the test is ignored.
pub fn newest() -> &'static Interpreter {
    with_gil().last().unwrap_or_else(|| missing_python("no Python on this machine"))
}

/// The oldest interpreter with the GIL; without any, the test is ignored.
pub fn oldest() -> &'static Interpreter {
    with_gil().first().unwrap_or_else(|| missing_python("no Python on this machine"))
}

/// The interpreters of this machine with the GIL, oldest first.
fn with_gil() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Matrix::find().found;
        found.retain(|one| !one.which.free_threaded);
        found
    })
}

impl Matrix {
    /// Looks in `ASYNCPROF_PYTHONS`, `PATH`, `ASYNCPROF_PYTHON_PREFIXES`, pyenv and uv, in this order; the first of a
    /// version wins.
    pub fn find() -> Self {
        let mut by_version = BTreeMap::new();
        for candidate in candidates() {
            if let Some(interpreter) = find_interpreter(&candidate) {
                by_version.entry(interpreter.which).or_insert(interpreter);
            }
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for which in wanted() {
            match by_version.remove(&which) {
                Some(interpreter) => found.push(interpreter),
                None => missing.push(which),
            }
        }
        Self { found, missing }
    }

    /// Says on stderr what is not covered, so that a passing run is not taken for more than it is.
    pub fn warn_of_missing(&self) {
        if self.missing.is_empty() {
            return;
        }
        let names: Vec<_> = self.missing.iter().map(|which| which.label()).collect();
        eprintln!("\nNOT TESTED: no {} on this machine.", names.join(", "));
        eprintln!(
            "Add interpreters with ASYNCPROF_PYTHONS=/path/to/python3.14:/path/to/python3.15 (or pyenv, or uv).\n"
        );
    }

    /// A missing interpreter is a failure: `ASYNCPROF_REQUIRE_ALL=1`, as continuous integration sets it.
    pub fn all_required() -> bool {
        env::var_os("ASYNCPROF_REQUIRE_ALL").is_some_and(|value| !value.is_empty() && value != "0")
    }
}

fn wanted() -> Vec<Which> {
    let with_gil = WANTED_MINORS.map(|minor| Which { minor, free_threaded: false });
    let without = WANTED_FREE_THREADED.map(|minor| Which { minor, free_threaded: true });
    let mut wanted: Vec<_> = with_gil.chain(without).collect();
    wanted.sort();
    wanted
}

/// Names an interpreter of the matrix may have in a `bin` folder.
fn executable_names() -> Vec<String> {
    wanted().into_iter().map(Which::label).collect()
}

fn candidates() -> Vec<PathBuf> {
    let mut candidates = paths_in("ASYNCPROF_PYTHONS");
    let names = executable_names();
    for folder in paths_in("PATH") {
        candidates.push(folder.join("python3"));
        candidates.extend(names.iter().map(|name| folder.join(name)));
    }
    for prefix in paths_in("ASYNCPROF_PYTHON_PREFIXES") {
        candidates.extend(names.iter().map(|name| prefix.join("bin").join(name)));
        candidates.extend(in_each_folder_of(&prefix, &names));
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from).or(home.as_ref().map(|home| home.join(".pyenv")));
    let uv = home.map(|home| home.join(".local/share/uv/python"));
    for root in [pyenv.map(|root| root.join("versions")), uv].into_iter().flatten() {
        candidates.extend(in_each_folder_of(&root, &names));
    }
    candidates.retain(|candidate| candidate.is_file());
    candidates
}

fn paths_in(variable: &str) -> Vec<PathBuf> {
    let Some(value) = env::var_os(variable) else { return Vec::new() };
    env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// `root/*/bin/NAME` for each name.
fn in_each_folder_of(root: &Path, names: &[String]) -> Vec<PathBuf> {
    let Ok(entries) = root.read_dir() else { return Vec::new() };
    let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    folders.sort();
    folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).collect()
}

/// Asks a candidate what it is; `None` for what does not answer as a CPython 3 does.
fn find_interpreter(candidate: &Path) -> Option<Interpreter> {
    let output = Command::new(candidate)
        .args(["-I", "-c", QUESTION])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse_answer(&String::from_utf8(output.stdout).ok()?)
}

/// Parses the four lines that [`QUESTION`] prints.
pub fn parse_answer(answer: &str) -> Option<Interpreter> {
    let mut lines = answer.lines();
    let (path, version) = (lines.next()?, lines.next()?);
    let (free_threaded, implementation) = (lines.next()? == "True", lines.next()?);
    let minor = version.strip_prefix("3.")?.split('.').next()?.parse().ok()?;
    (implementation == "cpython").then(|| Interpreter {
        which: Which { minor, free_threaded },
        path: path.into(),
        version: version.to_owned(),
    })
}
