//! The recording file: what was written is what is read, whatever happened to the file meanwhile.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use asyncprof::model::event::*;
use asyncprof::model::snapshot::{Finding, RuleId, Severity, TaskState};
use asyncprof::model::tables::{Definitions, TaskInfo};
use asyncprof::profile::recording::{Ending, Reader, RecordingError, Writer};
use proptest::prelude::*;

#[path = "recording/server.rs"]
mod server;
#[path = "recording/stream.rs"]
mod stream;

use server::Server;
use stream::{SECOND, START, Tier, alone, anything, anything_soon, content, exact_content, header, living, note};

const HEAD: usize = 44;
const START_OF_BLOCKS: usize = 12;

/// The bytes of a finished recording.
fn written(batches: &[Batch]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for batch in batches {
        writer.append(batch).unwrap();
    }
    writer.finish(NoteKind::Ended, START + SECOND).unwrap()
}

/// All that can be read, and how it ends.
fn read(file: &[u8]) -> Result<(Vec<Batch>, Ending), RecordingError> {
    let mut reader = Reader::new(file)?;
    let batches = reader.by_ref().collect::<Result<_, _>>()?;
    Ok((batches, reader.ending()))
}

/// Where each block begins and ends, by the documented format.
fn blocks(file: &[u8]) -> Vec<(u8, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = START_OF_BLOCKS;
    while at < file.len() {
        let packed = u32::from_le_bytes(file[at + 12..at + 16].try_into().unwrap()) as usize;
        found.push((file[at + 4], at..at + HEAD + packed));
        at += HEAD + packed;
    }
    found
}

/// A block as the format wants it, with any content.
fn block(kind: u8, number: u32, content: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(content, 1).unwrap();
    let mut block = vec![0xa9, b'A', b'P', 0xfe, kind, 0, 0, 0];
    let sizes = [number, packed.len() as u32, content.len() as u32, crc32fast::hash(&packed)];
    sizes.iter().for_each(|value| block.extend(value.to_le_bytes()));
    block.extend([0; 16]);
    block.extend(crc32fast::hash(&block).to_le_bytes());
    block.extend(packed);
    block
}

/// A recording that has only its header.
fn beginning() -> Vec<u8> {
    let file = written(&[]);
    let end = blocks(&file)[0].1.end;
    file[..end].to_vec()
}

fn is_gap(said: &str) -> bool {
    said.contains("kind: Gap, text: \"") && said.contains("bytes of the recording are damaged")
}

/// Whether all of `some` stand in `all`, in the same order.
fn is_part(some: &[String], all: &[String]) -> bool {
    let mut rest = all.iter();
    some.iter().all(|said| rest.any(|other| other == said))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_written_is_what_is_read(seed: u64, batches in 0u64..40) {
        let batches = anything(seed, batches);
        let (found, ending) = read(&written(&batches)).unwrap();
        prop_assert_eq!(content(&found), content(&batches));
        prop_assert_eq!(ending, Ending::Complete { how: NoteKind::Ended, at_ns: START + SECOND });
    }

    #[test]
    fn no_content_of_a_block_makes_reading_panic(kind in 1u8..4, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&[beginning(), block(kind, 1, &bytes)].concat());
    }

    #[test]
    fn changed_content_in_a_block_that_holds_does_no_harm(
        seed: u64,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let file = written(&anything(seed, 6));
        let mut changed = beginning();
        for (number, (kind, range)) in blocks(&file).into_iter().enumerate().skip(1) {
            let mut content = zstd::bulk::decompress(&file[range.start + HEAD..range.end], 1 << 20).unwrap();
            for (index, value) in &changes {
                let index = index.index(content.len());
                content[index] = *value;
            }
            changed.extend(block(kind, number as u32, &content));
        }
        // Definitions that fit, and numbers that are in them.
        let (found, _) = read(&changed).unwrap();
        let _ = content(&found);
    }
}

#[test]
fn the_header_is_what_was_written() {
    let header = header();
    assert_eq!(Reader::new(&beginning()[..]).unwrap().header(), &header);
}

#[test]
fn every_beginning_of_a_file_reads_as_far_as_it_goes() {
    let batches = anything(7, 30);
    let file = written(&batches);
    let all = content(&batches);
    let header_end = blocks(&file)[0].1.end;
    let mut most = 0;
    for len in 0..file.len() {
        let outcome = read(&file[..len]);
        if len < header_end {
            assert!(matches!(outcome, Err(RecordingError::Empty)), "{len}: {outcome:?}");
            continue;
        }
        let (found, ending) = outcome.unwrap();
        let found = content(&found);
        assert!(all.starts_with(&found), "{len}");
        assert!(found.len() >= most, "{len}: less than from a shorter file");
        most = found.len();
        let Ending::Truncated { at_byte, after_ns } = ending else { panic!("{len}: {ending:?}") };
        let whole = blocks(&file).into_iter().map(|(_, range)| range.end).filter(|end| *end <= len).max();
        assert_eq!(at_byte as usize, whole.unwrap());
        assert_eq!(after_ns.is_some(), !found.is_empty());
    }
    assert_eq!(most, all.len(), "only the end mark is missing");
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let file = written(&anything_soon(11, 12));
    let (batches, complete) = read(&file).unwrap();
    let all = exact_content(&batches);
    let mut damaged = file.clone();
    for bit in 0..file.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok((found, ending)) = read(&damaged) {
            let mut found = exact_content(&found);
            if ending == complete {
                assert_eq!(found, all, "bit {bit}");
            } else {
                found.retain(|said| !is_gap(said));
                assert!(is_part(&found, &all), "bit {bit}");
            }
        }
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_block_that_is_damaged_or_missing_costs_that_block_only() {
    let events: Vec<Batch> = (0..5).map(|n| alone(note(START + n * 3 * SECOND, &format!("note {n}")))).collect();
    let file = written(&events);
    let (_, third) = blocks(&file).remove(3);
    let mut flipped = file.clone();
    flipped[third.end - 5] ^= 1;
    let mut shorter = file.clone();
    shorter.drain(third.end - 5..third.end);
    let mut head = file.clone();
    head[third.start + 13] ^= 1;
    let mut missing = file.clone();
    missing.drain(third.clone());
    let junk = [&file[..third.start], &[0xa9; 5000], &file[third.end..]].concat();
    for (how, damaged) in
        [("flipped", flipped), ("shorter", shorter), ("head", head), ("missing", missing), ("junk", junk)]
    {
        let (found, ending) = read(&damaged).unwrap();
        let found = content(&found);
        let left = [0, 1, 3, 4].map(|n: usize| content(&events[n..=n]).remove(0));
        assert_eq!(
            found.iter().filter(|said| !is_gap(said)).collect::<Vec<_>>(),
            left.iter().collect::<Vec<_>>(),
            "{how}"
        );
        assert!(is_gap(&found[2]), "{how}: where it was missing: {found:?}");
        let after_ns = Some(START + 12 * SECOND);
        let Ending::Damaged { places: 1, complete: true, after_ns: last, .. } = ending else {
            panic!("{how}: {ending:?}")
        };
        assert_eq!(last, after_ns);
    }
}

#[test]
fn after_a_loss_the_tasks_are_right_again_with_the_next_state() {
    let mut server = Server::new();
    let batches: Vec<Batch> = (0..66).flat_map(|_| server.second()).collect();
    let file = written(&batches);
    let found = blocks(&file);
    let states = found.iter().filter(|(kind, _)| *kind == 2).count();
    assert_eq!(states, 2, "in 66 seconds");
    let (whole, _) = read(&file).unwrap();
    assert_eq!(content(&whole), content(&batches), "states are not told to who lost nothing");
    let living_at_the_end = living(&batches);
    for lost in [1, 3, 9] {
        let (_, range) = found[lost].clone();
        let damaged = [&file[..range.start], &file[range.end..]].concat();
        let (left, ending) = read(&damaged).unwrap();
        assert!(matches!(ending, Ending::Damaged { places: 1, bytes: 0, complete: true, .. }), "{ending:?}");
        let events = |batches: &[Batch]| batches.iter().map(|batch| batch.events.len()).sum::<usize>();
        assert!(events(&left) < events(&batches));
        assert!(living(&left) == living_at_the_end, "block {lost}");
    }
}

/// Takes some bytes and then is full, until somebody makes room.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for &mut Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend(&bytes[..taken]);
        self.room -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_said_at_once_and_leaves_what_was_written() {
    let mut server = Server::new();
    let batches: Vec<Batch> = (0..30).flat_map(|_| server.second()).collect();
    let all = content(&batches);
    let mut disk = Disk { bytes: Vec::new(), room: 250_000 };
    let mut writer = Writer::new(&mut disk, &header()).unwrap();
    let failed = batches.iter().map(|batch| writer.append(batch)).position(|outcome| outcome.is_err());
    assert!(failed.is_some_and(|at| at < batches.len() - 60), "{failed:?}");
    assert_eq!(writer.finish(NoteKind::Ended, 0).err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    let (found, ending) = read(&disk.bytes).unwrap();
    assert!(matches!(ending, Ending::Truncated { .. }), "{ending:?}");
    let found = content(&found);
    assert!(!found.is_empty() && all.starts_with(&found));
}

#[test]
fn a_disk_that_was_full_for_a_while_loses_that_while_only() {
    let mut server = Server::new();
    let disk = &mut Disk { bytes: Vec::new(), room: 120_000 };
    let room = std::cell::Cell::new(0);
    let mut writer = Writer::new(Refilled { disk, room: &room }, &header()).unwrap();
    let (mut batches, mut failures) = (Vec::new(), 0);
    for second in 0..30 {
        if second == 15 {
            room.set(usize::MAX);
        }
        for batch in server.second() {
            failures += usize::from(writer.append(&batch).is_err());
            batches.push(batch);
        }
    }
    assert!((1..8).contains(&failures), "{failures}: one a block");
    let file = writer.finish(NoteKind::Ended, START).unwrap().disk.bytes.clone();
    let (found, ending) = read(&file).unwrap();
    assert!(matches!(ending, Ending::Damaged { places: 1, complete: true, .. }), "{ending:?}");
    let found_events = content(&found).len();
    assert!(found_events * 10 > content(&batches).len() * 6, "{found_events}");
    assert!(living(&found) == living(&batches), "the state follows at once");
}

/// A disk on which somebody makes room.
struct Refilled<'d> {
    disk: &'d mut Disk,
    room: &'d std::cell::Cell<usize>,
}

impl Write for Refilled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.room = self.disk.room.saturating_add(self.room.take());
        (&mut *self.disk).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn files_that_are_no_recordings_are_told_apart() {
    let version = |version: u32| [&b"aprof\r\n\0"[..], &version.to_le_bytes(), &beginning()[12..]].concat();
    let mut damaged = beginning();
    damaged[12 + HEAD + 5] ^= 1;
    let mut said = String::new();
    let files: [&[u8]; 8] =
        [b"\x7fELF and more of it", b"apr0", b"", b"aprof\r\n", &beginning()[..40], &version(0), &version(2), &damaged];
    for file in files {
        let error = read(file).unwrap_err();
        said += &format!("{error}\n  {}\n", error.hint());
    }
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none.aprof"), folder.path().to_owned()] {
        let error = Reader::open(&path).err().unwrap();
        said += &format!("{error}\n  {}\n", error.hint());
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_recording_is_for_its_owner_and_replaces_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.aprof");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    Writer::create(&path, false, &header()).unwrap().finish(NoteKind::Ended, 1).unwrap();
    assert_eq!(mode(), 0o600);
    let refused = Writer::create(&path, false, &header()).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, "something else, longer than a recording".repeat(100)).unwrap();
    Writer::create(&path, true, &header()).unwrap().finish(NoteKind::Ended, 1).unwrap();
    assert_eq!(mode(), 0o600);
    let mut reader = Reader::open(&path).unwrap();
    assert!(reader.next_batch().is_none());
    assert_eq!(reader.ending(), Ending::Complete { how: NoteKind::Ended, at_ns: 1 });
}

#[test]
fn what_was_collected_is_written_when_the_writer_goes() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &header()).unwrap();
    writer.append(&alone(note(START, "the last words"))).unwrap();
    drop(writer);
    let (found, ending) = read(&bytes).unwrap();
    assert_eq!(content(&found), content(&[alone(note(START, "the last words"))]));
    assert!(matches!(ending, Ending::Truncated { .. }));
}

#[test]
fn names_that_were_not_defined_are_refused() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let mut tier = Tier::new(Source::Tasks);
    let task = tier.names.add_task(&TaskInfo { key: 1, name: None, coroutine: None });
    let look = TaskLook { task, born: true, state: TaskState::Ready, stack: None, torn: false, wait: None };
    let changes = TaskChanges {
        at_ns: START,
        took_ns: 1,
        changed: vec![look],
        ended: vec![],
        total: 1,
        complete: true,
        contexts: Some(0),
        timers: Vec::new(),
    };
    let batch = tier.batch(vec![Event::Tasks(changes)]);
    let undefined = Batch { definitions: Definitions::default(), ..batch.clone() };
    assert_eq!(writer.append(&undefined).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    writer.append(&batch).unwrap();
    let file = writer.finish(NoteKind::Ended, START).unwrap();
    assert_eq!(content(&read(&file).unwrap().0), content(&[batch]));
}

#[test]
fn very_many_tasks_are_told_in_pieces() {
    let mut tier = Tier::new(Source::Tasks);
    let mut look = |key: u64| {
        let task =
            tier.names.add_task(&TaskInfo { key: key * 64, name: Some(format!("Task-{key}").into()), coroutine: None });
        TaskLook { task, born: false, state: TaskState::Ready, stack: None, torn: false, wait: None }
    };
    let changed: Vec<TaskLook> = (0..200_000).map(&mut look).collect();
    let changes = TaskChanges {
        at_ns: START,
        took_ns: 5,
        changed,
        ended: Vec::new(),
        total: 200_000,
        complete: true,
        contexts: Some(0),
        timers: Vec::new(),
    };
    let batch = tier.batch(vec![Event::Tasks(changes)]);
    let later = alone(note(START + 40 * SECOND, "so that a state is written"));
    let file = written(&[batch.clone(), later.clone(), alone(note(START + 80 * SECOND, "the end"))]);
    let (found, _) = read(&file).unwrap();
    assert!(living(&found) == living(&[batch]));
    let took: Vec<u64> = (found.iter().flat_map(|batch| &batch.events))
        .filter_map(|event| match event {
            Event::Tasks(changes) => Some(changes.took_ns),
            _ => None,
        })
        .collect();
    assert_eq!(took, [5, 0, 0, 0]);
}

#[test]
fn a_block_that_would_unpack_to_very_much_is_passed_over() {
    // One text of a megabyte, and notes that name it a million times.
    let mut content = vec![1, 0x80, 0x80, 0x40];
    content.extend(vec![b'x'; 1 << 20]);
    content.extend([0; 4]);
    content.extend([5, 0]);
    content.extend([4, 0, 7, 0].repeat(1 << 20));
    let after = block(3, 2, &[5]);
    let (found, ending) = read(&[beginning(), block(1, 1, &content), after].concat()).unwrap();
    assert_eq!(found.len(), 1, "the note of the gap: {}", found.len());
    assert!(matches!(ending, Ending::Damaged { places: 1, complete: true, .. }), "{ending:?}");
}

#[test]
fn a_small_file_cannot_unpack_to_very_much_in_many_blocks() {
    // A text, and notes that name it, again and again: as much as one block may hold.
    let mut content = vec![1, 1, b'x'];
    content.extend([0; 4]);
    content.extend([5, 0]);
    content.extend([4, 0, 7, 0].repeat(1 << 20));
    let mut file = beginning();
    (1..=100).for_each(|number| file.extend(block(1, number, &content)));
    assert!(file.len() < 100_000, "{}", file.len());
    let (found, ending) = read(&file).unwrap();
    assert!(matches!(ending, Ending::Truncated { .. }), "{ending:?}");
    let events: usize = found.iter().map(|batch| batch.events.len()).sum();
    // 8 MiB are allowed to every file, and 64 bytes for each of its own; an event is four bytes here.
    assert!((1 << 20..4 << 20).contains(&events), "{events}");
}

#[test]
fn a_file_of_nothing_but_heads_is_read_to_its_end_soon() {
    let mut file = beginning();
    let mut head = block(1, 1, &[]);
    head.truncate(HEAD);
    head[12..16].copy_from_slice(&(60u32 << 20).to_le_bytes());
    let checksum = crc32fast::hash(&head[..HEAD - 4]);
    head[HEAD - 4..].copy_from_slice(&checksum.to_le_bytes());
    file.extend(head.repeat(500_000));
    let (found, ending) = read(&file).unwrap();
    assert!(found.is_empty());
    assert!(matches!(ending, Ending::Truncated { .. }));
}

/// Not a test: what the next one starts and kills.
#[test]
#[ignore = "started by another test"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os("ASYNCPROF_TEST_RECORDING") else { return };
    let mut writer = Writer::create(path.as_ref(), false, &header()).unwrap();
    let mut server = Server::new();
    loop {
        for batch in server.second() {
            writer.append(&batch).unwrap();
            writeln!(io::stdout(), "wrote").unwrap();
        }
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_file_that_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::new();
    let batches: Vec<Batch> = (0..15).flat_map(|_| server.second()).collect();
    let all = content(&batches);
    let dice = &mut stream::Dice::new(5);
    for run in 0..20 {
        let path = folder.path().join(format!("{run}.aprof"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env("ASYNCPROF_TEST_RECORDING", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let count = 1 + dice.below(800) as usize;
        let seen = lines.filter(|line| line.as_ref().unwrap() == "wrote").take(count).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, count);
        let (found, ending) = read(&fs::read(&path).unwrap()).unwrap();
        assert!(matches!(ending, Ending::Truncated { .. }), "{ending:?}");
        let found = content(&found);
        assert!(all.starts_with(&found), "run {run}");
        let events: usize = batches[..count].iter().map(|batch| batch.events.len()).sum();
        // Two seconds and what is in the batches at the end can be missing.
        assert!(found.len() + 2_200 >= events, "run {run}: {} of {events}", found.len());
    }
}

#[test]
fn an_hour_of_a_busy_server_takes_less_than_100_mb() {
    const SECONDS: u64 = 120;
    let mut server = Server::new();
    let batches: Vec<Batch> = (0..SECONDS).flat_map(|_| server.second()).collect();
    let started = Instant::now();
    let file = written(&batches);
    let wrote = started.elapsed();
    let started = Instant::now();
    let (found, _) = read(&file).unwrap();
    let read = started.elapsed();
    let of = |kind: u8| -> (usize, usize) {
        let of_kind = blocks(&file).into_iter().filter(|(found, _)| *found == kind);
        of_kind.fold((0, 0), |(count, bytes), (_, range)| (count + 1, bytes + range.len()))
    };
    let an_hour = file.len() as u64 * 3600 / SECONDS;
    println!(
        "{:.1} MB an hour; of {SECONDS} s: events {:?}, states {:?} (blocks, bytes), written in {wrote:?}, read in {read:?}, \
         {} batches of {}",
        an_hour as f64 / 1e6,
        of(1),
        of(2),
        found.len(),
        batches.len(),
    );
    assert!(an_hour < 100_000_000, "{an_hour}");
}

/// A recording can come from a version with other rules. The limit of one file must not be used up by another.
#[test]
fn a_recording_full_of_unknown_rules_does_not_spoil_the_next_one() {
    let of_rules = |prefix: &str, rules: usize| {
        let finding = |number: usize| {
            let finding = Finding {
                rule: RuleId::from_file(&format!("{prefix}-{number}")),
                severity: Severity::Info,
                message: String::new(),
                tasks: Vec::new(),
                evidence: [(format!("{prefix}-fact-{number}"), serde_json::json!(1))].into_iter().collect(),
                advice: String::new(),
            };
            KeptFinding { finding, tasks: Vec::new(), site: None }
        };
        let findings = (0..rules).map(finding).collect();
        let events = vec![Event::Findings { at_ns: START, findings }];
        let definitions = Definitions::default();
        written(&[Batch { source: Source::Tasks, begins_anew: true, definitions, events }])
    };
    let rules = |file: &[u8]| -> Vec<String> {
        let (batches, ending) = read(file).unwrap();
        assert!(matches!(ending, Ending::Complete { .. }), "{ending:?}");
        let events = batches.into_iter().flat_map(|batch| batch.events);
        let findings = events.flat_map(|event| match event {
            Event::Findings { findings, .. } => findings,
            _ => Vec::new(),
        });
        findings.map(|kept| kept.finding.rule.to_string()).collect()
    };
    assert_eq!(rules(&of_rules("bad", 2_000)).len(), 2_000);
    assert_eq!(rules(&of_rules("good", 1)), ["good-0"]);
}
