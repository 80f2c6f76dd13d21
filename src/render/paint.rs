//! Terminal styles by meaning.

use std::fmt::Display;

use crate::model::snapshot::Severity;

/// Applies styles, or leaves text unchanged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    enabled: bool,
}

impl Paint {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    pub(super) fn heading(self, text: impl Display) -> String {
        self.style("1", text)
    }

    pub(super) fn trouble(self, text: impl Display) -> String {
        self.style("31", text)
    }

    pub(super) fn name(self, text: impl Display) -> String {
        self.style("36", text)
    }

    pub(super) fn faint(self, text: impl Display) -> String {
        self.style("2", text)
    }

    pub(super) fn severity(self, severity: Severity) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Info => "1;34",
        };
        self.style(code, format_args!("{:<7}", severity.as_str()))
    }

    /// `code` is a list of ECMA-48 "select graphic rendition" parameters.
    fn style(self, code: &str, text: impl Display) -> String {
        if self.enabled { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}
