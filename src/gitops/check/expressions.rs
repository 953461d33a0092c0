//! The expressions in a pipeline's stages: each can be read, and each variable that it names exists and has its
//! value by the time the stage starts.

use std::sync::LazyLock;

use serde_json::Value;

use super::graph::Graph;
use super::reader::{Sink, cut, hinted};
use super::stage::{Draft, bare};
use crate::diagnostic::{Code, Diagnostic, nearest, pointer_key, pointer_step};
use crate::expression::{
    Expression, ExpressionError, NamedCall, Reference, Scope, Template, covers, has_expression, scan_expressions,
};
use crate::gitops::Origin;
use crate::model::{Cause, Dialect, ExpectedArtifact, Over, Parameter, SecretName, Spread};
use crate::schema::StageType;

/// What expressions see under `trigger`.
static TRIGGER: LazyLock<Vec<String>> = LazyLock::new(|| {
    let cause = serde_json::to_value(Cause::default()).unwrap_or_default();
    let own = cause.as_object().into_iter().flat_map(|fields| fields.keys().cloned());
    own.chain(["artifacts", "resolvedExpectedArtifacts"].map(str::to_owned)).collect()
});
/// The most texts of a pipeline that hold expressions: each costs tens of microseconds.
const MAX_TEXTS: usize = 20_000;
/// The longest name of a variable, in characters.
const MAX_VARIABLE: usize = 100;

/// What the expressions of a pipeline can name.
pub(super) struct Variables<'p, 'a> {
    /// Nothing, if they can't be told.
    pub(super) parameters: Option<&'p [Parameter]>,
    pub(super) expected: &'p [ExpectedArtifact],
    pub(super) dialect: Dialect,
    pub(super) graph: &'p Graph,
    pub(super) drafts: &'p [Draft<'a>],
}

/// Where an expression stands.
#[derive(Clone, Copy)]
struct Spot<'k> {
    /// The stage.
    at: usize,
    /// The variables that the stage itself has set by then.
    earlier: &'k [String],
    /// Whether what is different about the stage's instances is known.
    instances: bool,
}

/// What is wrong with a reference: a code, a message and, if there is one, a hint.
type Fault = (Code, String, Option<String>);

impl Variables<'_, '_> {
    /// Checks all expressions of all stages.
    pub(super) fn check(&self, sink: &mut Sink) {
        let mut count = 0;
        for (at, draft) in self.drafts.iter().enumerate() {
            let spot = Spot { at, earlier: &[], instances: true };
            if let Some((field, text)) = &draft.when {
                for finding in self.condition(spot, text) {
                    field.say(sink, finding);
                }
            }
            self.spread(spot, draft, sink);
            // Of an unknown type it isn't known which fields are evaluated.
            let Some(kind) = draft.stage_type else { continue };
            self.own_expressions(spot, kind, &draft.own, sink);
            for (pointer, text) in scan_expressions(&draft.own, &kind.raw) {
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
                        for finding in self.references(spot, text, &expressions) {
                            sink.add(origin, &whole, finding);
                        }
                        self.secrets(draft, kind, &pointer, &expressions, origin, sink);
                    }
                    Err(error) => sink.add(origin, &whole, self.unreadable(text, error)),
                }
            }
        }
    }

    /// Checks the list that a stage is spread over, which is evaluated before there are instances.
    fn spread(&self, spot: Spot<'_>, draft: &Draft<'_>, sink: &mut Sink) {
        let Some(spread) = &draft.spread else { return };
        let base = format!("/{}", spread.over.word());
        let source = Value::Object(spread.over.source());
        for (pointer, text) in scan_expressions(&source, &[]) {
            // A list may stand without `in`.
            let short = pointer == "/in" && draft.field.node.at(&format!("{base}/in")).is_none();
            let place = if short { base.clone() } else { format!("{base}{pointer}") };
            let findings = self.template(Spot { instances: false, ..spot }, text);
            self.say(spot.at, &place, findings, sink);
        }
    }

    /// What is wrong with what is different about the instances of a stage.
    fn of_instance(&self, spot: Spot<'_>, root: &str, key: Option<&str>) -> Option<Fault> {
        let draft = &self.drafts[spot.at];
        if !draft.is_spread || !spot.instances {
            let hint = if draft.is_spread {
                "the list is evaluated before there are instances".to_owned()
            } else if root == "matrix" {
                "give the stage a `matrix`".to_owned()
            } else {
                "give the stage a `forEach`".to_owned()
            };
            return Some((Code::UnknownVariable, format!("there is no variable `{root}` here"), Some(hint)));
        }
        let mut known: Vec<&str> = Vec::new();
        match (&draft.spread.as_ref()?.over, root) {
            (Over::Matrix { axes, include, .. }, "matrix") => {
                known.extend(axes.keys().map(String::as_str));
                let more = include.iter().filter_map(Value::as_object).flat_map(|more| more.keys().map(String::as_str));
                known.extend(more);
                known.sort_unstable();
                known.dedup();
            }
            (Over::ForEach { .. }, "matrix") => {
                let hint = "write `each` in a stage with `forEach`".to_owned();
                return Some((Code::UnknownVariable, "there is no variable `matrix` here".to_owned(), Some(hint)));
            }
            (Over::ForEach { name, .. }, _) => {
                known.push(name);
                known.extend(Spread::EACH);
            }
            (Over::Matrix { .. }, _) => known.extend(Spread::EACH),
        }
        let key = key?;
        unknown_key(key, &format!("`{root}`"), known.into_iter(), None)
    }

    /// Adds findings about a field of the stage at `at`.
    fn say(&self, at: usize, pointer: &str, findings: Vec<Diagnostic>, sink: &mut Sink) {
        let field = &self.drafts[at].field;
        let origin = field.node.at(pointer).map_or(&field.node.origin, |node| &node.origin);
        for finding in findings {
            sink.add(origin, &format!("{}{pointer}", field.pointer), finding);
        }
    }

    /// Checks what a stage evaluates itself, the stages that it names, and what this version doesn't act on.
    fn own_expressions(&self, spot: Spot<'_>, kind: &StageType, own: &Value, sink: &mut Sink) {
        for (pointer, value) in places(own, &kind.conditions) {
            let Value::String(text) = value else { continue };
            let condition = bare(text);
            self.say(spot.at, &pointer, self.condition(spot, condition), sink);
        }
        for (pointer, value) in places(own, &kind.stage_names) {
            let Value::String(name) = value else { continue };
            if !has_expression(name) {
                self.say(spot.at, &pointer, self.stage_named(spot.at, name, &[]).map(told).into_iter().collect(), sink);
            }
        }
        for (pattern, values) in &kind.later {
            for (pointer, value) in places(own, std::slice::from_ref(pattern)) {
                if let Some(value) = value.as_str().filter(|value| values.iter().any(|later| later == value)) {
                    let message = format!("`{value}` is not in this version of Longboat");
                    let finding = Diagnostic::error(Code::NotInThisVersion, message);
                    self.say(spot.at, &pointer, vec![finding.hint("take it out, or check it in a script")], sink);
                }
            }
        }
        let list = kind.variables.as_ref().and_then(|list| Some((list, own.get(list)?.as_array()?)));
        if let Some((list, items)) = list {
            self.variables_in_order(spot.at, list, items, sink);
        }
    }

    /// Checks the values of a list of variables, of which each sees those before it.
    fn variables_in_order(&self, at: usize, list: &str, items: &[Value], sink: &mut Sink) {
        let mut earlier: Vec<String> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            for (pointer, text) in item.get("value").map(|value| scan_expressions(value, &[])).unwrap_or_default() {
                let findings = self.template(Spot { at, earlier: &earlier, instances: true }, text);
                self.say(at, &format!("/{list}/{index}/value{pointer}"), findings, sink);
            }
            let Some(key) = item.get("key").and_then(Value::as_str) else { continue };
            let fault = if key.is_empty() || key.chars().count() > MAX_VARIABLE {
                Some((Code::BadIdentifier, format!("a variable's name has 1 to {MAX_VARIABLE} characters")))
            } else if has_expression(key) {
                Some((Code::ExpressionNotAllowed, "no expression is evaluated in a variable's name".to_owned()))
            } else if earlier.iter().any(|other| other == key) {
                Some((Code::ConflictingKeys, format!("the variable `{}` is set already in this stage", cut(key))))
            } else {
                None
            };
            let finding = fault.map(|(code, message)| Diagnostic::error(code, message));
            self.say(at, &format!("/{list}/{index}/key"), finding.into_iter().collect(), sink);
            earlier.push(key.to_owned());
        }
    }

    fn condition(&self, spot: Spot<'_>, text: &str) -> Vec<Diagnostic> {
        match Expression::parse(text) {
            Ok(expression) => match expression.secret() {
                Some(name) => vec![misplaced(name, &[])],
                None => self.references(spot, text, &[(&expression, 0)]),
            },
            Err(mut error) => {
                let inside = text.contains("${");
                error.hint = inside.then(|| "a condition is one expression, without `${ }`".to_owned()).or(error.hint);
                vec![self.unreadable(text, error)]
            }
        }
    }

    /// What is wrong with a text that the stage evaluates itself, in which no secret can be used.
    fn template(&self, spot: Spot<'_>, text: &str) -> Vec<Diagnostic> {
        match Template::parse(text) {
            Ok(template) => {
                let expressions: Vec<_> = template.expressions().collect();
                let secrets = expressions.iter().filter_map(|(expression, _)| expression.secret());
                let secrets: Vec<_> = secrets.map(|name| misplaced(name, &[])).collect();
                self.references(spot, text, &expressions).into_iter().chain(secrets).collect()
            }
            Err(error) => vec![self.unreadable(text, error)],
        }
    }

    /// Notes the secrets that a text names, and refuses them where none can be used.
    fn secrets(
        &self,
        draft: &Draft<'_>,
        kind: &StageType,
        pointer: &str,
        expressions: &[(&Expression, usize)],
        origin: &Origin,
        sink: &mut Sink,
    ) {
        let whole = format!("{}{pointer}", draft.field.pointer);
        for name in expressions.iter().filter_map(|(expression, _)| expression.secret()) {
            if covers(&kind.secret, pointer) {
                sink.mention(origin, &whole, name);
            } else {
                sink.add(origin, &whole, misplaced(name, &kind.secret));
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

    fn references(&self, spot: Spot<'_>, text: &str, expressions: &[(&Expression, usize)]) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        for (expression, _) in expressions {
            let quoting = self.quoting(expression);
            for reference in expression.references() {
                let Some((code, message, hint)) = self.fault(spot, reference) else { continue };
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
            findings.extend(expression.calls().iter().filter_map(|call| self.call(spot.at, call)).map(told));
        }
        findings
    }

    /// What is wrong with what a call looks for by name.
    fn call(&self, at: usize, call: &NamedCall) -> Option<Fault> {
        if call.is_about_stages() {
            let keys: &[String] = if call.function == "stage" { &call.keys } else { &[] };
            let fault = self.stage_named(at, &call.name, keys);
            return fault.or_else(|| if call.function == "stage" { None } else { self.no_judgment(&call.name) });
        }
        if call.function != "triggerResolvedArtifact" {
            return None;
        }
        let known = || self.expected.iter().flat_map(|one| [Some(one.name()), Some(one.id.as_str())]).flatten();
        if known().any(|name| name == call.name) {
            return None;
        }
        let hint = match nearest(&call.name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "declare it under the pipeline's `expectedArtifacts`".to_owned(),
        };
        let message = format!("the pipeline expects no artifact `{}`", cut(&call.name));
        Some((Code::UnknownVariable, message, Some(hint)))
    }

    /// The stage that a name means: the first with that name, else the one with that id.
    fn find_named(&self, name: &str) -> Option<usize> {
        let named = |draft: &Draft<'_>| match (&draft.name, &draft.id) {
            (Some(own), _) => own == name,
            (None, id) => id.as_ref().is_some_and(|id| id.as_str() == name),
        };
        self.drafts.iter().position(named).or_else(|| self.graph.find(name))
    }

    /// The stage of which a name like `approve[eu]` is an instance. Which ones there will be isn't known beforehand.
    fn find_spread(&self, name: &str) -> Option<usize> {
        let (stage, _) = name.strip_suffix(']')?.split_once('[')?;
        self.graph.find(stage).filter(|found| self.drafts[*found].is_spread)
    }

    /// What is wrong with asking for the stage of this name.
    fn stage_named(&self, at: usize, name: &str, keys: &[String]) -> Option<Fault> {
        let Some(other) = self.find_named(name).or_else(|| self.find_spread(name)) else {
            let names = self.drafts.iter().filter_map(|draft| draft.name.as_deref());
            let near = nearest(name, names.chain(self.graph.ids())).map(|near| format!("did you mean `{near}`?"));
            return Some((Code::UnknownVariable, format!("there is no stage `{}`", cut(name)), near));
        };
        let id = self.drafts[other].id.as_ref().map_or(name, |id| id.as_str()).to_owned();
        self.known_stage(at, other, &id, keys)
    }

    /// What is wrong with asking for the judgment of a stage that exists.
    fn no_judgment(&self, name: &str) -> Option<Fault> {
        let (found, instance) = match self.find_named(name) {
            Some(found) => (found, false),
            None => (self.find_spread(name)?, true),
        };
        let kind = self.drafts[found].stage_type?;
        if kind.outputs.contains(&"judgmentInput") {
            if instance || !self.drafts[found].is_spread {
                return None;
            }
            let id = self.drafts[found].id.as_ref().map_or(name, |id| id.as_str());
            let message = format!("the stage `{}` becomes several, and each is judged by itself", cut(name));
            let hint = format!(
                "name an instance: `judgment(\"{id}[...]\")`, or take them all: \
                 `stages.{id}.outputs.list.map(one, one.judgmentInput)`"
            );
            return Some((Code::UnknownVariable, message, Some(hint)));
        }
        let message = format!("the stage `{}` is no judgment but a `{}`", cut(name), kind.name);
        Some((Code::UnknownVariable, message, Some("name a `manualJudgment` stage".to_owned())))
    }

    /// What is wrong with a variable.
    fn variable(&self, spot: Spot<'_>, name: &str) -> Option<Fault> {
        if spot.earlier.iter().any(|earlier| earlier == name) {
            return None;
        }
        let mut known: Vec<&str> = spot.earlier.iter().map(String::as_str).collect();
        let mut elsewhere = None;
        for (other, draft) in self.drafts.iter().enumerate().filter(|(other, _)| *other != spot.at) {
            let Some(list) = draft.stage_type.and_then(|kind| kind.variables.as_ref()) else { continue };
            let items = draft.own.get(list).and_then(Value::as_array);
            let keys = items.into_iter().flatten().filter_map(|item| item.get("key")?.as_str());
            if self.graph.is_upstream(other, spot.at) {
                known.extend(keys);
            } else if keys.into_iter().any(|key| key == name) {
                elsewhere = draft.id.as_ref().map(|id| (other, id));
            }
        }
        if known.contains(&name) {
            return None;
        }
        if let Some((other, id)) = elsewhere {
            if self.graph.is_upstream(spot.at, other) {
                let message =
                    format!("the stage `{id}`, which sets the variable `{}`, only runs after this one", cut(name));
                return Some((Code::StageNotUpstream, message, None));
            }
            let message = format!("the stage `{id}`, which sets the variable `{}`, may not have run yet", cut(name));
            return Some((Code::StageNotUpstream, message, Some(format!("add `{id}` to this stage's `needs`"))));
        }
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "an `evaluateVariables` stage before this one has to set it".to_owned(),
        };
        Some((Code::UnknownVariable, format!("there is no variable `variables.{}`", cut(name)), Some(hint)))
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
    fn fault(&self, spot: Spot<'_>, reference: &Reference) -> Option<Fault> {
        let (root, keys) = reference.path.split_first()?;
        match (root.as_str(), keys) {
            ("parameters", [name, ..]) => self.parameter(name),
            ("stages", [id, keys @ ..]) => self.stage(spot.at, id, keys),
            ("variables", [name, ..]) => self.variable(spot, name),
            ("matrix" | "each", keys) => self.of_instance(spot, root, keys.first().map(String::as_str)),
            ("trigger", [key, ..]) => {
                let moved = (key == "parameters").then(|| "write `parameters` alone".to_owned());
                unknown_key(key, "the trigger", TRIGGER.iter().map(String::as_str), moved)
            }
            ("execution", [key, ..]) => unknown_key(key, "the execution", Scope::EXECUTION.into_iter(), None),
            ("parameters" | "stages" | "trigger" | "execution" | "variables", []) => None,
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
                    "item" | "index" | "key" => Some(format!("in a stage with `forEach` write `each.{root}`")),
                    "outputs" => Some("write `stages.<id>.outputs`".to_owned()),
                    name if self.variable(spot, name).is_none() => Some(format!("write `variables.{name}`")),
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
            if let Some((stage, key)) = id.strip_suffix(']').and_then(|id| id.split_once('[')) {
                let hint = format!("write `stages.{stage}.outputs.instances[\"{key}\"]`");
                return Some((Code::UnknownVariable, format!("there is no stage `{}`", cut(id)), Some(hint)));
            }
            let near = nearest(id, self.graph.ids()).map(|near| format!("did you mean `{near}`?"));
            return Some((Code::UnknownVariable, format!("there is no stage `{}`", cut(id)), near));
        };
        self.known_stage(at, other, id, keys)
    }

    /// What is wrong with asking for a stage that exists.
    fn known_stage(&self, at: usize, other: usize, id: &str, keys: &[String]) -> Option<Fault> {
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
        unknown_key(key, &format!("the stage `{id}`"), Scope::STAGE.into_iter(), None)
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

fn told((code, message, hint): Fault) -> Diagnostic {
    hinted(Diagnostic::error(code, message), hint)
}

/// The values below `value` that pointers lead to, in which `*` stands for any index or key.
fn places<'v>(value: &'v Value, patterns: &[String]) -> Vec<(String, &'v Value)> {
    patterns.iter().flat_map(|pattern| place(value, pattern)).collect()
}

fn place<'v>(value: &'v Value, pattern: &str) -> Vec<(String, &'v Value)> {
    let mut found = vec![(String::new(), value)];
    for step in pattern.split('/').skip(1) {
        let below = |(pointer, value): (String, &'v Value)| -> Vec<(String, &'v Value)> {
            match value {
                Value::Array(items) if step == "*" => {
                    items.iter().enumerate().map(|(index, item)| (format!("{pointer}/{index}"), item)).collect()
                }
                Value::Object(map) if step == "*" => {
                    map.iter().map(|(key, item)| (format!("{pointer}/{}", pointer_step(key)), item)).collect()
                }
                Value::Object(map) => {
                    let item = map.get(&*pointer_key(step));
                    item.map(|item| (format!("{pointer}/{step}"), item)).into_iter().collect()
                }
                _ => Vec::new(),
            }
        };
        found = found.into_iter().flat_map(below).collect();
    }
    found
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
