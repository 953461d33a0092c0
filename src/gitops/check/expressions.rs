//! The expressions in a pipeline's stages: each can be read, and each variable that it names exists and has its
//! value by the time the stage starts.

use std::sync::LazyLock;

use serde_json::Value;

use super::graph::Graph;
use super::reader::{Field, Sink, cut, hinted};
use super::stage::Draft;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::expression::{Expression, ExpressionError, Reference, Scope, Template, covers, scan_expressions};
use crate::gitops::Origin;
use crate::model::{Cause, Dialect, Parameter, SecretName};

/// What expressions see under `trigger`.
static TRIGGER: LazyLock<Vec<String>> = LazyLock::new(|| {
    let cause = serde_json::to_value(Cause::default()).unwrap_or_default();
    cause.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
});
/// The most texts of a pipeline that hold expressions: each costs tens of microseconds.
const MAX_TEXTS: usize = 20_000;
/// What they see under `execution`, and of each stage.
const EXECUTION: [&str; 4] = ["id", "application", "pipeline", "createdTime"];
const STAGE: [&str; 2] = ["status", "outputs"];

/// What the expressions of a pipeline can name.
pub(super) struct Variables<'p, 'a> {
    /// Nothing, if they can't be told.
    pub(super) parameters: Option<&'p [Parameter]>,
    pub(super) dialect: Dialect,
    pub(super) graph: &'p Graph,
    pub(super) drafts: &'p [Draft<'a>],
}

/// What is wrong with a reference: a code, a message and, if there is one, a hint.
type Fault = (Code, String, Option<String>);

impl Variables<'_, '_> {
    /// Checks all expressions of all stages.
    pub(super) fn check(&self, sink: &mut Sink) {
        let mut count = 0;
        for (at, draft) in self.drafts.iter().enumerate() {
            if let Some((field, text)) = &draft.when {
                self.condition(at, field, text, sink);
            }
            // Of an unknown type it isn't known which fields are evaluated.
            let Some(raw) = &draft.raw else { continue };
            let own = Value::Object(draft.own.clone());
            for (pointer, text) in scan_expressions(&own, raw) {
                count += 1;
                if count > MAX_TEXTS {
                    let message = format!("the pipeline has more than {MAX_TEXTS} texts with expressions");
                    return draft.field.say(sink, Diagnostic::error(Code::TooManyNodes, message));
                }
                if sink.is_full() {
                    return;
                }
                let origin = draft.field.node.at(&pointer).map_or(&draft.field.node.origin, |node| &node.origin);
                let whole = format!("{}{pointer}", draft.field.pointer);
                match Template::parse(text) {
                    Ok(template) => {
                        let expressions: Vec<_> = template.expressions().collect();
                        for finding in self.references(at, text, &expressions) {
                            sink.add(origin, &whole, finding);
                        }
                        self.secrets(draft, &pointer, &expressions, origin, sink);
                    }
                    Err(error) => sink.add(origin, &whole, self.unreadable(text, error)),
                }
            }
        }
    }

    fn condition(&self, at: usize, field: &Field<'_>, text: &str, sink: &mut Sink) {
        let findings = match Expression::parse(text) {
            Ok(expression) => match expression.secret() {
                Some(name) => vec![misplaced(name, &[])],
                None => self.references(at, text, &[(&expression, 0)]),
            },
            Err(mut error) => {
                let inside = text.contains("${");
                error.hint = inside.then(|| "a condition is one expression, without `${ }`".to_owned()).or(error.hint);
                vec![self.unreadable(text, error)]
            }
        };
        findings.into_iter().for_each(|finding| field.say(sink, finding));
    }

    /// Notes the secrets that a text names, and refuses them where none can be used.
    fn secrets(
        &self,
        draft: &Draft<'_>,
        pointer: &str,
        expressions: &[(&Expression, usize)],
        origin: &Origin,
        sink: &mut Sink,
    ) {
        let whole = format!("{}{pointer}", draft.field.pointer);
        for name in expressions.iter().filter_map(|(expression, _)| expression.secret()) {
            if covers(&draft.secret, pointer) {
                sink.mention(origin, &whole, name);
            } else {
                sink.add(origin, &whole, misplaced(name, &draft.secret));
            }
        }
    }

    fn unreadable(&self, text: &str, mut error: ExpressionError) -> Diagnostic {
        let place = if error.offset == 0 { String::new() } else { format!(", character {}", error.offset + 1) };
        let mut message = format!("`{}`{place}: {}", excerpt(text, error.offset), error.message);
        if self.dialect == Dialect::Spinnaker && error.code == Code::ExpressionSyntax {
            message.push_str("; Longboat evaluates CEL, not SpEL");
            error.hint = error.hint.filter(|hint| !hint.contains("SpEL"));
        }
        hinted(Diagnostic::error(error.code, message), error.hint)
    }

    fn references(&self, at: usize, text: &str, expressions: &[(&Expression, usize)]) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        for (expression, _) in expressions {
            let quoting = self.quoting(expression);
            for reference in expression.references() {
                let Some((code, message, hint)) = self.fault(at, reference) else { continue };
                let shell = || {
                    let shell = reference.path.len() == 1 && text.contains(&format!("${{{}}}", reference.path[0]));
                    shell.then(|| format!("for a shell's variable write `$${{{}}}`", reference.path[0]))
                };
                let hint = quoting.clone().or(hint).or_else(shell);
                findings.push(hinted(Diagnostic::error(code, message), hint));
                if quoting.is_some() {
                    // The rest of the mistaken subtraction would only be noise.
                    break;
                }
            }
        }
        findings
    }

    /// What to write where a stage's id or a parameter's name with a `-` needs quotes.
    fn quoting(&self, expression: &Expression) -> Option<String> {
        expression.hyphenated().into_iter().find_map(|(path, key)| {
            let known = match path.as_slice() {
                [root] if root == "stages" => self.graph.find(&key).is_some(),
                [root] if root == "parameters" => self.parameters?.iter().any(|parameter| parameter.name == key),
                [root, _, outputs, ..] => root == "stages" && outputs == "outputs",
                _ => false,
            };
            known.then(|| format!("write `{}[\"{key}\"]`", path.join(".")))
        })
    }

    /// What is wrong with a reference in the stage at `at`.
    fn fault(&self, at: usize, reference: &Reference) -> Option<Fault> {
        let (root, keys) = reference.path.split_first()?;
        match (root.as_str(), keys) {
            ("parameters", [name, ..]) => self.parameter(name),
            ("stages", [id, keys @ ..]) => self.stage(at, id, keys),
            ("trigger", [key, ..]) => {
                let moved = (key == "parameters").then(|| "write `parameters` alone".to_owned());
                unknown_key(key, "the trigger", TRIGGER.iter().map(String::as_str), moved)
            }
            ("execution", [key, ..]) => unknown_key(key, "the execution", EXECUTION.into_iter(), None),
            ("parameters" | "stages" | "trigger" | "execution", []) => None,
            (root, _) => {
                let elsewhere = match root {
                    "vars" => Some(format!(
                        "`vars` exists while files are rendered: write `{{{{ {} }}}}`",
                        reference.path.join(".")
                    )),
                    "branch" => {
                        Some("write `trigger.branch`, or `{{ branch }}` for the branch of the definition".to_owned())
                    }
                    "repository" => Some("write `trigger.repository`".to_owned()),
                    "outputs" => Some("write `stages.<id>.outputs`".to_owned()),
                    _ => None,
                };
                let near = || nearest(root, Scope::NAMES).map(|near| format!("did you mean `{near}`?"));
                Some((Code::UnknownVariable, format!("there is no variable `{}`", cut(root)), elsewhere.or_else(near)))
            }
        }
    }

    fn parameter(&self, name: &str) -> Option<Fault> {
        let declared = self.parameters?;
        if declared.iter().any(|parameter| parameter.name == name) {
            return None;
        }
        let near = nearest(name, declared.iter().map(|parameter| parameter.name.as_str()));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "declare it under the pipeline's `parameters`".to_owned(),
        };
        Some((Code::UnknownVariable, format!("the pipeline has no parameter `{}`", cut(name)), Some(hint)))
    }

    fn stage(&self, at: usize, id: &str, keys: &[String]) -> Option<Fault> {
        let Some(other) = self.graph.find(id) else {
            let near = nearest(id, self.graph.ids()).map(|near| format!("did you mean `{near}`?"));
            return Some((Code::UnknownVariable, format!("there is no stage `{}`", cut(id)), near));
        };
        if other == at {
            return Some((Code::StageNotUpstream, format!("the stage `{id}` uses its own outputs"), None));
        }
        if !self.graph.is_upstream(other, at) {
            if self.graph.is_upstream(at, other) {
                let message = format!("the stage `{id}` only runs after this one");
                return Some((Code::StageNotUpstream, message, None));
            }
            let message = format!("the stage `{id}` may not have run yet when this one starts");
            let hint = format!("add `{id}` to this stage's `needs`");
            return Some((Code::StageNotUpstream, message, Some(hint)));
        }
        let key = keys.first()?;
        let context = (key == "context").then(|| "what a stage yields is under `outputs`".to_owned());
        unknown_key(key, &format!("the stage `{id}`"), STAGE.into_iter(), context)
    }
}

/// That no secret can be used here; `places` are where one could.
fn misplaced(name: &SecretName, places: &[String]) -> Diagnostic {
    let message = format!("the secret `{name}` can't be used here");
    let places: Vec<_> = places.iter().map(|place| format!("`{}`", place[1..].replace('/', "."))).collect();
    let hint = match places.as_slice() {
        [] => "a script takes secrets in `env`, a request in its headers".to_owned(),
        places => format!("of this stage, {} can hold one", places.join(" and ")),
    };
    Diagnostic::error(Code::SecretMisplaced, message).hint(hint)
}

/// The part of a text around a character, on one line.
fn excerpt(text: &str, offset: usize) -> String {
    const BEFORE: usize = 40;
    const LENGTH: usize = 70;
    let start = offset.saturating_sub(BEFORE);
    let flat = |letter: char| if letter.is_control() { ' ' } else { letter };
    let middle: String = text.chars().skip(start).take(LENGTH).map(flat).collect();
    let (left, right) =
        (if start > 0 { "…" } else { "" }, if text.chars().count() > start + LENGTH { "…" } else { "" });
    format!("{left}{middle}{right}")
}

fn unknown_key<'k>(
    key: &str,
    what: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    hint: Option<String>,
) -> Option<Fault> {
    if known.clone().any(|other| other == key) {
        return None;
    }
    let near = nearest(key, known.clone()).map(|near| format!("did you mean `{near}`?"));
    let list = || format!("it has {}", known.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "));
    let hint = hint.or(near).unwrap_or_else(list);
    Some((Code::UnknownVariable, format!("{what} has no `{}`", cut(key)), Some(hint)))
}
