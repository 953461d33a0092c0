//! The file: lines written under a digest, and read back under a bound.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::tables::{Kind, Table};
use crate::store::StoreError;
use crate::store::rows::MAX_DOCUMENT;

/// The version of the file's form.
pub(super) const FORMAT: u32 = 1;
/// The longest line: a row with a few of the largest documents, every letter of them escaped.
const MAX_LINE: u64 = 16 * MAX_DOCUMENT as u64;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) longboat: String,
    pub(super) format: u32,
    /// The last step of the database's migrations.
    pub(super) step: i64,
}

/// The other lines that are no rows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Mark {
    Table { table: String, columns: Vec<String> },
    End { end: String, rows: u64 },
    Whole { tables: u64, rows: u64, sha256: String },
}

/// One row as a line has it.
pub(super) fn row(row: &AnyRow, table: &Table) -> Result<Value, StoreError> {
    let bad = |column: &str, error: &sqlx::Error| {
        StoreError::corrupt(format!("column `{column}` of table `{}`", table.name), error)
    };
    let values = table.columns.iter().enumerate().map(|(place, column)| {
        let value = match column.kind {
            Kind::Text => row.try_get::<Option<String>, _>(place).map(|text| text.map(Value::from)),
            Kind::Integer => row.try_get::<Option<i64>, _>(place).map(|number| number.map(Value::from)),
            // As text, which keeps every bit.
            Kind::Double => {
                row.try_get::<Option<f64>, _>(place).map(|number| number.map(|number| Value::from(number.to_string())))
            }
            Kind::Bytes => {
                row.try_get::<Option<Vec<u8>>, _>(place).map(|bytes| bytes.map(|bytes| STANDARD.encode(bytes).into()))
            }
        };
        value.map(|value| value.unwrap_or(Value::Null)).map_err(|error| bad(&column.name, &error))
    });
    Ok(Value::Array(values.collect::<Result<_, _>>()?))
}

/// A value of a line, ready to be bound.
pub(super) enum Cell {
    Text(Option<String>),
    Integer(Option<i64>),
    Double(Option<f64>),
    Bytes(Option<Vec<u8>>),
}

impl Cell {
    /// `None`: it is no value of that kind.
    pub(super) fn read(value: Value, kind: Kind) -> Option<Self> {
        if value.is_null() {
            return Some(match kind {
                Kind::Text => Self::Text(None),
                Kind::Integer => Self::Integer(None),
                Kind::Double => Self::Double(None),
                Kind::Bytes => Self::Bytes(None),
            });
        }
        match (kind, value) {
            (Kind::Text, Value::String(text)) => Some(Self::Text(Some(text))),
            (Kind::Integer, Value::Number(number)) => Some(Self::Integer(Some(number.as_i64()?))),
            (Kind::Double, Value::String(text)) => Some(Self::Double(Some(text.parse().ok()?))),
            (Kind::Bytes, Value::String(text)) => Some(Self::Bytes(Some(STANDARD.decode(text).ok()?))),
            _ => None,
        }
    }
}

/// The file while it is written: beside its place, readable for its owner alone, and moved there when it is whole.
pub(super) struct Writing {
    out: BufWriter<File>,
    digest: Sha256,
    place: PathBuf,
    beside: PathBuf,
}

impl Writing {
    /// Refuses a place where something is already.
    pub(super) fn begin(place: &Path) -> Result<Self, StoreError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let io = |source| StoreError::Io { path: place.to_owned(), source: Arc::new(source) };
        if place.symlink_metadata().is_ok() {
            return Err(io(std::io::Error::from(std::io::ErrorKind::AlreadyExists)));
        }
        let mut beside = place.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(io)?;
        Ok(Self {
            out: BufWriter::with_capacity(1 << 20, file),
            digest: Sha256::new(),
            place: place.to_owned(),
            beside,
        })
    }

    /// Adds a line.
    pub(super) fn line(&mut self, value: &impl Serialize) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(value).map_err(|error| self.io(error.into()))?;
        line.push(b'\n');
        self.digest.update(&line);
        self.out.write_all(&line).map_err(|error| self.io(error))
    }

    /// The digest of all lines so far.
    pub(super) fn digest(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// Puts the file in its place, safe from a power cut.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        let done = self
            .out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&self.beside, &self.place));
        done.map_err(|error| self.io(error))
    }

    fn io(&self, source: std::io::Error) -> StoreError {
        StoreError::Io { path: self.place.clone(), source: Arc::new(source) }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // What is not whole is of no use; after `finish` there is nothing left.
        let _ = std::fs::remove_file(&self.beside).is_ok();
    }
}

/// The file while it is read.
pub(super) struct Reading {
    input: BufReader<File>,
    digest: Sha256,
    path: PathBuf,
    number: u64,
}

impl Reading {
    pub(super) fn begin(path: &Path) -> Result<Self, StoreError> {
        let file =
            File::open(path).map_err(|source| StoreError::Io { path: path.to_owned(), source: Arc::new(source) })?;
        Ok(Self {
            input: BufReader::with_capacity(1 << 20, file),
            digest: Sha256::new(),
            path: path.to_owned(),
            number: 0,
        })
    }

    /// The next line, and the digest of all before it; a file that ends before its last mark is cut off.
    pub(super) fn line(&mut self) -> Result<(Value, Sha256), StoreError> {
        let before = self.digest.clone();
        let mut line = Vec::new();
        let read = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        read.map_err(|source| StoreError::Io { path: self.path.clone(), source: Arc::new(source) })?;
        self.number += 1;
        if line.last() != Some(&b'\n') {
            let what = if line.len() as u64 == MAX_LINE { "the line is too long" } else { "the file is cut off here" };
            return Err(self.bad(what));
        }
        self.digest.update(&line);
        let value = serde_json::from_slice(&line).map_err(|error| self.bad(error))?;
        Ok((value, before))
    }

    /// Whether there is nothing after what was read.
    pub(super) fn ends(&mut self) -> bool {
        self.input.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// An error about the line that was read last.
    pub(super) fn bad(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::BadExport { path: self.path.clone(), line: self.number, reason: reason.to_string() }
    }
}
