//! How one watch differs from another, one file per format.

mod json;
mod markdown;
mod sections;
mod text;

pub use json::write as write_json;
pub use markdown::write as write_markdown;
pub use text::write as write_text;

pub use sections::Comparison;
