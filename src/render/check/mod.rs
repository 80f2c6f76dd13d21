//! The judgement over several runs, one file per format.

mod baseline;
mod contents;
mod github;
mod json;
mod junit;
mod markdown;
mod run_json;
mod sarif;
mod text;
mod words;

pub use baseline::{BaselineError, parse_baseline, write_baseline};
pub use contents::Check;
pub use github::write as write_github;
pub use json::write as write_json;
pub use junit::write as write_junit;
pub use markdown::write as write_markdown;
pub use sarif::write as write_sarif;
pub use text::write as write_text;
