//! Moving everything between two databases, of whatever kind: out into a file, and from a file into a database that
//! is empty.
//!
//! The file is text, one JSON value a line, so that it can be read, searched and compressed with common tools:
//!
//! ```text
//! {"longboat":"export","format":1,"step":4}
//! {"table":"counter","columns":["name","value"]}
//! ["execution",17]
//! {"end":"counter","rows":4}
//! ...
//! {"tables":14,"rows":1234,"sha256":"..."}
//! ```
//!
//! `step` is the last migration of the database that it came from; a later version of Longboat takes it as well, and
//! brings the tables up to date afterwards. Which tables there are is asked from the database, so a table that a
//! migration adds is carried without anybody thinking of it. Rows stand in the order of their primary key: equal
//! databases give equal files. The digest is that of all lines before the last. Memory holds one piece of rows at a
//! time, whatever the size of the database.

mod export;
mod file;
mod import;
mod tables;
#[cfg(test)]
mod tests;

pub use export::export;
pub use import::import;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// How many tables.
    pub tables: u64,
    /// How many rows.
    pub rows: u64,
    /// The digest of the file's lines, in hexadecimal digits.
    pub sha256: String,
}

/// Called from time to time with a table's name and how many of its rows are done.
pub type Progress<'a> = &'a mut (dyn FnMut(&str, u64) + Send);

/// How often progress is told.
const TELL_EVERY: u64 = 50_000;
