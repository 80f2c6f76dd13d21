//! How noisy a run was: CPU time taken by other processes on the machine, and what the watch missed.

/// What is known of one run; `None` where it cannot be known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Time for which its threads were runnable but had no CPU, relative to the time on a CPU.
    pub delay_share: Option<f64>,
    /// How long a fixed piece of work took right before and after the run, relative to the fastest such time of the
    /// check.
    pub spin_ratio: Option<f64>,
    /// The longest time between two samples, nanoseconds: anything shorter can hide in it.
    pub longest_gap_ns: Option<u64>,
    /// Samples that were torn or dropped, relative to samples that were accepted.
    pub torn_share: Option<f64>,
    /// Deadlines that the sampler missed, relative to those that it met.
    pub missed_share: Option<f64>,
    /// The watch sampled less often than requested, to keep to its own budget.
    pub lowered_rate: bool,
}

/// Why a run cannot be used for measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Taint {
    /// It waited for a CPU.
    Starved,
    /// The CPU itself was slower than at other times.
    Slow,
    /// The watch could have missed a stall.
    Blind,
    /// Too many reads were torn.
    Torn,
}

/// How much noise is tolerated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// For [`Noise::delay_share`].
    pub delay_share: f64,
    /// For [`Noise::spin_ratio`].
    pub spin_ratio: f64,
    /// For [`Noise::longest_gap_ns`].
    pub gap_ns: u64,
    /// For [`Noise::torn_share`].
    pub torn_share: f64,
}

impl Tolerance {
    /// As much as an interleaved pair of runs, or a stall of `threshold_ns`, can tolerate. A rank test is not misled by
    /// noise that both sides have; no test can see through noise above these limits.
    pub fn for_stalls_of(threshold_ns: u64) -> Self {
        Self { delay_share: 1.0, spin_ratio: 1.5, gap_ns: threshold_ns, torn_share: 1.0 }
    }
}

impl Taint {
    /// In words: why the run is not used.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Starved => "it spent at least as long waiting for a CPU as on one",
            Self::Slow => "the machine was much slower than at its best",
            Self::Blind => "sampling had a gap long enough to hide a stall",
            Self::Torn => "most samples changed during the read",
        }
    }

    /// As written in every format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starved => "starved",
            Self::Slow => "slow",
            Self::Blind => "blind",
            Self::Torn => "torn",
        }
    }
}

impl Noise {
    /// What disqualifies the run as a measurement.
    pub fn taints(&self, tolerance: &Tolerance) -> Vec<Taint> {
        let above = |value: Option<f64>, limit: f64| value.is_some_and(|value| value > limit);
        let mut taints = Vec::new();
        if above(self.delay_share, tolerance.delay_share) {
            taints.push(Taint::Starved);
        }
        if above(self.spin_ratio, tolerance.spin_ratio) {
            taints.push(Taint::Slow);
        }
        if self.longest_gap_ns.is_some_and(|gap| gap > tolerance.gap_ns) {
            taints.push(Taint::Blind);
        }
        if above(self.torn_share, tolerance.torn_share) {
            taints.push(Taint::Torn);
        }
        taints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_noise_taints_in_its_own_way() {
        let tolerance = Tolerance::for_stalls_of(100_000_000);
        assert_eq!(Noise::default().taints(&tolerance), []);
        let quiet = Noise {
            delay_share: Some(0.2),
            spin_ratio: Some(1.1),
            longest_gap_ns: Some(20_000_000),
            torn_share: Some(0.1),
            missed_share: Some(0.3),
            lowered_rate: true,
        };
        assert_eq!(quiet.taints(&tolerance), []);
        let loud = Noise {
            delay_share: Some(1.2),
            spin_ratio: Some(1.6),
            longest_gap_ns: Some(100_000_001),
            torn_share: Some(2.0),
            ..quiet
        };
        assert_eq!(loud.taints(&tolerance), [Taint::Starved, Taint::Slow, Taint::Blind, Taint::Torn]);
    }
}
