//! The levels of a stitched stack for tools of other vendors: a name, and a file and a line if there is one. The words
//! are those of folded stacks, so that one recording looks the same everywhere.

use std::borrow::Cow;

use serde::Serialize;

use crate::profile::Label;
use crate::render::{escape, label};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Level<'p> {
    pub(super) name: Cow<'p, str>,
    /// `None` for levels that are not code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Cow<'p, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
}

/// How a level is written.
pub(super) fn level<'p>(of: &Label<'p>) -> Level<'p> {
    let name = match of {
        Label::Frame(frame) => {
            let (name, file) = (escape::visible(&frame.function), escape::visible(&frame.file));
            return Level { name, file: Some(file), line: frame.line };
        }
        Label::Thread(None) => "thread:?".into(),
        Label::Thread(Some(name)) => format!("thread:{}", label::name(name)).into(),
        Label::Task(None) => "task:?".into(),
        Label::Task(Some(name)) => format!("task:{}", label::name(name)).into(),
        Label::Callback => "callback".into(),
        Label::Torn => "<torn>".into(),
        Label::Await(kind) => format!("await:{}", kind.as_str()).into(),
        Label::Ready => "<ready>".into(),
        Label::Idle => "<idle>".into(),
        Label::Unknown => "<unknown>".into(),
        Label::Other => "<other>".into(),
    };
    Level { name, file: None, line: None }
}
