//! Reads a line of an export: strictly, so that nothing of it is lost in silence.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::check;
use super::table::{self, Column, ColumnType, Kind, Table, Tables};
use crate::api::dump::Footer;
use crate::store::engine::Cell;

/// A line of an export.
#[derive(Debug)]
pub enum Line {
    /// A record.
    Record(Record),
    /// The end.
    Footer(Footer),
}

/// A record as its line has it.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its type.
    pub kind: &'static Kind,
    /// Its columns, as the table has them.
    pub(super) cells: Vec<Cell>,
    /// Those of its part, where it has one.
    pub(super) part: Option<Vec<Cell>>,
}

/// What is wrong with a line.
#[derive(Debug)]
pub struct Bad {
    /// The record's type, where it is known: then the line is a record that cannot be stored.
    pub kind: Option<&'static Kind>,
    /// The record's id, where it is known.
    pub id: Option<String>,
    /// Why.
    pub reason: String,
}

impl Line {
    /// Reads a line.
    pub fn parse(tables: &Tables, line: &[u8]) -> Result<Self, Bad> {
        let unreadable = |reason: String| Bad { kind: None, id: None, reason };
        let members: Members<'_> = serde_json::from_slice(line)
            .map_err(|error| unreadable(format!("is no JSON object: {error}")))?;
        let word = members.get("type").map(text);
        let Some(Ok(word)) = word else {
            return Err(unreadable("has no type".to_owned()));
        };
        if word == "footer" {
            return serde_json::from_slice(line)
                .map(Self::Footer)
                .map_err(|error| unreadable(format!("is no footer: {error}")));
        }
        let Some(kind) = table::kind(&word) else {
            return Err(unreadable(format!("is of a type that is not known: {word:?}")));
        };
        record(tables, kind, &members).map(Self::Record).map_err(|reason| {
            let ids =
                kind.keys.iter().map(|key| members.get(key).and_then(|value| text(value).ok()));
            let id: Option<Vec<String>> = ids.collect();
            Bad { kind: Some(kind), id: id.map(|ids| ids.join(" ")), reason }
        })
    }
}

impl Record {
    /// Returns its id, in words: of a record with two keys both of them.
    pub fn id(&self, tables: &Tables) -> String {
        let ids: Vec<&str> =
            self.kind.keys.iter().filter_map(|key| self.text(tables, key)).collect();
        ids.join(" ")
    }

    /// Returns the text of a column; `None` where it has none.
    pub fn text(&self, tables: &Tables, column: &str) -> Option<&str> {
        match self.cell(tables, column) {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number of a column; `None` where it has none.
    pub(super) fn int(&self, tables: &Tables, column: &str) -> Option<i64> {
        match self.cell(tables, column) {
            Cell::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn cell(&self, tables: &Tables, column: &str) -> &Cell {
        let place = tables.of(self.kind).place(column);
        place.map_or(&Cell::Null, |place| &self.cells[place])
    }
}

fn record(tables: &Tables, kind: &'static Kind, members: &Members<'_>) -> Result<Record, String> {
    let member_of_part = kind.part.as_ref().map(|part| part.member);
    let own = members
        .0
        .iter()
        .filter(|(name, _)| *name != "type" && Some(name.as_ref()) != member_of_part);
    let cells = cells(tables.of(kind), own, None)?;
    let mut record = Record { kind, cells, part: None };
    if let Some(part) = &kind.part {
        let value = members.get(part.member).map_or("null", |value| value.get());
        let members: Option<Members<'_>> = serde_json::from_str(value)
            .map_err(|error| format!("{}: expected an object or null: {error}", part.member))?;
        if let Some(members) = members {
            let key = record.cell(tables, kind.keys[0]).clone();
            let columns = cells_of_part(tables, part, &members, key);
            let columns = columns.map_err(|problem| format!("{}.{problem}", part.member))?;
            record.part = Some(columns);
        }
    }
    check::check(tables, &record)?;
    Ok(record)
}

fn cells_of_part(
    tables: &Tables,
    part: &table::Part,
    members: &Members<'_>,
    key: Cell,
) -> Result<Vec<Cell>, String> {
    cells(tables.of_part(part), members.0.iter(), Some((part.key, key)))
}

/// Returns the values of a table's columns, one of which may be given beside the members.
fn cells<'a>(
    table: &Table,
    members: impl Iterator<Item = &'a (Cow<'a, str>, &'a RawValue)>,
    given: Option<(&str, Cell)>,
) -> Result<Vec<Cell>, String> {
    let mut found: Vec<Option<Cell>> = vec![None; table.columns.len()];
    if let Some((place, cell)) = given.and_then(|(name, cell)| Some((table.place(name)?, cell))) {
        found[place] = Some(cell);
    }
    for (name, value) in members {
        let Some(place) = table.place(name) else {
            return Err(format!("{name}: unknown field"));
        };
        let slot = &mut found[place];
        if slot.is_some() {
            return Err(format!("{name}: is there twice"));
        }
        let cell = cell(&table.columns[place], value);
        *slot = Some(cell.map_err(|problem| format!("{name}: {problem}"))?);
    }
    found
        .into_iter()
        .zip(&table.columns)
        .map(|(cell, column)| {
            let cell = cell.or_else(|| column.default.clone());
            cell.ok_or_else(|| format!("{}: is missing", column.name))
        })
        .collect()
}

fn cell(column: &Column, value: &RawValue) -> Result<Cell, String> {
    let json = value.get();
    if json == "null" {
        return if column.is_nullable { Ok(Cell::Null) } else { Err("is null".to_owned()) };
    }
    match column.holds {
        ColumnType::Int => {
            json.parse().map(Cell::Int).map_err(|_| "expected a whole number of 64 bits".to_owned())
        }
        ColumnType::Text => text(value).map(Cell::Text),
        ColumnType::Blob => {
            let base64 = text(value)?;
            BASE64
                .decode(base64.as_bytes())
                .map(Cell::Blob)
                .map_err(|error| format!("is no base64: {error}"))
        }
    }
}

fn text(value: &RawValue) -> Result<String, String> {
    if !value.get().starts_with('"') {
        return Err("expected a text".to_owned());
    }
    serde_json::from_str(value.get()).map_err(|error| format!("is no text: {error}"))
}

/// The members of an object, none of which is there twice, in their order and as they are written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }
}

/// A member's name, borrowed where it is written without escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(16);
                while let Some((Name(name), value)) =
                    map.next_entry::<Name<'de>, &'de RawValue>()?
                {
                    if members.iter().any(|(member, _)| *member == name) {
                        return Err(serde::de::Error::custom(format!("{name} is there twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
