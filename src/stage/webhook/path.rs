//! Where in an answer something stands (JSONPath, RFC 9535), within bounds.

use serde_json::Value;

/// The longest path, in bytes.
const MAX_LENGTH: usize = 300;
/// How many `..` a path may have: each multiplies the work by the size of the answer.
const MAX_DESCENTS: usize = 1;
/// How many filters (`?`) a path may have.
const MAX_FILTERS: usize = 2;

/// A path.
#[derive(Debug)]
pub(super) struct JsonPath {
    text: String,
    path: serde_json_path::JsonPath,
}

impl JsonPath {
    /// Reads a path. The `$` at its beginning can be left out, as in Spinnaker.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > MAX_LENGTH
            || text.matches("..").count() > MAX_DESCENTS
            || text.matches('?').count() > MAX_FILTERS
        {
            return Err(format!(
                "the path is too much work: {MAX_LENGTH} bytes, {MAX_DESCENTS} `..` and {MAX_FILTERS} filters are allowed"
            ));
        }
        let full = match text.chars().next() {
            Some('$') => text.to_owned(),
            Some('[' | '.') => format!("${text}"),
            _ => format!("$.{text}"),
        };
        let path = serde_json_path::JsonPath::parse(&full)
            .map_err(|error| format!("`{text}` is no JSONPath: {}", error.message()))?;
        Ok(Self { text: text.to_owned(), path })
    }

    /// The one plain value (text, number or truth) that stands there.
    pub(super) fn scalar<'a>(&self, body: &'a Value) -> Result<&'a Value, String> {
        let found = self.path.query(body).all();
        match found.as_slice() {
            [] => Err(format!("the answer has nothing at `{}`", self.text)),
            [Value::Null] => Err(format!("the answer has null at `{}`", self.text)),
            // Jayway's library, which Spinnaker uses, unwraps no list either.
            [Value::Array(_) | Value::Object(_)] => {
                Err(format!("the answer has a list or mapping at `{}`, where a plain value is needed", self.text))
            }
            [one] => Ok(one),
            several => Err(format!("the answer has {} values at `{}`, where one is needed", several.len(), self.text)),
        }
    }
}

/// A plain value as text.
pub(super) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_plain_value_is_found_by_its_path() {
        let body =
            json!({"status": "ok", "jobs": [{"id": 1, "done": true}, {"id": 2, "done": false}], "a.b": 3, "n": null});
        for (path, expected) in [
            ("$.status", json!("ok")),
            ("status", json!("ok")),
            ("$['a.b']", json!(3)),
            ("$.jobs[1].id", json!(2)),
            ("$.jobs[-1].done", json!(false)),
            ("$.jobs[?@.id == 1].done", json!(true)),
        ] {
            assert_eq!(JsonPath::parse(path).expect(path).scalar(&body), Ok(&expected), "{path}");
        }
        for (path, part) in [
            ("$.none", "has nothing at `$.none`"),
            ("$.jobs", "a list or mapping"),
            ("$.n", "null"),
            ("$..id", "2 values"),
            ("$.jobs[*].id", "2 values"),
        ] {
            let error = JsonPath::parse(path).expect(path).scalar(&body).expect_err(path);
            assert!(error.contains(part), "{path}: {error}");
        }
    }

    #[test]
    fn paths_are_bounded_and_wrong_ones_named() {
        for bad in ["$..a..b", "$.[", "$.a[", &"a".repeat(301), "$[?@.a][?@.b][?@.c]", ""] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
        let error = JsonPath::parse("$.a[").expect_err("refused");
        assert!(error.starts_with("`$.a[` is no JSONPath"), "{error}");
    }
}
