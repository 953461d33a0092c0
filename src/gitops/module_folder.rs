//! A work tree that is a module repository itself: its modules are at its root, or in whatever folder the `path` of the
//! configurations that name it says. Here they look as if they were where a repository's own modules are.

use super::source::{Source, SourceError, SourceFile};
use crate::config::MODULE_FOLDER;
use crate::diagnostic::Diagnostic;

/// The folders that are looked into for modules, in this order, if there are none in the usual one.
const CANDIDATES: [&str; 2] = ["modules", ""];
/// The most files of one of them that are read.
const MOST_READ: usize = 500;
/// The largest of them.
const LARGEST: u64 = 256 * 1024;

/// The files of a repository, its modules where a repository's own modules are.
pub struct ModuleFolder<'a> {
    whole: &'a dyn Source,
    folder: &'a str,
}

impl<'a> ModuleFolder<'a> {
    /// Modules are what is below `folder`, a path with `/`; empty: the whole repository, without what is hidden.
    pub fn new(whole: &'a dyn Source, folder: &'a str) -> Self {
        Self { whole, folder }
    }

    /// The folder of a work tree's modules: the usual one if something is there, or if the repository has application
    /// files; else one whose files have the headers of modules. Nothing if there is none.
    pub fn find(whole: &dyn Source) -> Option<String> {
        let own = whole.list(".longboat").unwrap_or_default();
        let counts = |file: &SourceFile| {
            let below = file.path.strip_prefix(".longboat/").unwrap_or_default();
            file.path.starts_with(MODULE_FOLDER) || !below.contains('/') && !below.starts_with("settings.")
        };
        if own.iter().any(counts) {
            return Some(MODULE_FOLDER.to_owned());
        }
        let found = CANDIDATES.into_iter().find(|folder| {
            let files = whole.list(folder).unwrap_or_default();
            let files =
                files.iter().filter(|file| is_visible(&file.path) && is_yaml(&file.path) && file.size <= LARGEST);
            files.take(MOST_READ).any(|file| has_header(whole, &file.path))
        });
        found.map(str::to_owned)
    }

    /// A path as it is, of one as it looks.
    fn real(&self, path: &str) -> Option<String> {
        let below = path.strip_prefix(MODULE_FOLDER)?.strip_prefix('/')?;
        Some(if self.folder.is_empty() { below.to_owned() } else { format!("{}/{below}", self.folder) })
    }

    /// A path as it looks, of one as it is.
    fn shown(&self, path: &str) -> Option<String> {
        let below = match self.folder {
            "" => path,
            folder => path.strip_prefix(folder)?.strip_prefix('/')?,
        };
        (!self.folder.is_empty() || is_visible(path)).then(|| format!("{MODULE_FOLDER}/{below}"))
    }

    /// The path of a file as it is, of one of the modules; what is no module of the folder stays.
    pub fn restore_path(&self, path: &str) -> String {
        self.real(path).unwrap_or_else(|| path.to_owned())
    }

    /// A text with the names of files as they are.
    fn restore_text(&self, text: &str) -> String {
        let prefix = if self.folder.is_empty() { String::new() } else { format!("{}/", self.folder) };
        text.replace(&format!("{MODULE_FOLDER}/"), &prefix)
    }

    /// A finding with the names of files as they are.
    pub fn restore(&self, mut finding: Diagnostic) -> Diagnostic {
        let restore = |file: &mut String| *file = self.restore_path(file);
        finding.place.iter_mut().for_each(|place| restore(&mut place.file));
        finding.chain.iter_mut().for_each(|link| restore(&mut link.file));
        finding.through.iter_mut().for_each(|place| restore(&mut place.file));
        let repeated = finding.repeated.iter_mut().flat_map(|repeated| &mut repeated.first);
        repeated.for_each(|link| restore(&mut link.file));
        finding.message = self.restore_text(&finding.message);
        finding.hint = finding.hint.map(|hint| self.restore_text(&hint));
        finding
    }
}

impl Source for ModuleFolder<'_> {
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        if dir != MODULE_FOLDER {
            return self.whole.list(dir);
        }
        let files = self.whole.list(self.folder)?.into_iter();
        let mut files: Vec<SourceFile> =
            files.filter_map(|file| Some(SourceFile { path: self.shown(&file.path)?, ..file })).collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(files)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match self.real(path) {
            Some(real) => self.whole.read(&real),
            None => self.whole.read(path),
        }
    }
}

fn is_visible(path: &str) -> bool {
    path.split('/').all(|part| !part.starts_with('.'))
}

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// Whether a file begins, after comments, with what only the header of a module begins with.
fn has_header(whole: &dyn Source, path: &str) -> bool {
    let Ok(Some(bytes)) = whole.read(path) else { return false };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let first = lines.find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    first.is_some_and(|line| line.starts_with("module:")) && lines.any(|line| line.trim_end() == "---")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Code, Place};
    use crate::gitops::MemorySource;

    const MODULE: &str = "# A module.\n\nmodule: {yields: stage}\n---\nid: a\n";

    #[test]
    fn the_folder_is_the_usual_one_or_one_with_headers() {
        for (files, expected) in [
            (vec![(".longboat/modules/a.yaml", "1"), ("modules/b.yaml", MODULE)], Some(".longboat/modules")),
            (vec![(".longboat/shop.yaml", "1"), ("modules/b.yaml", MODULE)], Some(".longboat/modules")),
            (
                vec![("modules/deep/b.yaml", MODULE), ("a.yaml", MODULE), (".longboat/settings.yaml", "")],
                Some("modules"),
            ),
            (vec![("modules/b.yaml", "b: 1\n"), ("deep/a.yml", MODULE)], Some("")),
            (vec![("a.yaml", "module: {}\n"), (".github/a.yaml", MODULE), ("a.txt", MODULE)], None),
            (vec![], None),
        ] {
            let source = MemorySource::new(files);
            assert_eq!(ModuleFolder::find(&source).as_deref(), expected);
        }
    }

    #[test]
    fn modules_look_as_if_they_were_in_the_usual_folder_and_findings_name_them_as_they_are() {
        let source = MemorySource::new([("b/a.yaml", "in b"), ("c.yaml", "at the root"), (".x/d.yaml", "hidden")]);
        let paths = |folder| -> Vec<String> {
            let files = ModuleFolder::new(&source, folder).list(MODULE_FOLDER).expect("files");
            files.into_iter().map(|file| file.path).collect()
        };
        assert_eq!(paths("b"), [".longboat/modules/a.yaml"]);
        assert_eq!(paths(""), [".longboat/modules/b/a.yaml", ".longboat/modules/c.yaml"]);
        let read = |folder, path: &str| ModuleFolder::new(&source, folder).read(path).expect("reads");
        assert_eq!(read("b", ".longboat/modules/a.yaml"), Some(b"in b".to_vec()));
        assert_eq!(read("", ".longboat/modules/c.yaml"), Some(b"at the root".to_vec()));
        assert_eq!(read("b", "c.yaml"), Some(b"at the root".to_vec()), "what templates read is where it is");
        let finding = Diagnostic::error(Code::ModuleNotFound, "`.longboat/modules/x.yaml` isn't there")
            .at(Place::point(".longboat/modules/a.yaml", 1, 2));
        let told = ModuleFolder::new(&source, "b").restore(finding);
        assert_eq!(
            (told.message.as_str(), told.place.expect("a place").file.as_str()),
            ("`b/x.yaml` isn't there", "b/a.yaml")
        );
    }
}
