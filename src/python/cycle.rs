//! Detects that a walk along links goes in circles, long before it reaches its limit: a limit that is generous for one
//! walk is too much for ten thousand of them.

use crate::remote::Addr;

/// Follows one walk. It compares each step with one earlier step, and replaces that one each time the number of steps
/// has doubled (Brent), so a cycle is detected within a few rounds, in constant memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CycleDetector {
    landmark: Option<Addr>,
    steps: u64,
}

impl CycleDetector {
    /// Records a step to `addr`. Returns whether the walk has been there before.
    pub(crate) fn is_repeat(&mut self, addr: Addr) -> bool {
        if self.landmark == Some(addr) {
            return true;
        }
        self.steps += 1;
        if self.steps.is_power_of_two() {
            self.landmark = Some(addr);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of steps before a walk is stopped that takes `tail` steps and then goes round in `circle` steps.
    fn steps_until_noticed(tail: u64, circle: u64) -> u64 {
        let mut watch = CycleDetector::default();
        let place = |step: u64| if step < tail { step } else { tail + (step - tail) % circle };
        (0..).find(|&step| watch.is_repeat(Addr::new(0x10_0000 + 8 * place(step)).unwrap())).unwrap()
    }

    #[test]
    fn circles_of_every_size_are_noticed_soon() {
        for tail in 0..40 {
            for circle in 1..40 {
                let steps = steps_until_noticed(tail, circle);
                assert!(steps <= 3 * (tail + circle) + 1, "{tail} + {circle}: {steps}");
            }
        }
    }

    #[test]
    fn a_walk_that_never_comes_back_is_left_alone() {
        let mut watch = CycleDetector::default();
        assert!((1..100_000).all(|step| !watch.is_repeat(Addr::new(0x10_0000 + 8 * step).unwrap())));
    }
}
