//! A frame.

use serde::Serialize;

use crate::model::snapshot::Frame;

#[derive(Serialize)]
pub(in crate::render) struct FrameJson<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
}

impl<'a> FrameJson<'a> {
    pub(in crate::render) fn of(frame: Option<&'a Frame>) -> Self {
        Self {
            function: frame.map(|frame| &*frame.function),
            file: frame.map(|frame| &*frame.file),
            line: frame.and_then(|frame| frame.line),
        }
    }

    pub(in crate::render) fn list(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<Self> {
        frames.into_iter().map(|frame| Self::of(Some(frame))).collect()
    }
}
