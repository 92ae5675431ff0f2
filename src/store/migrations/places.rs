//! Step 7: the projects that are there get the keys by which another case of their path is found.

use std::ops::ControlFlow;

use super::run_script;
use crate::error::Result;
use crate::model::path::without_case;
use crate::store::engine::Connection;

const READ: &str = "SELECT id, path_key FROM projects";
const WRITE: &str = "UPDATE projects SET path_without_case = ?2 WHERE id = ?1";

/// Makes the tables and columns of a script and fills them.
pub(super) fn run(connection: &mut dyn Connection, script: &str) -> Result<()> {
    run_script(connection, script)?;
    let mut projects = Vec::new();
    connection.run(READ, &mut |row| {
        projects.push((row.text()?, row.text()?));
        Ok(ControlFlow::Continue(()))
    })?;
    for (id, path_key) in projects {
        let key = without_case(&path_key);
        connection.execute(WRITE, &[(&id).into(), (&key).into()])?;
    }
    Ok(())
}
