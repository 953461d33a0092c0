//! A shared store in memory, for tests, that can be made to fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::{Leaving, SharedStore, Shelf, Sizes};
use crate::model::ExecutionId;

/// What is kept, by kind, execution, shelf and name.
type Pieces = BTreeMap<(&'static str, ExecutionId, String, String), Vec<u8>>;

/// Pieces of 8 bytes of logs and 64 of files; 1000 bytes may be saved.
#[derive(Default)]
pub(in crate::stage) struct InMemory {
    pieces: Mutex<Pieces>,
    pub(in crate::stage) broken: AtomicBool,
    pub(in crate::stage) puts: AtomicUsize,
    /// How often it was asked for something and did not answer.
    pub(in crate::stage) refused: AtomicUsize,
}

impl InMemory {
    fn pieces(&self) -> io::Result<MutexGuard<'_, Pieces>> {
        if self.broken.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::other("no route"));
        }
        Ok(self.pieces.lock().expect("no panic while it is held"))
    }

    /// Changes pieces that are there.
    pub(in crate::stage) fn change(&self, mut change: impl FnMut(&str, &mut Vec<u8>)) {
        let mut pieces = self.pieces.lock().expect("no panic while it is held");
        pieces.iter_mut().for_each(|((.., name), bytes)| change(name, bytes));
    }
}

#[async_trait]
impl SharedStore for InMemory {
    fn sizes(&self) -> Sizes {
        Sizes { log_piece: 8, file_piece: 64, saved: 1000 }
    }

    async fn put(&self, shelf: &Shelf, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        let key = (shelf.of.as_str(), shelf.execution, shelf.name.clone(), name.to_owned());
        self.pieces()?.insert(key, bytes);
        Ok(())
    }

    async fn get(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Vec<u8>>> {
        let key = (shelf.of.as_str(), shelf.execution, shelf.name.clone(), name.to_owned());
        Ok(self.pieces()?.get(&key).cloned())
    }

    async fn list(&self, shelf: &Shelf) -> io::Result<Vec<(String, u64)>> {
        let pieces = self.pieces()?;
        let here = pieces.iter().filter(|((of, execution, name, _), _)| {
            (*of, *execution, name.as_str()) == (shelf.of.as_str(), shelf.execution, shelf.name.as_str())
        });
        Ok(here.map(|((.., name), bytes)| (name.clone(), bytes.len() as u64)).collect())
    }

    async fn remove(&self, of: Leaving, execution: ExecutionId) -> io::Result<()> {
        self.pieces()?.retain(|(kind, id, ..), _| (*kind, *id) != (of.as_str(), execution));
        Ok(())
    }

    async fn executions(&self, of: Leaving, after: Option<ExecutionId>) -> io::Result<Vec<ExecutionId>> {
        let mut found: Vec<_> = self.pieces()?.keys().filter(|key| key.0 == of.as_str()).map(|key| key.1).collect();
        found.dedup();
        found.retain(|id| after.is_none_or(|after| id.to_string() > after.to_string()));
        Ok(found)
    }
}
