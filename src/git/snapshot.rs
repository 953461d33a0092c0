//! The files of one commit, read from the object database.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

use super::{Changed, GitError, history};
use crate::model::CommitSha;

/// The most entries that one listing yields.
const MAX_ENTRIES: usize = 50_000;
/// The deepest folder that is looked into.
const MAX_DEPTH: usize = 32;

/// What a path of a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file; reading it can work.
    File,
    /// A symbolic link. Reading it says that it is not followed.
    SymbolicLink,
    /// A submodule. Reading it says that it is not followed.
    Submodule,
}

/// A path of a commit that is no folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// The path inside the repository, with `/`. Bytes that aren't UTF-8 are U+FFFD; reading such a path says
    /// so.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size in bytes; 0 for a submodule.
    pub size: u64,
}

/// The files of one commit. Sizes are known before anything is read, and nothing leads out of the commit.
pub struct Snapshot {
    repository: Mutex<Repository>,
    dir: PathBuf,
    commit: CommitSha,
    tree: Oid,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Snapshot").field("dir", &self.dir).field("commit", &self.commit).finish_non_exhaustive()
    }
}

/// Where a path leads.
enum Found<'r> {
    Nothing,
    Folder(Tree<'r>),
    File(Oid),
}

impl Snapshot {
    pub(super) fn new(repository: Repository, dir: &Path, commit: &CommitSha) -> Result<Self, GitError> {
        let tree = history::find(&repository, dir, commit)?.tree_id();
        Ok(Self { repository: Mutex::new(repository), dir: dir.to_owned(), commit: commit.clone(), tree })
    }

    /// The files of a commit in a mirror's folder, for a process that only reads: nothing is made or repaired.
    ///
    /// # Errors
    /// If the mirror doesn't have the commit or can't be read.
    pub fn open(dir: &Path, commit: &CommitSha) -> Result<Self, GitError> {
        Self::new(super::mirror::open(dir)?, dir, commit)
    }

    /// The commit.
    pub fn commit(&self) -> &CommitSha {
        &self.commit
    }

    /// The paths in which this commit differs from an earlier one of the same mirror.
    ///
    /// # Errors
    /// If the mirror can't be read.
    pub fn changed_since(&self, earlier: &Self) -> Result<Changed, GitError> {
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        history::changed_paths(&repository, &self.dir, Some(&earlier.commit), &self.commit)
    }

    /// Everything below a folder, sorted by path; the empty path is the whole commit. Empty if there is no
    /// such folder.
    ///
    /// # Errors
    /// If the path leads outside, the folder holds too much, or the mirror can't be read.
    pub fn list(&self, dir: &str) -> Result<Vec<SnapshotEntry>, GitError> {
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        let root = repository.find_tree(self.tree).map_err(GitError::reading(&self.dir))?;
        let mut found = Vec::new();
        if dir.is_empty() {
            self.walk(&repository, &root, "", 0, &mut found)?;
        } else if let Found::Folder(tree) = self.resolve(&repository, root, dir)? {
            self.walk(&repository, &tree, dir, 0, &mut found)?;
        }
        found.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(found)
    }

    /// The bytes of a file of at most `max` bytes; nothing if there is no file at that path.
    ///
    /// # Errors
    /// If the path leads outside or through a link or submodule, the file is larger, or the mirror can't be
    /// read.
    pub fn read(&self, path: &str, max: u64) -> Result<Option<Vec<u8>>, GitError> {
        let failed = GitError::reading(&self.dir);
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        let root = repository.find_tree(self.tree).map_err(&failed)?;
        let id = match self.resolve(&repository, root, path)? {
            Found::File(id) => id,
            Found::Nothing if path.contains(char::REPLACEMENT_CHARACTER) => {
                return Err(GitError::NameNotUtf8(path.to_owned()));
            }
            Found::Nothing | Found::Folder(_) => return Ok(None),
        };
        let size = self.size(&repository, id)?;
        if size > max {
            return Err(GitError::TooLarge { path: path.to_owned(), size, max });
        }
        let blob = repository.find_blob(id).map_err(&failed)?;
        Ok(Some(blob.content().to_vec()))
    }

    fn size(&self, repository: &Repository, id: Oid) -> Result<u64, GitError> {
        let header = repository.odb().and_then(|odb| odb.read_header(id)).map_err(GitError::reading(&self.dir))?;
        Ok(header.0 as u64)
    }

    /// Follows a path part by part, so that no part of it is a link.
    fn resolve<'r>(&self, repository: &'r Repository, root: Tree<'r>, path: &str) -> Result<Found<'r>, GitError> {
        check_path(path)?;
        let mut tree = root;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let Some((id, kind)) = tree.get_name_bytes(part.as_bytes()).map(|entry| (entry.id(), kind_of(&entry)))
            else {
                return Ok(Found::Nothing);
            };
            match kind {
                None => tree = repository.find_tree(id).map_err(GitError::reading(&self.dir))?,
                Some(EntryKind::SymbolicLink) => return Err(GitError::SymbolicLink(path.to_owned())),
                Some(EntryKind::Submodule) => return Err(GitError::Submodule(path.to_owned())),
                Some(EntryKind::File) if parts.peek().is_none() => return Ok(Found::File(id)),
                Some(EntryKind::File) => return Ok(Found::Nothing),
            }
        }
        Ok(Found::Folder(tree))
    }

    fn walk(
        &self,
        repository: &Repository,
        tree: &Tree<'_>,
        dir: &str,
        depth: usize,
        found: &mut Vec<SnapshotEntry>,
    ) -> Result<(), GitError> {
        let too_many = |max| GitError::TooMany { what: format!("the folder `{dir}`"), max };
        for entry in tree {
            let name = String::from_utf8_lossy(entry.name_bytes());
            let path = if dir.is_empty() { name.into_owned() } else { format!("{dir}/{name}") };
            match kind_of(&entry) {
                None if depth >= MAX_DEPTH => return Err(too_many(MAX_DEPTH)),
                None => {
                    let below = repository.find_tree(entry.id()).map_err(GitError::reading(&self.dir))?;
                    self.walk(repository, &below, &path, depth + 1, found)?;
                }
                Some(_) if found.len() >= MAX_ENTRIES => return Err(too_many(MAX_ENTRIES)),
                Some(kind) => {
                    let size = if kind == EntryKind::Submodule { 0 } else { self.size(repository, entry.id())? };
                    found.push(SnapshotEntry { path, kind, size });
                }
            }
        }
        Ok(())
    }
}

/// `None` for a folder.
fn kind_of(entry: &TreeEntry<'_>) -> Option<EntryKind> {
    match entry.kind() {
        Some(ObjectType::Tree) => None,
        Some(ObjectType::Blob) if entry.filemode() & 0o170_000 != 0o120_000 => Some(EntryKind::File),
        Some(ObjectType::Blob) => Some(EntryKind::SymbolicLink),
        _ => Some(EntryKind::Submodule),
    }
}

fn check_path(path: &str) -> Result<(), GitError> {
    let good = path.len() <= 4096
        && !path.contains(['\0', '\\'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if good { Ok(()) } else { Err(GitError::BadPath(path.chars().take(200).collect())) }
}
