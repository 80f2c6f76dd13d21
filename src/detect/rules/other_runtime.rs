//! A program that runs another async runtime than asyncio: what asyncprof says about asyncio is nothing about it.

use serde::Serialize;

use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("other-runtime"),
    severities: &[Severity::Warning],
    title: "The program runs an async runtime that asyncprof does not read",
    singular: "async runtime that is not read",
    plural: "async runtimes that are not read",
    help: "asyncprof reads the event loops and tasks of asyncio only (uvloop is one): it says nothing about what this \
           runtime runs. A thread's stack in the dump shows what runs now; a sampling profiler such as py-spy shows where the time goes.",
    only_time_tells: "whether it ever blocks",
    scope: Scope::Lasting,
    is_checked: false,
};

/// Runtimes, and where the files that drive them are in the folder of installed packages.
const RUNTIMES: [(&str, &str); 4] =
    [("trio", "trio/_core/"), ("gevent", "gevent/"), ("Twisted", "twisted/internet/"), ("curio", "curio/")];

#[derive(Serialize)]
struct Facts<'s> {
    runtime: &'static str,
    thread: Option<&'s str>,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for (runtime, path) in RUNTIMES {
        // A program can have a folder of the same name: only an installed package counts.
        let drives = |id| {
            let file = &*snapshot.frame(id).file;
            ["/site-packages/", "/dist-packages/"]
                .iter()
                .any(|folder| file.split_once(folder).is_some_and(|(_, inside)| inside.starts_with(path)))
        };
        // asyncio can drive Twisted: then asyncio's loop is what blocks.
        let drives_it = |id| snapshot.frame(id).file.contains("/asyncio/");
        let driven = snapshot
            .threads
            .iter()
            .find(|thread| thread.stack.iter().any(|&id| drives(id)) && !thread.stack.iter().any(|&id| drives_it(id)));
        let Some(thread) = driven else { continue };
        let name = thread.name.as_deref();
        let place = name.map(|name| format!(" in thread {name}")).unwrap_or_default();
        let message = format!("{runtime} runs{place}, not asyncio: its tasks and stalls are not read");
        findings.push(INFO.finding(Severity::Warning, message, Vec::new(), &Facts { runtime, thread: name }));
    }
}
