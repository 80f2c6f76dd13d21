//! Judges dumps of a target that creates and finishes tasks all the time: what must be there, and what is impossible.
//! It must not know how the target makes its tasks; the target's own document says what is legal.

use std::collections::BTreeSet;

use serde_json::Value;

use super::compare::{id, same_stack};

/// What is wrong in one dump; `seen` counts the short-lived tasks with a legal stack.
pub fn violations(truth: &Value, dump: &Value, seen: &mut u64) -> Vec<String> {
    let tasks = dump["tasks"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = Vec::new();
    let mut long_lived = BTreeSet::new();
    for expected in truth["tasks"].as_array().map_or(&[][..], Vec::as_slice) {
        let key = id(&expected["id"]);
        let matching: Vec<_> = tasks.iter().filter(|task| id(&task["id"]) == key).collect();
        match matching[..] {
            [task] if same_stack(&expected["stack"], &task["stack"], true) && task["name"] == expected["name"] => {}
            [task] => found.push(format!(
                "long-lived task {} is shown as {} with stack {}",
                expected["name"], task["name"], task["stack"]
            )),
            [] => found.push(format!("long-lived task {} is missing", expected["name"])),
            _ => found.push(format!("long-lived task {} is listed {} times", expected["name"], matching.len())),
        }
        long_lived.insert(key);
    }
    let legal: BTreeSet<String> =
        truth["chains"].as_array().into_iter().flatten().map(|chain| chain.to_string()).collect();
    for task in tasks.iter().filter(|task| !long_lived.contains(&id(&task["id"]))) {
        if is_legal(task, &legal, truth) {
            *seen += 1;
        } else {
            found.push(format!("impossible task: {task}"));
        }
    }
    found
}

/// A short-lived task's levels, as `[function, line]` pairs, must be one of the legal chains. A chain that could not be
/// read as one moment says so in its `stack_end`, and then the part that held must begin a legal chain.
fn is_legal(task: &Value, legal: &BTreeSet<String>, truth: &Value) -> bool {
    let frames = task["stack"].as_array().map_or(&[][..], Vec::as_slice);
    // Below the running step's coroutines there are synchronous frames, which are not the question here.
    let own: Vec<_> = frames.iter().filter(|frame| frame["file"] == truth["file"]).collect();
    let chain = Value::Array(
        own.iter().map(|frame| Value::Array(vec![frame["function"].clone(), frame["line"].clone()])).collect(),
    );
    if task["stack_end"].is_null() && task["state"] != "running" {
        return legal.contains(&chain.to_string());
    }
    let text = chain.to_string();
    let beginning = text.trim_end_matches(']');
    legal.iter().any(|one| one.starts_with(beginning))
}
