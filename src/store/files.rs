//! Files of projects: a record each, found by its place below the project's folder.

use serde::Serialize;

use super::engine::{Row, Value};
use super::page::Page;
use super::prefix::prefix_end;
use super::{ReadTx, WriteTx, patch, projects};
use crate::api::Paged;
use crate::api::file::{FilePage, ListParams, Order, PathParams, TouchParams};
use crate::error::{Error, Result};
use crate::model::{Cursor, File, FilePath, FolderPath, Json, ProjectId, Topic, time};

macro_rules! columns {
    () => {
        "path_key, project_id, path, relative_path, language, size, hash, modified_at, opened_at,
        state, created_at, updated_at"
    };
}

const ONE: &str =
    concat!("SELECT ", columns!(), " FROM files WHERE project_id = ?1 AND path_key = ?2");

const SET: &str = "INSERT INTO files
        (project_id, path_key, path, relative_path, language, size, hash, modified_at, opened_at,
        state, created_at, updated_at, opened_in)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (project_id, path_key) DO UPDATE SET path = excluded.path,
        relative_path = excluded.relative_path, language = excluded.language, size = excluded.size,
        hash = excluded.hash, modified_at = excluded.modified_at, opened_at = excluded.opened_at,
        state = excluded.state, updated_at = excluded.updated_at, opened_in = excluded.opened_in";

const DELETE: &str = "DELETE FROM files WHERE project_id = ?1 AND path_key = ?2";

macro_rules! list {
    ($of:literal) => {
        concat!("SELECT ", columns!(), " FROM files WHERE ", $of)
    };
}

/// From a key on, which the first page has: the prefix is the least key that begins with it.
const FROM: &str = list!("project_id = ?1 AND path_key >= ?2 ORDER BY path_key LIMIT ?3");
const FROM_TO: &str =
    list!("project_id = ?1 AND path_key >= ?2 AND path_key < ?3 ORDER BY path_key LIMIT ?4");
/// Behind the key that the page before ended with.
const AFTER: &str = list!("project_id = ?1 AND path_key > ?2 ORDER BY path_key LIMIT ?3");
const AFTER_TO: &str =
    list!("project_id = ?1 AND path_key > ?2 AND path_key < ?3 ORDER BY path_key LIMIT ?4");

/// The others of the time that the page before ended with, then those of earlier times. With one
/// condition Turso would read all of that time again.
const OPENED_AT: &str = list!(
    "opened_in = ?1 AND opened_at = ?2 AND path_key < ?3
    ORDER BY opened_at DESC, path_key DESC LIMIT ?4"
);
const OPENED_BEFORE: &str =
    list!("opened_in = ?1 AND opened_at < ?2 ORDER BY opened_at DESC, path_key DESC LIMIT ?3");

const ALL: &str = "SELECT path_key, relative_path FROM files WHERE project_id = ?1";
const SET_KEY: &str = "UPDATE files SET path_key = ?3, relative_path = ?4
    WHERE project_id = ?1 AND path_key = ?2";

/// Makes the record of a file, or changes what the call names.
pub fn touch(tx: &mut WriteTx<'_>, params: &TouchParams) -> Result<File> {
    let place = place(tx, &params.project_id, &params.path)?;
    let stored = one(tx, &params.project_id, &place)?;
    let (now, is_new) = (time::now(), stored.is_none());
    let mut file = stored.unwrap_or_else(|| File {
        project_id: params.project_id.clone(),
        path: params.path.clone(),
        relative_path: place.relative.clone(),
        language: None,
        size: None,
        hash: None,
        modified_at: None,
        opened_at: None,
        state: None,
        created_at: now,
        updated_at: now,
    });
    // Time never runs back, even where the clock does: the list is sorted by it.
    let opened_now = file.opened_at.map_or(now, |opened_at| opened_at.max(now));
    let opened_at = if params.opened { Some(Some(opened_now)) } else { params.opened_at };
    let changes = [
        patch::set(&mut file.path, Some(&params.path)),
        patch::set(&mut file.relative_path, Some(&place.relative)),
        patch::set(&mut file.language, params.language.as_ref()),
        patch::set(&mut file.size, params.size.as_ref()),
        patch::set(&mut file.hash, params.hash.as_ref()),
        patch::set(&mut file.modified_at, params.modified_at.as_ref()),
        patch::set(&mut file.opened_at, opened_at.as_ref()),
        patch::set(&mut file.state, params.state.as_ref()),
    ];
    if !is_new && !changes.contains(&true) {
        return Ok(file);
    }
    file.updated_at = now;
    tx.execute_one(
        SET,
        &[
            file.project_id.as_str().into(),
            (&place.key).into(),
            (&file.path).into(),
            (&file.relative_path).into(),
            file.language.as_deref().into(),
            file.size.into(),
            file.hash.as_deref().into(),
            file.modified_at.into(),
            file.opened_at.into(),
            file.state.as_ref().map(Json::as_str).into(),
            file.created_at.into(),
            file.updated_at.into(),
            file.opened_at.map(|_| file.project_id.as_str()).into(),
        ],
    )?;
    changed(tx, Topic::FileTouched, &file.project_id, &file.relative_path)?;
    Ok(file)
}

/// Returns what is known of one file.
pub fn get(tx: &mut ReadTx<'_>, params: &PathParams) -> Result<File> {
    let place = place(tx, &params.project_id, &params.path)?;
    one(tx, &params.project_id, &place)?.ok_or_else(|| Error::not_found("file", &params.path))
}

/// Returns what is known of the file of a place.
pub(super) fn at(tx: &mut ReadTx<'_>, project_id: &ProjectId, relative_path: &str) -> Result<File> {
    let folder = projects::listed_path(tx, project_id)?;
    let place = FilePath::of_place(&folder, relative_path);
    one(tx, project_id, &place)?.ok_or_else(|| Error::not_found("file", relative_path))
}

/// Removes the record of a file, and returns whether there was one.
pub fn remove(tx: &mut WriteTx<'_>, params: &PathParams) -> Result<bool> {
    let place = place(tx, &params.project_id, &params.path)?;
    let Some(file) = one(tx, &params.project_id, &place)? else { return Ok(false) };
    tx.execute_one(DELETE, &[params.project_id.as_str().into(), (&place.key).into()])?;
    changed(tx, Topic::FileRemoved, &params.project_id, &file.relative_path)?;
    Ok(true)
}

/// Returns a page of files.
pub fn list(tx: &mut ReadTx<'_>, params: &ListParams) -> Result<FilePage> {
    let folder = projects::listed_path(tx, &params.project_id)?;
    let after = params.cursor.as_ref().map(Cursor::position);
    let project_id = Value::from(params.project_id.as_str());
    let mut page = Page::new(params.limit);
    let mut fill = |sql, mut values: Vec<_>| {
        values.insert(0, project_id);
        page.fill(tx, sql, values, read_keyed, size)
    };
    match params.order {
        Order::Path => {
            let prefix = params.prefix.as_deref().unwrap_or_default();
            let prefix = FilePath::key_prefix(&folder, prefix)
                .map_err(|problem| Error::invalid("prefix", problem))?;
            let end = prefix_end(&prefix);
            let (start, statements) = match &after {
                None => (&prefix, [FROM, FROM_TO]),
                Some((_, key)) => (key, [AFTER, AFTER_TO]),
            };
            match &end {
                None => fill(statements[0], vec![start.into()])?,
                Some(end) => fill(statements[1], vec![start.into(), end.into()])?,
            }
        }
        Order::Recent => {
            if let Some((opened_at, key)) = &after {
                fill(OPENED_AT, vec![(*opened_at).into(), key.into()])?;
            }
            let before = after.as_ref().map_or(i64::MAX, |(opened_at, _)| *opened_at);
            fill(OPENED_BEFORE, vec![before.into()])?;
        }
    }
    let next_cursor = page.end().map(|last| {
        let opened_at = match params.order {
            Order::Path => 0,
            Order::Recent => last.file.opened_at.unwrap_or_default(),
        };
        Cursor::after(params.list(), opened_at, &last.key)
    });
    Ok(FilePage { files: page.items.into_iter().map(|keyed| keyed.file).collect(), next_cursor })
}

/// Has the files of a project follow it to another folder.
///
/// Their places stay. Only between a folder of Unix and one of Windows they are compared otherwise,
/// and two that differ in case alone would be one file.
pub(super) fn follow(
    tx: &mut WriteTx<'_>,
    project_id: &ProjectId,
    from: &str,
    to: &str,
) -> Result<()> {
    let is_of_windows =
        |path| FolderPath::parse(path).is_ok_and(|folder: FolderPath<'_>| folder.is_of_windows());
    if is_of_windows(from) == is_of_windows(to) {
        return Ok(());
    }
    let id = Value::from(project_id.as_str());
    let mut places = Vec::new();
    for (old, relative) in tx.all(ALL, &[id], |row| Ok((row.text()?, row.text()?)))? {
        let place = FilePath::parse(to, &relative).map_err(|problem| {
            Error::conflict(
                "project",
                project_id,
                format!("cannot go there: its file {relative:?} {problem}"),
            )
        })?;
        places.push((place.key, place.relative, old));
    }
    places.sort();
    if let Some([(_, one, _), (_, other, _)]) =
        places.array_windows().find(|[(one, ..), (other, ..)]| one == other)
    {
        return Err(Error::conflict(
            "project",
            project_id,
            format!("cannot go there: its files {one:?} and {other:?} would be one"),
        ));
    }
    // A key of Unix may be the new one of another file: all leave before any arrives.
    let moves = || places.iter().filter(|(new, _, old)| new != old);
    let away = |new: &str| format!("\0{new}");
    for (new, relative, old) in moves() {
        tx.execute_one(SET_KEY, &[id, old.into(), (&away(new)).into(), relative.into()])?;
    }
    for (new, relative, _) in moves() {
        tx.execute_one(SET_KEY, &[id, (&away(new)).into(), new.into(), relative.into()])?;
    }
    Ok(())
}

/// Returns where a file is in a project on the list.
fn place(tx: &mut ReadTx<'_>, project_id: &ProjectId, path: &str) -> Result<FilePath> {
    let folder = projects::listed_path(tx, project_id)?;
    FilePath::parse(&folder, path).map_err(|problem| Error::invalid("path", problem))
}

fn one(tx: &mut ReadTx<'_>, project_id: &ProjectId, place: &FilePath) -> Result<Option<File>> {
    let params = [project_id.as_str().into(), (&place.key).into()];
    Ok(tx.first(ONE, &params, read_keyed)?.map(|keyed| keyed.file))
}

fn changed(tx: &mut WriteTx<'_>, topic: Topic, project_id: &ProjectId, path: &str) -> Result<()> {
    tx.changed(topic, path, None, Some(project_id.as_str()))
}

/// A file and the key of its place.
#[derive(Serialize)]
#[serde(transparent)]
struct Keyed {
    file: File,
    #[serde(skip)]
    key: String,
}

/// The bytes of a file's texts.
fn size(Keyed { file, .. }: &Keyed) -> usize {
    let optional =
        [file.language.as_deref(), file.hash.as_deref(), file.state.as_ref().map(Json::as_str)];
    let optional = optional.into_iter().flatten().map(str::len).sum::<usize>();
    file.path.len() + file.relative_path.len() + optional
}

fn read_keyed(row: &mut Row) -> Result<Keyed> {
    Ok(Keyed {
        key: row.text()?,
        file: File {
            project_id: super::stored(ProjectId::parse(row.text()?))?,
            path: row.text()?,
            relative_path: row.text()?,
            language: row.optional_text()?,
            size: row.optional_int()?,
            hash: row.optional_text()?,
            modified_at: row.optional_int()?,
            opened_at: row.optional_int()?,
            state: row.optional_text()?.map(|text| super::stored(Json::parse(text))).transpose()?,
            created_at: row.int()?,
            updated_at: row.int()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, StatementStatus, params};

    use super::*;
    use crate::config::EngineKind;
    use crate::store::{engine, migrations};

    const KEY: &str = "sqlite_autoindex_files_1 (project_id=? AND ";
    const OPENED: &str = "idx_files_opened (opened_in=? AND ";

    const STATEMENTS: [(&str, &str); 10] = [
        (ONE, KEY),
        (FROM, KEY),
        (FROM_TO, KEY),
        (AFTER, KEY),
        (AFTER_TO, KEY),
        (OPENED_AT, OPENED),
        (OPENED_BEFORE, OPENED),
        (ALL, "sqlite_autoindex_files_1 (project_id=?)"),
        (DELETE, KEY),
        (SET_KEY, KEY),
    ];

    /// A list that scans or sorts is slow only once there is much in it.
    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        migrations::on_each_engine(|kind, connection| {
            for (sql, index) in STATEMENTS {
                let plan = engine::query_plan(connection, sql);
                let [step] = plan.as_slice() else { panic!("{kind:?}: {sql}: {plan:?}") };
                let searches = step.starts_with("SEARCH files USING ");
                assert!(searches && step.contains(index), "{kind:?}: {sql}: {step}");
            }
        });
    }

    /// So many files in a hundred folders of one project, half of them opened, and two at a time; and as
    /// many of another project.
    fn files(count: i64) -> (tempfile::TempDir, Connection) {
        let (folder, made) = migrations::new_database(EngineKind::Sqlite);
        drop(made);
        let connection = Connection::open(folder.path().join("x.db")).expect("a database");
        connection
            .execute_batch(
                "INSERT INTO projects (id, name, path, path_key, created_at, opened_at)
                    VALUES ('p', 'p', '/p', '/p', 1, 1), ('q', 'q', '/q', '/q', 1, 1);
                BEGIN",
            )
            .expect("projects");
        for number in 0..count {
            for project in ["p", "q"] {
                let path = format!("{:02}/{number:06}.rs", number % 100);
                let opened_at = (number % 2 == 0).then_some(number / 4);
                connection
                    .execute(
                        "INSERT INTO files (project_id, path_key, path, relative_path, opened_at, opened_in, created_at, updated_at)
                        VALUES (?1, ?2, ?2, ?2, ?3, ?4, 1, 1)",
                        params![project, path, opened_at, opened_at.map(|_| project)],
                    )
                    .expect("inserts");
            }
        }
        connection.execute_batch("COMMIT").expect("commits");
        (folder, connection)
    }

    /// Returns how many rows a list gives and how many steps it takes.
    fn steps(connection: &Connection, sql: &str, values: &[rusqlite::types::Value]) -> (i32, i32) {
        let mut statement = connection.prepare(sql).expect("a statement");
        for (at, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, value).expect("binds");
        }
        let mut rows = 0;
        let mut found = statement.raw_query();
        while found.next().expect("a row").is_some() {
            rows += 1;
        }
        drop(found);
        (rows, statement.get_status(StatementStatus::VmStep))
    }

    #[test]
    fn a_list_takes_the_same_steps_among_100_000_files() {
        let ((_few, few), (_many, many)) = (files(1_000), files(100_000));
        let text = |text: &str| rusqlite::types::Value::from(text.to_owned());
        let int = |number: i64| rusqlite::types::Value::from(number);
        let page = int(11);
        for (sql, values, rows) in [
            // A folder of ten files there and of a thousand here; files of one name alone.
            (FROM_TO, vec![text("p"), text("42/"), text("420"), int(9)], 9),
            (FROM_TO, vec![text("p"), text("42/000142"), text("42/000143"), page.clone()], 1),
            (FROM_TO, vec![text("p"), text("none/"), text("none0"), page.clone()], 0),
            (AFTER_TO, vec![text("p"), text("42/000042.rs"), text("420"), int(8)], 8),
            (FROM, vec![text("p"), text(""), page.clone()], 11),
            (AFTER, vec![text("p"), text("42/000142.rs"), page.clone()], 11),
            (OPENED_BEFORE, vec![text("p"), int(i64::MAX), page.clone()], 11),
            (OPENED_BEFORE, vec![text("p"), int(200), page.clone()], 11),
            (OPENED_AT, vec![text("p"), int(200), text("02/000802.rs"), page], 1),
        ] {
            let (among_few, among_many) = (steps(&few, sql, &values), steps(&many, sql, &values));
            assert_eq!(among_few, among_many, "{sql}");
            assert_eq!(among_many.0, rows, "{sql}: {values:?}");
            assert!(among_many.1 < 40 * (rows + 1), "{sql}: {among_many:?}");
        }
    }
}
