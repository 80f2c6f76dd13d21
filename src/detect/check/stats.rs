//! Whether numbers differ by more than chance: exact rank tests, the estimates that belong to them, and the correction
//! for several tests.
//!
//! Ranks, because run times are skewed and have outliers; exact, because there are ten of them and not a thousand;
//! one-sided, because a check asks whether something got worse.

/// An estimate of how far one group of numbers is above another, with a confidence interval and the probability of a
/// difference at least this large by chance alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Hodges-Lehmann estimate.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// One-sided.
    pub p: f64,
    /// The smallest `p` that this many numbers could have given.
    pub least_p: f64,
}

/// The true value lies outside one interval in twenty.
const OUTSIDE: f64 = 0.05;

/// LIMIT: numbers in a test. The full distribution is computed, in time that grows with the cube of this.
const MOST: usize = 100;

/// Wilcoxon's signed-rank test of paired differences, exact even with ties. Differences of zero carry no information
/// and are left out of the test, but not of the estimate. `None` where there are none, or one is not a number.
pub fn signed_rank(differences: &[f64]) -> Option<Shift> {
    if differences.is_empty() || differences.len() > MOST || differences.iter().any(|one| !one.is_finite()) {
        return None;
    }
    let nonzero: Vec<f64> = differences.iter().copied().filter(|one| *one != 0.0).collect();
    let ranks = doubled_ranks(&nonzero.iter().map(|one| one.abs()).collect::<Vec<_>>());
    let distribution = subset_sums(&ranks);
    let positive = nonzero.iter().zip(&ranks).filter(|(one, _)| **one > 0.0).map(|(_, rank)| rank).sum();
    let mut averages = Vec::with_capacity(differences.len() * (differences.len() + 1) / 2);
    for (index, one) in differences.iter().enumerate() {
        averages.extend(differences[index..].iter().map(|other| (one + other) / 2.0));
    }
    // The interval uses all differences, and their distribution without ties.
    let without_ties: Vec<usize> = (1..=differences.len()).map(|rank| 2 * rank).collect();
    let outside = left_out(&subset_sums(&without_ties), 2);
    let (estimate, low, high) = middle_and_ends(averages, outside);
    let least_p = distribution.last().copied().unwrap_or(1.0);
    Some(Shift { estimate, low, high, p: upper_tail(&distribution, positive), least_p })
}

/// The Mann-Whitney test of whether `head` is above `base`, exact even with ties; `None` where one is empty, or a value
/// is not a number.
pub fn rank_sum(base: &[f64], head: &[f64]) -> Option<Shift> {
    let all: Vec<f64> = head.iter().chain(base).copied().collect();
    if base.is_empty() || head.is_empty() || all.len() > MOST || all.iter().any(|one| !one.is_finite()) {
        return None;
    }
    let ranks = doubled_ranks(&all);
    let distribution = choice_sums(&ranks, head.len());
    let differences = head.iter().flat_map(|head| base.iter().map(move |base| head - base)).collect();
    let without_ties: Vec<usize> = (1..=all.len()).map(|rank| 2 * rank).collect();
    let sums = choice_sums(&without_ties, head.len());
    let least = head.len() * (head.len() + 1);
    let outside = left_out(&sums[least..], 2);
    let (estimate, low, high) = middle_and_ends(differences, outside);
    let p = upper_tail(&distribution, ranks[..head.len()].iter().sum());
    let least_p = distribution.iter().rev().copied().find(|probability| *probability > 0.0).unwrap_or(1.0);
    Some(Shift { estimate, low, high, p, least_p })
}

/// Holm's adjustment: p-values of several tests, adjusted so that the probability of any false positive is no larger
/// than for a single test. In the order given.
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|one, other| ps[*one].total_cmp(&ps[*other]));
    let mut adjusted = vec![1.0; ps.len()];
    let mut least = 0.0_f64;
    for (position, index) in order.into_iter().enumerate() {
        least = least.max((ps[index] * (ps.len() - position) as f64).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

/// Fisher's exact test, one-sided: the probability of at least `head` of `heads` if both groups were alike, given
/// `base` of `bases`.
pub fn fisher(head: usize, heads: usize, base: usize, bases: usize) -> f64 {
    let (hits, all) = (head + base, heads + bases);
    let total = choose(all, heads);
    (head..=hits.min(heads)).map(|count| choose(hits, count) * choose(all - hits, heads - count) / total).sum()
}

/// The share of `hits` in `trials`, with its Clopper-Pearson interval: 95 of 100 such intervals contain the true value.
pub fn share(hits: usize, trials: usize) -> (f64, f64, f64) {
    if trials == 0 {
        return (0.0, 0.0, 1.0);
    }
    // Probability of at most `count` hits, each of probability `p`.
    let at_most = |count: usize, p: f64| -> f64 {
        (0..=count).map(|k| choose(trials, k) * p.powi(k as i32) * (1.0 - p).powi((trials - k) as i32)).sum()
    };
    let low = if hits == 0 { 0.0 } else { root(|p| 1.0 - at_most(hits - 1, p) - OUTSIDE / 2.0) };
    let high = if hits == trials { 1.0 } else { root(|p| OUTSIDE / 2.0 - at_most(hits, p)) };
    (hits as f64 / trials as f64, low, high)
}

/// The median of sorted numbers; `None` where there are none.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => None,
        1 => Some(sorted[half]),
        _ => Some((sorted[half - 1] + sorted[half]) / 2.0),
    }
}

/// The zero of a rising function of a probability.
fn root(rising: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if rising(middle) < 0.0 { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

fn choose(of: usize, count: usize) -> f64 {
    if count > of {
        return 0.0;
    }
    (0..count.min(of - count)).fold(1.0, |product, k| product * (of - k) as f64 / (k + 1) as f64)
}

/// Twice the rank of each number, so that the mean rank of ties is a whole number.
fn doubled_ranks(numbers: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|one, other| numbers[*one].total_cmp(&numbers[*other]));
    let mut ranks = vec![0; numbers.len()];
    for equal in order.chunk_by(|one, other| numbers[*one] == numbers[*other]) {
        let first = order.partition_point(|index| numbers[*index] < numbers[equal[0]]);
        for index in equal {
            // Ranks from `first + 1` to `first + equal.len()`: twice their mean.
            ranks[*index] = 2 * first + equal.len() + 1;
        }
    }
    ranks
}

/// The probability of each sum when every rank is included or not with equal probability.
fn subset_sums(ranks: &[usize]) -> Vec<f64> {
    let mut probabilities = vec![1.0];
    for rank in ranks {
        let mut next = vec![0.0; probabilities.len() + rank];
        for (sum, probability) in probabilities.iter().enumerate() {
            next[sum] += probability / 2.0;
            next[sum + rank] += probability / 2.0;
        }
        probabilities = next;
    }
    probabilities
}

/// The probability of each sum when `count` ranks are chosen, every choice being equally likely.
fn choice_sums(ranks: &[usize], count: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    // By number of chosen ranks, then by their sum. The first `k` ranks are considered: probabilities stay in range.
    let mut ways = vec![vec![0.0; most + 1]; count + 1];
    ways[0][0] = 1.0;
    for (looked_at, rank) in ranks.iter().enumerate() {
        for taken in (0..count.min(looked_at + 1)).rev() {
            let (before, after) = ways.split_at_mut(taken + 1);
            for (sum, number) in before[taken].iter().enumerate().filter(|(_, number)| **number > 0.0) {
                after[0][sum + rank] += number;
            }
        }
    }
    let total = choose(ranks.len(), count);
    ways.swap_remove(count).into_iter().map(|number| number / total).collect()
}

fn upper_tail(distribution: &[f64], from: usize) -> f64 {
    distribution.get(from..).map_or(0.0, |tail| tail.iter().sum::<f64>()).min(1.0)
}

/// How many of the sorted differences to cut at each end of the interval. `step` is the distance between neighbouring
/// sums.
fn left_out(distribution: &[f64], step: usize) -> usize {
    let mut below = 0.0;
    let lasts = distribution.iter().step_by(step).take_while(|probability| {
        below += **probability;
        below <= OUTSIDE / 2.0
    });
    lasts.count()
}

fn middle_and_ends(mut differences: Vec<f64>, outside: usize) -> (f64, f64, f64) {
    differences.sort_by(f64::total_cmp);
    let middle = median(differences.iter().copied()).unwrap_or(0.0);
    // Too few for an interval: nothing is known.
    match outside {
        0 => (middle, f64::NEG_INFINITY, f64::INFINITY),
        _ => (middle, differences[outside - 1], differences[differences.len() - outside]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    /// Counts all assignments of signs to the ranks one by one.
    fn signed_rank_by_counting(differences: &[f64]) -> f64 {
        let nonzero: Vec<f64> = differences.iter().copied().filter(|one| *one != 0.0).collect();
        let ranks = doubled_ranks(&nonzero.iter().map(|one| one.abs()).collect::<Vec<_>>());
        let seen: usize = nonzero.iter().zip(&ranks).filter(|(one, _)| **one > 0.0).map(|(_, rank)| rank).sum();
        let as_far = (0..1_u32 << ranks.len()).filter(|signs| {
            ranks.iter().enumerate().filter(|(bit, _)| signs >> bit & 1 == 1).map(|(_, rank)| rank).sum::<usize>()
                >= seen
        });
        as_far.count() as f64 / f64::from(1_u32 << ranks.len())
    }

    fn rank_sum_by_counting(base: &[f64], head: &[f64]) -> f64 {
        let all: Vec<f64> = head.iter().chain(base).copied().collect();
        let ranks = doubled_ranks(&all);
        let seen: usize = ranks[..head.len()].iter().sum();
        let choices = (0..1_u32 << all.len()).filter(|chosen| chosen.count_ones() as usize == head.len());
        let (mut as_far, mut number) = (0, 0);
        for chosen in choices {
            let sum: usize = (ranks.iter().enumerate()).filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, r)| r).sum();
            number += 1;
            as_far += usize::from(sum >= seen);
        }
        f64::from(as_far as u32) / f64::from(number)
    }

    #[test]
    fn the_signed_rank_test_agrees_with_tables() {
        // Critical values from textbooks: with 10 pairs, a negative rank sum of 5 has p = 0.0098, one-sided.
        let differences = [1.0, 2.0, 3.0, 4.0, -5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        let shift = signed_rank(&differences).unwrap();
        assert!((shift.p - 10.0 / 1024.0).abs() < 1e-12, "{shift:?}");
        assert!((shift.least_p - 1.0 / 1024.0).abs() < 1e-12);
        // With 10 pairs, the 95 % interval cuts 8 averages at each end.
        let distribution = subset_sums(&(1..=10).map(|rank| 2 * rank).collect::<Vec<_>>());
        assert_eq!(left_out(&distribution, 2), 9, "sums 0 to 8 have 0.0244 together");
    }

    #[test]
    fn the_rank_sum_test_agrees_with_tables() {
        let shift = rank_sum(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]).unwrap();
        assert!(close(shift.p, 1.0 / 252.0) && close(shift.least_p, 1.0 / 252.0), "{shift:?}");
        assert_eq!((shift.estimate, shift.low, shift.high), (5.0, 2.0, 8.0));
        let same = rank_sum(&[1.0, 1.0], &[1.0, 1.0, 1.0]).unwrap();
        assert!(close(same.p, 1.0), "{same:?}");
    }

    #[test]
    fn an_interval_of_too_few_pairs_says_that_nothing_is_known() {
        let shift = signed_rank(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((shift.low, shift.high, shift.p), (f64::NEG_INFINITY, f64::INFINITY, 0.125));
        assert_eq!(signed_rank(&[]), None);
        assert_eq!(signed_rank(&[f64::NAN]), None);
        assert_eq!(rank_sum(&[], &[1.0]), None);
        let zeros = signed_rank(&[0.0; 8]).unwrap();
        assert_eq!((zeros.p, zeros.estimate), (1.0, 0.0));
    }

    #[test]
    fn what_several_tests_may_claim_together() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }

    #[test]
    fn fisher_agrees_with_tables() {
        assert!(close(fisher(5, 5, 0, 5), 1.0 / 252.0));
        assert!(close(fisher(3, 4, 1, 4), 17.0 / 70.0), "the lady tasting tea");
        assert!(close(fisher(0, 5, 0, 5), 1.0));
    }

    #[test]
    fn a_share_has_the_interval_of_the_tables() {
        let (share_, low, high) = share(0, 40);
        assert_eq!((share_, low), (0.0, 0.0));
        assert!((high - 0.0881).abs() < 1e-4, "{high}");
        let (_, low, high) = share(1, 20);
        assert!((low - 0.00127).abs() < 1e-5 && (high - 0.2487).abs() < 1e-4, "{low} {high}");
        assert_eq!(share(0, 0), (0.0, 0.0, 1.0));
        assert_eq!(share(3, 3).2, 1.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    proptest! {
        #[test]
        fn signed_ranks_are_as_counted(halves in proptest::collection::vec(-6i32..7, 1..11)) {
            let differences: Vec<f64> = halves.iter().map(|half| f64::from(*half) / 2.0).collect();
            let shift = signed_rank(&differences).unwrap();
            prop_assert!(close(shift.p, signed_rank_by_counting(&differences)), "{shift:?}");
            prop_assert!(shift.low <= shift.estimate && shift.estimate <= shift.high);
        }

        #[test]
        fn rank_sums_are_as_counted(
            base in proptest::collection::vec(0i32..9, 1..7),
            head in proptest::collection::vec(0i32..9, 1..7),
        ) {
            let numbers = |list: Vec<i32>| list.into_iter().map(f64::from).collect::<Vec<_>>();
            let (base, head) = (numbers(base), numbers(head));
            let shift = rank_sum(&base, &head).unwrap();
            prop_assert!(close(shift.p, rank_sum_by_counting(&base, &head)), "{shift:?}");
            prop_assert!(shift.low <= shift.estimate && shift.estimate <= shift.high);
        }

        #[test]
        fn the_interval_holds_the_estimate_that_the_test_would_not_reject(
            differences in proptest::collection::vec(-100i32..100, 6..12),
        ) {
            let differences: Vec<f64> = differences.into_iter().map(f64::from).collect();
            let shift = signed_rank(&differences).unwrap();
            // Values below the interval's lower end are rejected: shifted by a little less than it, p is small.
            let shifted: Vec<f64> = differences.iter().map(|one| one - shift.low + 0.25).collect();
            prop_assert!(signed_rank(&shifted).unwrap().p <= OUTSIDE, "{shift:?}");
        }

        #[test]
        fn a_share_lies_in_its_interval(trials in 1usize..60, hits in 0usize..60) {
            let hits = hits.min(trials);
            let (share, low, high) = share(hits, trials);
            prop_assert!((0.0..=1.0).contains(&low) && low <= share && share <= high && high <= 1.0);
        }
    }
}
