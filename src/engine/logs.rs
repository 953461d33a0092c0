//! The border by which others read what a stage printed. The engine itself never looks at logs.

use std::io;

use async_trait::async_trait;

use crate::model::{ExecutionId, StagePath};

/// A part of a stage's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The bytes, as the stage printed them; not necessarily whole lines or whole characters.
    pub bytes: Vec<u8>,
    /// The offset to go on from.
    pub next: u64,
    /// Whether nothing more will come: the attempt is over, and this reaches the end.
    pub end: bool,
}

/// Where the logs of stages are read.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// At most `max` bytes of an attempt's log from `offset` on. A log that doesn't exist (yet) is empty. Behind
    /// the end there's nothing either, and `next` is then the log's length, by which its tail is found.
    ///
    /// # Errors
    /// If the log is there and can't be read.
    async fn read(
        &self,
        id: ExecutionId,
        path: &StagePath,
        attempt: u32,
        offset: u64,
        max: usize,
    ) -> io::Result<LogChunk>;
}
