//! Reads a write-ahead log frame by frame, also one that is damaged (SQLite file format, section 4).
//!
//! An engine stops at the first frame whose checksum is wrong, which is right where a crash cut the
//! last transaction short, and loses all that was committed behind it where the frame is damaged. The
//! checksum of a frame is computed from the one that is written in the frame before. So each frame
//! can be checked whatever is wrong with others, and a commit behind a wrong frame tells damage from
//! a crash.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Bytes of the log's header, and of that of each frame.
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// What a log begins with; the last bit tells that its checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;

/// Frames that are read at once.
const FRAMES_AT_ONCE: usize = 256;

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Log {
    /// Where in the log the last committed content of each page is.
    pub(in crate::store) pages: HashMap<u32, u64>,
    /// Pages of the database behind the last commit; 0 where there is none.
    pub(in crate::store) database_pages: u32,
    /// Transactions that can be read.
    pub(in crate::store) commits: u64,
    /// True where frames are committed and the header does not introduce them.
    pub(in crate::store) header_is_damaged: bool,
    /// Frames, from 1, in front of the last commit that cannot be read, with the page each says it is
    /// of.
    pub(in crate::store) damaged_frames: Vec<(u64, u32)>,
    /// What its frames begin with behind the numbers of their pages.
    salts: [u8; 8],
}

impl Log {
    /// True where a file is still the log that was read.
    pub(in crate::store) fn is_of(&self, mut file: &File) -> std::io::Result<bool> {
        let mut header = [0; HEADER_BYTES];
        file.seek(SeekFrom::Start(0))?;
        let length = read_full(&mut file, &mut header)?;
        Ok(self.commits == 0 || (length == HEADER_BYTES && header[16..24] == self.salts))
    }

    /// Reads the content of a page from its frame; false where the log began anew meanwhile, and the frame
    /// is another one.
    pub(in crate::store) fn read_page(
        mut file: &File,
        log: &Self,
        page: u32,
        content_at: u64,
        content: &mut [u8],
    ) -> std::io::Result<bool> {
        let mut header = [0; FRAME_HEADER_BYTES];
        file.seek(SeekFrom::Start(content_at - FRAME_HEADER_BYTES as u64))?;
        if read_full(&mut file, &mut header)? < header.len()
            || read_full(&mut file, content)? < content.len()
        {
            return Ok(false);
        }
        Ok(word(&header, 0) == page && header[8..16] == log.salts)
    }
}

/// What introduces the frames of a log, and those of its last start among older ones.
#[derive(Debug, Clone, Copy)]
struct Introduction {
    salts: [u8; 8],
    /// What the checksum of the first frame follows from, where that is known.
    checksum: Option<Checksum>,
    is_big_endian: bool,
}

type Checksum = (u32, u32);

/// Who has a log open while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Writer {
    /// Nobody: a frame that is wrong is damaged, and what is committed behind it counts.
    Nobody,
    /// The engine. What follows a frame that is wrong was written while it was read; the frame is one that
    /// was read too early, and may have a page that a later commit relies on.
    Engine,
}

/// Reads a log whose database has pages of this size.
pub(in crate::store) fn read(
    mut file: &File,
    page_bytes: usize,
    writer: Writer,
) -> std::io::Result<Log> {
    let mut header = [0; HEADER_BYTES];
    file.seek(SeekFrom::Start(0))?;
    if read_full(&mut file, &mut header)? < HEADER_BYTES {
        return Ok(Log::default());
    }
    let introduced = introduction(&header, page_bytes);
    let introduction = match introduced {
        Some(introduction) => introduction,
        None => match guess(file, page_bytes)? {
            Some(introduction) => introduction,
            None => return Ok(Log::default()),
        },
    };
    let mut log = read_frames(file, page_bytes, introduction, writer)?;
    log.header_is_damaged = introduced.is_none() && log.commits > 0;
    Ok(log)
}

fn introduction(header: &[u8; HEADER_BYTES], page_bytes: usize) -> Option<Introduction> {
    let magic = word(header, 0);
    let is_big_endian = magic & 1 == 1;
    let checksum = (word(header, 24), word(header, 28));
    let is_one = magic & !1 == MAGIC
        && word(header, 8) as usize == page_bytes
        && add((0, 0), &header[..24], is_big_endian) == checksum;
    let salts = *header[16..].first_chunk().expect("the header has them");
    is_one.then_some(Introduction { salts, checksum: Some(checksum), is_big_endian })
}

/// Finds out from the first frames what a damaged header said. The first frame itself is taken as it is
/// then: what its checksum follows from stood in the header.
fn guess(mut file: &File, page_bytes: usize) -> std::io::Result<Option<Introduction>> {
    let frame_bytes = FRAME_HEADER_BYTES + page_bytes;
    let mut frames = vec![0; FRAMES_AT_ONCE * frame_bytes];
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    let length = read_full(&mut file, &mut frames)?;
    let frames: Vec<&[u8]> = frames[..length].chunks_exact(frame_bytes).collect();
    for pair in frames.windows(2) {
        let (before, frame) = (pair[0], pair[1]);
        for is_big_endian in [cfg!(target_endian = "big"), cfg!(target_endian = "little")] {
            let salts = *before[8..].first_chunk().expect("a frame has them");
            let known = Introduction { salts, checksum: None, is_big_endian };
            if word(frame, 0) != 0
                && frame[8..16] == salts
                && check(&known, Some(written(before)), frame)
            {
                return Ok(Some(known));
            }
        }
    }
    Ok(None)
}

fn read_frames(
    mut file: &File,
    page_bytes: usize,
    introduction: Introduction,
    writer: Writer,
) -> std::io::Result<Log> {
    let frame_bytes = FRAME_HEADER_BYTES + page_bytes;
    let mut log = Log { salts: introduction.salts, ..Log::default() };
    // What was read since the last commit, and what could not be.
    let (mut pending, mut damaged) = (Vec::new(), Vec::new());
    let mut before = introduction.checksum;
    let mut buffer = vec![0; FRAMES_AT_ONCE * frame_bytes];
    let (mut number, mut at) = (0, HEADER_BYTES as u64);
    file.seek(SeekFrom::Start(at))?;
    loop {
        let length = read_full(&mut file, &mut buffer)?;
        for frame in buffer[..length].chunks_exact(frame_bytes) {
            number += 1;
            let page = word(frame, 0);
            let is_of_this_start = frame[8..16] == introduction.salts;
            if page != 0 && is_of_this_start && check(&introduction, before, frame) {
                pending.push((page, at + FRAME_HEADER_BYTES as u64));
                let database_pages = word(frame, 4);
                if database_pages > 0 {
                    log.pages.extend(pending.drain(..));
                    log.damaged_frames.append(&mut damaged);
                    log.database_pages = database_pages;
                    log.commits += 1;
                }
            } else if writer == Writer::Engine {
                return Ok(log);
            } else {
                damaged.push((number, page));
            }
            before = Some(written(frame));
            at += frame_bytes as u64;
        }
        if length < buffer.len() {
            return Ok(log);
        }
    }
}

/// Returns the number of the frame whose content is at a place of the log.
pub(in crate::store) fn frame_at(content_at: u64, page_bytes: usize) -> u64 {
    (content_at - HEADER_BYTES as u64) / (FRAME_HEADER_BYTES + page_bytes) as u64 + 1
}

/// The checksum that is written in a frame.
fn written(frame: &[u8]) -> Checksum {
    (word(frame, 16), word(frame, 20))
}

/// True where a frame's checksum is what follows from the one before, or that is not known.
fn check(introduction: &Introduction, before: Option<Checksum>, frame: &[u8]) -> bool {
    let Some(before) = before else { return true };
    let is_big_endian = introduction.is_big_endian;
    let head = add(before, &frame[..8], is_big_endian);
    add(head, &frame[FRAME_HEADER_BYTES..], is_big_endian) == written(frame)
}

/// Goes on with a checksum (SQLite file format, section 4.2).
fn add(before: Checksum, bytes: &[u8], is_big_endian: bool) -> Checksum {
    let read = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    pairs.iter().fold(before, |(s0, s1), [first, second]| {
        let s0 = s0.wrapping_add(read(*first)).wrapping_add(s1);
        (s0, s1.wrapping_add(read(*second)).wrapping_add(s0))
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("the caller has four bytes there"))
}

/// Reads until the buffer is full or the file ends, and returns how many bytes there were.
pub(in crate::store) fn read_full(
    file: &mut impl Read,
    buffer: &mut [u8],
) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;
    const FRAME: usize = FRAME_HEADER_BYTES + PAGE;

    /// The log of a database into which SQLite has committed so many transactions.
    fn log_of_sqlite(commits: u32) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("x.db");
        let connection = rusqlite::Connection::open(&database).expect("SQLite opens it");
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)")
            .expect("a table in the log");
        for number in 1..commits {
            connection.execute("INSERT INTO t VALUES (?1)", [number]).expect("a row");
        }
        std::fs::read(crate::paths::log_of(&database)).expect("a log")
    }

    fn read_bytes(bytes: &[u8]) -> Log {
        let mut file = tempfile::tempfile().expect("a temporary file");
        std::io::Write::write_all(&mut file, bytes).expect("writes");
        read(&file, PAGE, Writer::Nobody).expect("it can be read")
    }

    /// What is read while the engine writes: some of it before it was written, and what follows after.
    #[test]
    fn what_was_read_too_early_ends_a_log_that_is_being_written() {
        let bytes = log_of_sqlite(8);
        let before = read_bytes(&bytes[..HEADER_BYTES + 4 * FRAME]);
        let hole = HEADER_BYTES + 4 * FRAME..HEADER_BYTES + 5 * FRAME;
        for early in [0, bytes[HEADER_BYTES + 9]] {
            let mut bytes = bytes.clone();
            bytes[hole.clone()].fill(early);
            let mut file = tempfile::tempfile().expect("a temporary file");
            std::io::Write::write_all(&mut file, &bytes).expect("writes");
            assert_eq!(read(&file, PAGE, Writer::Engine).expect("it can be read"), before);
            assert!(read_bytes(&bytes).commits > before.commits, "a damaged one is read on");
        }
    }

    fn frames(bytes: &[u8]) -> usize {
        (bytes.len() - HEADER_BYTES) / FRAME
    }

    #[test]
    fn a_sound_log_is_read_to_its_last_commit() {
        let bytes = log_of_sqlite(5);
        let log = read_bytes(&bytes);
        assert_eq!((log.commits, log.database_pages), (5, 2));
        assert!(!log.header_is_damaged && log.damaged_frames.is_empty());
        let last = HEADER_BYTES + (frames(&bytes) - 1) * FRAME + FRAME_HEADER_BYTES;
        assert_eq!(log.pages.get(&2), Some(&(last as u64)));
        assert_eq!(frame_at(last as u64, PAGE), frames(&bytes) as u64);
        // A crash cuts the last transaction short: nothing is damaged, and the ones before are there.
        for cut in [1, FRAME - 1, FRAME] {
            let log = read_bytes(&bytes[..bytes.len() - cut]);
            assert_eq!((log.commits, log.damaged_frames.len()), (4, 0), "{cut}");
        }
    }

    #[test]
    fn a_damaged_frame_is_told_from_a_crash_by_the_commits_behind_it() {
        let bytes = log_of_sqlite(5);
        let count = frames(&bytes);
        for frame in 0..count {
            for within in [0, 9, 17, FRAME_HEADER_BYTES + 100] {
                let mut bytes = bytes.clone();
                bytes[HEADER_BYTES + frame * FRAME + within] ^= 0x10;
                let log = read_bytes(&bytes);
                let numbers: Vec<u64> = log.damaged_frames.iter().map(|(at, _)| *at).collect();
                // A wrong checksum takes the next frame along, which follows from it.
                let mut expected = vec![frame as u64 + 1];
                if within == 17 {
                    expected.push(frame as u64 + 2);
                }
                let is_last = expected.iter().any(|at| *at >= count as u64);
                assert_eq!(numbers, if is_last { vec![] } else { expected }, "{frame} {within}");
                assert!(!log.header_is_damaged);
            }
        }
    }

    #[test]
    fn a_damaged_header_is_found_out_from_the_frames() {
        let bytes = log_of_sqlite(5);
        let sound = read_bytes(&bytes);
        for garbage in [0x00, 0xa5] {
            let mut bytes = bytes.clone();
            bytes[..HEADER_BYTES].fill(garbage);
            let log = read_bytes(&bytes);
            assert!(log.header_is_damaged);
            assert_eq!((log.database_pages, log.pages.len()), (2, sound.pages.len()));
            assert_eq!(log.pages.get(&2), sound.pages.get(&2));
        }
    }

    #[test]
    fn what_is_no_log_holds_nothing() {
        for bytes in [&[][..], &[0; 31], &[0; 32], &[0x37; 3 * FRAME], &[0; 3 * FRAME]] {
            let log = read_bytes(bytes);
            assert_eq!((log.commits, log.pages.len()), (0, 0));
            assert!(!log.header_is_damaged && log.damaged_frames.is_empty());
        }
    }

    /// A log is written over from its start: behind its last frame are those of the time before.
    #[test]
    fn frames_of_an_earlier_start_are_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("x.db");
        let connection = rusqlite::Connection::open(&database).expect("SQLite opens it");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (a);
                 INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);",
            )
            .expect("a log");
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).expect("folded");
        connection.execute("INSERT INTO t VALUES (3)", []).expect("a row");
        let bytes = std::fs::read(crate::paths::log_of(&database)).expect("a log");
        assert!(frames(&bytes) > 1);
        let log = read_bytes(&bytes);
        assert_eq!((log.commits, log.damaged_frames.len()), (1, 0));
        assert_eq!(log.pages.get(&2), Some(&((HEADER_BYTES + FRAME_HEADER_BYTES) as u64)));
    }
}
