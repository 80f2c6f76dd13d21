//! Pools of connections that are used up: named by their library, with their size. Libraries that are not installed are left out.

use crate::expect::{assert_names, find, list, rules, tasks_of};
use crate::setting::Setting;
use crate::{Case, FEW, NONE, TWO};

const SHAPES: &[u32] = &[8, 11, 12, 14];

const fn pool(arguments: &'static [&'static str], uvloop: &'static [u32], judge: fn(&Setting)) -> Case {
    Case { program: "connection_pools", arguments, asyncio: SHAPES, uvloop, judge }
}

pub(crate) const CASES: &[Case] = &[
    pool(&["aiohttp"], TWO, |setting| a_pool_is_used_up(setting, "the aiohttp connector", true)),
    Case { asyncio: FEW, ..pool(&["aiohttp_host"], NONE, of_one_host) },
    pool(&["asyncpg"], TWO, |setting| a_pool_is_used_up(setting, "the asyncpg pool", true)),
    pool(&["sqlalchemy"], TWO, |setting| a_pool_is_used_up(setting, "the SQLAlchemy pool", true)),
    pool(&["redis"], NONE, |setting| a_pool_is_used_up(setting, "the redis connection pool", false)),
    pool(&["httpx"], NONE, |setting| a_pool_is_used_up(setting, "the httpx connection pool", false)),
];

fn of_one_host(setting: &Setting) {
    a_pool_is_used_up(setting, "the aiohttp connector to one host", false);
}

/// All connections are in use, and three tasks wait for one. With holders that are seen, nothing can move.
fn a_pool_is_used_up(setting: &Setting, name: &str, are_seen: bool) {
    let dump = setting.start().dump();
    let pool = find(&dump, rules::POOL_EXHAUSTED);
    assert_names(pool, &[&format!("all 2 connections of {name} are in use, and 3 tasks wait for one")]);
    assert_eq!(pool["severity"], if are_seen { "warning" } else { "info" }, "{pool:#}");
    let holders: &[&str] = if are_seen { &["hold-0", "hold-1"] } else { &[] };
    assert_eq!(tasks_of(&dump, pool), [holders, &["late-0", "late-1", "late-2"]].concat());
    let of_pools = list(&dump["findings"]).iter().filter(|finding| finding["rule"] == rules::POOL_EXHAUSTED);
    assert_eq!(of_pools.count(), 1, "{:#}", dump["findings"]);
}
