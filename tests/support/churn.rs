//! Judges dumps of a target that creates and finishes tasks all the time: what must be there, and what is impossible.

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
    let moving: BTreeSet<String> = truth["moving"].as_array().into_iter().flatten().map(id).collect();
    for task in tasks {
        let key = id(&task["id"]);
        if long_lived.contains(&key) || moving.contains(&key) {
            continue;
        }
        if is_legal(task, truth) {
            *seen += 1;
        } else {
            found.push(format!("impossible task: {task}"));
        }
    }
    found
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Between two steps a task has exactly one of the legal stacks. A stack that could not be read as one moment says so
/// in its `stack_end`, and then the part that held must begin a legal one. While a task runs its lines move, and
/// synchronous frames come and go; its coroutines must still be the beginning of a legal stack.
fn is_legal(task: &Value, truth: &Value) -> bool {
    let stack = array(&task["stack"]);
    let mut legal = array(&truth["chains"]).iter().map(array);
    if task["state"] == "running" {
        let running = functions(stack, truth);
        return legal.any(|chain| functions(chain, truth).starts_with(&running));
    }
    if task["stack_end"].is_null() {
        return legal.any(|chain| chain == stack);
    }
    legal.any(|chain| chain.starts_with(stack))
}

/// The functions of the target's own file, outermost first.
fn functions<'v>(stack: &'v [Value], truth: &Value) -> Vec<&'v Value> {
    stack.iter().filter(|frame| frame["file"] == truth["file"]).map(|frame| &frame["function"]).collect()
}
