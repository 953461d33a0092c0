//! `.longboat/settings.yaml`: which module repositories the author of a repository works with.
//!
//! On a laptop they are used as they stand there. On a server the operator's configuration decides, and the settings are
//! a proposal to the operator: what the server doesn't have is told, and never fetched.

use std::sync::Arc;

use super::data::read_data;
use super::file::File;
use super::lookup::ENDINGS;
use super::{FOLDER, Request, SETTINGS};
use crate::config::{MODULE_FOLDER, MODULE_REPOSITORY_RULE, is_module_repository_name, module_folder};
use crate::diagnostic::{Code, Diagnostic, Place, nearest};
use crate::gitops::{Key, Limits, Node, NodeValue, Source};

/// The most module repositories that settings may name.
const MOST: usize = 100;
const KEYS: [&str; 3] = ["url", "ref", "path"];

/// What `.longboat/settings.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The module repositories, in the author's order.
    pub modules: Vec<ProposedModules>,
}

/// A module repository that a repository's settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedModules {
    /// The first part of the names of its modules.
    pub name: String,
    /// Where it is: an address, or a path on this machine, relative to the repository.
    pub url: String,
    /// What a name without `@` means; none: the default branch.
    pub reference: Option<String>,
    /// The folder of its modules; empty: the whole repository.
    pub folder: String,
    /// Where the settings say so.
    pub place: Place,
}

/// Reads the settings of a repository, and tells everything that is wrong with them; what is right counts all the same.
pub fn settings(source: &dyn Source, limits: &Limits) -> (Settings, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    for ending in ENDINGS {
        let path = format!("{FOLDER}/{SETTINGS}.{ending}");
        match source.read(&path) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                return match parse(&path, bytes, limits) {
                    Ok(root) => (read(&root, &mut findings), findings),
                    Err(findings) => (Settings::default(), findings),
                };
            }
            Err(error) => {
                let finding = Diagnostic::error(Code::UnreadablePath, error.to_string());
                return (Settings::default(), vec![finding.at(Place::point(path, 1, 1))]);
            }
        }
    }
    (Settings::default(), findings)
}

/// What a server has to say about a repository's settings.
pub(super) fn proposals(request: &Request<'_>) -> Vec<Diagnostic> {
    let (settings, mut findings) = settings(request.source, request.limits);
    let Some(library) = request.library else { return findings };
    let names = library.names();
    for proposed in settings.modules {
        let (name, url) = (&proposed.name, &proposed.url);
        let message = if !names.contains(name) {
            format!("the settings name the module repository `{name}`, which is not configured here; it is not fetched")
        } else if library.address(name).is_some_and(|address| !is_same(&address, url)) {
            format!(
                "the module repository `{name}` is configured here with another address, which is the one that counts"
            )
        } else {
            continue;
        };
        let hint = format!("to have it, the operator puts `{name}: {{url: {url}}}` below `modules:` of longboat.yaml");
        findings.push(Diagnostic::info(Code::ModuleProposal, message).hint(hint).at(proposed.place));
    }
    findings
}

/// Whether two addresses lead to the same place, as far as their texts tell.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase();
    plain(one) == plain(other)
}

fn parse(path: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Arc<Node>, Vec<Diagnostic>> {
    let file = Arc::new(File::new(path, bytes, limits)?);
    read_data(&file, 0..file.text.len(), limits)
}

fn read(root: &Node, findings: &mut Vec<Diagnostic>) -> Settings {
    let mut settings = Settings::default();
    for (key, node) in entries(root, "the settings", findings) {
        if &*key.name == "modules" {
            for (key, node) in entries(node, "`modules`", findings).iter().take(MOST) {
                settings.modules.extend(repository(key, node, findings));
            }
        } else {
            unknown(key, &["modules"], findings);
        }
    }
    settings
}

/// The entries of a mapping; none, with a finding, of what is something else.
fn entries<'n>(node: &'n Node, what: &str, findings: &mut Vec<Diagnostic>) -> &'n [(Key, Arc<Node>)] {
    if !node.is_null() && node.as_map().is_none() {
        let message = format!("{what} should be a mapping; this is {}", node.kind());
        findings.push(node.origin.locate(Diagnostic::error(Code::WrongType, message)));
    }
    node.as_map().unwrap_or_default()
}

fn unknown(key: &Key, known: &[&str], findings: &mut Vec<Diagnostic>) {
    let finding = Diagnostic::error(Code::UnknownKey, format!("`{}` is not known here", key.name));
    let hint = nearest(&key.name, known.iter().copied())
        .map_or_else(|| format!("there is `{}`", known.join("`, `")), |near| format!("did you mean `{near}`?"));
    findings.push(key.origin.locate(finding.hint(hint)));
}

fn repository(key: &Key, node: &Node, findings: &mut Vec<Diagnostic>) -> Option<ProposedModules> {
    if !is_module_repository_name(&key.name) {
        let message = format!("`{}` can't be the name of a module repository", key.name);
        let finding = Diagnostic::error(Code::BadIdentifier, message).hint(MODULE_REPOSITORY_RULE);
        findings.push(key.origin.locate(finding));
        return None;
    }
    for (field, _) in entries(node, &format!("`{}`", key.name), findings) {
        if !KEYS.contains(&&*field.name) {
            unknown(field, &KEYS, findings);
        }
    }
    let url = text(node, "url", findings);
    if url.is_none() && node.get("url").is_none() {
        let message = format!("the module repository `{}` has no `url`", key.name);
        let hint = "write its address, or the path of a repository on this machine";
        findings.push(key.origin.locate(Diagnostic::error(Code::MissingKey, message).hint(hint)));
    }
    let path = text(node, "path", findings);
    let folder = match path.as_deref().map(module_folder) {
        None => MODULE_FOLDER.to_owned(),
        Some(Some(folder)) => folder,
        Some(None) => {
            let message = "`path` is no folder inside the repository".to_owned();
            let finding = Diagnostic::error(Code::ValueNotAllowed, message).hint("write `.`, or a path like `modules`");
            findings.push(node.get("path").map_or(&key.origin, |node| &node.origin).locate(finding));
            return None;
        }
    };
    let reference = text(node, "ref", findings);
    Some(ProposedModules { name: key.name.to_string(), url: url?, reference, folder, place: key.origin.place() })
}

fn text(node: &Node, field: &str, findings: &mut Vec<Diagnostic>) -> Option<String> {
    let node = node.get(field)?;
    match &node.value {
        NodeValue::String(text) if !text.trim().is_empty() => Some(text.to_string()),
        // `ref: 1.2` is a number to YAML.
        NodeValue::Int(_) | NodeValue::Float(_) if field == "ref" => {
            let finding = Diagnostic::error(Code::WrongType, "`ref` should be text; this is a number");
            findings.push(node.origin.locate(finding.hint("put it in quotes")));
            None
        }
        _ => {
            let finding =
                Diagnostic::error(Code::WrongType, format!("`{field}` should be text; this is {}", node.kind()));
            findings.push(node.origin.locate(finding));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::MemorySource;

    fn read_text(text: &str) -> (Settings, Vec<Diagnostic>) {
        settings(&MemorySource::new([(".longboat/settings.yaml", text)]), &Limits::default())
    }

    #[test]
    fn module_repositories_are_named_with_their_defaults() {
        let text = "modules:\n  platform: {url: https://git.example.com/acme/modules, ref: v2, path: .}\n  local:\n    url: ../modules\n";
        let (settings, findings) = read_text(text);
        assert_eq!(findings, []);
        let told: Vec<_> = settings
            .modules
            .iter()
            .map(|one| {
                (one.name.as_str(), one.url.as_str(), one.reference.as_deref(), one.folder.as_str(), one.place.line)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("platform", "https://git.example.com/acme/modules", Some("v2"), "", 2),
                ("local", "../modules", None, ".longboat/modules", 3)
            ]
        );
        assert_eq!(settings_of_nothing(), (Settings::default(), Vec::new()));
    }

    fn settings_of_nothing() -> (Settings, Vec<Diagnostic>) {
        settings(&MemorySource::default(), &Limits::default())
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place_all_at_once() {
        let text = "\
module: {}
modules:
  std: {url: x}
  a: {uri: x}
  b: {url: [x]}
  c: {url: x, path: ../y}
  d: {url: x, ref: 1.2}
  e: 5
";
        let (settings, findings) = read_text(text);
        let told: Vec<_> = findings
            .iter()
            .map(|finding| (finding.place.as_ref().map_or(0, |place| place.line), finding.code))
            .collect();
        let expected = [
            (1, Code::UnknownKey),
            (3, Code::BadIdentifier),
            (4, Code::UnknownKey),
            (4, Code::MissingKey),
            (5, Code::WrongType),
            (6, Code::ValueNotAllowed),
            (7, Code::WrongType),
            (8, Code::WrongType),
            (8, Code::MissingKey),
        ];
        assert_eq!(told, expected);
        assert_eq!(settings.modules.len(), 1, "{settings:?}");
        assert_eq!(read_text("modules: {a: {\n").1[0].code, Code::YamlSyntax);
    }
}
