//! Options of human-readable formats.

/// Output options.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Maximum entries of each list.
    pub limit: Option<usize>,
    /// Columns to fill; a file and line is never cut to fit.
    pub width: usize,
    /// Terminal colours.
    pub color: bool,
    /// Whether `Task-17` is kept in formats that otherwise fold digits to `Task-*`.
    pub full_task_names: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: None, width: 100, color: false, full_task_names: false }
    }
}
