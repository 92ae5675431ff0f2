//! The pages of a database that may be damaged: its file, and over it what its log has committed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::files::Files;
use super::log::{self, Log, Writer, read_full};

/// Bytes of the header on the first page (SQLite file format, section 1.3).
pub(in crate::store) const HEADER_BYTES: usize = 100;
/// What a database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The size of pages where the file does not tell: Turso and SQLite make no other by themselves.
const USUAL_PAGE_BYTES: usize = 4096;
/// Bytes at the end of each page that hold its checksum, where the file has them.
const CHECKSUM_BYTES: usize = 8;

/// Pages that are looked at to tell what a damaged header said.
const GUESSED_FROM: u32 = 1_000;

/// A page as it is found.
#[derive(Debug, Clone)]
pub(in crate::store) struct Page {
    /// Its number, from 1.
    pub(in crate::store) number: u32,
    /// Its bytes.
    pub(in crate::store) bytes: Vec<u8>,
    /// False where it is known not to be what was last written: its checksum is wrong, or the log had a
    /// later one that cannot be read.
    pub(in crate::store) is_sound: bool,
}

/// The pages of a database.
pub(in crate::store) struct Pages {
    /// `None` where there is no file.
    file: Option<Arc<File>>,
    log_file: Option<Arc<File>>,
    log: Log,
    /// Pages whose last content was in a frame of the log that cannot be read.
    stale: HashSet<u32>,
    page_bytes: usize,
    reserved: usize,
    file_pages: u32,
    /// What the file's header says.
    pub(in crate::store) header: Option<Header>,
    /// Pages that the file should have, or has, whichever is more.
    pub(in crate::store) count: u32,
    /// Pages that it should have.
    pub(in crate::store) expected_count: u32,
}

/// What the header of a database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Header {
    pub(in crate::store) page_bytes: usize,
    pub(in crate::store) reserved: usize,
    pub(in crate::store) pages: u32,
    pub(in crate::store) first_free: u32,
    pub(in crate::store) user_version: i64,
}

impl Header {
    /// Reads a header; `None` where it is none.
    pub(in crate::store) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
            return None;
        }
        let word = |at: usize| {
            u32::from_be_bytes(*bytes[at..].first_chunk().expect("the header is long enough"))
        };
        let page_bytes = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65536,
            size => usize::from(size),
        };
        let reserved = usize::from(bytes[20]);
        let is_possible = page_bytes.is_power_of_two() && page_bytes >= 512 && reserved <= 32;
        is_possible.then(|| Self {
            page_bytes,
            reserved,
            pages: word(28),
            first_free: word(32),
            user_version: i64::from(word(60).cast_signed()),
        })
    }
}

impl Pages {
    /// Opens a database file and its log, neither of which needs to be whole or there. Changes nothing.
    pub(in crate::store) fn open(database: &Path) -> std::io::Result<Self> {
        Self::read(&Files::open(database)?, Writer::Nobody)
    }

    /// Reads files that the engine has open, and into which it may write meanwhile.
    pub(in crate::store) fn of_engine(files: &Files) -> std::io::Result<Self> {
        Self::read(files, Writer::Engine)
    }

    fn read(files: &Files, writer: Writer) -> std::io::Result<Self> {
        let (file, log_file) = (files.database.clone(), files.log.clone());
        let mut first = vec![0; HEADER_BYTES];
        let (mut on_file, mut page_bytes, mut file_bytes) = (None, USUAL_PAGE_BYTES, 0);
        if let Some(mut file) = file.as_deref() {
            file.seek(SeekFrom::Start(0))?;
            let length = read_full(&mut file, &mut first)?;
            on_file = Header::parse(&first[..length]);
            if let Some(header) = on_file {
                page_bytes = likely_page_bytes(file, header)?;
            }
            file_bytes = file.metadata()?.len();
        }
        let log = match &log_file {
            Some(log_file) => log::read(log_file, page_bytes, writer)?,
            None => Log::default(),
        };
        let file_pages = file_bytes.div_ceil(page_bytes as u64);
        let stale = stale_pages(&log, page_bytes);
        let mut pages = Self {
            file,
            log_file,
            log,
            stale,
            page_bytes,
            reserved: on_file.map_or(CHECKSUM_BYTES, |header| header.reserved),
            file_pages: u32::try_from(file_bytes / page_bytes as u64).unwrap_or(u32::MAX),
            header: None,
            count: u32::try_from(file_pages).unwrap_or(u32::MAX),
            expected_count: 0,
        };
        let first = pages.raw(1)?.unwrap_or_default();
        pages.header = Header::parse(&first);
        pages.reserved = match pages.header {
            // Of a header without checksums it is not known whether it is what was written.
            Some(header) if header.reserved == CHECKSUM_BYTES => header.reserved,
            Some(header) => header.reserved.max(pages.guess_reserved()?),
            None => pages.guess_reserved()?,
        };
        pages.expected_count = match (pages.log.database_pages, pages.header) {
            (0, Some(header)) => header.pages,
            (count, _) => count,
        };
        pages.count = pages.count.max(pages.expected_count).max(
            // A page of the log may lie behind what either says.
            pages.log.pages.keys().copied().max().unwrap_or(0),
        );
        Ok(pages)
    }

    /// Bytes of a page.
    pub(in crate::store) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Bytes of a page that hold content.
    pub(in crate::store) fn usable(&self) -> usize {
        self.page_bytes - self.reserved
    }

    /// Pages that the file itself has.
    pub(in crate::store) fn on_file(&self) -> u32 {
        self.file_pages
    }

    /// What the log holds.
    pub(in crate::store) fn log(&self) -> &Log {
        &self.log
    }

    /// True where the log has not begun anew since it was read.
    pub(in crate::store) fn is_current(&self) -> std::io::Result<bool> {
        match &self.log_file {
            Some(log_file) => self.log.is_of(log_file),
            None => Ok(true),
        }
    }

    /// True where each page has a checksum.
    pub(in crate::store) fn has_checksums(&self) -> bool {
        self.reserved == CHECKSUM_BYTES
    }

    /// Returns a page; `None` where the files do not have it.
    pub(in crate::store) fn page(&mut self, number: u32) -> std::io::Result<Option<Page>> {
        let Some(bytes) = self.raw(number)? else { return Ok(None) };
        let is_sound =
            !self.stale.contains(&number) && (!self.has_checksums() || checksum_is_right(&bytes));
        Ok(Some(Page { number, bytes, is_sound }))
    }

    fn raw(&mut self, number: u32) -> std::io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; self.page_bytes];
        if let Some(at) = self.log.pages.get(&number) {
            let log_file = self.log_file.as_ref().expect("its frames were read from it");
            // A log begins anew only once the database has all that was in it.
            if Log::read_page(log_file, &self.log, number, *at, &mut bytes)? {
                return Ok(Some(bytes));
            }
        }
        let (Some(before), Some(mut file)) = (number.checked_sub(1), self.file.as_deref()) else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(u64::from(before) * self.page_bytes as u64))?;
        bytes.fill(0);
        let length = read_full(&mut file, &mut bytes)?;
        // A page that is cut short ends in zeros here, and fails its checks.
        Ok((length > 0).then_some(bytes))
    }

    /// Tells by the pages behind the first what its header said: a file without checksums has hardly
    /// one that is right by chance.
    fn guess_reserved(&mut self) -> std::io::Result<usize> {
        for number in 2..=self.count.min(GUESSED_FROM) {
            if self.raw(number)?.is_some_and(|bytes| checksum_is_right(&bytes)) {
                return Ok(CHECKSUM_BYTES);
            }
        }
        Ok(0)
    }
}

/// Returns the size of pages that a header says, unless pages of the usual size have checksums that are
/// right.
fn likely_page_bytes(mut file: &File, header: Header) -> std::io::Result<usize> {
    if header.page_bytes == USUAL_PAGE_BYTES {
        return Ok(USUAL_PAGE_BYTES);
    }
    let mut page = vec![0; USUAL_PAGE_BYTES];
    for number in 1..GUESSED_FROM {
        file.seek(SeekFrom::Start(u64::from(number) * USUAL_PAGE_BYTES as u64))?;
        if read_full(&mut file, &mut page)? == page.len() && checksum_is_right(&page) {
            return Ok(USUAL_PAGE_BYTES);
        }
    }
    Ok(header.page_bytes)
}

fn checksum_is_right(page: &[u8]) -> bool {
    let Some((content, checksum)) = page.split_last_chunk::<CHECKSUM_BYTES>() else { return false };
    XxHash3_64::oneshot(content) == u64::from_le_bytes(*checksum)
}

/// Pages whose last content is in a damaged frame, as far as the frames say what they are of.
fn stale_pages(log: &Log, page_bytes: usize) -> HashSet<u32> {
    let is_last = |number: u64, page: u32| {
        log.pages.get(&page).is_none_or(|at| log::frame_at(*at, page_bytes) < number)
    };
    let damaged = log.damaged_frames.iter().filter(|(number, page)| is_last(*number, *page));
    damaged.map(|(_, page)| *page).filter(|page| *page != 0).collect()
}
