//! Saved memory of a process: everything a reader has read, page by page, together with a few facts. Tests, bug reports
//! and fuzzing read it like the process itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::Range;

use serde_json::Value;

use super::addr::{Addr, Span};
use super::memory::{Memory, ReadError};

/// The first bytes of the file; the last one is the format's version.
const MAGIC: &[u8; 8] = b"APIMAGE1";
/// The common beginning of all versions of the format.
const ANY_MAGIC: &[u8] = b"APIMAGE";
const PAGE: u64 = 4096;
/// LIMIT: bytes of memory in one image.
const MAX_BYTES: u64 = 1 << 30;
/// LIMIT: bytes of the facts, as JSON.
const MAX_FACTS: u32 = 64 << 20;
/// LIMIT: pieces in one image: at most one for each page.
const MAX_PIECES: u32 = (MAX_BYTES / PAGE) as u32;
/// Compression level; images are written once and kept.
const COMPRESSION: i32 = 9;

/// Why an image could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not a memory image.
    #[error("this is not a memory image of asyncprof")]
    Foreign,
    /// A format version that is not known yet.
    #[error("this memory image was written by a newer asyncprof")]
    Newer,
    /// It ends too early.
    #[error("the memory image is cut off")]
    Truncated,
    /// Damaged, or crafted to look so.
    #[error("the memory image is damaged: {0}")]
    Damaged(&'static str),
    /// Larger than an image may be.
    #[error("the memory image holds more than the limit of {0}")]
    TooLarge(&'static str),
    /// An I/O error.
    #[error("the memory image cannot be read or written: {0}")]
    Io(#[source] io::Error),
}

impl ImageError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Foreign => "images are written by this program; give the path of one",
            Self::Newer => "read it with the asyncprof that wrote it, or with a newer one",
            Self::Truncated | Self::Damaged(_) => "write or copy the image again",
            Self::TooLarge(_) => "images of this size cannot be used",
            Self::Io(_) => "check the path, the permissions and the free space",
        }
    }

    fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            // Errors found by zstd, including the checksum.
            io::ErrorKind::Other | io::ErrorKind::InvalidData => Self::Damaged("its compressed data do not hold"),
            _ => Self::Io(error),
        }
    }
}

/// Saved memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    facts: Value,
    /// Start to bytes. INVARIANT: no overlaps, no empty pieces, adjacent pieces are joined.
    pieces: BTreeMap<u64, Vec<u8>>,
    faults: Vec<Range<u64>>,
}

impl Image {
    /// An image of `pieces`, with `facts`. `None` if pieces overlap, are empty or leave user space.
    pub fn new(facts: Value, pieces: impl IntoIterator<Item = (Addr, Vec<u8>)>) -> Option<Self> {
        let mut sorted: Vec<(Addr, Vec<u8>)> = pieces.into_iter().collect();
        sorted.sort_by_key(|piece| piece.0);
        let mut image = Self { facts, ..Self::default() };
        for (start, bytes) in sorted {
            image.append(start, bytes)?;
        }
        Some(image)
    }

    /// Adds a piece after all others; `None` if its place is not after them.
    fn append(&mut self, start: Addr, bytes: Vec<u8>) -> Option<()> {
        // The last byte must have an address too.
        start.add((bytes.len() as u64).checked_sub(1)?)?;
        if let Some(mut last) = self.pieces.last_entry() {
            let end = last.key() + last.get().len() as u64;
            if end > start.raw() {
                return None;
            }
            if end == start.raw() {
                last.get_mut().extend_from_slice(&bytes);
                return Some(());
            }
        }
        self.pieces.insert(start.raw(), bytes);
        Some(())
    }

    /// The facts saved with the memory.
    pub fn facts(&self) -> &Value {
        &self.facts
    }

    /// Bytes of memory in it.
    pub fn bytes(&self) -> u64 {
        self.pieces.values().map(|bytes| bytes.len() as u64).sum()
    }

    /// The pieces, in order of address.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pieces.iter().map(|(&start, bytes)| (start, bytes.as_slice()))
    }

    /// The same memory, in which reads that touch `addresses` fail.
    pub fn with_fault(mut self, addresses: Range<u64>) -> Self {
        self.faults.push(addresses);
        self
    }

    /// The same memory with `bytes` written over it at `addr`, as far as it exists: wrong data for a reader to detect.
    pub fn with_bytes(mut self, addr: Addr, bytes: &[u8]) -> Self {
        for (index, &byte) in bytes.iter().enumerate() {
            let at = addr.raw().saturating_add(index as u64);
            if let Some((&start, piece)) = self.pieces.range_mut(..=at).next_back()
                && let Some(place) = piece.get_mut((at - start) as usize)
            {
                *place = byte;
            }
        }
        self
    }

    /// Writes the image: the magic bytes, then, compressed and with a checksum: length and JSON of the facts, number of
    /// pieces, and address, length and bytes of each. Numbers are little-endian.
    pub fn save(&self, mut out: impl Write) -> Result<(), ImageError> {
        let facts = self.facts.to_string();
        let facts_len = u32::try_from(facts.len()).ok().filter(|&len| len <= MAX_FACTS);
        let facts_len = facts_len.ok_or(ImageError::TooLarge("facts"))?;
        if self.bytes() > MAX_BYTES {
            return Err(ImageError::TooLarge("memory"));
        }
        let write = |mut out: zstd::Encoder<'_, &mut dyn Write>| -> io::Result<()> {
            out.include_checksum(true)?;
            out.write_all(&facts_len.to_le_bytes())?;
            out.write_all(facts.as_bytes())?;
            out.write_all(&(self.pieces.len() as u32).to_le_bytes())?;
            for (start, bytes) in self.pieces() {
                out.write_all(&start.to_le_bytes())?;
                out.write_all(&(bytes.len() as u32).to_le_bytes())?;
                out.write_all(bytes)?;
            }
            out.finish()?.flush()
        };
        out.write_all(MAGIC).map_err(ImageError::Io)?;
        zstd::Encoder::new(&mut out as &mut dyn Write, COMPRESSION).and_then(write).map_err(ImageError::Io)
    }

    /// Reads an image. A file that is not an image, is truncated or too large is rejected without using more memory
    /// than the limits.
    pub fn load(mut input: impl Read) -> Result<Self, ImageError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if &magic == MAGIC => {}
            Ok(()) if magic.starts_with(ANY_MAGIC) => return Err(ImageError::Newer),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(ImageError::Io(error)),
            _ => return Err(ImageError::Foreign),
        }
        let mut input = zstd::Decoder::new(input).map_err(ImageError::reading)?.single_frame();
        let facts_len = read_u32(&mut input)?;
        if facts_len > MAX_FACTS {
            return Err(ImageError::TooLarge("facts"));
        }
        let facts = read_bytes(&mut input, facts_len.into())?;
        let facts = serde_json::from_slice(&facts).map_err(|_| ImageError::Damaged("its facts are not JSON"))?;
        let count = read_u32(&mut input)?;
        if count > MAX_PIECES {
            return Err(ImageError::TooLarge("pieces"));
        }
        let mut image = Self { facts, ..Self::default() };
        let mut budget = MAX_BYTES;
        for _ in 0..count {
            let start = Addr::new(read_u64(&mut input)?).ok_or(ImageError::Damaged("a piece has no address"))?;
            let len = u64::from(read_u32(&mut input)?);
            budget = budget.checked_sub(len).ok_or(ImageError::TooLarge("memory"))?;
            let bytes = read_bytes(&mut input, len)?;
            image.append(start, bytes).ok_or(ImageError::Damaged("its pieces overlap"))?;
        }
        // Only reading to the end makes zstd compare the checksum.
        match input.read(&mut [0]).map_err(ImageError::reading)? {
            0 => Ok(image),
            _ => Err(ImageError::Damaged("something follows its last piece")),
        }
    }

    fn copy(&self, span: Span, out: &mut [u8]) -> Result<(), ReadError> {
        let (mut at, unmapped) = (span.addr.raw(), ReadError::Unmapped(span.addr));
        let end = at.checked_add(out.len() as u64).ok_or(unmapped)?;
        if self.faults.iter().any(|fault| fault.start < end && at < fault.end) {
            return Err(unmapped);
        }
        let mut out = out;
        while !out.is_empty() {
            let (&start, piece) = self.pieces.range(..=at).next_back().ok_or(unmapped)?;
            let rest = piece.get((at - start) as usize..).filter(|rest| !rest.is_empty()).ok_or(unmapped)?;
            let len = rest.len().min(out.len());
            let (part, behind) = out.split_at_mut(len);
            part.copy_from_slice(&rest[..len]);
            out = behind;
            at += len as u64;
        }
        Ok(())
    }
}

impl Memory for Image {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        results.clear();
        let mut rest = out;
        for span in spans {
            let (part, behind) = rest.split_at_mut(span.len);
            results.push(self.copy(*span, part));
            rest = behind;
        }
    }
}

fn read_u32(input: &mut impl Read) -> Result<u32, ImageError> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes).map_err(ImageError::reading)?;
    Ok(u32::from_le_bytes(bytes))
}

fn read_u64(input: &mut impl Read) -> Result<u64, ImageError> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes).map_err(ImageError::reading)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Exactly `len` bytes. Memory is allocated as they arrive, so a false length costs nothing.
fn read_bytes(input: &mut impl Read, len: u64) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    input.take(len).read_to_end(&mut bytes).map_err(ImageError::reading)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(ImageError::Truncated) }
}

/// Records what is read through it, to be saved. For a consistent image the process should be stopped.
///
/// Reads are by page, because a page costs no more than a single field; of each page only the bytes that were decoded
/// are saved, the others as zeros. So an image contains nothing of a process that asyncprof does not use, and
/// compresses well.
pub struct Recorder<'m> {
    memory: &'m dyn Memory,
    pages: RefCell<BTreeMap<u64, Vec<u8>>>,
    decoded: RefCell<BTreeMap<u64, Marks>>,
}

/// One bit for each byte of a page.
type Marks = [u64; (PAGE / 64) as usize];

impl<'m> Recorder<'m> {
    /// Reads from `memory`.
    pub fn new(memory: &'m dyn Memory) -> Self {
        Self { memory, pages: RefCell::default(), decoded: RefCell::default() }
    }

    /// The pages read so far, as an image.
    pub fn image(&self, facts: Value) -> Image {
        let (pages, decoded) = (self.pages.borrow(), self.decoded.borrow());
        let pieces = pages.iter().filter_map(|(page, bytes)| {
            let marks = decoded.get(page).unwrap_or(&[0; (PAGE / 64) as usize]);
            let looked_at = |at: usize| marks[at / 64] >> (at % 64) & 1 != 0;
            let kept = bytes.iter().enumerate().map(|(at, &byte)| if looked_at(at) { byte } else { 0 });
            Some((Addr::new(page * PAGE)?, kept.collect()))
        });
        Image::new(facts, pieces).expect("pages are apart from each other and in user space")
    }
}

impl Memory for Recorder<'_> {
    fn wants_decoded(&self) -> bool {
        true
    }

    fn decoded(&self, addr: Addr, len: usize) {
        let mut decoded = self.decoded.borrow_mut();
        for at in addr.raw()..addr.raw().saturating_add(len as u64) {
            let marks = decoded.entry(at / PAGE).or_insert([0; (PAGE / 64) as usize]);
            let bit = at % PAGE;
            marks[(bit / 64) as usize] |= 1 << (bit % 64);
        }
    }

    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        results.clear();
        // A reader that asks for anything but whole pages has no page cache from which it decodes later.
        let is_pages = |span: &Span| span.addr.raw().is_multiple_of(PAGE) && (span.len as u64).is_multiple_of(PAGE);
        for span in spans.iter().filter(|span| !is_pages(span)) {
            self.decoded(span.addr, span.len);
        }
        let mut wanted: Vec<u64> = spans.iter().filter(|s| s.len > 0).flat_map(pages_of).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let whole: Vec<Span> =
            wanted.iter().filter_map(|page| Some(Span::new(Addr::new(page * PAGE)?, PAGE as usize))).collect();
        let mut bytes = vec![0; whole.len() * PAGE as usize];
        let mut outcomes = Vec::with_capacity(whole.len());
        self.memory.read_batch(&whole, &mut bytes, &mut outcomes);
        let mut pages = self.pages.borrow_mut();
        let mut failed: BTreeMap<u64, ReadError> = BTreeMap::new();
        for ((span, outcome), bytes) in whole.iter().zip(&outcomes).zip(bytes.chunks_exact(PAGE as usize)) {
            let page = span.addr.raw() / PAGE;
            let full = pages.len() as u64 * PAGE >= MAX_BYTES && !pages.contains_key(&page);
            match *outcome {
                Ok(()) if full => {
                    failed.insert(page, ReadError::Limit("memory of one image"));
                }
                Ok(()) => {
                    pages.insert(page, bytes.to_vec());
                }
                Err(error) => {
                    failed.insert(page, error);
                }
            }
        }
        let mut rest = out;
        for span in spans {
            let (part, behind) = rest.split_at_mut(span.len);
            results.push(copy_from_pages(&pages, &failed, *span, part));
            rest = behind;
        }
    }
}

fn pages_of(span: &Span) -> std::ops::RangeInclusive<u64> {
    let first = span.addr.raw();
    first / PAGE..=first.saturating_add(span.len as u64 - 1) / PAGE
}

fn copy_from_pages(
    pages: &BTreeMap<u64, Vec<u8>>,
    failed: &BTreeMap<u64, ReadError>,
    span: Span,
    out: &mut [u8],
) -> Result<(), ReadError> {
    let mut at = span.addr.raw();
    let mut out = out;
    while !out.is_empty() {
        let (page, within) = (at / PAGE, (at % PAGE) as usize);
        match (failed.get(&page), pages.get(&page)) {
            // The piece failed, not the page, which the reader never requested as such.
            (Some(ReadError::Unmapped(_)), _) | (None, None) => return Err(ReadError::Unmapped(span.addr)),
            (Some(&error), _) => return Err(error),
            (None, Some(bytes)) => {
                let len = out.len().min(PAGE as usize - within);
                let (part, behind) = out.split_at_mut(len);
                part.copy_from_slice(&bytes[within..within + len]);
                out = behind;
                at += len as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::View;
    use proptest::prelude::*;
    use serde_json::json;

    fn addr(raw: u64) -> Addr {
        Addr::new(raw).unwrap()
    }

    fn image() -> Image {
        Image::new(json!({"pid": 4211}), [(addr(0x2000), vec![2; 4096]), (addr(0x1000), vec![1; 4096])]).unwrap()
    }

    fn saved() -> Vec<u8> {
        let mut bytes = Vec::new();
        image().save(&mut bytes).unwrap();
        bytes
    }

    fn batch(memory: &dyn Memory, spans: &[(u64, usize)]) -> (Vec<u8>, Vec<Result<(), ReadError>>) {
        let spans: Vec<Span> = spans.iter().map(|&(at, len)| Span::new(addr(at), len)).collect();
        let mut out = vec![0; spans.iter().map(|s| s.len).sum()];
        let mut results = Vec::new();
        memory.read_batch(&spans, &mut out, &mut results);
        (out, results)
    }

    #[test]
    fn what_was_saved_is_what_is_loaded() {
        assert_eq!(Image::load(&saved()[..]).unwrap(), image());
    }

    #[test]
    fn a_failed_piece_does_not_hurt_its_neighbours() {
        let (out, results) = batch(&image(), &[(0x1ffe, 4), (0x2fff, 2), (0x2000, 1), (0x9000, 1)]);
        assert_eq!(&out[..4], [1, 1, 2, 2], "a read goes on from one piece into the next");
        assert_eq!(out[6], 2);
        let unmapped = |raw| Err(ReadError::Unmapped(addr(raw)));
        assert_eq!(results, [Ok(()), unmapped(0x2fff), Ok(()), unmapped(0x9000)]);
    }

    #[test]
    fn a_fault_fails_exactly_the_reads_that_touch_it() {
        let image = image().with_fault(0x1100..0x1108);
        let (_, results) = batch(&image, &[(0x10f8, 8), (0x10f8, 9), (0x1107, 1), (0x1108, 8)]);
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    }

    #[test]
    fn a_recorder_saves_nothing_that_was_not_looked_at() {
        let source = image();
        let recorder = Recorder::new(&source);
        let mut view = View::new(&recorder);
        assert_eq!(view.u64(addr(0x1100), 8).unwrap(), 0x0101_0101_0101_0101);
        assert_eq!(view.bytes(addr(0x1ffe), 4).unwrap(), [1, 1, 2, 2]);
        let copy = recorder.image(json!(null));
        assert_eq!(batch(&copy, &[(0x1107, 10)]).0, [0, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(batch(&copy, &[(0x1ffd, 6)]).0, [0, 1, 1, 2, 2, 0]);
    }

    #[test]
    fn a_recorder_gives_and_saves_what_the_memory_gives() {
        let source = image();
        let recorder = Recorder::new(&source);
        let spans = [(0x1ff8, 16), (0x3000, 8), (0x2ffc, 8)];
        assert_eq!(batch(&recorder, &spans), batch(&source, &spans));
        let copy = recorder.image(json!(null));
        assert_eq!(copy.bytes(), 8192);
        assert_eq!(batch(&copy, &spans), batch(&source, &spans));
    }

    #[test]
    fn lies_are_written_only_where_there_is_memory() {
        let image = image().with_bytes(addr(0x2ffe), &[7; 4]);
        assert_eq!(batch(&image, &[(0x2ffd, 3)]).0, [2, 7, 7]);
        assert_eq!(image.bytes(), 8192);
    }

    #[test]
    fn pieces_that_overlap_or_leave_user_space_are_no_image() {
        let pieces = |a: u64, b: u64| [(addr(a), vec![0; 16]), (addr(b), vec![0; 16])];
        assert!(Image::new(Value::Null, pieces(0x1000, 0x100f)).is_none());
        assert!(Image::new(Value::Null, pieces(0x1000, (1 << 47) - 8)).is_none());
        assert!(Image::new(Value::Null, pieces(0x1000, (1 << 47) - 16)).is_some());
    }

    #[test]
    fn foreign_cut_off_and_damaged_files_are_told_apart() {
        let bytes = saved();
        assert!(matches!(Image::load(&b"\x7fELF and more"[..]), Err(ImageError::Foreign)));
        assert!(matches!(Image::load(&b""[..]), Err(ImageError::Foreign)));
        assert!(matches!(Image::load(&b"APIMAGE2 and more"[..]), Err(ImageError::Newer)));
        assert!(matches!(Image::load(&bytes[..bytes.len() - 6]), Err(ImageError::Truncated)));
        let mut damaged = bytes.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert!(matches!(Image::load(&damaged[..]), Err(ImageError::Damaged(_))), "the checksum holds the content");
    }

    #[test]
    fn lengths_that_lie_are_refused_before_memory_is_taken() {
        let file = |content: &[u8]| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(zstd::encode_all(content, 1).unwrap());
            bytes
        };
        assert!(matches!(Image::load(&file(&u32::MAX.to_le_bytes())[..]), Err(ImageError::TooLarge("facts"))));
        let mut content = b"\x02\0\0\0{}\x01\0\0\0\0\x10\0\0\0\0\0\0".to_vec();
        content.extend(u32::MAX.to_le_bytes());
        assert!(matches!(Image::load(&file(&content)[..]), Err(ImageError::TooLarge("memory"))));
    }

    proptest! {
        // Setting up the compressor takes most of the time.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_image_survives_being_saved(sizes in proptest::collection::vec((0u64..8, 1usize..300), 0..20)) {
            let mut at = 0x1000;
            let pieces: Vec<_> = sizes.into_iter().map(|(gap, len)| {
                at += gap;
                let piece = (addr(at), vec![(at % 251) as u8; len]);
                at += len as u64;
                piece
            }).collect();
            let image = Image::new(json!([1, "two"]), pieces).unwrap();
            let mut bytes = Vec::new();
            image.save(&mut bytes).unwrap();
            prop_assert_eq!(Image::load(&bytes[..]).unwrap(), image);
        }

        #[test]
        fn no_content_makes_loading_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(&content);
            prop_assert!(Image::load(&bytes[..]).is_err());
            bytes.truncate(MAGIC.len());
            bytes.extend(zstd::encode_all(&content[..], 1).unwrap());
            let _ = Image::load(&bytes[..]);
        }
    }

    #[test]
    fn a_view_that_forgets_has_room_again() {
        let image = image();
        let mut view = View::new(&image);
        let read = |view: &mut View<'_>| view.u64(addr(0x1000), 0).is_ok();
        assert!(read(&mut view));
        let once = view.bytes_read();
        view.fill_up();
        view.forget();
        assert!(read(&mut view), "the limit is on what is held, not on what was read over all attempts");
        assert_eq!(view.bytes_read(), 2 * once);
    }
}
