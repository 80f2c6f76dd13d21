//! Lists of mappings, as `/proc/PID/maps` has them: paths in them can hold any byte.

use asyncprof::remote::maps::Maps;

/// Runs the target.
pub fn run(input: &[u8]) {
    let maps = Maps::parse(input);
    for module in maps.modules() {
        let _ = (module.name(), module.path(), module.first());
    }
    // Neither of these may overflow.
    let _ = maps.mappings().iter().map(|mapping| u128::from(mapping.len())).sum::<u128>();
}
