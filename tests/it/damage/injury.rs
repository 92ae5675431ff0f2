//! What is done to a database and its log.

use std::path::Path;

use fastrand::Rng;

pub(super) const PAGE: usize = 4096;
/// Bytes in front of each page of a log, and of the log's own header.
const FRAME: usize = 24 + PAGE;
const LOG_HEADER: usize = 32;

/// What is done to the files.
///
/// A page in the place of another is not among them: its checksum is right, since it does not hold
/// the page's number, and nothing else tells one page of a long text from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Injury {
    ZeroPage,
    FlipBits,
    GarbagePage,
    ZeroFirstPage,
    GarbageFirstPage,
    CutDatabase,
    EmptyDatabase,
    NoDatabase,
    NotADatabase,
    GarbageLogHeader,
    FlipInLog,
    ZeroInLog,
    CutLog,
    EmptyLog,
    NoLog,
    Several,
}

pub(super) const INJURIES: [Injury; 16] = [
    Injury::ZeroPage,
    Injury::FlipBits,
    Injury::GarbagePage,
    Injury::ZeroFirstPage,
    Injury::GarbageFirstPage,
    Injury::CutDatabase,
    Injury::EmptyDatabase,
    Injury::NoDatabase,
    Injury::NotADatabase,
    Injury::GarbageLogHeader,
    Injury::FlipInLog,
    Injury::ZeroInLog,
    Injury::CutLog,
    Injury::EmptyLog,
    Injury::NoLog,
    Injury::Several,
];

impl Injury {
    pub(super) fn inflict(self, home: &Path, random: &mut Rng) {
        let (database, log) = (home.join("ide.db"), home.join("ide.db-wal"));
        let change = |file: &Path, change: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut bytes = std::fs::read(file).expect("the file");
            change(&mut bytes);
            std::fs::write(file, bytes).expect("the file is written");
        };
        let pages = std::fs::metadata(&database).expect("the file").len() as usize / PAGE;
        let frames = std::fs::metadata(&log)
            .map_or(0, |log| (log.len() as usize).saturating_sub(LOG_HEADER) / FRAME);
        let page = random.usize(1..pages) * PAGE;
        let frame = LOG_HEADER + random.usize(0..frames.max(1)) * FRAME;
        match self {
            Self::ZeroPage => change(&database, &mut |bytes| bytes[page..page + PAGE].fill(0)),
            Self::FlipBits => change(&database, &mut |bytes| {
                for _ in 0..random.usize(1..=8) {
                    bytes[page + random.usize(0..PAGE)] ^= 1 << random.u8(0..8);
                }
            }),
            Self::GarbagePage => {
                change(&database, &mut |bytes| random.fill(&mut bytes[page..page + PAGE]));
            }
            Self::ZeroFirstPage => change(&database, &mut |bytes| bytes[..PAGE].fill(0)),
            Self::GarbageFirstPage => {
                change(&database, &mut |bytes| random.fill(&mut bytes[..PAGE]));
            }
            Self::CutDatabase => {
                change(&database, &mut |bytes| bytes.truncate(random.usize(1..pages * PAGE)));
            }
            Self::EmptyDatabase => change(&database, &mut Vec::clear),
            Self::NoDatabase => std::fs::remove_file(&database).expect("it is deleted"),
            Self::NotADatabase => {
                std::fs::write(&database, "[settings]\ntheme = dark\n".repeat(400))
                    .expect("written");
            }
            Self::GarbageLogHeader => {
                change(&log, &mut |bytes| random.fill(&mut bytes[..LOG_HEADER]));
            }
            Self::FlipInLog => change(&log, &mut |bytes| {
                bytes[frame + random.usize(0..FRAME)] ^= 1 << random.u8(0..8);
            }),
            Self::ZeroInLog => change(&log, &mut |bytes| bytes[frame..frame + FRAME].fill(0)),
            Self::CutLog => {
                change(&log, &mut |bytes| bytes.truncate(random.usize(0..bytes.len())));
            }
            Self::EmptyLog => change(&log, &mut Vec::clear),
            Self::NoLog => std::fs::remove_file(&log).expect("it is deleted"),
            Self::Several => {
                for _ in 0..3 {
                    let kinds =
                        [Self::ZeroPage, Self::FlipBits, Self::GarbagePage, Self::FlipInLog];
                    kinds[random.usize(0..kinds.len())].inflict(home, random);
                }
            }
        }
    }

    /// True where the tables and their indexes cannot both be hit, so that all that is lost has a name.
    pub(super) fn leaves_names(self) -> bool {
        matches!(self, Self::ZeroPage | Self::FlipBits | Self::GarbagePage)
    }
}
