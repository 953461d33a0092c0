//! Where the name of a module leads: to a built-in one, to a file of the repository, or to one of a module repository.

use std::sync::Arc;

use rust_embed::RustEmbed;

use super::fault::Fault;
use crate::diagnostic::{Code, Diagnostic, Place, nearest};
use crate::gitops::{LibraryError, Pinned};
use crate::model::ModuleUse;

/// The modules that ship inside the program.
#[derive(RustEmbed)]
#[folder = "modules/"]
struct BuiltIn;

pub(super) use crate::config::MODULE_FOLDER as FOLDER;
/// What a module's file may end with, in the order in which they are looked for.
pub(super) const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// The first part of the names of built-in modules.
const STANDARD: &str = "std";

/// Where the names of modules are looked up: from where the calling file is.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// The repository that is rendered.
    Repository,
    /// The program's own library.
    BuiltIn,
    /// A module repository at a commit.
    Library(Arc<Opened>),
}

impl Home {
    /// What tells it from all others of the render, which keeps each module repository as long as it lasts.
    pub(super) fn address(&self) -> usize {
        match self {
            Self::Repository => 0,
            Self::BuiltIn => 1,
            Self::Library(opened) => Arc::as_ptr(opened).addr(),
        }
    }
}

/// A module repository at a commit, with the files that can be modules.
#[derive(Debug)]
pub(super) struct Opened {
    /// The repository, its commit and its files.
    pub(super) pinned: Arc<Pinned>,
    /// The files below its folder of modules, sorted, without that folder.
    pub(super) files: Vec<String>,
}

/// A module that exists.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its full name, with the reference if there is one: `platform/deploy@v2`.
    pub(super) name: String,
    /// How places call its file: a path in the repository, its full name if it is built in, or
    /// `platform/deploy.yaml@1a2b3c4`.
    pub(super) file: String,
    /// Its path in its repository.
    pub(super) path: String,
    /// What tells it from all others of the render.
    pub(super) key: String,
    /// Where it is.
    pub(super) home: Home,
}

/// The name of a module as a call writes it, in its parts.
pub(super) struct Name<'a> {
    /// All before the `@`.
    pub(super) path: &'a str,
    /// What stands behind it.
    pub(super) reference: Option<&'a str>,
}

impl<'a> Name<'a> {
    /// Takes a name apart, if it can be one.
    pub(super) fn parse(name: &'a str) -> Result<Self, Fault> {
        let good = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'))
        };
        let (path, reference) =
            name.split_once('@').map_or((name, None), |(path, reference)| (path, Some(reference.trim())));
        if path.len() > 200 || name.len() > 500 || !path.split('/').all(good) {
            let name: String = name.chars().take(80).collect();
            return Err(Fault::new(Code::ModuleNotFound, format!("`{name}` is not the name of a module"))
                .hint("a name is words of letters, digits, `-`, `_` and `.`, joined by `/`"));
        }
        Ok(Self { path, reference })
    }

    /// The name of a built-in module, without `std/`.
    pub(super) fn standard(&self) -> Option<&'a str> {
        self.path.strip_prefix(STANDARD)?.strip_prefix('/')
    }

    /// The module repository that it names and the name in there, if one is called so.
    pub(super) fn in_library(&self, names: &[String]) -> Option<(&'a str, &'a str)> {
        let (repository, rest) = self.path.split_once('/')?;
        names.iter().any(|name| name == repository).then_some((repository, rest))
    }
}

impl Found {
    /// A module of the repository that is rendered.
    pub(super) fn in_repository(name: &str, file: &str) -> Self {
        Self {
            name: name.to_owned(),
            file: file.to_owned(),
            path: file.to_owned(),
            key: file.to_owned(),
            home: Home::Repository,
        }
    }

    /// What is recorded about its use by a call in an application file.
    pub(super) fn used_at(&self, call: Place, through: Vec<String>) -> ModuleUse {
        let module = self.name.split('@').next().unwrap_or_default().to_owned();
        let (reference, repository, commit) = match &self.home {
            Home::Repository => (None, None, None),
            Home::BuiltIn => (None, Some(STANDARD.to_owned()), None),
            Home::Library(opened) => {
                let pin = &opened.pinned.pin;
                (pin.reference.clone(), Some(pin.repository.clone()), Some(pin.commit.clone()))
            }
        };
        ModuleUse { module, reference, repository, commit, file: self.path.clone(), call, through }
    }
}

impl Found {
    /// What there is to say of the reference by which it is read.
    pub(super) fn doubt(&self) -> Option<&Diagnostic> {
        match &self.home {
            Home::Library(opened) => opened.pinned.doubt.as_ref(),
            Home::Repository | Home::BuiltIn => None,
        }
    }
}

/// Looks up a name in the repository that is rendered. `files` are its files below [`FOLDER`], `libraries` the names of
/// the module repositories.
pub(super) fn in_repository(path: &str, files: &[String], libraries: &[String]) -> Result<Found, Fault> {
    match existing(path, |candidate| files.binary_search(&format!("{FOLDER}/{candidate}")).is_ok())? {
        Some(file) => Ok(Found::in_repository(path, &format!("{FOLDER}/{file}"))),
        None => {
            let known: Vec<&str> = files.iter().filter_map(|file| module_name(file)).collect();
            Err(not_found(path, &known, libraries, &format!("it would be the file `{FOLDER}/{path}.yaml`")))
        }
    }
}

/// Looks up a name in a module repository.
pub(super) fn in_opened(path: &str, opened: &Arc<Opened>) -> Result<Found, Fault> {
    let Pinned { pin, .. } = &*opened.pinned;
    let Some(file) = existing(path, |candidate| opened.files.binary_search_by(|file| (**file).cmp(candidate)).is_ok())?
    else {
        let known: Vec<String> = opened
            .files
            .iter()
            .filter_map(|file| word(file))
            .map(|word| format!("{}/{word}", pin.repository))
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let name = format!("{}/{path}", pin.repository);
        let would_be = opened.pinned.path(&format!("{path}.yaml"));
        let (commit, asked) = (pin.commit.short(), pin);
        let hint =
            format!("at {commit}, which is what `{asked}` means, it would be the file `{would_be}` of that repository");
        return Err(not_found(&name, &known, &[], &hint));
    };
    let reference = pin.reference.as_ref().map_or_else(String::new, |reference| format!("@{reference}"));
    Ok(Found {
        name: format!("{}/{path}{reference}", pin.repository),
        file: opened.pinned.place(&file),
        path: opened.pinned.path(&file),
        key: format!("{}/{file}@{}", pin.repository, pin.commit),
        home: Home::Library(opened.clone()),
    })
}

/// The one file among those that a name can stand for.
fn existing(path: &str, is_there: impl Fn(&str) -> bool) -> Result<Option<String>, Fault> {
    let candidates = ENDINGS.iter().map(|ending| format!("{path}.{ending}"));
    let mut existing = candidates.filter(|candidate| is_there(candidate));
    match (existing.next(), existing.next()) {
        (Some(first), Some(second)) => {
            Err(Fault::new(Code::ModuleNotFound, format!("the module `{path}` exists twice: `{first}` and `{second}`"))
                .hint("remove one of them"))
        }
        (first, _) => Ok(first),
    }
}

fn not_found(name: &str, known: &[&str], libraries: &[String], would_be: &str) -> Fault {
    let built_in = standard_names();
    let all = || known.iter().copied().chain(built_in.iter().map(String::as_str));
    let fault = Fault::new(Code::ModuleNotFound, format!("there is no module `{name}`"));
    let without_ending = ENDINGS.iter().find_map(|ending| name.strip_suffix(&format!(".{ending}")));
    if let Some(word) = without_ending.filter(|word| known.contains(word)) {
        return fault.hint(format!("write `{word}`, without the ending"));
    }
    if let Some(standard) = built_in.iter().find(|standard| standard.strip_prefix("std/") == Some(name)) {
        return fault.hint(format!("did you mean `{standard}`?"));
    }
    if let Some(near) = nearest(name, all()) {
        return fault.hint(format!("did you mean `{near}`?"));
    }
    let repository = name.split_once('/').map(|(repository, rest)| (near_library(repository, libraries), rest));
    match repository {
        Some((Some(near), rest)) => fault.hint(format!("did you mean `{near}/{rest}`?")),
        _ => fault.hint(would_be),
    }
}

/// The module repository or library whose name is nearest.
fn near_library<'a>(name: &str, libraries: &'a [String]) -> Option<&'a str> {
    nearest(name, libraries.iter().map(String::as_str).chain([STANDARD]))
}

/// A name with a reference whose repository isn't configured.
pub(super) fn unknown_repository(path: &str, libraries: &[String]) -> Fault {
    let (repository, rest) = path.split_once('/').unwrap_or((path, ""));
    if rest.is_empty() {
        return Fault::new(Code::ModuleRepository, format!("`{path}@...` names no module of a module repository"))
            .hint(format!("write `{path}/NAME@...`; a module of the same repository has no `@`"));
    }
    let fault = Fault::new(Code::ModuleRepository, format!("no module repository `{repository}` is configured"));
    if let Some(near) = near_library(repository, libraries) {
        return fault.hint(format!("did you mean `{near}/{rest}`?"));
    }
    let known = libraries.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    fault.hint(if known.is_empty() {
        "the operator adds it to `modules:` of longboat.yaml; on a laptop, `.longboat/settings.yaml` names it"
            .to_owned()
    } else {
        format!("there are {known}; the operator adds others to `modules:` of longboat.yaml")
    })
}

/// A module repository that can't be opened, as a finding.
pub(super) fn refusal(error: &LibraryError) -> Fault {
    match error {
        LibraryError::Unknown(name) => unknown_repository(&format!("{name}/"), &[]),
        LibraryError::Unread { .. } => Fault::new(Code::ModuleRepositoryUnread, error.to_string()).hint(
            "what was published before stays in force; once the repository can be read, the commit is looked at again",
        ),
        LibraryError::Reference { hint, .. } => {
            let fault = Fault::new(Code::ModuleReference, error.to_string());
            match hint {
                Some(hint) => fault.hint(hint.as_str()),
                None => fault.hint("behind the `@` stands a tag, a branch, a commit, or a range like `^1.2`"),
            }
        }
    }
}

/// Looks up the name of a built-in module, without `std/`.
pub(super) fn built_in(word: &str) -> Result<Found, Fault> {
    let name = format!("{STANDARD}/{word}");
    if built_in_bytes(&name).is_some() {
        return Ok(Found { file: name.clone(), path: name.clone(), key: name.clone(), name, home: Home::BuiltIn });
    }
    let fault = Fault::new(Code::ModuleNotFound, format!("there is no built-in module `{name}`"));
    let known = standard_names();
    Err(match nearest(&name, known.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault
            .hint(format!("there are {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
    })
}

/// The names of the built-in modules.
pub(super) fn standard_names() -> Vec<String> {
    BuiltIn::iter().filter_map(|file| word(&file).map(|word| format!("{STANDARD}/{word}"))).collect()
}

/// The bytes of a built-in module.
pub(super) fn built_in_bytes(name: &str) -> Option<Vec<u8>> {
    let word = name.strip_prefix("std/")?;
    ENDINGS.iter().find_map(|ending| BuiltIn::get(&format!("{word}.{ending}"))).map(|file| file.data.into_owned())
}

/// A file's path without its ending, if it is one of a module.
pub(super) fn word(file: &str) -> Option<&str> {
    let (word, ending) = file.rsplit_once('.')?;
    ENDINGS.contains(&ending).then_some(word)
}

/// The name by which a repository's module is called.
pub(super) fn module_name(file: &str) -> Option<&str> {
    word(file.strip_prefix(FOLDER)?.strip_prefix('/')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a session looks a name up, without opening anything.
    fn find(name: &str, files: &[&str], libraries: &[&str]) -> Result<Found, Fault> {
        let mut files: Vec<String> = files.iter().map(|file| format!("{FOLDER}/{file}")).collect();
        files.sort();
        let libraries: Vec<String> = libraries.iter().map(|name| (*name).to_owned()).collect();
        let name = Name::parse(name)?;
        match (name.standard(), name.reference) {
            (Some(word), _) => built_in(word),
            (None, Some(_)) => Err(unknown_repository(name.path, &libraries)),
            (None, None) => in_repository(name.path, &files, &libraries),
        }
    }

    #[test]
    fn names_lead_to_files() {
        assert_eq!(find("a/b", &["a/b.yml"], &[]).expect("found").file, ".longboat/modules/a/b.yml");
        assert!(matches!(find("std/approve", &[], &[]).expect("found").home, Home::BuiltIn));
        for (name, code, hint) in [
            ("a/c", Code::ModuleNotFound, "did you mean `a/b`?"),
            ("a/b.yaml", Code::ModuleNotFound, "write `a/b`, without the ending"),
            ("approve", Code::ModuleNotFound, "did you mean `std/approve`?"),
            ("std/aprove", Code::ModuleNotFound, "did you mean `std/approve`?"),
            ("platfrom/deploy", Code::ModuleNotFound, "did you mean `platform/deploy`?"),
            ("other/deploy", Code::ModuleNotFound, "it would be the file"),
            ("platfrom/x@v1", Code::ModuleRepository, "did you mean `platform/x`?"),
            ("other/x@v1", Code::ModuleRepository, "there are `platform`"),
            ("platform@v1", Code::ModuleRepository, "write `platform/NAME@...`"),
            ("../x", Code::ModuleNotFound, "a name is words"),
            ("/x", Code::ModuleNotFound, "a name is words"),
            ("a\\b", Code::ModuleNotFound, "a name is words"),
            ("twice", Code::ModuleNotFound, "remove one"),
        ] {
            let fault = find(name, &["a/b.yaml", "twice.yml", "twice.json"], &["platform"]).expect_err(name);
            assert_eq!(fault.code, code, "{name}");
            assert!(fault.hint.as_deref().unwrap_or_default().contains(hint), "{name}: {fault:?}");
        }
        let fault = find("x/y@v1", &[], &[]).expect_err("unknown");
        assert!(fault.hint.expect("a hint").contains("longboat.yaml"));
    }
}
