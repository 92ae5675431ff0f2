//! Walks the B-trees of a database that may be damaged (SQLite file format, section 1.6): all that can
//! be read is handed on, all that cannot is a hole.

use std::io;

use super::pages::{HEADER_BYTES, Page, Pages};
use super::record::{decode, varint};
use crate::store::engine::Cell;

const INDEX_INTERIOR: u8 = 0x02;
const TABLE_INTERIOR: u8 = 0x05;
const INDEX_LEAF: u8 = 0x0a;
const TABLE_LEAF: u8 = 0x0d;

/// A row as it is found.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct FoundRow {
    /// Its number in its table.
    pub(in crate::store) rowid: i64,
    /// Its cells.
    pub(in crate::store) cells: Vec<Cell>,
    /// False where a page it is on is not what was last written.
    pub(in crate::store) is_sound: bool,
}

/// A place that cannot be read, or not be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Hole {
    /// The page.
    pub(in crate::store) page: u32,
    /// What is wrong with it.
    pub(in crate::store) problem: &'static str,
}

/// A walk over the trees of one database; no page is taken for two trees.
pub(in crate::store) struct Walk<'a> {
    pages: &'a mut Pages,
    is_taken: Vec<bool>,
    /// What could not be read of the tree that is walked.
    holes: Vec<Hole>,
    /// The pages that were taken last.
    trail: Vec<u32>,
}

/// What a page of a tree is.
struct Node {
    kind: u8,
    /// Where its cells begin.
    cells: Vec<usize>,
    /// The last child of an interior page.
    last_child: u32,
    has_bad_cells: bool,
}

impl<'a> Walk<'a> {
    pub(in crate::store) fn new(pages: &'a mut Pages) -> Self {
        let count = pages.count as usize + 1;
        Self { pages, is_taken: vec![false; count], holes: Vec::new(), trail: Vec::new() }
    }

    /// Hands on the rows of a table, and returns where there may be more that cannot be read.
    pub(in crate::store) fn table(
        &mut self,
        root: u32,
        each: &mut dyn FnMut(FoundRow),
    ) -> io::Result<Vec<Hole>> {
        self.walk(root, [TABLE_INTERIOR, TABLE_LEAF], &mut |walk, page, cell| {
            let row = walk.table_cell(page, cell)?;
            row.map(&mut *each).map_or(Ok(false), |()| Ok(true))
        })
    }

    /// Hands on the entries of an index, and returns where there may be more.
    pub(in crate::store) fn index(
        &mut self,
        root: u32,
        each: &mut dyn FnMut(Vec<Cell>),
    ) -> io::Result<Vec<Hole>> {
        self.walk(root, [INDEX_INTERIOR, INDEX_LEAF], &mut |walk, page, cell| {
            let entry = walk.index_cell(page, cell)?;
            entry.map(&mut *each).map_or(Ok(false), |()| Ok(true))
        })
    }

    fn walk(
        &mut self,
        root: u32,
        [interior, leaf]: [u8; 2],
        each: &mut dyn FnMut(&mut Self, &Page, usize) -> io::Result<bool>,
    ) -> io::Result<Vec<Hole>> {
        let mut waiting = vec![root];
        while let Some(number) = waiting.pop() {
            self.trail.clear();
            let Some(page) = self.take(number)? else { continue };
            let Some(node) = node(&page, self.pages.usable()) else {
                self.hole(number, "it is no page of a tree");
                continue;
            };
            if node.kind != interior && node.kind != leaf {
                self.hole(number, "it is a page of another kind of tree");
                continue;
            }
            if node.has_bad_cells {
                self.hole(number, "some of its cells lie outside it");
            }
            if !page.is_sound {
                self.hole(number, "it is not what was last written");
            }
            if node.kind == interior {
                // What a wrong page says of its children may lead into another table. They are found
                // again as pages that no tree has.
                if page.is_sound {
                    let first = waiting.len();
                    waiting.extend(node.cells.iter().filter_map(|at| word(&page.bytes, *at)));
                    waiting.push(node.last_child);
                    waiting[first..].reverse();
                }
                if interior == TABLE_INTERIOR {
                    continue;
                }
            }
            for cell in node.cells {
                let at = if node.kind == INDEX_INTERIOR { cell + 4 } else { cell };
                if !each(self, &page, at)? {
                    self.hole(number, "a row on it cannot be read");
                }
            }
        }
        Ok(std::mem::take(&mut self.holes))
    }

    /// Takes the pages that are free, and returns where the list of them breaks off.
    pub(in crate::store) fn free(&mut self) -> io::Result<Vec<Hole>> {
        let mut next = self.pages.header.map_or(0, |header| header.first_free);
        while next != 0 {
            let Some(trunk) = self.take(next)? else { break };
            if !trunk.is_sound {
                self.hole(next, "it is not what was last written");
            }
            let leaves = word(&trunk.bytes, 4).unwrap_or(0) as usize;
            if leaves > self.pages.usable() / 4 - 2 {
                self.hole(next, "it is no page of the free list");
                break;
            }
            for leaf in (0..leaves).filter_map(|at| word(&trunk.bytes, 8 + 4 * at)) {
                if let Some(taken) = self.is_taken.get_mut(leaf as usize) {
                    *taken = true;
                }
            }
            next = word(&trunk.bytes, 0).unwrap_or(0);
        }
        Ok(std::mem::take(&mut self.holes))
    }

    /// Hands on the rows of each page that looks like one of a table and that no tree has.
    pub(in crate::store) fn orphans(
        &mut self,
        each: &mut dyn FnMut(u32, Vec<FoundRow>),
    ) -> io::Result<()> {
        for number in 2..=self.pages.count {
            if let Some((rows, _)) = self.orphan(number)? {
                self.is_taken[number as usize] = true;
                each(number, rows);
            }
        }
        Ok(())
    }

    /// Hands on the rows of those pages on which each is of a kind, and takes them.
    pub(in crate::store) fn orphans_like(
        &mut self,
        is_one: &dyn Fn(&FoundRow) -> bool,
        each: &mut dyn FnMut(FoundRow),
    ) -> io::Result<()> {
        for number in 2..=self.pages.count {
            self.trail.clear();
            let Some((rows, is_whole)) = self.orphan(number)? else { continue };
            if is_whole && rows.iter().all(is_one) {
                self.is_taken[number as usize] = true;
                rows.into_iter().for_each(&mut *each);
            } else {
                for taken in self.trail.drain(..) {
                    self.is_taken[taken as usize] = false;
                }
            }
        }
        Ok(())
    }

    /// Returns the rows of a page that no tree has, and whether those are all; `None` where it is no page
    /// of a table, or has none.
    fn orphan(&mut self, number: u32) -> io::Result<Option<(Vec<FoundRow>, bool)>> {
        if self.is_taken[number as usize] {
            return Ok(None);
        }
        let Some(page) = self.pages.page(number)? else { return Ok(None) };
        let Some(node) = node(&page, self.pages.usable()) else { return Ok(None) };
        if node.kind != TABLE_LEAF {
            return Ok(None);
        }
        let count = node.cells.len();
        let mut rows = Vec::with_capacity(count);
        for cell in node.cells {
            rows.extend(self.table_cell(&page, cell)?);
        }
        self.holes.clear();
        let is_whole = rows.len() == count && !node.has_bad_cells;
        Ok((!rows.is_empty()).then_some((rows, is_whole)))
    }

    /// Returns a page that no tree has yet.
    fn take(&mut self, number: u32) -> io::Result<Option<Page>> {
        match self.is_taken.get_mut(number as usize) {
            None | Some(_) if number == 0 => {
                self.hole(number, "there is no page 0");
                return Ok(None);
            }
            None => {
                self.hole(number, "it lies behind the end of the file");
                return Ok(None);
            }
            Some(true) => {
                self.hole(number, "another page leads to it too");
                return Ok(None);
            }
            Some(taken) => *taken = true,
        }
        self.trail.push(number);
        let page = self.pages.page(number)?;
        match &page {
            None => self.hole(number, "it lies behind the end of the file"),
            Some(page) if page.bytes.iter().all(|byte| *byte == 0) => {
                self.hole(number, "it is all zeros");
                return Ok(None);
            }
            Some(_) => {}
        }
        Ok(page)
    }

    fn hole(&mut self, page: u32, problem: &'static str) {
        let hole = Hole { page, problem };
        if self.holes.last() != Some(&hole) {
            self.holes.push(hole);
        }
    }

    /// Returns the row of a cell, where it can be read.
    fn table_cell(&mut self, page: &Page, at: usize) -> io::Result<Option<FoundRow>> {
        let bytes = &page.bytes[..self.pages.usable()];
        let Some((payload_bytes, first)) = bytes.get(at..).and_then(varint) else {
            return Ok(None);
        };
        let Some((rowid, second)) = bytes.get(at + first..).and_then(varint) else {
            return Ok(None);
        };
        let largest = self.pages.usable() - 35;
        let payload = self.payload(page, at + first + second, payload_bytes, largest)?;
        Ok(payload.and_then(|(payload, is_sound)| {
            let cells = decode(&payload)?;
            Some(FoundRow { rowid: rowid.cast_signed(), cells, is_sound })
        }))
    }

    /// Returns the entry of a cell, where it can be read and trusted.
    fn index_cell(&mut self, page: &Page, at: usize) -> io::Result<Option<Vec<Cell>>> {
        let bytes = &page.bytes[..self.pages.usable()];
        let Some((payload_bytes, first)) = bytes.get(at..).and_then(varint) else {
            return Ok(None);
        };
        let largest = (self.pages.usable() - 12) * 64 / 255 - 23;
        let payload = self.payload(page, at + first, payload_bytes, largest)?;
        Ok(payload.and_then(|(payload, is_sound)| decode(&payload).filter(|_| is_sound)))
    }

    /// Returns a payload with what of it is on overflow pages (section 1.6), and whether all of its
    /// pages are sound.
    fn payload(
        &mut self,
        page: &Page,
        at: usize,
        payload_bytes: u64,
        largest: usize,
    ) -> io::Result<Option<(Vec<u8>, bool)>> {
        let usable = self.pages.usable();
        let all = self.pages.count as usize * usable;
        let Some(length) = usize::try_from(payload_bytes).ok().filter(|length| *length <= all)
        else {
            return Ok(None);
        };
        let smallest = (usable - 12) * 32 / 255 - 23;
        let local = if length <= largest {
            length
        } else {
            let wanted = smallest + (length - smallest) % (usable - 4);
            if wanted <= largest { wanted } else { smallest }
        };
        let Some(on_page) = page.bytes[..usable].get(at..at + local) else { return Ok(None) };
        let mut payload = on_page.to_vec();
        let mut is_sound = page.is_sound;
        if local < length {
            let Some(mut next) = word(&page.bytes[..usable], at + local) else { return Ok(None) };
            while payload.len() < length {
                let Some(overflow) = self.take(next)? else { return Ok(None) };
                is_sound &= overflow.is_sound;
                let rest = (length - payload.len()).min(usable - 4);
                payload.extend_from_slice(&overflow.bytes[4..4 + rest]);
                next = word(&overflow.bytes, 0).unwrap_or(0);
            }
        }
        Ok(Some((payload, is_sound)))
    }
}

/// Reads what a page says of itself; `None` where it is no page of a tree.
fn node(page: &Page, usable: usize) -> Option<Node> {
    let start = if page.number == 1 { HEADER_BYTES } else { 0 };
    let bytes = &page.bytes[..usable];
    let kind = bytes[start];
    let header_bytes = match kind {
        INDEX_INTERIOR | TABLE_INTERIOR => 12,
        INDEX_LEAF | TABLE_LEAF => 8,
        _ => return None,
    };
    let count = usize::from(u16::from_be_bytes([bytes[start + 3], bytes[start + 4]]));
    let pointers = bytes.get(start + header_bytes..start + header_bytes + 2 * count)?;
    let first_possible = start + header_bytes + 2 * count;
    let cells: Vec<usize> = pointers
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pointer| usize::from(u16::from_be_bytes(*pointer)))
        .filter(|at| (first_possible..usable - 3).contains(at))
        .collect();
    let last_child = if header_bytes == 12 { word(bytes, start + 8)? } else { 0 };
    Some(Node { kind, has_bad_cells: cells.len() < count, cells, last_child })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
