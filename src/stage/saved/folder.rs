//! A folder that is open, and what lies directly below it: the way from one to the next leads over the open folder and
//! never over a path, so that nobody can put a symbolic link in between.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, ReadDir};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(File);

impl Folder {
    /// A folder of Longboat's own, by its path.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::at(path, OFlag::O_DIRECTORY)
    }

    fn at(path: &Path, flags: OFlag) -> io::Result<Self> {
        let flags = flags | OFlag::O_CLOEXEC;
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map(Self)
    }

    /// The way to something directly below, by this very folder, wherever it has been moved.
    fn to(&self, name: &OsStr) -> PathBuf {
        self.own_path().join(name)
    }

    fn own_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// A folder below it; a symbolic link is none.
    pub(super) fn folder(&self, name: &OsStr) -> io::Result<Self> {
        Self::at(&self.to(name), OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW)
    }

    /// A folder below it, made if there is nothing of that name.
    pub(super) fn make_folder(&self, name: &OsStr) -> io::Result<Self> {
        match fs::create_dir(self.to(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.folder(name)
    }

    /// A file below it, to be read; neither a link nor a pipe nor a device is one.
    pub(super) fn file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(self.to(name))?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
    }

    /// A new file below it; there must be nothing of that name, not even a link.
    pub(super) fn new_file(&self, name: &OsStr, executable: bool) -> io::Result<File> {
        let mode = if executable { 0o755 } else { 0o644 };
        OpenOptions::new().write(true).create_new(true).mode(mode).open(self.to(name))
    }

    /// Gives something below it another name, in place of what had that name.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.to(from), self.to(to))
    }

    /// Removes a file below it.
    pub(super) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.to(name))
    }

    /// What lies below it.
    pub(super) fn entries(&self) -> io::Result<ReadDir> {
        fs::read_dir(self.own_path())
    }
}
