//! The work tree a command is about: where it begins, what it is called, which branch it is on.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use serde_json::{Map, Value};

use super::excerpt;
use super::library::{ModuleArgs, Modules};
use crate::config::Config;
use crate::gitops::{self, Checked, FolderSource, Library, Limits, Rendered, Request, Source};
use crate::model::RepositoryName;

/// A folder with pipeline files, as `validate`, `render`, `explain` and `run` see it.
#[derive(Debug, Clone)]
pub struct WorkTree {
    /// Its root: where `.longboat` or `.git` is.
    pub root: PathBuf,
    /// The name that templates see as `repository`: `owner/name` of its `origin`, or `local/<folder>`.
    pub name: RepositoryName,
    /// The branch that templates see; `main` if none is checked out.
    pub branch: String,
}

impl WorkTree {
    /// Finds the work tree that `path` (a file or folder) lies in, by walking up.
    ///
    /// # Errors
    /// If the path doesn't exist, or no folder above it has `.longboat` or `.git`.
    pub fn find(path: &Path) -> anyhow::Result<Self> {
        let start = path.canonicalize().with_context(|| format!("can't find {}", path.display()))?;
        // The nearest one: an example or a fixture inside of another repository is a tree of its own.
        let is_root = |folder: &&Path| folder.join(".longboat").is_dir() || folder.join(".git").exists();
        let root = start.ancestors().filter(|folder| folder.is_dir()).find(is_root);
        let Some(root) = root else {
            bail!(
                "no repository at {}: neither it nor a folder above it has `.git` or `.longboat`; \
                 start in a repository, or name one",
                path.display()
            );
        };
        let folder = root.file_name().map_or_else(|| "repository".into(), |name| name.to_string_lossy().into_owned());
        let facts = crate::git::work_tree(root);
        let name = facts
            .as_ref()
            .and_then(|facts| facts.origin.as_deref())
            .and_then(repository_of_url)
            .or_else(|| RepositoryName::parse(&format!("local/{}", tame(&folder))).ok());
        let Some(name) = name else { bail!("the folder name {folder:?} can't be made into a repository name") };
        let branch = facts.and_then(|facts| facts.branch).unwrap_or_else(|| "main".to_owned());
        Ok(Self { root: root.to_owned(), name, branch })
    }

    /// Looks once more which branch is checked out.
    pub fn see_branch(&mut self) {
        let branch = crate::git::work_tree(&self.root).and_then(|facts| facts.branch);
        self.branch = branch.unwrap_or_else(|| "main".to_owned());
    }

    /// The path of `file` inside the work tree, with `/`.
    ///
    /// # Errors
    /// If it doesn't exist or lies outside.
    pub fn relative(&self, file: &Path) -> anyhow::Result<String> {
        let full = file.canonicalize().with_context(|| format!("can't find {}", file.display()))?;
        let inside = full
            .strip_prefix(&self.root)
            .with_context(|| format!("{} lies outside of {}", file.display(), self.root.display()))?;
        let Some(text) = inside.to_str() else { bail!("the name of {} is not UTF-8", file.display()) };
        Ok(text.to_owned())
    }
}

/// Whose variables lie below those of the work tree
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GlobalArgs {
    /// The configuration of a server, whose `vars` are the lowest layer; without it there are none
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
}

impl GlobalArgs {
    /// The operator's variables; nothing if the configuration is wrong, which standard error says then.
    pub fn load(&self) -> Option<Map<String, Value>> {
        match self.config.as_deref().map(Config::load_vars) {
            None => Some(Map::new()),
            Some(Ok(vars)) => Some(vars),
            Some(Err(findings)) => {
                let read = |path: &str| std::fs::read_to_string(path).ok();
                findings.iter().for_each(|finding| eprintln!("{}\n", excerpt(finding, false, &read)));
                None
            }
        }
    }
}

/// The files of a work tree, and what rendering them may use.
pub struct Files<'a> {
    tree: &'a WorkTree,
    branch: &'a str,
    source: FolderSource,
    globals: Map<String, Value>,
    limits: Limits,
    modules: Option<Modules>,
}

impl<'a> Files<'a> {
    /// The files of `tree`; templates see `branch` if it is given, else the one that is checked out.
    pub fn new(tree: &'a WorkTree, branch: Option<&'a str>, modules: &ModuleArgs) -> Self {
        let (source, limits) = (FolderSource::new(&tree.root), Limits::default());
        // What is wrong with the settings is among the findings of a check.
        let (settings, _) = gitops::settings(&source, &limits);
        Self {
            tree,
            branch: branch.unwrap_or(&tree.branch),
            modules: Modules::new(&settings.modules, &tree.root, modules),
            source,
            globals: Map::new(),
            limits,
        }
    }

    /// The same with a server's variables below those of the work tree.
    pub fn with_globals(self, globals: Map<String, Value>) -> Self {
        Self { globals, ..self }
    }

    /// Does some work that renders, and once more if module repositories had to be fetched for it.
    pub fn with_modules<T>(&mut self, work: impl Fn(&Self) -> T) -> T {
        let done = work(self);
        if self.modules.as_mut().is_some_and(Modules::fetch_wanted) { work(self) } else { done }
    }

    /// What to render.
    pub fn request(&self) -> Request<'_> {
        Request {
            source: &self.source,
            repository: &self.tree.name,
            branch: self.branch,
            globals: &self.globals,
            limits: &self.limits,
            library: self.modules.as_ref().map(|modules| modules.shelf() as &dyn Library),
        }
    }

    /// The folders of the module repositories that are on this machine.
    pub fn module_folders(&self) -> Vec<PathBuf> {
        self.modules.as_ref().map(Modules::folders).unwrap_or_default()
    }

    /// The files themselves.
    pub fn source(&self) -> &dyn Source {
        &self.source
    }

    /// Renders and checks one file.
    pub fn check(&self, path: &str) -> Checked {
        let file = gitops::render_file(&self.request(), path);
        let rendered = Rendered { files: vec![file], findings: Vec::new() };
        gitops::check_rendered(rendered, &crate::stage::catalog(), None)
    }

    /// The text of a file of the work tree, of a built-in module, or of one of a module repository, for excerpts.
    pub fn read(&self, path: &str) -> Option<String> {
        let of_library = || self.modules.as_ref().and_then(|modules| modules.shelf().text(path));
        if let Some(text) = gitops::built_in(path).or_else(of_library) {
            return Some(text);
        }
        String::from_utf8(self.source.read(path).ok().flatten()?).ok()
    }
}

/// `owner/name` of an address like `git@github.com:owner/name.git` or `https://github.com/owner/name`.
pub(super) fn repository_of_url(url: &str) -> Option<RepositoryName> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    RepositoryName::parse(path.trim_matches('/').trim_end_matches(".git")).ok()
}

/// A folder's name with everything replaced that a repository name can't hold.
fn tame(folder: &str) -> String {
    let word: String = folder
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') { letter } else { '-' })
        .collect();
    let word = word.trim_start_matches(['-', '.']);
    if word.is_empty() { "repository".to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_usual_addresses() {
        for url in [
            "git@github.com:acme/shop.git",
            "https://github.com/acme/shop",
            "https://user@github.com/acme/shop.git",
            "ssh://git@host:22/acme/shop.git",
        ] {
            assert_eq!(repository_of_url(url).expect(url).as_str(), "acme/shop", "{url}");
        }
        assert_eq!(repository_of_url("../shop"), None);
    }

    #[test]
    fn the_nearest_tree_is_found() {
        let outer = tempfile::tempdir().expect("a folder");
        let file = outer.path().join("example/.longboat/a.yaml");
        std::fs::create_dir_all(outer.path().join(".git")).expect("a folder");
        std::fs::create_dir_all(outer.path().join("src/deep")).expect("a folder");
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        std::fs::write(&file, "").expect("a file");
        let root = |path: &Path| WorkTree::find(path).expect("a tree").root;
        let outside = outer.path().canonicalize().expect("a path");
        assert_eq!(root(&outer.path().join("src/deep")), outside);
        assert_eq!(root(&file), outside.join("example"));
        assert_eq!(WorkTree::find(&file).expect("a tree").relative(&file).expect("inside"), ".longboat/a.yaml");
    }

    #[test]
    fn odd_folder_names_are_tamed() {
        assert_eq!(tame("My Shop (2)"), "My-Shop--2-");
        assert_eq!(tame("..."), "repository");
    }
}
