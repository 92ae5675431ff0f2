//! A digest of what is stored: the same for the same content, whatever the engine and the order of rows.
//!
//! Each row is hashed alone, and the hashes are added as numbers of 256 bits: no row needs to be
//! remembered, and none has a place.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use super::table::{self, META, OWN};
use crate::api::dump::{DigestReport, TableDigest};
use crate::error::Result;
use crate::model::hex;
use crate::store::ReadTx;
use crate::store::engine::{self, Cell};
use crate::store::migrations::{self, recognise};

/// What is stored of a session, table by table: not counted where the session is being purged.
const OF_SESSION: [(&str, &str); 5] = [
    ("agent_sessions", "SELECT * FROM agent_sessions WHERE id = ?1"),
    ("agent_session_texts", "SELECT * FROM agent_session_texts WHERE session_id = ?1"),
    ("agent_messages", "SELECT * FROM agent_messages WHERE session_id = ?1"),
    ("agent_edits", "SELECT * FROM agent_edits WHERE session_id = ?1"),
    (
        "message_attachments",
        "SELECT a.* FROM agent_messages m JOIN message_attachments a ON a.message_id = m.id
        WHERE m.session_id = ?1",
    ),
];

/// Returns the digest of what is stored.
pub fn digest(tx: &mut ReadTx<'_>) -> Result<DigestReport> {
    let ours: BTreeSet<&str> = recognise::tables_of(migrations::CURRENT_VERSION).collect();
    let purging = table::purging(tx)?;
    let (mut tables, mut total) = (Vec::new(), Sha256::new());
    for name in tx.table_names()? {
        let (rows, sum) = of_table(tx, &name, &purging)?;
        let in_total = ours.contains(name.as_str()) && !OWN.contains(&name.as_str());
        if in_total {
            add_text(&mut total, &name);
            total.update(rows.to_le_bytes());
            total.update(sum.bytes());
        }
        tables.push(TableDigest { name, rows, digest: hex(&sum.bytes()), in_total });
    }
    Ok(DigestReport { total: hex(&total.finalize()), tables })
}

fn of_table(tx: &mut ReadTx<'_>, name: &str, purging: &BTreeSet<String>) -> Result<(u64, Sum)> {
    let quoted = engine::quoted(name);
    let mut columns = Vec::new();
    tx.each_made(&format!("PRAGMA table_info({quoted})"), |row| {
        row.cell()?;
        columns.push(row.text()?);
        Ok(ControlFlow::Continue(()))
    })?;
    let hasher = RowHasher::new(name, &columns);
    let (mut rows, mut sum) = (0, Sum::default());
    let all = if name == "meta" { META.to_owned() } else { format!("SELECT * FROM {quoted}") };
    tx.each_made(&all, |row| {
        sum.add(&hasher.hash(&table::cells(row, columns.len())?));
        rows += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    for (_, sql) in OF_SESSION.iter().filter(|(table, _)| *table == name) {
        for id in purging {
            tx.each(sql, &[id.into()], |row| {
                sum.take(&hasher.hash(&table::cells(row, columns.len())?));
                rows -= 1;
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    Ok((rows, sum))
}

/// Hashes the rows of a table, whose columns count in the order of their names.
struct RowHasher {
    start: Sha256,
    columns: Vec<(String, usize)>,
}

impl RowHasher {
    fn new(table: &str, columns: &[String]) -> Self {
        let mut start = Sha256::new();
        add_text(&mut start, table);
        let mut columns: Vec<(String, usize)> =
            columns.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        columns.sort();
        Self { start, columns }
    }

    fn hash(&self, cells: &[Cell]) -> [u8; 32] {
        let mut hash = self.start.clone();
        for (name, place) in &self.columns {
            add_text(&mut hash, name);
            // A type's letter, and a length where the value does not tell its own: no two rows are
            // written alike.
            match &cells[*place] {
                Cell::Null => hash.update(b"n"),
                Cell::Int(number) => {
                    hash.update(b"i");
                    hash.update(number.to_le_bytes());
                }
                Cell::Real(number) => {
                    hash.update(b"r");
                    hash.update(number.to_bits().to_le_bytes());
                }
                Cell::Text(text) => {
                    hash.update(b"t");
                    add_text(&mut hash, text);
                }
                Cell::Blob(bytes) => {
                    hash.update(b"b");
                    hash.update((bytes.len() as u64).to_le_bytes());
                    hash.update(bytes);
                }
            }
        }
        hash.finalize().into()
    }
}

fn add_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

/// A number of 256 bits that wraps around, its least part first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, hash: &[u8; 32]) {
        let mut carry = false;
        for (part, added) in self.0.iter_mut().zip(parts(hash)) {
            let (sum, first) = part.overflowing_add(added);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*part, carry) = (sum, first || second);
        }
    }

    fn take(&mut self, hash: &[u8; 32]) {
        let mut borrow = false;
        for (part, taken) in self.0.iter_mut().zip(parts(hash)) {
            let (rest, first) = part.overflowing_sub(taken);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            (*part, borrow) = (rest, first || second);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().rev().flat_map(|part| part.to_be_bytes()).collect()
    }
}

fn parts(hash: &[u8; 32]) -> impl Iterator<Item = u64> {
    let (parts, _) = hash.as_chunks::<8>();
    parts.iter().rev().map(|part| u64::from_be_bytes(*part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_wrap_and_forget_their_order() {
        let (mut one, mut most) = ([0; 32], [0xff; 32]);
        one[31] = 1;
        let mut sum = Sum::default();
        sum.add(&most);
        assert_eq!(hex(&sum.bytes()), "ff".repeat(32));
        sum.add(&one);
        assert_eq!(sum, Sum::default(), "it wraps");
        sum.take(&one);
        assert_eq!(hex(&sum.bytes()), "ff".repeat(32));
        most[0] = 0x7f;
        let (mut forth, mut back) = (Sum::default(), Sum::default());
        for hash in [one, most, [0x80; 32]] {
            forth.add(&hash);
        }
        for hash in [[0x80; 32], most, one] {
            back.add(&hash);
        }
        assert_eq!(forth, back);
        for hash in [most, one, [0x80; 32]] {
            back.take(&hash);
        }
        assert_eq!(back, Sum::default());
    }

    #[test]
    fn no_two_rows_are_hashed_alike() {
        let names = |names: [&str; 2]| names.map(str::to_owned);
        let hasher = RowHasher::new("t", &names(["a", "b"]));
        let text = |text: &str| Cell::Text(text.to_owned());
        let rows = [
            [Cell::Null, Cell::Null],
            [Cell::Int(1), Cell::Null],
            [Cell::Null, Cell::Int(1)],
            [text("1"), Cell::Null],
            [Cell::Real(1.0), Cell::Null],
            [Cell::Blob(b"1".to_vec()), Cell::Null],
            [text("ab"), text("c")],
            [text("a"), text("bc")],
            [text(""), text("")],
            [text("n"), text("")],
        ];
        let hashes: BTreeSet<[u8; 32]> = rows.iter().map(|row| hasher.hash(row)).collect();
        assert_eq!(hashes.len(), rows.len());
        // The order of the columns is no part of it, the table and the names are.
        let turned = RowHasher::new("t", &names(["b", "a"]));
        let (row, back) = ([text("x"), Cell::Int(7)], [Cell::Int(7), text("x")]);
        assert_eq!(hasher.hash(&row), turned.hash(&back));
        assert_ne!(hasher.hash(&row), RowHasher::new("u", &names(["a", "b"])).hash(&row));
        assert_ne!(hasher.hash(&row), RowHasher::new("t", &names(["a", "c"])).hash(&row));
    }
}
