//! Saved memory in which structures point back to themselves, claim lengths they have not, or share one huge part: made
//! on purpose, because chance does not find them. Reading must end soon, in bounded memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod saved;

use std::fs::{self, File};
use std::process::Command;

use asyncprof::capture::facts::Facts;
use asyncprof::capture::session::take_image;
use asyncprof::model::Snapshot;
use asyncprof::python::caches::Caches;
use asyncprof::python::coroutine::ChainWalk;
use asyncprof::python::interpreter::{Interpreter, read_interpreters};
use asyncprof::python::layout::published::{MAX_TABLE, overlay};
use asyncprof::python::layout::{DictIndex, FrameHead, Frames, GeneratorFrame, Int, Layout, Offset, rows};
use asyncprof::python::reader::Reader;
use asyncprof::remote::image::Image;
use asyncprof::remote::{Addr, ReadError, View};
use asyncprof::runtime::asyncio::layout::{self as asyncio, Registry};
use saved::watch::Watch;
use saved::words::{PAGE, read_word, with_word};
use saved::{MANY, VERSIONS};

/// Address space that reading any of these may take, in KiB: the program, its threads, the image, what is made of it.
const ADDRESS_SPACE_KIB: u64 = 1 << 20;
/// More than any list can hold, in a field of any width.
const HUGE: [u64; 4] = [1 << 40, i64::MAX as u64, u64::MAX, 0x7fff_ffff];

/// An image to be changed, and where things are in it.
struct Forge {
    image: Image,
    layout: Layout,
    asyncio: asyncio::Layout,
    snapshot: Snapshot,
    interpreter: Interpreter,
}

impl Forge {
    fn of(version: &str) -> Self {
        let image = saved::image(version);
        let facts: Facts = serde_json::from_value(image.facts().clone()).unwrap();
        let mut view = View::new(&image);
        let mut layout = rows::row(facts.minor, facts.free_threaded).unwrap();
        let runtime = Addr::new(facts.runtime).unwrap();
        if layout.runtime.publishes_offsets {
            layout = overlay(layout, &view.bytes(runtime, MAX_TABLE).unwrap()).unwrap();
        }
        let mut asyncio = asyncio::rows::row(&layout);
        if let Some(addr) = facts.asyncio_debug.and_then(Addr::new) {
            let table = view.bytes(addr, asyncio::published::TABLE).unwrap();
            asyncio = asyncio::published::overlay(asyncio, &layout, &table).unwrap();
        }
        let interpreter = read_interpreters(&mut view, &layout, runtime, &facts.own_thread_ids()).unwrap().remove(0);
        let snapshot = take_image(&image).unwrap();
        Self { image, layout, asyncio, snapshot, interpreter }
    }

    /// Addresses of the tasks with this name, of all tasks without one.
    fn tasks(&self, name: Option<&str>) -> Vec<Addr> {
        let tasks = self.snapshot.tasks.iter().filter(|task| name.is_none() || task.name.as_deref() == name);
        tasks.map(|task| Addr::new(task.key).unwrap()).collect()
    }

    fn task(&self, name: &str) -> Addr {
        self.tasks(Some(name))[0]
    }

    fn read<T>(&self, read: impl FnOnce(&mut Reader<'_, '_>) -> T) -> T {
        let (mut view, mut caches) = (View::new(&self.image), Caches::default());
        read(&mut Reader::new(&mut view, &self.layout, &mut caches))
    }

    fn word(&self, at: Addr, offset: Offset) -> u64 {
        read_word(&self.image, at.add(offset).unwrap().raw())
    }

    fn pointer(&self, at: Addr, offset: Offset) -> Addr {
        Addr::aligned(self.word(at, offset)).unwrap()
    }

    fn set(&mut self, at: Addr, offset: Offset, word: u64) -> &mut Self {
        self.image = with_word(std::mem::take(&mut self.image), at.add(offset).unwrap().raw(), word);
        self
    }

    /// Makes what pointed to `old` in the `len` bytes from `at` point to `new`; tags in low bits stay. How many did.
    fn redirect(&mut self, at: Addr, len: u64, old: Addr, new: Addr) -> usize {
        let places: Vec<u64> = (0..len).step_by(8).filter(|offset| self.word(at, *offset) & !7 == old.raw()).collect();
        for &offset in &places {
            let tag = self.word(at, offset) & 7;
            self.set(at, offset, new.raw() | tag);
        }
        places.len()
    }

    /// The coroutines a task awaits, outermost first.
    fn chain(&self, task: Addr) -> Vec<Addr> {
        let coroutine = self.pointer(task, self.asyncio.task.coro);
        self.read(|reader| {
            let mut walk = ChainWalk::new(coroutine, true);
            walk.advance(reader.view, reader.layout, reader.caches).unwrap();
            walk.into_chain().levels.iter().map(|level| level.object).collect()
        })
    }

    /// Makes the coroutine `from` await `to` in place of what it awaits.
    fn await_instead(&mut self, from: Addr, old: Addr, to: Addr) {
        let (at, len) = match self.layout.generator.frame {
            GeneratorFrame::Object { frame, .. } => (self.pointer(from, frame), 512),
            GeneratorFrame::Embedded { .. } => (from, 256),
        };
        assert!(self.redirect(at, len, old, to) > 0, "{from} does not await {old}");
    }

    /// The innermost frame of the thread that runs the main loop.
    fn running_frame(&self) -> Option<Addr> {
        let thread = self.interpreter.threads[0].addr;
        match &self.layout.frames {
            Frames::Objects(frames) => Addr::aligned(self.word(thread, frames.head)),
            Frames::Embedded(frames) => match frames.head {
                FrameHead::CFrame { cframe, current_frame } => {
                    Addr::aligned(self.word(self.pointer(thread, cframe), current_frame))
                }
                FrameHead::ThreadState(at) => Addr::aligned(self.word(thread, at)),
            },
        }
    }

    fn frame_link(&self) -> Offset {
        match &self.layout.frames {
            Frames::Objects(frames) => frames.back,
            Frames::Embedded(frames) => frames.previous,
        }
    }

    fn facts_value(&self) -> serde_json::Value {
        self.image.facts().clone()
    }

    /// The code object of a coroutine that is suspended.
    fn code_of_shared(&self) -> Addr {
        let coroutine = self.pointer(self.task("shared"), self.asyncio.task.coro);
        self.read(|reader| {
            let mut walk = ChainWalk::new(coroutine, true);
            walk.advance(reader.view, reader.layout, reader.caches).unwrap();
            walk.into_chain().levels[0].frame.code
        })
    }

    /// The set in `asyncio.tasks` that weakly holds all tasks, before 3.14 or of other classes.
    fn registry(&self) -> Addr {
        self.read(|reader| {
            let tasks = reader.module(self.interpreter.addr, "asyncio.tasks").unwrap().unwrap();
            let weak = ["_all_tasks", "_scheduled_tasks"].iter().find_map(|name| reader.global(tasks, name).unwrap());
            reader.attribute(weak.unwrap(), "data").unwrap().unwrap()
        })
    }
}

/// A change of an image, by name; false where the version has no such structure.
type Case = (&'static str, fn(&mut Forge) -> bool);

const CASES: &[Case] = &[
    ("a coroutine awaits itself", |forge| {
        let chain = forge.chain(forge.task("shared"));
        forge.await_instead(chain[1], chain[2], chain[1]);
        true
    }),
    ("two coroutines await each other", |forge| {
        let chain = forge.chain(forge.task("shared"));
        forge.await_instead(chain[1], chain[2], chain[0]);
        true
    }),
    ("every task awaits itself for ever", |forge| {
        for task in forge.tasks(None) {
            let chain = forge.chain(task);
            if let [first, second, ..] = chain[..] {
                forge.await_instead(first, second, first);
            }
        }
        true
    }),
    ("every task runs the same endless chain", |forge| {
        let (tasks, coro) = (forge.tasks(None), forge.asyncio.task.coro);
        let chain = forge.chain(forge.task("shared"));
        forge.await_instead(chain[1], chain[2], chain[0]);
        for task in tasks {
            forge.set(task, coro, chain[0].raw());
        }
        true
    }),
    ("every task waits for itself", |forge| {
        let waiter = forge.asyncio.task.fut_waiter;
        for task in forge.tasks(None) {
            forge.set(task, waiter, task.raw());
        }
        true
    }),
    ("all tasks wait for each other in one ring", |forge| {
        let (tasks, waiter) = (forge.tasks(None), forge.asyncio.task.fut_waiter);
        for (position, task) in tasks.iter().enumerate() {
            forge.set(*task, waiter, tasks[(position + 1) % tasks.len()].raw());
        }
        true
    }),
    ("a list of callbacks holds itself", |forge| {
        let list = forge.pointer(forge.task("shared"), forge.asyncio.future.callbacks);
        let items = forge.pointer(list, forge.layout.builtin.list_items);
        forge.set(items, 0, list.raw());
        true
    }),
    ("a callback's tuple holds itself", |forge| {
        let list = forge.pointer(forge.task("shared"), forge.asyncio.future.callbacks);
        let tuple = forge.pointer(forge.pointer(list, forge.layout.builtin.list_items), 0);
        forge.set(tuple, forge.layout.builtin.tuple_items, tuple.raw());
        true
    }),
    ("all tasks share one huge list of callbacks", |forge| {
        let callbacks = forge.asyncio.future.callbacks;
        let list = forge.pointer(forge.task("shared"), callbacks);
        let tuple = forge.pointer(forge.pointer(list, forge.layout.builtin.list_items), 0);
        make_huge(forge, list, tuple);
        for task in forge.tasks(None) {
            forge.set(task, callbacks, list.raw());
        }
        true
    }),
    ("a gather is its own child", |forge| {
        let (gathering, children) = children(forge);
        let items = forge.pointer(children, forge.layout.builtin.list_items);
        forge.set(items, 0, gathering.raw());
        true
    }),
    ("a gather has a million children, all itself, and everybody waits for it", |forge| {
        let (gathering, children) = children(forge);
        make_huge(forge, children, gathering);
        let waiter = forge.asyncio.task.fut_waiter;
        for task in forge.tasks(None) {
            forge.set(task, waiter, gathering.raw());
        }
        true
    }),
    ("a frame is its own caller", |forge| {
        let Some(frame) = forge.running_frame() else { return false };
        forge.set(frame, forge.frame_link(), frame.raw());
        true
    }),
    ("the outermost frame was called by the innermost", |forge| {
        let (Some(first), link) = (forge.running_frame(), forge.frame_link()) else { return false };
        let mut last = first;
        while let Some(next) = Addr::aligned(forge.word(last, link)) {
            last = next;
        }
        forge.set(last, link, first.raw());
        true
    }),
    ("a thread follows itself", |forge| {
        let thread = forge.interpreter.threads[0].addr;
        forge.set(thread, forge.layout.thread.next, thread.raw());
        true
    }),
    ("the threads are a ring", |forge| {
        let (oldest, newest) = (&forge.interpreter.threads[0], forge.interpreter.threads.last().unwrap());
        let (oldest, newest) = (oldest.addr, newest.addr);
        forge.set(oldest, forge.layout.thread.next, newest.raw());
        true
    }),
    ("an interpreter follows itself", |forge| {
        let interpreter = forge.interpreter.addr;
        forge.set(interpreter, forge.layout.interp.next, interpreter.raw());
        true
    }),
    ("a weak set holds itself", |forge| {
        let set = forge.registry();
        let table = forge.pointer(set, forge.layout.builtin.set_table);
        let mask = forge.word(set, forge.layout.builtin.set_mask);
        for slot in 0..=mask.min(1 << 10) {
            forge.set(table, slot * 16, set.raw());
        }
        true
    }),
    ("a weak reference refers to itself", |forge| {
        let set = forge.registry();
        let table = forge.pointer(set, forge.layout.builtin.set_table);
        let mask = forge.word(set, forge.layout.builtin.set_mask);
        let slots = (0..=mask.min(1 << 10)).filter_map(|slot| Addr::aligned(forge.word(table, slot * 16)));
        for reference in slots.collect::<Vec<_>>() {
            forge.set(reference, forge.layout.builtin.weakref_object, reference.raw());
        }
        true
    }),
    ("the collector's ring does not come back to its head", |forge| {
        let gc = &forge.layout.gc;
        let Some(lists) = gc.lists.filter(|_| !gc.in_runtime) else { return false };
        let oldest = forge.interpreter.addr.add(gc.state + lists.generations + 48).unwrap();
        // Not looked at, and so not in the image, in versions that need no search.
        let Some(first) = Addr::aligned(forge.word(oldest, 0) & !3) else { return false };
        let Some(second) = Addr::aligned(forge.word(first, 0) & !3) else { return false };
        forge.set(second, 0, first.raw()).set(first, 8, second.raw());
        true
    }),
    ("the ring of tasks does not come back to its head", |forge| {
        let Registry::Lists(lists) = forge.asyncio.registry else { return false };
        let first = forge.pointer(forge.interpreter.threads[0].addr, lists.of_thread);
        let second = forge.pointer(first, 0);
        forge.set(second, 0, first.raw()).set(first, 8, second.raw());
        true
    }),
    ("types are their own bases", |forge| {
        let object = forge.layout.object.ob_type;
        let mut types: Vec<Addr> = forge.tasks(None).iter().map(|task| forge.pointer(*task, object)).collect();
        types.push(forge.pointer(children(forge).0, object));
        types.extend(forge.chain(forge.task("shared")).into_iter().map(|level| forge.pointer(level, object)));
        for ty in types {
            forge.set(ty, forge.layout.types.base, ty.raw());
        }
        true
    }),
    ("the event loops' queues are rings", |forge| {
        let loops: Vec<Addr> = forge.snapshot.loops.iter().map(|one| Addr::new(one.key).unwrap()).collect();
        let deques: Vec<Addr> =
            forge.read(|reader| loops.iter().filter_map(|one| reader.attribute(*one, "_ready").unwrap()).collect());
        for deque in deques {
            let block = forge.pointer(deque, forge.layout.builtin.deque_leftblock);
            // The links come first or last, by version.
            forge.set(block, 0, block.raw()).set(block, 64 * 8, block.raw()).set(block, 65 * 8, block.raw());
            forge.set(deque, forge.layout.object.size, 900_000);
        }
        true
    }),
];

/// The future of the task that gathers, and its list of children.
fn children(forge: &Forge) -> (Addr, Addr) {
    let gathering = forge.pointer(forge.task("gathers"), forge.asyncio.task.fut_waiter);
    (gathering, forge.read(|reader| reader.attribute(gathering, "_children")).unwrap().unwrap())
}

/// Gives a list a million items, all the same.
fn make_huge(forge: &mut Forge, list: Addr, item: Addr) {
    const COUNT: u64 = 1_000_000;
    // Nothing is mapped here in any image.
    let free = Addr::new(0x10_0000_0000).unwrap();
    let mut items = item.raw().to_le_bytes().repeat(COUNT as usize);
    // Memory comes in pages.
    items.resize(items.len().next_multiple_of(PAGE as usize), 0);
    let pieces = forge.image.pieces().map(|(start, piece)| (Addr::new(start).unwrap(), piece.to_vec()));
    forge.image = Image::new(forge.facts_value(), pieces.chain([(free, items)])).unwrap();
    let (at, size) = (forge.layout.builtin.list_items, forge.layout.object.size);
    forge.set(list, at, free.raw()).set(list, size, COUNT);
}

/// Fields that say how much there is of something.
fn lengths(forge: &Forge) -> Vec<(&'static str, Addr, Offset)> {
    let Layout { dict, builtin, object, unicode, code, int, .. } = &forge.layout;
    let mut found = Vec::new();
    let modules = forge.pointer(forge.interpreter.addr, forge.layout.interp.modules);
    let keys = forge.pointer(modules, dict.keys);
    found.push(("entries of a dict", keys, dict.nentries));
    found.push(("size of a dict", modules, dict.used));
    found.push(match dict.index {
        DictIndex::Slots(at) => ("slots of a dict", keys, at),
        DictIndex::Log2Bytes { log2_bytes, .. } => ("slots of a dict", keys, log2_bytes & !7),
    });
    let registry = forge.registry();
    found.push(("mask of a set", registry, builtin.set_mask));
    found.push(("size of a set", registry, builtin.set_used));
    let shared = forge.task("shared");
    let callbacks = forge.pointer(shared, forge.asyncio.future.callbacks);
    found.push(("length of a list", callbacks, object.size));
    let tuple = forge.pointer(forge.pointer(callbacks, builtin.list_items), 0);
    found.push(("length of a tuple", tuple, object.size));
    let name = forge.pointer(shared, forge.asyncio.task.name);
    found.push(("length of a str", name, unicode.length));
    found.push(("state of a str", name, unicode.state & !7));
    // Read where the program itself does not tell its version.
    let hexversion = forge.read(|reader| {
        let sys = reader.view.pointer(forge.interpreter.addr, reader.layout.interp.sysdict).unwrap();
        sys.and_then(|sys| reader.key(sys, "hexversion").unwrap())
    });
    let int_size = match int {
        Int::SignedSize { size, .. } => *size,
        Int::Tag { tag, .. } => *tag,
    };
    found.extend(hexversion.map(|hexversion| ("digits of an int", hexversion, int_size)));
    let running = forge.code_of_shared();
    found.push(("length of a line table", forge.pointer(running, code.linetable), object.size));
    found.push(("size of a code object", running, object.size));
    found.push(("depth of a stack", running, code.stacksize & !7));
    let ty = forge.pointer(shared, object.ob_type);
    found.push(("size of a type's instances", ty, forge.layout.types.basicsize));
    found.push(("where a type's instances keep their attributes", ty, forge.layout.types.dictoffset));
    found
}

/// All of them, where the compiler has optimised.
fn versions() -> Vec<&'static str> {
    let few = ["3.8", "3.11", "3.13t", MANY];
    if cfg!(debug_assertions) { few.into() } else { VERSIONS.into_iter().chain([MANY]).collect() }
}

#[test]
fn rings_and_huge_things_end() {
    for version in versions() {
        Watch::over(version, |watch| {
            for (name, change) in CASES {
                let mut forge = Forge::of(version);
                if change(&mut forge) {
                    let (took, _) = watch.survive(*name, &forge.image);
                    println!("{version}: {name}: {took:?}");
                }
            }
        });
    }
}

#[test]
fn interpreters_and_threads_in_a_circle_are_noticed_before_any_limit() {
    for version in versions() {
        let read = |forge: &Forge| {
            let facts: Facts = serde_json::from_value(forge.facts_value()).unwrap();
            let (mut view, runtime) = (View::new(&forge.image), Addr::new(facts.runtime).unwrap());
            read_interpreters(&mut view, &forge.layout, runtime, &[]).err()
        };
        let mut forge = Forge::of(version);
        assert_eq!(read(&forge), None, "{version}");
        let (interpreter, thread) = (forge.interpreter.addr, forge.interpreter.threads[0].addr);
        let (next_interpreter, next_thread) = (forge.layout.interp.next, forge.layout.thread.next);
        forge.set(interpreter, next_interpreter, interpreter.raw());
        assert_eq!(read(&forge), Some(ReadError::Invalid("interpreters")), "{version}");
        forge.set(interpreter, next_interpreter, 0).set(thread, next_thread, thread.raw());
        assert_eq!(read(&forge), Some(ReadError::Invalid("threads")), "{version}");
    }
}

#[test]
fn lengths_that_lie_are_not_believed() {
    for version in versions() {
        Watch::over(version, |watch| {
            let forge = Forge::of(version);
            for (name, at, offset) in lengths(&forge) {
                for huge in HUGE {
                    let image = with_word(forge.image.clone(), at.add(offset).unwrap().raw(), huge);
                    let _ = watch.survive(format!("{name}: {huge:#x}"), &image);
                }
            }
        });
    }
}

#[test]
fn reading_takes_a_bounded_amount_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    for version in ["3.8", "3.11", MANY] {
        for (name, change) in [("nothing", (|_| true) as fn(&mut Forge) -> bool)].iter().chain(CASES) {
            let mut forge = Forge::of(version);
            if !change(&mut forge) {
                continue;
            }
            forge.image.save(File::create(&path).unwrap()).unwrap();
            let output = Command::new("sh")
                .args(["-c", "ulimit -v $2; exec \"$0\" dump --image \"$1\" -f json"])
                .arg(env!("CARGO_BIN_EXE_asyncprof"))
                .arg(&path)
                .arg(ADDRESS_SPACE_KIB.to_string())
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(0 | 5)), "{version}: {name}: {}: {stderr}", output.status);
            assert!(output.stdout.len() < 64 << 20, "{version}: {name}: {} bytes", output.stdout.len());
            fs::remove_file(&path).unwrap();
        }
    }
}
