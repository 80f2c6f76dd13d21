//! Renders the results of a watch over time, one file per format.

pub(super) mod contents;
pub mod html;
pub(super) mod json;
pub(super) mod markdown;
mod text;
pub mod words;

pub use contents::Report;

pub use json::write as write_json;
pub use markdown::write as write_markdown;
pub use text::write as write_text;
