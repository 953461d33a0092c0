//! Copying files out of a checkout.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::SavedLimits;
use super::folder::Folder;
use super::globs::Globs;

/// How many entries of a checkout are looked at.
const MAX_SEEN: usize = 500_000;
/// How deep folders may lie in one another.
const MAX_DEPTH: usize = 64;

/// What a stage saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::stage) struct Manifest {
    pub(in crate::stage) attempt: u32,
    pub(in crate::stage) files: usize,
    pub(in crate::stage) bytes: u64,
}

/// Why nothing was saved.
#[derive(Debug)]
pub(in crate::stage) enum SaveError {
    /// The stage fails.
    Refused(String),
    /// The disk failed.
    Io(io::Error),
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Copies what matches into `target`, in place of what was there. An attempt saves once: asked again, it has.
pub(in crate::stage) fn save(
    checkout: &Path,
    globs: Globs,
    target: &Path,
    attempt: u32,
    limits: &SavedLimits,
) -> Result<Manifest, SaveError> {
    if let Some(done) = manifest(target).filter(|done| done.attempt == attempt) {
        return Ok(done);
    }
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent)?;
    let draft = tempfile::Builder::new().prefix(".saving-").tempdir_in(parent)?;
    let files = draft.path().join("files");
    fs::create_dir(&files)?;
    let mut work = Work { globs, limits, seen: 0, manifest: Manifest { attempt, files: 0, bytes: 0 } };
    work.folder(&Folder::open(checkout)?, Path::new(""), &files, false, 0)?;
    if let Some(complaint) = work.globs.complaint() {
        return Err(SaveError::Refused(complaint));
    }
    put_in_place(draft, &work.manifest, target)?;
    Ok(work.manifest)
}

/// Gives a folder with saved files its place, beside which it was made.
pub(in crate::stage) fn put_in_place(draft: TempDir, manifest: &Manifest, target: &Path) -> io::Result<()> {
    fs::write(draft.path().join("manifest.json"), serde_json::to_vec(manifest).map_err(io::Error::other)?)?;
    // The old one moves away first: a folder that isn't empty is not replaced.
    let old = tempfile::Builder::new().prefix(".old-").tempdir_in(target.parent().unwrap_or(target))?;
    match fs::rename(target, old.path().join("old")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::rename(draft.keep(), target)
}

/// What is said about a stage's files; nothing if there are none.
pub(in crate::stage) fn manifest(target: &Path) -> Option<Manifest> {
    serde_json::from_slice(&fs::read(target.join("manifest.json")).ok()?).ok()
}

struct Work<'a> {
    globs: Globs,
    limits: &'a SavedLimits,
    seen: usize,
    manifest: Manifest,
}

impl Work<'_> {
    /// A folder of the checkout; `whole` if all of it is saved.
    fn folder(
        &mut self,
        folder: &Folder,
        path: &Path,
        target: &Path,
        whole: bool,
        depth: usize,
    ) -> Result<(), SaveError> {
        if depth > MAX_DEPTH {
            let message = format!("`files.save`: `{}` lies deeper than {MAX_DEPTH} folders", path.display());
            return Err(SaveError::Refused(message));
        }
        let mut names: Vec<_> = folder.entries()?.collect::<io::Result<_>>()?;
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            self.seen += 1;
            if self.seen > MAX_SEEN {
                let message = format!("`files.save` searches more than {MAX_SEEN} files: name the folder more closely");
                return Err(SaveError::Refused(message));
            }
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let path = path.join(&name);
            let target = target.join(&name);
            if kind.is_symlink() {
                self.globs.meets_link(&path);
            } else if kind.is_dir() {
                let whole = self.globs.matches(&path) || whole;
                if whole || self.globs.may_match_below(&path) {
                    self.folder(&folder.folder(&name)?, &path, &target, whole, depth + 1)?;
                }
            } else if kind.is_file() && (self.globs.matches(&path) || whole) {
                self.file(folder.file(&name)?, &path, &target)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, source: File, path: &Path, target: &PathBuf) -> Result<(), SaveError> {
        self.manifest.files += 1;
        if self.manifest.files > self.limits.files {
            return Err(SaveError::Refused(format!(
                "`files.save` matches more than {} files, the most that a stage may save (`limits.savedFiles` of the \
                 configuration)",
                self.limits.files
            )));
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let executable = source.metadata()?.permissions().mode() & 0o100 != 0;
        let left = self.limits.bytes - self.manifest.bytes;
        let mut copy = File::create_new(target)?;
        let copied = io::copy(&mut source.take(left.saturating_add(1)), &mut copy)?;
        if copied > left {
            return Err(SaveError::Refused(format!(
                "`files.save`: with `{}` it is more than {} bytes, the most that a stage may save (`limits.savedBytes` \
                 of the configuration)",
                path.display(),
                self.limits.bytes
            )));
        }
        copy.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        self.manifest.bytes += copied;
        Ok(())
    }
}
