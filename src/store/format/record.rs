//! Takes a record apart into its cells (SQLite file format, section 2.1). Trusts nothing.

use crate::store::engine::Cell;

/// Returns a record's cells; `None` where it is not whole, or is more than it says.
pub(in crate::store) fn decode(payload: &[u8]) -> Option<Vec<Cell>> {
    let (header_bytes, first) = varint(payload)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let header = payload.get(..header_bytes)?;
    let (mut at, mut content) = (first, &payload[header_bytes..]);
    let mut cells = Vec::new();
    while at < header.len() {
        let (kind, length) = varint(&header[at..])?;
        at += length;
        let (cell, rest) = value(kind, content)?;
        cells.push(cell);
        content = rest;
    }
    content.is_empty().then_some(cells)
}

/// Returns a variable-length integer and its length in bytes.
pub(in crate::store) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    Some((number << 8 | u64::from(*bytes.get(8)?), 9))
}

/// Returns the value of a serial type, and what follows it.
fn value(kind: u64, content: &[u8]) -> Option<(Cell, &[u8])> {
    let bytes = match kind {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(kind).ok()?,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        _ => usize::try_from((kind - 12) / 2).ok()?,
    };
    let (value, rest) = content.split_at_checked(bytes)?;
    let cell = match kind {
        0 => Cell::Null,
        1..=6 => Cell::Int(integer(value)),
        7 => Cell::Real(f64::from_be_bytes(value.try_into().ok()?)),
        8 => Cell::Int(0),
        9 => Cell::Int(1),
        _ if kind.is_multiple_of(2) => Cell::Blob(value.to_vec()),
        _ => Cell::Text(String::from_utf8(value.to_vec()).ok()?),
    };
    Some((cell, rest))
}

/// Returns a big-endian integer of up to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let blob = [0xff, 0x00];
        let record = [
            &[13, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17][..],
            &[0xfe],
            &[0x01, 0x00],
            &[0xff, 0xff, 0xfd],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0x80, 0, 0, 0, 0, 0],
            &i64::MIN.to_be_bytes(),
            &1.5f64.to_be_bytes(),
            &blob,
            "é".as_bytes(),
        ]
        .concat();
        let expected = [
            Cell::Null,
            Cell::Int(-2),
            Cell::Int(256),
            Cell::Int(-3),
            Cell::Int(i64::from(i32::MAX)),
            Cell::Int(-(1 << 47)),
            Cell::Int(i64::MIN),
            Cell::Real(1.5),
            Cell::Int(0),
            Cell::Int(1),
            Cell::Blob(blob.to_vec()),
            Cell::Text("é".to_owned()),
        ];
        assert_eq!(decode(&record).as_deref(), Some(&expected[..]));
        // Cut short, or longer than it says, it is none.
        for length in 0..record.len() {
            assert_eq!(decode(&record[..length]), None, "{length}");
        }
        assert_eq!(decode(&[&record[..], &[0]].concat()), None);
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [&[][..], &[2, 10], &[2, 11], &[3, 0x80], &[2, 15, 0xff], &[0xff; 9]] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_varint_has_nine_bytes_at_most() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0xff; 10]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0xff; 8]), None);
        assert_eq!(varint(&[]), None);
    }
}
