//! The configuration file as a tree whose every value knows its line and column.
//!
//! The reader of pipeline files lives on a higher floor and handles templates; this one is for one
//! small trusted file, so it stays on serde-saphyr's own spans.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

use crate::diagnostic::{Code, Diagnostic, Place};

/// Larger than any configuration that a person writes.
const MAX_BYTES: usize = 1024 * 1024;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) data: Data,
    location: Location,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(Key, Tree)>),
}

/// A key of a mapping and where it stands.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    location: Location,
}

impl Tree {
    /// Parses the text of a file; an empty file is an empty mapping.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, Box<Diagnostic>> {
        if text.len() > MAX_BYTES {
            let finding = Diagnostic::error(Code::FileTooLarge, "the configuration is larger than 1 MiB");
            return Err(Box::new(finding.at(Place::point(file, 1, 1)).hint("this is probably another file")));
        }
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let parsed = serde_saphyr::from_str_with_options::<Self>(text, options);
        parsed.map_err(|error| Box::new(refusal(file, &error)))
    }

    /// Where the value stands.
    pub(super) fn place(&self, file: &str) -> Place {
        point(file, self.location)
    }

    /// The value under a JSON pointer.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut here = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            here = match &here.data {
                Data::Map(entries) => entries.iter().find(|(key, _)| key.name == part).map(|(_, value)| value)?,
                Data::List(items) => items.get(part.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(here)
    }

    /// What people call this kind of value.
    pub(super) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Number(_) => "a number",
            Data::Text(_) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    /// The value without its places.
    pub(super) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(value) => Value::Number(value.clone()),
            Data::Text(value) => Value::String(value.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Data::Map(entries) => Value::Object(
                entries.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }
}

/// What the library says, without its advice for programmers; the place is the finding's own.
fn refusal(file: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let place = point(file, error.location().unwrap_or(Location::UNKNOWN));
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default().split(" at line ").next().unwrap_or_default();
    match message.strip_prefix("duplicate mapping key: ") {
        Some(key) => {
            let key = key.split(',').next().unwrap_or_default();
            let finding = Diagnostic::error(Code::DuplicateKey, format!("the key `{key}` stands twice"));
            finding.at(place).hint("join the two, or remove one")
        }
        None => {
            Diagnostic::error(Code::YamlSyntax, format!("the configuration is not valid YAML: {message}")).at(place)
        }
    }
}

impl Key {
    /// Where the key stands, its whole length.
    pub(super) fn place(&self, file: &str) -> Place {
        let start = point(file, self.location);
        let length = u32::try_from(self.name.chars().count()).unwrap_or(0);
        Place { end_column: start.column.saturating_add(length), ..start }
    }
}

fn point(file: &str, location: Location) -> Place {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).max(1);
    Place::point(file, number(location.line()), number(location.column()))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Data>::deserialize(deserializer)?;
        Ok(Self { data: spanned.value, location: spanned.referenced })
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Data, E> {
        Ok(Number::from_f64(value).map_or_else(|| Data::Text(value.to_string()), Data::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Data, E> {
        Ok(Data::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Data, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            map.push((Key { name: key.value, location: key.referenced }, entries.next_value()?));
        }
        Ok(Data::Map(map))
    }
}
