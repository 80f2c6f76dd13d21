//! Checks of recordings: the exit code of every verdict, and of every kind of baseline that is none.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::made_up::{empty_recording, recording, starved_recording};
use crate::{assert_exit, asyncprof, check, stderr, stdout};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn what_keeps_its_budgets_passes_and_what_does_not_fails_with_file_and_line() {
    let folder = folder();
    recording(folder.path());
    let output =
        check(folder.path(), &["app.aprof", "--max-stall", "10s", "--max-stalls", "100", "--max-busy", "100%"]);
    assert_exit(&output, 0);
    assert!(stdout(&output).starts_with("PASS  3 passed of 3 checks: app.aprof\n"), "{}", stdout(&output));
    let output = check(folder.path(), &["app.aprof", "--max-stall", "100ms", "--max-orphans", "0"]);
    assert_exit(&output, 1);
    let shown = stdout(&output);
    assert!(shown.starts_with("FAIL  2 failed of 2 checks"), "{shown}");
    assert!(shown.contains("/app/cache.py:71"), "the orphan's place:\n{shown}");
    assert!(shown.contains("To repeat: asyncprof check app.aprof --max-stall 100ms --max-orphans 0"), "{shown}");
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

pub(crate) fn each_budget_is_judged() {
    let folder = folder();
    recording(folder.path());
    for (option, kept, exceeded) in [
        ("--max-stall", "10s", "50ms"),
        ("--max-stalls", "1000", "0"),
        ("--max-p99-lag", "10s", "1ms"),
        ("--max-busy", "100%", "1%"),
        ("--max-orphans", "7", "0"),
        ("--max-task-growth", "1000/min", "10/min"),
    ] {
        assert_exit(&check(folder.path(), &["app.aprof", option, kept]), 0);
        let output = check(folder.path(), &["app.aprof", option, exceeded]);
        assert_exit(&output, 1);
        let name = option.trim_start_matches('-');
        assert!(
            stdout(&output).lines().any(|line| line.contains("FAIL") && line.contains(name)),
            "{}",
            stdout(&output)
        );
        assert!(stdout(&output).contains(".py:"), "{option} names no place:\n{}", stdout(&output));
    }
    assert_exit(&check(folder.path(), &["app.aprof", "--max-unretrieved", "0"]), 0);
}

pub(crate) fn stalls_that_are_the_machines_doing_are_told_and_not_judged() {
    let folder = folder();
    starved_recording(folder.path());
    let output = check(folder.path(), &["starved.aprof", "--max-stall", "100ms", "--max-stalls", "0", "-f", "json"]);
    assert_exit(&output, 0);
    let result: Value = serde_json::from_str(stdout(&output)).unwrap();
    let told = &result["not_judged"][0];
    assert_eq!((&told["function"], &told["line"]), (&"handle".into(), &10.into()), "{result:#}");
    assert!(told["what"].as_str().unwrap().starts_with("cpu_starved"), "{told:#}");
    let text = check(folder.path(), &["starved.aprof", "--max-stall", "100ms"]);
    assert!(
        stdout(&text).contains("Not judged: stalls in which the event loop was runnable but not scheduled"),
        "{}",
        stdout(&text)
    );
}

pub(crate) fn a_budget_over_something_without_data_is_exit_7() {
    let folder = folder();
    empty_recording(folder.path());
    for budget in [
        ["--max-stall", "10s"],
        ["--max-stalls", "9"],
        ["--max-p99-lag", "9s"],
        ["--max-busy", "100%"],
        ["--max-orphans", "9"],
        ["--max-unretrieved", "9"],
        ["--max-task-growth", "9"],
    ] {
        let output = check(folder.path(), &[&["empty.aprof"][..], &budget].concat());
        assert_exit(&output, 7);
        assert!(stdout(&output).contains("NO DATA"), "{}", stdout(&output));
    }
}

pub(crate) fn what_a_cut_off_recording_shows_fails_it_and_else_it_does_not_pass() {
    let folder = folder();
    let file = fs::read(recording(folder.path())).unwrap();
    fs::write(folder.path().join("cut.aprof"), &file[..file.len() - 60]).unwrap();
    let output = check(folder.path(), &["cut.aprof", "--max-stall", "100ms"]);
    assert_exit(&output, 1);
    let output = check(folder.path(), &["cut.aprof", "--max-stall", "10s"]);
    assert_exit(&output, 7);
    assert!(stdout(&output).contains("cut off or damaged"), "{}", stdout(&output));
}

pub(crate) fn a_command_line_that_makes_no_sense_is_exit_2() {
    let folder = folder();
    recording(folder.path());
    for arguments in [
        &["app.aprof"][..],
        &[],
        &["app.aprof", "--max-stall", "100"],
        &["app.aprof", "--max-busy", "120%"],
        &["app.aprof", "--max-stall", "1s", "--", "true"],
        &["app.aprof", "--base-cmd", "x"],
        &["app.aprof", "--self-test", "3"],
        &["app.aprof", "--max-stall", "1s", "-o", "x.unknown"],
        &["--base-cmd", "a 'b", "--", "true"],
        &["--base-cmd", "", "--", "true"],
        &["--base-cmd", "a", "--update", "--", "true"],
    ] {
        assert_exit(&check(folder.path(), arguments), 2);
    }
    let output = check(folder.path(), &["app.aprof"]);
    assert!(stderr(&output).contains("nothing to check against"), "{}", stderr(&output));
}

pub(crate) fn a_baseline_is_kept_and_compared_with() {
    let folder = folder();
    recording(folder.path());
    let output = check(folder.path(), &["app.aprof", "--update"]);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("asyncprof.baseline.json holds 1 run"), "{}", stderr(&output));
    let output = check(folder.path(), &["app.aprof"]);
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("new sites"), "{}", stdout(&output));
    // The same program without the stalls that it had, as if they were new.
    change_baseline(folder.path(), |baseline| {
        let sites = baseline["runs"][0]["sites"].as_array_mut().unwrap();
        sites.retain(|site| site["kind"] != "stall" && site["kind"] != "orphaned-task");
    });
    let output = check(folder.path(), &["app.aprof"]);
    assert_exit(&output, 1);
    let shown = stdout(&output);
    assert!(shown.contains("new stall") && shown.contains("new orphaned task"), "{shown}");
    assert!(shown.contains("/app/cache.py:71"), "{shown}");
    // A second update replaces it, and that needs no permission.
    assert_exit(&check(folder.path(), &["app.aprof", "--update"]), 0);
    assert_exit(&check(folder.path(), &["app.aprof"]), 0);
}

pub(crate) fn lines_that_moved_and_another_folder_are_nothing_new() {
    let folder = folder();
    recording(folder.path());
    assert_exit(&check(folder.path(), &["app.aprof", "--update", "--baseline", "b.json"]), 0);
    fs::rename(folder.path().join("b.json"), folder.path().join("asyncprof.baseline.json")).unwrap();
    change_baseline(folder.path(), |baseline| {
        for site in baseline["runs"][0]["sites"].as_array_mut().unwrap() {
            site["line"] = json!(4711);
            site["file"] = site["file"].as_str().unwrap().replace("/app/", "/builds/17/").into();
        }
    });
    assert_exit(&check(folder.path(), &["app.aprof"]), 0);
}

pub(crate) fn on_another_machine_times_are_not_judged_and_the_output_says_so() {
    let folder = folder();
    recording(folder.path());
    assert_exit(&check(folder.path(), &["app.aprof", "--update"]), 0);
    change_baseline(folder.path(), |baseline| {
        baseline["fingerprint"]["cores"] = json!("64");
        // Would fail, were it judged.
        let run = baseline["runs"][0].clone();
        baseline["runs"] = json!([run, run, run, run, run]);
    });
    let output = check(folder.path(), &["app.aprof"]);
    assert_exit(&output, 0);
    assert!(
        stdout(&output).contains("Differs from the baseline: cores was 64, is now 2; times are not judged."),
        "{}",
        stdout(&output)
    );
    let output = check(folder.path(), &["app.aprof", "-f", "json"]);
    let result: Value = serde_json::from_str(stdout(&output)).unwrap();
    let lag = result["items"].as_array().unwrap().iter().find(|item| item["name"] == "p99-lag").unwrap();
    assert_eq!(lag["verdict"], "shown");
    assert_eq!(result["differences"][0]["name"], "cores");
}

pub(crate) fn what_is_no_baseline_is_exit_6() {
    let folder = folder();
    recording(folder.path());
    assert_exit(&check(folder.path(), &["app.aprof", "--update"]), 0);
    let good = fs::read_to_string(folder.path().join("asyncprof.baseline.json")).unwrap();
    let with_version = |version: &str| good.replace("asyncprof.baseline/1", &format!("asyncprof.baseline/{version}"));
    for (text, words) in [
        (good[..good.len() / 2].to_owned(), "damaged baseline"),
        (good.replace("\"runs\"", "\"walks\""), "damaged baseline"),
        (with_version("2"), "baseline of version 2, and this asyncprof knows up to 1"),
        (with_version("0"), "no longer reads"),
        (with_version("x"), "not a baseline"),
        ("{\"schema\": \"somebody.else/1\"}".to_owned(), "not a baseline"),
        ("[1, 2]".to_owned(), "not a baseline"),
        ("plain text".to_owned(), "not a baseline"),
        (String::new(), "damaged baseline"),
        ("{\"schema\": \"asyncprof.report/1\"}".to_owned(), "its schema is \"asyncprof.report/1\""),
        (good.replace("\"runs\": [", "\"runs\": [\u{0}"), "not a baseline"),
        (good[..good.find("\"runs\"").unwrap()].to_owned() + "\"runs\": []}", "no run in it"),
    ] {
        fs::write(folder.path().join("asyncprof.baseline.json"), &text).unwrap();
        let output = check(folder.path(), &["app.aprof"]);
        assert_exit(&output, 6);
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
        assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    }
    for (name, words) in [("missing.json", "No such file"), (".", "Is a directory"), ("app.aprof", "not a baseline")] {
        let output = check(folder.path(), &["app.aprof", "--baseline", name]);
        assert_exit(&output, 6);
        assert!(stderr(&output).starts_with(&format!("error: {name}: ")), "{}", stderr(&output));
        assert!(stderr(&output).contains(words) && stderr(&output).contains("hint:"), "{}", stderr(&output));
    }
}

pub(crate) fn only_a_baseline_is_replaced_by_a_baseline() {
    let folder = folder();
    recording(folder.path());
    fs::write(folder.path().join("precious.json"), "{\"mine\": 1}").unwrap();
    let update = ["app.aprof", "--update", "--baseline", "precious.json"];
    assert_exit(&check(folder.path(), &update), 2);
    assert_eq!(fs::read(folder.path().join("precious.json")).unwrap(), b"{\"mine\": 1}");
    assert_exit(&check(folder.path(), &[&update[..], &["--force"]].concat()), 0);
    empty_recording(folder.path());
    let output = check(folder.path(), &["empty.aprof", "--update", "--baseline", "new.json"]);
    assert_exit(&output, 7);
    assert!(!folder.path().join("new.json").exists(), "a run in which nothing was seen is no baseline");
}

pub(crate) fn budgets_come_from_files_and_variables_too() {
    let folder = folder();
    recording(folder.path());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("pyproject.toml", "[project]\nname = 'x'\n[tool.asyncprof.check]\nmax-stall = '100ms'\n");
    assert_exit(&check(folder.path(), &["app.aprof"]), 1);
    write("asyncprof.toml", "[check]\nmax-stall = '10s'\nformat = 'json'\n");
    let output = check(folder.path(), &["app.aprof"]);
    assert_exit(&output, 0);
    assert!(stdout(&output).starts_with('{'), "{}", stdout(&output));
    assert_exit(&asyncprof(folder.path()).arg("app.aprof").env("ASYNCPROF_MAX_STALL", "100ms").output().unwrap(), 1);
    assert_exit(&check(folder.path(), &["app.aprof", "--max-stall", "10s"]), 0);
    write("asyncprof.toml", "[check]\nmax-stal = '10s'\n");
    let output = check(folder.path(), &["app.aprof"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("there is no setting max-stal of check"), "{}", stderr(&output));
    assert!(stderr(&output).contains("did you mean max-stall?"), "{}", stderr(&output));
}

pub(crate) fn the_summary_of_a_job_is_added_to() {
    let folder = folder();
    recording(folder.path());
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let run = |path: &Path| {
        let mut command = asyncprof(folder.path());
        command.args(["app.aprof", "--max-stall", "100ms"]).env("GITHUB_STEP_SUMMARY", path);
        command.output().unwrap()
    };
    assert_exit(&run(&summary), 1);
    let page = fs::read_to_string(&summary).unwrap();
    assert!(page.starts_with("before\n## asyncprof check: FAIL\n"), "{page}");
    // That it cannot be written changes nothing.
    let output = run(folder.path());
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("cannot write the job's summary"), "{}", stderr(&output));
}

pub(crate) fn several_files_are_written_at_once_by_their_endings() {
    let folder = folder();
    recording(folder.path());
    let files = ["a.xml", "a.sarif", "b.sarif.json", "a.md", "a.json", "a.txt"];
    let outputs: Vec<&str> = files.iter().flat_map(|file| ["-o", file]).collect();
    let arguments = [&["app.aprof", "--max-stall", "100ms"][..], &outputs].concat();
    assert_exit(&check(folder.path(), &arguments), 1);
    for (file, part) in
        files.iter().zip(["<testsuites ", "2.1.0", "2.1.0", "## asyncprof", "asyncprof.check/1", "FAIL  "])
    {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(text.contains(part), "{file}: {text}");
    }
    assert_exit(&check(folder.path(), &arguments), 2);
    assert_exit(&check(folder.path(), &[&arguments[..], &["--force"]].concat()), 1);
}

fn change_baseline(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("asyncprof.baseline.json");
    let mut baseline: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut baseline);
    fs::write(&path, baseline.to_string()).unwrap();
}
