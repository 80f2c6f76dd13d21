//! How far two counts differ beyond chance.
//!
//! Events counted over some exposure (a time, or anything else that they are proportional to) are compared given their
//! sum: if both happen at the same rate, the number that falls on one side is binomial. That is exact for independent
//! events; events in bursts count for fewer, see [`worth`].

use statrs::function::beta::checked_beta_reg;

/// A count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counted {
    /// The equivalent number of independent events.
    pub(super) events: f64,
    /// The exposure: the rate is `events / exposure`.
    pub(super) exposure: f64,
}

/// A confidence interval of the ratio of two rates; its upper end can be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Interval {
    /// Nothing is known.
    pub(super) const ANY: Self = Self { low: 0.0, high: f64::INFINITY };
}

impl Counted {
    /// A rate based on this many independent events; if there are none, on the exposure in which none occurred.
    pub(super) fn of_rate(rate: f64, events: f64, exposure: f64) -> Self {
        let exposure = if rate > 0.0 && events > 0.0 { events / rate } else { exposure };
        Self { events, exposure }
    }

    fn is_usable(self) -> bool {
        self.events.is_finite() && self.events >= 0.0 && self.exposure.is_finite() && self.exposure > 0.0
    }
}

/// Above this, the exact method needs too many steps, and the normal approximation gives the same result.
const MANY: f64 = 4_000.0;

/// Confidence interval of the ratio of two rates, second to first: wrong in at most a share `risk` of all cases.
pub(super) fn ratio(first: Counted, second: Counted, risk: f64) -> Interval {
    if !first.is_usable() || !second.is_usable() {
        return Interval::ANY;
    }
    let scale = first.exposure / second.exposure;
    let (a, b) = (first.events, second.events);
    if a + b > MANY && a.min(b) > 100.0 {
        let estimate = (b / a * scale).ln();
        let width = normal_quantile(1.0 - risk / 2.0) * (1.0 / a + 1.0 / b).sqrt();
        return Interval { low: (estimate - width).exp(), high: (estimate + width).exp() };
    }
    // Clopper-Pearson interval of the second's share; few against very many behave like few against many.
    let times = |number: f64| if number > MANY { number / MANY } else { 1.0 };
    let (a, b, scale) = (a.min(MANY), b.min(MANY), scale * times(b) / times(a));
    let low = if b > 0.0 { beta_quantile(b, a + 1.0, risk / 2.0) } else { 0.0 };
    let high = if a > 0.0 { beta_quantile(b + 1.0, a, 1.0 - risk / 2.0) } else { 1.0 };
    Interval { low: low / (1.0 - low) * scale, high: high / (1.0 - high) * scale }
}

/// The two-sided probability of a difference of two rates at least this large by chance alone.
pub(super) fn chance(first: Counted, second: Counted) -> f64 {
    if !first.is_usable() || !second.is_usable() || first.events + second.events <= 0.0 {
        return 1.0;
    }
    let share = second.exposure / (first.exposure + second.exposure);
    let (a, b) = (first.events, second.events);
    if a + b > MANY {
        let deviation = (b - (a + b) * share).abs() / ((a + b) * share * (1.0 - share)).sqrt();
        return 2.0 * normal_tail(deviation);
    }
    // For a binomial variable: at least b, at most b.
    let at_least = if b > 0.0 { beta_reg(b, a + 1.0, share) } else { 1.0 };
    let at_most = if a > 0.0 { 1.0 - beta_reg(b + 1.0, a, share) } else { 1.0 };
    (2.0 * at_least.min(at_most)).min(1.0)
}

/// The equivalent number of independent events for a count with this spread over equal times: all of them if they come
/// evenly or at random, fewer if they come in bursts. `None` where there are too few times to tell.
pub(super) fn worth(number: f64, by_time: &[f64]) -> Option<f64> {
    /// Fewer do not show how much they differ.
    const ENOUGH: usize = 8;
    if by_time.len() < ENOUGH {
        return None;
    }
    let (mean, variance) = moments(by_time);
    if mean <= 0.0 {
        return Some(number);
    }
    // The variance of a few values is itself uncertain: it is increased somewhat, just as Student's distribution is
    // wider.
    let times = by_time.len() as f64;
    let doubt = (times - 1.0) / (times - 3.0);
    let relative = variance * doubt / (mean * mean) / times;
    Some(if relative > 0.0 { number.min(1.0 / relative) } else { number })
}

/// Confidence interval of the ratio of the typical sizes of two samples, second to first (Welch's test on their
/// logarithms). `None` where one is too small.
pub(super) fn ratio_of_sizes(first: &[f64], second: &[f64], risk: f64) -> Option<(f64, Interval)> {
    /// Sizes closer than this are the same: they are not measured more precisely. Without it, two equal sizes would be
    /// certain.
    const RESOLUTION: f64 = 0.02;
    let logarithms = |sizes: &[f64]| -> Vec<f64> { sizes.iter().map(|size| size.max(1.0).ln()).collect() };
    let (first, second) = (logarithms(first), logarithms(second));
    if first.len() < 3 || second.len() < 3 {
        return None;
    }
    let part = |sizes: &[f64]| {
        let (mean, variance) = moments(sizes);
        (mean, variance.max(RESOLUTION * RESOLUTION) / sizes.len() as f64, sizes.len() as f64 - 1.0)
    };
    let ((mean_a, a, free_a), (mean_b, b, free_b)) = (part(&first), part(&second));
    let free = (a + b) * (a + b) / (a * a / free_a + b * b / free_b);
    let width = student_quantile(free, risk) * (a + b).sqrt();
    let difference = mean_b - mean_a;
    Some((difference.exp(), Interval { low: (difference - width).exp(), high: (difference + width).exp() }))
}

/// Mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let number = values.len() as f64;
    let mean = values.iter().sum::<f64>() / number;
    (mean, values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (number - 1.0))
}

/// Where there is no answer (which the callers exclude), returns the value that makes nothing certain.
fn beta_reg(a: f64, b: f64, x: f64) -> f64 {
    checked_beta_reg(a, b, x.clamp(0.0, 1.0)).unwrap_or(0.5)
}

fn beta_quantile(a: f64, b: f64, share: f64) -> f64 {
    bisect(0.0, 1.0, |x| beta_reg(a, b, x) < share)
}

/// The two-sided quantile of Student's distribution.
fn student_quantile(free: f64, risk: f64) -> f64 {
    bisect(0.0, 1e6, |t| beta_reg(free / 2.0, 0.5, free / (free + t * t)) > risk)
}

/// The one-sided tail of a normal distribution beyond this many standard deviations.
fn normal_tail(deviation: f64) -> f64 {
    statrs::function::erf::erfc(deviation / std::f64::consts::SQRT_2) / 2.0
}

fn normal_quantile(share: f64) -> f64 {
    bisect(-40.0, 40.0, |x| 1.0 - normal_tail(x) < share)
}

/// The point between two others up to which `is_below` holds.
fn bisect(mut low: f64, mut high: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    /// The precision of the numbers themselves.
    const STEPS: u32 = 80;
    for _ in 0..STEPS {
        let middle = low + (high - low) / 2.0;
        if is_below(middle) { low = middle } else { high = middle }
    }
    low + (high - low) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(events: f64, exposure: f64) -> Counted {
        Counted { events, exposure }
    }

    fn close(value: f64, wanted: f64) {
        assert!((value / wanted - 1.0).abs() < 2e-3, "{value} instead of {wanted}");
    }

    #[test]
    fn chances_are_those_of_the_binomial_distribution() {
        // For eight all on one side: 2 / 2^8; for two or fewer of ten: 2 * 56 / 2^10.
        close(chance(counted(0.0, 1.0), counted(8.0, 1.0)), 2.0 / 256.0);
        close(chance(counted(8.0, 1.0), counted(2.0, 1.0)), 112.0 / 1_024.0);
        // Three of three in a quarter of the time.
        close(chance(counted(0.0, 3.0), counted(3.0, 1.0)), 2.0 / 64.0);
        assert_eq!(chance(counted(5.0, 1.0), counted(5.0, 1.0)), 1.0);
        assert_eq!(chance(counted(0.0, 1.0), counted(0.0, 1.0)), 1.0);
        assert_eq!(chance(counted(1.0, 0.0), counted(9.0, 1.0)), 1.0, "over no time nothing is known");
    }

    #[test]
    fn intervals_are_those_of_clopper_and_pearson() {
        // For 10 of 20 the share is within 0.27196 to 0.72804, as in published tables.
        let of_ten = ratio(counted(10.0, 1.0), counted(10.0, 1.0), 0.05);
        close(of_ten.low, 0.27196 / 0.72804);
        close(of_ten.high, 0.72804 / 0.27196);
        // For 0 of 10 it is below 0.30850.
        let of_none = ratio(counted(10.0, 1.0), counted(0.0, 1.0), 0.05);
        assert_eq!(of_none.low, 0.0);
        close(of_none.high, 0.30850 / 0.69150);
        let twice_the_time = ratio(counted(10.0, 1.0), counted(10.0, 2.0), 0.05);
        close(twice_the_time.low, of_ten.low / 2.0);
        assert_eq!(ratio(counted(0.0, 1.0), counted(0.0, 1.0), 0.05), Interval::ANY);
        assert_eq!(ratio(counted(3.0, f64::NAN), counted(0.0, 1.0), 0.05), Interval::ANY);
    }

    #[test]
    fn the_exact_way_and_that_for_many_meet() {
        for risk in [0.05, 0.01, 1e-5] {
            let exact = ratio(counted(1_990.0, 1.0), counted(1_990.0, 1.0), risk);
            let normal = ratio(counted(2_010.0, 1.0), counted(2_010.0, 1.0), risk);
            assert!((exact.high / normal.high - 1.0).abs() < 5e-3, "{exact:?} {normal:?}");
        }
        let few_against_many = ratio(counted(3.0, 1.0), counted(1e7, 1.0), 0.05);
        assert!(few_against_many.low > 1e6 && few_against_many.high < 2e7, "{few_against_many:?}");
        let many_against_few = ratio(counted(1e7, 1.0), counted(3.0, 1.0), 0.05);
        close(many_against_few.high * few_against_many.low, 1.0);
        assert!(chance(counted(1e6, 1.0), counted(1.01e6, 1.0)) < 1e-9);
    }

    #[test]
    fn events_in_bursts_are_worth_fewer() {
        let (even, bursts) = ([100.0; 16], [0.0, 400.0].repeat(2).repeat(4));
        assert_eq!(worth(1_600.0, &even), Some(1_600.0));
        let worth_of_bursts = worth(1_600.0, &[bursts.clone(), vec![0.0; 16]].concat()).unwrap();
        assert!(worth_of_bursts < 20.0, "{worth_of_bursts}");
        assert_eq!(worth(1_600.0, &even[..7]), None);
        assert_eq!(worth(0.0, &[0.0; 16]), Some(0.0));
    }

    #[test]
    fn sizes_are_compared_as_welch_does() {
        let (estimate, interval) = ratio_of_sizes(&[100.0, 100.0, 100.0], &[200.0, 200.0, 200.0], 0.05).unwrap();
        close(estimate, 2.0);
        assert!(interval.low > 1.8 && interval.high < 2.2, "{interval:?}");
        let wide = ratio_of_sizes(&[100.0, 900.0, 300.0], &[200.0, 2_000.0, 400.0], 0.05).unwrap().1;
        assert!(wide.low < 1.0 && wide.high > 1.0, "{wide:?}");
        assert_eq!(ratio_of_sizes(&[1.0], &[2.0, 2.0, 2.0], 0.05), None);
        // Student's table: 2.776 for four degrees of freedom, 12.706 for one.
        close(student_quantile(4.0, 0.05), 2.776);
        close(student_quantile(1.0, 0.05), 12.706);
    }
}
