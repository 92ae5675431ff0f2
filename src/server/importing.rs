//! Reads an export line by line and has the store write it, a small part between the writes of others.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use pollster::block_on;

use crate::api::dump::{
    FORMAT_VERSION, Footer, Header, ImportOutcome, ImportParams, ImportProblem, Imported,
};
use crate::error::{Error, Result};
use crate::model::limits::{
    MAX_IMPORT_LINE_BYTES, MAX_IMPORT_PROBLEMS, MAX_IMPORT_RECORDS, MAX_IMPORT_WRITE_BYTES,
};
use crate::store::Store;
use crate::store::dump::{self, Bad, Batch, Line, Looked, Outcome, Record, Tables, Written};

/// Imports a file, on the thread that calls it, until that is to stop.
pub fn import(
    store: &Arc<Store>,
    params: &ImportParams,
    is_stopping: &dyn Fn() -> bool,
) -> Result<Imported> {
    let path = Path::new(&params.path);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found("file", path.display()),
        _ => Error::io("reading", path, &error),
    };
    if path.is_dir() {
        return Err(Error::invalid("path", "expected a file, not a folder"));
    }
    let mut lines = Lines::new(File::open(path).map_err(failed)?);
    let first = lines.next().map_err(failed)?;
    let header = first.and_then(|(_, line)| Header::parse(line.ok()?));
    let header = header.ok_or_else(|| {
        Error::invalid("path", "the file is no export: its first line is no header of one")
    })?;
    refuse_newer(&header, store.schema_version())?;
    let _held = store.hold_attachments();
    let tables = Arc::new(block_on(store.read(Tables::read))?);
    let mut import = Import::new(Arc::clone(store), tables, params.dry_run);
    let mut footer: Option<Footer> = None;
    while let Some((number, line)) = lines.next().map_err(failed)? {
        if is_stopping() {
            return Err(Error::ShuttingDown);
        }
        let line = match line {
            Ok(line) if line.trim_ascii().is_empty() => continue,
            Ok(line) => line,
            Err(TooLong) => {
                let problem = format!("is longer than {MAX_IMPORT_LINE_BYTES} bytes");
                import.unreadable(number, problem);
                continue;
            }
        };
        if footer.is_some() {
            import.unreadable(number, "is behind the end of the export".to_owned());
            continue;
        }
        match Line::parse(&import.tables, line) {
            Ok(Line::Record(record)) => import.add(number, record, line.len())?,
            Ok(Line::Footer(end)) => footer = Some(end),
            Err(bad) => import.bad(number, bad),
        }
    }
    import.write_batch()?;
    Ok(import.end(footer, lines.number))
}

/// Refuses what a newer aetherd wrote: it may say what this one would not understand.
fn refuse_newer(header: &Header, schema_version: i64) -> Result<()> {
    if header.version > FORMAT_VERSION || header.schema_version > schema_version {
        return Err(Error::invalid(
            "path",
            format!(
                "the file is of a newer aetherd: {} wrote it as version {} of the format with tables \
                 of version {}; this aetherd {} knows versions {FORMAT_VERSION} and {schema_version}",
                header.aetherd,
                header.version,
                header.schema_version,
                env!("CARGO_PKG_VERSION"),
            ),
        ));
    }
    Ok(())
}

/// The lines of a file, of which one is in memory at a time.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// The line that was read last, from 1.
    number: u64,
}

/// A line is over its limit, and was passed over.
struct TooLong;

/// A line and its number.
type Numbered<'a> = (u64, Result<&'a [u8], TooLong>);

impl Lines {
    fn new(file: File) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, file), line: Vec::new(), number: 0 }
    }

    /// Returns the next line and its number, without its end; `None` behind the last one.
    fn next(&mut self) -> std::io::Result<Option<Numbered<'_>>> {
        // What one long line took is not kept for all that follow.
        if self.line.capacity() > MAX_IMPORT_WRITE_BYTES {
            self.line = Vec::new();
        }
        self.line.clear();
        let limit = MAX_IMPORT_LINE_BYTES as u64 + 1;
        if (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > MAX_IMPORT_LINE_BYTES {
            self.line = Vec::new();
            self.reader.skip_until(b'\n')?;
            return Ok(Some((self.number, Err(TooLong))));
        }
        Ok(Some((self.number, Ok(&self.line))))
    }
}

/// An import as it goes on.
struct Import {
    store: Arc<Store>,
    tables: Arc<Tables>,
    imported: Imported,
    /// Records of one type that wait to be written, with their lines.
    batch: Vec<(u64, Record)>,
    bytes: usize,
    last_seq: i64,
    differing: BTreeSet<String>,
    /// What a run that writes nothing would have written.
    looked: Arc<Mutex<Looked>>,
}

impl Import {
    fn new(store: Arc<Store>, tables: Arc<Tables>, dry_run: bool) -> Self {
        let imported = Imported {
            dry_run,
            is_whole: false,
            counts: [].into(),
            unreadable: 0,
            problems: Vec::new(),
            problem_count: 0,
            digest: None,
        };
        Self {
            store,
            tables,
            imported,
            batch: Vec::new(),
            bytes: 0,
            last_seq: 0,
            differing: BTreeSet::new(),
            looked: Arc::default(),
        }
    }

    /// Takes a record, and writes those before it where they are enough for one write.
    fn add(&mut self, number: u64, record: Record, bytes: usize) -> Result<()> {
        let is_other =
            self.batch.first().is_some_and(|(_, first)| first.kind.word != record.kind.word);
        let is_full =
            self.batch.len() == MAX_IMPORT_RECORDS || self.bytes + bytes > MAX_IMPORT_WRITE_BYTES;
        if is_other || is_full {
            self.write_batch()?;
        }
        self.batch.push((number, record));
        self.bytes += bytes;
        Ok(())
    }

    fn write_batch(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let bytes = std::mem::take(&mut self.bytes);
        if batch.is_empty() {
            return Ok(());
        }
        match self.write(batch.iter().map(|(_, record)| record.clone()).collect(), bytes) {
            Ok(outcomes) => {
                for ((number, record), outcome) in batch.iter().zip(outcomes) {
                    self.count(*number, record, outcome);
                }
            }
            // One that the engine refuses must not take the others along.
            Err(Error::Storage(_)) => {
                for (number, record) in &batch {
                    let outcome = match self.write(vec![record.clone()], bytes) {
                        Ok(mut outcomes) => outcomes.remove(0),
                        Err(Error::Storage(_)) => Outcome::Refused(
                            "the database does not take it; the log says why".to_owned(),
                        ),
                        Err(error) => return Err(error),
                    };
                    self.count(*number, record, outcome);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes records in one transaction, or looks what would become of them.
    fn write(&mut self, records: Vec<Record>, bytes: usize) -> Result<Vec<Outcome>> {
        // Only edits are counted by their sessions.
        let is_of_edits = records.first().is_some_and(|record| record.kind.word == "edit");
        let differing = if is_of_edits { self.differing.clone() } else { BTreeSet::new() };
        let batch = Batch { records, behind_seq: self.last_seq, differing };
        let tables = Arc::clone(&self.tables);
        if self.imported.dry_run {
            let looked = Arc::clone(&self.looked);
            return block_on(self.store.read(move |tx| {
                let mut looked = looked.lock().expect("no holder of the lock panics");
                dump::look(tx, &tables, &batch, &mut looked)
            }));
        }
        let Written { outcomes, last_seq } = block_on(async {
            self.store.queue_write(bytes, move |tx| dump::write(tx, &tables, &batch)).await?.await
        })?;
        self.last_seq = last_seq;
        Ok(outcomes)
    }

    fn count(&mut self, number: u64, record: &Record, outcome: Outcome) {
        let word = record.kind.word;
        let counts = self.imported.counts.entry(word.to_owned()).or_default();
        counts.found += 1;
        let (outcome, reason) = match outcome {
            Outcome::Imported => return counts.imported += 1,
            Outcome::AlreadyThere => return counts.already_there += 1,
            Outcome::Conflict(reason) => {
                counts.conflict += 1;
                (ImportOutcome::Conflict, reason)
            }
            Outcome::Refused(reason) => {
                counts.refused += 1;
                (ImportOutcome::Refused, reason)
            }
        };
        let id = record.id(&self.tables);
        if word == "session" && outcome == ImportOutcome::Conflict {
            self.differing.insert(id.clone());
        }
        self.problem(number, Some(word), Some(id), outcome, reason);
    }

    fn bad(&mut self, number: u64, Bad { kind, id, reason }: Bad) {
        let Some(kind) = kind else { return self.unreadable(number, reason) };
        let counts = self.imported.counts.entry(kind.word.to_owned()).or_default();
        counts.found += 1;
        counts.refused += 1;
        self.problem(number, Some(kind.word), id, ImportOutcome::Refused, reason);
    }

    fn unreadable(&mut self, number: u64, reason: String) {
        self.imported.unreadable += 1;
        self.problem(number, None, None, ImportOutcome::Unreadable, reason);
    }

    fn problem(
        &mut self,
        line: u64,
        word: Option<&str>,
        id: Option<String>,
        outcome: ImportOutcome,
        reason: String,
    ) {
        self.imported.problem_count += 1;
        if self.imported.problems.len() < MAX_IMPORT_PROBLEMS {
            let word = word.map(str::to_owned);
            self.imported.problems.push(ImportProblem { line, word, id, outcome, reason });
        }
    }

    /// Compares what was found with what the footer says.
    fn end(mut self, footer: Option<Footer>, last_line: u64) -> Imported {
        let Some(footer) = footer else {
            let reason = "the file ends without its footer: it was cut off".to_owned();
            self.problem(last_line, None, None, ImportOutcome::Unreadable, reason);
            return self.imported;
        };
        let found = self.imported.counts.iter().map(|(word, counts)| (word.clone(), counts.found));
        self.imported.is_whole = footer.counts == found.collect();
        if !self.imported.is_whole {
            let reason =
                format!("the file had other records when it was written: {:?}", footer.counts);
            self.problem(last_line, None, None, ImportOutcome::Unreadable, reason);
        }
        self.imported.digest = footer.digest;
        self.imported
    }
}
