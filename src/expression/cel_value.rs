//! Between JSON and CEL's values: exact both ways. An integer stays one, and `1.0` stays a double.

use std::collections::{BTreeMap, HashMap};

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString,
    CelTimestamp, CelType, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Number, Value};

/// The most that one expression may yield, in values and in bytes of text.
const MAX_VALUES: usize = 100_000;
const MAX_BYTES: usize = 1 << 20;

/// A JSON value as CEL sees it; texts are borrowed. Of a mapping only the keys that `paths` lead through are
/// taken along: the paths of an expression's references say all that it can reach by name.
pub(super) fn from_json<'v>(value: &'v Value, paths: &[&[String]]) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => from_number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| from_json(item, &[&[]])).collect();
            Box::new(CelList::from(items))
        }
        Value::Object(map) if paths.iter().any(|path| path.is_empty()) => {
            Box::new(CelMap::from(entries(map.iter().map(|(key, item)| (key, item, vec![[].as_slice()])))))
        }
        Value::Object(map) => {
            let mut wanted: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
            for (key, rest) in paths.iter().filter_map(|path| path.split_first()) {
                wanted.entry(key).or_default().push(rest);
            }
            let found = wanted.into_iter().filter_map(|(key, rest)| {
                let (key, item) = map.get_key_value(key)?;
                Some((key, item, rest))
            });
            Box::new(CelMap::from(entries(found)))
        }
    }
}

/// A JSON value as CEL sees it, with texts of its own.
pub(super) fn from_owned_json<'v>(value: Value) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(flag)),
        Value::Number(number) => from_number(&number),
        Value::String(text) => Box::new(CelString::from(text)),
        Value::Array(items) => Box::new(CelList::from(items.into_iter().map(from_owned_json).collect::<Vec<_>>())),
        Value::Object(map) => {
            let entry = |(key, item): (String, Value)| (CelMapKey::String(CelString::from(key)), from_owned_json(item));
            Box::new(CelMap::from(map.into_iter().map(entry).collect::<Entries<'v>>()))
        }
    }
}

type Entries<'v> = HashMap<CelMapKey<'v>, Box<dyn Val + 'v>>;

fn entries<'v, 'p>(found: impl Iterator<Item = (&'v String, &'v Value, Vec<&'p [String]>)>) -> Entries<'v> {
    found
        .map(|(key, item, paths)| (CelMapKey::String(CelString::from(key.as_str())), from_json(item, &paths)))
        .collect()
}

fn from_number(number: &Number) -> Box<dyn Val> {
    if let Some(int) = number.as_i64() {
        Box::new(CelInt::from(int))
    } else if let Some(uint) = number.as_u64() {
        Box::new(CelUInt::from(uint))
    } else {
        Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
    }
}

/// A CEL value as JSON. Mappings get their keys sorted, as CEL leaves their order open.
///
/// # Errors
/// If JSON has no such value, or it is too large; the text goes on from "the expression ...".
pub(super) fn to_json(value: &dyn Val) -> Result<Value, String> {
    Size::default().convert(value)
}

#[derive(Default)]
struct Size {
    values: usize,
    bytes: usize,
}

impl Size {
    fn text(&mut self, text: &str) -> Result<String, String> {
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            Err(format!("yields more than {MAX_BYTES} bytes of text"))
        } else {
            Ok(text.to_owned())
        }
    }

    fn convert(&mut self, value: &dyn Val) -> Result<Value, String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("yields more than {MAX_VALUES} values"));
        }
        if let Some(text) = value.downcast_ref::<CelString>() {
            self.text(text.inner()).map(Value::String)
        } else if let Some(int) = value.downcast_ref::<CelInt>() {
            Ok(Value::from(*int.inner()))
        } else if let Some(flag) = value.downcast_ref::<CelBool>() {
            Ok(Value::from(*flag.inner()))
        } else if let Some(list) = value.downcast_ref::<CelList>() {
            list.inner().iter().map(|item| self.convert(item.as_ref())).collect::<Result<_, _>>().map(Value::Array)
        } else if let Some(map) = value.downcast_ref::<CelMap>() {
            self.map(map)
        } else if value.downcast_ref::<CelNull>().is_some() {
            Ok(Value::Null)
        } else {
            self.rare(value)
        }
    }

    fn map(&mut self, map: &CelMap<'_>) -> Result<Value, String> {
        let mut entries: Vec<_> = map.inner().iter().collect();
        entries.sort_by(|left, right| left.0.cmp(right.0));
        let mut object = Map::new();
        for (key, item) in entries {
            let name = match key {
                CelMapKey::String(text) => self.text(text.inner())?,
                CelMapKey::Int(int) => int.inner().to_string(),
                CelMapKey::UInt(uint) => uint.inner().to_string(),
                CelMapKey::Bool(flag) => flag.inner().to_string(),
            };
            let twice = format!("yields a mapping with the key `{name}` as a text and as a number");
            if object.insert(name, self.convert(item.as_ref())?).is_some() {
                return Err(twice);
            }
        }
        Ok(Value::Object(object))
    }

    /// The types that a JSON scope doesn't hold, but an expression can make.
    fn rare(&mut self, value: &dyn Val) -> Result<Value, String> {
        if let Some(uint) = value.downcast_ref::<CelUInt>() {
            Ok(Value::from(*uint.inner()))
        } else if let Some(double) = value.downcast_ref::<CelDouble>() {
            let number = Number::from_f64(*double.inner());
            number.map(Value::Number).ok_or_else(|| "yields a number that JSON can't hold".to_owned())
        } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
            optional.option().map_or(Ok(Value::Null), |inner| self.convert(inner))
        } else if let Some(time) = value.downcast_ref::<CelTimestamp>() {
            Ok(Value::String(time.inner().to_rfc3339()))
        } else if let Some(span) = value.downcast_ref::<CelDuration>() {
            // As CEL's `string()` writes it, which a stage's duration fields read.
            Ok(Value::String(duration_text(span)))
        } else if let Some(kind) = value.downcast_ref::<CelType>() {
            self.text(kind.name()).map(Value::String)
        } else if value.downcast_ref::<CelBytes>().is_some() {
            Err("yields bytes: turn them into text with `string(...)`".to_owned())
        } else {
            Err("yields a value that JSON can't hold".to_owned())
        }
    }
}

fn duration_text(span: &CelDuration) -> String {
    let millis = span.inner().num_milliseconds();
    if millis % 1000 == 0 { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// A type's name with its article.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(number) if number.is_f64() => "a double",
        Value::Number(number) if number.as_i64().is_none() => "a uint",
        Value::Number(_) => "an int",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_goes_through_cel_and_comes_back_the_same(value in any_json()) {
            let back = to_json(from_json(&value, &[&[]]).as_ref()).expect("JSON holds it");
            prop_assert_eq!(back.to_string(), value.to_string());
        }
    }

    #[test]
    fn only_what_the_paths_lead_through_is_taken_along() {
        let value = json!({"a": {"b": [1], "c": 2}, "d": {"e": 3}});
        let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let (one, two) = (path(&["a", "b", "0"]), path(&["d"]));
        let taken = to_json(from_json(&value, &[&one, &two]).as_ref()).expect("JSON holds it");
        assert_eq!(taken, json!({"a": {"b": [1]}, "d": {"e": 3}}));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let large = Value::Array(vec![Value::Null; MAX_VALUES]);
        assert!(to_json(from_json(&large, &[&[]]).as_ref()).is_err());
        let long = Value::String("x".repeat(MAX_BYTES + 1));
        assert!(to_json(from_json(&long, &[&[]]).as_ref()).is_err());
    }
}
