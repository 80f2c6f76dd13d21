//! `asyncprof check`: its verdicts as exit codes, every kind of file that it cannot use, and every format of its result.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../watches/mod.rs"]
mod watches;

mod commands;
mod files;
mod formats;
mod made_up;
mod standards;

use std::path::Path;
use std::process::{Command, Output, Stdio};

support::trials::trials! {
    commands::a_program_that_is_well_passes_and_one_that_blocks_fails_with_file_and_line,
    commands::a_program_that_failed_fails_the_check_whatever_its_budgets_say,
    commands::what_could_not_be_started_or_seen_has_its_own_exit_code,
    commands::what_was_planted_since_the_baseline_is_named,
    commands::two_programs_are_run_in_turns,
    commands::a_program_against_itself_tells_how_often_it_would_be_a_false_alarm,
    commands::a_program_that_never_ends_is_ended_when_its_time_is_over,
    files::what_keeps_its_budgets_passes_and_what_does_not_fails_with_file_and_line,
    files::each_budget_is_judged,
    files::stalls_that_are_the_machines_doing_are_told_and_not_judged,
    files::a_budget_over_something_without_data_is_exit_7,
    files::what_a_cut_off_recording_shows_fails_it_and_else_it_does_not_pass,
    files::a_command_line_that_makes_no_sense_is_exit_2,
    files::a_baseline_is_kept_and_compared_with,
    files::lines_that_moved_and_another_folder_are_nothing_new,
    files::on_another_machine_times_are_not_judged_and_the_output_says_so,
    files::what_is_no_baseline_is_exit_6,
    files::only_a_baseline_is_replaced_by_a_baseline,
    files::budgets_come_from_files_and_variables_too,
    files::the_summary_of_a_job_is_added_to,
    files::several_files_are_written_at_once_by_their_endings,
    formats::every_format_is_as_it_was,
    formats::nothing_a_terminal_would_obey_is_ever_written,
    formats::json_keeps_to_the_schema,
    formats::junit_is_xml_whose_numbers_are_those_of_its_cases,
    formats::sarif_has_what_its_readers_need,
    formats::no_name_becomes_a_command_of_github,
    formats::a_baseline_that_was_written_is_the_one_that_is_read,
    formats::no_text_makes_a_baseline_panic,
    standards::sarif_keeps_to_the_schema_of_the_standard,
    standards::junit_keeps_to_the_schema_that_jenkins_reads_by,
}

/// `asyncprof check` in a folder, without the settings of whoever runs the tests.
fn asyncprof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    for (name, _) in std::env::vars() {
        if name.starts_with("ASYNCPROF_") || name.starts_with("GITHUB_") {
            command.env_remove(name);
        }
    }
    command.arg("check").current_dir(folder).stdin(Stdio::null());
    command
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    asyncprof(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
}
