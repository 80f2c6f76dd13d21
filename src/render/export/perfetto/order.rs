//! Merges two streams that are each in order of time.

use std::collections::VecDeque;

use crate::model::event::Source;

/// The events of both tiers, in order of time.
pub(super) struct InOrder<T> {
    waiting: [VecDeque<(u64, T)>; 2],
    /// Nothing earlier than this will come from a source.
    seen_ns: [u64; 2],
}

impl<T> InOrder<T> {
    /// LIMIT: events that wait for the other tier; some minutes of samples, where task samples are ten seconds apart.
    /// Beyond it events are passed on in the order in which they arrive.
    const WAITING: usize = 1 << 17;

    pub(super) fn new() -> Self {
        Self { waiting: [VecDeque::new(), VecDeque::new()], seen_ns: [0; 2] }
    }

    pub(super) fn push(&mut self, source: Source, at_ns: u64, item: T) {
        self.saw(source, at_ns);
        self.waiting[source as usize].push_back((at_ns, item));
    }

    /// A source has advanced to this time.
    pub(super) fn saw(&mut self, source: Source, at_ns: u64) {
        let seen_ns = &mut self.seen_ns[source as usize];
        *seen_ns = (*seen_ns).max(at_ns);
    }

    /// The next event, once nothing earlier can come.
    pub(super) fn next(&mut self) -> Option<(u64, T)> {
        let earlier = self.earlier()?;
        let (at_ns, _) = self.waiting[earlier].front()?;
        let is_next = *at_ns <= self.seen_ns[1 - earlier] || self.waiting[earlier].len() > Self::WAITING;
        if is_next { self.waiting[earlier].pop_front() } else { None }
    }

    /// The next event, once nothing more will come.
    pub(super) fn next_of_rest(&mut self) -> Option<(u64, T)> {
        let earlier = self.earlier()?;
        self.waiting[earlier].pop_front()
    }

    fn earlier(&self) -> Option<usize> {
        let at = |which: usize| self.waiting[which].front().map(|(at_ns, _)| *at_ns);
        match (at(0), at(1)) {
            (None, None) => None,
            (Some(_), None) => Some(0),
            (None, Some(_)) => Some(1),
            (Some(first), Some(second)) => Some(usize::from(second < first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_of_one_source_is_waited_for() {
        let mut both = InOrder::new();
        both.push(Source::Loops, 10, "a");
        both.push(Source::Loops, 30, "c");
        assert_eq!(both.next(), None);
        both.push(Source::Tasks, 20, "b");
        assert_eq!([both.next(), both.next(), both.next()], [Some((10, "a")), Some((20, "b")), None]);
        both.saw(Source::Tasks, 30);
        assert_eq!(both.next(), Some((30, "c")));
        both.push(Source::Tasks, 50, "e");
        both.push(Source::Loops, 40, "d");
        assert_eq!([both.next_of_rest(), both.next_of_rest()], [Some((40, "d")), Some((50, "e"))]);
    }

    #[test]
    fn a_source_that_says_nothing_is_not_waited_for_without_end() {
        let mut both = InOrder::new();
        for at_ns in 0..2 * InOrder::<()>::WAITING as u64 {
            both.push(Source::Loops, at_ns + 1, ());
        }
        let taken = std::iter::from_fn(|| both.next()).count();
        assert_eq!(taken, InOrder::<()>::WAITING);
    }
}
