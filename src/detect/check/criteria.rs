//! What a check requires of the runs of a program.

use super::budgets::Budgets;
use super::noise::Tolerance;

/// The requirements.
#[derive(Clone, Debug, PartialEq)]
pub struct Criteria {
    /// Limits.
    pub budgets: Budgets,
    /// A smaller relative change does not fail.
    pub min_effect: f64,
    /// The accepted probability that any of the comparisons fails by chance alone.
    pub alpha: f64,
    /// How much noise is tolerated.
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
