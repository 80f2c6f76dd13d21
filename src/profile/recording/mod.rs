//! The recording: a file of what a watch saw, written during the watch.
//!
//! # The format
//!
//! A file is 12 bytes and then blocks, one after the other. All numbers of fixed size are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `aprof`, carriage return, line feed, zero |
//! | 4 | version of the format: 1 |
//!
//! ## Blocks
//!
//! A block is a head and its content, which is packed as one zstd frame. Blocks can be read independently: a reader
//! that lost one continues with the next.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | the mark: `a9 41 50 fe` |
//! | 4 | 1 | kind: 0 header, 1 events, 2 state, 3 end |
//! | 5 | 3 | zero |
//! | 8 | 4 | number: 0 for the header, one more for each block; a gap means that blocks were lost |
//! | 12 | 4 | length of the content as stored in the file, at most 65 MiB |
//! | 16 | 4 | length of the content, unpacked, at most 64 MiB |
//! | 20 | 4 | CRC-32 (IEEE) of the content as stored in the file |
//! | 24 | 8 | time of the earliest event |
//! | 32 | 8 | time of the latest event |
//! | 40 | 4 | CRC-32 of the 40 bytes before it |
//!
//! - The **header** comes first and says what is known when the watch begins.
//! - An **events** block holds up to two seconds and is written in one piece. A writer that is killed leaves at most a
//!   partial block at the end.
//! - Tasks are recorded as changes. A **state** block with the current state of every live task is written every 30
//!   seconds, and after a block that could not be written, so that a reader that lost a block can continue. A reader
//!   that lost nothing skips it.
//! - The **end** block says that nothing is missing after it. Its content is one byte, the code of the note that says
//!   why the recording ends; its time is the time of the end.
//!
//! ## Content
//!
//! A *number* is a varint (LEB128). A *signed* number is zigzag-coded first. A *difference* is signed, modulo 2^64,
//! from the value named, otherwise from the previous one in the same list (from 0 for the first). A *float* is 8 bytes
//! (IEEE 754). A *flag* is a byte, 0 or 1. A *text* is the number of its bytes (at most 1 MiB), then UTF-8. A *list* is
//! the number of its entries, then the entries. *Optional* before the number of a table entry, or another unsigned
//! number, means 0 for none and otherwise one more than the number; before anything else it means a flag, then the
//! value if the flag is set. Codes of words are bytes; they are defined in `codes.rs`.
//!
//! The header: process id (signed), version of Python (text), free-threaded (flag), executable (text), command (list of
//! texts), start (text), start on the clock of the events (number), loop rate, task rate (floats), stall threshold
//! (number), CPU budget (float), blocking (flag), version of asyncprof (text), machine (list of pairs of texts). New
//! fields are only ever appended.
//!
//! Events and state:
//!
//! 1. The texts: a list. From here on, a text is its index in this list.
//! 2. The names that events of both tiers use:
//!    - frames: a list of function, file (texts, as differences), optional line;
//!    - stacks: a list of the caller (how many entries before this one; 0 for none) and the frame (number in `frames`,
//!      as a difference);
//!    - tasks: a list of key (difference), optional name (text; encoded as 0 or one more than its number, as a
//!      difference), optional coroutine (number in `frames`);
//!    - loops: a list of key (number), class (text), optional thread (signed), optional name of the thread (text).
//! 3. Up to the end: either a byte 5 and the code of a source, to which the events that follow belong, or an event: the
//!    code of its kind, its time (difference from the previous event of this source), and
//!    - a **loop sample** (0): two bytes of bits (`codes::sample`), then the fields that these say are present, in this
//!      order: loop (number); phase (code); start of the busy time (optional, difference from the time of the sample);
//!      its precision (number); callback (optional, difference from the loop's last one, from 0 after none; numbered by
//!      the writer, which adds one whenever the callback differs from the previous one); task; stack (optional);
//!      `outer` and `coroutines` (numbers); ready (optional); GIL (code, for 2 also the thread, signed); a reserved
//!      number (no longer written); the kernel's view of the thread: a byte of bits (`codes::kernel`), what the thread
//!      does (code; for 1 optional name of the call (text), its number, optional descriptor (signed)), run, starved,
//!      throttled and the GIL holder's run (differences from the loop's last values, from 0 for none); stack of the holder (optional). A field
//!      that is not present is unchanged from the loop's previous sample; for its first sample: in the selector, GIL
//!      free, the thread running, 0, none. The first sample of a source is of loop 0 unless it names another one.
//!    - **changes of tasks** (1): took (number), total (number), a byte of bits (`codes::changes`), where these say so
//!      the contexts entered or left (number), a list of task changes, a list of ended tasks (differences), and where the bits say so a list of timers: task, what tells the
//!      timer from others (differences). A task change is the task (difference) and a number: its lowest bit is `born`, the
//!      rest is 0 if a new pose follows, otherwise one more than the number of a pose that this source has used in this
//!      block. A pose is state (code), torn (flag), stack (optional), and a flag for whether it waits: kind (code),
//!      optional detail (text: JSON as defined in `wait_detail`; any other text is the detail in words), the tasks it
//!      waits for, the holders (lists of differences).
//!    - **findings** (2): a list of rule (text), severity (code), message, advice (texts), evidence (a list of name and
//!      JSON, both texts), tasks (a list of differences), optional site (number in `frames`).
//!    - **health** (3): samples, snapshots, dropped, lost, torn, partial, late, CPU time, longest gap (numbers), loop
//!      rate, task rate (floats), a byte of bits (`codes::health`): lowered; the target was stopped: then stops, time stopped, longest stop, stops
//!      cut short, samples without a stop (numbers).
//!    - a **note** (4): kind (code), text.
//!
//! A state is one event: changes of tasks, with every live task in `changed`.

mod before;
mod block;
mod callbacks;
mod codes;
mod decode;
mod encode;
mod error;
mod fields;
mod input;
mod living;
mod names;
mod reader;
mod wait_detail;
mod wire;
mod writer;

pub use error::RecordingError;
pub use reader::{Ending, Reader};
pub use writer::Writer;
