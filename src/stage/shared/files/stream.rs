//! The stream that saved files become, and the files that it becomes again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Take, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::stage::saved::Manifest;

/// The longest line before a file; paths have 4096 bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// What stands before a file's bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// In hexadecimal digits, because a path need not be text.
    path: String,
    bytes: u64,
    executable: bool,
}

/// Makes the stream, a piece at a time.
pub(super) struct Packer {
    root: PathBuf,
    left: std::vec::IntoIter<PathBuf>,
    file: Option<Take<File>>,
    size: usize,
    digest: Sha256,
}

impl Packer {
    /// Of all files below `root`, in pieces of `size` bytes.
    pub(super) fn new(root: PathBuf, size: usize) -> io::Result<Self> {
        let mut files = Vec::new();
        collect(&root, &root, &mut files)?;
        files.sort_unstable();
        Ok(Self { root, left: files.into_iter(), file: None, size, digest: Sha256::new() })
    }

    /// The next piece; nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::new();
        while piece.len() < self.size {
            if let Some(file) = &mut self.file {
                let room = (self.size - piece.len()) as u64;
                if file.by_ref().take(room).read_to_end(&mut piece)? == 0 {
                    if file.limit() > 0 {
                        return Err(io::Error::other("a saved file has become shorter"));
                    }
                    self.file = None;
                }
            } else if let Some(path) = self.left.next() {
                let file = File::open(self.root.join(&path))?;
                let metadata = file.metadata()?;
                let head = Head {
                    path: hex::encode(path.as_os_str().as_bytes()),
                    bytes: metadata.len(),
                    executable: metadata.permissions().mode() & 0o100 != 0,
                };
                piece.extend(serde_json::to_vec(&head).map_err(io::Error::other)?);
                piece.push(b'\n');
                self.file = Some(file.take(metadata.len()));
            } else {
                break;
            }
        }
        self.digest.update(&piece);
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// The digest of all pieces so far.
    pub(super) fn digest(self) -> String {
        hex::encode(self.digest.finalize())
    }
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(root, &entry.path(), found)?;
        } else {
            let path = entry.path();
            found.push(path.strip_prefix(root).map_err(io::Error::other)?.to_owned());
        }
    }
    Ok(())
}

/// Makes files of the stream again, in a folder of its own, and no more of them than were promised.
pub(super) struct Unpacker {
    root: PathBuf,
    line: Vec<u8>,
    file: Option<(File, u64)>,
    files_left: usize,
    bytes_left: u64,
    digest: Sha256,
}

impl Unpacker {
    /// Into an empty folder.
    pub(super) fn new(root: PathBuf, promised: &Manifest) -> Self {
        let (files_left, bytes_left) = (promised.files, promised.bytes);
        Self { root, line: Vec::new(), file: None, files_left, bytes_left, digest: Sha256::new() }
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> io::Result<()> {
        self.digest.update(piece);
        while !piece.is_empty() {
            if let Some((file, left)) = &mut self.file {
                let (own, rest) =
                    piece.split_at(usize::try_from(*left).map_or(piece.len(), |left| left.min(piece.len())));
                file.write_all(own)?;
                *left -= own.len() as u64;
                piece = rest;
                if *left == 0 {
                    self.file = None;
                }
                continue;
            }
            let Some(end) = piece.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(piece);
                return if self.line.len() > LONGEST_LINE { Err(damaged("a line is too long")) } else { Ok(()) };
            };
            self.line.extend_from_slice(&piece[..end]);
            piece = &piece[end + 1..];
            let head =
                serde_json::from_slice(&std::mem::take(&mut self.line)).map_err(|_| damaged("a line can't be read"))?;
            self.begin(&head)?;
        }
        Ok(())
    }

    fn begin(&mut self, head: &Head) -> io::Result<()> {
        let bytes = hex::decode(&head.path).map_err(|_| damaged("a path can't be read"))?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(damaged("a path leads out of its folder"));
        }
        if self.files_left == 0 || head.bytes > self.bytes_left {
            return Err(damaged("there is more than was saved"));
        }
        self.files_left -= 1;
        self.bytes_left -= head.bytes;
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = if head.executable { 0o755 } else { 0o644 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        self.file = (head.bytes > 0).then_some((file, head.bytes));
        Ok(())
    }

    /// Whether it was all, and what was sent.
    pub(super) fn finish(self, sha256: &str) -> io::Result<()> {
        let whole = self.line.is_empty() && self.file.is_none() && self.files_left == 0 && self.bytes_left == 0;
        if whole && hex::encode(self.digest.finalize()) == sha256 {
            return Ok(());
        }
        Err(damaged("it is not what was sent"))
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("what the shared store has of them is damaged: {what}"))
}
