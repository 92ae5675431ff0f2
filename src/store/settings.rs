//! Settings: one value a key and scope; a project's value wins over the user's.

use super::engine::Row;
use super::page::Page;
use super::prefix::prefix_end;
use super::{ReadTx, WriteTx, projects};
use crate::api::Paged;
use crate::api::settings::{KeyParams, ListParams, SetManyParams, SetParams, SettingPage};
use crate::error::{Error, Result};
use crate::model::record::ScopeKind;
use crate::model::{Cursor, Json, ProjectId, Setting, Topic, time};

/// The scope of the user's own settings. A project's is `project:` and its id.
const USER: &str = "user";

const SET: &str = "INSERT INTO settings (scope, key, value, updated_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";

const ONE: &str = "SELECT key, value, updated_at FROM settings WHERE scope = ?1 AND key = ?2";

const LIST: &str = "SELECT key, value, updated_at FROM settings
    WHERE scope = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)
    ORDER BY key LIMIT ?4";

const LIST_ON: &str = "SELECT key, value, updated_at FROM settings
    WHERE scope = ?1 AND key > ?2 AND (?3 IS NULL OR key < ?3)
    ORDER BY key LIMIT ?4";

const DELETE: &str = "DELETE FROM settings WHERE scope = ?1 AND key = ?2";

/// Sets one key.
pub fn set(tx: &mut WriteTx<'_>, params: &SetParams) -> Result<Setting> {
    let scope = existing_scope(tx, params.project_id.as_ref())?;
    let now = time::now();
    tx.execute(
        SET,
        &[(&scope).into(), (&params.key).into(), params.value.as_str().into(), now.into()],
    )?;
    changed(tx, Topic::SettingChanged, &params.key, params.project_id.as_ref())?;
    Ok(Setting {
        key: params.key.clone(),
        value: params.value.clone(),
        resolved: Some(kind_of(params.project_id.as_ref())),
        updated_at: Some(now),
    })
}

/// Sets several keys.
pub fn set_many(tx: &mut WriteTx<'_>, params: &SetManyParams) -> Result<u64> {
    let scope = existing_scope(tx, params.project_id.as_ref())?;
    let now = time::now();
    for entry in &params.entries {
        tx.execute(
            SET,
            &[(&scope).into(), (&entry.key).into(), entry.value.as_str().into(), now.into()],
        )?;
        changed(tx, Topic::SettingChanged, &entry.key, params.project_id.as_ref())?;
    }
    Ok(params.entries.len() as u64)
}

/// Returns the value that applies.
pub fn get(tx: &mut ReadTx<'_>, params: &KeyParams) -> Result<Setting> {
    let project = match &params.project_id {
        Some(id) => {
            let scope = existing_scope(tx, Some(id))?;
            one(tx, &scope, &params.key, ScopeKind::Project)?
        }
        None => None,
    };
    let found = match project {
        Some(setting) => Some(setting),
        None => one(tx, USER, &params.key, ScopeKind::User)?,
    };
    match found {
        Some(setting) => Ok(setting),
        None => Ok(Setting {
            key: params.key.clone(),
            value: super::stored(Json::parse("null".to_owned()))?,
            resolved: None,
            updated_at: None,
        }),
    }
}

/// Takes a key out of one scope, and returns whether it was there.
pub fn delete(tx: &mut WriteTx<'_>, params: &KeyParams) -> Result<bool> {
    let scope = existing_scope(tx, params.project_id.as_ref())?;
    let deleted = tx.execute(DELETE, &[(&scope).into(), (&params.key).into()])? > 0;
    if deleted {
        changed(tx, Topic::SettingDeleted, &params.key, params.project_id.as_ref())?;
    }
    Ok(deleted)
}

/// Tells of a setting in its own scope: the project's, or the user's where there is none.
fn changed(
    tx: &mut WriteTx<'_>,
    topic: Topic,
    key: &str,
    project_id: Option<&ProjectId>,
) -> Result<()> {
    tx.changed(topic, key, None, project_id.map(ProjectId::as_str))
}

/// Returns a page of the settings that apply.
pub fn list(tx: &mut ReadTx<'_>, params: &ListParams) -> Result<SettingPage> {
    let wanted = params.limit as usize;
    let user = scope_page(tx, USER, params, ScopeKind::User)?;
    let (mut settings, mut more) = (user.items, user.has_more);
    if params.project_id.is_some() {
        let scope = existing_scope(tx, params.project_id.as_ref())?;
        let own = scope_page(tx, &scope, params, ScopeKind::Project)?;
        // Behind the end of a part that goes on, the other part's keys are for a later page.
        let user_end = settings.last().filter(|_| more).map(|last| last.key.clone());
        let own_end = own.end().map(|last| last.key.clone());
        let end = [user_end, own_end].into_iter().flatten().min();
        settings.retain(|user| own.items.iter().all(|project| project.key != user.key));
        more |= own.has_more;
        settings.extend(own.items);
        settings.sort_by(|one, other| one.key.cmp(&other.key));
        settings.retain(|setting| end.as_ref().is_none_or(|end| setting.key <= *end));
    }
    more |= settings.len() > wanted;
    settings.truncate(wanted);
    let next_cursor =
        settings.last().filter(|_| more).map(|last| Cursor::after(params.list(), 0, &last.key));
    Ok(SettingPage { settings, next_cursor })
}

/// Returns the value that one scope has.
pub(super) fn in_scope(
    tx: &mut ReadTx<'_>,
    project_id: Option<&ProjectId>,
    key: &str,
) -> Result<Option<Setting>> {
    one(tx, &scope_of(project_id), key, kind_of(project_id))
}

fn one(tx: &mut ReadTx<'_>, scope: &str, key: &str, kind: ScopeKind) -> Result<Option<Setting>> {
    tx.first(ONE, &[scope.into(), key.into()], |row| read_setting(row, kind))
}

/// Returns one scope's part of a page.
fn scope_page(
    tx: &mut ReadTx<'_>,
    scope: &str,
    params: &ListParams,
    kind: ScopeKind,
) -> Result<Page<Setting>> {
    let prefix = params.prefix.as_deref().unwrap_or_default();
    let after = params.cursor.as_ref().map(|cursor| cursor.position().1);
    // The first page has the prefix alone, so that an older file's empty key is listed too.
    let (sql, start) = match after.as_deref().filter(|after| *after >= prefix) {
        None => (LIST, prefix),
        Some(after) => (LIST_ON, after),
    };
    let end = prefix_end(prefix);
    let values = vec![scope.into(), start.into(), end.as_deref().into()];
    let size = |setting: &Setting| setting.key.len() + setting.value.as_str().len();
    let mut page = if params.project_id.is_some() {
        Page::half(params.limit)
    } else {
        Page::new(params.limit)
    };
    page.fill(tx, sql, values, |row| read_setting(row, kind), size)?;
    Ok(page)
}

fn scope_of(project_id: Option<&ProjectId>) -> String {
    project_id.map_or_else(|| USER.to_owned(), |id| format!("project:{id}"))
}

fn kind_of(project_id: Option<&ProjectId>) -> ScopeKind {
    if project_id.is_some() { ScopeKind::Project } else { ScopeKind::User }
}

/// Returns a scope, whose project must exist: on a wrong id no value is the user's by mistake.
fn existing_scope(tx: &mut ReadTx<'_>, project_id: Option<&ProjectId>) -> Result<String> {
    if let Some(id) = project_id {
        projects::require(tx, id)?;
    }
    Ok(scope_of(project_id))
}

fn read_setting(row: &mut Row, kind: ScopeKind) -> Result<Setting> {
    Ok(Setting {
        key: row.text()?,
        value: Json::parse(row.text()?)
            .map_err(|error| Error::Damaged(format!("a setting is not JSON: {error}")))?,
        resolved: Some(kind),
        updated_at: Some(row.int()?),
    })
}
