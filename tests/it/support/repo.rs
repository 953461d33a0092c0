//! A real Git repository in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use longboat::model::CommitSha;

/// A repository that goes away with this value.
pub struct Repo {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Repo {
    /// A work tree on the branch `main`, without a commit.
    pub fn new() -> Self {
        Self::init("work", &["--initial-branch=main"])
    }

    /// A bare repository whose HEAD is `main`, in a folder `shop.git`.
    pub fn bare() -> Self {
        Self::init("shop.git", &["--bare", "--initial-branch=main"])
    }

    /// With more words for `git init`.
    pub fn init(name: &'static str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let repo = Self { folder, name };
        fs::create_dir(repo.path()).expect("a folder");
        repo.git(&[&["init", "--quiet"], options].concat());
        repo
    }

    /// The repository's folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// The folder that holds it, for a server to serve.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Runs git in it and yields what it wrote, trimmed.
    pub fn git(&self, args: &[&str]) -> String {
        git_in(&self.path(), args)
    }

    /// Writes a file, making its folders.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let full = self.path().join(path);
        fs::create_dir_all(full.parent().expect("inside")).expect("folders");
        fs::write(full, content).expect("written");
        self
    }

    /// Commits everything that changed.
    pub fn commit(&self, message: &str) -> CommitSha {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The commit that is checked out.
    pub fn head(&self) -> CommitSha {
        self.commit_of("HEAD")
    }

    /// The commit that a name stands for.
    pub fn commit_of(&self, name: &str) -> CommitSha {
        CommitSha::parse(&self.git(&["rev-parse", &format!("{name}^{{commit}}")])).expect("a commit")
    }

    /// The id of a file's content in the commit that is checked out.
    pub fn commit_file_id(&self, path: &str) -> String {
        self.git(&["rev-parse", &format!("HEAD:{path}")])
    }

    /// Writes a tree object, whether Git would make such a one or not, and yields its id. Entries are mode, id
    /// and name.
    pub fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut bytes = Vec::new();
        for (mode, id, name) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend(hex::decode(id).expect("an id"));
        }
        let file = self.root().join("tree");
        fs::write(&file, bytes).expect("written");
        self.git(&["hash-object", "-t", "tree", "-w", "--literally", &file.to_string_lossy()])
    }

    /// Pushes everything to another repository, removing there what isn't here.
    pub fn push_to(&self, other: &Self) {
        let target = other.path();
        self.git(&["push", "--quiet", "--force", "--prune", &target.to_string_lossy(), "refs/*:refs/*"]);
    }
}

/// Runs git with an environment of the test's own.
pub fn git_in(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("a PATH"))
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ann Author")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_NAME", "Carl Committer")
        .env("GIT_COMMITTER_EMAIL", "carl@example.com")
        .stdin(Stdio::null())
        .output()
        .expect("git runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?} in {}: {stderr}", dir.display());
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}
