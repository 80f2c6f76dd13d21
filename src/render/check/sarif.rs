//! A check as SARIF 2.1.0, which GitHub and others show at the lines of code. It must not know who does.
//!
//! The format: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::{Value, json};

use super::{Check, words};
use crate::detect::check::{Item, Kind, Site, Subject, Verdict};
use crate::render::escape::visible;
use crate::render::json::serializer;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const HOME: &str = "https://crates.io/crates/asyncprof";

/// What can be wrong: id, name, one sentence, and what to do.
const RULES: [(&str, &str, &str, &str); 6] = [
    (
        "stall",
        "EventLoopStall",
        "The event loop is blocked.",
        "Nothing else of the loop runs meanwhile. Await something instead of waiting for it, or move the work to a thread \
         with asyncio.to_thread().",
    ),
    (
        "orphaned-task",
        "OrphanedTask",
        "A task runs that nobody awaits and only the event loop refers to.",
        "Keep what asyncio.create_task() returns and await it, or start it in an asyncio.TaskGroup.",
    ),
    (
        "exception-never-retrieved",
        "ExceptionNeverRetrieved",
        "A task failed, and nobody has looked at its exception.",
        "Await the task, or look at its exception in a callback.",
    ),
    ("budget", "BudgetExceeded", "A limit of the check is exceeded.", "See the numbers in the message."),
    (
        "regression",
        "Regression",
        "A number is worse than before, by more than noise explains.",
        "See the numbers in the message.",
    ),
    ("run", "RunFailed", "The program could not be judged.", "See the message."),
];

/// Writes the log.
pub fn write(check: &Check<'_>, out: &mut dyn Write) -> io::Result<()> {
    let rules: Vec<Value> = (RULES.iter())
        .map(|(id, name, short, help)| {
            json!({
                "id": format!("asyncprof/{id}"),
                "name": name,
                "shortDescription": {"text": short},
                "help": {"text": help},
                "defaultConfiguration": {"level": "error"},
            })
        })
        .collect();
    let results: Vec<Value> = check.judgement.items.iter().flat_map(|item| results(item, check)).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "asyncprof",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": HOME,
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "automationDetails": {"id": "asyncprof/check/"},
            "properties": {
                "verdict": check.judgement.verdict.as_str(),
                "reproduce": check.reproduce,
            },
            "results": results,
        }],
    });
    log.serialize(&mut serializer(&mut *out))?;
    out.write_all(b"\n")
}

fn results(item: &Item, check: &Check<'_>) -> Vec<Value> {
    let level = match item.verdict {
        Verdict::Fail => "error",
        Verdict::NoData | Verdict::Inconclusive => "warning",
        Verdict::Pass | Verdict::Shown => return Vec::new(),
    };
    let rule = match &item.subject {
        Subject::Run(_) => "run",
        Subject::Budget(_) => "budget",
        Subject::Change(_) => "regression",
        Subject::NewSite | Subject::NoNewSites => "stall",
    };
    if item.sites.is_empty() {
        let text = format!("{}: {}", words::name(item), words::sentence(item));
        return vec![result(rule, level, &text, None, check)];
    }
    let with_site = |site: &Site| {
        let rule = match site.kind {
            Kind::Stall | Kind::Orphan | Kind::Unretrieved => site.kind.as_str(),
            Kind::Busy | Kind::Growth => rule,
        };
        let place = words::place(site, check.root);
        let mut text = format!("{place}: {}. {}: {}.", words::event(site), words::name(item), words::sentence(item));
        if !site.advice.is_empty() {
            text = format!("{text} {}", visible(&site.advice));
        }
        result(rule, level, &text, Some(site), check)
    };
    item.sites.iter().map(with_site).collect()
}

fn result(rule: &str, level: &str, text: &str, site: Option<&Site>, check: &Check<'_>) -> Value {
    let index = RULES.iter().position(|(id, ..)| *id == rule);
    let mut result = json!({
        "ruleId": format!("asyncprof/{rule}"),
        "ruleIndex": index,
        "level": level,
        "message": {"text": text},
        "locations": site.and_then(|site| location(site, check.root)).into_iter().collect::<Vec<_>>(),
    });
    if let Some(site) = site {
        // What makes it the same result although lines have moved.
        let file = words::relative(&site.file, check.root);
        result["partialFingerprints"] =
            json!({"asyncprofSite/v1": format!("{}:{}:{file}", site.kind.as_str(), site.function)});
    }
    result
}

fn location(site: &Site, root: &str) -> Option<Value> {
    // `<string>` and its like are no files.
    if site.file.is_empty() || site.file.starts_with('<') {
        return None;
    }
    let file = words::relative(&site.file, root);
    let artifact = match file.strip_prefix('/') {
        Some(_) => json!({"uri": format!("file://{}", uri(file))}),
        None => json!({"uri": uri(file), "uriBaseId": "%SRCROOT%"}),
    };
    // A line is needed to be shown at one.
    let mut physical = json!({"artifactLocation": artifact});
    physical["region"] = json!({"startLine": site.line.unwrap_or(1).max(1)});
    Some(json!({
        "physicalLocation": physical,
        "logicalLocations": [{"fullyQualifiedName": site.function, "kind": "function"}],
    }))
}

/// A path as a part of a URI: what is not plain there is written as its bytes.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_uri_whatever_is_in_it() {
        assert_eq!(uri("a b/ü%:x.py"), "a%20b/%C3%BC%25%3Ax.py");
    }
}
