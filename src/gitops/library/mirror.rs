//! Module repositories in mirrors on disk: what a process needs to know to read them, as data that can be handed to
//! another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Commits, Shelf, ShelfState, Stock};
use crate::git::{GitError, Snapshot, commits_beginning_with};
use crate::gitops::Source;
use crate::model::CommitSha;

/// A module repository in a mirror, with its refs as they stood when the render began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleMirror {
    /// The operator's name for it.
    pub name: String,
    /// Where it is fetched from, as the operator wrote it.
    pub address: String,
    /// The folder of its modules; empty: the whole repository.
    pub folder: String,
    /// What a name without `@` means; none: the default branch.
    pub reference: Option<String>,
    /// The mirror's folder.
    pub mirror: PathBuf,
    /// Whether its refs are known.
    pub state: ShelfState,
    /// Whether the remote was asked lately.
    pub fresh: bool,
}

impl Shelf {
    /// These mirrors. Nothing is read yet.
    pub fn of_mirrors(mirrors: impl IntoIterator<Item = ModuleMirror>) -> Self {
        let stock = |mirror: ModuleMirror| {
            let ModuleMirror { name, address, folder, reference, mirror, state, fresh } = mirror;
            let commits = Arc::new(MirrorCommits { dir: mirror });
            (name, Stock { address, folder, reference, state, commits, fresh })
        };
        Self::new(mirrors.into_iter().map(stock))
    }
}

struct MirrorCommits {
    dir: PathBuf,
}

impl Commits for MirrorCommits {
    fn source(&self, commit: &CommitSha) -> Result<Option<Arc<dyn Source>>, String> {
        match Snapshot::open(&self.dir, commit) {
            Ok(snapshot) => Ok(Some(Arc::new(snapshot))),
            Err(GitError::MissingCommit { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn beginning_with(&self, digits: &str, heads: &BTreeMap<String, CommitSha>) -> Result<Vec<CommitSha>, String> {
        let dir: &Path = &self.dir;
        commits_beginning_with(dir, digits, heads.values()).map_err(|error| error.to_string())
    }
}
