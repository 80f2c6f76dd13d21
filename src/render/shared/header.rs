//! The header shared by the formats of a watch.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::event::Header;

#[derive(Serialize)]
pub(in crate::render) struct HeaderJson<'a> {
    schema: &'static str,
    asyncprof: &'a str,
    pid: i32,
    python: PythonJson<'a>,
    command: &'a [String],
    machine: BTreeMap<&'a str, &'a str>,
    started_at: &'a str,
    started_ns: u64,
}

#[derive(Serialize)]
struct PythonJson<'a> {
    version: &'a str,
    free_threaded: bool,
    executable: &'a str,
}

impl<'a> HeaderJson<'a> {
    pub(in crate::render) fn of(schema: &'static str, header: &'a Header) -> Self {
        Self {
            schema,
            asyncprof: &header.asyncprof,
            pid: header.pid,
            python: PythonJson {
                version: &header.python,
                free_threaded: header.free_threaded,
                executable: &header.executable,
            },
            command: &header.command,
            machine: header.machine.iter().map(|(name, value)| (&**name, &**value)).collect(),
            started_at: &header.started_at,
            started_ns: header.started_ns,
        }
    }
}
