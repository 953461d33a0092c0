//! What stages leave for all replicas to find: logs and saved files, in a store that every replica reaches.
//!
//! Without such a store (`logs.store: files`), they are files below the state folder and nothing else. With one, the
//! files are where they are made, and on their way:
//! - A script's log is a file that its supervisor writes, masked. [`Shipper`] sends it on in pieces while it grows, and
//!   removes it when all of it has arrived. What a crash kept from being sent is sent by the next start.
//! - Saved files are sent before their stage succeeds (`files`).
//!
//! A piece is only ever replaced by one that begins with the same bytes, so sending one twice changes nothing.

mod files;
#[cfg(test)]
pub(super) mod memory;
mod read;
mod ship;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;

use async_trait::async_trait;

use crate::model::ExecutionId;
#[cfg(test)]
use files::Fetched;
pub(super) use files::{fetch, send};
pub use read::SharedLogs;
pub use ship::Shipper;

/// What is kept on a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leaving {
    /// The log of an attempt.
    Log,
    /// The files that a stage saved.
    Files,
}

impl Leaving {
    /// The word for it in names and paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "logs",
            Self::Files => "files",
        }
    }
}

/// A place for pieces that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shelf {
    /// What is kept on it.
    pub of: Leaving,
    /// The execution.
    pub execution: ExecutionId,
    /// Its name among those of the execution: letters, digits, and `.`, `_`, `-`, `%`, `~`.
    pub name: String,
}

/// How a store wants to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The most bytes of a piece of a log. The last piece is written anew each time that the log has grown.
    pub log_piece: usize,
    /// The most bytes of a piece of saved files.
    pub file_piece: usize,
    /// The most bytes that one stage may save in it.
    pub saved: u64,
}

/// A store that every replica reaches. Each call is bounded in time and tries again by itself what may pass soon.
#[async_trait]
pub trait SharedStore: Send + Sync + 'static {
    /// How it wants to be used.
    fn sizes(&self) -> Sizes;

    /// Writes a piece, in place of what had its name; durable when it returns. Names have letters, digits and `-`.
    ///
    /// # Errors
    /// If it can't be reached or refuses.
    async fn put(&self, shelf: &Shelf, name: &str, bytes: Vec<u8>) -> io::Result<()>;

    /// A piece; nothing if there is none of that name.
    ///
    /// # Errors
    /// As [`SharedStore::put`].
    async fn get(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// The names and sizes of the pieces on a shelf, in the order of names.
    ///
    /// # Errors
    /// As [`SharedStore::put`].
    async fn list(&self, shelf: &Shelf) -> io::Result<Vec<(String, u64)>>;

    /// Removes all that an execution left of a kind.
    ///
    /// # Errors
    /// As [`SharedStore::put`]; what is left can be removed by another call.
    async fn remove(&self, of: Leaving, execution: ExecutionId) -> io::Result<()>;

    /// The executions that left something of a kind, after one of them, in the order of their ids; none: no more.
    ///
    /// # Errors
    /// As [`SharedStore::put`].
    async fn executions(&self, of: Leaving, after: Option<ExecutionId>) -> io::Result<Vec<ExecutionId>>;
}

/// The name of a numbered piece; names rise with numbers.
fn numbered(number: usize) -> String {
    format!("{number:08}")
}

/// The piece that says that no more of a log will come.
const END: &str = "end";
/// The piece that says that the node with the rest of a log is gone; it may come back with more.
const LOST: &str = "lost";

/// Whether a piece of a log is part of its text.
fn is_text(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Adds the executions that left something of a kind to those that are known.
pub(super) async fn all_executions(
    store: &dyn SharedStore,
    of: Leaving,
    known: &mut Vec<ExecutionId>,
) -> io::Result<()> {
    let mut all: HashSet<ExecutionId> = known.iter().copied().collect();
    let mut after = None;
    loop {
        let page = store.executions(of, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        known.extend(page.into_iter().filter(|id| all.insert(*id)));
    }
}
