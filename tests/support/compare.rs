//! Compares a dump with what the interpreter said of itself, and says how they differ so that a person sees it at
//! once.
//!
//! In the truth, `"any"` matches everything, a kind may be a list of kinds that are right, and a thread's frame may
//! have a null line, which matches every line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

/// All differences, one readable block each; empty when the dump is right.
pub fn differences(truth: &Value, dump: &Value) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(python_differences(truth, dump));
    found.extend(gap_differences(dump));
    found.extend(task_differences(truth, dump));
    found.extend(loop_differences(truth, dump));
    found.extend(thread_differences(truth, dump));
    found.extend(finding_differences(truth, dump));
    found
}

/// An id as both sides write it in the end: lower case hexadecimal digits alone.
pub fn id(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
    text.trim_start_matches("0x").trim_start_matches('0').to_owned()
}

fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn ids(value: &Value, key: &str) -> BTreeSet<String> {
    items(value, key).iter().map(id).collect()
}

fn by_id<'v>(value: &'v Value, key: &str) -> BTreeMap<String, &'v Value> {
    items(value, key).iter().map(|item| (id(&item["id"]), item)).collect()
}

fn python_differences(truth: &Value, dump: &Value) -> Vec<String> {
    ["version", "free_threaded"]
        .iter()
        .filter(|key| truth["python"][**key] != dump["python"][**key])
        .map(|key| format!("python {key}: expected {}, the dump says {}", truth["python"][*key], dump["python"][*key]))
        .collect()
}

/// A target that stands still leaves no excuse for a gap.
fn gap_differences(dump: &Value) -> Vec<String> {
    let mut found: Vec<_> = items(dump, "gaps").iter().map(|gap| format!("gap: {gap}")).collect();
    if dump["consistent"] != true {
        found.push(format!("consistent: expected true, the dump says {}", dump["consistent"]));
    }
    found
}

fn task_differences(truth: &Value, dump: &Value) -> Vec<String> {
    let (expected, got) = (by_id(truth, "tasks"), by_id(dump, "tasks"));
    let names = Names { expected: &expected, got: &got };
    let mut found = Vec::new();
    if items(dump, "tasks").len() != got.len() {
        found.push("a task is listed twice".to_owned());
    }
    for (id, task) in &expected {
        let optional = task["optional"] == true;
        match got.get(id) {
            None if optional => {}
            None => found.push(format!("task {} is missing:\n{}", names.of(id), stack_text(&task["stack"]))),
            Some(other) => {
                let fields = task_field_differences(task, other, &names);
                if !fields.is_empty() {
                    found.push(format!("task {}:\n{}", names.of(id), indent(&fields.join("\n"))));
                }
            }
        }
    }
    for (id, task) in got.iter().filter(|(id, _)| !expected.contains_key(*id)) {
        let (state, stack) = (&task["state"], stack_text(&task["stack"]));
        found.push(format!("task {} (state {state}) is not of the target:\n{stack}", names.of(id)));
    }
    found
}

/// Shows ids with the names of their tasks.
struct Names<'a> {
    expected: &'a BTreeMap<String, &'a Value>,
    got: &'a BTreeMap<String, &'a Value>,
}

impl Names<'_> {
    fn of(&self, id: &str) -> String {
        let task = self.expected.get(id).or_else(|| self.got.get(id));
        format!("{} ({id})", task.map_or("of unknown name".to_owned(), |task| task["name"].to_string()))
    }

    fn of_all(&self, ids: &BTreeSet<String>) -> String {
        let names: Vec<_> = ids.iter().map(|id| self.of(id)).collect();
        format!("[{}]", names.join(", "))
    }
}

fn task_field_differences(expected: &Value, got: &Value, names: &Names<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for field in ["name", "state"] {
        if expected[field] != "any" && expected[field] != got[field] {
            found.push(format!("{field}: expected {}, the dump says {}", expected[field], got[field]));
        }
    }
    if id(&expected["loop"]) != id(&got["loop"]) {
        found.push(format!("loop: expected {}, the dump says {}", expected["loop"], got["loop"]));
    }
    if !same_stack(&expected["stack"], &got["stack"], true) {
        found.push(format!("stack:\n{}", stack_difference(&expected["stack"], &got["stack"])));
    }
    if !same_end(&expected["stack_end"], &got["stack_end"]) {
        found.push(format!("stack_end: expected {}, the dump says {}", expected["stack_end"], got["stack_end"]));
    }
    found.extend(awaiting_difference(expected, got, names));
    let (by, got_by) = (ids(expected, "awaited_by"), ids(got, "awaited_by"));
    if !between(&by, &got_by, &ids(expected, "may_be_awaited_by")) {
        found.push(format!("awaited_by: expected {}, the dump says {}", names.of_all(&by), names.of_all(&got_by)));
    }
    if !orphaned_is_right(expected, &got["orphaned"]) {
        found.push(format!(
            "orphaned: expected {}, the dump says {} (references: {})",
            expected["orphaned"], got["orphaned"], got["references"]
        ));
    }
    found
}

/// A wrong `true` accuses innocent code and is never right; a missed orphan is a failure unless the program says that
/// its shape cannot be known from outside. Only suspended tasks can be judged at all.
pub fn orphaned_is_right(expected: &Value, got: &Value) -> bool {
    let cannot_be_judged = matches!(expected["state"].as_str(), Some("running" | "done"));
    match expected["orphaned"].as_bool() {
        Some(true) => *got == true || (expected["may_miss"] == true && (got.is_null() || *got == false)),
        Some(false) => *got == false || (got.is_null() && (cannot_be_judged || expected["may_miss"] == true)),
        None => got.is_null() || got.is_boolean(),
    }
}

fn same_end(expected: &Value, got: &Value) -> bool {
    match (expected.as_str(), got.as_str()) {
        (Some("any"), _) => true,
        // Types of the interpreter carry their module in the name that is stored, Python's own do not.
        (Some(name), Some(got)) => got == name || got.ends_with(&format!(".{name}")),
        _ => expected == got,
    }
}

/// Everything that must be there, and nothing but that and what may be there.
fn between(must: &BTreeSet<String>, got: &BTreeSet<String>, may: &BTreeSet<String>) -> bool {
    must.is_subset(got) && got.iter().all(|one| must.contains(one) || may.contains(one))
}

fn awaiting_difference(task: &Value, shown: &Value, names: &Names<'_>) -> Option<String> {
    let (expected, got) = (&task["awaiting"], &shown["awaiting"]);
    let may = ids(task, "may_await");
    let right = match expected {
        Value::String(any) if any == "any" => true,
        Value::Null => got.is_null(),
        _ => same_kind(&expected["kind"], &got["kind"]) && between(&ids(expected, "tasks"), &ids(got, "tasks"), &may),
    };
    let text = |awaiting: &Value| match awaiting {
        Value::Object(_) => format!("{} {}", awaiting["kind"], names.of_all(&ids(awaiting, "tasks"))),
        other => other.to_string(),
    };
    (!right).then(|| format!("awaiting: expected {}, the dump says {}", text(expected), text(got)))
}

fn same_kind(expected: &Value, got: &Value) -> bool {
    match expected {
        Value::Array(several) => several.contains(got),
        one => one == "any" || one == got,
    }
}

fn same_frame(expected: &Value, got: &Value, exact_line: bool) -> bool {
    expected["function"] == got["function"]
        && expected["file"] == got["file"]
        && (expected["line"] == got["line"] || (!exact_line && expected["line"].is_null()))
}

/// Whether two stacks are the same; without `exact_line` an expected null matches every line.
pub fn same_stack(expected: &Value, got: &Value, exact_line: bool) -> bool {
    if expected == "any" {
        return got.is_array();
    }
    let (Some(expected), Some(got)) = (expected.as_array(), got.as_array()) else { return expected == got };
    expected.len() == got.len() && expected.iter().zip(got).all(|(one, other)| same_frame(one, other, exact_line))
}

fn frame_text(frame: &Value) -> String {
    let (function, file) = (frame["function"].as_str().unwrap_or("?"), frame["file"].as_str().unwrap_or("?"));
    format!("{function} ({file}:{})", frame["line"])
}

fn stack_text(stack: &Value) -> String {
    let frames = stack.as_array().map_or(&[][..], Vec::as_slice);
    indent(&frames.iter().map(frame_text).collect::<Vec<_>>().join("\n"))
}

/// Frames both have without a mark, those that are missing with `-`, those that are too many with `+`.
fn stack_difference(expected: &Value, got: &Value) -> String {
    let (expected, got) = (lines_of(expected), lines_of(got));
    let same_front = expected.iter().zip(&got).take_while(|(one, other)| one == other).count();
    let back = expected[same_front..].iter().rev().zip(got[same_front..].iter().rev());
    let same_back = back.take_while(|(one, other)| one == other).count();
    let mut text = String::new();
    for (mark, lines) in [
        (' ', &expected[..same_front]),
        ('-', &expected[same_front..expected.len() - same_back]),
        ('+', &got[same_front..got.len() - same_back]),
        (' ', &expected[expected.len() - same_back..]),
    ] {
        for line in lines {
            let _ = writeln!(text, "  {mark} {line}");
        }
    }
    text
}

fn lines_of(stack: &Value) -> Vec<String> {
    stack.as_array().map_or(&[][..], Vec::as_slice).iter().map(frame_text).collect()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn loop_differences(truth: &Value, dump: &Value) -> Vec<String> {
    let (expected, got) = (by_id(truth, "loops"), by_id(dump, "loops"));
    let mut found = Vec::new();
    for (key, one) in &expected {
        let Some(other) = got.get(key) else {
            found.push(format!("loop {} ({key}) is missing", one["type"]));
            continue;
        };
        for field in ["type", "thread", "ready", "scheduled"] {
            if one[field] != other[field] {
                found.push(format!("loop {key}: {field}: expected {}, the dump says {}", one[field], other[field]));
            }
        }
        if id(&one["running_task"]) != id(&other["running_task"]) {
            let (task, got) = (&one["running_task"], &other["running_task"]);
            found.push(format!("loop {key}: running_task: expected {task}, the dump says {got}"));
        }
    }
    let unknown = got.iter().filter(|(key, _)| !expected.contains_key(*key));
    found.extend(unknown.map(|(key, one)| format!("loop {} ({key}) is not of the target", one["type"])));
    found
}

fn by_native_id(value: &Value) -> BTreeMap<Option<i64>, &Value> {
    items(value, "threads").iter().map(|thread| (thread["native_id"].as_i64(), thread)).collect()
}

fn thread_differences(truth: &Value, dump: &Value) -> Vec<String> {
    let (expected, got) = (by_native_id(truth), by_native_id(dump));
    let mut found = Vec::new();
    for (native_id, thread) in &expected {
        let who = format!("thread {} ({native_id:?})", thread["name"]);
        let Some(other) = got.get(native_id) else {
            found.push(format!("{who} is missing"));
            continue;
        };
        if thread["name"] != "any" && thread["name"] != other["name"] {
            found.push(format!("{who}: the dump names it {}", other["name"]));
        }
        let outermost = match thread["complete"].as_bool() {
            Some(false) => outer_frames(&other["stack"], items(thread, "stack").len()),
            _ => other["stack"].clone(),
        };
        if !same_stack(&thread["stack"], &outermost, false) {
            found.push(format!("{who}: stack:\n{}", stack_difference(&thread["stack"], &other["stack"])));
        }
    }
    let unknown = got.iter().filter(|(native_id, _)| !expected.contains_key(*native_id));
    found.extend(unknown.map(|(id, thread)| format!("thread {} ({id:?}) is not of the target", thread["name"])));
    found
}

fn outer_frames(stack: &Value, count: usize) -> Value {
    Value::Array(stack.as_array().into_iter().flatten().take(count).cloned().collect())
}

/// Findings the program promises are there, and no task is accused of being an orphan that is not one.
fn finding_differences(truth: &Value, dump: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for rule in items(truth, "findings") {
        if !items(dump, "findings").iter().any(|finding| finding["rule"] == *rule) {
            found.push(format!("finding {rule} is missing"));
        }
    }
    let innocent: BTreeSet<_> = items(truth, "tasks")
        .iter()
        .filter(|task| task["orphaned"] == false)
        .map(|task| (id(&task["id"]), task["name"].to_string()))
        .collect();
    for finding in items(dump, "findings").iter().filter(|finding| finding["rule"] == "orphaned-task") {
        let accused = ids(finding, "tasks");
        for (_, name) in innocent.iter().filter(|(id, _)| accused.contains(id)) {
            found.push(format!("finding orphaned-task accuses {name}, which somebody owns"));
        }
    }
    found
}
