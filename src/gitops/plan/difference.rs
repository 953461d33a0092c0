//! The differences between two documents, and a document with differences applied.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::cover;
use crate::diagnostic::{pointer_key, pointer_step};
use crate::model::{ApplicationName, Change, ChangeKind, PipelineName, Plan};

/// Normalised documents by application and name.
pub type Documents = BTreeMap<(ApplicationName, PipelineName), Value>;

/// Everything in which two uncovered documents differ, in the order of the later one, then what is gone. Values are
/// covered as they are in whole documents; places are missing.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut found);
    let (mut before, mut after) = (before.clone(), after.clone());
    cover(&mut before);
    cover(&mut after);
    for change in &mut found {
        change.before = change.before.take().map(|value| before.pointer(&change.pointer).cloned().unwrap_or(value));
        change.after = change.after.take().map(|value| after.pointer(&change.pointer).cloned().unwrap_or(value));
    }
    found
}

fn compare(pointer: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let below = |step: &str| format!("{pointer}/{}", pointer_step(step));
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (key, value) in new {
                compare(below(key), old.get(key), Some(value), found);
            }
            for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                compare(below(key), Some(value), None, found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if is_item_by_item(old, new) => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(below(&index.to_string()), Some(old), Some(new), found);
            }
        }
        _ => {
            let kind = match (before, after) {
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Removed,
                _ => ChangeKind::Changed,
            };
            let (before, after) = (before.cloned(), after.cloned());
            found.push(Change { kind, pointer, before, after, place: None, cut: false });
        }
    }
}

/// Whether the difference of two lists is told item by item: as long as each other, and the most stays or what differs
/// is a mapping in both.
fn is_item_by_item(old: &[Value], new: &[Value]) -> bool {
    let differ = || old.iter().zip(new).filter(|(old, new)| old != new);
    old.len() == new.len()
        && (differ().count() * 2 <= old.len() || differ().all(|(old, new)| old.is_object() && new.is_object()))
}

/// The documents after a plan. None if it doesn't fit: it was cut, or made for other documents.
pub fn apply(plan: &Plan, mut documents: Documents) -> Option<Documents> {
    if plan.cut {
        return None;
    }
    for pipeline in &plan.pipelines {
        let name = (pipeline.application.clone(), pipeline.pipeline.clone());
        let mut document = documents.remove(&name);
        for change in &pipeline.changes {
            document = put(document, change)?;
        }
        if let Some(document) = document {
            documents.insert(name, document);
        }
    }
    Some(documents)
}

fn put(document: Option<Value>, change: &Change) -> Option<Option<Value>> {
    let Some((parent, step)) = change.pointer.rsplit_once('/') else {
        return (document == change.before).then(|| change.after.clone());
    };
    let mut document = document?;
    let key = pointer_key(step);
    match document.pointer_mut(parent)? {
        Value::Object(map) => {
            if map.get(&key) != change.before.as_ref() {
                return None;
            }
            match &change.after {
                Some(after) => drop(map.insert(key, after.clone())),
                None => drop(map.shift_remove(&key)),
            }
        }
        Value::Array(items) => {
            let item = items.get_mut(key.parse::<usize>().ok()?)?;
            if Some(&*item) != change.before.as_ref() {
                return None;
            }
            *item = change.after.clone()?;
        }
        _ => return None,
    }
    Some(Some(document))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(before: Value, after: Value) -> Vec<String> {
        differences(&before, &after).into_iter().map(|change| change.pointer).collect()
    }

    #[test]
    fn lists_are_told_item_by_item_where_that_says_more() {
        let none: [&str; 0] = [];
        assert_eq!(pointers(json!({"a": [1, 2, 3]}), json!({"a": [1, 9, 3]})), ["/a/1"]);
        assert_eq!(pointers(json!({"a": [1, 2]}), json!({"a": [1, 2, 3]})), ["/a"]);
        assert_eq!(pointers(json!({"a": [1]}), json!({"a": [2]})), ["/a"]);
        assert_eq!(pointers(json!({"a": [{"x": 1, "y": 1}]}), json!({"a": [{"x": 2, "y": 1}]})), ["/a/0/x"]);
        assert_eq!(pointers(json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 2, "x": 1}})), none);
        assert_eq!(pointers(json!({"a/b": {"~": 1}}), json!({"a/b": {}})), ["/a~1b/~0"]);
    }

    #[test]
    fn a_covered_value_that_changes_is_told_and_not_shown() {
        let of = |password: &str| json!({"stages": {"a": {"env": {"PASSWORD": password}}}});
        let found = differences(&of("one-secret"), &of("other-secret"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].before.as_ref(), found[0].after.as_ref()), (Some(&json!("***")), Some(&json!("***"))));
    }
}
