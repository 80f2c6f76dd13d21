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
//! - A block of **events** holds up to two seconds, and is written at once as a whole. A writer that is killed leaves a part of
//!   a block at the end at most.
//! - Tasks are told as changes. So that who lost a block can go on, a **state** block repeats every 30 seconds, and after a
//!   block that could not be written, what every living task is at that moment. Who lost nothing skips it.
//! - The **end** says that nothing is missing behind it. Its content is one byte, the code of the note that says why the
//!   recording ends, its time the time of the end.
//!
//! ## Content
//!
//! A *number* is a varint (LEB128). A *signed* one is zigzag-coded before. A *difference* is signed, modulo 2^64, from the value
//! that is named, else from the one before in the same list (from 0 for the first). A *float* is 8 bytes (IEEE 754). A *flag* is a
//! byte, 0 or 1. A *text* is the number of its bytes (at most 1 MiB) and UTF-8. A *list* is the number of its entries and then
//! these. *Optional* is in front of a number of a table, or another unsigned one: 0 for none, else one more than it; in front
//! of anything else: a flag, and the value if it is set. Codes of words are bytes; they are in `codes.rs`.
//!
//! The header: process id (signed), version of Python (text), free-threaded (flag), executable (text), command (list of texts),
//! start (text), start on the clock of the events (number), loop rate, task rate (floats), stall threshold (number), CPU budget
//! (float), blocking (flag), version of asyncprof (text), machine (list of two texts each). Fields are only ever added behind.
//!
//! Events and state:
//!
//! 1. The texts: a list. From here on, a text is its number in this list.
//! 2. The names that events of both tiers use:
//!    - frames: a list of function, file (texts, as differences), optional line;
//!    - stacks: a list of the caller (how many entries before this one; 0 for none) and the frame (number in `frames`, as a
//!      difference);
//!    - tasks: a list of key (difference), optional name (text; the 0 or one more is told as a difference), optional
//!      coroutine (number in `frames`);
//!    - loops: a list of key (number), class (text), optional thread (signed), optional name of the thread (text).
//! 3. Up to the end: a byte 5 and the code of a source, from which on events are of this source, or an event: the code of its
//!    kind, its time (difference from the event of this source before), and
//!    - a **loop sample** (0): two bytes of bits (`codes::sample`), then those fields that are there by these, in this order:
//!      loop (number); phase (code); away since (optional, difference from the time of the sample); its precision
//!      (number); callback (optional, difference from the loop's last one, from 0 after none; counted by the writer, one more
//!      for each that is another than the one before); task; stack (optional); `outer` and `coroutines` (numbers); ready
//!      (optional); GIL (code, for 2 also the thread, signed); a reserved number (no longer written); the kernel's look: a byte of bits
//!      (`codes::kernel`), what the thread does (code; for 1 optional name of the call (text), its number, optional descriptor
//!      (signed)), run, starved and throttled (differences from the loop's last look, from 0 for none); stack of the holder
//!      (optional). What is not there is as in the loop's sample before; for its first: in the selector, GIL free, the thread
//!      running, 0, none. The first sample of a source is of loop 0 if it does not say another.
//!    - **changes of tasks** (1): took (number), total (number), complete (flag), a list of looks, a list of ended tasks
//!      (differences). A look is the task (difference) and a number: its lowest bit is `born`, the rest is 0 if a new pose
//!      follows, else one more than the number of a pose that this source has used in this block. A pose is state (code), torn
//!      (flag), stack (optional), and a flag whether it waits: kind (code), optional detail (text: JSON as `wait_detail`
//!      defines it; other text is the detail in words), the tasks it waits for, the
//!      holders (lists of differences).
//!    - **findings** (2): a list of rule (text), severity (code), message, advice (texts), evidence (a list of name and JSON,
//!      both texts), tasks (a list of differences), optional site (number in `frames`).
//!    - **health** (3): samples, snapshots, dropped, lost, torn, partial, late, CPU time, longest gap (numbers), loop rate, task
//!      rate (floats), lowered (flag).
//!    - a **note** (4): kind (code), text.
//!
//! A state is one event: changes of tasks, with every living task in `changed`.

mod before;
mod block;
mod callbacks;
mod codes;
mod decode;
mod encode;
mod error;
mod input;
mod living;
mod names;
mod reader;
mod version;
mod wait_detail;
mod wire;
mod writer;

pub use error::RecordingError;
pub use reader::{Ending, Reader};
pub use writer::Writer;
