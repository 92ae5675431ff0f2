//! What the store relies on in its engines, where they differ.

use std::ops::ControlFlow;

use aetherd::store::engine;

use crate::support::{ENGINES, Home};

/// Turso takes a query that was broken off for one that goes on, and makes no checkpoint beside it: the
/// log would not be folded into the file at the end, nor the file be compacted.
#[test]
fn a_query_that_was_broken_off_is_at_its_end() {
    for kind in ENGINES {
        let home = Home::new();
        let path = home.path().join("x.db");
        let engine = engine::open(kind, &path).expect("an engine");
        let mut connection = engine.connect().expect("a connection");
        for sql in ["CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2), (3)"] {
            engine::run(connection.as_mut(), sql).expect("is carried out");
        }
        for begin_and_end in [None, Some(["BEGIN", "COMMIT"])] {
            let mut run = |sql: &str| engine::run(connection.as_mut(), sql);
            begin_and_end.map_or(Ok(()), |[begin, _]| run(begin)).expect("begins");
            for _ in 0..2 {
                let mut read = Vec::new();
                connection
                    .query("SELECT a FROM t ORDER BY a", &[], &mut |row| {
                        read.push(row.int()?);
                        let is_enough = read.len() == 2;
                        Ok(if is_enough {
                            ControlFlow::Break(())
                        } else {
                            ControlFlow::Continue(())
                        })
                    })
                    .expect("reads");
                assert_eq!(read, [1, 2], "{kind:?}");
            }
            let mut run = |sql: &str| engine::run(connection.as_mut(), sql);
            begin_and_end.map_or(Ok(()), |[_, end]| run(end)).expect("ends");
            run("INSERT INTO t VALUES (4)").expect("writes");
            run("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint is made");
            let log = std::fs::metadata(home.path().join("x.db-wal")).expect("a log");
            assert_eq!(log.len(), 0, "{kind:?}");
        }
    }
}
