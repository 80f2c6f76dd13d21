//! Reads a zoo of objects in a live interpreter and compares each with what the interpreter says of it: every Python
//! that is found. Needs nothing but a python3; which ones were used is printed.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use asyncprof::python::attribute::AttributeCache;
use asyncprof::python::layout::{Layout, Version, published, rows};
use asyncprof::python::line_table::{LineIndex, line_of};
use asyncprof::python::types::{TypeCache, type_of};
use asyncprof::python::{container, int, text, weak_set};
use asyncprof::remote::live::LiveMemory;
use asyncprof::remote::{Addr, ReadError, Span, View};
use asyncprof::runtime::asyncio::layout as asyncio;
use object::{Object, ObjectSection};
use serde_json::Value;
use support::trials::missing_python;

support::trials::trials! {
    every_object_of_the_zoo_reads_as_the_interpreter_says,
    system_calls_do_not_grow_with_the_number_of_members,
    a_wrong_kind_of_object_is_an_error_and_not_a_value,
    what_an_interpreter_publishes_leads_to_its_modules_and_tasks,
    the_exceptions_of_a_thread_lead_to_the_coroutine_that_executes,
    line_tables_of_the_standard_library_read_as_the_interpreter_says,
}

/// Interpreters to test on, one a minor version and build kind.
struct Python {
    path: PathBuf,
    version: Version,
    free_threaded: bool,
}

fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")));
    if let Some(versions) = pyenv.and_then(|root| std::fs::read_dir(root.join("versions")).ok()) {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.sort();
    let mut found: Vec<PathBuf> = Vec::new();
    if let Some(listed) = std::env::var_os("ASYNCPROF_PYTHONS") {
        found.extend(std::env::split_paths(&listed));
    }
    found.extend(folders.iter().map(|folder| folder.join("python3")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names: Vec<String> = std::iter::once("python3".to_owned())
        .chain(
            (rows::OLDEST_MINOR..=rows::NEWEST_MINOR).flat_map(|n| [format!("python3.{n}"), format!("python3.{n}t")]),
        )
        .collect();
    found.extend(
        std::env::split_paths(&path)
            .flat_map(|folder| names.iter().map(move |name| folder.join(name)).collect::<Vec<_>>()),
    );
    found.retain(|path| path.is_file());
    found
}

fn pythons() -> Vec<Python> {
    const ASK: &str = "import sys, sysconfig; print(sys.hexversion, sysconfig.get_config_var('Py_GIL_DISABLED') or 0)";
    let mut pythons = BTreeMap::new();
    for path in candidates() {
        let Ok(output) = Command::new(&path).args(["-c", ASK]).output() else { continue };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = said.split_whitespace().map(|word| word.parse::<u32>());
        let (Some(Ok(hex)), Some(Ok(free_threaded))) = (words.next(), words.next()) else { continue };
        let (version, free_threaded) = (Version::from_hex(hex), free_threaded != 0);
        if rows::row(version.minor, free_threaded).is_some() {
            pythons.entry((version.minor, free_threaded)).or_insert(Python { path, version, free_threaded });
        }
    }
    if pythons.is_empty() {
        missing_python("no Python on this machine");
    }
    pythons.into_values().collect()
}

/// A running zoo; it ends with the value.
struct Zoo {
    child: Child,
    layout: Layout,
    facts: Vec<Value>,
    said: Value,
}

impl Zoo {
    fn start(python: &Python) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/zoo.py");
        let mut child = Command::new(&python.path)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter ran a moment ago");
        let mut lines = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        let said: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let version = Version::from_hex(said["hex"].as_u64().unwrap() as u32);
        let layout = rows::row(version.minor, said["free_threaded"].as_bool().unwrap()).unwrap();
        let facts = said["facts"].as_array().unwrap().clone();
        Self { child, layout, facts, said }
    }

    fn memory(&self) -> LiveMemory {
        LiveMemory::new(self.child.id() as i32)
    }
}

impl Drop for Zoo {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn addr(value: &Value) -> Addr {
    Addr::aligned(value.as_u64().unwrap()).unwrap()
}

fn addrs(value: &Value) -> Vec<Addr> {
    value.as_array().unwrap().iter().map(addr).collect()
}

fn sorted(mut addrs: Vec<Addr>) -> Vec<Addr> {
    addrs.sort();
    addrs
}

/// What the readers say of the fact's object, and what the interpreter said.
fn compare(
    view: &mut View<'_>,
    layout: &Layout,
    types: &mut TypeCache,
    attributes: &mut AttributeCache,
    fact: &Value,
) -> Result<(), String> {
    let at = addr(&fact["at"]);
    let value = &fact["value"];
    let name = fact["name"].as_str().unwrap_or_default();
    let optional = (!value.is_null()).then(|| addr_or_zero(value));
    fn same<T: PartialEq + std::fmt::Debug>(read: Result<T, ReadError>, said: T) -> Result<(), String> {
        if read.as_ref() == Ok(&said) { Ok(()) } else { Err(format!("read {read:?}, is {said:?}")) }
    }
    match fact["kind"].as_str().unwrap() {
        "str" => same(text::read_str(view, layout, at), value.as_str().unwrap().to_owned()),
        "not str" => same(
            text::read_str(view, layout, at).map_err(|e| format!("{e}")).err().ok_or(ReadError::Gone),
            "not a valid str".into(),
        ),
        "bytes" => {
            let bytes = value.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
            same(text::read_bytes_object(view, layout, at), bytes)
        }
        "int" => match value.as_str() {
            Some(number) => same(int::read_int(view, layout, at), number.parse().unwrap()),
            None => {
                same(int::read_int(view, layout, at).err().ok_or(ReadError::Gone), ReadError::Invalid("int of 64 bits"))
            }
        },
        "float" => same(int::read_float(view, layout, at).map(hex), value.as_str().unwrap().to_owned()),
        "not float" => {
            same(int::read_float(view, layout, at).err().ok_or(ReadError::Gone), ReadError::Invalid("float"))
        }
        "tuple" => same(container::read_tuple(view, layout, at), addrs(value)),
        "list" => same(container::read_list(view, layout, at), addrs(value)),
        "dict" => {
            let items: Vec<(Addr, Addr)> =
                value.as_array().unwrap().iter().map(|item| (addr(&item[0]), addr(&item[1]))).collect();
            same(container::read_dict_items(view, layout, at), items)
        }
        "find" => same(container::find_str_key(view, layout, at, name), optional),
        "set" => same(container::read_set(view, layout, at).map(sorted), addrs(value)),
        "deque" => {
            same(container::read_deque_len(view, layout, at), value.as_array().unwrap().len())?;
            same(container::read_deque(view, layout, at), addrs(value))
        }
        "weak set" => {
            let read = weak_set::read_weak_set(view, layout, types, at);
            same(read.as_ref().map(|read| read.skipped).map_err(|&error| error), 0)?;
            same(read.map(|read| sorted(read.members)), addrs(value))
        }
        "attribute" => {
            same(attributes.read(view, layout, types, at, name), optional)?;
            let pieces = attributes.pieces(view, layout, types, at, name).map_err(|error| error.to_string())?;
            let Some(value) = optional else { return Ok(()) };
            let is_value = |piece: &Span| piece.len == 8 && view.u64(piece.addr, 0) == Ok(value.raw());
            if pieces.iter().any(is_value) { Ok(()) } else { Err(format!("{value} is in none of {pieces:?}")) }
        }
        "slot" => same(attributes.read_slot(view, layout, types, at, name), optional),
        "type" => {
            same(types.qualified_name(view, layout, at), value.as_str().unwrap().to_owned())?;
            let info = types.get(view, layout, at).unwrap();
            same(Ok(info.basicsize), fact["basicsize"].as_i64().unwrap())?;
            same(Ok(info.itemsize), fact["itemsize"].as_i64().unwrap())?;
            same(Ok(info.flags), fact["flags"].as_u64().unwrap())?;
            same(Ok(info.dictoffset), fact["dictoffset"].as_i64().unwrap())?;
            same(Ok(info.is_heap), fact["heap"].as_bool().unwrap())?;
            same(Ok(info.base), (!fact["base"].is_null()).then(|| addr(&fact["base"])))
        }
        "subtype" => same(types.is_subtype(view, layout, at, name), value.as_bool().unwrap()),
        "not type" => match types.get(view, layout, at) {
            Err(error) if !error.is_fatal() => Ok(()),
            other => Err(format!("read {other:?}, is no type")),
        },
        kind => Err(format!("no reader for {kind}")),
    }
}

fn addr_or_zero(value: &Value) -> Addr {
    value.as_u64().and_then(Addr::aligned).unwrap_or(Addr::new(4096).unwrap())
}

/// As `float.hex` has it, for the numbers of the zoo.
fn hex(number: f64) -> String {
    let bits = number.to_bits();
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}inf");
    }
    if number == 0.0 {
        return format!("{sign}0x0.0p+0");
    }
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1023;
    format!("{sign}0x1.{:013x}p{exponent:+}", bits & ((1 << 52) - 1))
}

fn every_object_of_the_zoo_reads_as_the_interpreter_says() {
    let mut wrong = Vec::new();
    for python in pythons() {
        let zoo = Zoo::start(&python);
        let memory = zoo.memory();
        let mut view = View::new(&memory);
        let (mut types, mut attributes) = (TypeCache::new(), AttributeCache::new());
        for fact in &zoo.facts {
            if let Err(why) = compare(&mut view, &zoo.layout, &mut types, &mut attributes, fact) {
                let mut fact = fact.to_string();
                fact.truncate(fact.floor_char_boundary(200));
                let why = &why[..why.floor_char_boundary(400)];
                wrong.push(format!("{}{}: {fact}: {why}", python.version, if python.free_threaded { "t" } else { "" }));
            }
        }
        eprintln!("{} ({}): {} objects", python.version, python.path.display(), zoo.facts.len());
    }
    assert!(wrong.is_empty(), "{} objects read wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn system_calls_do_not_grow_with_the_number_of_members() {
    for python in pythons() {
        let zoo = Zoo::start(&python);
        let calls = |kind: &str, at_least: usize| {
            let fact = zoo
                .facts
                .iter()
                .find(|fact| fact["kind"] == kind && fact["value"].as_array().is_some_and(|v| v.len() >= at_least))
                .unwrap();
            let memory = zoo.memory();
            let mut view = View::new(&memory);
            compare(&mut view, &zoo.layout, &mut TypeCache::new(), &mut AttributeCache::new(), fact).unwrap();
            view.batches()
        };
        assert!(calls("dict", 70_000) <= 20, "{}: {}", python.version, calls("dict", 70_000));
        assert!(calls("weak set", 5_000) <= 20, "{}: {}", python.version, calls("weak set", 5_000));
        let large =
            zoo.facts.iter().rfind(|fact| fact["kind"] == "dict" && fact["value"].as_array().unwrap().len() > 70_000);
        let memory = zoo.memory();
        let mut view = View::new(&memory);
        let dict = addr(&large.unwrap()["at"]);
        assert_eq!(container::find_str_key(&mut view, &zoo.layout, dict, "absent"), Ok(None));
        assert!(view.batches() <= 20, "{}: {}", python.version, view.batches());
    }
}

fn a_wrong_kind_of_object_is_an_error_and_not_a_value() {
    let zoo = Zoo::start(&pythons()[0]);
    let memory = zoo.memory();
    let mut view = View::new(&memory);
    let list = addr(&zoo.facts.iter().find(|fact| fact["kind"] == "list").unwrap()["at"]);
    let ty = type_of(&mut view, &zoo.layout, list).unwrap();
    assert_eq!(container::read_tuple(&mut view, &zoo.layout, list), Err(ReadError::Invalid("tuple")));
    assert_eq!(container::read_dict_items(&mut view, &zoo.layout, list), Err(ReadError::Invalid("dict")));
    assert_eq!(container::read_list(&mut view, &zoo.layout, ty), Err(ReadError::Invalid("list")));
    assert_eq!(int::read_int(&mut view, &zoo.layout, list), Err(ReadError::Invalid("int")));
    assert_eq!(text::read_bytes_object(&mut view, &zoo.layout, list), Err(ReadError::Invalid("bytes")));
}

/// The layout with all that the zoo's interpreter publishes; `None` up to 3.12.
fn overlaid(zoo: &Zoo) -> Option<(Layout, asyncio::Layout)> {
    zoo.layout.runtime.publishes_offsets.then_some(())?;
    let runtime = addr(&zoo.said["runtime"]);
    let table = View::new(&zoo.memory()).bytes(runtime, published::MAX_TABLE).unwrap();
    let published::Head { version, free_threaded, .. } = published::Head::parse(&table).unwrap();
    assert_eq!(free_threaded, zoo.layout.free_threaded);
    let layout = published::overlay(rows::row(version.minor, free_threaded).unwrap(), &table).unwrap();
    let file = std::fs::read(zoo.said["asyncio"]["file"].as_str().unwrap()).unwrap();
    let file = object::File::parse(&*file).unwrap();
    match file.section_by_name(".AsyncioDebug") {
        Some(section) => {
            let row = asyncio::rows::row(&layout);
            let asyncio = asyncio::published::overlay(row, &layout, section.data().unwrap()).unwrap();
            Some((layout, asyncio))
        }
        None => {
            assert_eq!(version.minor, 13);
            let asyncio = asyncio::rows::row(&layout);
            Some((layout, asyncio))
        }
    }
}

fn what_an_interpreter_publishes_leads_to_its_modules_and_tasks() {
    for python in pythons() {
        let zoo = Zoo::start(&python);
        let Some((layout, asyncio_layout)) = overlaid(&zoo) else { continue };
        let memory = zoo.memory();
        let view = &mut View::new(&memory);
        let interp = view.object(addr(&zoo.said["runtime"]), layout.runtime.interpreters_head).unwrap();
        let sysdict = view.object(interp, layout.interp.sysdict).unwrap();
        let hex = container::find_str_key(view, &layout, sysdict, "hexversion").unwrap().unwrap();
        assert_eq!(int::read_int(view, &layout, hex).unwrap(), zoo.said["hex"].as_i64().unwrap());
        let modules = view.object(interp, layout.interp.modules).unwrap();
        let main = container::find_str_key(view, &layout, modules, "__main__").unwrap().unwrap();
        assert_eq!(main, addr(&zoo.said["main"]));
        let thread = view.object(interp, layout.interp.threads_head).unwrap();
        assert_eq!(view.object(thread, layout.thread.interp).unwrap(), interp);
        assert_eq!(view.u64(thread, layout.thread.pthread_id).unwrap(), zoo.said["thread"].as_u64().unwrap());
        let asyncio = &zoo.said["asyncio"];
        let running_loop = asyncio_layout.running_loop.field().expect("3.13 and later have a field");
        assert_eq!(view.object(thread, running_loop).unwrap(), addr(&asyncio["loop"]));
        let task = addr(&asyncio["task"]);
        assert_eq!(asyncio_layout.task.size, asyncio["task_size"].as_u64().unwrap());
        assert_eq!(view.object(task, asyncio_layout.task.coro).unwrap(), addr(&asyncio["coro"]));
        assert_eq!(view.object(task, asyncio_layout.task.fut_waiter).unwrap(), addr(&asyncio["waiter"]));
        let name = view.object(task, asyncio_layout.task.name).unwrap();
        assert_eq!(text::read_str(view, &layout, name).unwrap(), "a task of the zoo");
        assert_eq!(view.i32(task, asyncio_layout.future.state).unwrap(), 0);
        assert_eq!(asyncio_layout.task.num_cancels_requested.map(|at| view.i32(task, at).unwrap()), Some(2));
        // The objects read with the published layout as they do with the row.
        let (mut types, mut attributes) = (TypeCache::new(), AttributeCache::new());
        for fact in &zoo.facts {
            compare(view, &layout, &mut types, &mut attributes, fact).unwrap();
        }
    }
}

fn the_exceptions_of_a_thread_lead_to_the_coroutine_that_executes() {
    for python in pythons() {
        let zoo = Zoo::start(&python);
        let memory = zoo.memory();
        let (view, at) = (&mut View::new(&memory), zoo.layout.exceptions);
        let (thread, coro) = (addr(&zoo.said["executing"]["thread_state"]), addr(&zoo.said["executing"]["coro"]));
        let entry = coro.add(at.of_generator).unwrap();
        assert_eq!(view.object(thread, at.top).unwrap(), entry, "{}", python.version);
        // An entry is one object, three before 3.11, and the entry below, which is the thread's.
        let below = if python.version.minor < 11 { 24 } else { 8 };
        assert_eq!(view.object(entry, below).unwrap(), thread.add(at.of_thread).unwrap(), "{}", python.version);
    }
}

/// Start, end (bytes) and line.
type Range = (i64, i64, Option<u32>);

fn line_tables_of_the_standard_library_read_as_the_interpreter_says() {
    for python in pythons() {
        let layout = rows::row(python.version.minor, python.free_threaded).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lines.py");
        let output = Command::new(&python.path).arg(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success());
        let mut ranges = 0;
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (table, first_line, said): (String, i32, Vec<Range>) = serde_json::from_str(line).unwrap();
            let table: Vec<u8> =
                (0..table.len()).step_by(2).map(|at| u8::from_str_radix(&table[at..at + 2], 16).unwrap()).collect();
            let kind = layout.code.line_table;
            let index = LineIndex::parse(&table, kind, first_line);
            for (start, end, line) in said {
                for offset in (start..end).step_by(2) {
                    assert_eq!(index.line_of(offset), line, "{}: {offset} of {table:?}", python.version);
                }
                if start < end {
                    assert_eq!(line_of(&table, kind, first_line, start), line, "{}", python.version);
                }
                ranges += 1;
            }
        }
        eprintln!("{} ({}): {ranges} ranges", python.version, python.path.display());
        assert!(ranges > 1_000, "{}: only {ranges} ranges", python.version);
    }
}
