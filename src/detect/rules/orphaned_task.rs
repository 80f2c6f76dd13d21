//! Pending tasks that nothing but the event loop keeps alive.

use std::collections::BTreeMap;

use serde::Serialize;

use super::names::name_a_few;
use super::rule::{RuleInfo, Scope, Subject};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::origin::{Origin, origin_of};
use crate::model::snapshot::{Finding, RuleId, Severity, TaskId, WaitKind};

/// The rule.
pub static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("orphaned-task"),
    severities: &[Severity::Warning, Severity::Info],
    title: "A task is pending, nothing awaits it, and nothing but the event loop references it; a task that a library starts this way on purpose is only mentioned",
    singular: "orphaned task",
    plural: "orphaned tasks",
    help: "Keep a reference to what asyncio.create_task() returns (in a set, with add_done_callback(set.discard)) and await \
           it before the program ends, or start it in an asyncio.TaskGroup; as it is, it can be garbage-collected before it \
           finishes, and its exception would go unnoticed.",
    only_time_tells: "whether it is collected, fails or finishes, and whether there are ever more of them",
    scope: Scope::Lasting,
    is_checked: true,
};

#[derive(Serialize)]
struct Facts {
    #[serde(flatten)]
    subject: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_at: Option<String>,
}

/// One finding for each coroutine.
pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for (coroutine, tasks) in orphans_by_coroutine(snapshot) {
        let library = coroutine.and_then(library_of);
        let names = name_a_few(snapshot, &tasks);
        let message = match (tasks.len(), coroutine) {
            (1, _) => {
                let of = coroutine.map(|(function, file)| format!(" ({function} in {file})")).unwrap_or_default();
                format!(
                    "{names}{of} is still pending, but nothing awaits it and nothing but the event loop references it"
                )
            }
            (count, _) => {
                let (of, file) = coroutine
                    .map(|(function, file)| (format!("{function} "), format!(" ({file})")))
                    .unwrap_or_default();
                format!(
                    "{count} {of}tasks{file} are still pending, but nothing awaits them and nothing but the event loop \
                     references them: {names}"
                )
            }
        };
        let (function, file) = coroutine.map(|(function, file)| (function.to_owned(), file.to_owned())).unzip();
        // The transport of an open connection leads to who waits for it. Others of the same coroutine do so now and then.
        let waits = |id: &TaskId| {
            let awaiting = snapshot.task(*id).awaiting.as_ref();
            awaiting.is_some_and(|awaiting| awaiting.kind == WaitKind::Socket)
        };
        let serves = library.is_none() && tasks.iter().any(|id| snapshot.task(*id).serves_connection);
        let on_connections = library.is_none() && (serves || tasks.iter().any(waits));
        let message = match library {
            Some(library) => format!("{message}; it is {library}'s own"),
            None if serves => format!("{message}; the coroutine serves a connection"),
            None if on_connections => format!("{message}; while one waits for an open connection, that keeps it alive"),
            None => message,
        };
        let subject = Subject { count: Some(tasks.len() as u64), coroutine: function, file, exception: None };
        let culprit = tasks.first().and_then(|&id| origin::find_culprit(snapshot, &snapshot.task(id).stack));
        let facts = Facts { subject, suspended_at: culprit.map(origin::describe) };
        let finding = match library {
            Some(_) => Finding { advice: OF_LIBRARY.into(), ..INFO.finding(Severity::Info, message, tasks, &facts) },
            None if on_connections => {
                Finding { advice: ON_CONNECTION.into(), ..INFO.finding(Severity::Info, message, tasks, &facts) }
            }
            None => INFO.finding(Severity::Warning, message, tasks, &facts),
        };
        findings.push(finding);
    }
}

const OF_LIBRARY: &str = "Nothing to do in the program: the library starts this task and keeps no reference to it.";

const ON_CONNECTION: &str = "Nothing to do if asyncio.start_server() started it for a connection: older versions of Python keep no \
                             reference to it. If the program started it, keep what asyncio.create_task() returns.";

/// Library, end of the file's path, function: tasks that a library starts and keeps no reference to. Who uses it cannot
/// mend that.
const LIBRARY_TASKS: &[(&str, &str, &str)] = &[
    ("asyncio", "/asyncio/selector_events.py", "BaseSelectorEventLoop._accept_connection2"),
    ("asyncio", "/asyncio/base_subprocess.py", "BaseSubprocessTransport._connect_pipes"),
    ("uvicorn", "/uvicorn/lifespan/on.py", "LifespanOn.main"),
    ("granian", "/granian/asgi.py", "LifespanProtocol.handle"),
    ("engineio", "/engineio/async_server.py", "AsyncServer._service_task"),
    ("engineio", "/engineio/async_socket.py", "AsyncSocket._send_ping"),
    ("engineio", "/engineio/asyncio_server.py", "AsyncServer._service_task"),
    ("engineio", "/engineio/asyncio_socket.py", "AsyncSocket._send_ping"),
];

/// The library whose own the coroutine is.
fn library_of((function, file): Coroutine<'_>) -> Option<&'static str> {
    let row = LIBRARY_TASKS.iter().find(|(_, end, name)| file.ends_with(end) && function == *name);
    row.filter(|_| origin_of(file) != Origin::Program).map(|(library, ..)| *library)
}

/// Function and file of a task's outermost coroutine.
type Coroutine<'s> = (&'s str, &'s str);

/// Largest group first.
fn orphans_by_coroutine(snapshot: &Snapshot) -> Vec<(Option<Coroutine<'_>>, Vec<TaskId>)> {
    let mut groups: BTreeMap<Option<Coroutine<'_>>, Vec<TaskId>> = BTreeMap::new();
    for (id, task) in (0..).map(TaskId).zip(&snapshot.tasks) {
        if task.orphaned == Some(true) {
            let outermost = task.stack.first().map(|&frame| snapshot.frame(frame));
            let coroutine = outermost.map(|frame| (&*frame.function, &*frame.file));
            groups.entry(coroutine).or_default().push(id);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, tasks)| std::cmp::Reverse(tasks.len()));
    groups
}
