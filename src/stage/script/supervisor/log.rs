//! A log that never outgrows its limit, whatever a command prints.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::secret::{MaskStream, Masker};

/// The end of what was printed is where errors stand: this much of it is kept, however long the log is.
const TAIL: usize = 64 * 1024;

/// How often a log's folder is made before that counts as a failure.
const TRIES: u32 = 100;

/// Opens a log, in a folder that is made if it isn't there. Whoever sends another log of the execution on removes the
/// folder with the last one in it, and may do so at any moment.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut tries = 0;
    loop {
        match OpenOptions::new().create(true).append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
            opened => return opened,
        }
        match path.parent().map(fs::create_dir_all) {
            // It was there for a moment.
            Some(Err(error)) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
}

/// A log that never shows a secret: masked on the way in, so that no limit and no reader can come before.
pub(super) struct MaskedLog {
    log: BoundedLog,
    masks: MaskStream,
}

impl MaskedLog {
    pub(super) fn new(file: File, limit: u64, masker: &Masker) -> Self {
        Self { log: BoundedLog::new(file, limit), masks: masker.stream() }
    }

    /// Takes what the command printed.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.log.write(&self.masks.push(bytes));
    }

    /// Adds a line of Longboat's own.
    pub(super) fn note(&mut self, line: &str) {
        self.log.note(line);
    }

    /// See [`BoundedLog::finish`].
    pub(super) fn finish(self) -> Option<String> {
        let Self { mut log, masks } = self;
        log.write(&masks.finish());
        log.finish()
    }
}

/// Keeps the beginning of what is written to it in a file, as it comes, and at the end adds the last part.
struct BoundedLog {
    file: File,
    /// How many more bytes go straight to the file.
    room: u64,
    limit: u64,
    tail: VecDeque<u8>,
    tail_limit: usize,
    left_out: u64,
    ends_in_line: bool,
    error: Option<String>,
}

impl BoundedLog {
    fn new(file: File, limit: u64) -> Self {
        let tail_limit = TAIL.min(usize::try_from(limit / 4).unwrap_or(TAIL));
        Self {
            file,
            room: limit - tail_limit as u64,
            limit,
            tail: VecDeque::new(),
            tail_limit,
            left_out: 0,
            ends_in_line: true,
            error: None,
        }
    }

    /// Takes what the command printed. A full disk doesn't stop the command; see [`Self::finish`].
    fn write(&mut self, bytes: &[u8]) {
        let fits = usize::try_from(self.room).map_or(bytes.len(), |room| room.min(bytes.len()));
        let (head, rest) = bytes.split_at(fits);
        self.put(head);
        self.room -= head.len() as u64;
        if rest.is_empty() {
            return;
        }
        if self.tail.is_empty() && self.left_out == 0 {
            self.note(&format!(
                "the log has reached its limit of {} bytes; of what follows, only the end is kept",
                self.limit
            ));
        }
        self.keep_last(rest);
    }

    /// Adds a line of Longboat's own, which counts for no limit.
    fn note(&mut self, line: &str) {
        let start = if self.ends_in_line { "" } else { "\n" };
        self.put(format!("{start}[longboat] {line}\n").as_bytes());
    }

    /// Writes the end that was kept. Yields why some of the log is missing, if the disk refused it.
    fn finish(mut self) -> Option<String> {
        if self.left_out > 0 {
            self.note(&format!("{} bytes are left out here", self.left_out));
        }
        let tail = std::mem::take(&mut self.tail);
        let (front, back) = tail.as_slices();
        self.put(front);
        self.put(back);
        self.error
    }

    fn keep_last(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(self.tail_limit)..];
        let dropped = (self.tail.len() + kept.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..dropped);
        self.tail.extend(kept);
        self.left_out += (dropped + bytes.len() - kept.len()) as u64;
    }

    fn put(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.ends_in_line = *last == b'\n';
        if let Err(error) = self.file.write_all(bytes) {
            self.error.get_or_insert_with(|| describe(&error));
        }
    }
}

fn describe(error: &io::Error) -> String {
    format!("the log could not be written: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_opened_while_others_remove_its_folder() {
        let state = tempfile::tempdir().expect("a folder");
        for round in 0..50 {
            let folder = state.path().join(format!("logs/{round}"));
            let log = folder.join("build.1.log");
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // As after the last log was sent on; less often than it is tried.
                    let mut removals = TRIES / 2;
                    while removals > 0 && !log.exists() {
                        removals -= u32::from(fs::remove_dir(&folder).is_ok());
                    }
                });
                open(&log).expect("opened");
            });
            assert!(log.exists());
        }
    }

    fn logged(limit: u64, chunks: &[&[u8]]) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut log = BoundedLog::new(file.reopen().expect("opened"), limit);
        for chunk in chunks {
            log.write(chunk);
        }
        assert_eq!(log.finish(), None);
        fs::read_to_string(file.path()).expect("text")
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        assert_eq!(logged(100, &[b"one\n", b"two"]), "one\ntwo");
    }

    #[test]
    fn beyond_the_limit_the_beginning_and_the_end_are_kept() {
        let text = logged(40, &[b"0123456789", &[b'x'; 1000], b"the ", b"end\n"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("0123456789{}", "x".repeat(20)));
        assert!(lines[1].contains("limit of 40 bytes"), "{text}");
        assert_eq!(lines[2], "[longboat] 978 bytes are left out here");
        assert_eq!(lines[3], "xxthe end");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn a_log_just_over_its_first_part_loses_nothing() {
        let text = logged(40, &[&[b'a'; 30], &[b'b'; 10]]);
        assert!(text.ends_with("bbbbbbbbbb") && !text.contains("left out"), "{text}");
    }
}
