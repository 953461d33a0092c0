//! Reading logs that any replica may have.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::ship::text_of;
use super::{END, LOST, Leaving, SharedStore, Shelf};
use crate::engine::{LogChunk, LogSource};
use crate::model::{ExecutionId, StagePath};
use crate::stage::files::log_name;
use crate::stage::logs::{Logs, whole_characters};

/// How many logs that have ended are remembered, so that a page needn't ask for their pieces again.
const REMEMBERED: usize = 256;

/// Logs of all replicas: a log that is still on its way from this node is read where it is, all others in the store.
pub struct SharedLogs {
    own: Logs,
    store: Arc<dyn SharedStore>,
    ended: Mutex<HashMap<Shelf, Listed>>,
}

/// The pieces of a log.
type Listed = Arc<Vec<(String, u64)>>;

impl SharedLogs {
    /// The logs in that store, and on their way to it.
    pub fn new(own: Logs, store: Arc<dyn SharedStore>) -> Self {
        Self { own, store, ended: Mutex::default() }
    }

    async fn list(&self, shelf: &Shelf) -> io::Result<Listed> {
        if let Some(known) = self.ended.lock().unwrap_or_else(PoisonError::into_inner).get(shelf) {
            return Ok(known.clone());
        }
        let listed = Arc::new(self.store.list(shelf).await?);
        if has(&listed, END) {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            if ended.len() >= REMEMBERED {
                ended.clear();
            }
            ended.insert(shelf.clone(), listed.clone());
        }
        Ok(listed)
    }
}

fn has(listed: &[(String, u64)], name: &str) -> bool {
    listed.iter().any(|(there, _)| there == name)
}

#[async_trait]
impl LogSource for SharedLogs {
    /// A chunk ends with a whole character, unless the log itself ends within one.
    async fn read(
        &self,
        id: ExecutionId,
        path: &StagePath,
        attempt: u32,
        offset: u64,
        max: usize,
    ) -> io::Result<LogChunk> {
        let own = self.own.read(id, path, attempt, offset, max).await?;
        // Nothing of it is here, or not any more.
        if own.next > 0 {
            return Ok(own);
        }
        let shelf = Shelf { of: Leaving::Log, execution: id, name: log_name(path, attempt) };
        let listed = self.list(&shelf).await?;
        let (length, pieces) = text_of(&listed);
        let offset = offset.min(length);
        let last = offset.saturating_add(max as u64).min(length);
        let mut bytes = Vec::new();
        for (name, start, size) in pieces {
            if start + size <= offset || start >= last {
                continue;
            }
            let Some(piece) = self.store.get(&shelf, name).await? else {
                // Retention was faster.
                return Ok(LogChunk { bytes: Vec::new(), next: 0, end: false });
            };
            // It may have grown since it was listed; the next chunk brings that.
            let within = |at: u64| usize::try_from(at.saturating_sub(start).min(size)).unwrap_or(0).min(piece.len());
            bytes.extend_from_slice(&piece[within(offset)..within(last)]);
        }
        whole_characters(&mut bytes);
        let next = offset + bytes.len() as u64;
        let ended = has(&listed, END) || has(&listed, LOST);
        Ok(LogChunk { bytes, next, end: ended && next >= length })
    }
}
