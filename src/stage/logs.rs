//! Reading what scripts printed, also while they still print.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::files::{attempt_dir, blocking, executions_in, log_file, logs_dir, remove};
use super::script::is_over;
use super::shared::{self, Leaving, SharedStore};
use crate::engine::{LogChunk, LogSource};
use crate::model::{ExecutionId, StagePath};

/// The logs of scripts, one per attempt, under the state folder.
#[derive(Debug, Clone)]
pub struct Logs {
    state_dir: PathBuf,
}

impl Logs {
    /// The logs under that state folder.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self { state_dir: state_dir.into() }
    }

    /// The length of an attempt's log in bytes; `None` if it has none (yet).
    ///
    /// # Errors
    /// If the file system doesn't say.
    pub fn size(&self, id: ExecutionId, path: &StagePath, attempt: u32) -> io::Result<Option<u64>> {
        match std::fs::metadata(log_file(&self.state_dir, id, path, attempt)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            metadata => metadata.map(|metadata| Some(metadata.len())),
        }
    }
}

#[async_trait]
impl LogSource for Logs {
    async fn read(
        &self,
        id: ExecutionId,
        path: &StagePath,
        attempt: u32,
        offset: u64,
        max: usize,
    ) -> io::Result<LogChunk> {
        let (logs, path) = (self.clone(), path.clone());
        blocking(move || logs.read_now(id, &path, attempt, offset, max)).await
    }
}

impl Logs {
    /// [`LogSource::read`], where blocking is allowed. A chunk ends with a whole character, unless the log itself ends
    /// within one.
    ///
    /// # Errors
    /// If the log is there and can't be read.
    pub fn read_now(
        &self,
        id: ExecutionId,
        path: &StagePath,
        attempt: u32,
        offset: u64,
        max: usize,
    ) -> io::Result<LogChunk> {
        let mut file = match File::open(log_file(&self.state_dir, id, path, attempt)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LogChunk { bytes: Vec::new(), next: 0, end: false });
            }
            file => file?,
        };
        // Asked before the file is read: what is over by then has printed everything.
        let over = is_over(&attempt_dir(&self.state_dir, id, path, attempt))?;
        // Whoever asks for what lies behind the end learns where the end is.
        let offset = offset.min(file.metadata()?.len());
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.by_ref().take(max as u64).read_to_end(&mut bytes)?;
        whole_characters(&mut bytes);
        let next = offset + bytes.len() as u64;
        let end = over && next >= file.metadata()?.len();
        Ok(LogChunk { bytes, next, end })
    }
}

/// The executions of which logs are kept, on this node or in the store.
///
/// # Errors
/// If the folder can't be listed, or the store fails.
pub async fn logged_executions(state_dir: &Path, store: Option<&dyn SharedStore>) -> io::Result<Vec<ExecutionId>> {
    let root = logs_dir(state_dir);
    let mut all = blocking(move || Ok(executions_in(&root)?.into_iter().map(|(id, _)| id).collect())).await?;
    if let Some(store) = store {
        shared::all_executions(store, Leaving::Log, &mut all).await?;
    }
    Ok(all)
}

/// Removes all logs of an execution, from this node and the store.
///
/// # Errors
/// If something can't be removed.
pub async fn remove_logs(state_dir: &Path, store: Option<&dyn SharedStore>, execution: ExecutionId) -> io::Result<()> {
    let dir = logs_dir(state_dir).join(execution.to_string());
    blocking(move || remove(&dir)).await?;
    match store {
        Some(store) => store.remove(Leaving::Log, execution).await,
        None => Ok(()),
    }
}

/// Leaves a character at the end that isn't complete to the next chunk, unless there is nothing else.
pub(super) fn whole_characters(bytes: &mut Vec<u8>) {
    let whole = bytes.len() - cut_character(bytes);
    if whole > 0 {
        bytes.truncate(whole);
    }
}

/// How many bytes at the end belong to a character that isn't complete.
fn cut_character(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let length = match bytes[bytes.len() - back] {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return if length > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_log_is_read_in_pieces_of_whole_characters() {
        let state = tempfile::tempdir().expect("a folder");
        let (logs, id) = (Logs::new(state.path()), ExecutionId::generate());
        let path = StagePath::parse("build/a").expect("a path");
        let nothing = LogChunk { bytes: vec![], next: 0, end: false };
        assert_eq!(logs.read_now(id, &path, 1, 7, 10).expect("read"), nothing);
        assert_eq!(logs.size(id, &path, 1).expect("asked"), None);

        let file = log_file(state.path(), id, &path, 1);
        fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        fs::write(&file, "grün und 🛶").expect("written");
        assert_eq!(logs.size(id, &path, 1).expect("asked"), Some(14));
        let (mut text, mut offset, mut end) = (String::new(), 0, false);
        while !end {
            let chunk = logs.read_now(id, &path, 1, offset, 5).expect("read");
            assert!(!chunk.bytes.is_empty(), "every piece brings something");
            text.push_str(&String::from_utf8(chunk.bytes).expect("whole characters"));
            (offset, end) = (chunk.next, chunk.end);
        }
        assert_eq!(text, "grün und 🛶");
        for beyond in [14, 100, u64::MAX] {
            let chunk = logs.read_now(id, &path, 1, beyond, 5).expect("read");
            assert_eq!(chunk, LogChunk { bytes: vec![], next: 14, end: true }, "{beyond}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_not_held_back() {
        assert_eq!(cut_character(b"a\xff"), 0);
        assert_eq!(cut_character(b"\x80\x80\x80\x80"), 0);
        assert_eq!(cut_character("a€".as_bytes()), 0);
        assert_eq!(cut_character(b"a\xe2\x82"), 2);
    }
}
