//! Turns the template engine's errors into findings that speak of the author's file.

use std::error::Error as _;
use std::ops::Range;

use minijinja::{Error, ErrorKind};

use super::prepass::VARS;
use super::reserved;
use super::template::Template;
use crate::diagnostic::{Code, Diagnostic, nearest};

/// An error of a function or of the formatter, on its way through the engine.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    /// What kind of finding it is.
    pub(super) code: Code,
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Fault {
    /// A fault without a hint.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As a finding without a place.
    pub(super) fn finding(&self) -> Diagnostic {
        let mut finding = Diagnostic::error(self.code, self.message.clone());
        finding.hint.clone_from(&self.hint);
        finding
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(ErrorKind::InvalidOperation, fault.message.clone()).with_source(fault)
    }
}

/// The end of a file's render: a limit is reached, and that has been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rendering was stopped")]
pub(super) struct Stopped;

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        Self::new(ErrorKind::InvalidOperation, "rendering was stopped").with_source(stopped)
    }
}

/// A syntax error, found in the original text. `open` is the last block that is not closed before it.
pub(super) fn syntax(template: &Template, error: &Error, open: Option<&(Box<str>, Range<usize>)>) -> Diagnostic {
    let file = &template.file;
    if let Some((word, range)) = open
        && error.detail().is_some_and(|detail| detail.contains("unexpected end of input"))
    {
        return Diagnostic::error(Code::TemplateSyntax, format!("`{{% {word} %}}` is not closed"))
            .at(file.place(range.start, range.end))
            .hint(format!("put `{{% end{word} %}}` where it ends"));
    }
    let range = error
        .range()
        .map_or(template.base..template.base, |range| template.base + range.start..template.base + range.end);
    let message = error.detail().unwrap_or("syntax error");
    let mut finding =
        Diagnostic::error(Code::TemplateSyntax, format!("template: {message}")).at(file.place(range.start, range.end));
    let line = file.line_at(range.start);
    finding.hint = syntax_hint(line).or_else(|| comment_hint(line)).map(str::to_owned);
    finding
}

/// An error in the rewritten text of a template that is right as its author wrote it: what bounds an operation makes a tag
/// nest deeper, and the engine takes a tag only up to a depth.
pub(super) fn too_deep(template: &Template, error: &Error) -> Diagnostic {
    let message = "a tag nests its operations deeper than can be counted";
    let finding = Diagnostic::error(Code::TemplateSyntax, message);
    place(template, error, finding.hint("compute parts of it before, with `{% set part = ... %}`"))
}

fn syntax_hint(line: &str) -> Option<&'static str> {
    if line.contains("{{{") {
        return Some("`{{{` reads as a dictionary inside a tag: put a space after the first brace");
    }
    if line.contains("{{ .") || line.contains("${{") {
        return Some("for another tool's braces write {% raw %}{{ ... }}{% endraw %}");
    }
    None
}

/// The hint for a tag that stands in a YAML comment, which the template language doesn't know.
fn comment_hint(line: &str) -> Option<&'static str> {
    line.trim_start()
        .starts_with('#')
        .then_some("a tag in a YAML comment is evaluated all the same; write the comment as `{# ... #}`")
}

/// An error while the template ran; nothing if it has been reported already. `names` are the names that the
/// template sees, with the steps below `vars`.
pub(super) fn runtime(template: &Template, error: &Error, names: &[String]) -> Option<Diagnostic> {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<Stopped>() {
            return None;
        }
        if let Some(fault) = inner.downcast_ref::<Fault>() {
            return Some(place(template, error, fault.finding()));
        }
        source = inner.source();
    }
    let detail = authors_words(&reserved::readable(without_location(error.detail().unwrap_or_default())));
    let or_kind = |what: &str| if detail.is_empty() { what.to_owned() } else { detail.clone() };
    let finding = match error.kind() {
        ErrorKind::UndefinedError => {
            let finding = Diagnostic::error(Code::UndefinedValue, or_kind("a value that doesn't exist is used"));
            with_hint(finding, undefined_hint(&detail, names))
        }
        ErrorKind::OutOfFuel => Diagnostic::error(Code::OutOfFuel, "the template ran for too long")
            .hint("it may run a limited number of steps: loop over less, or split the file"),
        ErrorKind::WriteFailure => Diagnostic::error(Code::OutputTooLarge, "the template yields too much text")
            .hint("loop over less, or split the file"),
        ErrorKind::UnknownFunction => {
            let name = detail.trim_end_matches(" is unknown");
            let finding = Diagnostic::error(Code::UndefinedValue, format!("there is no function `{name}`"));
            with_hint(finding, function_hint(name, names))
        }
        ErrorKind::UnknownFilter => {
            let name = detail.trim_start_matches("filter ").trim_end_matches(" is unknown");
            let finding = Diagnostic::error(Code::UndefinedValue, format!("there is no filter `{name}`"));
            with_hint(finding, nearest(name, FILTERS).map(did_you_mean))
        }
        ErrorKind::UnknownTest => {
            let finding = Diagnostic::error(Code::UndefinedValue, or_kind("the test is unknown"));
            let name = detail.trim_start_matches("test ").trim_end_matches(" is unknown");
            with_hint(finding, nearest(name, TESTS).map(did_you_mean))
        }
        kind => Diagnostic::error(Code::TemplateFailed, or_kind(&kind.to_string())),
    };
    Some(place(template, error, finding))
}

/// The codes of limits that a file has for all of its runs together.
pub(super) const OF_LIMITS: [Code; 4] = [Code::OutOfFuel, Code::OutputTooLarge, Code::TooManyNodes, Code::ModuleLimit];

/// Whether an error says that a limit is reached.
pub(super) fn is_of_limits(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.downcast_ref::<Fault>().is_some_and(|fault| OF_LIMITS.contains(&fault.code)) {
            return true;
        }
        source = inner.source();
    }
    matches!(error.kind(), ErrorKind::OutOfFuel | ErrorKind::WriteFailure)
}

fn place(template: &Template, error: &Error, mut finding: Diagnostic) -> Diagnostic {
    let range = match (error.range(), error.line()) {
        (Some(range), _) => template.original(range),
        (None, Some(line)) => {
            let start = template.original_line(line);
            start..start
        }
        (None, None) => template.base..template.base,
    };
    if finding.hint.is_none() {
        finding.hint = comment_hint(template.file.line_at(range.start)).map(str::to_owned);
    }
    finding.at(template.file.place(range.start, range.end))
}

fn with_hint(mut finding: Diagnostic, hint: Option<String>) -> Diagnostic {
    finding.hint = hint;
    finding
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The engine adds lines of the rewritten text to some messages; they mean nothing to the author.
fn without_location(detail: &str) -> &str {
    let end = [" (from ", ", from "].iter().filter_map(|words| detail.find(words)).min();
    end.map_or(detail, |end| &detail[..end])
}

/// The names that the author wrote, instead of those that the pre-pass made of them.
fn authors_words(detail: &str) -> String {
    let mut parts = detail.split(VARS);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("vars");
        out.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    out
}

/// Whether a finding about a template is true whatever its variables are.
pub(super) fn is_certain_without_variables(finding: &Diagnostic) -> bool {
    // What a module doesn't find may be in what it should have been given.
    if matches!(finding.code, Code::UndefinedValue) {
        return finding.chain.is_empty();
    }
    matches!(
        finding.code,
        Code::YamlSyntax
            | Code::DuplicateKey
            | Code::TemplateSyntax
            | Code::RefusedStatement
            | Code::ModuleNotFound
            | Code::ModuleRecursion
            | Code::ModuleRepository
            | Code::ModuleHeader
            | Code::ModuleRepositoryUnread
            | Code::ModuleReference
            | Code::AmbiguousReference
            | Code::MovedTag
    )
}

/// The nearest of the known names, or where a name lives that was looked for in the wrong place.
fn undefined_hint(detail: &str, names: &[String]) -> Option<String> {
    let name = detail.split('`').nth(1)?;
    // A name that is known all the same is one that isn't known here.
    let all = || names.iter().map(String::as_str).filter(|known| *known != name);
    let in_vars = format!("vars.{name}");
    if let Some(near) = all().find(|known| *known == in_vars).or_else(|| nearest(name, all())) {
        return Some(did_you_mean(near));
    }
    if let Some((owner, step)) = name.rsplit_once('.') {
        let prefix = format!("{owner}.");
        let near = nearest(step, all().filter_map(|known| known.strip_prefix(&prefix)));
        let known = all().filter_map(|known| known.strip_prefix(&prefix)).filter(|step| !step.contains('.'));
        let mut known: Vec<&str> = known.take(10).collect();
        known.dedup();
        return match near {
            Some(near) => Some(did_you_mean(&format!("{owner}.{near}"))),
            None if known.is_empty() => None,
            None => Some(format!("`{owner}` has {}", known.join(", "))),
        };
    }
    match name {
        "parameters" | "trigger" | "execution" | "stages" | "secrets" => {
            Some(format!("`{name}` is known when the pipeline runs: write `${{ {name}... }}` instead of `{{{{ }}}}`"))
        }
        _ => Some(format!("if it may be missing, write `{name}|default(...)`")),
    }
}

fn function_hint(name: &str, names: &[String]) -> Option<String> {
    match name {
        "namespace" => {
            Some("values can't be carried out of a loop; use filters, or a module that gets the list".into())
        }
        "debug" | "env" | "now" => {
            Some("rendering sees files and variables only, so that it always yields the same".into())
        }
        _ => {
            let functions = ["module", "file", "range", "dict"];
            let all = names.iter().map(String::as_str).chain(functions);
            nearest(name, all).map(did_you_mean)
        }
    }
}

const FILTERS: [&str; 47] = [
    "lower",
    "upper",
    "title",
    "capitalize",
    "replace",
    "length",
    "count",
    "dictsort",
    "items",
    "reverse",
    "trim",
    "join",
    "split",
    "lines",
    "default",
    "d",
    "round",
    "abs",
    "int",
    "float",
    "attr",
    "first",
    "last",
    "min",
    "max",
    "sort",
    "list",
    "string",
    "bool",
    "batch",
    "slice",
    "sum",
    "indent",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "map",
    "groupby",
    "unique",
    "chain",
    "zip",
    "pprint",
    "format",
    "tojson",
    "escape",
    "safe",
];

const TESTS: [&str; 26] = [
    "defined",
    "undefined",
    "none",
    "boolean",
    "odd",
    "even",
    "divisibleby",
    "number",
    "integer",
    "float",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "startingwith",
    "endingwith",
    "lower",
    "upper",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "in",
    "true",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_what_was_meant() {
        let names: Vec<String> = ["vars", "vars.region", "image", "branch"].map(str::to_owned).into();
        let hint = |detail: &str| undefined_hint(detail, &names).unwrap_or_default();
        assert_eq!(hint("`imgae` is undefined"), "did you mean `image`?");
        assert_eq!(hint("`region` is undefined"), "did you mean `vars.region`?");
        assert_eq!(hint("`vars.regoin` is undefined"), "did you mean `vars.region`?");
        assert_eq!(hint("`vars.other` is undefined"), "`vars` has region");
        assert!(hint("`trigger` is undefined").contains("${ trigger"));
        assert_eq!(authors_words("`__vars12.x` is undefined"), "`vars.x` is undefined");
        assert_eq!(without_location("`x` is undefined (from line 3)"), "`x` is undefined");
        assert_eq!(without_location("bad (`x` is undefined, from line 3)"), "bad (`x` is undefined");
    }
}
