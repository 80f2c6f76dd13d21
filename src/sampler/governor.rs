//! Keeps the watch within its CPU budget by lowering rates, and restores them when there is room. The task rate is
//! lowered first, because a missed stall is worse than a task that is seen late.

/// The loop tier is never slowed below this, whatever it costs: every 20 ms still shows every stall that a user would
/// notice. It is for everything that shares the budget: of several loops or processes each has a part of it, because
/// hundreds of floors would be no budget.
pub(super) const MIN_LOOP_HZ: f64 = 50.0;
/// The task tier is never slowed below this; shared in the same way by processes.
pub(super) const MIN_TASK_HZ: f64 = 0.1;
/// The smallest part of a floor: less often is as good as never.
const MIN_PART: f64 = 0.02;
/// The loop rate is bounded at once if samples alone use this many times the budget: such a rate must not last until the
/// governor has judged a second. Less than that is the governor's matter: the first samples of a program cost several
/// times what later ones do.
const FAR_TOO_MUCH: f64 = 10.0;
/// The part of the budget that samples may use then.
const LOOP_SHARE: f64 = 0.6;

/// Rates are lowered when the budget is exceeded by this factor; smaller excesses are noise.
const TOO_MUCH: f64 = 1.05;
/// Below this part of the budget, rates are raised.
const ROOM: f64 = 0.75;
/// The part of the budget that every change aims at: between `ROOM` and `TOO_MUCH`, so that a change is not undone.
const AIM: f64 = 0.9;
/// The part of the budget that task snapshots may use before anything has been measured over time.
const TASK_SHARE: f64 = 0.6;
/// What was not used of so many seconds of budget may be used beyond it, from the beginning on: code that is new costs several
/// times what it costs later, and a rate that is lowered for it takes long to rise again. In a minute, the budget is exceeded by
/// a tenth at most.
const SAVED: f64 = 4.0;
/// The minimum period that is judged, in seconds: before rates are lowered, and before they are raised.
const LOWER_AFTER: f64 = 1.0;
const RAISE_AFTER: f64 = 2.0;
/// One change alters a rate by this factor at most, since the cost of a rate is an estimate.
const STEP: f64 = 2.0;

/// Samples per second of each tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    pub(super) loop_hz: f64,
    pub(super) task_hz: f64,
}

/// CPU time spent in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    /// Length of the period.
    pub(super) wall_ns: u64,
    /// CPU time of everything except the task tier's samples: the loop tier, and the receiver of the events.
    pub(super) cpu_ns: u64,
    /// CPU time of one task sample; zero when none was taken yet.
    pub(super) look_ns: u64,
}

/// The governor of one watch.
#[derive(Clone, Debug)]
pub(super) struct Governor {
    asked: Rates,
    rates: Rates,
    /// Share of a core.
    budget: f64,
    /// The part of the floors that is for one loop of this watch, and for this watch.
    parts: (f64, f64),
    /// Seconds since the last change of a rate, and the CPU time in them of everything except task samples.
    wall: f64,
    cpu: f64,
    /// The part of [`SAVED`] that is left.
    saved: f64,
}

impl Governor {
    /// Starts with the requested rates. `budget` is a share of one core.
    pub(super) fn new(asked: Rates, budget: f64) -> Self {
        Self { asked, rates: asked, budget, parts: (1.0, 1.0), wall: 0.0, cpu: 0.0, saved: SAVED }
    }

    /// Starts with this part of the requested rates when other watches share the budget: all of them at full rate would
    /// be far over it until each has been lowered. Where there is room, the rates rise within seconds.
    pub(super) fn beginning_with(self, part: f64) -> Self {
        let least = self.least();
        let rates = Rates {
            loop_hz: (self.asked.loop_hz * part).max(least.loop_hz),
            task_hz: (self.asked.task_hz * part).max(least.task_hz),
        };
        Self { rates, ..self }
    }

    /// The current rates.
    pub(super) fn rates(&self) -> Rates {
        self.rates
    }

    /// Whether a rate is lower than requested.
    pub(super) fn is_lowered(&self) -> bool {
        self.rates != self.asked
    }

    /// Sets the share of a core from now on: watches that share the budget were added or removed.
    pub(super) fn set_budget(&mut self, budget: f64) {
        self.budget = budget;
    }

    /// Sets the floors: this watch has a `part` of those of all watches, and so many loops.
    pub(super) fn share_floors(&mut self, part: f64, loops: usize) {
        self.parts = ((part / loops.max(1) as f64).max(MIN_PART), part.max(MIN_PART));
    }

    /// Takes in the CPU time of one sample of all loops. Returns whether the rate was bounded: it was far too high.
    pub(super) fn bound_loops(&mut self, sample_ns: u64) -> bool {
        let cost = seconds(sample_ns).max(1e-9);
        if cost * self.rates.loop_hz <= FAR_TOO_MUCH * self.budget {
            return false;
        }
        let bounded = (LOOP_SHARE * self.budget / cost).max(self.least().loop_hz);
        let changed = bounded < self.rates.loop_hz;
        if changed {
            log::info!("a sample of all loops took {sample_ns} ns of CPU time: loop rate lowered to {bounded:.1}/s");
            self.rates.loop_hz = bounded;
            self.restart();
        }
        changed
    }

    /// Discards what was spent until now as not typical: a start or an interruption.
    pub(super) fn restart(&mut self) {
        (self.wall, self.cpu) = (0.0, 0.0);
    }

    /// Takes in the CPU time of one task sample. The task rate is bounded at once, before slow samples have used up the
    /// budget of many seconds. Returns whether the rate changed.
    pub(super) fn bound_tasks(&mut self, look_ns: u64) -> bool {
        let most = TASK_SHARE * self.budget / seconds(look_ns).max(1e-9);
        let bounded = self.rates.task_hz.min(most).max(self.least().task_hz);
        let changed = bounded < self.rates.task_hz;
        if changed {
            log::info!("a task snapshot took {look_ns} ns of CPU time: task rate lowered to {bounded:.2}/s");
            self.rates.task_hz = bounded;
        }
        changed
    }

    /// Takes in what was spent. `reserved` is the share of a core that is used besides, averaged over a longer time
    /// than the one judged here. Returns whether a rate changed.
    pub(super) fn account(&mut self, spent: Spent, reserved: f64) -> bool {
        self.wall += seconds(spent.wall_ns);
        self.cpu += seconds(spent.cpu_ns);
        let budget = (self.budget - reserved).max(self.budget * 0.1);
        let look = seconds(spent.look_ns);
        self.save(&spent, budget, look);
        if self.wall < LOWER_AFTER {
            return false;
        }
        let rest = self.cpu / self.wall;
        let used = rest + look * self.rates.task_hz;
        let before = self.rates;
        if used > TOO_MUCH * budget {
            if !self.has_overdrawn() {
                self.restart();
                return false;
            }
            self.lower(rest, look, used - AIM * budget);
        } else if self.wall < RAISE_AFTER {
            return false;
        } else if used < ROOM * budget {
            self.raise(rest, look, AIM * budget - used);
        }
        // A new period: costs of the changed rates must not be mixed with those of the old ones, and an unchanged rate
        // is judged by its last seconds, not by its whole past.
        self.restart();
        let changed = self.rates != before;
        if changed {
            let (used, budget, Rates { loop_hz, task_hz }) = (100.0 * used, 100.0 * budget, self.rates);
            log::info!("used {used:.1} % of a core, budget {budget:.1} %: loops {loop_hz:.0}/s, tasks {task_hz:.2}/s");
        }
        changed
    }

    /// Takes in what a period has left of the budget, or used beyond it.
    fn save(&mut self, spent: &Spent, budget: f64, look: f64) {
        let wall = seconds(spent.wall_ns);
        let used = seconds(spent.cpu_ns) + look * self.rates.task_hz * wall;
        self.saved = (self.saved + wall - used / budget).min(SAVED);
    }

    /// Whether more was used than was saved; then nothing is, and nothing is owed.
    fn has_overdrawn(&mut self) -> bool {
        let overdrawn = self.saved <= 0.0;
        self.saved = self.saved.max(0.0);
        overdrawn
    }

    /// Lowers rates until `excess`, a share of a core, is saved.
    fn lower(&mut self, rest: f64, look: f64, excess: f64) {
        let least = self.least();
        let tasks = look * self.rates.task_hz;
        let mut excess = excess;
        if tasks > 0.0 {
            let lowered = (self.rates.task_hz * (1.0 - excess / tasks)).clamp(least.task_hz, self.rates.task_hz);
            excess -= look * (self.rates.task_hz - lowered);
            self.rates.task_hz = lowered;
        }
        // A tiny difference of floats counts as zero.
        if excess > 1e-6 && rest > 0.0 {
            let factor = (1.0 - excess / rest).clamp(1.0 / STEP, 1.0);
            self.rates.loop_hz = (self.rates.loop_hz * factor).max(least.loop_hz);
        }
    }

    /// Raises rates until `room`, a share of a core, is used: the loop rate first.
    fn raise(&mut self, rest: f64, look: f64, room: f64) {
        if self.rates.loop_hz < self.asked.loop_hz {
            let factor = (1.0 + room / rest.max(1e-9)).min(STEP);
            self.rates.loop_hz = up_to(self.asked.loop_hz, self.rates.loop_hz * factor);
        } else if self.rates.task_hz < self.asked.task_hz {
            let more = (self.rates.task_hz + room / look.max(1e-9)).min(self.rates.task_hz * STEP);
            self.rates.task_hz = up_to(self.asked.task_hz, more);
        }
    }

    fn least(&self) -> Rates {
        let (of_loop, of_watch) = self.parts;
        Rates {
            loop_hz: self.asked.loop_hz.min(MIN_LOOP_HZ * of_loop),
            task_hz: self.asked.task_hz.min(MIN_TASK_HZ * of_watch),
        }
    }
}

/// `rate`, or the requested rate when it is nearly reached: the last per cent is not worth a change.
fn up_to(asked: f64, rate: f64) -> f64 {
    if rate > asked * 0.97 { asked } else { rate }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASKED: Rates = Rates { loop_hz: 1000.0, task_hz: 10.0 };
    const TICK: u64 = 500_000_000;

    /// Costs, in nanoseconds.
    #[derive(Clone, Copy, Debug)]
    struct World {
        sample: u64,
        look: u64,
        /// Share of a core that does not depend on any rate.
        fixed: f64,
    }

    impl World {
        /// Share of a core that these rates cost here.
        fn share(&self, rates: Rates) -> f64 {
            self.fixed + rates.loop_hz * seconds(self.sample) + rates.task_hz * seconds(self.look)
        }

        /// What the governor sees in one tick, `noise` too high or low.
        fn tick(&self, rates: Rates, noise: f64) -> Spent {
            let share = self.share(Rates { task_hz: 0.0, ..rates }) * noise;
            Spent { wall_ns: TICK, cpu_ns: (share * TICK as f64) as u64, look_ns: self.look }
        }
    }

    fn live(governor: &mut Governor, world: World, ticks: usize, noise: &mut dyn FnMut() -> f64) -> usize {
        (0..ticks).filter(|_| governor.account(world.tick(governor.rates(), noise()), 0.0)).count()
    }

    #[test]
    fn what_fits_into_the_budget_is_left_alone() {
        let mut governor = Governor::new(ASKED, 0.05);
        let world = World { sample: 20_000, look: 1_000_000, fixed: 0.005 };
        assert_eq!(live(&mut governor, world, 100, &mut || 1.0), 0);
        assert!(!governor.is_lowered());
    }

    #[test]
    fn the_task_tier_gives_way_before_the_loop_tier() {
        let mut governor = Governor::new(ASKED, 0.05);
        live(&mut governor, World { sample: 20_000, look: 20_000_000, fixed: 0.0 }, 20, &mut || 1.0);
        assert_eq!(governor.rates().loop_hz, 1000.0);
        assert!(governor.rates().task_hz < 2.0, "{:?}", governor.rates());
        live(&mut governor, World { sample: 200_000, look: 20_000_000, fixed: 0.0 }, 20, &mut || 1.0);
        assert!(governor.rates().loop_hz < 300.0, "{:?}", governor.rates());
    }

    #[test]
    fn a_look_that_eats_the_budget_bounds_its_rate_at_once() {
        let mut governor = Governor::new(ASKED, 0.05);
        assert!(!governor.bound_tasks(1_000_000));
        assert!(governor.bound_tasks(100_000_000));
        assert!((governor.rates().task_hz - 0.3).abs() < 1e-9);
        assert!(governor.bound_tasks(u64::MAX) && !governor.bound_tasks(u64::MAX));
        assert_eq!(governor.rates().task_hz, MIN_TASK_HZ);
    }

    #[test]
    fn one_of_several_begins_with_its_part_and_gets_what_it_asked_for_where_there_is_room() {
        let mut governor = Governor::new(ASKED, 0.0125).beginning_with(0.25);
        assert_eq!(governor.rates(), Rates { loop_hz: 250.0, task_hz: 2.5 });
        live(&mut governor, World { sample: 2_000, look: 100_000, fixed: 0.0 }, 60, &mut || 1.0);
        assert_eq!(governor.rates(), ASKED);
        assert_eq!(Governor::new(ASKED, 0.05).beginning_with(0.001).rates().loop_hz, MIN_LOOP_HZ);
    }

    #[test]
    fn the_floors_are_for_all_loops_and_watches_together() {
        let mut governor = Governor::new(ASKED, 0.05);
        let expensive = World { sample: 5_000_000, look: 5_000_000_000, fixed: 0.0 };
        governor.share_floors(1.0, 20);
        live(&mut governor, expensive, 60, &mut || 1.0);
        assert_eq!(governor.rates(), Rates { loop_hz: MIN_LOOP_HZ / 20.0, task_hz: MIN_TASK_HZ });
        governor.share_floors(0.1, 1);
        live(&mut governor, expensive, 60, &mut || 1.0);
        assert!((governor.rates().task_hz - MIN_TASK_HZ / 10.0).abs() < 1e-9);
        governor.share_floors(0.1, 10_000);
        live(&mut governor, expensive, 60, &mut || 1.0);
        assert_eq!(governor.rates().loop_hz, MIN_LOOP_HZ * MIN_PART);
    }

    #[test]
    fn samples_that_cost_far_too_much_are_bounded_before_a_second_is_over() {
        let mut governor = Governor::new(ASKED, 0.05);
        assert!(!governor.bound_loops(400_000), "the governor sees to it");
        assert!(governor.bound_loops(5_000_000));
        assert_eq!(governor.rates().loop_hz, MIN_LOOP_HZ);
        governor.share_floors(1.0, 200);
        assert!(governor.bound_loops(50_000_000));
        assert!((governor.rates().loop_hz - MIN_LOOP_HZ * MIN_PART).abs() < 1e-9, "{:?}", governor.rates());
        assert!(!governor.bound_loops(50_000_000));
    }

    #[test]
    fn rates_below_the_floor_that_were_asked_for_stay() {
        let asked = Rates { loop_hz: 10.0, task_hz: 0.05 };
        let mut governor = Governor::new(asked, 0.001);
        live(&mut governor, World { sample: 10_000_000, look: 10_000_000_000, fixed: 0.5 }, 50, &mut || 1.0);
        governor.bound_tasks(10_000_000_000);
        assert_eq!(governor.rates(), asked);
    }

    #[test]
    fn what_others_use_is_taken_off_the_budget() {
        let mut governor = Governor::new(ASKED, 0.05);
        let world = World { sample: 40_000, look: 100_000, fixed: 0.0 };
        for _ in 0..10 {
            assert!(!governor.account(world.tick(governor.rates(), 1.0), 0.0));
        }
        let changes = (0..60).filter(|_| governor.account(world.tick(governor.rates(), 1.0), 0.02)).count();
        assert!(changes > 0 && governor.rates().loop_hz < 800.0);
    }

    #[test]
    fn code_that_is_new_for_some_seconds_lowers_no_rate() {
        let mut governor = Governor::new(ASKED, 0.05);
        let usual = World { sample: 40_000, look: 100_000, fixed: 0.0 };
        let new_code = World { sample: 90_000, ..usual };
        for _ in 0..5 {
            assert_eq!(live(&mut governor, new_code, 8, &mut || 1.0), 0);
            // What is left of the budget is saved for the next time.
            assert_eq!(live(&mut governor, usual, 60, &mut || 1.0), 0);
        }
        assert!(live(&mut governor, new_code, 60, &mut || 1.0) > 0, "what lasts is not paid from savings");
    }

    #[test]
    fn a_minute_costs_a_tenth_more_than_the_budget_at_most() {
        for sample in [60_000, 100_000, 200_000, 400_000] {
            let (mut governor, world) = (Governor::new(ASKED, 0.05), World { sample, look: 100_000, fixed: 0.0 });
            let mut used = Vec::new();
            for _ in 0..122 {
                used.push(world.share(governor.rates()));
                governor.account(world.tick(governor.rates(), 1.0), 0.0);
            }
            // The first second is the one in which nothing is known yet.
            let used = used[2..].iter().sum::<f64>() / 120.0;
            assert!(used <= 0.05 * 1.1, "{sample}: {used}");
        }
    }

    proptest! {
        /// With costs that scatter, the budget is kept or both rates are at their minimum; with steady costs the rates
        /// stop changing; and when everything becomes cheap, the requested rates are restored.
        #[test]
        fn the_budget_is_kept_and_rates_come_back(
            sample in 1_000u64..2_000_000, look in 1_000u64..2_000_000_000, fixed in 0.0f64..0.02,
            budget in 0.01f64..0.5, noise in proptest::collection::vec(0.85f64..1.15, 64),
        ) {
            let mut governor = Governor::new(ASKED, budget);
            let world = World { sample, look, fixed };
            let mut noise = noise.into_iter().cycle();
            live(&mut governor, world, 80, &mut || noise.next().unwrap_or(1.0));
            live(&mut governor, world, 40, &mut || 1.0);
            let rates = governor.rates();
            let floor = Rates { loop_hz: MIN_LOOP_HZ, task_hz: MIN_TASK_HZ };
            prop_assert!(world.share(rates) <= budget * 1.06 || rates == floor, "{rates:?}");
            prop_assert!(rates.loop_hz <= ASKED.loop_hz && rates.loop_hz >= floor.loop_hz);
            prop_assert!(rates.task_hz <= ASKED.task_hz && rates.task_hz >= floor.task_hz);
            prop_assert_eq!(live(&mut governor, world, 40, &mut || 1.0), 0, "a steady world has steady rates");

            let cheap = World { sample: (budget * 3e5) as u64, look: (budget * 1e7) as u64, fixed: 0.0 };
            prop_assert!(cheap.share(ASKED) < ROOM * budget);
            live(&mut governor, cheap, 100, &mut || 1.0);
            prop_assert_eq!(governor.rates(), ASKED);
        }
    }
}
