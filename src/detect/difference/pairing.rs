//! Matches the places of two watches: the same function of a file with the same name and the same kind, regardless of
//! the line and of the folder that the program is in.

use std::collections::BTreeMap;

use super::measure::Site;
use crate::model::snapshot::Frame;

/// What belongs to a place, in both watches.
#[derive(Debug)]
pub(super) struct Paired<K, T> {
    pub(super) kind: K,
    pub(super) site: Site,
    pub(super) base: Option<T>,
    pub(super) head: Option<T>,
}

/// The items of one watch, by place.
#[derive(Debug)]
pub(super) struct Places<'f, K, T> {
    places: BTreeMap<(K, Option<Code<'f>>), SiteEntry<'f, T>>,
}

/// Function and file.
type Code<'f> = (&'f str, &'f str);

/// The items at a place, and its heaviest line.
#[derive(Debug)]
struct SiteEntry<'f, T> {
    /// The frame with the most weight.
    frame: Option<&'f Frame>,
    weight: u64,
    what: T,
}

impl<'f, K: Ord + Copy, T: Default> Places<'f, K, T> {
    pub(super) fn new() -> Self {
        Self { places: BTreeMap::new() }
    }

    /// The item at the place of a frame, to be updated. The line with the most `weight` represents the place.
    pub(super) fn at(&mut self, kind: K, frame: Option<&'f Frame>, weight: u64) -> &mut T {
        let key = (kind, frame.map(|frame| (&*frame.function, &*frame.file)));
        let place = self.places.entry(key).or_insert_with(|| SiteEntry { frame, weight, what: T::default() });
        if weight > place.weight {
            (place.frame, place.weight) = (frame, weight);
        }
        &mut place.what
    }
}

/// Matches the places of two watches.
pub(super) fn pair<K: Ord + Copy, T>(base: Places<'_, K, T>, head: Places<'_, K, T>) -> Vec<Paired<K, T>> {
    /// A function and the name of its file.
    type Name = Option<(String, String)>;
    type Sides<'f, T> = [Vec<SiteEntry<'f, T>>; 2];
    let mut groups: BTreeMap<(K, Name), Sides<'_, T>> = BTreeMap::new();
    for (side, places) in [base, head].into_iter().enumerate() {
        for ((kind, code), place) in places.places {
            let code = code.map(|(function, file)| (function.to_owned(), name_of(file).to_owned()));
            groups.entry((kind, code)).or_insert_with(|| [Vec::new(), Vec::new()])[side].push(place);
        }
    }
    let mut pairs = Vec::new();
    for ((kind, _), [base, head]) in groups {
        pair_group(kind, base, head, &mut pairs);
    }
    pairs
}

/// Among files with the same name, those whose paths have the longest common ending are paired first.
fn pair_group<K: Copy, T>(
    kind: K,
    base: Vec<SiteEntry<'_, T>>,
    head: Vec<SiteEntry<'_, T>>,
    pairs: &mut Vec<Paired<K, T>>,
) {
    /// LIMIT: files of one name that are compared with each other; if there are more, only files with the same path are
    /// paired.
    const FILES: usize = 100;
    let many = base.len().max(head.len()) > FILES;
    let mut candidates: Vec<(usize, usize, usize)> = Vec::new();
    for (one, before) in base.iter().enumerate() {
        if many {
            let same = head.binary_search_by_key(&file_of(before), |after| file_of(after));
            candidates.extend(same.ok().map(|other| (usize::MAX, one, other)));
            continue;
        }
        for (other, after) in head.iter().enumerate() {
            candidates.push((in_common(file_of(before), file_of(after)), one, other));
        }
    }
    candidates.sort_by_key(|&(common, one, other)| (std::cmp::Reverse(common), one, other));
    let mut base: Vec<Option<SiteEntry<'_, T>>> = base.into_iter().map(Some).collect();
    let mut head: Vec<Option<SiteEntry<'_, T>>> = head.into_iter().map(Some).collect();
    for (_, one, other) in candidates {
        if base[one].is_some() && head[other].is_some() {
            pairs.push(paired(kind, base[one].take(), head[other].take()));
        }
    }
    pairs.extend(base.into_iter().flatten().map(|place| paired(kind, Some(place), None)));
    pairs.extend(head.into_iter().flatten().map(|place| paired(kind, None, Some(place))));
}

fn paired<K, T>(kind: K, base: Option<SiteEntry<'_, T>>, head: Option<SiteEntry<'_, T>>) -> Paired<K, T> {
    let frame = |place: &Option<SiteEntry<'_, T>>| place.as_ref().and_then(|place| place.frame).cloned();
    let site = Site { base: frame(&base), head: frame(&head) };
    Paired { kind, site, base: base.map(|place| place.what), head: head.map(|place| place.what) }
}

fn file_of<'f, T>(place: &SiteEntry<'f, T>) -> &'f str {
    place.frame.map_or("", |frame| &*frame.file)
}

/// The last component of a path.
fn name_of(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// How many trailing components two paths share; identical paths score highest.
fn in_common(one: &str, other: &str) -> usize {
    if one == other {
        return usize::MAX;
    }
    one.rsplit('/').zip(other.rsplit('/')).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str, line: u32) -> Frame {
        Frame { function: function.into(), file: file.into(), line: Some(line) }
    }

    fn paired_lines(base: &[Frame], head: &[Frame]) -> Vec<(Option<u32>, Option<u32>)> {
        let places = |frames: &'static [Frame]| {
            let mut places = Places::<(), u64>::new();
            frames.iter().for_each(|frame| *places.at((), Some(frame), 1) += 1);
            places
        };
        let (base, head) = (base.to_vec().leak(), head.to_vec().leak());
        let line = |frame: &Option<Frame>| frame.as_ref().and_then(|frame| frame.line);
        pair(places(base), places(head)).iter().map(|pair| (line(&pair.site.base), line(&pair.site.head))).collect()
    }

    #[test]
    fn a_function_is_the_same_wherever_its_lines_and_its_folder_have_moved() {
        let pairs = paired_lines(&[frame("f", "/one/app.py", 1)], &[frame("f", "/two/app.py", 9)]);
        assert_eq!(pairs, [(Some(1), Some(9))]);
        let pairs = paired_lines(&[frame("f", "/one/app.py", 1)], &[frame("g", "/one/app.py", 1)]);
        assert_eq!(pairs, [(Some(1), None), (None, Some(1))]);
    }

    #[test]
    fn of_files_with_one_name_those_are_the_same_whose_paths_agree_most() {
        let base = [frame("f", "/one/a/views.py", 1), frame("f", "/one/b/views.py", 2)];
        let head = [frame("f", "/two/b/views.py", 3), frame("f", "/two/c/views.py", 4)];
        let pairs = paired_lines(&base, &head);
        assert!(pairs.contains(&(Some(2), Some(3))) && pairs.contains(&(Some(1), Some(4))), "{pairs:?}");
    }

    #[test]
    fn ever_so_many_files_of_one_name_are_no_trouble() {
        let files = |from: u32| (from..from + 5_000).map(|number| frame("f", &format!("/{number:05}/a.py"), number));
        let (base, head): (Vec<_>, Vec<_>) = (files(0).collect(), files(10).collect());
        let pairs = paired_lines(&base, &head);
        assert_eq!(pairs.len(), 5_010);
        assert!(pairs.iter().all(|(base, head)| base.is_none() || head.is_none() || base == head));
    }
}
