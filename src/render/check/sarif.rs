//! A check as SARIF 2.1.0, which GitHub and other tools show next to the lines of code.
//!
//! The format: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::io::{self, Write};

use serde_json::{Value, json};

use super::contents::Check;
use super::words;
use crate::detect::RULES;
use crate::detect::check::{Item, Site, SiteKind, Subject, Verdict};
use crate::render::escape::visible;
use crate::render::object::write_line;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const HOME: &str = "https://crates.io/crates/asyncprof";

/// What a check itself finds, in addition to the rules of snapshots: id, name, one sentence, and what to do.
const OF_CHECK: [(&str, &str, &str, &str); 4] = [
    (
        "stall",
        "EventLoopStall",
        "The event loop is blocked.",
        "Nothing else runs on the loop while it is blocked. Await an asynchronous call instead, or move the work to a thread \
         with asyncio.to_thread().",
    ),
    ("budget", "BudgetExceeded", "A budget is exceeded.", "See the numbers in the message."),
    (
        "regression",
        "Regression",
        "A number is worse than before, by more than noise explains.",
        "See the numbers in the message.",
    ),
    ("run", "RunFailed", "The program could not be judged.", "See the message."),
];

/// Every rule that a result can refer to: id and description.
fn rules() -> Vec<(&'static str, Value)> {
    let rule = |id: &'static str, name: String, short: String, help: &str| {
        let rule = json!({
            "id": format!("asyncprof/{id}"),
            "name": name,
            "shortDescription": {"text": short},
            "help": {"text": help},
            "defaultConfiguration": {"level": "error"},
        });
        (id, rule)
    };
    let findings = RULES.iter().map(|rule| rule.info).filter(|info| info.is_checked);
    (OF_CHECK.into_iter())
        .map(|(id, name, short, help)| rule(id, name.into(), short.into(), help))
        .chain(findings.map(|info| {
            let id = info.id.as_str();
            rule(id, in_pascal_case(id), format!("{}.", info.title), info.help)
        }))
        .collect()
}

/// Turns `orphaned-task` into `OrphanedTask`.
fn in_pascal_case(id: &str) -> String {
    id.split('-').flat_map(|word| [word[..1].to_uppercase(), word[1..].to_owned()]).collect()
}

/// Writes the log.
pub fn write(check: &Check<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (ids, rules): (Vec<&str>, Vec<Value>) = rules().into_iter().unzip();
    let results: Vec<Value> = check.judgement.items.iter().flat_map(|item| results(item, &ids, check)).collect();
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
    write_line(&log, out)
}

fn results(item: &Item, ids: &[&str], check: &Check<'_>) -> Vec<Value> {
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
        return vec![result(rule, ids, level, &text, None, check)];
    }
    let with_site = |site: &Site| {
        let rule = match site.kind {
            SiteKind::Stall | SiteKind::Finding(_) => site.kind.as_str(),
            SiteKind::Busy | SiteKind::Growth => rule,
        };
        let place = words::place(site, check.root);
        let mut text = format!("{place}: {}. {}: {}.", words::event(site), words::name(item), words::sentence(item));
        if !site.advice.is_empty() {
            text = format!("{text} {}", visible(&site.advice));
        }
        result(rule, ids, level, &text, Some(site), check)
    };
    item.sites.iter().map(with_site).collect()
}

fn result(rule: &str, ids: &[&str], level: &str, text: &str, site: Option<&Site>, check: &Check<'_>) -> Value {
    let index = ids.iter().position(|id| *id == rule);
    let mut result = json!({
        "ruleId": format!("asyncprof/{rule}"),
        "ruleIndex": index,
        "level": level,
        "message": {"text": text},
        "locations": site.and_then(|site| location(site, check.root)).into_iter().collect::<Vec<_>>(),
    });
    if let Some(site) = site {
        // Identifies the same result even if lines have moved.
        let file = words::relative(&site.file, check.root);
        result["partialFingerprints"] =
            json!({"asyncprofSite/v1": format!("{}:{}:{file}", site.kind.as_str(), site.function)});
    }
    result
}

fn location(site: &Site, root: &str) -> Option<Value> {
    // `<string>` and its like are not files.
    if site.file.is_empty() || site.file.starts_with('<') {
        return None;
    }
    let file = words::relative(&site.file, root);
    let artifact = match file.strip_prefix('/') {
        Some(_) => json!({"uri": format!("file://{}", uri(file))}),
        None => json!({"uri": uri(file), "uriBaseId": "%SRCROOT%"}),
    };
    // A result is only shown at a line if it has one.
    let mut physical = json!({"artifactLocation": artifact});
    physical["region"] = json!({"startLine": site.line.unwrap_or(1).max(1)});
    Some(json!({
        "physicalLocation": physical,
        "logicalLocations": [{"fullyQualifiedName": site.function, "kind": "function"}],
    }))
}

/// A path as part of a URI: special characters are percent-encoded.
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
