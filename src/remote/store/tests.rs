//! The store on a memory that the tests modify.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::remote::View;

const BASE: u64 = 0x10000;

/// Pages that the test modifies, and how often pages were read.
#[derive(Clone, Default)]
struct Fake {
    pages: Rc<RefCell<BTreeMap<u64, Vec<u8>>>>,
    read: Rc<Cell<usize>>,
}

impl Fake {
    fn with_pages(count: u64) -> Self {
        let fake = Self::default();
        (0..count).for_each(|page| fake.map(page));
        fake
    }

    fn map(&self, page: u64) {
        self.pages.borrow_mut().insert(BASE / PAGE + page, vec![0; PAGE_BYTES]);
    }

    fn unmap(&self, page: u64) {
        self.pages.borrow_mut().remove(&(BASE / PAGE + page));
    }

    fn set(&self, at: u64, byte: u8) {
        self.pages.borrow_mut().get_mut(&((BASE + at) / PAGE)).unwrap()[(at % PAGE) as usize] = byte;
    }
}

impl Memory for Fake {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        results.clear();
        let (pages, mut rest) = (self.pages.borrow(), out);
        for span in spans {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(span.len);
            rest = after;
            let first = span.addr.raw() / PAGE;
            results.push((first..).zip(part.chunks_mut(PAGE_BYTES)).try_for_each(|(page, part)| {
                self.read.set(self.read.get() + 1);
                part.copy_from_slice(pages.get(&page).ok_or(ReadError::Unmapped(span.addr))?);
                Ok(())
            }));
        }
    }
}

fn addr(at: u64) -> Addr {
    Addr::new(BASE + at).unwrap()
}

/// Reads words through a view, and holds their lines.
fn read(store: &Store, places: &[u64]) -> (Vec<Result<u64, ReadError>>, Lines) {
    let mut view = View::over(store, store.memory());
    view.keep_touched();
    let words = places.iter().map(|at| view.u64(addr(*at), 0)).collect();
    let mut lines = Lines::default();
    store.watch_touched(view.touched(), &mut lines, &mut Words::default());
    store.hold(&lines);
    (words, lines)
}

fn changed(store: &Store, lines: &[&Lines]) -> Vec<bool> {
    store.refresh().unwrap();
    let found = lines.iter().map(|lines| store.has_changed(lines)).collect();
    store.forget_changes();
    store.sweep();
    found
}

#[test]
fn a_change_is_seen_by_those_whose_lines_it_is_in_and_once() {
    let fake = Fake::with_pages(3);
    let store = Store::new(Box::new(fake.clone()));
    let (_, first) = read(&store, &[8, 4096 + 64]);
    let (_, second) = read(&store, &[128]);
    assert_eq!(changed(&store, &[&first, &second]), [false, false]);
    fake.set(4096 + 70, 1);
    assert_eq!(changed(&store, &[&first, &second]), [true, false]);
    assert_eq!(changed(&store, &[&first, &second]), [false, false]);
    fake.set(128, 1);
    assert_eq!(changed(&store, &[&first, &second]), [false, true]);
    assert_eq!(read(&store, &[128]).0, [Ok(1)]);
}

#[test]
fn what_nobody_has_looked_at_may_change() {
    let fake = Fake::with_pages(1);
    let store = Store::new(Box::new(fake.clone()));
    let (_, lines) = read(&store, &[8]);
    // The same line, the word before.
    fake.set(0, 1);
    assert_eq!(changed(&store, &[&lines]), [false]);
}

#[test]
fn a_span_over_the_end_of_a_page_rests_on_both() {
    let fake = Fake::with_pages(2);
    let store = Store::new(Box::new(fake.clone()));
    let (_, lines) = read(&store, &[4092]);
    fake.set(4097, 1);
    assert_eq!(changed(&store, &[&lines]), [true]);
    fake.set(4095, 1);
    assert_eq!(changed(&store, &[&lines]), [true]);
}

#[test]
fn a_page_that_goes_and_one_that_comes_are_changes_and_hurt_no_neighbour() {
    let fake = Fake::with_pages(3);
    let store = Store::new(Box::new(fake.clone()));
    let (_, held) = read(&store, &[0]);
    let (_, hole) = read(&store, &[4096]);
    let (_, behind) = read(&store, &[8192]);
    fake.unmap(1);
    assert_eq!(changed(&store, &[&held, &hole, &behind]), [false, true, false]);
    assert_eq!(read(&store, &[4096]).0, [Err(ReadError::Unmapped(addr(4096)))]);
    assert_eq!(changed(&store, &[&held, &hole, &behind]), [false, false, false]);
    fake.map(1);
    fake.set(4096, 7);
    fake.set(8192, 7);
    assert_eq!(changed(&store, &[&held, &hole, &behind]), [false, true, true]);
    assert_eq!(read(&store, &[4096]).0, [Ok(7)]);
}

#[test]
fn pages_that_nobody_holds_leave_and_their_room_is_used_again() {
    let fake = Fake::with_pages(200);
    let store = Store::new(Box::new(fake.clone()));
    let all: Vec<u64> = (0..200).map(|page| page * PAGE).collect();
    let (_, lines) = read(&store, &all);
    let (_, kept) = read(&store, &[4096]);
    store.sweep();
    assert_eq!((store.len(), store.capacity()), (200, 200));
    store.release(&lines);
    store.sweep();
    assert_eq!(store.len(), 1);
    let before = fake.read.get();
    assert_eq!(changed(&store, &[&kept]), [false]);
    assert_eq!(fake.read.get(), before + 1, "only what is held is read again");
    fake.set(5 * PAGE, 5);
    let (words, again) = read(&store, &all);
    assert_eq!((words[5], words[6]), (Ok(5), Ok(0)));
    assert_eq!((store.len(), store.capacity()), (200, 200));
    fake.set(6 * PAGE, 6);
    assert_eq!(changed(&store, &[&again, &kept]), [true, false]);
}

#[test]
fn pages_are_read_afresh_after_a_renewal_and_the_change_is_not_forgotten() {
    let fake = Fake::with_pages(1);
    let store = Store::new(Box::new(fake.clone()));
    let (_, lines) = read(&store, &[0]);
    store.forget_changes();
    fake.set(0, 1);
    assert_eq!(read(&store, &[0]).0, [Ok(0)], "as it was read in this look");
    store.renew_pages();
    assert_eq!(read(&store, &[0]).0, [Ok(1)]);
    assert_eq!(changed(&store, &[&lines]), [true]);
}

#[test]
fn words_are_exact_and_can_be_confirmed_at_once() {
    let fake = Fake::with_pages(2);
    let store = Store::new(Box::new(fake.clone()));
    let (_, _lines) = read(&store, &[0, 8, 16]);
    let mut words = Words::default();
    store.watch_words(&[(BASE + 8, 8)], &mut words);
    fake.set(0, 1);
    assert_eq!(store.confirm_words(&words), Ok(true));
    fake.set(12, 1);
    assert_eq!(store.confirm_words(&words), Ok(false));
    assert!(store.have_words_changed(&words));
}

#[test]
fn a_process_that_is_gone_is_an_error() {
    struct Gone;
    impl Memory for Gone {
        fn read_batch(&self, spans: &[Span], _: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
            results.clear();
            results.resize(spans.len(), Err(ReadError::Gone));
        }
    }
    let store = Store::new(Box::new(Gone));
    assert_eq!(read(&store, &[0]).0, [Err(ReadError::Gone)]);
}
