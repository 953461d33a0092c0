//! Reading rows into the domain's types, and writing documents; what can't be read says where it stands.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::StoreError;
use crate::clock::Timestamp;
use crate::model::Status;

/// The most bytes of one document or journal body.
pub(super) const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// A row of `table`, read column by column.
pub(super) struct Row<'a> {
    row: &'a AnyRow,
    table: &'static str,
}

impl<'a> Row<'a> {
    /// A row; `table` is only for messages.
    pub(super) fn of(table: &'static str, row: &'a AnyRow) -> Self {
        Self { row, table }
    }

    fn bad(&self, column: &str, reason: impl Display) -> StoreError {
        StoreError::corrupt(format!("column `{column}` of table `{}`", self.table), reason)
    }

    pub(super) fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.row.try_get(column).map_err(|error| self.bad(column, error))
    }

    pub(super) fn int_or_null(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.row.try_get(column).map_err(|error| self.bad(column, error))
    }

    /// A count; what doesn't fit becomes the largest.
    pub(super) fn count(&self, column: &str) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.int(column)?.max(0)).unwrap_or(u32::MAX))
    }

    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.row.try_get(column).map_err(|error| self.bad(column, error))
    }

    pub(super) fn text_or_null(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.row.try_get(column).map_err(|error| self.bad(column, error))
    }

    pub(super) fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.row.try_get(column).map_err(|error| self.bad(column, error))
    }

    pub(super) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_millis)
    }

    pub(super) fn time_or_null(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_or_null(column)?.map(Timestamp::from_millis))
    }

    /// A name or id.
    pub(super) fn id<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|error| self.bad(column, error))
    }

    pub(super) fn id_or_null<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let text = self.text_or_null(column)?;
        text.map(|text| text.parse().map_err(|error| self.bad(column, error))).transpose()
    }

    pub(super) fn status(&self, column: &str) -> Result<Status, StoreError> {
        let text = self.text(column)?;
        Status::parse(&text).ok_or_else(|| self.bad(column, format_args!("`{text}` is not a status")))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| self.bad(column, error))
    }

    pub(super) fn json_or_null<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let text = self.text_or_null(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.bad(column, error))).transpose()
    }
}

/// A value as the document that the store keeps, if it isn't too large.
pub(super) fn document<T: Serialize>(what: impl FnOnce() -> String, value: &T) -> Result<String, StoreError> {
    match serde_json::to_string(value) {
        Ok(text) => {
            check_size(what, &text)?;
            Ok(text)
        }
        Err(error) => Err(StoreError::Unwritable { what: what(), reason: error.to_string() }),
    }
}

/// Refuses a text that is too large.
pub(super) fn check_size(what: impl FnOnce() -> String, text: &str) -> Result<(), StoreError> {
    if text.len() <= MAX_DOCUMENT {
        return Ok(());
    }
    Err(StoreError::TooLarge { what: what(), size: text.len(), limit: MAX_DOCUMENT })
}
