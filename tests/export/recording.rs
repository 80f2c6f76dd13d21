//! One recording of a real program, made once, and what the program itself exports of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::pythons::newest;

/// Sleeps, a planted blocking call, a gather, many tasks, and names that mean harm.
const PROGRAM: &str = r#"
import asyncio, time

async def worker(number):
    await asyncio.sleep(0.02 * (number % 5))
    sum(range(20_000))

async def planted():
    for _ in range(3):
        await asyncio.sleep(0.1)
        time.sleep(0.15)  # the line to change
        await asyncio.gather(*(worker(number) for number in range(20)))

async def many():
    for _ in range(4):
        await asyncio.wait([asyncio.create_task(worker(n), name=f"job-{n}") for n in range(50)])

async def harmful(name):
    await asyncio.sleep(0.3)
    time.sleep(0.03)

NAMES = ["</script><img src=x onerror=alert(1)>", "quotes \" ' ` and \\ and ;", "line\nbreak\r\ttab",
         "\x1b[31mred\x07 \u202ebackwards", "half \udcff of a pair", "Ünïcödé 名前 \U0001f600", "", "n" * 5000]

async def main():
    # Awaited by nobody, so that time is counted under their own names.
    alone = [asyncio.create_task(harmful(name), name=name) for name in NAMES]
    await asyncio.gather(planted(), many())
    assert all(task.done() for task in alone)

asyncio.run(main())
"#;

pub(crate) fn line_to_change() -> u64 {
    PROGRAM.lines().position(|line| line.contains("the line to change")).unwrap() as u64 + 1
}

/// The program's folder has a name that means harm too.
const FOLDER: &str = "a \"b\" 'c' <script>\n;\u{202e}d";

pub(crate) fn asyncprof() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ASYNCPROF_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) struct Recording {
    folder: PathBuf,
}

impl Recording {
    /// Where there is no Python, the test is ignored.
    pub(crate) fn get() -> &'static Self {
        static RECORDING: OnceLock<Recording> = OnceLock::new();
        RECORDING.get_or_init(Self::make)
    }

    fn make() -> Self {
        let python = newest();
        // Not a temporary one: nothing removes what all tests use.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("export");
        let _ = fs::remove_dir_all(&folder);
        let place = folder.join(FOLDER);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("app.py"), PROGRAM).unwrap();
        let output = asyncprof()
            .args(["record", "--cpu-budget", "60%", "--task-rate", "50", "-o"])
            .arg(folder.join("x.aprof"))
            .arg("--")
            .arg(&python.path)
            .arg(place.join("app.py"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("x.aprof")
    }

    /// What is exported of it, as bytes.
    pub(crate) fn exported(&self, arguments: &[&str]) -> Vec<u8> {
        exported(&self.file(), arguments)
    }

    pub(crate) fn exported_text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.exported(arguments)).unwrap()
    }

    pub(crate) fn exported_json(&self, format: &str) -> Value {
        serde_json::from_slice(&self.exported(&["-f", format])).unwrap()
    }

    /// A file of its own for a program that opens it.
    pub(crate) fn exported_file(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, self.exported(arguments)).unwrap();
        path
    }

    pub(crate) fn report(&self) -> Value {
        let output = asyncprof().arg("report").arg(self.file()).args(["-f", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub(crate) fn export(file: &Path, arguments: &[&str]) -> Output {
    asyncprof().arg("export").arg(file).args(arguments).output().unwrap()
}

pub(crate) fn exported(file: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = export(file, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
