//! The workflows of `examples/ci`, as somebody copies them: they are valid YAML, and their steps that check something do so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::pythons::newest;
use yaml_rust2::{Yaml, YamlLoader};

support::trials::trials! {
    every_step_does_one_thing,
    the_budgets_of_the_example_are_checked_and_all_its_files_are_written,
    the_comparison_of_the_example_runs_both_programs,
}

/// Stands for the program that somebody would check.
const LOAD_TEST: &str = "import asyncio\nasyncio.run(asyncio.sleep(0.4))\n";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci")
}

/// The steps of all jobs of a workflow.
fn steps(name: &str) -> Vec<Yaml> {
    let text = fs::read_to_string(examples().join(name)).unwrap();
    let documents = YamlLoader::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1, "{name}");
    let workflow = &documents[0];
    for key in ["name", "on", "permissions"] {
        assert!(!workflow[key].is_badvalue(), "{name} has no {key}");
    }
    let jobs = workflow["jobs"].as_hash().unwrap();
    assert!(jobs.values().all(|job| job["runs-on"].as_str().is_some()), "{name}: {jobs:?}");
    jobs.values().flat_map(|job| job["steps"].as_vec().unwrap().clone()).collect()
}

/// What the one step that checks something runs.
fn script(name: &str) -> String {
    let scripts: Vec<String> = steps(name).iter().filter_map(|step| Some(step["run"].as_str()?.to_owned())).collect();
    let mut checks = scripts.into_iter().filter(|script| script.contains("asyncprof check"));
    let script = checks.next().unwrap();
    assert_eq!(checks.next(), None, "{name} checks once");
    script
}

/// A folder in which such a step finds what it needs; without a Python the test is ignored.
struct Runner(tempfile::TempDir);

impl Runner {
    fn new() -> Self {
        let python = newest();
        let folder = tempfile::tempdir().unwrap();
        for part in ["", "base", "head"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
            fs::write(folder.path().join(part).join("load_test.py"), LOAD_TEST).unwrap();
        }
        for part in ["bin", "base-venv/bin", "head-venv/bin"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
            symlink(&python.path, folder.path().join(part).join("python")).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_asyncprof"), folder.path().join("bin/asyncprof")).unwrap();
        fs::copy(examples().join("pyproject.toml"), folder.path().join("pyproject.toml")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a step as GitHub does.
    fn run(&self, script: &str) -> Output {
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars() {
            if name.starts_with("ASYNCPROF_") || name.starts_with("GITHUB_") {
                command.env_remove(name);
            }
        }
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.args(["-e", "-o", "pipefail", "-c", script]).env("PATH", path).current_dir(self.0.path());
        // As many as it takes to see that it runs.
        command.env("ASYNCPROF_RUNS", "2").env("GITHUB_STEP_SUMMARY", self.path("summary.md"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, name: &str) -> Value {
        let result: Value = serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap();
        assert_eq!(result["schema"], "asyncprof.check/1");
        result
    }
}

/// It was judged, whatever the noise of this machine made of it.
#[track_caller]
fn assert_judged(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 1 | 7)), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("PASS") || out.contains("FAIL") || out.contains("::"), "{out}\n{err}");
}

fn every_step_does_one_thing() {
    let mut workflows = 0;
    for entry in fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".yml") {
            continue;
        }
        workflows += 1;
        for step in steps(&name) {
            let (uses, run) = (step["uses"].as_str(), step["run"].as_str());
            assert!(uses.is_some() != run.is_some(), "{name}: {step:?}");
            assert!(uses.is_none_or(|uses| uses.contains('@')), "{name}: {uses:?} has no version");
        }
    }
    assert_eq!(workflows, 2);
}

fn the_budgets_of_the_example_are_checked_and_all_its_files_are_written() {
    let runner = Runner::new();
    let output = runner.run(&script("asyncprof.yml"));
    assert_judged(&output);
    let result = runner.json("asyncprof.json");
    let names: Vec<&str> =
        result["items"].as_array().unwrap().iter().filter_map(|item| item["name"].as_str()).collect();
    for budget in ["max-stall", "max-p99-lag", "max-orphans", "max-unretrieved"] {
        assert!(names.contains(&budget), "{budget} of pyproject.toml: {names:?}");
    }
    for file in ["asyncprof.sarif", "asyncprof.xml", "summary.md", "asyncprof-runs/run-1.aprof"] {
        assert!(runner.path(file).is_file(), "{file}");
    }
    // What later steps take is what this one writes.
    let later: Vec<Yaml> = steps("asyncprof.yml").into_iter().filter(|step| !step["with"].is_badvalue()).collect();
    let taken = later.iter().flat_map(|step| [&step["with"]["sarif_file"], &step["with"]["path"]]);
    let taken: Vec<&str> = taken.filter_map(Yaml::as_str).flat_map(str::lines).collect();
    assert!(taken.len() >= 4, "{taken:?}");
    for file in taken {
        assert!(runner.path(file).exists(), "{file}");
    }
}

fn the_comparison_of_the_example_runs_both_programs() {
    let runner = Runner::new();
    let output = runner.run(&script("compare.yml"));
    assert_judged(&output);
    let result = runner.json("compare.json");
    for side in ["runs", "base_runs"] {
        assert_eq!(result[side].as_array().map(Vec::len), Some(2), "{side}: {result:#}");
    }
}
