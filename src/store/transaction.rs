//! What store functions are given: a snapshot to read, or the writer's open transaction.
//!
//! Neither begins nor commits. The types say what a function may do.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::backup::{self, Backup, HeldFiles, Reason, Target};
use super::engine::{self, Cell, Connection, Row, Value};
use crate::config::EngineKind;
use crate::error::{Error, Result};
use crate::model::{Millis, Seq, time};

/// The longest pause between two parts of a backup.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A snapshot that can be read.
pub struct ReadTx<'a> {
    connection: &'a mut dyn Connection,
    is_sound: bool,
}

impl<'a> ReadTx<'a> {
    pub(super) fn new(connection: &'a mut dyn Connection) -> Self {
        Self { connection, is_sound: true }
    }

    /// Runs a query and hands on each row until told to stop.
    pub fn each(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        mut each: impl FnMut(&mut Row) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.connection.query(sql, params, &mut each)
    }

    /// Runs a query and collects its rows.
    pub fn all<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        mut read: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(sql, params, |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Runs a query of at most one row.
    pub fn first<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        mut read: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut found = None;
        self.each(sql, params, |row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Runs a query whose text is made of the names of tables, and is not kept.
    pub(super) fn each_made(
        &mut self,
        sql: &str,
        mut each: impl FnMut(&mut Row) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.connection.run(sql, &mut each)
    }

    /// Returns the names of the tables that are not the engine's own.
    pub(super) fn table_names(&mut self) -> Result<Vec<String>> {
        backup::table_names(self.connection)
    }

    /// Returns the number that a PRAGMA gives. It is prepared each time: Turso puts what it is then into
    /// the statement.
    pub(super) fn pragma(&mut self, sql: &'static str) -> Result<i64> {
        match engine::scalar(self.connection, sql)? {
            Some(Cell::Int(number)) => Ok(number),
            other => Err(Error::Internal(format!("{sql} gave {other:?}"))),
        }
    }

    /// Has the engine check the whole file.
    ///
    /// Where it panics over what it reads, that is a problem that was found; the connection is not
    /// used again then.
    pub fn integrity_problems(&mut self) -> Result<Vec<String>> {
        let check = AssertUnwindSafe(|| engine::integrity_problems(self.connection));
        catch_unwind(check).unwrap_or_else(|_| {
            self.is_sound = false;
            Ok(vec!["the engine panicked over what it read; the log says where".to_owned()])
        })
    }

    /// Writes a verified copy of what it sees, and leaves others their turns at the disk.
    pub(super) fn back_up(
        &mut self,
        database: &Path,
        held: &HeldFiles,
        engine: EngineKind,
        target: &Target,
        reason: Reason,
    ) -> Result<Backup> {
        let mut turn = Instant::now();
        backup::write(self.connection, database, held, engine, target, reason, &mut |_| {
            // As long as it took.
            std::thread::sleep(turn.elapsed().min(LONGEST_PAUSE));
            turn = Instant::now();
            Ok(())
        })
    }

    /// False where the connection may be half way through something.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound
    }
}

/// The writer's open transaction: all a snapshot can do, and changes.
pub struct WriteTx<'a> {
    read: ReadTx<'a>,
    changed: bool,
    written_bytes: usize,
    /// The number of the last change; `None` where changes are not written.
    last_seq: Option<Seq>,
    leaves_purging: bool,
}

impl<'a> WriteTx<'a> {
    /// Returns a transaction whose changes go on from the number of the last one.
    pub(super) fn new(connection: &'a mut dyn Connection, last_seq: Option<Seq>) -> Self {
        Self {
            read: ReadTx::new(connection),
            changed: false,
            written_bytes: 0,
            last_seq,
            leaves_purging: false,
        }
    }

    /// Runs a statement that changes rows, and returns how many.
    pub fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        self.changed = true;
        self.written_bytes += params.iter().map(Value::bytes).sum::<usize>();
        self.read.connection.execute(sql, params)
    }

    /// Runs a statement that must change exactly one row.
    pub fn execute_one(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<()> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            count => Err(Error::Internal(format!("a statement changed {count} rows instead of 1"))),
        }
    }

    /// Returns the number and the time of a change that is added now.
    pub(super) fn next_change(&mut self) -> Option<(Seq, Millis)> {
        let seq = self.last_seq.as_mut()?;
        *seq += 1;
        Some((*seq, time::now()))
    }

    /// The number of the last change.
    pub(super) fn last_seq(&self) -> Option<Seq> {
        self.last_seq
    }

    /// Has the writer go on with a purge between other writes.
    pub(super) fn leave_purging(&mut self) {
        self.leaves_purging = true;
    }

    /// True where a purge is to go on.
    pub(super) fn leaves_purging(&self) -> bool {
        self.leaves_purging
    }

    /// Counts what a statement changes beside the bytes that are bound to it.
    pub(super) fn add_written(&mut self, bytes: usize) {
        self.written_bytes += bytes;
    }

    /// The bytes that were bound to statements which change rows, and those counted beside them.
    pub(super) fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    /// True where a statement that changes rows was tried.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }
}

impl<'a> std::ops::Deref for WriteTx<'a> {
    type Target = ReadTx<'a>;

    fn deref(&self) -> &ReadTx<'a> {
        &self.read
    }
}

impl std::ops::DerefMut for WriteTx<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.read
    }
}
