//! Modules: where they are found, and their headers (FORMAT section 2).

use std::sync::Arc;

use rust_embed::RustEmbed;

use super::budget::Budget;
use super::fault::Fault;
use super::file::File;
use super::template::Template;
use super::yaml;
use super::yaml::{Input, Places};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::{Limits, Node, NodeValue, Origin};

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

/// A module's header.
#[derive(Debug)]
pub(super) struct Header {
    /// The parameters, in the author's order.
    pub(super) parameters: Vec<Parameter>,
}

/// A parameter of a module.
#[derive(Debug)]
pub(super) struct Parameter {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Whether a call must give it, if it has no default.
    pub(super) required: bool,
    /// What it is if a call doesn't give it.
    pub(super) default: Option<Arc<Node>>,
    /// For people.
    pub(super) description: Option<String>,
    /// Where it is declared.
    pub(super) origin: Origin,
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
            (Some(read_header(&file, parts.header, limits)?), body)
        }
    };
    let template = Arc::new(Template::new(file, body, &[])?);
    Ok(Module { name: found.name.clone(), file: found.file.clone(), home: found.home, header, template })
}

/// Where the parts of a module's file are.
struct Parts {
    header: std::ops::Range<usize>,
    body: Option<usize>,
}

/// Finds the header: a first document whose first key is `module`, up to a line `---`.
fn split(text: &str) -> Option<Parts> {
    let mut at = 0;
    let mut start = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let separator = content == "---" || content.starts_with("--- ");
        match start {
            None if content.is_empty() || content.starts_with('#') || content == "---" => {}
            None if content.split(':').next().is_some_and(is_module_key) => start = Some(at),
            None => return None,
            Some(header) if separator => {
                return Some(Parts {
                    header: header..at,
                    body: Some(at + if content == "---" { line.len() } else { 4 }),
                });
            }
            Some(_) => {}
        }
        at += line.len();
    }
    start.map(|header| Parts { header: header..text.len(), body: None })
}

fn is_module_key(text: &str) -> bool {
    matches!(text.trim_start_matches('{').trim().trim_matches(['"', '\'']), "module")
}

const HEADER_KEYS: [&str; 3] = ["description", "yields", "parameters"];
const PARAMETER_KEYS: [&str; 9] =
    ["type", "required", "default", "description", "pattern", "min", "max", "options", "deprecated"];

fn read_header(file: &Arc<File>, range: std::ops::Range<usize>, limits: &Limits) -> Result<Header, Vec<Diagnostic>> {
    let root = read_data(file, range, limits)?;
    let mut findings = Vec::new();
    let mut refuse = |origin: &Origin, message: String, hint: Option<String>| {
        let mut finding = Diagnostic::error(Code::ModuleHeader, message);
        finding.hint = hint;
        findings.push(origin.locate(finding));
    };
    let known = |key: &str, keys: &[&'static str]| {
        nearest(key, keys.iter().copied()).map(|near| format!("did you mean `{near}`?"))
    };
    for (key, _) in root.as_map().unwrap_or_default() {
        if &*key.name != "module" {
            let hint = "the header holds `module` alone; the body stands behind the line `---`";
            refuse(&key.origin, format!("`{}` can't stand in a module's header", key.name), Some(hint.to_owned()));
        }
    }
    let mut parameters = Vec::new();
    let module = root.get("module");
    for (key, node) in module.and_then(Node::as_map).unwrap_or_default() {
        match (&*key.name, &node.value) {
            ("description" | "yields", NodeValue::String(_)) | ("parameters", NodeValue::Null) => {}
            ("parameters", NodeValue::Map(declared)) => {
                for (key, node) in declared {
                    for (field, _) in node.as_map().unwrap_or_default() {
                        if !PARAMETER_KEYS.contains(&&*field.name) {
                            let message = format!("a parameter has no `{}`", field.name);
                            refuse(&field.origin, message, known(&field.name, &PARAMETER_KEYS));
                        }
                    }
                    if node.as_map().is_none() && !node.is_null() {
                        let message = format!("the parameter `{}` is {}, not a mapping", key.name, node.kind());
                        let hint = format!("write `{}: {{type: string}}`", key.name);
                        refuse(&node.origin, message, Some(hint));
                    }
                    parameters.push(parameter(key.name.clone(), &key.origin, node));
                }
            }
            (name, _) if HEADER_KEYS.contains(&name) => {
                let wanted = if name == "parameters" { "a mapping of parameters" } else { "text" };
                refuse(&node.origin, format!("`{name}` is {}; it should be {wanted}", node.kind()), None);
            }
            (name, _) => {
                refuse(&key.origin, format!("a module's header has no `{name}`"), known(name, &HEADER_KEYS));
            }
        }
    }
    if let Some(node) = module.filter(|node| node.as_map().is_none() && !node.is_null()) {
        refuse(&node.origin, format!("`module` is {}; it should be a mapping", node.kind()), None);
    }
    if findings.is_empty() { Ok(Header { parameters }) } else { Err(findings) }
}

fn parameter(name: Arc<str>, origin: &Origin, node: &Arc<Node>) -> Parameter {
    let field = |key: &str| node.entry(key).map(|(_, node)| node.clone());
    Parameter {
        name,
        required: matches!(field("required").map(|node| node.value.clone()), Some(NodeValue::Bool(true))),
        default: field("default"),
        description: field("description").and_then(|node| node.as_str().map(str::to_owned)),
        origin: origin.clone(),
    }
}

/// Reads a stretch of a file that is data: no templates, no modules.
pub(super) fn read_data(
    file: &Arc<File>,
    range: std::ops::Range<usize>,
    limits: &Limits,
) -> Result<Arc<Node>, Vec<Diagnostic>> {
    let template = Template::plain(file.clone(), range.start);
    let budget = Budget::new(limits);
    let input = Input {
        text: &file.text[range.clone()],
        file,
        base: range.start,
        places: Places::Plain,
        template: &template,
        frame: None,
        origin: file.origin(0, 0),
        budget: &budget,
    };
    let read = yaml::read(&input);
    match read.root {
        Some(root) if read.findings.is_empty() => Ok(root),
        _ => Err(read.findings),
    }
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

    fn loaded(text: &str) -> Result<Module, Vec<Diagnostic>> {
        let found = Found { name: "m".into(), file: "m.yaml".into(), home: Home::Repository };
        load(&found, text.as_bytes().to_vec(), &Limits::default())
    }

    #[test]
    fn headers_are_split_off_and_read() {
        let text = "# about\nmodule:\n  yields: stage\n  parameters:\n    image: {type: string, required: true}\n    n: {default: 2}\n---\ntype: {{ image }}\n";
        let module = loaded(text).expect("good");
        let header = module.header.expect("has a header");
        assert_eq!(header.parameters.len(), 2);
        assert!(header.parameters[0].required);
        assert_eq!(header.parameters[1].default.as_ref().map(|node| node.to_json()), Some(2.into()));
        assert_eq!(module.template.base, text.find("type: {{").expect("body"));
        assert!(loaded("type: wait\nmodule: x\n").expect("good").header.is_none());
        assert!(loaded("{\"module\": {}}\n---\n{}").expect("good").header.is_some());
    }

    #[test]
    fn a_wrong_header_says_where() {
        for (text, line, message) in [
            ("module: {}\n", 1, "not followed by a body"),
            ("module: {parametres: {}}\n---\n", 1, "no `parametres`"),
            ("module:\n  parameters:\n    a: {requird: true}\n---\n", 3, "no `requird`"),
            ("module:\n  parameters: [a]\n---\n", 2, "a mapping of parameters"),
            ("module: text\n---\n", 1, "should be a mapping"),
            ("module: {}\nother: 1\n---\n", 2, "`other` can't stand"),
            ("module: {\n---\n", 1, "YAML"),
        ] {
            let findings = loaded(text).expect_err(text);
            let finding = &findings[0];
            assert!(finding.message.contains(message), "{text}: {finding}");
            if message != "YAML" {
                assert_eq!(finding.place.as_ref().map(|place| place.line), Some(line), "{text}");
            }
        }
    }
}
