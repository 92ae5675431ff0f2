//! What the writer commits while the file is compacted, so that the copy catches up with it.
//!
//! Statements are kept as they were carried out, with what was bound to them. All SQL of the store is
//! such that the same statements leave the same rows in a copy of the same rows; how many rows each
//! changed is kept too, and compared.

use crate::error::{Error, Result};
use crate::model::limits::MAX_JOURNAL_BYTES;
use crate::store::engine::{self, Connection, EachRow, Value};
use crate::store::writer::{BEGIN, COMMIT, ROLLBACK};

/// Bytes of statements that are applied in one transaction, about.
const TRANSACTION_BYTES: usize = 1024 * 1024;

/// The writer's connection, which keeps what is committed while a compaction asks for it.
pub(in crate::store) struct Recorded {
    /// None only while the files change places.
    inner: Option<Box<dyn Connection>>,
    journal: Option<Journal>,
}

/// Statements that were committed.
#[derive(Default)]
struct Journal {
    part: Part,
    /// Up to where `part` is committed.
    committed: usize,
    is_overfull: bool,
}

/// A part of a journal, in the order of its commits.
#[derive(Clone, Default)]
pub(super) struct Part {
    entries: Vec<u8>,
    /// The texts, which the entries name by their places.
    statements: Vec<&'static str>,
}

impl Recorded {
    /// Returns the writer's connection.
    pub(in crate::store) fn new(inner: Box<dyn Connection>) -> Self {
        Self { inner: Some(inner), journal: None }
    }

    /// Keeps what is committed from now on.
    pub(super) fn start(&mut self) {
        self.journal = Some(Journal::default());
    }

    /// Keeps nothing any more.
    pub(super) fn stop(&mut self) {
        self.journal = None;
    }

    /// Returns what was committed since the last time, outside a transaction.
    pub(super) fn take(&mut self) -> Result<Part> {
        let journal = self
            .journal
            .as_mut()
            .ok_or_else(|| Error::Internal("nothing is kept of what is written".to_owned()))?;
        if journal.is_overfull {
            return Err(Error::Overloaded {
                what: "bytes that are written while the file is compacted, which gave up",
                limit: MAX_JOURNAL_BYTES as u64,
            });
        }
        journal.part.entries.truncate(journal.committed);
        journal.committed = 0;
        Ok(std::mem::take(&mut journal.part))
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.inner = None;
    }

    /// Goes on with another connection.
    pub(super) fn reopen(&mut self, inner: Box<dyn Connection>) {
        self.inner = Some(inner);
    }

    fn inner(&mut self) -> Result<&mut dyn Connection> {
        match &mut self.inner {
            Some(inner) => Ok(inner.as_mut()),
            None => Err(Error::Internal("the writer's connection is closed".to_owned())),
        }
    }
}

impl Connection for Recorded {
    fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let changed = self.inner()?.execute(sql, params)?;
        if let Some(journal) = &mut self.journal {
            match sql {
                // An error may have ended the transaction before without a ROLLBACK.
                BEGIN | ROLLBACK => journal.part.entries.truncate(journal.committed),
                COMMIT => journal.committed = journal.part.entries.len(),
                _ => journal.add(sql, params, changed),
            }
        }
        Ok(changed)
    }

    fn execute_text(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        self.inner()?.execute_text(sql, params)
    }

    fn query(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        each: &mut EachRow<'_>,
    ) -> Result<()> {
        self.inner()?.query(sql, params, each)
    }

    fn run(&mut self, sql: &str, each: &mut EachRow<'_>) -> Result<()> {
        self.inner()?.run(sql, each)
    }

    fn is_autocommit(&self) -> Result<bool> {
        match &self.inner {
            Some(inner) => inner.is_autocommit(),
            None => Ok(true),
        }
    }
}

impl Journal {
    fn add(&mut self, sql: &'static str, params: &[Value<'_>], changed: u64) {
        if self.is_overfull {
            return;
        }
        self.part.add(sql, params, changed);
        if self.part.bytes() > MAX_JOURNAL_BYTES {
            *self = Self { is_overfull: true, ..Self::default() };
        }
    }
}

impl Part {
    /// Its size.
    pub(super) fn bytes(&self) -> usize {
        self.entries.len()
    }

    fn add(&mut self, sql: &'static str, params: &[Value<'_>], changed: u64) {
        let at = self.statements.iter().position(|known| *known == sql).unwrap_or_else(|| {
            self.statements.push(sql);
            self.statements.len() - 1
        });
        self.put(at as u64);
        self.put(changed);
        self.put(params.len() as u64);
        for param in params {
            match param {
                Value::Null => self.entries.push(0),
                Value::Int(number) => {
                    self.entries.push(1);
                    self.put(number.cast_unsigned());
                }
                Value::Real(number) => {
                    self.entries.push(2);
                    self.put(number.to_bits());
                }
                Value::Text(text) => {
                    self.entries.push(3);
                    self.put_bytes(text.as_bytes());
                }
                Value::Blob(bytes) => {
                    self.entries.push(4);
                    self.put_bytes(bytes);
                }
            }
        }
    }

    fn put(&mut self, number: u64) {
        self.entries.extend_from_slice(&number.to_le_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(bytes.len() as u64);
        self.entries.extend_from_slice(bytes);
    }

    /// Carries the statements out on the copy. An error means that the copy is no copy.
    pub(super) fn apply(&self, copy: &mut dyn Connection) -> Result<()> {
        let mut rest = Reader { rest: &self.entries };
        while !rest.rest.is_empty() {
            engine::run(copy, "BEGIN IMMEDIATE")?;
            let end = rest.rest.len().saturating_sub(TRANSACTION_BYTES);
            while rest.rest.len() > end {
                let sql = self.statements[rest.number() as usize];
                let changed = rest.number();
                let params: Vec<Value<'_>> = (0..rest.number()).map(|_| rest.value()).collect();
                let here = copy.execute(sql, &params)?;
                if here != changed {
                    return Err(Error::Internal(format!(
                        "a statement changed {here} rows of the compacted file, {changed} of the old one"
                    )));
                }
            }
            engine::run(copy, "COMMIT")?;
        }
        Ok(())
    }
}

/// Reads what `Part::add` wrote.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        bytes
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().expect("eight bytes were asked for"))
    }

    fn counted(&mut self) -> &'a [u8] {
        let count = self.number();
        self.bytes(usize::try_from(count).expect("it was written from memory"))
    }

    fn value(&mut self) -> Value<'a> {
        match self.bytes(1)[0] {
            0 => Value::Null,
            1 => Value::Int(self.number().cast_signed()),
            2 => Value::Real(f64::from_bits(self.number())),
            3 => Value::Text(std::str::from_utf8(self.counted()).expect("a text was written")),
            _ => Value::Blob(self.counted()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineKind;
    use crate::store::engine::Cell;

    const INSERT: &str = "INSERT INTO t (a, b) VALUES (?1, ?2)";
    const UPDATE: &str = "UPDATE t SET b = ?2 WHERE a = ?1";

    fn connect(folder: &tempfile::TempDir, kind: EngineKind, name: &str) -> Box<dyn Connection> {
        let engine = engine::open(kind, &folder.path().join(name)).expect("an engine");
        let mut connection = engine.connect().expect("a connection");
        engine::run(connection.as_mut(), "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
            .expect("a table");
        connection
    }

    fn rows(connection: &mut dyn Connection) -> Vec<(Cell, Cell)> {
        let mut rows = Vec::new();
        connection
            .run("SELECT a, b FROM t ORDER BY a", &mut |row| {
                rows.push((row.cell()?, row.cell()?));
                Ok(std::ops::ControlFlow::Continue(()))
            })
            .expect("rows");
        rows
    }

    #[test]
    fn what_is_committed_is_kept_as_it_was_and_what_is_rolled_back_is_not() {
        for kind in [EngineKind::Turso, EngineKind::Sqlite] {
            let folder = tempfile::tempdir().expect("a folder");
            let mut written = Recorded::new(connect(&folder, kind, "a.db"));
            let mut copy = connect(&folder, kind, "b.db");
            written.execute(INSERT, &[0.into(), "before".into()]).expect("inserts");
            copy.execute(INSERT, &[0.into(), "before".into()]).expect("inserts");
            written.start();
            let values = [
                Value::Null,
                Value::Int(i64::MIN),
                Value::Real(-0.5),
                Value::Text("é\0\n"),
                Value::Blob(&[0, 255]),
                Value::Text(""),
            ];
            written.execute(BEGIN, &[]).expect("begins");
            for (at, value) in (1..).zip(values) {
                written.execute(INSERT, &[at.into(), value]).expect("inserts");
            }
            written.execute(INSERT, &[1.into(), Value::Null]).expect_err("is there already");
            written.execute(UPDATE, &[99.into(), Value::Null]).expect("changes none");
            written.execute(COMMIT, &[]).expect("commits");
            written.execute(BEGIN, &[]).expect("begins");
            written.execute(UPDATE, &[0.into(), "never".into()]).expect("updates");
            written.execute(ROLLBACK, &[]).expect("rolls back");
            let part = written.take().expect("a part");
            part.apply(copy.as_mut()).expect("applies");
            assert_eq!(rows(&mut written), rows(copy.as_mut()), "{kind:?}");
            assert_eq!(rows(copy.as_mut()).len(), 7);
            written.execute(BEGIN, &[]).expect("begins");
            written.execute(UPDATE, &[0.into(), "behind".into()]).expect("updates");
            written.execute(COMMIT, &[]).expect("commits");
            written.take().expect("a part").apply(copy.as_mut()).expect("applies");
            assert_eq!(rows(&mut written), rows(copy.as_mut()));
            assert_eq!(written.take().expect("nothing new").bytes(), 0);
            // A copy that another number of rows is changed of is no copy.
            written.execute(BEGIN, &[]).expect("begins");
            written.execute(UPDATE, &[0.into(), "once more".into()]).expect("updates");
            written.execute(COMMIT, &[]).expect("commits");
            engine::run(copy.as_mut(), "DELETE FROM t WHERE a = 0").expect("deletes");
            let error = written.take().expect("a part").apply(copy.as_mut()).expect_err("differs");
            assert!(error.to_string().contains("changed 0 rows"), "{error}");
        }
    }

    #[test]
    fn a_part_of_many_transactions_is_applied_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut copy = connect(&folder, EngineKind::Sqlite, "b.db");
        let mut part = Part::default();
        let text = "x".repeat(TRANSACTION_BYTES / 3);
        for at in 0..10 {
            part.add(INSERT, &[at.into(), (&text).into()], 1);
        }
        part.apply(copy.as_mut()).expect("applies");
        assert_eq!(rows(copy.as_mut()).len(), 10);
    }

    #[test]
    fn a_journal_has_a_limit() {
        let mut journal = Journal::default();
        let bytes = vec![0; MAX_JOURNAL_BYTES - 4 * 8 - 1];
        journal.add(INSERT, &[Value::Blob(&bytes)], 1);
        assert!(!journal.is_overfull && journal.part.bytes() == MAX_JOURNAL_BYTES);
        journal.add(INSERT, &[], 1);
        assert!(journal.is_overfull && journal.part.bytes() == 0);
        let mut recorded = Recorded { inner: None, journal: Some(journal) };
        let error = recorded.take().err().expect("too much");
        assert!(matches!(error, Error::Overloaded { .. }), "{error}");
    }
}
