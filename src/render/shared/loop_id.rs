//! Identifies an event loop.

use serde::Serialize;

use crate::model::tables::LoopInfo;
use crate::render::key::Key;

#[derive(Serialize)]
pub(in crate::render) struct LoopIdJson<'a> {
    id: Key,
    #[serde(rename = "type")]
    class: &'a str,
    thread: Option<i32>,
    thread_name: Option<&'a str>,
}

impl<'a> LoopIdJson<'a> {
    pub(in crate::render) fn of(info: &'a LoopInfo) -> Self {
        Self { id: Key(info.key), class: &info.class, thread: info.thread, thread_name: info.thread_name.as_deref() }
    }
}
