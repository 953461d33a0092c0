//! Reads headers. Everything that is wrong with one is reported at once, each at its place.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use super::super::data::read_data;
use super::super::file::File;
use super::kind::quoted;
use super::pattern::Pattern;
use super::{Bounds, Example, Header, Parameter, ParameterKind, Yields};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::{Key, Limits, Node, NodeValue, Origin};
use crate::schema::format::keys;
use crate::schema::module::{ModuleExampleFile, ModuleHeaderFile, ModuleParameterFile};

static HEADER_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ModuleHeaderFile>);
static PARAMETER_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ModuleParameterFile>);
static EXAMPLE_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ModuleExampleFile>);

/// The most parameters of a module.
const MAX_PARAMETERS: usize = 100;
/// The most options of a parameter.
const MAX_OPTIONS: usize = 200;
/// The most examples of a module.
const MAX_EXAMPLES: usize = 20;
/// The longest description, in characters.
const MAX_TEXT: usize = 2000;
/// The longest name of a parameter, in bytes.
const MAX_NAME: usize = 63;

/// Names that mean something else in every template.
const TAKEN: [&str; 20] = [
    "vars", "module", "file", "range", "dict", "loop", "self", "caller", "true", "false", "none", "True", "False",
    "None", "and", "or", "not", "in", "is", "if",
];

/// Reads the header that stands in this stretch of a module's file.
pub(super) fn read(file: &Arc<File>, range: Range<usize>, limits: &Limits) -> Result<Header, Vec<Diagnostic>> {
    let root = read_data(file, range, limits)?;
    let mut reader = Reader::default();
    for (key, _) in root.as_map().unwrap_or_default() {
        if &*key.name != "module" {
            let hint = "the header holds `module` alone; the body stands behind the line `---`";
            reader.refuse(&key.origin, format!("`{}` can't stand in a module's header", key.name), hint);
        }
    }
    let header = reader.header(&root);
    if reader.findings.is_empty() { Ok(header) } else { Err(reader.findings) }
}

#[derive(Default)]
struct Reader {
    findings: Vec<Diagnostic>,
}

impl Reader {
    fn say(&mut self, origin: &Origin, message: String, hint: Option<String>) {
        let mut finding = Diagnostic::error(Code::ModuleHeader, message);
        finding.hint = hint;
        self.findings.push(origin.locate(finding));
    }

    fn refuse(&mut self, origin: &Origin, message: impl Into<String>, hint: &str) {
        self.say(origin, message.into(), Some(hint.to_owned()));
    }

    /// Names the keys of a mapping that aren't known; `what` names the mapping: `a parameter`.
    fn check_keys(&mut self, entries: &[(Key, Arc<Node>)], known: &[String], what: &str) {
        for (key, _) in entries.iter().filter(|(key, _)| !known.iter().any(|known| **known == *key.name)) {
            let hint = match nearest(&key.name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {}", known.join(", ")),
            };
            self.say(&key.origin, format!("{what} has no `{}`", key.name), Some(hint));
        }
    }

    /// The value of a key, if it is not null.
    fn field<'a>(entries: &'a [(Key, Arc<Node>)], name: &str) -> Option<&'a Arc<Node>> {
        entries.iter().find(|(key, _)| &*key.name == name).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    fn text(&mut self, entries: &[(Key, Arc<Node>)], name: &str) -> Option<String> {
        let node = Self::field(entries, name)?;
        match node.as_str() {
            Some(text) if text.chars().count() <= MAX_TEXT => Some(text.trim_end().to_owned()),
            Some(_) => {
                self.say(&node.origin, format!("`{name}` has more than {MAX_TEXT} characters"), None);
                None
            }
            None => {
                self.say(&node.origin, format!("`{name}` is {}; it should be text", node.kind()), None);
                None
            }
        }
    }

    fn flag(&mut self, entries: &[(Key, Arc<Node>)], name: &str) -> bool {
        let Some(node) = Self::field(entries, name) else { return false };
        if let NodeValue::Bool(flag) = node.value {
            return flag;
        }
        self.say(&node.origin, format!("`{name}` is {}; it should be true or false", node.kind()), None);
        false
    }

    fn header(&mut self, root: &Node) -> Header {
        let origin = root.origin.clone();
        let empty = Header { description: None, yields: None, parameters: Vec::new(), examples: Vec::new(), origin };
        let Some(module) = root.get("module").filter(|node| !node.is_null()) else { return empty };
        let Some(entries) = module.as_map() else {
            self.say(&module.origin, format!("`module` is {}; it should be a mapping", module.kind()), None);
            return empty;
        };
        self.check_keys(entries, &HEADER_KEYS, "a module's header");
        Header {
            description: self.text(entries, "description"),
            yields: self.yields(entries),
            parameters: self.parameters(entries),
            examples: self.examples(entries),
            ..empty
        }
    }

    fn yields(&mut self, entries: &[(Key, Arc<Node>)]) -> Option<Yields> {
        let node = Self::field(entries, "yields")?;
        let found = node.as_str().and_then(Yields::named);
        if found.is_none() {
            let names = || Yields::ALL.iter().map(|(name, _)| *name);
            let near = nearest(node.as_str().unwrap_or_default(), names());
            let hint = near.map_or_else(
                || format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.say(&node.origin, format!("a module can't yield {}", quoted(node)), Some(hint));
        }
        found
    }

    fn parameters(&mut self, entries: &[(Key, Arc<Node>)]) -> Vec<Parameter> {
        let Some(node) = Self::field(entries, "parameters") else { return Vec::new() };
        let Some(declared) = node.as_map() else {
            let message = format!("`parameters` is {}; it should be a mapping of parameters", node.kind());
            self.say(&node.origin, message, Some("write `parameters: {name: {type: string}}`".to_owned()));
            return Vec::new();
        };
        if declared.len() > MAX_PARAMETERS {
            let message = format!("a module has {} parameters; the limit is {MAX_PARAMETERS}", declared.len());
            self.refuse(&node.origin, message, "group some of them in one of the type `object`");
            return Vec::new();
        }
        declared.iter().map(|(key, node)| self.parameter(key, node)).collect()
    }

    fn parameter(&mut self, key: &Key, node: &Arc<Node>) -> Parameter {
        self.name(key);
        if node.as_map().is_none() && !node.is_null() {
            let message = format!("the parameter `{}` is {}, not a mapping", key.name, node.kind());
            self.say(&node.origin, message, Some(format!("write `{}: {{type: string}}`", key.name)));
        }
        let entries = node.as_map().unwrap_or_default();
        self.check_keys(entries, &PARAMETER_KEYS, "a parameter");
        let kind = self.kind(entries, "type", &ParameterKind::ALL);
        let before = self.findings.len();
        let mut parameter = Parameter {
            name: key.name.clone(),
            kind,
            items: self.items(entries, kind),
            required: self.flag(entries, "required"),
            default: None,
            options: self.options(entries, kind),
            pattern: self.pattern(entries, kind),
            bounds: self.bounds(entries, kind),
            description: self.text(entries, "description"),
            deprecated: self.text(entries, "deprecated"),
            origin: key.origin.clone(),
        };
        if let Some(default) = Self::field(entries, "default") {
            parameter.default = Some(default.clone());
            if parameter.required {
                let hint = "leave one of them out: what has a default need not be given";
                self.refuse(&default.origin, format!("`{}` is required and has a default", key.name), hint);
            }
            // With a broken declaration, complaints about the default would be guesses.
            if self.findings.len() == before {
                match parameter.judge(default) {
                    Ok(default) => parameter.default = Some(default),
                    Err(misfit) => {
                        let item = misfit.item.and_then(|item| default.as_list()?.get(item));
                        let origin = item.map_or(&default.origin, |item| &item.origin);
                        let message = format!("the default of `{}` doesn't fit: it {}", key.name, misfit.message);
                        self.say(origin, message, misfit.hint);
                    }
                }
            }
        }
        parameter
    }

    /// A parameter is used by its name, so the name has to be one that templates can write.
    fn name(&mut self, key: &Key) {
        let name = &*key.name;
        let mut letters = name.chars();
        let good = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !good || name.len() > MAX_NAME {
            let shown: String = name.chars().take(MAX_NAME).collect();
            let hint = format!("letters, digits and `_`, at most {MAX_NAME}, and no digit first: `replica_count`");
            self.say(&key.origin, format!("`{shown}` can't be the name of a parameter"), Some(hint));
        } else if TAKEN.contains(&name) || name.starts_with("__") {
            let message = format!("`{name}` means something else in templates, and can't be a parameter");
            self.refuse(&key.origin, message, "take another name");
        }
    }

    fn kind(
        &mut self,
        entries: &[(Key, Arc<Node>)],
        field: &str,
        known: &[(&'static str, ParameterKind)],
    ) -> Option<ParameterKind> {
        let node = Self::field(entries, field)?;
        let name = node.as_str().unwrap_or_default();
        if let Some((_, kind)) = known.iter().find(|(known, _)| *known == name) {
            return Some(*kind);
        }
        let names = || known.iter().map(|(name, _)| *name);
        let hint = match (name, nearest(name, names())) {
            (_, Some(near)) => format!("did you mean `{near}`?"),
            ("map" | "mapping" | "dict", None) => "write `object`".to_owned(),
            ("array" | "sequence", None) => "write `list`".to_owned(),
            ("text" | "str", None) => "write `string`".to_owned(),
            ("int", None) => "write `integer`".to_owned(),
            ("float" | "double", None) => "write `number`".to_owned(),
            ("bool", None) => "write `boolean`".to_owned(),
            _ => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        self.say(&node.origin, format!("there is no type {}", quoted(node)), Some(hint));
        None
    }

    fn items(&mut self, entries: &[(Key, Arc<Node>)], kind: Option<ParameterKind>) -> Option<ParameterKind> {
        let node = Self::field(entries, "items")?;
        if kind != Some(ParameterKind::List) {
            self.refuse(&node.origin, "`items` says of what a list is", "write `type: list`");
            return None;
        }
        // An enum needs options and a secret is no list's item; the rest can be told from the value alone.
        let known: Vec<_> = ParameterKind::ALL
            .into_iter()
            .filter(|(_, kind)| !matches!(kind, ParameterKind::Enum | ParameterKind::Secret))
            .collect();
        self.kind(entries, "items", &known)
    }

    fn options(&mut self, entries: &[(Key, Arc<Node>)], kind: Option<ParameterKind>) -> Vec<Arc<Node>> {
        let Some(node) = Self::field(entries, "options") else {
            if kind == Some(ParameterKind::Enum)
                && let Some(node) = Self::field(entries, "type")
            {
                self.refuse(&node.origin, "an enum has `options`", "add `options: [one, other]`");
            }
            return Vec::new();
        };
        if kind != Some(ParameterKind::Enum) {
            self.refuse(&node.origin, "`options` are those of an enum", "write `type: enum`");
            return Vec::new();
        }
        let options = match node.as_list() {
            Some(options) if !options.is_empty() && options.len() <= MAX_OPTIONS => options,
            _ => {
                let message = format!("`options` has to be a list of 1 to {MAX_OPTIONS} values");
                self.refuse(&node.origin, message, "write `options: [one, other]`");
                return Vec::new();
            }
        };
        for (at, option) in options.iter().enumerate() {
            if !ParameterKind::Enum.fits(option) {
                let message = format!("an option is text, a number, true or false, not {}", option.kind());
                self.say(&option.origin, message, None);
            } else if options[..at].iter().any(|other| other.to_json() == option.to_json()) {
                self.say(&option.origin, format!("the option {} stands twice", quoted(option)), None);
            }
        }
        options.to_vec()
    }

    fn pattern(&mut self, entries: &[(Key, Arc<Node>)], kind: Option<ParameterKind>) -> Option<Pattern> {
        let node = Self::field(entries, "pattern")?;
        if kind != Some(ParameterKind::String) {
            self.refuse(&node.origin, "a `pattern` is for texts", "write `type: string`");
            return None;
        }
        let Some(text) = node.as_str() else {
            self.say(&node.origin, format!("`pattern` is {}; it should be text", node.kind()), None);
            return None;
        };
        let read = Pattern::new(text);
        read.map_err(|error| {
            let hint = "it is a regular expression that the whole text has to match, like `v[0-9]+`";
            self.refuse(&node.origin, format!("the pattern can't be read: {error}"), hint);
        })
        .ok()
    }

    fn bounds(&mut self, entries: &[(Key, Arc<Node>)], kind: Option<ParameterKind>) -> Bounds {
        let mut bounds = Bounds { min: self.bound(entries, "min", kind), max: self.bound(entries, "max", kind) };
        if let (Some(min), Some(max)) = (bounds.min, bounds.max)
            && min > max
            && let Some(node) = Self::field(entries, "max")
        {
            self.refuse(&node.origin, format!("`min` is {min}, and `max` is {max}: nothing fits"), "swap them");
            bounds = Bounds::default();
        }
        bounds
    }

    fn bound(&mut self, entries: &[(Key, Arc<Node>)], name: &str, kind: Option<ParameterKind>) -> Option<f64> {
        let node = Self::field(entries, name)?;
        let counts = matches!(kind, Some(ParameterKind::String | ParameterKind::List));
        if !counts && !matches!(kind, Some(ParameterKind::Integer | ParameterKind::Number)) {
            let message = format!("`{name}` is for numbers, and for the length of texts and lists");
            self.refuse(&node.origin, message, "write `type: integer`, or leave it out");
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "bounds are compared as the numbers that they are written as")]
        let number = match node.value {
            NodeValue::Int(number) => Some(number as f64),
            NodeValue::Float(number) if number.is_finite() => Some(number),
            _ => None,
        };
        let whole = matches!(kind, Some(ParameterKind::Integer)) || counts;
        let good = number.filter(|number| (!whole || number.fract() == 0.0) && (!counts || *number >= 0.0));
        if good.is_none() {
            let wanted = match (counts, whole) {
                (true, _) => "a count: a whole number from 0",
                (false, true) => "a whole number",
                (false, false) => "a number",
            };
            self.say(&node.origin, format!("`{name}` is {}; it should be {wanted}", quoted(node)), None);
        }
        good
    }

    fn examples(&mut self, entries: &[(Key, Arc<Node>)]) -> Vec<Example> {
        let Some(node) = Self::field(entries, "examples") else { return Vec::new() };
        let items = match node.as_list() {
            Some(items) if items.len() <= MAX_EXAMPLES => items,
            _ => {
                let message = format!("`examples` has to be a list of at most {MAX_EXAMPLES} examples");
                self.refuse(&node.origin, message, "write `examples: [{with: {name: value}}]`");
                return Vec::new();
            }
        };
        items.iter().filter_map(|item| self.example(item)).collect()
    }

    fn example(&mut self, node: &Node) -> Option<Example> {
        let Some(entries) = node.as_map() else {
            let message = format!("an example is a mapping, not {}", node.kind());
            self.refuse(&node.origin, message, "write `{description: text, with: {name: value}}`");
            return None;
        };
        self.check_keys(entries, &EXAMPLE_KEYS, "an example");
        let mut shaped = |name: &str, good: bool, wanted: &str| {
            if let Some(node) = Self::field(entries, name).filter(|_| !good) {
                self.say(&node.origin, format!("`{name}` is {}; it should be {wanted}", node.kind()), None);
            }
        };
        let with = Self::field(entries, "with");
        shaped("with", with.is_none_or(|node| node.as_map().is_some()), "a mapping of parameters");
        let before = Self::field(entries, "before");
        shaped("before", before.is_none_or(|node| node.as_list().is_some()), "a list of stages");
        Some(Example {
            description: self.text(entries, "description"),
            with: with.and_then(|node| node.as_map()).unwrap_or_default().to_vec(),
            before: before.and_then(|node| node.as_list()).unwrap_or_default().to_vec(),
            origin: node.origin.clone(),
        })
    }
}
