//! `settings.*`: any JSON value by dotted key, the user's own or one project's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::Result;
use crate::model::limits::{MAX_NAME_BYTES, MAX_PAGE_ITEMS, MAX_SET_MANY};
use crate::model::{Cursor, Json, ProjectId, Setting};

/// Params of `settings.get` and `settings.delete`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyParams {
    /// The dotted key.
    pub key: String,
    /// The project; the user's own scope where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

impl Check for KeyParams {
    fn check(&self) -> Result<()> {
        check::name("key", &self.key, MAX_NAME_BYTES)
    }
}

/// Params of `settings.set`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetParams {
    /// The dotted key.
    pub key: String,
    /// Any JSON value.
    pub value: Json,
    /// The project; the user's own scope where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

impl Check for SetParams {
    fn check(&self) -> Result<()> {
        check::name("key", &self.key, MAX_NAME_BYTES)?;
        check::json("value", self.value.as_str())
    }
}

/// One key and its value.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The dotted key.
    pub key: String,
    /// Any JSON value.
    pub value: Json,
}

/// Params of `settings.set_many`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetManyParams {
    /// The settings; of a key that is named twice the last stands.
    pub entries: Vec<Entry>,
    /// The project; the user's own scope where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

impl Check for SetManyParams {
    fn check(&self) -> Result<()> {
        check::count("entries", self.entries.len(), MAX_SET_MANY)?;
        for (at, entry) in self.entries.iter().enumerate() {
            check::name(&format!("entries[{at}].key"), &entry.key, MAX_NAME_BYTES)?;
            check::json(&format!("entries[{at}].value"), entry.value.as_str())?;
        }
        Ok(())
    }
}

/// What `settings.set_many` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetCount {
    /// How many settings were set.
    pub set: u64,
}

/// What `settings.delete` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedSetting {
    /// True where the key was set in that scope.
    pub deleted: bool,
}

/// Params of `settings.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// The project whose values win over the user's; the user's own alone where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Only keys that start with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

paged!(ListParams, List);

impl Check for ListParams {
    fn check(&self) -> Result<()> {
        check::optional_size("prefix", self.prefix.as_ref(), MAX_NAME_BYTES)?;
        self.check_page()
    }
}

/// A page of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingPage {
    /// The settings as they apply, by key.
    pub settings: Vec<Setting>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<Cursor>,
}

method! {
    /// Sets one key in one scope.
    Set = "settings.set", Write, SetParams => Setting,
    errors: [NotFound, TooLarge],
    example: r#"{"key": "editor.fontSize", "value": 14}"# => r#"{
        "key": "editor.fontSize", "value": 14, "resolved": "user", "updated_at": 1764000000000
    }"#,
}

method! {
    /// Sets several keys in one scope: all of them, or none.
    SetMany = "settings.set_many", Write, SetManyParams => SetCount,
    errors: [NotFound, TooLarge],
    example: r#"{
        "entries": [
            {"key": "editor.fontSize", "value": 16},
            {"key": "files.exclude", "value": {"**/.git": true}}
        ],
        "project_id": "prj-1"
    }"# => r#"{"set": 2}"#,
}

method! {
    /// Gives the value that applies: the project's where it is set, else the user's.
    ///
    /// `resolved` tells which scope answered; it is null, like the value, where neither has the key.
    Get = "settings.get", Read, KeyParams => Setting,
    errors: [NotFound, TooLarge],
    example: r#"{"key": "editor.fontSize", "project_id": "prj-1"}"# => r#"{
        "key": "editor.fontSize", "value": 16, "resolved": "project", "updated_at": 1764000000000
    }"#,
}

method! {
    /// Lists the settings that apply, by key.
    List = "settings.list", Read, ListParams => SettingPage,
    errors: [NotFound, TooLarge],
    example: r#"{"prefix": "editor."}"# => r#"{
        "settings": [{
            "key": "editor.fontSize", "value": 14, "resolved": "user", "updated_at": 1764000000000
        }],
        "next_cursor": null
    }"#,
}

method! {
    /// Takes a key out of one scope.
    Delete = "settings.delete", Write, KeyParams => DeletedSetting,
    errors: [NotFound, TooLarge],
    example: r#"{"key": "editor.fontSize"}"# => r#"{"deleted": true}"#,
}
