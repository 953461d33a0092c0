//! Modules: where they are found, and their headers (FORMAT section 2).

use std::sync::Arc;

use rust_embed::RustEmbed;

use super::fault::Fault;
use super::file::File;
use super::header::{Header, split};
use super::template::Template;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::Limits;

/// The modules that ship inside the program.
#[derive(RustEmbed)]
#[folder = "modules/"]
struct BuiltIn;

/// Where a repository keeps its modules.
pub(super) const FOLDER: &str = ".longboat/modules";
/// What a module's file may end with, in the order in which they are looked for.
pub(super) const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Where the names of modules are looked up: from where the calling file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// The repository that is rendered.
    Repository,
    /// The program's own library.
    BuiltIn,
}

/// A module that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its full name.
    pub(super) name: String,
    /// Its file: a path in the repository, or its full name if it is built in.
    pub(super) file: String,
    /// Where it is.
    pub(super) home: Home,
}

/// A module, ready to be called.
#[derive(Debug)]
pub(super) struct Module {
    /// Its full name.
    pub(super) name: String,
    /// Its file, which is also the name of its compiled template.
    pub(super) file: String,
    /// Where the modules that it calls are looked up.
    pub(super) home: Home,
    /// What it says about itself; without one, it takes any parameter.
    pub(super) header: Option<Header>,
    /// Its body.
    pub(super) template: Arc<Template>,
}

/// Looks a name up. `files` are the repository's files below [`FOLDER`].
pub(super) fn find(name: &str, home: Home, files: &[String]) -> Result<Found, Fault> {
    let good = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'))
    };
    let (path, revision) = name.split_once('@').map_or((name, None), |(path, revision)| (path, Some(revision)));
    if name.len() > 200 || !path.split('/').all(good) {
        let name: String = name.chars().take(80).collect();
        return Err(Fault::new(Code::ModuleNotFound, format!("`{name}` is not the name of a module"))
            .hint("a name is words of letters, digits, `-`, `_` and `.`, joined by `/`"));
    }
    if let Some(word) = path.strip_prefix("std/") {
        if revision.is_some() {
            return Err(Fault::new(Code::ModuleNotFound, "a built-in module has no revision to choose")
                .hint(format!("write `{path}`")));
        }
        return built_in(word);
    }
    if revision.is_some() {
        let repository = path.split('/').next().unwrap_or_default();
        return Err(Fault::new(Code::ModuleRepository, format!("no module repository `{repository}` is configured"))
            .hint("modules of other repositories are not available here; copy the module to `.longboat/modules/`"));
    }
    if home == Home::BuiltIn {
        return Err(Fault::new(Code::ModuleNotFound, format!("a built-in module can't call `{name}`, only `std/...`")));
    }
    let candidates: Vec<String> = ENDINGS.iter().map(|ending| format!("{FOLDER}/{path}.{ending}")).collect();
    let mut existing = candidates.iter().filter(|candidate| files.binary_search(candidate).is_ok());
    match (existing.next(), existing.next()) {
        (Some(file), None) => Ok(Found { name: path.to_owned(), file: file.clone(), home }),
        (Some(first), Some(second)) => {
            Err(Fault::new(Code::ModuleNotFound, format!("the module `{name}` exists twice: `{first}` and `{second}`"))
                .hint("remove one of them"))
        }
        (None, _) => Err(not_found(name, files)),
    }
}

fn not_found(name: &str, files: &[String]) -> Fault {
    let known: Vec<&str> = files.iter().filter_map(|file| module_name(file)).collect();
    let built_in: Vec<String> =
        BuiltIn::iter().filter_map(|file| word(&file).map(|word| format!("std/{word}"))).collect();
    let all = || known.iter().copied().chain(built_in.iter().map(String::as_str));
    let fault = Fault::new(Code::ModuleNotFound, format!("there is no module `{name}`"));
    let without_ending = ENDINGS.iter().find_map(|ending| name.strip_suffix(&format!(".{ending}")));
    if let Some(word) = without_ending.filter(|word| known.contains(word)) {
        return fault.hint(format!("write `{word}`, without the ending"));
    }
    if let Some(standard) = built_in.iter().find(|standard| standard.strip_prefix("std/") == Some(name)) {
        return fault.hint(format!("did you mean `{standard}`?"));
    }
    match nearest(name, all()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => {
            fault.hint(format!("it would be the file `{FOLDER}/{name}.yaml`; module repositories are not configured"))
        }
    }
}

fn built_in(word: &str) -> Result<Found, Fault> {
    let name = format!("std/{word}");
    if built_in_bytes(&name).is_some() {
        return Ok(Found { file: name.clone(), name, home: Home::BuiltIn });
    }
    let known: Vec<String> = BuiltIn::iter().filter_map(|file| self::word(&file).map(str::to_owned)).collect();
    let fault = Fault::new(Code::ModuleNotFound, format!("there is no built-in module `{name}`"));
    Err(match nearest(word, known.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `std/{near}`?")),
        None => fault.hint(format!(
            "there are {}",
            known.iter().map(|word| format!("`std/{word}`")).collect::<Vec<_>>().join(", ")
        )),
    })
}

/// The bytes of a built-in module.
pub(super) fn built_in_bytes(name: &str) -> Option<Vec<u8>> {
    let word = name.strip_prefix("std/")?;
    ENDINGS.iter().find_map(|ending| BuiltIn::get(&format!("{word}.{ending}"))).map(|file| file.data.into_owned())
}

/// A file's path without its ending, if it is one of a module.
fn word(file: &str) -> Option<&str> {
    let (word, ending) = file.rsplit_once('.')?;
    ENDINGS.contains(&ending).then_some(word)
}

/// The name by which a repository's module is called.
fn module_name(file: &str) -> Option<&str> {
    word(file.strip_prefix(FOLDER)?.strip_prefix('/')?)
}

/// Reads a module's file.
pub(super) fn load(found: &Found, bytes: Vec<u8>, limits: &Limits) -> Result<Module, Vec<Diagnostic>> {
    let file = Arc::new(File::new(&found.file, bytes, limits)?);
    let (header, body) = match split(&file.text) {
        None => (None, 0),
        Some(parts) => {
            let body = parts.body.ok_or_else(|| {
                let message = "the module's header is not followed by a body";
                vec![
                    Diagnostic::error(Code::ModuleHeader, message)
                        .at(file.place(parts.header.start, parts.header.start))
                        .hint("put a line `---` behind the header, and the body behind that"),
                ]
            })?;
            (Some(Header::read(&file, parts.header, limits)?), body)
        }
    };
    let template = Arc::new(Template::new(file, body, &[])?);
    Ok(Module { name: found.name.clone(), file: found.file.clone(), home: found.home, header, template })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, files: &[&str]) -> Result<Found, Fault> {
        let mut files: Vec<String> = files.iter().map(|file| format!("{FOLDER}/{file}")).collect();
        files.sort();
        find(name, Home::Repository, &files)
    }

    #[test]
    fn names_lead_to_files() {
        assert_eq!(found("a/b", &["a/b.yml"]).expect("found").file, ".longboat/modules/a/b.yml");
        assert_eq!(found("std/approve", &[]).expect("found").home, Home::BuiltIn);
        for (name, code, hint) in [
            ("a/c", Code::ModuleNotFound, "did you mean `a/b`?"),
            ("a/b.yaml", Code::ModuleNotFound, "write `a/b`, without the ending"),
            ("approve", Code::ModuleNotFound, "did you mean `std/approve`?"),
            ("std/aprove", Code::ModuleNotFound, "did you mean `std/approve`?"),
            ("platform/x@v1", Code::ModuleRepository, "copy the module"),
            ("../x", Code::ModuleNotFound, "a name is words"),
            ("/x", Code::ModuleNotFound, "a name is words"),
            ("a\\b", Code::ModuleNotFound, "a name is words"),
            ("twice", Code::ModuleNotFound, "remove one"),
        ] {
            let fault = found(name, &["a/b.yaml", "twice.yml", "twice.json"]).expect_err(name);
            assert_eq!(fault.code, code, "{name}");
            assert!(fault.hint.as_deref().unwrap_or_default().contains(hint), "{name}: {fault:?}");
        }
        assert!(find("x", Home::BuiltIn, &[format!("{FOLDER}/x.yaml")]).is_err());
    }
}
