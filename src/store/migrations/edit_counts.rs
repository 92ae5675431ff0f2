//! Step 6: the edits that each session has so far are counted.

use std::ops::ControlFlow;

use super::run_script;
use crate::error::Result;
use crate::store::engine::Connection;

const READ: &str = "SELECT session_id, COUNT(*) FROM agent_edits GROUP BY session_id";

const WRITE: &str = "UPDATE agent_sessions SET edit_count = ?2 WHERE id = ?1";

/// Adds the column of a script and fills it.
pub(super) fn run(connection: &mut dyn Connection, script: &str) -> Result<()> {
    run_script(connection, script)?;
    let mut counts = Vec::new();
    connection.run(READ, &mut |row| {
        counts.push((row.text()?, row.int()?));
        Ok(ControlFlow::Continue(()))
    })?;
    for (session_id, count) in counts {
        connection.execute(WRITE, &[(&session_id).into(), count.into()])?;
    }
    Ok(())
}
