//! All fields of a stage at once.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{ExpressionError, Scope, Template, has_expression};
use crate::diagnostic::pointer_step;
use crate::model::{SecretName, SecretUse};

/// A field whose expression failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FieldError {
    /// JSON pointer of the field.
    pub pointer: String,
    /// The field's text.
    pub expression: String,
    /// What went wrong; names the expression.
    pub message: String,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
}

impl FieldError {
    fn new(pointer: &str, text: &str, error: ExpressionError) -> Self {
        let message = error.message;
        Self { pointer: pointer.to_owned(), expression: text.to_owned(), message, hint: error.hint }
    }
}

/// The fields with every `${ }` replaced by its value. What `raw` points at, and what lies below it, is left
/// alone; in these JSON pointers `*` stands for any one key or index.
///
/// # Errors
/// The first field that fails; so does every field that names a secret.
pub fn resolve(fields: &Map<String, Value>, raw: &[String], scope: &Scope) -> Result<Map<String, Value>, FieldError> {
    resolve_with_secrets(fields, raw, &[], scope).map(|(resolved, _)| resolved)
}

/// As [`resolve`]; in the texts that `secret` points at, `${ secret("name") }` may stand. Its place is taken by a
/// reference, and where that is comes along: whatever the other expressions yield, only these are references.
///
/// # Errors
/// The first field that fails; so does one that names a secret elsewhere.
pub fn resolve_with_secrets(
    fields: &Map<String, Value>,
    raw: &[String],
    secret: &[String],
    scope: &Scope,
) -> Result<(Map<String, Value>, Vec<SecretUse>), FieldError> {
    let mut work = Resolving { raw, secret, scope, uses: Vec::new() };
    let mut resolved = Map::new();
    for (key, value) in fields {
        resolved.insert(key.clone(), work.value(value, &format!("/{}", pointer_step(key)))?);
    }
    Ok((resolved, work.uses))
}

struct Resolving<'a> {
    raw: &'a [String],
    secret: &'a [String],
    scope: &'a Scope,
    uses: Vec<SecretUse>,
}

impl Resolving<'_> {
    fn value(&mut self, value: &Value, pointer: &str) -> Result<Value, FieldError> {
        if covers(self.raw, pointer) {
            return Ok(value.clone());
        }
        match value {
            Value::String(text) if has_expression(text) => {
                self.text(text, pointer).map_err(|error| FieldError::new(pointer, text, error))
            }
            Value::Array(items) => {
                let item = |(index, item)| self.value(item, &format!("{pointer}/{index}"));
                items.iter().enumerate().map(item).collect::<Result<_, _>>().map(Value::Array)
            }
            Value::Object(map) => {
                let entry = |(key, item): (&String, &Value)| {
                    Ok((key.clone(), self.value(item, &format!("{pointer}/{}", pointer_step(key)))?))
                };
                map.iter().map(entry).collect::<Result<_, _>>().map(Value::Object)
            }
            other => Ok(other.clone()),
        }
    }

    fn text(&mut self, text: &str, pointer: &str) -> Result<Value, ExpressionError> {
        let template = Template::parse(text)?;
        if !covers(self.secret, pointer) {
            return template.evaluate(self.scope);
        }
        let mut found = Vec::new();
        let value = template.evaluate_with_secrets(self.scope, &mut found)?;
        let of = |(name, place): (SecretName, Range<usize>)| SecretUse {
            pointer: pointer.to_owned(),
            name,
            start: place.start,
            end: place.end,
        };
        self.uses.extend(found.into_iter().map(of));
        Ok(value)
    }
}

/// Every text with a `${` in it, and its JSON pointer, except for what `raw` leaves alone (see [`resolve`]).
pub fn scan_expressions<'a>(value: &'a Value, raw: &[String]) -> Vec<(String, &'a str)> {
    // Most values have none, and pointers cost more than looking.
    if holds_expression(value) { texts(value, "", raw) } else { Vec::new() }
}

fn holds_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => has_expression(text),
        Value::Array(items) => items.iter().any(holds_expression),
        Value::Object(map) => map.values().any(holds_expression),
        _ => false,
    }
}

fn texts<'a>(value: &'a Value, pointer: &str, raw: &[String]) -> Vec<(String, &'a str)> {
    if covers(raw, pointer) {
        return Vec::new();
    }
    match value {
        Value::String(text) if has_expression(text) => vec![(pointer.to_owned(), text)],
        Value::Array(items) => {
            let item = |(index, item)| texts(item, &format!("{pointer}/{index}"), raw);
            items.iter().enumerate().flat_map(item).collect()
        }
        Value::Object(map) => {
            let entry =
                |(key, item): (&String, &'a Value)| texts(item, &format!("{pointer}/{}", pointer_step(key)), raw);
            map.iter().flat_map(entry).collect()
        }
        _ => Vec::new(),
    }
}

/// The secrets that fields name where they may, each once, in their order; for the patterns see [`resolve`].
pub fn secrets_named(fields: &Map<String, Value>, raw: &[String], secret: &[String]) -> Vec<SecretName> {
    let mut named = Vec::new();
    for (key, value) in fields {
        for (pointer, text) in texts(value, &format!("/{}", pointer_step(key)), raw) {
            let Ok(template) = Template::parse(text) else { continue };
            if covers(secret, &pointer) {
                named.extend(template.expressions().filter_map(|(expression, _)| expression.secret().cloned()));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    named.retain(|name| seen.insert(name.clone()));
    named
}

/// Whether one of the patterns is for the place that `pointer` names; in patterns `*` stands for any one key or index.
/// What lies below that place is not covered.
pub fn covers(patterns: &[String], pointer: &str) -> bool {
    let covers = |pattern: &String| {
        let mut segments = pointer.split('/');
        let equal = pattern
            .split('/')
            .all(|expected| segments.next().is_some_and(|found| expected == "*" || expected == found));
        equal && segments.next().is_none()
    };
    patterns.iter().any(covers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        Scope {
            parameters: json!({"n": 3, "tag": "1.2", "list": [1, "a"], "empty": null}),
            stages: json!({"build": {"status": "SUCCEEDED", "outputs": {"image": "shop:1"}}}),
            ..Scope::default()
        }
    }

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("a mapping")
    }

    #[test]
    fn every_depth_is_resolved_with_its_type() {
        let given = fields(json!({
            "count": "${ parameters.n }",
            "deep": [{"image": "x/${ stages.build.outputs.image }"}, 7, null],
            "text": "a ${ parameters.list } b ${ parameters.empty } c $${HOME}",
        }));
        let wanted = json!({
            "count": 3,
            "deep": [{"image": "x/shop:1"}, 7, null],
            "text": "a [1,\"a\"] b  c ${HOME}",
        });
        assert_eq!(Value::Object(resolve(&given, &[], &scope()).expect("resolves")), wanted);
    }

    #[test]
    fn raw_fields_stay_as_they_are() {
        let raw = ["/command".to_owned(), "/steps/*/run".to_owned()];
        let given = fields(json!({
            "command": ["echo ${x}"], "steps": [{"run": "${y}", "name": "${ parameters.n }"}], "commander": "${ parameters.n }"
        }));
        let resolved = resolve(&given, &raw, &scope()).expect("resolves");
        let wanted = json!({"command": ["echo ${x}"], "steps": [{"run": "${y}", "name": 3}], "commander": 3});
        assert_eq!(Value::Object(resolved), wanted);
        let scanned: Vec<_> = scan_expressions(&Value::Object(given), &raw).into_iter().map(|found| found.0).collect();
        assert_eq!(scanned, ["/steps/0/name", "/commander"]);
    }

    #[test]
    fn only_the_author_s_own_text_names_a_secret() {
        let mut scope = scope();
        scope.parameters = json!({"evil": "${ secret(\"prod\") } ***prod***", "map": {"A": "${ secret('prod') }"}});
        let secret = ["/env/*".to_owned()];
        let given = fields(json!({
            "env": {
                "A": "Bearer ${ secret('prod') }/${ parameters.evil }/${ secret(\"x.y\") }",
                "B": "${ parameters.evil }", "C": "$${ secret('prod') }", "D": "${ '${ secret(\"prod\") }' }",
            },
            "all": "${ parameters.map }",
        }));
        let (resolved, uses) = resolve_with_secrets(&given, &[], &secret, &scope).expect("resolves");
        let evil = "${ secret(\"prod\") } ***prod***";
        let wanted = json!({
            "env": {
                "A": format!("Bearer ***prod***/{evil}/***x.y***"),
                "B": evil, "C": "${ secret('prod') }", "D": "${ secret(\"prod\") }",
            },
            "all": {"A": "${ secret('prod') }"},
        });
        assert_eq!(Value::Object(resolved), wanted);
        let placed: Vec<_> = uses.iter().map(|used| (used.pointer.as_str(), used.name.as_str(), used.start)).collect();
        assert_eq!(placed, [("/env/A", "prod", 7), ("/env/A", "x.y", 19 + evil.len())]);
        assert_eq!(
            secrets_named(&given, &[], &secret).iter().map(SecretName::as_str).collect::<Vec<_>>(),
            ["prod", "x.y"]
        );

        // Elsewhere, inside of an expression, or where a whole mapping is an expression, there is no way to one.
        for bad in [
            json!({"command": "${ secret('prod') }"}),
            json!({"env": {"A": {"B": "${ secret('prod') }"}}}),
            json!({"env": "${ secret('prod') }"}),
            json!({"env": {"A": "${ 'x' + secret('prod') }"}}),
            json!({"env": {"A": "${ secret(parameters.evil) }"}}),
        ] {
            let error = resolve_with_secrets(&fields(bad.clone()), &[], &secret, &scope).expect_err("refused");
            assert!(error.message.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_error_names_the_field_and_the_expression() {
        let given = fields(json!({"env": {"a/b": "v${ stages.build.outputs.imgae }"}}));
        let error = resolve(&given, &[], &scope()).expect_err("misspelt");
        assert_eq!(error.pointer, "/env/a~1b");
        assert_eq!(error.expression, "v${ stages.build.outputs.imgae }");
        insta::assert_snapshot!(error, @"`stages.build.outputs` has no `imgae`; it has `image`");
        assert_eq!(error.hint.as_deref(), Some("did you mean `image`?"));
    }
}
