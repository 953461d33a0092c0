//! Headers of modules: what a module says about itself, before the line `---` (FORMAT section 2).

mod split;

use std::ops::Range;
use std::sync::Arc;

pub(super) use self::split::split;
use super::data::read_data;
use super::file::File;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::{Limits, Node, NodeValue, Origin};

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

impl Header {
    /// Reads the header that stands in this stretch of a module's file.
    pub(super) fn read(file: &Arc<File>, range: Range<usize>, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        read(file, range, limits)
    }
}

const HEADER_KEYS: [&str; 3] = ["description", "yields", "parameters"];
const PARAMETER_KEYS: [&str; 9] =
    ["type", "required", "default", "description", "pattern", "min", "max", "options", "deprecated"];

fn read(file: &Arc<File>, range: Range<usize>, limits: &Limits) -> Result<Header, Vec<Diagnostic>> {
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

#[cfg(test)]
mod tests {
    use super::super::lookup::Found;
    use super::super::module::{Module, load};
    use super::*;

    fn loaded(text: &str) -> Result<Module, Vec<Diagnostic>> {
        let found = Found::in_repository("m", "m.yaml");
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
