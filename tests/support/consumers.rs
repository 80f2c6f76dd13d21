//! The programs that open what is written, as far as `scripts/install-consumers` has installed them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::trials::missing;

/// Where a program or package is; where it is not, the test is ignored.
pub fn find(name: &str) -> &'static Path {
    static FOUND: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-consumers");
        let output = Command::new(script).arg("--find").output().expect("the script is part of the repository");
        let lines = String::from_utf8(output.stdout).expect("it prints names and paths");
        let pairs = lines.lines().filter_map(|line| line.split_once('\t'));
        pairs.map(|(name, path)| (name.to_owned(), path.into())).collect()
    });
    let Some(path) = found.get(name) else { missing(&format!("no {name}: scripts/install-consumers installs it")) };
    path
}

/// What a program says; it must be content.
pub fn content(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("what was found can be started");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}
