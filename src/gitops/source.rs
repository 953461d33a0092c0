//! Where files are read from: a commit, a folder on a laptop, or a map in a test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A file that a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path inside the repository, with `/`.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Not a path inside the repository.
    #[error("`{0}` is not a path inside the repository: paths are relative and have no `..`")]
    BadPath(String),
    /// A symbolic link; they are never followed, because they can lead out of the repository.
    #[error("`{0}` is or goes through a symbolic link, which Longboat doesn't follow: commit the file itself")]
    SymbolicLink(String),
    /// Larger than the source hands out.
    #[error("`{path}` has {size} bytes; the limit is {max}")]
    TooLarge {
        /// The path.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        max: u64,
    },
    /// More files than the source lists.
    #[error("`{dir}` holds more than {max} files")]
    TooMany {
        /// The folder.
        dir: String,
        /// The most files that are listed.
        max: usize,
    },
    /// The system or the repository refused.
    #[error("`{path}` can't be read: {message}")]
    Unreadable {
        /// The path.
        path: String,
        /// What was refused.
        message: String,
    },
}

/// The files of one commit or folder. Reading twice gives the same bytes, as far as the source can hold that.
pub trait Source: Send + Sync {
    /// All files below a folder, sorted by path; empty if there is no such folder. The empty path is the whole.
    ///
    /// # Errors
    /// If the folder can't be read or holds too many files.
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError>;

    /// The bytes of a file; nothing if there is no such file.
    ///
    /// # Errors
    /// If the path leads outside, or the file is too large or unreadable.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError>;
}

/// The largest file that [`FolderSource`] hands out; a template may see other files than its own.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The most files that [`FolderSource`] lists.
const MAX_FILES: usize = 50_000;
/// The deepest folder that [`FolderSource`] looks into.
const MAX_DEPTH: usize = 32;

/// Refuses what is no plain relative path.
///
/// # Errors
/// If the path is absolute, empty, or has an empty, `.` or `..` part, a `\` or a control character.
pub fn check_path(path: &str) -> Result<(), SourceError> {
    let good = path.len() <= 4096
        && !path.chars().any(|letter| letter.is_control() || letter == '\\')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if good { Ok(()) } else { Err(SourceError::BadPath(path.chars().take(200).collect())) }
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct MemorySource(BTreeMap<String, Vec<u8>>);

impl MemorySource {
    /// A source with these files.
    pub fn new<P: Into<String>, B: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, B)>) -> Self {
        Self(files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect())
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), bytes.into());
    }
}

impl Source for MemorySource {
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        if dir.is_empty() {
            let all = self.0.iter().map(|(path, bytes)| SourceFile { path: path.clone(), size: bytes.len() as u64 });
            return Ok(all.collect());
        }
        check_path(dir)?;
        let prefix = format!("{dir}/");
        let below = self.0.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        Ok(below.map(|(path, bytes)| SourceFile { path: path.clone(), size: bytes.len() as u64 }).collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        check_path(path)?;
        Ok(self.0.get(path).cloned())
    }
}

/// A folder of another source, seen as if it were all there is.
pub struct SubFolder<'a> {
    whole: &'a dyn Source,
    folder: &'a str,
}

impl<'a> SubFolder<'a> {
    /// What is below `folder`, a path with `/`; everything, if it is empty.
    pub fn new(whole: &'a dyn Source, folder: &'a str) -> Self {
        Self { whole, folder }
    }

    fn path(&self, path: &str) -> String {
        if self.folder.is_empty() { path.to_owned() } else { format!("{}/{path}", self.folder) }
    }
}

impl Source for SubFolder<'_> {
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        check_path(dir)?;
        let mut files = self.whole.list(&self.path(dir))?;
        if !self.folder.is_empty() {
            for file in &mut files {
                let inside = file.path.get(self.folder.len() + 1..).unwrap_or_default().to_owned();
                file.path = inside;
            }
        }
        Ok(files)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        check_path(path)?;
        self.whole.read(&self.path(path))
    }
}

/// A work tree on disk, for the command line. Symbolic links are refused, not followed.
#[derive(Debug, Clone)]
pub struct FolderSource {
    root: PathBuf,
}

impl FolderSource {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Looks at each part of the way, so that no part of it is a symbolic link.
    fn resolve(&self, path: &str) -> Result<Option<(PathBuf, fs::Metadata)>, SourceError> {
        check_path(path)?;
        let mut full = self.root.clone();
        let mut last = None;
        for part in path.split('/') {
            full.push(part);
            match fs::symlink_metadata(&full) {
                Ok(meta) if meta.is_symlink() => return Err(SourceError::SymbolicLink(path.to_owned())),
                Ok(meta) => last = Some(meta),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    return Ok(None);
                }
                Err(error) => return Err(unreadable(path, &error)),
            }
        }
        Ok(last.map(|meta| (full, meta)))
    }

    fn walk(&self, dir: &str, full: &Path, depth: usize, found: &mut Vec<SourceFile>) -> Result<(), SourceError> {
        for entry in fs::read_dir(full).map_err(|error| unreadable(dir, &error))? {
            let entry = entry.map_err(|error| unreadable(dir, &error))?;
            // A name that isn't UTF-8 can't be written in a pipeline file either.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Git keeps nothing of that name, so no commit has it.
            if name == ".git" {
                continue;
            }
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            let meta = fs::symlink_metadata(entry.path()).map_err(|error| unreadable(&path, &error))?;
            if meta.is_dir() {
                if depth < MAX_DEPTH {
                    self.walk(&path, &entry.path(), depth + 1, found)?;
                }
            } else if found.len() == MAX_FILES {
                return Err(SourceError::TooMany { dir: dir.to_owned(), max: MAX_FILES });
            } else if meta.is_file() || meta.is_symlink() {
                // A link is listed, so that reading it says why it doesn't count.
                found.push(SourceFile { path, size: meta.len() });
            }
        }
        Ok(())
    }
}

impl Source for FolderSource {
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        let mut found = Vec::new();
        if dir.is_empty() {
            self.walk("", &self.root, 0, &mut found)?;
        } else if let Some((full, meta)) = self.resolve(dir)?
            && meta.is_dir()
        {
            self.walk(dir, &full, 0, &mut found)?;
        }
        found.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(found)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let Some((full, meta)) = self.resolve(path)? else { return Ok(None) };
        if !meta.is_file() {
            return Ok(None);
        }
        if meta.len() > MAX_BYTES {
            return Err(SourceError::TooLarge { path: path.to_owned(), size: meta.len(), max: MAX_BYTES });
        }
        match fs::read(full) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(path, &error)),
        }
    }
}

fn unreadable(path: &str, error: &io::Error) -> SourceError {
    SourceError::Unreadable { path: path.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a\0", "a\nb"] {
            assert!(matches!(check_path(bad), Err(SourceError::BadPath(_))), "{bad:?}");
        }
        for good in ["a", ".longboat/a.yaml", "a..b/..c", "é x"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
    }

    fn listed(source: &dyn Source, dir: &str) -> Vec<String> {
        source.list(dir).expect("listed").into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn a_map_lists_what_is_below_a_folder() {
        let source = MemorySource::new([("a/x", "1"), ("a/b/y", "2"), ("ab", "3"), ("b", "4")]);
        assert_eq!(listed(&source, "a"), ["a/b/y", "a/x"]);
        assert_eq!(listed(&source, ""), ["a/b/y", "a/x", "ab", "b"]);
        assert_eq!(source.read("ab").expect("read"), Some(b"3".to_vec()));
        assert_eq!(source.read("no").expect("read"), None);
        assert!(source.read("a/../b").is_err());
    }

    #[test]
    fn a_folder_of_a_source_is_a_source() {
        let whole = MemorySource::new([("one/a/x", "1"), ("one/y", "2"), ("oned/a/z", "3"), ("a/w", "4")]);
        let inner = SubFolder::new(&whole, "one");
        assert_eq!(listed(&inner, "a"), ["a/x"]);
        assert_eq!(inner.read("y").expect("read"), Some(b"2".to_vec()));
        assert!(matches!(inner.read("../a/w"), Err(SourceError::BadPath(_))));
        let all = SubFolder::new(&whole, "");
        assert_eq!((listed(&all, "a"), all.read("a/w").expect("read")), (vec!["a/w".to_owned()], Some(b"4".to_vec())));
    }

    #[test]
    fn a_folder_is_read_without_following_links() {
        let root = tempfile::tempdir().expect("a folder");
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("work/a/deep")).expect("folders");
        fs::write(path("secret"), "secret").expect("a file outside");
        fs::write(path("work/a/x.yaml"), "x: 1").expect("a file");
        fs::write(path("work/a/deep/y.yaml"), "y: 1").expect("a file");
        fs::write(path("work/other"), "").expect("a file");
        std::os::unix::fs::symlink(path("secret"), path("work/a/link.yaml")).expect("a link");
        std::os::unix::fs::symlink(root.path(), path("work/out")).expect("a link to a folder");
        let source = FolderSource::new(path("work"));
        assert_eq!(listed(&source, "a"), ["a/deep/y.yaml", "a/link.yaml", "a/x.yaml"]);
        assert_eq!(listed(&source, "nothing"), [""; 0]);
        assert_eq!(listed(&source, ""), ["a/deep/y.yaml", "a/link.yaml", "a/x.yaml", "other", "out"]);
        assert_eq!(source.read("a/x.yaml").expect("read"), Some(b"x: 1".to_vec()));
        assert_eq!(source.read("a/no.yaml").expect("read"), None);
        assert_eq!(source.read("a/x.yaml/z").expect("read"), None);
        assert_eq!(source.read("a").expect("read"), None);
        for link in ["a/link.yaml", "out/secret"] {
            assert!(matches!(source.read(link), Err(SourceError::SymbolicLink(_))), "{link}");
        }
        assert!(matches!(source.list("out"), Err(SourceError::SymbolicLink(_))));
        assert!(matches!(source.read("../secret"), Err(SourceError::BadPath(_))));
    }

    #[test]
    fn a_large_file_is_not_read() {
        let root = tempfile::tempdir().expect("a folder");
        fs::File::create(root.path().join("big")).and_then(|file| file.set_len(MAX_BYTES + 1)).expect("a large file");
        let source = FolderSource::new(root.path());
        assert!(matches!(source.read("big"), Err(SourceError::TooLarge { .. })));
    }
}
