//! Every reader of data types against memory that is made to mislead it: no panic, and a bounded number of reads.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use asyncprof::python::attribute::AttributeCache;
use asyncprof::python::layout::{Layout, published, rows};
use asyncprof::python::types::TypeCache;
use asyncprof::python::{container, int, text, weak_set};
use asyncprof::remote::{Addr, Memory, ReadError, Span, View};
use asyncprof::runtime::asyncio::layout as asyncio;
use proptest::prelude::*;

const BASE: u64 = 0x7f00_0000_0000;
/// Mapped bytes.
const SIZE: u64 = 16 << 20;
const PAGE: u64 = 4096;

/// Memory whose words are drawn from what leads a reader furthest: pointers into it, small numbers, flags, zeros.
struct Misleading {
    seed: u64,
    /// One page in so many is not mapped; 0: all are.
    holes: u64,
}

impl Misleading {
    fn draw(&self, at: u64) -> u64 {
        // splitmix64: neighbours must not be alike.
        let mut x = self.seed ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn word(&self, at: u64) -> u64 {
        let draw = self.draw(at);
        let more = draw >> 8;
        match draw % 16 {
            0..=5 => BASE + more % SIZE / 8 * 8,
            6 | 7 => 0,
            8 | 9 => more % 70,
            10 => (1 << (more % 26)) - 1,
            11 => u64::MAX,
            12 => ((more % 4096) << 24) | 0x60,
            13 => u64::from_le_bytes(*b"type\0\0\0\0"),
            14 => more,
            _ => more % (1 << 20),
        }
    }

    fn is_mapped(&self, span: &Span) -> bool {
        let (start, end) = (span.addr.raw(), span.addr.raw() + span.len as u64);
        let hole = |page: u64| self.holes != 0 && self.draw(page * PAGE + 1).is_multiple_of(self.holes);
        (BASE..BASE + SIZE).contains(&start) && end <= BASE + SIZE && !(start / PAGE..end.div_ceil(PAGE)).any(hole)
    }
}

impl Memory for Misleading {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        results.clear();
        let mut rest = out;
        for span in spans {
            let (part, behind) = rest.split_at_mut(span.len);
            rest = behind;
            if !self.is_mapped(span) {
                results.push(Err(ReadError::Unmapped(span.addr)));
                continue;
            }
            for (index, byte) in part.iter_mut().enumerate() {
                let at = span.addr.raw() + index as u64;
                *byte = self.word(at / 8 * 8).to_le_bytes()[(at % 8) as usize];
            }
            results.push(Ok(()));
        }
    }
}

fn layouts() -> Vec<Layout> {
    (rows::OLDEST_MINOR..=rows::NEWEST_MINOR)
        .flat_map(|minor| [rows::row(minor, false), rows::row(minor, true)])
        .flatten()
        .collect()
}

/// Runs every reader at `at`; answers how many found something.
fn read_all(memory: &Misleading, layout: &Layout, at: Addr) -> (usize, u64) {
    let view = &mut View::new(memory);
    let mut types = TypeCache::new();
    let found = [
        text::read_str(view, layout, at).is_ok(),
        text::read_c_str(view, at, 300).is_ok(),
        text::read_bytes_object(view, layout, at).is_ok(),
        int::read_int(view, layout, at).is_ok(),
        int::read_float(view, layout, at).is_ok(),
        container::read_tuple(view, layout, at).is_ok(),
        container::read_list(view, layout, at).is_ok(),
        container::read_dict_items(view, layout, at).is_ok(),
        container::find_str_key(view, layout, at, "name").is_ok(),
        container::read_set(view, layout, at).is_ok(),
        container::read_deque_len(view, layout, at).is_ok(),
        container::read_deque(view, layout, at).is_ok(),
        weak_set::read_weak_set(view, layout, &mut types, at).is_ok(),
        AttributeCache::new().read(view, layout, &mut types, at, "name").is_ok(),
        AttributeCache::new().read_slot(view, layout, &mut types, at, "name").is_ok(),
        types.get(view, layout, at).is_ok(),
        types.find_base(view, layout, at, &["a.b"]).is_ok(),
        types.qualified_name(view, layout, at).is_ok(),
    ];
    (found.iter().filter(|&&found| found).count(), view.batches())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_a_reader_panic_or_read_without_end(seed in any::<u64>(), holes in 0u64..40, at in 0..SIZE / 8) {
        let memory = Misleading { seed, holes };
        for layout in layouts() {
            let (_, batches) = read_all(&memory, &layout, Addr::aligned(BASE + at * 8).unwrap());
            prop_assert!(batches < 20_000, "{batches} batches");
        }
    }

    #[test]
    fn no_published_table_makes_a_panic(
        table in proptest::collection::vec(prop_oneof![0u64..300, any::<u64>()], published::MAX_TABLE / 8),
        minor in 13..=rows::NEWEST_MINOR,
        free_threaded in any::<bool>(),
    ) {
        let mut table: Vec<u8> = table.into_iter().flat_map(u64::to_le_bytes).collect();
        let row = rows::row(minor, free_threaded).unwrap();
        let _ = asyncio::published::overlay(asyncio::rows::row(&row), &row, &table);
        prop_assert_eq!(published::overlay(row.clone(), &table), Err(published::PublishedError::NoTable));
        table[..8].copy_from_slice(&published::COOKIE);
        table[8..16].copy_from_slice(&(0x0300_00f0 | u64::from(minor) << 16).to_le_bytes());
        table[16..24].copy_from_slice(&u64::from(free_threaded).to_le_bytes());
        // Random numbers do not fit together: nothing of the table may be used.
        prop_assert!(published::overlay(row, &table).is_err());
    }
}

#[test]
fn the_misleading_memory_leads_readers_past_their_first_check() {
    let found: usize = (0..300)
        .flat_map(|seed| layouts().into_iter().map(move |layout| (seed, layout)))
        .map(|(seed, layout)| {
            read_all(&Misleading { seed, holes: 0 }, &layout, Addr::aligned(BASE + seed * 800).unwrap()).0
        })
        .sum();
    assert!(found > 1000, "only {found} reads succeeded: the memory is too easily recognised");
}

#[test]
fn a_length_that_lies_costs_little() {
    /// A memory of one mapped page, full of a number.
    struct OnePage(u64);
    impl Memory for OnePage {
        fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
            results.clear();
            let mut rest = out;
            for span in spans {
                let (part, behind) = rest.split_at_mut(span.len);
                rest = behind;
                if span.addr.raw() / PAGE == BASE / PAGE && span.len <= PAGE as usize {
                    part.as_chunks_mut::<8>().0.iter_mut().for_each(|word| *word = self.0.to_le_bytes());
                    results.push(Ok(()));
                } else {
                    results.push(Err(ReadError::Unmapped(span.addr)));
                }
            }
        }
    }
    let at = Addr::aligned(BASE).unwrap();
    for number in [BASE, 999_999, (1 << 24) - 1, u64::MAX, u64::MAX >> 1] {
        let memory = OnePage(number);
        for layout in layouts() {
            let view = &mut View::new(&memory);
            assert!(container::read_set(view, &layout, at).is_err());
            assert!(container::read_deque(view, &layout, at).is_err());
            assert!(container::read_list(view, &layout, at).is_err());
            assert!(container::read_dict_items(view, &layout, at).is_err());
            assert!(text::read_str(view, &layout, at).is_err());
            assert!(view.bytes_read() < 4 << 20, "{} bytes", view.bytes_read());
        }
    }
}
