//! A core that a test shares with its target.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This thread, and what it starts, runs on one core as long as this lives.
pub struct OneCore {
    before: CpuSet,
}

impl OneCore {
    /// From now on.
    pub fn take() -> Result<Self, String> {
        let own = Pid::from_raw(0);
        let before = sched_getaffinity(own).map_err(|error| format!("sched_getaffinity: {error}"))?;
        let core = (0..CpuSet::count()).rfind(|core| before.is_set(*core) == Ok(true)).ok_or("no core is allowed")?;
        let mut one = CpuSet::new();
        one.set(core).and_then(|()| sched_setaffinity(own, &one)).map_err(|error| format!("core {core}: {error}"))?;
        Ok(Self { before })
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        sched_setaffinity(Pid::from_raw(0), &self.before).expect("a thread may have back the cores it had");
    }
}
