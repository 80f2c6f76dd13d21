//! The Firefox Profiler, as far as `scripts/install-consumers` has installed it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::consumers::{content, find};

/// The Firefox Profiler's command line with a profile. It answers by a process of its own, which it would start itself and give
/// half a second to be there; here it is ours, gets the time it needs, and ends with this value.
pub(crate) struct FirefoxProfiler {
    program: [&'static Path; 2],
    server: Child,
    sessions: tempfile::TempDir,
}

impl FirefoxProfiler {
    const SESSION: [&'static str; 2] = ["--session", "test"];

    /// Where it is not installed, the test is ignored.
    pub(crate) fn open(profile: &Path) -> Self {
        let program = [find("node"), find("profiler-cli")];
        let sessions = tempfile::tempdir().unwrap();
        let mut command = Self::command(program, sessions.path());
        command.arg("--daemon").arg(profile).args(Self::SESSION);
        let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let log = sessions.path().join("test.log");
        let mut said = String::new();
        while !said.contains("Profile loaded successfully") {
            assert!(server.try_wait().unwrap().is_none() && !said.contains("Failed"), "{said}");
            std::thread::yield_now();
            said = fs::read_to_string(&log).unwrap_or_default();
        }
        Self { program, server, sessions }
    }

    fn command(program: [&Path; 2], sessions: &Path) -> Command {
        let mut command = Command::new(program[0]);
        command.arg(program[1]).env("PROFILER_CLI_SESSION_DIR", sessions).env("HOME", sessions);
        command
    }

    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let mut command = Self::command(self.program, self.sessions.path());
        command.args(arguments).args(Self::SESSION);
        content(command)
    }
}

impl Drop for FirefoxProfiler {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
