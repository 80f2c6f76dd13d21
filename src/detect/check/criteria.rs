//! What a check asks of the runs of a program.

use super::budgets::Budgets;
use super::noise::Tolerance;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Criteria {
    /// Limits.
    pub budgets: Budgets,
    /// A smaller change, as a part of what it was, does not fail.
    pub min_effect: f64,
    /// How likely all comparisons together may fail by chance alone.
    pub alpha: f64,
    /// How much noise is let pass.
    pub tolerance: Tolerance,
}

impl Default for Criteria {
    fn default() -> Self {
        Self {
            budgets: Budgets::default(),
            min_effect: 0.1,
            alpha: 0.01,
            tolerance: Tolerance::for_stalls_of(100_000_000),
        }
    }
}
