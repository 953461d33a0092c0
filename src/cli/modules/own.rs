//! A clone of a module repository, which its modules and examples call by the name that others have for it
//! (`platform/deploy`): what they mean is the work tree as it stands, whatever stands behind an `@`. That it exists is looked
//! up in the clone, as far as that has all tags and branches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::work_tree::{WorkTree, repository_of_url};
use crate::diagnostic::{Code, Diagnostic};
use crate::git;
use crate::gitops::{self, FolderSource, Library, LibraryError, Limits, Pinned, Refs, Source};
use crate::model::{CommitSha, Pin, PinKind};

/// The names of a work tree's own modules, in front of the module repositories that its settings name.
pub(super) struct Own {
    names: Vec<String>,
    folder: String,
    source: Arc<FolderSource>,
    commit: CommitSha,
    history: History,
}

/// What a work tree knows of its repository's tags, branches and commits.
enum History {
    /// It is no clone.
    None,
    /// Those that were fetched.
    Known { root: PathBuf, refs: Refs, is_shallow: bool },
}

impl History {
    fn of(root: &Path) -> Self {
        let known = || {
            let local = git::Local::find(root).ok().flatten()?;
            let default_branch = local.default_branch().map(|(name, _)| name);
            let refs = Refs { default_branch, heads: local.heads().ok()? };
            Some(Self::Known { root: root.to_owned(), refs, is_shallow: local.is_shallow() })
        };
        known().unwrap_or(Self::None)
    }

    /// What there is to say of a reference that this doesn't have, or that can't be looked up.
    fn doubt(&self, repository: &str, reference: &str) -> Option<Diagnostic> {
        let (root, refs, is_shallow) = match self {
            Self::None => {
                let message =
                    format!("whether `{repository}` has `{reference}` can't be checked: this is no Git repository");
                return Some(Diagnostic::info(Code::ModuleReference, message));
            }
            Self::Known { root, refs, is_shallow } => (root, refs, *is_shallow),
        };
        let local = git::Local::find(root).ok().flatten()?;
        let beginning = |digits: &str| local.beginning_with(digits, &refs.heads).map_err(|error| error.to_string());
        let (what, hint) = match gitops::resolve(refs, reference, &beginning) {
            Ok(found) if local.resolve(found.commit.as_str()).is_some() => return None,
            Ok(found) => (format!("no commit {}", found.commit.short()), None),
            Err(missing) => missing,
        };
        if is_shallow {
            let message = format!(
                "whether `{repository}` has `{reference}` can't be checked: this clone has only a part of its history"
            );
            return Some(
                Diagnostic::info(Code::ModuleReference, message).hint("`git fetch --unshallow --tags` brings the rest"),
            );
        }
        let fetch = "if others have it, `git fetch --tags` brings it; here the modules are checked as they stand";
        let hint = hint.map_or_else(|| fetch.to_owned(), |hint| format!("{hint}; {fetch}"));
        let message = format!("this clone of `{repository}` has {what}");
        Some(Diagnostic::warning(Code::ModuleReference, message).hint(hint))
    }
}

/// [`Own`] with what its settings name.
pub(super) struct WithOwn<'a> {
    own: &'a Own,
    others: Option<&'a dyn Library>,
}

impl Own {
    /// The names that a work tree goes by: those under which its settings name it, and, if it is nothing but a module
    /// repository, the last part of the name that its remote has.
    pub(super) fn find(tree: &WorkTree, folder: &str, is_module_repository: bool) -> Option<Self> {
        let source = FolderSource::new(&tree.root);
        let (settings, _) = gitops::settings(&source, &Limits::default());
        let is_here = |url: &str| {
            repository_of_url(url).is_some_and(|name| name == tree.name)
                || tree.root.join(Path::new(url)).canonicalize().is_ok_and(|path| path == tree.root)
        };
        let mut names: Vec<String> =
            settings.modules.iter().filter(|one| is_here(&one.url)).map(|one| one.name.clone()).collect();
        let short = tree.name.as_str().rsplit('/').next().unwrap_or_default();
        let prefix = format!("{}{short}/", if folder.is_empty() { String::new() } else { format!("{folder}/") });
        let is_taken = || {
            let listed = source.list(folder).unwrap_or_default();
            listed.iter().any(|file| file.path.starts_with(&prefix))
                || settings.modules.iter().any(|one| one.name == short)
        };
        if is_module_repository && !names.iter().any(|name| name == short) && !is_taken() {
            names.push(short.to_owned());
        }
        let commit = git::Local::find(&tree.root).ok().flatten().and_then(|local| local.resolve("HEAD"));
        let commit = commit.or_else(|| CommitSha::parse(&"0".repeat(40)).ok())?;
        let history = History::of(&tree.root);
        (!names.is_empty()).then(|| Self {
            names,
            folder: folder.to_owned(),
            source: Arc::new(source),
            commit,
            history,
        })
    }

    /// With the module repositories of the settings behind it.
    pub(super) fn before<'a>(&'a self, others: Option<&'a dyn Library>) -> WithOwn<'a> {
        WithOwn { own: self, others }
    }
}

impl Library for WithOwn<'_> {
    fn names(&self) -> Vec<String> {
        let mut names = self.others.map(Library::names).unwrap_or_default();
        names.extend(self.own.names.iter().cloned());
        names.sort_unstable();
        names.dedup();
        names
    }

    fn address(&self, repository: &str) -> Option<String> {
        self.others.and_then(|others| others.address(repository))
    }

    fn open(&self, repository: &str, reference: Option<&str>) -> Result<Arc<Pinned>, LibraryError> {
        let Self { own, others } = self;
        if own.names.iter().any(|name| name == repository) {
            let pin = Pin {
                repository: repository.to_owned(),
                reference: reference.map(str::to_owned),
                commit: own.commit.clone(),
                kind: PinKind::Commit,
            };
            let source = own.source.clone();
            let doubt = reference.and_then(|reference| own.history.doubt(repository, reference));
            return Ok(Arc::new(Pinned { pin, folder: own.folder.clone(), source, also_branch: None, doubt }));
        }
        match others {
            Some(others) => others.open(repository, reference),
            None => Err(LibraryError::Unknown(repository.to_owned())),
        }
    }

    fn text(&self, place: &str) -> Option<String> {
        let own = || {
            let (name, below) = place.rsplit_once('@')?.0.split_once('/')?;
            let path =
                if self.own.folder.is_empty() { below.to_owned() } else { format!("{}/{below}", self.own.folder) };
            let bytes =
                self.own.names.iter().any(|one| one == name).then(|| self.own.source.read(&path).ok().flatten());
            String::from_utf8(bytes??).ok()
        };
        own().or_else(|| self.others.and_then(|others| others.text(place)))
    }
}
